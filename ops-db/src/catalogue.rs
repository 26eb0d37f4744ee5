//! The catalogue of backups: the files themselves, and the manifests beside them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use ops_common::output::Record;
use serde::Serialize;

use crate::error::Error;
use crate::manifest::{self, Manifest, PARTS, SUFFIX};
use crate::origin::Origin;
use crate::{archive, parts, plain, seal};

/// One file of a folder of backups.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Backup {
    /// The file.
    pub file: PathBuf,
    /// Of which database.
    pub database: Option<String>,
    /// When its snapshot was taken.
    pub at: Option<Timestamp>,
    /// Its size on disk.
    pub size_bytes: u64,
    /// What it is worth.
    pub state: State,
    /// When it was last seen to be whole.
    pub verified_at: Option<Timestamp>,
    /// The machine it was taken from.
    pub origin: Option<String>,
    /// The same with the name by which it was asked.
    #[serde(skip)]
    pub from: Option<Origin>,
    /// When it was last restored.
    #[serde(skip)]
    pub drilled_at: Option<Timestamp>,
}

impl Record for Backup {
    const COLUMNS: &'static [&'static str] = &[
        "file",
        "database",
        "at",
        "size_bytes",
        "state",
        "verified_at",
        "origin",
    ];
}

/// What a file is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Whole, by its manifest.
    Ok,
    /// Without an end mark, or left by a run that died.
    Partial,
    /// The last look at it found damage.
    Damaged,
    /// Without a manifest beside it.
    Unverified,
}

/// Files of these endings are backups; `.tmp` is what a dead run leaves, and so is a manifest without its backup.
const ENDINGS: [&str; 6] = [".zst", ".age", ".dump", ".sql", ".pgdump", ".tmp"];

/// Directories of these endings are.
const FOLDERS: [&str; 2] = [".parts", ".tmp"];

/// The backups in a folder, oldest first.
pub fn read(folder: &Path) -> Result<Vec<Backup>, Error> {
    let failed = |source| Error::Read {
        path: folder.to_owned(),
        source,
    };
    let mut backups = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        match backup(&path) {
            Ok(backup) => backups.extend(backup),
            // Somebody has just removed it.
            Err(Error::Read { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    backups.sort_by(|one, other| (one.at, &one.file).cmp(&(other.at, &other.file)));
    Ok(backups)
}

/// What one name of a folder is; nothing if it is no backup and no rest of one.
fn backup(path: &Path) -> Result<Option<Backup>, Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let endings: &[&str] = if path.is_dir() { &FOLDERS } else { &ENDINGS };
    let is_backup = endings.iter().any(|ending| name.ends_with(ending));
    let is_orphan = name
        .strip_suffix(SUFFIX)
        .is_some_and(|backup| !path.with_file_name(backup).exists());
    if !is_backup && !is_orphan {
        return Ok(None);
    }
    let size_bytes = size(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let (state, manifest) = if is_orphan {
        (State::Partial, manifest::read(path).ok().flatten())
    } else if name.ends_with(".tmp") {
        (State::Partial, None)
    } else {
        judged(path, size_bytes)?
    };
    let mut backup = Backup {
        file: path.to_owned(),
        database: None,
        at: None,
        size_bytes,
        state,
        verified_at: None,
        origin: None,
        from: None,
        drilled_at: None,
    };
    if let Some(manifest) = manifest {
        (backup.verified_at, backup.drilled_at) = (manifest.verified_at(), manifest.drilled_at());
        (backup.database, backup.at) = (Some(manifest.database), Some(manifest.at));
        backup.origin = Some(manifest.origin.name().to_owned());
        backup.from = Some(manifest.origin);
    } else if state == State::Unverified && path.is_file() {
        // The head of an archive has no zone to its time, so only the name can be told.
        let head = File::open(path).ok().map(BufReader::new);
        backup.database = head.and_then(archive::peek).map(|head| head.database);
    }
    Ok(Some(backup))
}

/// What a backup of this size is worth, and what is known of it.
fn judged(path: &Path, size_bytes: u64) -> Result<(State, Option<Manifest>), Error> {
    let seal = seal_of(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let beside = match manifest::load(path) {
        Ok(beside) => beside,
        Err(Error::Damaged { .. }) => return Ok((State::Damaged, seal.manifest())),
        Err(error) => return Err(error),
    };
    let Some(beside) = beside else {
        let state = match seal {
            Seal::Missing => State::Partial,
            Seal::Closed | Seal::Open(_) => State::Unverified,
        };
        return Ok((state, seal.manifest()));
    };
    let state = match (state(&beside, size_bytes), &seal) {
        // What is beside is of another backup, or what is inside has been changed.
        (_, Seal::Open(inside)) if !inside.is_of_the_same(&beside) => State::Damaged,
        (State::Ok, Seal::Missing) => State::Damaged,
        (state, _) => state,
    };
    Ok((state, Some(beside)))
}

/// What the end of a file says, without reading the rest.
enum Seal {
    /// Nothing without a key, or nothing since files of this kind have no seal.
    Closed,
    /// There is none where one should be.
    Missing,
    /// The manifest inside.
    Open(Box<Manifest>),
}

impl Seal {
    fn manifest(self) -> Option<Manifest> {
        match self {
            Self::Open(manifest) => Some(*manifest),
            Self::Closed | Self::Missing => None,
        }
    }
}

fn seal_of(path: &Path) -> std::io::Result<Seal> {
    let open = |found: Option<Manifest>| {
        found.map_or(Seal::Missing, |manifest| Seal::Open(Box::new(manifest)))
    };
    let ends_in = |path: &Path, ending| path.extension().is_some_and(|found| found == ending);
    if ends_in(path, "zst") {
        return seal::peek(&mut File::open(path)?).map(open);
    }
    if ends_in(path, "sql") && !plain::has_trailer(&mut File::open(path)?)? {
        return Ok(Seal::Missing);
    }
    if !ends_in(path, PARTS) {
        return Ok(Seal::Closed);
    }
    Ok(match parts::files(path) {
        Ok(files) if files.iter().any(|file| ends_in(file, "age")) => Seal::Closed,
        Ok(_) => open(parts::peek(path)),
        Err(_) => Seal::Missing,
    })
}

/// The size of a file, or of all files in a directory.
fn size(path: &Path) -> std::io::Result<u64> {
    if !path.is_dir() {
        return Ok(std::fs::metadata(path)?.len());
    }
    std::fs::read_dir(path)?
        .map(|entry| Ok(entry?.metadata()?.len()))
        .sum()
}

/// What the manifest beside a file of this size says it is worth.
fn state(manifest: &Manifest, size_bytes: u64) -> State {
    match &manifest.file {
        _ if manifest.damage().is_some() => State::Damaged,
        Some(file) if size_bytes < file.bytes => State::Partial,
        Some(file) if size_bytes == file.bytes && manifest.verified_at().is_some() => State::Ok,
        Some(_) => State::Damaged,
        None => State::Unverified,
    }
}

/// Clocks of two machines may be so far apart.
pub const ASTRAY: SignedDuration = SignedDuration::from_mins(10);

/// The newest moment of the whole backups of each database of one host. One that is yet to come was taken by a clock that
/// went wrong, and says nothing.
#[must_use]
pub fn newest(
    backups: &[Backup],
    origin: &Origin,
    moment: impl Fn(&Backup) -> Option<Timestamp>,
) -> BTreeMap<String, Timestamp> {
    let mut newest = BTreeMap::new();
    let last = Timestamp::now() + ASTRAY;
    for backup in backups {
        let is_good =
            backup.state == State::Ok && backup.from.as_ref().is_some_and(|from| from.is(origin));
        let moment = moment(backup).filter(|at| *at <= last);
        if let (true, Some(name), Some(at)) = (is_good, &backup.database, moment) {
            let known = newest.entry(name.clone()).or_insert(at);
            *known = at.max(*known);
        }
    }
    newest
}

/// How large the dump in the newest good backup of a database is, for estimates.
#[must_use]
pub fn last_size(folder: &Path, database: &str) -> Option<u64> {
    let backups = read(folder).ok()?;
    let is_it = |backup: &&Backup| {
        backup.state == State::Ok && backup.database.as_deref() == Some(database)
    };
    let last = backups.iter().rev().find(is_it)?;
    Some(manifest::load(&last.file).ok()??.raw_bytes)
}
