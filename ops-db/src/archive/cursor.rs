//! A buffered reader that knows its place, and the primitives an archive is written in.

use std::fmt;
use std::io::{self, BufRead};

/// The longest name or owner believed; longer ones are damage, not names.
const LONGEST_NAME: u64 = 1 << 20;

/// What is wrong with an archive, and where.
#[derive(Debug)]
pub struct Damage {
    /// Offset in the archive, in bytes.
    pub offset: u64,
    /// The entry whose data was being read.
    pub entry: Option<String>,
    /// What is wrong there.
    pub fault: Fault,
}

impl Damage {
    pub(super) fn within(mut self, entry: &str) -> Self {
        self.entry.get_or_insert_with(|| entry.to_owned());
        self
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.entry {
            Some(entry) => write!(
                f,
                "{} in the data of {entry} at byte {}",
                self.fault, self.offset
            ),
            None => write!(f, "{} at byte {}", self.fault, self.offset),
        }
    }
}

impl std::error::Error for Damage {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.fault {
            Fault::Read(error) => Some(error),
            _ => None,
        }
    }
}

/// The ways in which bytes fail to be an archive.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Not written by `pg_dump -Fc`.
    #[error("this is no custom archive of pg_dump")]
    Foreign,
    /// A version that this parser has never seen.
    #[error("archive format {0} is newer than 1.16")]
    Newer(String),
    /// A version from before `PostgreSQL` 12.
    #[error("archive format {0} is older than 1.14")]
    Older(String),
    /// The input stopped in the middle of something.
    #[error("the archive ends early")]
    Truncated,
    /// The input stopped between two blocks.
    #[error("the archive ends early: {count} of its data blocks are missing, the first is {first}")]
    Missing {
        /// How many.
        count: usize,
        /// The first of them.
        first: String,
    },
    /// A number that cannot be what it stands for.
    #[error("{0} is no possible {1}")]
    Number(i64, &'static str),
    /// A byte that starts no block.
    #[error("{0} starts no data block")]
    Block(u8),
    /// Data for an entry that has none, or a second time.
    #[error("unexpected data block {0}")]
    Stray(i64),
    /// Compressed data that does not decompress.
    #[error("the compressed data is damaged")]
    Compressed,
    /// Rows without the line that ends them.
    #[error("the rows lack their end mark")]
    EndMark,
    /// The source itself failed.
    #[error("cannot read")]
    Read(#[source] io::Error),
}

/// A reader with a place. It looks at the bytes where they are.
pub(super) struct Cursor<R> {
    input: R,
    passed: u64,
    int_size: usize,
    offset_size: usize,
}

impl<R: BufRead> Cursor<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            passed: 0,
            int_size: 4,
            offset_size: 8,
        }
    }

    pub(super) fn sizes(&mut self, int_size: u8, offset_size: u8) {
        self.int_size = int_size.into();
        self.offset_size = offset_size.into();
    }

    pub(super) fn offset(&self) -> u64 {
        self.passed
    }

    pub(super) fn damage(&self, fault: Fault) -> Damage {
        Damage {
            offset: self.passed,
            entry: None,
            fault,
        }
    }

    pub(super) fn byte_or_end(&mut self) -> Result<Option<u8>, Damage> {
        let first = self.there()?.first().copied();
        self.pass_over(usize::from(first.is_some()));
        Ok(first)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Damage> {
        self.byte_or_end()?
            .ok_or_else(|| self.damage(Fault::Truncated))
    }

    /// A sign byte and a little-endian magnitude.
    pub(super) fn int(&mut self) -> Result<i64, Damage> {
        let mut bytes = [0; 9];
        let size = 1 + self.int_size;
        // There is one before every row, and nearly always it is there as a whole.
        if let Some(whole) = self.there()?.get(..size) {
            bytes[..size].copy_from_slice(whole);
            self.pass_over(size);
        } else {
            for byte in &mut bytes[..size] {
                *byte = self.byte()?;
            }
        }
        let [sign, magnitude @ ..] = bytes;
        let magnitude = i64::from_le_bytes(magnitude);
        match sign {
            0 => Ok(magnitude),
            1 => Ok(magnitude.wrapping_neg()),
            _ => Err(self.damage(Fault::Number(sign.into(), "sign"))),
        }
    }

    pub(super) fn length(&mut self) -> Result<u64, Damage> {
        let length = self.int()?;
        u64::try_from(length).map_err(|_| self.damage(Fault::Number(length, "length")))
    }

    /// A flag that says whether a block follows for the entry, and room for its place.
    pub(super) fn data_flag(&mut self) -> Result<bool, Damage> {
        let flag = self.byte()?;
        for _ in 0..self.offset_size {
            self.byte()?;
        }
        match flag {
            1 | 2 => Ok(true),
            3 => Ok(false),
            _ => Err(self.damage(Fault::Number(flag.into(), "data flag"))),
        }
    }

    pub(super) fn string(&mut self) -> Result<Option<String>, Damage> {
        let Some(length) = self.string_length()? else {
            return Ok(None);
        };
        if length > LONGEST_NAME {
            return Err(self.damage(Fault::Number(length.cast_signed(), "length of a name")));
        }
        let mut bytes = Vec::new();
        self.pass(length, &mut |part| {
            bytes.extend_from_slice(part);
            Ok(())
        })?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Passes over a string that nobody asks for; says whether there was one.
    pub(super) fn skip_string(&mut self) -> Result<bool, Damage> {
        let Some(length) = self.string_length()? else {
            return Ok(false);
        };
        self.pass(length, &mut |_| Ok(()))?;
        Ok(length > 0)
    }

    fn string_length(&mut self) -> Result<Option<u64>, Damage> {
        match self.int()? {
            -1 => Ok(None),
            length => u64::try_from(length)
                .map(Some)
                .map_err(|_| self.damage(Fault::Number(length, "length"))),
        }
    }

    /// Hands the next `length` bytes on, part by part.
    pub(super) fn pass(
        &mut self,
        mut length: u64,
        to: &mut dyn FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Damage> {
        while length > 0 {
            let there = self.there()?;
            let taken =
                usize::try_from(length).map_or(there.len(), |length| length.min(there.len()));
            if taken == 0 {
                return Err(self.damage(Fault::Truncated));
            }
            to(&there[..taken]).map_err(|fault| self.damage(fault))?;
            self.pass_over(taken);
            length -= taken as u64;
        }
        Ok(())
    }

    /// The bytes that are there without waiting, or the next that come; none at the end.
    fn there(&mut self) -> Result<&[u8], Damage> {
        let offset = self.passed;
        loop {
            match self.input.fill_buf() {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(Damage {
                        offset,
                        entry: None,
                        fault: Fault::Read(error),
                    });
                }
            }
        }
        // Asked once more, since a borrow that is returned from a loop is not understood: it reads nothing.
        self.input.fill_buf().map_err(|error| Damage {
            offset,
            entry: None,
            fault: Fault::Read(error),
        })
    }

    fn pass_over(&mut self, taken: usize) {
        self.input.consume(taken);
        self.passed += taken as u64;
    }
}
