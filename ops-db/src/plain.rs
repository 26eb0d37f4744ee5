//! The plain SQL of `pg_dump`, read in constant memory: statements, rows, and whether its end has come.
//!
//! A plain dump proves its end in two ways: the trailer, and since August 2025 a random key that stands at its head in
//! `\restrict KEY` and at its tail in `\unrestrict KEY`. Rows could imitate the first, never the second.

use std::borrow::Cow;
use std::io::{self, BufRead, Read};

use sha2::{Digest, Sha256};

use crate::hex::hex;
use crate::sql::{Lexer, qualified_name};
use crate::table::Table;

/// The longest statement taken into memory.
const LONGEST_STATEMENT: usize = 64 << 20;
/// Rows are handed on in pieces of about this size.
const PAGE: usize = 64 << 10;
const TRAILER: &[u8] = b"-- PostgreSQL database dump complete";

/// What is wrong with a plain dump, and where.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// It stopped before its trailer.
    #[error(
        "the dump ends early: no '-- PostgreSQL database dump complete' by its end at byte {0}"
    )]
    Truncated(u64),
    /// Head and tail are not of the same dump.
    #[error(
        "the dump ends early: no '\\unrestrict' with the key of its head by its end at byte {0}"
    )]
    Key(u64),
    /// A line for psql itself.
    #[error("line {line} is a command of psql, '{command}', which no dump of one database holds")]
    Command {
        /// Number of the line.
        line: u64,
        /// Its first word.
        command: String,
    },
    /// A statement that is too long to be one.
    #[error("the statement in line {0} is longer than 64 MiB")]
    Statement(u64),
    /// The source itself failed.
    #[error("cannot read")]
    Read(#[source] io::Error),
}

/// One piece of a dump.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A statement.
    Statement(&'a [u8]),
    /// A `COPY ... FROM stdin` statement, whose rows follow.
    Copy(Cow<'a, str>),
    /// Some rows, in `COPY`'s text form; a piece may end inside a row.
    Rows(&'a [u8]),
    /// The rows of the `COPY` before are all there.
    End,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Statements,
    Rows { at_line: bool },
    End,
}

/// What holds a statement together across semicolons: parentheses of a rule, the body of an SQL function.
#[derive(Clone, Copy, Debug, Default)]
struct Body {
    parentheses: u32,
    is_atomic: bool,
}

/// A dump that is being read.
#[derive(Debug)]
pub struct Script<R> {
    input: R,
    lexer: Lexer,
    buffer: Vec<u8>,
    bytes: u64,
    line: u64,
    mode: Mode,
    body: Body,
    key: Option<Vec<u8>>,
    is_closed: bool,
    has_trailer: bool,
    versions: [Option<String>; 2],
}

impl<R: BufRead> Script<R> {
    /// Starts at the head of a dump.
    pub fn new(input: R) -> Self {
        let (buffer, versions) = (Vec::new(), [None, None]);
        let (lexer, mode, body) = (Lexer::default(), Mode::Statements, Body::default());
        Self {
            input,
            lexer,
            buffer,
            bytes: 0,
            line: 0,
            mode,
            body,
            key: None,
            is_closed: false,
            has_trailer: false,
            versions,
        }
    }

    /// The next piece; none at the end of a dump that is whole.
    pub fn next_piece(&mut self) -> Result<Option<Piece<'_>>, Damage> {
        self.buffer.clear();
        match self.mode {
            Mode::Statements => self.statement(),
            Mode::Rows { at_line } => self.rows(at_line),
            Mode::End => {
                self.mode = Mode::Statements;
                Ok(Some(Piece::End))
            }
        }
    }

    /// Versions of the server and of `pg_dump`, once the head has been read.
    #[must_use]
    pub fn versions(&self) -> [Option<&str>; 2] {
        [self.versions[0].as_deref(), self.versions[1].as_deref()]
    }

    /// Whether the dump has a key at its head and its tail.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// How much has been read.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn statement(&mut self) -> Result<Option<Piece<'_>>, Damage> {
        loop {
            let from = self.buffer.len();
            if self.read_line(LONGEST_STATEMENT)? == 0 {
                self.check_end(from)?;
                return Ok(None);
            }
            self.line += 1;
            if from == 0 && self.lexer == Lexer::Code && self.is_between_statements()? {
                self.buffer.clear();
                continue;
            }
            (self.has_trailer, self.is_closed) = (false, false);
            if self.is_ended(from) {
                break;
            }
            if self.buffer.len() >= LONGEST_STATEMENT {
                return Err(Damage::Statement(self.line));
            }
        }
        let text = self.buffer.trim_ascii_end();
        if text.starts_with(b"COPY ") && text.ends_with(b" FROM stdin;") {
            self.mode = Mode::Rows { at_line: true };
            return Ok(Some(Piece::Copy(String::from_utf8_lossy(text))));
        }
        Ok(Some(Piece::Statement(text)))
    }

    /// Lexes the line from `from`; says whether a statement ends with it.
    fn is_ended(&mut self, from: usize) -> bool {
        let is_code = self.lexer == Lexer::Code;
        let (mut at, mut last) = (from, b' ');
        while at < self.buffer.len() {
            let (byte, was_code) = (self.buffer[at], self.lexer == Lexer::Code);
            at = self.lexer.step(&self.buffer, at);
            match (was_code, self.lexer == Lexer::Code) {
                (true, true) if !byte.is_ascii_whitespace() => {
                    self.body.pass(byte);
                    last = byte;
                }
                (false, true) if byte != b'\n' => last = b' ',
                _ => {}
            }
        }
        if is_code {
            self.body.pass_line(&self.buffer[from..]);
        }
        let ends = self.lexer == Lexer::Code && last == b';' && self.body.is_closed();
        if ends {
            self.body = Body::default();
        }
        ends
    }

    /// Blank lines, comments and the two keys.
    fn is_between_statements(&mut self) -> Result<bool, Damage> {
        let line = self.buffer.trim_ascii();
        if line == TRAILER {
            self.has_trailer = true;
        } else if let Some(key) = line.strip_prefix(b"\\unrestrict ") {
            self.is_closed = self.has_trailer && self.key.as_deref() == Some(key);
        } else if let Some(key) = line
            .strip_prefix(b"\\restrict ")
            .filter(|_| self.key.is_none())
        {
            self.key = Some(key.to_vec());
        } else if line.starts_with(b"\\") {
            if !self.buffer.ends_with(b"\n") {
                return Err(Damage::Truncated(self.bytes));
            }
            let word = line
                .split(u8::is_ascii_whitespace)
                .next()
                .unwrap_or_default();
            return Err(Damage::Command {
                line: self.line,
                command: String::from_utf8_lossy(word).into_owned(),
            });
        } else {
            for (place, what) in [
                "-- Dumped from database version ",
                "-- Dumped by pg_dump version ",
            ]
            .iter()
            .enumerate()
            {
                if let Some(version) = line.strip_prefix(what.as_bytes()) {
                    self.versions[place] = Some(String::from_utf8_lossy(version).into_owned());
                }
            }
            return Ok(line.is_empty() || line.starts_with(b"--"));
        }
        Ok(true)
    }

    fn rows(&mut self, mut at_line: bool) -> Result<Option<Piece<'_>>, Damage> {
        while self.buffer.len() < PAGE {
            let from = self.buffer.len();
            if self.read_line(PAGE)? == 0 {
                return Err(Damage::Truncated(self.bytes));
            }
            if at_line && &self.buffer[from..] == b"\\.\n" {
                self.line += 1;
                self.buffer.truncate(from);
                self.mode = if from == 0 {
                    Mode::Statements
                } else {
                    Mode::End
                };
                return Ok(Some(if from == 0 {
                    Piece::End
                } else {
                    Piece::Rows(&self.buffer)
                }));
            }
            at_line = self.buffer.ends_with(b"\n");
            self.line += u64::from(at_line);
        }
        self.mode = Mode::Rows { at_line };
        Ok(Some(Piece::Rows(&self.buffer)))
    }

    fn read_line(&mut self, limit: usize) -> Result<usize, Damage> {
        let read = (&mut self.input)
            .take(limit as u64)
            .read_until(b'\n', &mut self.buffer)
            .map_err(Damage::Read)?;
        self.bytes += read as u64;
        Ok(read)
    }

    fn check_end(&self, pending: usize) -> Result<(), Damage> {
        if pending > 0 || !self.has_trailer {
            return Err(Damage::Truncated(self.bytes));
        }
        if self.key.is_some() && !self.is_closed {
            return Err(Damage::Key(self.bytes));
        }
        Ok(())
    }
}

impl Body {
    fn pass(&mut self, byte: u8) {
        match byte {
            b'(' => self.parentheses += 1,
            b')' => self.parentheses = self.parentheses.saturating_sub(1),
            _ => {}
        }
    }

    /// `BEGIN ATOMIC` and its `END;` stand on lines of their own, the latter without indentation.
    fn pass_line(&mut self, line: &[u8]) {
        if line.trim_ascii() == b"BEGIN ATOMIC" {
            self.is_atomic = true;
        } else if self.is_atomic && line == b"END;\n" {
            self.is_atomic = false;
        }
    }

    fn is_closed(self) -> bool {
        self.parentheses == 0 && !self.is_atomic
    }
}

/// Whether the trailer stands near the end of a file, where the key and nothing else may follow it.
pub fn has_trailer(file: &mut (impl Read + io::Seek)) -> io::Result<bool> {
    const NEAR: u64 = 1 << 10;
    let length = file.seek(io::SeekFrom::End(0))?;
    file.seek(io::SeekFrom::Start(length.saturating_sub(NEAR)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    Ok(end.split(|byte| *byte == b'\n').any(|line| line == TRAILER))
}

/// What a whole plain dump holds.
#[derive(Clone, Debug)]
pub struct Scan {
    /// Version of the server.
    pub server: Option<String>,
    /// Version of `pg_dump`.
    pub pg_dump: Option<String>,
    /// What came for each table.
    pub tables: Vec<Table>,
    /// Whether head and tail carry the same key.
    pub has_key: bool,
    /// Size of the dump.
    pub bytes: u64,
}

/// Reads a dump to its end and proves that its end is there.
pub fn scan(input: impl BufRead) -> Result<Scan, Damage> {
    let mut script = Script::new(input);
    let mut tables = Vec::new();
    let mut open: Option<(Table, Sha256)> = None;
    while let Some(piece) = script.next_piece()? {
        match (piece, &mut open) {
            (Piece::Copy(statement), _) => {
                let name = statement
                    .strip_prefix("COPY ")
                    .and_then(qualified_name)
                    .unwrap_or_default();
                let table = Table {
                    schema: name.0,
                    name: name.1,
                    rows: Some(0),
                    ..Table::default()
                };
                open = Some((table, Sha256::new()));
            }
            (Piece::Rows(rows), Some((table, hash))) => {
                hash.update(rows);
                table.bytes += rows.len() as u64;
                let lines = crate::table::lines(rows);
                table.rows = table.rows.map(|rows| rows + lines);
            }
            (Piece::End, _) => tables.extend(open.take().map(|(table, hash)| Table {
                sha256: hex(&hash.finalize()),
                ..table
            })),
            (Piece::Statement(_) | Piece::Rows(_), _) => {}
        }
    }
    let [server, pg_dump] = script.versions().map(|version| version.map(str::to_owned));
    Ok(Scan {
        server,
        pg_dump,
        tables,
        has_key: script.has_key(),
        bytes: script.bytes(),
    })
}

#[cfg(test)]
mod tests;
