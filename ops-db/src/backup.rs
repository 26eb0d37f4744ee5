//! `backup`: a dump to stdout or to a file, and backups that prove themselves.
//!
//! The order of finishing is what matters: `pg_dump` has ended with 0 and the parse has found the end of its dump; then
//! comes the seal, then age's last chunk, then fsync, then the manifest beside, then the name. A run that stops anywhere
//! before leaves no name, so there is nothing that could pass for a backup.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use ops_common::atomic::AtomicFile;
use ops_common::span::Span;

use crate::draft::Draft;
use crate::dump::{Dump, Scan};
use crate::error::Error;
use crate::manifest::{File, Kind, LargeObjects, Manifest, Means, Proof};
use crate::reach::Server;
use crate::seal::{Sealer, Summed};
use crate::server::Session;
use crate::source::Format;
use crate::sql::quote_name;
use crate::table::Table;
use crate::{archive, catalogue, hex, keys};

/// Writes a bare dump to `output`.
pub fn to_stream(
    server: &Server<'_>,
    database: &str,
    format: Format,
    lock_wait: Span,
    output: &mut dyn Write,
) -> Result<(), Error> {
    let dump = Dump {
        server,
        database,
        format,
        lock_wait,
        flags: Vec::new(),
    };
    dump.write(output, Error::Write)?;
    output.flush().map_err(Error::Write)
}

/// Writes plain SQL to a file, whole or not at all.
pub fn to_file(
    server: &Server<'_>,
    database: &str,
    path: &Path,
    lock_wait: Span,
) -> Result<(), Error> {
    let failed = |source| Error::Save {
        path: path.to_owned(),
        source,
    };
    let mut file = BufWriter::new(AtomicFile::create(path, 0o600)?);
    let dump = Dump {
        server,
        database,
        format: Format::Plain,
        lock_wait,
        flags: Vec::new(),
    };
    dump.write(&mut file, failed)?;
    let file = file
        .into_inner()
        .map_err(|error| failed(error.into_error()))?;
    Ok(file.commit()?)
}

/// How a backup that proves itself is made.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Who can read it.
    pub recipients: Vec<String>,
    /// Count the rows under the same snapshot.
    pub count: bool,
    /// Sum the rows under the same snapshot.
    pub checksum: bool,
    /// How long it may wait behind somebody's lock.
    pub lock_wait: Span,
}

/// Takes a backup of one database into `folder`; its file. That it failed is noted there too, for `prune`.
pub fn to_folder(
    server: &Server<'_>,
    database: &str,
    folder: &Path,
    options: &Options,
) -> Result<PathBuf, Error> {
    let mark = catalogue::failure_mark(folder, database);
    match take(server, database, folder, options) {
        Ok(path) => {
            drop(std::fs::remove_file(mark));
            Ok(path)
        }
        // The one that runs will say how it ended.
        Err(error @ Error::Locked { .. }) => Err(error),
        Err(error) => {
            let told = ops_common::exit::describe(&error);
            drop(ops_common::atomic::write(&mark, told.as_bytes(), 0o600));
            Err(error)
        }
    }
}

fn take(
    server: &Server<'_>,
    database: &str,
    folder: &Path,
    options: &Options,
) -> Result<PathBuf, Error> {
    let session = server.session(database)?;
    lock(&session, database)?;
    let mut manifest = begin(server, &session, database)?;
    let dump = Dump {
        server,
        database,
        format: Format::Archive,
        lock_wait: options.lock_wait,
        flags: manifest
            .snapshot
            .iter()
            .map(|snapshot| format!("--snapshot={snapshot}"))
            .collect(),
    };
    manifest.command = dump.command();
    manifest.recipients.clone_from(&options.recipients);
    let draft = Draft::create(folder, &manifest)?;
    let path = draft.path().to_owned();
    let failed = |source| Error::Save {
        path: path.clone(),
        source,
    };
    let file = Summed::new(BufWriter::with_capacity(256 << 10, draft));
    let mut sealer = Sealer::new(file, &keys::recipients(&options.recipients)?).map_err(failed)?;
    let Scan::Archive(scan) = dump.write(&mut sealer, failed)? else {
        unreachable!("the format was asked for")
    };
    note(&mut manifest, scan);
    examine(&session, database, options, &mut manifest.tables)?;
    let file = sealer.finish(&manifest).map_err(failed)?;
    let (file, bytes, sum) = file.finish();
    let draft = file
        .into_inner()
        .map_err(|error| failed(error.into_error()))?;
    manifest.file = Some(File {
        bytes,
        sha256: hex::hex(&sum),
    });
    manifest.proofs.push(Proof {
        by: Means::Parse,
        at: manifest.finished_at,
        damage: None,
    });
    draft.commit(&manifest)
}

/// What the parse of the stream has found.
fn note(manifest: &mut Manifest, scan: archive::Scan) {
    manifest.finished_at = Timestamp::now();
    manifest.raw_bytes = scan.bytes;
    manifest.pg_dump_version = scan.header.pg_dump;
    manifest.large_objects = LargeObjects {
        count: scan.large_objects.count,
        bytes: scan.large_objects.bytes,
        sha256: scan.large_objects.sha256().to_owned(),
    };
    manifest.tables = scan.tables;
}

/// One backup of a database at a time, whichever machine it is taken from: the lock is the server's, and ends with us.
fn lock(session: &Session, database: &str) -> Result<(), Error> {
    match session
        .value("SELECT pg_try_advisory_lock(hashtext('ops-db'), hashtext('backup'))")?
        .as_str()
    {
        "t" => Ok(()),
        _ => Err(Error::Locked {
            database: database.to_owned(),
        }),
    }
}

/// Opens the snapshot that everything is read under, and notes what the server is.
fn begin(server: &Server<'_>, session: &Session, database: &str) -> Result<Manifest, Error> {
    session.execute("SET idle_in_transaction_session_timeout = 0; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
    let snapshot = session.value("SELECT pg_export_snapshot()")?;
    let at = Timestamp::now();
    let version = session.value("SHOW server_version")?;
    let settings = session.rows("SELECT name, setting FROM pg_settings WHERE source NOT IN ('default', 'override', 'client', 'session')")?;
    let settings: BTreeMap<String, String> = settings.into_iter().filter_map(pair).collect();
    let roles =
        session.rows("SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY rolname")?;
    Ok(Manifest {
        program: format!("ops-db {}", env!("CARGO_PKG_VERSION")),
        kind: Kind::Database,
        database: database.to_owned(),
        host: server.host().name().to_owned(),
        at,
        server_version: version,
        snapshot: Some(snapshot),
        settings,
        roles: roles.into_iter().flatten().flatten().collect(),
        ..Manifest::default()
    })
}

fn pair(row: Vec<Option<String>>) -> Option<(String, String)> {
    let mut row = row.into_iter().flatten();
    Some((row.next()?, row.next()?))
}

/// Asks the database under the same snapshot what the stream should have held.
fn examine(
    session: &Session,
    database: &str,
    options: &Options,
    tables: &mut [Table],
) -> Result<(), Error> {
    if !options.count && !options.checksum {
        return Ok(());
    }
    for table in tables {
        let (counted, checksum) = count(session, table, options.checksum)?;
        (table.counted, table.checksum) = (Some(counted), checksum);
        if table.rows.is_some_and(|rows| rows != counted) {
            let damage = format!(
                "table '{}.{}' came with {} rows of {counted}",
                table.schema,
                table.name,
                table.rows.unwrap_or(0)
            );
            return Err(Error::Damaged {
                name: database.to_owned(),
                damage,
            });
        }
    }
    Ok(())
}

/// The rows of a table and, if wanted, a sum over them that does not depend on their order.
pub(crate) fn count(
    session: &Session,
    table: &Table,
    checksum: bool,
) -> Result<(u64, Option<String>), Error> {
    let name = format!("{}.{}", quote_name(&table.schema), quote_name(&table.name));
    let sum = if checksum {
        "coalesce(sum(hashtext(x::text)::bigint), 0)"
    } else {
        "NULL"
    };
    let mut row = session
        .rows(&format!("SELECT count(*), {sum} FROM ONLY {name} AS x"))?
        .into_iter()
        .flatten();
    let counted = row
        .next()
        .flatten()
        .and_then(|count| count.parse().ok())
        .unwrap_or(0);
    Ok((counted, row.next().flatten()))
}

/// The databases of a server that can be backed up, without those that are not wanted.
pub fn all(server: &Server<'_>, exclude: &[String]) -> Result<Vec<String>, Error> {
    let session = server.session("postgres")?;
    let rows = session.rows(
        "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname",
    )?;
    Ok(rows
        .into_iter()
        .flatten()
        .flatten()
        .filter(|name| !exclude.contains(name))
        .collect())
}
