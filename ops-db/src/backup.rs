//! `backup`: a dump to stdout or to a file, and backups that prove themselves.
//!
//! The order of finishing is what matters: `pg_dump` has ended with 0 and the parse has found the end of its dump; then
//! comes the seal, then age's last chunk, then fsync, then the manifest beside, then the name. A run that stops anywhere
//! before leaves no name, so there is nothing that could pass for a backup.

mod streams;

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use ops_common::atomic::AtomicFile;
use ops_common::host::Command;
use ops_common::span::Span;

use crate::draft::Draft;
use crate::dump::{Dump, Scan};
use crate::error::Error;
use crate::hooks::Hooks;
use crate::manifest::{File, Kind, LargeObjects, Manifest};
use crate::mark::{self, Mark};
use crate::origin::Origin;
use crate::reach::Server;
use crate::seal::{Sealer, Summed};
use crate::server::Session;
use crate::source::Format;
use crate::{archive, catalogue, count, hex, keys};

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
        seen: &|_| (),
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
    let bar = server.report().progress(database, None);
    let dump = Dump {
        server,
        database,
        format: Format::Plain,
        lock_wait,
        flags: Vec::new(),
        seen: &|bytes| bar.inc(bytes),
    };
    let written = dump.write(&mut file, failed);
    bar.finish_and_clear();
    written?;
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
    /// Take it in this many streams, into a directory; none for one stream into one file.
    pub streams: Option<usize>,
    /// What to run around it.
    pub hooks: Hooks,
}

/// Takes a backup of one database into `folder`; its file. That it has begun, or failed, is noted there too, for `prune`.
pub fn to_folder(
    server: &Server<'_>,
    database: &str,
    folder: &Path,
    options: &Options,
) -> Result<PathBuf, Error> {
    let mut mark = Mark::new(
        database,
        Origin {
            host: server.host().name().to_owned(),
            ..Origin::default()
        },
    );
    let mut was_marked = mark.path(folder).exists();
    mark.save(folder);
    let taken = server.origin().and_then(|origin| {
        was_marked |= mark.is_known_as(origin, folder);
        take(server, database, folder, options)
    });
    match &taken {
        Ok(_) => mark::clear(folder, &mark),
        // The one that runs will say how it ended.
        Err(Error::Locked { .. }) if was_marked => {}
        Err(Error::Locked { .. }) => drop(std::fs::remove_file(mark.path(folder))),
        Err(error) => {
            mark.at = Timestamp::now();
            let told = ops_common::exit::describe(error);
            mark.reason = Some(told.clone());
            mark.save(folder);
            if let Err(hook) = options.hooks.failed(database, &told) {
                server.report().warn(hook);
            }
        }
    }
    let path = taken?;
    options.hooks.after(database, &path)?;
    Ok(path)
}

fn take(
    server: &Server<'_>,
    database: &str,
    folder: &Path,
    options: &Options,
) -> Result<PathBuf, Error> {
    let session = server.steady(database)?;
    // What we ask ourselves waits behind a lock no longer than pg_dump does.
    let limit = options.lock_wait.duration().as_millis();
    session.execute(&format!("SET lock_timeout = {limit}"))?;
    lock(&session, database)?;
    options.hooks.before(database)?;
    let mut manifest = begin(server, &session, database)?;
    manifest.globals = globals(server)?;
    manifest.recipients.clone_from(&options.recipients);
    // The last one tells how large this one will be.
    let expected = catalogue::last_size(folder, database);
    let bar = server.report().progress(database, expected);
    let dump = Dump {
        server,
        database,
        format: Format::Archive,
        lock_wait: options.lock_wait,
        flags: flags(&session, &manifest)?,
        seen: &|bytes| bar.inc(bytes),
    };
    manifest.command = dump.command();
    let taken = match options.streams {
        None => to_one_file(&session, &dump, folder, options, manifest),
        Some(streams) => streams::take(&session, &dump, folder, options, manifest, streams),
    };
    bar.finish_and_clear();
    taken
}

/// The snapshot, and names as we read them. An encoding that is none, or that nothing is known of, stays as it is.
fn flags(session: &Session, manifest: &Manifest) -> Result<Vec<String>, Error> {
    let snapshot = manifest.snapshot.iter();
    let mut flags: Vec<_> = snapshot
        .map(|snapshot| format!("--snapshot={snapshot}"))
        .collect();
    let encoding = session.value("SHOW server_encoding")?;
    if !matches!(encoding.as_str(), "UTF8" | "SQL_ASCII" | "MULE_INTERNAL") {
        flags.push("--encoding=UTF8".to_owned());
    }
    Ok(flags)
}

fn to_one_file(
    session: &Session,
    dump: &Dump<'_>,
    folder: &Path,
    options: &Options,
    mut manifest: Manifest,
) -> Result<PathBuf, Error> {
    let draft = Draft::create(folder, &manifest)?;
    let path = draft.path().to_owned();
    let (sealer, scan) = stream(dump, draft, &path, &options.recipients)?;
    note(&mut manifest, &scan);
    options.examine(session, &mut manifest)?;
    let (draft, file) = sealer
        .finish(&manifest)
        .and_then(whole)
        .map_err(|source| Error::Save { path, source })?;
    manifest.file = Some(file);
    manifest.note_parse();
    draft.commit(&manifest)
}

/// Compresses and encrypts on the way to a file.
type Stream<W> = Sealer<Summed<BufWriter<W>>>;

/// Passes a dump on to `output`, up to, but without, the seal.
fn stream<W: Write>(
    dump: &Dump<'_>,
    output: W,
    path: &Path,
    recipients: &[String],
) -> Result<(Stream<W>, archive::Scan), Error> {
    let failed = |source| Error::Save {
        path: path.to_owned(),
        source,
    };
    let output = Summed::new(BufWriter::with_capacity(256 << 10, output));
    let mut sealer = Sealer::new(output, &keys::recipients(recipients)?).map_err(failed)?;
    let Scan::Archive(scan) = dump.write(&mut sealer, failed)? else {
        unreachable!("the format was asked for")
    };
    Ok((sealer, scan))
}

/// A file that has been written to its end, and what it is then.
fn whole<W: Write>(file: Summed<BufWriter<W>>) -> io::Result<(W, File)> {
    let (buffered, bytes, sum) = file.finish();
    let file = File {
        bytes,
        sha256: hex::hex(&sum),
    };
    Ok((
        buffered
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?,
        file,
    ))
}

impl Options {
    /// Asks the database what the stream should have held, if that is wanted.
    fn examine(&self, session: &Session, manifest: &mut Manifest) -> Result<(), Error> {
        if self.count || self.checksum {
            let database = manifest.database.clone();
            count::examine(session, &database, self.checksum, &mut manifest.tables)?;
        }
        Ok(())
    }
}

/// Adds what the parse of a stream has found.
fn note(manifest: &mut Manifest, scan: &archive::Scan) {
    manifest.finished_at = Timestamp::now();
    manifest.raw_bytes += scan.bytes;
    manifest.pg_dump_version.clone_from(&scan.header.pg_dump);
    manifest.tables.extend_from_slice(&scan.tables);
    if scan.large_objects.count > 0 {
        manifest.large_objects = LargeObjects {
            count: scan.large_objects.count,
            bytes: scan.large_objects.bytes,
            sha256: scan.large_objects.sha256().to_owned(),
        };
    }
}

/// Roles, memberships and tablespaces. Passwords are left out: a manifest is not encrypted.
fn globals(server: &Server<'_>) -> Result<String, Error> {
    let command = Command::new("pg_dumpall").args(["--globals-only", "--no-role-passwords"]);
    let command = command.args(server.address("postgres"));
    let mut text = Vec::new();
    let ended = server
        .host()
        .stream(&command.as_user(server.user()), &mut text)?;
    if !ended.success() {
        return Err(server.failed("pg_dumpall", &ended));
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
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
    session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
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
        origin: server.origin()?,
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

/// The databases of a server that can be backed up, without those that are not wanted. The limit -2 marks what is left of one
/// whose removal was interrupted.
pub fn all(server: &Server<'_>, exclude: &[String]) -> Result<Vec<String>, Error> {
    let session = server.session("postgres")?;
    let rows = session.rows(
        "SELECT datname FROM pg_database WHERE datallowconn AND datconnlimit <> -2 AND NOT datistemplate ORDER BY datname",
    )?;
    Ok(rows
        .into_iter()
        .flatten()
        .flatten()
        .filter(|name| !exclude.contains(name))
        .collect())
}
