//! The catalogue of backups: the files themselves, and the manifests beside them.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use ops_common::output::Record;
use serde::Serialize;

use crate::error::Error;
use crate::manifest::{self, Manifest, PARTS};
use crate::{parts, seal};

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

/// Files of these endings are backups; `.tmp` is what a dead run leaves.
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
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let endings: &[&str] = if path.is_dir() { &FOLDERS } else { &ENDINGS };
        if endings.iter().any(|ending| name.ends_with(ending)) {
            backups.push(backup(&path)?);
        }
    }
    backups.sort_by(|one, other| (one.at, &one.file).cmp(&(other.at, &other.file)));
    Ok(backups)
}

fn backup(path: &Path) -> Result<Backup, Error> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let size_bytes = size(path).map_err(failed)?;
    let beside = manifest::load(path)?;
    let mut backup = Backup {
        file: path.to_owned(),
        database: None,
        at: None,
        size_bytes,
        state: State::Unverified,
        verified_at: None,
        drilled_at: None,
    };
    let ends_in = |ending| path.extension().is_some_and(|found| found == ending);
    if ends_in("tmp") {
        return Ok(Backup {
            state: State::Partial,
            ..backup
        });
    }
    let known = match beside {
        Some(manifest) => {
            backup.state = state(&manifest, size_bytes);
            (backup.verified_at, backup.drilled_at) =
                (manifest.verified_at(), manifest.drilled_at());
            Some(manifest)
        }
        None if ends_in("zst") => {
            let inside = File::open(path)
                .and_then(|mut file| seal::peek(&mut file))
                .map_err(failed)?;
            if inside.is_none() {
                backup.state = State::Partial;
            }
            inside
        }
        None if ends_in(PARTS) => {
            if parts::files(path).is_err() {
                backup.state = State::Partial;
            }
            parts::peek(path)
        }
        None => None,
    };
    if let Some(manifest) = known {
        (backup.database, backup.at) = (Some(manifest.database), Some(manifest.at));
    }
    Ok(backup)
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

/// When the newest good backup of each database was taken; nothing where there is no folder.
#[must_use]
pub fn newest(folder: &Path) -> BTreeMap<String, Timestamp> {
    let backups = read(folder).unwrap_or_default();
    let good = backups
        .into_iter()
        .filter(|backup| backup.state == State::Ok);
    good.filter_map(|backup| Some((backup.database?, backup.at?)))
        .collect()
}

/// The file that says that the last backup of a database into this folder failed; it goes with the next that succeeds.
#[must_use]
pub fn failure_mark(folder: &Path, database: &str) -> PathBuf {
    folder.join(format!(".{}.failed", manifest::safe(database)))
}
