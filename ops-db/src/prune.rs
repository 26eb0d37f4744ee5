//! `prune`: removes backups that the policy does not keep.
//!
//! Only whole backups count and only whole backups go: a partial or unverified file is neither kept for a reason nor removed.
//! A database whose last backup failed is left alone, since its old backups are all it has.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use ops_common::output::Record;
use serde::Serialize;

use crate::catalogue::{self, Backup, State};
use crate::error::Error;
use crate::manifest;
use crate::parts;
use crate::retention::Policy;

/// What becomes of one backup.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision {
    /// The file.
    pub file: PathBuf,
    /// Of which database.
    pub database: String,
    /// When it was taken.
    pub at: Timestamp,
    /// `keep` or `remove`.
    pub action: &'static str,
    /// Why it is kept.
    pub reasons: String,
    /// Its size on disk.
    pub size_bytes: u64,
}

impl Record for Decision {
    const COLUMNS: &'static [&'static str] =
        &["action", "file", "database", "at", "size_bytes", "reasons"];
}

/// What the policy says about each whole backup in a folder, and the databases it says nothing about since their last backup failed.
pub fn plan(
    folder: &Path,
    policy: Policy,
    now: Timestamp,
) -> Result<(Vec<Decision>, Vec<String>), Error> {
    let mut groups: BTreeMap<String, Vec<(Timestamp, Backup)>> = BTreeMap::new();
    for backup in catalogue::read(folder)?
        .into_iter()
        .filter(|backup| backup.state == State::Ok)
    {
        if let (Some(database), Some(at)) = (backup.database.clone(), backup.at) {
            groups.entry(database).or_default().push((at, backup));
        }
    }
    let (failed, groups): (Vec<_>, Vec<_>) = groups
        .into_iter()
        .partition(|(database, _)| catalogue::failure_mark(folder, database).exists());
    let decisions = groups.into_iter().flat_map(|(database, backups)| {
        let taken: Vec<_> = backups.iter().map(|(at, _)| *at).collect();
        let decide =
            move |((at, backup), reasons): ((Timestamp, Backup), Vec<&'static str>)| Decision {
                file: backup.file,
                database: database.clone(),
                at,
                action: if reasons.is_empty() { "remove" } else { "keep" },
                reasons: reasons.join(","),
                size_bytes: backup.size_bytes,
            };
        backups
            .into_iter()
            .zip(policy.reasons(&taken, now))
            .map(decide)
            .collect::<Vec<_>>()
    });
    Ok((
        decisions.collect(),
        failed.into_iter().map(|(database, _)| database).collect(),
    ))
}

/// Removes what was decided to go: the file first, so that what is left over after a crash is no backup.
pub fn carry_out(decisions: &[Decision]) -> Result<(), Error> {
    for decision in decisions
        .iter()
        .filter(|decision| decision.action == "remove")
    {
        remove_parts(&decision.file)?;
        for path in [decision.file.clone(), manifest::beside(&decision.file)] {
            let removed = if path.is_dir() {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            removed.map_err(|source| Error::Remove { path, source })?;
        }
    }
    Ok(())
}

/// Of a directory the part that makes it a backup goes first.
fn remove_parts(folder: &Path) -> Result<(), Error> {
    if !folder.is_dir() {
        return Ok(());
    }
    for path in parts::files(folder)?.into_iter().rev() {
        std::fs::remove_file(&path).map_err(|source| Error::Remove { path, source })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{File, Manifest, Means, Proof};

    fn put(folder: &Path, database: &str, at: &str, damage: Option<&str>) -> PathBuf {
        let at: Timestamp = at.parse().unwrap();
        let path = folder.join(format!("{}.dump.zst", manifest::stem(database, at)));
        ops_common::atomic::write(&path, b"12345", 0o600).unwrap();
        let proof = Proof {
            by: Means::Parse,
            at,
            damage: damage.map(str::to_owned),
        };
        let file = Some(File {
            bytes: 5,
            ..File::default()
        });
        Manifest {
            database: database.into(),
            at,
            file,
            proofs: vec![proof],
            ..Manifest::default()
        }
        .save(&path)
        .unwrap();
        path
    }

    #[test]
    fn only_whole_backups_count_and_only_they_go() {
        let folder = tempfile::tempdir().unwrap();
        let old = put(folder.path(), "a", "2026-01-01T00:00:00Z", None);
        let new = put(folder.path(), "a", "2026-01-02T00:00:00Z", None);
        let damaged = put(folder.path(), "a", "2026-01-03T00:00:00Z", Some("a bit"));
        let unverified = put(folder.path(), "a", "2026-01-04T00:00:00Z", None);
        std::fs::remove_file(manifest::beside(&unverified)).unwrap();
        let partial = put(folder.path(), "a", "2026-01-05T00:00:00Z", None);
        ops_common::atomic::write(&partial, b"123", 0o600).unwrap();
        let other = put(folder.path(), "b", "2025-01-01T00:00:00Z", None);
        let (decisions, failed) = plan(
            folder.path(),
            Policy {
                last: 1,
                ..Policy::default()
            },
            Timestamp::now(),
        )
        .unwrap();
        let told: Vec<_> = decisions
            .iter()
            .map(|decision| (&decision.file, decision.action))
            .collect();
        assert_eq!(
            (told, failed.len()),
            (vec![(&old, "remove"), (&new, "keep"), (&other, "keep")], 0)
        );
        carry_out(&decisions).unwrap();
        assert!(!old.exists() && !manifest::beside(&old).exists());
        assert!(
            [new, damaged, unverified, partial, other]
                .iter()
                .all(|path| path.exists())
        );
    }

    #[test]
    fn a_database_whose_last_backup_failed_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "a", "2026-01-01T00:00:00Z", None);
        put(folder.path(), "a", "2026-01-02T00:00:00Z", None);
        ops_common::atomic::write(&catalogue::failure_mark(folder.path(), "a"), b"cut", 0o600)
            .unwrap();
        let (decisions, failed) = plan(
            folder.path(),
            Policy {
                last: 1,
                ..Policy::default()
            },
            Timestamp::now(),
        )
        .unwrap();
        assert_eq!((decisions.len(), failed), (0, vec!["a".to_owned()]));
    }
}
