//! The note in a folder that the last backup of a database has not come to its end: `prune` removes nothing then.
//!
//! It is there from the beginning of a run and goes with its success, so that even a run that was killed has left word.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::manifest;
use crate::origin::Origin;

const SUFFIX: &str = ".failed";

/// What is known of a backup that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The database.
    pub database: String,
    /// Where it is.
    pub origin: Origin,
    /// When it was begun, or failed.
    pub at: Timestamp,
    /// Why it failed; nothing while it runs, and after it was killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Mark {
    /// The mark of a backup that begins now.
    #[must_use]
    pub fn new(database: &str, origin: Origin) -> Self {
        Self {
            database: database.to_owned(),
            origin,
            at: Timestamp::now(),
            reason: None,
        }
    }

    /// Where it is, in a folder of backups.
    #[must_use]
    pub fn path(&self, folder: &Path) -> PathBuf {
        let (database, host) = (
            manifest::safe(&self.database),
            manifest::safe(&self.origin.host),
        );
        let number: String = self.origin.machine_id.chars().take(8).collect();
        let number = if number.is_empty() {
            number
        } else {
            format!(".{number}")
        };
        folder.join(format!(".{database}@{host}{number}{SUFFIX}"))
    }

    /// Writes it down once more, now that it is known of which machine it is; whether that had a mark already.
    pub fn is_known_as(&mut self, origin: Origin, folder: &Path) -> bool {
        let before = self.path(folder);
        self.origin = origin;
        let path = self.path(folder);
        let was_marked = path != before && path.exists();
        self.save(folder);
        if path != before {
            drop(std::fs::remove_file(before));
        }
        was_marked
    }

    /// Writes it down. Where that cannot be done no backup can be written either, and that is what will be told.
    pub fn save(&self, folder: &Path) {
        let text = serde_json::to_string(self).unwrap_or_default() + "\n";
        drop(ops_common::atomic::write(
            &self.path(folder),
            text.as_bytes(),
            0o600,
        ));
    }

    /// Whether it speaks of backups of this database, the newest of which was taken then. A success would have removed it, if
    /// it is known whose it is: the clock may have gone back since.
    #[must_use]
    pub fn holds(&self, database: &str, origin: &Origin, newest: Timestamp) -> bool {
        let is_standing = !self.origin.machine.is_empty() || self.at >= newest;
        self.database == database && self.origin.may_be(origin) && is_standing
    }
}

/// The marks in a folder. One that cannot be read says nothing.
#[must_use]
pub fn read(folder: &Path) -> Vec<Mark> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with(SUFFIX))
        .filter_map(|path| serde_json::from_slice(&std::fs::read(path).ok()?).ok())
        .collect()
}

/// Takes this mark away, and those of the same database that were made under other names of its host.
pub fn clear(folder: &Path, own: &Mark) {
    for mark in read(folder) {
        if mark.database == own.database && mark.origin.is(&own.origin) {
            drop(std::fs::remove_file(mark.path(folder)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_again_and_holds_what_is_older() {
        let folder = tempfile::tempdir().unwrap();
        let origin = |machine: &str| Origin {
            host: "root@db".into(),
            machine: machine.into(),
            machine_id: String::new(),
        };
        let mark = Mark::new("a/b", origin("db"));
        mark.save(folder.path());
        assert_eq!(
            mark.path(folder.path()),
            folder.path().join(".a%2Fb@root%40db.failed")
        );
        assert_eq!(read(folder.path()), std::slice::from_ref(&mark));
        let (before, after) = (
            "2020-01-01T00:00:00Z".parse().unwrap(),
            "2100-01-01T00:00:00Z".parse().unwrap(),
        );
        assert!(mark.holds("a/b", &origin("db"), before));
        assert!(
            mark.holds("a/b", &origin("db"), after),
            "a success would have removed it"
        );
        assert!(!mark.holds("a", &origin("db"), before));
        assert!(!mark.holds("a/b", &origin("other"), before));
        let unreached = Mark::new("a/b", origin(""));
        let elsewhere = Origin {
            host: "db".into(),
            machine: "db".into(),
            machine_id: "0123456789".into(),
        };
        assert!(unreached.holds("a/b", &elsewhere, before), "nobody knows");
        assert!(
            !unreached.holds("a/b", &elsewhere, after),
            "a success since"
        );
        let numbered = Mark::new("a/b", elsewhere).path(folder.path());
        assert!(numbered.ends_with(".a%2Fb@db.01234567.failed"));
    }
}
