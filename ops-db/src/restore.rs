//! `restore`: into a new database, checked, and only then put in the place of the old one.
//!
//! The stream is examined while the database is filled from it. Nothing has its final name before the stream has proven to
//! be whole, `pg_restore` has ended with 0 and the rows have been counted. psql is never used: it runs commands that a dump
//! can hide, and it takes a truncated dump for a whole one.

mod fill;
mod nature;
mod pending;
mod roles;
mod told;

use jiff::Timestamp;
use ops_common::output::Record;
use serde::Serialize;

pub use self::fill::{Filled, fill};
use self::pending::Pending;
pub use self::roles::roles;
pub use self::told::create_alike;
use crate::error::Error;
use crate::reach::Server;
use crate::source::Opened;
use crate::table::Table;

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
    /// Put everything where the database is, whatever tablespaces the backup speaks of.
    pub without_tablespaces: bool,
    /// How many processes restore at once.
    pub jobs: usize,
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

/// Restores `backup` as `database`.
pub fn run(
    server: &Server<'_>,
    mut backup: Opened,
    database: &str,
    options: &Options,
) -> Result<Restored, Error> {
    if !options.replace && exists(server, database)? {
        return Err(Error::Unconfirmed(database.to_owned()));
    }
    let stamp = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let pending = Pending::create(server, database, &mut backup, &stamp)?;
    let new = pending.name();
    let restored = fill(server, backup, new, options).and_then(|filled| {
        if let Some(sql) = &options.before_swap {
            server.patient(new)?.execute(sql)?;
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
