//! The data of one table or large object: decompressed, counted, summed.

use flate2::{Decompress, FlushDecompress, Status};
use sha2::{Digest, Sha256};
use zstd::stream::raw::{InBuffer, Operation, OutBuffer};

use super::cursor::Fault;
use super::header::Compression;
use crate::hex::hex;

/// Rows of some hundred bytes are gathered, so that counting and summing run over whole pages.
const PAGE: usize = 64 << 10;

/// What `pg_dump` writes after the last row.
const END_MARK: &[u8] = b"\\.\n\n\n";

/// The large objects of an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LargeObjects {
    /// How many.
    pub count: u64,
    /// Size of them all, decompressed.
    pub bytes: u64,
    sums: Sha256Chain,
}

impl LargeObjects {
    pub(super) fn add(&mut self, bytes: u64, sha256: &str) {
        self.count += 1;
        self.bytes += bytes;
        self.sums = Sha256Chain(hex(&Sha256::new()
            .chain_update(&self.sums.0)
            .chain_update(sha256)
            .finalize()));
    }

    /// Checksum over all, in the order of the archive.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sums.0
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sha256Chain(String);

/// Plain bytes as they come.
pub(super) struct Content {
    page: Vec<u8>,
    tail: Vec<u8>,
    hash: Sha256,
    bytes: u64,
    lines: u64,
    is_copied: bool,
}

impl Content {
    pub(super) fn new(is_copied: bool) -> Self {
        Self {
            page: Vec::with_capacity(PAGE),
            tail: Vec::new(),
            hash: Sha256::new(),
            bytes: 0,
            lines: 0,
            is_copied,
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        if self.page.len() + bytes.len() > PAGE {
            self.turn();
        }
        if bytes.len() >= PAGE {
            self.page.extend_from_slice(bytes);
            return self.turn();
        }
        self.page.extend_from_slice(bytes);
    }

    fn turn(&mut self) {
        self.hash.update(&self.page);
        self.bytes += self.page.len() as u64;
        if self.is_copied {
            self.lines += crate::table::lines(&self.page);
            self.tail.extend_from_slice(
                &self.page[self.page.len().saturating_sub(END_MARK.len() + 1)..],
            );
            let surplus = self.tail.len().saturating_sub(END_MARK.len() + 1);
            self.tail.drain(..surplus);
        }
        self.page.clear();
    }

    fn finish(mut self) -> Result<(Option<u64>, u64, String), Fault> {
        self.turn();
        let rows = self.is_copied.then(|| self.rows()).transpose()?;
        Ok((rows, self.bytes, hex(&self.hash.finalize())))
    }

    /// Every row is one line: newlines inside are written `\n`. The end mark has three lines more.
    fn rows(&self) -> Result<u64, Fault> {
        let before = self.tail.strip_suffix(END_MARK).ok_or(Fault::EndMark)?;
        match before {
            [] | [b'\n'] => Ok(self.lines - 3),
            _ => Err(Fault::EndMark),
        }
    }
}

/// Takes the compression off.
pub(super) struct Decoder {
    method: Method,
    content: Content,
    output: Vec<u8>,
    ended: bool,
    is_empty: bool,
}

enum Method {
    None,
    Opaque,
    Gzip(Box<Decompress>),
    Zstd(Box<zstd::stream::raw::Decoder<'static>>),
}

impl Decoder {
    pub(super) fn new(compression: Compression, mut content: Content) -> Result<Self, Fault> {
        let method = match compression {
            Compression::None => Method::None,
            Compression::Lz4 => {
                content.is_copied = false;
                Method::Opaque
            }
            Compression::Gzip => Method::Gzip(Box::new(Decompress::new(true))),
            Compression::Zstd => Method::Zstd(Box::new(
                zstd::stream::raw::Decoder::new().map_err(Fault::Read)?,
            )),
        };
        let ended = matches!(method, Method::None | Method::Opaque);
        let output = if ended { Vec::new() } else { vec![0; PAGE] };
        Ok(Self {
            method,
            content,
            output,
            ended,
            is_empty: true,
        })
    }

    pub(super) fn push(&mut self, mut input: &[u8]) -> Result<(), Fault> {
        self.is_empty = false;
        if matches!(self.method, Method::None | Method::Opaque) {
            self.content.push(input);
            return Ok(());
        }
        while !input.is_empty() {
            if self.ended {
                return Err(Fault::Compressed);
            }
            let (read, written) = self.step(input)?;
            self.content.push(&self.output[..written]);
            input = &input[read..];
        }
        self.drain()
    }

    /// What the decompressor still holds back because the output was full.
    fn drain(&mut self) -> Result<(), Fault> {
        while !self.ended {
            let (_, written) = self.step(&[])?;
            self.content.push(&self.output[..written]);
            if written == 0 {
                break;
            }
        }
        Ok(())
    }

    fn step(&mut self, input: &[u8]) -> Result<(usize, usize), Fault> {
        match &mut self.method {
            Method::None | Method::Opaque => Ok((input.len(), 0)),
            Method::Gzip(zlib) => {
                let (read, written) = (zlib.total_in(), zlib.total_out());
                let status = zlib.decompress(input, &mut self.output, FlushDecompress::None);
                self.ended = status.map_err(|_| Fault::Compressed)? == Status::StreamEnd;
                let progress =
                    |now: u64, before: u64| usize::try_from(now - before).unwrap_or_default();
                Ok((
                    progress(zlib.total_in(), read),
                    progress(zlib.total_out(), written),
                ))
            }
            Method::Zstd(zstd) => {
                let mut from = InBuffer::around(input);
                let mut to = OutBuffer::around(&mut self.output[..]);
                let more = zstd
                    .run(&mut from, &mut to)
                    .map_err(|_| Fault::Compressed)?;
                self.ended = more == 0;
                Ok((from.pos(), to.pos()))
            }
        }
    }

    /// The compressed stream has an end mark of its own, which must have come; of nothing at all there is no stream.
    pub(super) fn finish(self) -> Result<(Option<u64>, u64, String), Fault> {
        if !self.ended && !self.is_empty {
            return Err(Fault::Compressed);
        }
        self.content.finish()
    }
}
