//! Input that is a path, or `-` for stdin.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::exit::{Failure, Status};
use crate::streams;

/// Reading an input failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot read '{}'", name.display())]
pub struct Error {
    name: PathBuf,
    source: io::Error,
}

impl Error {
    /// The failure to read the input that was given as `name`.
    #[must_use]
    pub fn new(name: impl Into<PathBuf>, source: io::Error) -> Self {
        Self {
            name: name.into(),
            source,
        }
    }
}

impl Failure for Error {
    fn status(&self) -> Status {
        match self.source.kind() {
            io::ErrorKind::InvalidData => Status::BadInput,
            _ => Status::of_io(&self.source),
        }
    }
}

/// Opens a path, or stdin for `-`.
pub fn open(name: &OsStr) -> Result<Box<dyn Read + Send>, Error> {
    if name == "-" {
        return Ok(Box::new(stdin()?));
    }
    let file = File::open(name).and_then(|file| {
        if file.metadata()?.is_dir() {
            Err(io::ErrorKind::IsADirectory.into())
        } else {
            Ok(file)
        }
    });
    Ok(Box::new(file.map_err(|source| Error::new(name, source))?))
}

fn stdin() -> Result<io::Stdin, Error> {
    streams::stdin().map_err(|source| Error::new("-", source))?;
    Ok(io::stdin())
}

/// Reads all of a path, or of stdin for `-`.
pub fn read(name: &OsStr) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    open(name)?
        .read_to_end(&mut content)
        .map_err(|source| Error::new(name, source))?;
    Ok(content)
}

/// Replaces each `-` among the names of a command line by the lines of stdin. Empty lines count for nothing.
pub fn names(given: &[OsString]) -> Result<Vec<OsString>, Error> {
    let mut names = Vec::with_capacity(given.len());
    for name in given {
        if name != "-" {
            names.push(name.clone());
            continue;
        }
        for line in BufReader::new(stdin()?).split(b'\n') {
            let mut line = line.map_err(|source| Error::new("-", source))?;
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            if !line.is_empty() {
                names.push(OsString::from_vec(line));
            }
        }
    }
    Ok(names)
}
