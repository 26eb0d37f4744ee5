//! `prune`: removes backups that the policy does not keep.
//!
//! Only whole backups count and only whole backups go: a partial or unverified file is neither kept for a reason nor removed.
//! A database whose last backup failed is left alone, since its old backups are all it has.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use ops_common::output::Record;
use serde::Serialize;

use crate::catalogue::{self, Backup, State};
use crate::error::Error;
use crate::manifest;
use crate::mark;
use crate::origin::Origin;
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

/// What is to be done about the backups in a folder.
#[derive(Debug, Default)]
pub struct Plan {
    /// What the policy says about each whole backup.
    pub decisions: Vec<Decision>,
    /// Databases it says nothing about, since their last backup failed.
    pub failed: Vec<String>,
    /// Backups it says nothing about, since they are yet to come: the clock that they were taken by went wrong.
    pub astray: Vec<PathBuf>,
}

/// What the policy says about the backups in a folder.
pub fn plan(folder: &Path, policy: Policy, now: Timestamp) -> Result<Plan, Error> {
    let marks = mark::read(folder);
    let mut plan = Plan::default();
    let is_astray = |backup: &Backup| backup.at.is_some_and(|at| at > now + catalogue::ASTRAY);
    let (astray, backups) = catalogue::read(folder)?.into_iter().partition(is_astray);
    plan.astray = Vec::into_iter(astray).map(|backup| backup.file).collect();
    for group in groups(backups) {
        if marks
            .iter()
            .any(|mark| mark.holds(&group.database, &group.origin, group.newest()))
        {
            plan.failed.push(group.database);
        } else {
            plan.decisions.extend(group.decide(policy, now));
        }
    }
    Ok(plan)
}

/// The whole backups of one database of one host.
struct Group {
    database: String,
    origin: Origin,
    backups: Vec<(Timestamp, Backup)>,
}

impl Group {
    fn newest(&self) -> Timestamp {
        let taken = self.backups.iter().map(|(at, _)| *at);
        taken.max().unwrap_or_default()
    }

    fn decide(self, policy: Policy, now: Timestamp) -> Vec<Decision> {
        let taken: Vec<_> = self.backups.iter().map(|(at, _)| *at).collect();
        let reasons = policy.reasons(&taken, now);
        let decide = |((at, backup), reasons): ((Timestamp, Backup), Vec<&'static str>)| Decision {
            file: backup.file,
            database: self.database.clone(),
            at,
            action: if reasons.is_empty() { "remove" } else { "keep" },
            reasons: reasons.join(","),
            size_bytes: backup.size_bytes,
        };
        self.backups.into_iter().zip(reasons).map(decide).collect()
    }
}

/// Two hosts may have a database of the same name, and their backups one folder.
fn groups(backups: Vec<Backup>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for backup in backups {
        let (State::Ok, Some(database), Some(at), Some(origin)) = (
            backup.state,
            backup.database.clone(),
            backup.at,
            backup.from.clone(),
        ) else {
            continue;
        };
        let known = groups
            .iter_mut()
            .find(|group| group.database == database && group.origin.is(&origin));
        match known {
            Some(group) => group.backups.push((at, backup)),
            None => groups.push(Group {
                database,
                origin,
                backups: vec![(at, backup)],
            }),
        }
    }
    groups
        .sort_by(|one, other| (&one.database, &one.origin).cmp(&(&other.database, &other.origin)));
    groups
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
            match removed {
                // Somebody else prunes, too.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.map_err(|source| Error::Remove { path, source })?,
            }
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
    use crate::seal::Sealer;

    fn put(
        folder: &Path,
        (database, host): (&str, &str),
        at: &str,
        damage: Option<&str>,
    ) -> PathBuf {
        let at: Timestamp = at.parse().unwrap();
        let path = folder.join(format!("{}{host}.dump.zst", manifest::stem(database, at)));
        let mut manifest = Manifest {
            database: database.into(),
            origin: Origin {
                host: host.into(),
                ..Origin::default()
            },
            at,
            ..Manifest::default()
        };
        let dump = Sealer::new(Vec::new(), &[]).unwrap();
        let file = dump.finish(&manifest).unwrap();
        ops_common::atomic::write(&path, &file, 0o600).unwrap();
        manifest.proofs.push(Proof {
            by: Means::Parse,
            at,
            damage: damage.map(str::to_owned),
        });
        manifest.file = Some(File {
            bytes: file.len() as u64,
            ..File::default()
        });
        manifest.save(&path).unwrap();
        path
    }

    #[test]
    fn only_whole_backups_count_and_only_they_go() {
        let folder = tempfile::tempdir().unwrap();
        let old = put(folder.path(), ("a", "h"), "2026-01-01T00:00:00Z", None);
        let new = put(folder.path(), ("a", "h"), "2026-01-02T00:00:00Z", None);
        let damaged = put(
            folder.path(),
            ("a", "h"),
            "2026-01-03T00:00:00Z",
            Some("a bit"),
        );
        let unverified = put(folder.path(), ("a", "h"), "2026-01-04T00:00:00Z", None);
        std::fs::remove_file(manifest::beside(&unverified)).unwrap();
        let partial = put(folder.path(), ("a", "h"), "2026-01-05T00:00:00Z", None);
        ops_common::atomic::write(&partial, b"123", 0o600).unwrap();
        let other = put(folder.path(), ("b", "h"), "2025-01-01T00:00:00Z", None);
        let Plan {
            decisions, failed, ..
        } = plan(
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
        put(folder.path(), ("a", "h"), "2026-01-01T00:00:00Z", None);
        put(folder.path(), ("a", "h"), "2026-01-02T00:00:00Z", None);
        let origin = Origin {
            host: "h".into(),
            ..Origin::default()
        };
        mark::Mark::new("a", origin).save(folder.path());
        let Plan {
            decisions, failed, ..
        } = plan(
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
    #[test]
    fn a_backup_that_is_yet_to_come_neither_counts_nor_goes() {
        let folder = tempfile::tempdir().unwrap();
        let now = put(folder.path(), ("a", "h"), "2026-01-01T00:00:00Z", None);
        let astray = put(folder.path(), ("a", "h"), "2026-01-02T00:00:00Z", None);
        let policy = Policy {
            last: 1,
            ..Policy::default()
        };
        let plan = plan(
            folder.path(),
            policy,
            "2026-01-01T00:00:01Z".parse().unwrap(),
        )
        .unwrap();
        assert_eq!(plan.decisions.len(), 1);
        assert_eq!(
            (plan.decisions[0].action, &plan.decisions[0].file),
            ("keep", &now)
        );
        assert_eq!(plan.astray, [astray]);
    }

    #[test]
    fn two_hosts_in_one_folder_are_kept_apart() {
        let folder = tempfile::tempdir().unwrap();
        let here = put(folder.path(), ("a", "h"), "2026-01-01T00:00:00Z", None);
        let there = put(folder.path(), ("a", "i"), "2026-01-02T00:00:00Z", None);
        let last = Policy {
            last: 1,
            ..Policy::default()
        };
        let Plan { decisions, .. } = plan(folder.path(), last, Timestamp::now()).unwrap();
        assert!(decisions.iter().all(|decision| decision.action == "keep"));
        let origin = Origin {
            host: "i".into(),
            machine: "i".into(),
            ..Origin::default()
        };
        let found = catalogue::read(folder.path()).unwrap();
        let newest = catalogue::newest(&found, &origin, |backup| backup.at);
        assert_eq!(newest["a"].to_string(), "2026-01-02T00:00:00Z");
        // Swapped manifests, one that is no manifest, and one without its backup.
        let (one, other) = (manifest::beside(&here), manifest::beside(&there));
        let kept = folder.path().join("kept");
        std::fs::rename(&one, &kept).unwrap();
        std::fs::rename(&other, &one).unwrap();
        std::fs::rename(&kept, &other).unwrap();
        let states = || -> Vec<State> {
            let found = catalogue::read(folder.path()).unwrap();
            found.iter().map(|backup| backup.state).collect()
        };
        assert_eq!(states(), [State::Damaged, State::Damaged]);
        ops_common::atomic::write(&one, b"{", 0o600).unwrap();
        std::fs::remove_file(&there).unwrap();
        assert_eq!(states(), [State::Damaged, State::Partial]);
        let Plan { decisions, .. } = plan(folder.path(), last, Timestamp::now()).unwrap();
        assert!(decisions.is_empty());
    }
}
