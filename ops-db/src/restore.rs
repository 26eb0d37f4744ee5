//! `restore`: into a new database, checked, and only then put in the place of the old one.
//!
//! The stream is examined while the database is filled from it. Nothing has its final name before the stream has proven to
//! be whole, `pg_restore` has ended with 0 and the rows have been counted. psql is never used: it runs commands that a dump
//! can hide, and it takes a truncated dump for a whole one.

mod pending;

use std::io::{self, BufReader, Read, Write};

use jiff::Timestamp;
use ops_common::host::{Command, Process};
use ops_common::output::Record;
use serde::Serialize;

use self::pending::Pending;
use crate::archive;
use crate::backup::count;
use crate::error::{Error, of_reading};
use crate::manifest::Manifest;
use crate::plain::{self, Piece, Script};
use crate::reach::Server;
use crate::server::Session;
use crate::source::{Format, Source};
use crate::table::Table;
use crate::tee::{Broken, tee};

/// What is restored, and how.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// These tables only.
    pub tables: Vec<String>,
    /// These schemas only.
    pub schemas: Vec<String>,
    /// Statements to run in the new database before anybody can use it.
    pub before_swap: Option<String>,
    /// Replace a database that exists.
    pub replace: bool,
}

impl Options {
    fn is_part(&self) -> bool {
        !self.tables.is_empty() || !self.schemas.is_empty()
    }

    fn wants(&self, table: &Table) -> bool {
        let is_wanted =
            |wanted: &[String], name: &String| wanted.is_empty() || wanted.contains(name);
        is_wanted(&self.tables, &table.name) && is_wanted(&self.schemas, &table.schema)
    }
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// The database.
    pub database: String,
    /// The name under which the old one is kept.
    pub kept_as: Option<String>,
    /// Tables with data.
    pub tables: usize,
    /// Their rows.
    pub rows: u64,
}

impl Record for Restored {
    const COLUMNS: &'static [&'static str] = &["database", "kept_as", "tables", "rows"];
}

/// Whether a database is there.
pub fn exists(server: &Server<'_>, database: &str) -> Result<bool, Error> {
    let name = postgres_protocol::escape::escape_literal(database);
    Ok(!server
        .session("postgres")?
        .rows(&format!("SELECT 1 FROM pg_database WHERE datname = {name}"))?
        .is_empty())
}

/// Restores `source`, which messages call `name`, as `database`.
pub fn run(
    server: &Server<'_>,
    name: &str,
    source: Source,
    database: &str,
    options: &Options,
) -> Result<Restored, Error> {
    if !options.replace && exists(server, database)? {
        return Err(Error::Unconfirmed(database.to_owned()));
    }
    let stamp = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let pending = Pending::create(server, database, &stamp)?;
    let new = pending.name();
    let restored = fill(server, name, source, new, options).and_then(|filled| {
        if let Some(sql) = &options.before_swap {
            server.session(new)?.execute(sql)?;
        }
        let kept_as = pending.swap(database, &format!("_replaced_{stamp}"))?;
        let rows = filled.tables.iter().filter_map(|table| table.rows).sum();
        Ok(Restored {
            database: database.to_owned(),
            kept_as,
            tables: filled.tables.len(),
            rows,
        })
    });
    if restored.is_err() {
        pending.remove();
    }
    restored
}

/// What a database was filled with.
pub struct Filled {
    /// The tables that came.
    pub tables: Vec<Table>,
    /// The manifest inside, of a sealed backup.
    pub manifest: Option<Manifest>,
}

/// Fills an empty database, and proves that all of it has come.
pub fn fill(
    server: &Server<'_>,
    name: &str,
    mut source: Source,
    database: &str,
    options: &Options,
) -> Result<Filled, Error> {
    let manifest = source.manifest();
    let tables = match source.format {
        Format::Archive => from_archive(server, name, &mut source.dump, database, options)?,
        Format::Plain if options.is_part() => {
            return Err(Error::Usage(
                "a part can only be restored of an archive, not of plain SQL".to_owned(),
            ));
        }
        Format::Plain => from_script(server, name, &mut source.dump, database)?,
    };
    // The seal comes after the dump: reading on to the end is what checks it.
    io::copy(&mut source.dump, &mut io::sink()).map_err(|error| of_reading(name, error))?;
    let tables: Vec<Table> = tables
        .into_iter()
        .filter(|table| options.wants(table))
        .collect();
    compare(&server.session(database)?, database, &tables)?;
    Ok(Filled {
        tables,
        manifest: manifest(),
    })
}

fn from_archive(
    server: &Server<'_>,
    name: &str,
    dump: &mut dyn Read,
    database: &str,
    options: &Options,
) -> Result<Vec<Table>, Error> {
    let tables = options
        .tables
        .iter()
        .map(|table| format!("--table={table}"));
    let schemas = options
        .schemas
        .iter()
        .map(|schema| format!("--schema={schema}"));
    let command = Command::new("pg_restore")
        .arg("--exit-on-error")
        .args(tables.chain(schemas))
        .args(server.address(database));
    let Process {
        mut stdin,
        stdout,
        running,
    } = server.host().spawn(&command.as_user(server.user()))?;
    let (copied, scan) = tee(dump, &mut stdin, archive::scan);
    let is_closed = stdin.flush().is_ok();
    drop((stdin, stdout));
    if let Err(Broken::Source(error)) = copied {
        drop(running);
        return Err(of_reading(name, error));
    }
    let ended = running.wait()?;
    let refused = !ended.success() || matches!(copied, Err(Broken::Sink(_))) || !is_closed;
    let scan = match scan {
        // A reader that was given up on says nothing about the archive.
        Err(damage) if copied.is_ok() => {
            return Err(Error::Damaged {
                name: name.to_owned(),
                damage: damage.to_string(),
            });
        }
        scan => scan,
    };
    if refused {
        return Err(server.failed("pg_restore", &ended));
    }
    scan.map(|scan| scan.tables)
        .map_err(|damage| Error::Damaged {
            name: name.to_owned(),
            damage: damage.to_string(),
        })
}

fn from_script(
    server: &Server<'_>,
    name: &str,
    dump: &mut dyn Read,
    database: &str,
) -> Result<Vec<Table>, Error> {
    let damaged = |damage: plain::Damage| match damage {
        plain::Damage::Read(error) => of_reading(name, error),
        damage => Error::Damaged {
            name: name.to_owned(),
            damage: damage.to_string(),
        },
    };
    let session = server.session(database)?;
    let mut script = Script::new(BufReader::with_capacity(256 << 10, dump));
    let mut tables = Vec::new();
    while let Some(piece) = script.next_piece().map_err(damaged)? {
        match piece {
            Piece::Statement(statement) => session.execute(statement)?,
            Piece::Copy(statement) => {
                let statement = statement.to_owned();
                let (schema, table) = statement
                    .strip_prefix("COPY ")
                    .and_then(crate::sql::qualified_name)
                    .unwrap_or_default();
                let mut rows = 0;
                session.copy_in(statement.trim_end_matches(';'), &mut || match script
                    .next_piece()
                    .map_err(damaged)?
                {
                    Some(Piece::Rows(piece)) => {
                        rows += crate::table::lines(piece);
                        Ok(Some(piece.to_vec()))
                    }
                    _ => Ok(None),
                })?;
                tables.push(Table {
                    schema,
                    name: table,
                    rows: Some(rows),
                    ..Table::default()
                });
            }
            Piece::Rows(_) | Piece::End => {}
        }
    }
    Ok(tables)
}

/// Counts the rows of what has been filled.
fn compare(session: &Session, database: &str, tables: &[Table]) -> Result<(), Error> {
    for table in tables {
        let (counted, _) = count(session, table, false)?;
        if let Some(rows) = table.rows.filter(|rows| *rows != counted) {
            let difference = format!(
                "table '{}.{}' has {counted} rows of {rows}",
                table.schema, table.name
            );
            return Err(Error::Different {
                database: database.to_owned(),
                difference,
            });
        }
    }
    Ok(())
}
