//! A backup to be read: whatever it is wrapped in, the dump inside.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ops_common::input;

use crate::archive::{self, Entry, Fault};
use crate::error::Error;
use crate::manifest::Manifest;
use crate::seal::Unsealer;
use crate::{keys, parts};

/// A backup: one file, or a directory of them.
pub enum Opened {
    /// A file or stdin.
    One(Source),
    /// A directory.
    Directory(Directory),
}

/// The parts of a directory, in the order in which they are restored.
pub struct Directory {
    /// The directory.
    pub folder: PathBuf,
    /// Its files.
    pub files: Vec<PathBuf>,
    /// The same, opened.
    pub sources: Vec<Source>,
}

impl Opened {
    /// Opens what `name` names; `-` is stdin.
    pub fn open(name: &OsStr, identities: &[PathBuf]) -> Result<Self, Error> {
        let open = |name: &OsStr| {
            let input = Box::new(input::open(name)?);
            Source::open(&name.to_string_lossy(), input, identities)
        };
        let folder = Path::new(name);
        if !folder.is_dir() {
            return Ok(Self::One(open(name)?));
        }
        let files = parts::files(folder)?;
        let sources = files.iter().map(|file| open(file.as_os_str()));
        Ok(Self::Directory(Directory {
            folder: folder.to_owned(),
            sources: sources.collect::<Result<_, _>>()?,
            files,
        }))
    }
}

/// A dump that has been opened, and not yet been read.
pub struct Source {
    /// What messages call it.
    pub name: String,
    /// What the dump inside is.
    pub format: Format,
    /// The dump.
    pub dump: Box<dyn BufRead + Send>,
    /// Whether every byte is under a checksum.
    pub is_sealed: bool,
    seal: Seal,
}

/// Kinds of dumps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `pg_dump -Fc`.
    Archive,
    /// `pg_dump`.
    Plain,
}

type Seal = Arc<Mutex<Option<Manifest>>>;

impl Source {
    /// Looks at the first bytes of `input` and takes off what is around the dump.
    pub fn open(
        name: &str,
        input: Box<dyn Read + Send>,
        identities: &[PathBuf],
    ) -> Result<Self, Error> {
        let mut input: Box<dyn BufRead + Send> =
            Box::new(BufReader::with_capacity(256 << 10, input));
        if starts(name, &mut *input, b"age-encryption.org/v1")?
            || starts(name, &mut *input, b"-----BEGIN AGE ENCRYPTED FILE-----")?
        {
            input = decrypted(name, input, identities)?;
        }
        let seal = Seal::default();
        let is_sealed = starts(name, &mut *input, &[0x28, 0xb5, 0x2f, 0xfd])?;
        if is_sealed {
            let unsealer =
                Unsealer::new(input).map_err(|error| crate::error::of_reading(name, error))?;
            input = Box::new(BufReader::with_capacity(
                256 << 10,
                Sealed {
                    unsealer,
                    seal: seal.clone(),
                },
            ));
        }
        let format = if starts(name, &mut *input, b"PGDMP")? {
            Format::Archive
        } else if starts(name, &mut *input, b"--")? {
            Format::Plain
        } else if tar(name, &mut *input)? {
            return Err(Error::OtherKind {
                name: name.to_owned(),
                what: "a tar archive of pg_dump, in which a missing end cannot be seen",
            });
        } else {
            return Err(Error::Foreign(name.to_owned()));
        };
        Ok(Self {
            name: name.to_owned(),
            format,
            dump: input,
            is_sealed,
            seal,
        })
    }

    /// What an archive says that it holds. It is still read from its beginning.
    pub fn contents(&mut self) -> Result<Vec<Entry>, Error> {
        let dump = std::mem::replace(&mut self.dump, Box::new(io::empty()));
        let mut front = Kept {
            input: dump,
            kept: Vec::new(),
        };
        let entries = archive::contents(BufReader::new(&mut front));
        self.dump = Box::new(io::Cursor::new(front.kept).chain(front.input));
        entries.map_err(|damage| match damage.fault {
            Fault::Read(error) => crate::error::of_reading(&self.name, error),
            _ => Error::Damaged {
                name: self.name.clone(),
                damage: damage.to_string(),
            },
        })
    }

    /// Where the manifest inside will be once all has been read: none before, and none for a dump without a seal.
    pub fn manifest(&self) -> impl Fn() -> Option<Manifest> + Send + use<> {
        let seal = self.seal.clone();
        move || seal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Whether the input starts so; an input too short for it does not.
fn starts(name: &str, input: &mut dyn BufRead, with: &[u8]) -> Result<bool, Error> {
    let there = input
        .fill_buf()
        .map_err(|error| crate::error::of_reading(name, error))?;
    Ok(there.starts_with(with))
}

/// Whether it is a tar archive: those say so behind their first name.
fn tar(name: &str, input: &mut dyn BufRead) -> Result<bool, Error> {
    let there = input
        .fill_buf()
        .map_err(|error| crate::error::of_reading(name, error))?;
    Ok(there
        .get(257..)
        .is_some_and(|rest| rest.starts_with(b"ustar")))
}

fn decrypted(
    name: &str,
    input: Box<dyn BufRead + Send>,
    identities: &[PathBuf],
) -> Result<Box<dyn BufRead + Send>, Error> {
    let refused = |reason: String| Error::Decrypt {
        name: name.to_owned(),
        reason,
    };
    let identities = keys::identities(identities)?;
    if identities.is_empty() {
        return Err(refused("no key was named".to_owned()));
    }
    let decryptor = age::Decryptor::new_buffered(age::armor::ArmoredReader::new(input))
        .map_err(|error| refused(error.to_string()))?;
    let plain = decryptor
        .decrypt(
            identities
                .iter()
                .map(|identity| &**identity as &dyn age::Identity),
        )
        .map_err(|error| match error {
            age::DecryptError::NoMatchingKeys => Error::WrongKey {
                name: name.to_owned(),
            },
            error => refused(error.to_string()),
        })?;
    Ok(Box::new(BufReader::with_capacity(256 << 10, plain)))
}

/// Keeps what has been read.
struct Kept<R> {
    input: R,
    kept: Vec<u8>,
}

impl<R: Read> Read for Kept<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.kept.extend_from_slice(&buffer[..read]);
        Ok(read)
    }
}

/// Hands the manifest on when its reader has seen the end.
struct Sealed<R: Read> {
    unsealer: Unsealer<R>,
    seal: Seal,
}

impl<R: Read> Read for Sealed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.unsealer.read(buffer)?;
        if read == 0
            && let Some(manifest) = self.unsealer.manifest()
        {
            *self.seal.lock().unwrap_or_else(PoisonError::into_inner) = Some(manifest.clone());
        }
        Ok(read)
    }
}
