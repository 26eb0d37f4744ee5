//! stdout: records in the form that was asked for, or bytes as they are. What is printed never depends on the terminal, only how.

mod cell;
mod table;

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;

use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::check::{self, Check};
use crate::exit::{Failure, Status};
use crate::report::printable;
use crate::streams;
use table::Table;

/// A form of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns with a header: the default on a terminal
    Text,
    /// TAB-separated without header: the default in a pipe
    Tsv,
    /// One JSON object per line
    Json,
    /// Comma-separated with a header (RFC 4180)
    Csv,
    /// The line and the status of a monitoring plugin (verbs that judge)
    Nagios,
    /// For the textfile collector of node_exporter (verbs that judge)
    Prom,
}

/// One line of output: a struct whose fields have machine values, and the columns that the forms other than JSON show.
///
/// A column's name carries its unit: `_bytes`, `_s` (seconds), `at` or `_at` (RFC 3339 in UTC); a terminal shows those as
/// people read them.
pub trait Record: Serialize {
    /// The columns in their order, each a field of the struct.
    const COLUMNS: &'static [&'static str];
}

/// Printing failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// stdout could not be written.
    #[error("cannot write to stdout")]
    Write(#[source] io::Error),
    /// The records are not findings, so they have no such form.
    #[error("'--format {0}' is only for verbs that judge")]
    Format(&'static str),
}

impl Failure for Error {
    fn status(&self) -> Status {
        match self {
            Self::Write(error) => Status::of_io(error),
            Self::Format(_) => Status::Usage,
        }
    }
}

/// The stdout of one run.
#[derive(Debug)]
pub struct Output {
    tool: &'static str,
    format: Format,
    color: bool,
    several_hosts: bool,
    is_terminal: bool,
    out: BufWriter<File>,
    table: Table,
}

impl Output {
    /// Opens stdout for records; without a `format`, the one that fits a terminal or a pipe.
    pub fn new(tool: &'static str, format: Option<Format>, color: bool) -> Result<Self, Error> {
        let is_terminal = io::stdout().is_terminal();
        let default = if is_terminal {
            Format::Text
        } else {
            Format::Tsv
        };
        let format = format.unwrap_or(default);
        Ok(Self {
            tool,
            format,
            color,
            several_hosts: false,
            is_terminal,
            out: BufWriter::new(raw()?),
            table: Table::default(),
        })
    }

    /// Says that records of several hosts will come, so that TSV needs the host as its first column.
    pub fn several_hosts(&mut self) {
        self.several_hosts = true;
    }

    /// The form in use.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Prints one record about `host`.
    pub fn record<R: Record>(&mut self, host: &str, record: &R) -> Result<(), Error> {
        let fields = fields(record);
        let with_host = self.several_hosts && !R::COLUMNS.contains(&"host");
        let columns = with_host
            .then_some("host")
            .into_iter()
            .chain(R::COLUMNS.iter().copied());
        let value = |column: &str| match (column, fields.get(column)) {
            ("host", None) => Value::from(host),
            (_, value) => value.cloned().unwrap_or(Value::Null),
        };
        match self.format {
            Format::Text => {
                let row = columns.map(|column| (column, value(column))).collect();
                self.table.push(row);
                Ok(())
            }
            Format::Tsv => {
                let cells: Vec<_> = columns.map(|column| cell::tsv(&value(column))).collect();
                self.line(&cells.join("\t"))
            }
            Format::Csv => {
                if self.table.header_due() {
                    let header: Vec<_> = columns.clone().map(cell::csv_text).collect();
                    self.line(&header.join(","))?;
                }
                let cells: Vec<_> = columns.map(|column| cell::csv(&value(column))).collect();
                self.line(&cells.join(","))
            }
            Format::Json => self.line(&json_line(host, fields)),
            Format::Nagios => Err(Error::Format("nagios")),
            Format::Prom => Err(Error::Format("prom")),
        }
    }

    /// Prints the findings of one look, and says what they come to: with `--format nagios` in the numbers of that table.
    pub fn checks(&mut self, checks: &[Check]) -> Result<Status, Error> {
        let verdict = check::verdict(checks);
        match self.format {
            Format::Nagios => {
                let (line, status) = check::nagios(self.tool, checks);
                self.line(&line)?;
                return Ok(Status::Foreign(status));
            }
            Format::Prom => self.write(check::prometheus(checks).as_bytes())?,
            _ => {
                for check in checks {
                    self.record(&check.host, check)?;
                }
            }
        }
        Ok(verdict)
    }

    /// Prints a line of data that has one form only.
    pub fn line(&mut self, line: &str) -> Result<(), Error> {
        if self.is_terminal && self.format == Format::Json {
            self.write(cell::json_for_terminal(line).as_bytes())?;
        } else if self.is_terminal {
            self.write(printable(line).as_bytes())?;
        } else {
            self.write(line.as_bytes())?;
        }
        self.write(b"\n")
    }

    /// Prints bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.out.write_all(bytes).map_err(Error::Write)
    }

    /// stdout as a stream of bytes, for what passes unchanged. The caller flushes it.
    pub fn bytes(&mut self) -> &mut (impl Write + use<>) {
        &mut self.out
    }

    /// Prints what is still held back and makes sure that it has left: a run that cannot has not succeeded.
    pub fn finish(&mut self) -> Result<(), Error> {
        let table = std::mem::take(&mut self.table);
        let text = table.render(self.color);
        self.write(text.as_bytes())?;
        self.out.flush().map_err(Error::Write)
    }
}

/// stdout without the line buffering of the standard library.
fn raw() -> Result<File, Error> {
    streams::stdout().map_err(Error::Write)?;
    let fd = io::stdout()
        .as_fd()
        .try_clone_to_owned()
        .map_err(Error::Write)?;
    Ok(File::from(fd))
}

/// Prints `text` in one go, for help and version.
pub fn print(text: &str) -> Result<(), Error> {
    raw()?.write_all(text.as_bytes()).map_err(Error::Write)
}

fn fields<R: Record>(record: &R) -> Map<String, Value> {
    match serde_json::to_value(record) {
        Ok(Value::Object(fields)) => fields,
        other => unreachable!("a record is a struct with named fields, not {other:?}"),
    }
}

/// One JSON object: the record's own fields, with `host` first unless the record says where it belongs.
fn json_line(host: &str, fields: Map<String, Value>) -> String {
    if fields.contains_key("host") {
        return Value::Object(fields).to_string();
    }
    let mut all = Map::with_capacity(fields.len() + 1);
    all.insert("host".to_owned(), host.into());
    all.extend(fields);
    Value::Object(all).to_string()
}
