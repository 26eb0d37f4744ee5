//! A backup file: one zstd frame, then a seal, all of it inside age if there are recipients.
//!
//! The seal is a zstd skippable frame, so `age -d FILE | zstd -d | pg_restore` works without this program. It holds the
//! manifest and the checksum of every byte before the checksum. It is written last, only when the source is known to
//! have been good; age's last chunk comes after it. So a file without a seal is no backup, and a flipped bit anywhere
//! is seen without any other file.

use std::io::{self, BufRead, BufReader, Read, Write};

use age::stream::StreamWriter;
use sha2::{Digest, Sha256};

use crate::manifest::Manifest;

/// The magic number of one of zstd's sixteen kinds of skippable frames.
const MAGIC: [u8; 4] = 0x184D_2A5B_u32.to_le_bytes();
/// Says whose seal it is, and which form of it.
const TAG: &[u8; 9] = b"ops-db 1\n";
/// A checksum and, for readers that come from the end, the size of the frame.
const TAIL: usize = 32 + 4;
/// Magic number and size.
const HEAD: usize = 8;
/// A larger manifest is not believed.
const LARGEST: usize = 1 << 30;
/// Rows of numbers, times and hashes get no smaller with more effort: the default, 3, takes twice the time for a file that is
/// larger by a fifth; only prose gains by it.
const LEVEL: i32 = 1;

/// What is wrong with a sealed file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The end mark is missing.
    #[error("the file ends early: no end mark after {0} bytes of compressed data")]
    Unsealed(u64),
    /// The seal does not fit what it seals.
    #[error("the checksum over the file is wrong")]
    Checksum,
    /// There are bytes after the seal.
    #[error("there is something after the end mark")]
    Surplus,
    /// Decompression or decryption failed.
    #[error("damaged near byte {at} of the compressed data: {cause}")]
    Data {
        /// Where.
        at: u64,
        /// Why.
        cause: String,
    },
}

/// Compresses, encrypts and, at the end, seals.
pub struct Sealer<W: Write> {
    zstd: zstd::stream::write::Encoder<'static, Summed<Layer<W>>>,
}

impl<W: Write> Sealer<W> {
    /// Starts a backup file on `output`.
    pub fn new(output: W, recipients: &[Box<dyn age::Recipient + Send>]) -> io::Result<Self> {
        let layer = if recipients.is_empty() {
            Layer::Clear(output)
        } else {
            let recipients = recipients
                .iter()
                .map(|recipient| &**recipient as &dyn age::Recipient);
            let age = age::Encryptor::with_recipients(recipients).map_err(io::Error::other)?;
            Layer::Age(Box::new(age.wrap_output(output)?))
        };
        let mut zstd = zstd::stream::write::Encoder::new(Summed::new(layer), LEVEL)?;
        zstd.include_checksum(true)?;
        Ok(Self { zstd })
    }

    /// Ends the file with the manifest. Without this call the file is, and stays, no backup.
    pub fn finish(self, manifest: &Manifest) -> io::Result<W> {
        let mut summed = self.zstd.finish()?;
        let json = serde_json::to_vec(&manifest.inner())?;
        let size = u32::try_from(TAG.len() + json.len() + TAIL).map_err(io::Error::other)?;
        summed.write_all(&MAGIC)?;
        summed.write_all(&size.to_le_bytes())?;
        summed.write_all(TAG)?;
        summed.write_all(&json)?;
        let Summed { mut inner, sum, .. } = summed;
        inner.write_all(&sum.finalize())?;
        inner.write_all(&size.to_le_bytes())?;
        match inner {
            Layer::Clear(output) => Ok(output),
            Layer::Age(age) => age.finish(),
        }
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.zstd.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.zstd.flush()
    }
}

enum Layer<W: Write> {
    Clear(W),
    Age(Box<StreamWriter<W>>),
}

impl<W: Write> Write for Layer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Clear(output) => output.write(bytes),
            Self::Age(age) => age.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Clear(output) => output.flush(),
            Self::Age(age) => age.flush(),
        }
    }
}

/// Sums what passes, in either direction.
pub struct Summed<T> {
    inner: T,
    sum: Sha256,
    passed: u64,
}

impl<T> Summed<T> {
    /// Sums what passes to or from `inner`.
    pub fn new(inner: T) -> Self {
        Self {
            inner,
            sum: Sha256::new(),
            passed: 0,
        }
    }

    /// What is below, how much has passed, and its checksum.
    pub fn finish(self) -> (T, u64, [u8; 32]) {
        (self.inner, self.passed, self.sum.finalize().into())
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sum.update(&bytes[..written]);
        self.passed += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Summed<BufReader<R>> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let there = self.fill_buf()?;
        let taken = there.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&there[..taken]);
        self.consume(taken);
        Ok(taken)
    }
}

impl<R: Read> BufRead for Summed<BufReader<R>> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, taken: usize) {
        self.sum.update(&self.inner.buffer()[..taken]);
        self.passed += taken as u64;
        self.inner.consume(taken);
    }
}

/// Reads a sealed file. Its end is reported only after the seal has been found good.
pub struct Unsealer<R: Read> {
    state: State<R>,
    passed: u64,
}

enum State<R: Read> {
    Body(Box<zstd::stream::read::Decoder<'static, Summed<BufReader<R>>>>),
    Sealed(Box<Manifest>),
    Broken,
}

impl<R: Read> Unsealer<R> {
    /// Starts at the head of a compressed file.
    pub fn new(input: R) -> io::Result<Self> {
        let input = Summed::new(BufReader::with_capacity(128 << 10, input));
        let decoder = zstd::stream::read::Decoder::with_buffer(input)?.single_frame();
        Ok(Self {
            state: State::Body(Box::new(decoder)),
            passed: 0,
        })
    }

    /// The manifest inside, once all has been read.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        match &self.state {
            State::Sealed(manifest) => Some(manifest),
            State::Body(_) | State::Broken => None,
        }
    }

    fn seal(&mut self) -> io::Result<()> {
        let State::Body(decoder) = std::mem::replace(&mut self.state, State::Broken) else {
            return Ok(());
        };
        let manifest = read_seal(decoder.finish())?;
        self.state = State::Sealed(Box::new(manifest));
        Ok(())
    }
}

impl<R: Read> Read for Unsealer<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let State::Body(decoder) = &mut self.state else {
            return match &self.state {
                State::Sealed(_) => Ok(0),
                _ => Err(io::Error::other(Damage::Unsealed(self.passed))),
            };
        };
        let read = decoder.read(buffer);
        self.passed = decoder.get_ref().passed;
        match read {
            Ok(0) if !buffer.is_empty() => {
                self.seal()?;
                Ok(0)
            }
            Ok(read) => Ok(read),
            Err(error) => Err(judged(error, self.passed)),
        }
    }
}

/// Tells a medium that fails from data that is wrong.
fn judged(error: io::Error, at: u64) -> io::Error {
    match error.kind() {
        _ if error.raw_os_error().is_some() || error.kind() == io::ErrorKind::Interrupted => error,
        io::ErrorKind::UnexpectedEof => io::Error::other(Damage::Unsealed(at)),
        _ => io::Error::other(Damage::Data {
            at,
            cause: error.to_string(),
        }),
    }
}

/// Checks the seal, from its magic number to the end of the file.
fn read_seal(mut input: Summed<BufReader<impl Read>>) -> io::Result<Manifest> {
    let at = input.passed;
    let mut take = |length: usize| -> io::Result<(Vec<u8>, [u8; 32])> {
        let mut bytes = Vec::new();
        (&mut input)
            .take(length as u64)
            .read_to_end(&mut bytes)
            .map_err(|error| judged(error, at))?;
        if bytes.len() < length {
            return Err(io::Error::other(Damage::Unsealed(at)));
        }
        Ok((bytes, input.sum.clone().finalize().into()))
    };
    let (head, _) = take(HEAD + TAG.len())?;
    let size = usize::try_from(u32::from_le_bytes([head[4], head[5], head[6], head[7]]))
        .unwrap_or(usize::MAX);
    let is_ours = head.starts_with(&MAGIC) && head.ends_with(TAG);
    let json = size
        .checked_sub(TAG.len() + TAIL)
        .filter(|json| is_ours && *json <= LARGEST);
    let (json, expected) = take(json.ok_or_else(|| io::Error::other(Damage::Checksum))?)?;
    let (tail, _) = take(TAIL)?;
    if tail[..32] != expected || tail[32..] != head[4..8] {
        return Err(io::Error::other(Damage::Checksum));
    }
    if !input
        .fill_buf()
        .map_err(|error| judged(error, at))?
        .is_empty()
    {
        return Err(io::Error::other(Damage::Surplus));
    }
    serde_json::from_slice(&json).map_err(|error| {
        io::Error::other(Damage::Data {
            at,
            cause: error.to_string(),
        })
    })
}

/// What the end of an unencrypted file says, without reading the rest.
pub fn peek(file: &mut (impl Read + io::Seek)) -> io::Result<Option<Manifest>> {
    let length = file.seek(io::SeekFrom::End(0))?;
    let mut size = [0; 4];
    if length < (HEAD + TAG.len() + TAIL) as u64 {
        return Ok(None);
    }
    file.seek(io::SeekFrom::End(-4))?;
    file.read_exact(&mut size)?;
    let frame = u64::from(u32::from_le_bytes(size));
    let Some(start) = length.checked_sub(frame + HEAD as u64) else {
        return Ok(None);
    };
    file.seek(io::SeekFrom::Start(start))?;
    let mut seal = Vec::new();
    file.take(frame + HEAD as u64).read_to_end(&mut seal)?;
    let is_ours = seal.starts_with(&MAGIC)
        && seal[HEAD..].starts_with(TAG)
        && seal.len() >= HEAD + TAG.len() + TAIL;
    Ok(is_ours
        .then(|| serde_json::from_slice(&seal[HEAD + TAG.len()..seal.len() - TAIL]).ok())
        .flatten())
}

/// What was wrong with a sealed file, if that is why reading it failed.
#[must_use]
pub fn damage_of(error: &io::Error) -> Option<&Damage> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

#[cfg(test)]
mod tests;
