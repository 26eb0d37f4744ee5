//! What is known of a backup: written inside it once, and beside it, where later proofs are added.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use ops_common::atomic;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::hex::hex;
use crate::origin::Origin;
use crate::table::Table;

/// Ends the name of the manifest beside a backup.
pub const SUFFIX: &str = ".manifest.json";

/// Ends the name of a backup that is a directory.
pub const PARTS: &str = "parts";

/// The manifest of one backup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The program that wrote the backup, with its version.
    pub program: String,
    /// What the backup is of.
    #[serde(default)]
    pub kind: Kind,
    /// The database.
    pub database: String,
    /// The host it was taken from.
    #[serde(flatten)]
    pub origin: Origin,
    /// The program that made the dump, with its arguments.
    pub command: Vec<String>,
    /// When the snapshot was taken.
    pub at: Timestamp,
    /// When the last byte had come.
    pub finished_at: Timestamp,
    /// Version of the server.
    pub server_version: String,
    /// Version of `pg_dump`.
    pub pg_dump_version: String,
    /// The snapshot all of it was read under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// Settings of the server that are not its defaults.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// Names of the roles of the server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Roles, their memberships and tablespaces as the SQL of `pg_dumpall --globals-only`, without passwords.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub globals: String,
    /// Public keys of those who can read it; empty when anyone can.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
    /// Size of the dump.
    pub raw_bytes: u64,
    /// Tables, with what came for each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<Table>,
    /// Large objects.
    #[serde(default)]
    pub large_objects: LargeObjects,
    /// The files of a backup that is a directory, in the order in which they are restored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
    /// Facts that only the manifest beside a backup holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<File>,
    /// Every proof since, the last one wins; beside only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proofs: Vec<Proof>,
}

/// What a backup is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One database, in one custom archive or, see `Manifest::parts`, in several.
    #[default]
    Database,
    /// A part of one database: what the seal of such a file speaks of.
    Part,
}

/// One file of a backup that is a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its name in the directory.
    pub name: String,
    /// What it is on disk. The last one holds the seal of the whole, so its own sum cannot be in there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<File>,
}

/// Large objects of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeObjects {
    /// How many.
    pub count: u64,
    /// Size of them all.
    pub bytes: u64,
    /// Checksum over all.
    pub sha256: String,
}

/// The finished file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Size on disk.
    pub bytes: u64,
    /// Checksum on disk.
    pub sha256: String,
}

/// One look at a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// How it was looked at.
    pub by: Means,
    /// When.
    pub at: Timestamp,
    /// What is wrong with it; nothing if it is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
}

/// Ways to prove a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Means {
    /// The stream was parsed while it was written.
    Parse,
    /// The file was read in full.
    Verify,
    /// It was restored into a scratch cluster and compared.
    Drill,
}

impl Manifest {
    /// The last time that the backup was seen to be whole.
    #[must_use]
    pub fn verified_at(&self) -> Option<Timestamp> {
        self.proofs
            .iter()
            .rev()
            .find(|proof| proof.damage.is_none())
            .map(|proof| proof.at)
    }

    /// The last time that the backup was restored.
    #[must_use]
    pub fn drilled_at(&self) -> Option<Timestamp> {
        let drills = self
            .proofs
            .iter()
            .rev()
            .filter(|proof| proof.by == Means::Drill && proof.damage.is_none());
        drills.map(|proof| proof.at).next()
    }

    /// What the last look found wrong.
    #[must_use]
    pub fn damage(&self) -> Option<&str> {
        self.proofs.last().and_then(|proof| proof.damage.as_deref())
    }

    /// Notes that the stream was parsed while it was written.
    pub fn note_parse(&mut self) {
        self.proofs.push(Proof {
            by: Means::Parse,
            at: self.finished_at,
            damage: None,
        });
    }

    /// Whether both speak of one backup: nothing of this changes after the snapshot.
    #[must_use]
    pub fn is_of_the_same(&self, other: &Self) -> bool {
        let facts = |of: &Self| {
            (
                of.database.clone(),
                of.origin.clone(),
                of.at,
                of.snapshot.clone(),
            )
        };
        facts(self) == facts(other)
    }

    /// The same without what is known beside only: what is written inside.
    #[must_use]
    pub fn inner(&self) -> Self {
        Self {
            file: None,
            proofs: Vec::new(),
            ..self.clone()
        }
    }
}

/// What a directory is on disk: the sum is over the lines that `sha256sum *` prints, in the order of the parts.
#[must_use]
pub fn on_disk(parts: &[Part]) -> File {
    let mut sum = Sha256::new();
    let mut bytes = 0;
    for part in parts {
        let file = part.file.clone().unwrap_or_default();
        bytes += file.bytes;
        sum.update(format!("{}  {}\n", file.sha256, part.name));
    }
    File {
        bytes,
        sha256: hex(&sum.finalize()),
    }
}

/// Where the manifest of a backup is.
#[must_use]
pub fn beside(backup: &Path) -> PathBuf {
    let mut name = backup.as_os_str().to_owned();
    name.push(SUFFIX);
    name.into()
}

/// The manifest beside a backup; none where there is none.
pub fn load(backup: &Path) -> Result<Option<Manifest>, Error> {
    read(&beside(backup))
}

/// The manifest in a file; none where there is no such file.
pub fn read(path: &Path) -> Result<Option<Manifest>, Error> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(Error::Read {
                path: path.to_owned(),
                source,
            });
        }
    };
    let parsed = serde_json::from_slice(&text);
    let damaged = |error: serde_json::Error| Error::Damaged {
        name: path.display().to_string(),
        damage: error.to_string(),
    };
    parsed.map(Some).map_err(damaged)
}

impl Manifest {
    /// Writes the manifest beside its backup, for its owner only.
    pub fn save(&self, backup: &Path) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(self).unwrap_or_default() + "\n";
        Ok(atomic::write(&beside(backup), text.as_bytes(), 0o600)?)
    }
}

/// Notes a proof in the manifest beside a backup as it is now: another may have come since it was read. One that was removed
/// meanwhile is not made again.
pub fn note(backup: &Path, proof: Proof) -> Result<(), Error> {
    match load(backup)? {
        Some(mut manifest) => {
            manifest.proofs.push(proof);
            manifest.save(backup)
        }
        None => Ok(()),
    }
}

/// The file name of a backup without its endings: safe, sortable by time within a database, and telling both.
#[must_use]
pub fn stem(database: &str, at: Timestamp) -> String {
    format!("{}.{}", safe(database), at.strftime("%Y%m%dT%H%M%SZ"))
}

/// A name of a database as a part of a file name.
#[must_use]
pub fn safe(database: &str) -> String {
    let mut safe = String::new();
    for byte in database.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') {
            safe.push(char::from(byte));
        } else {
            safe.push_str(&format!("%{byte:02X}"));
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(by: Means, at: &str, damage: Option<&str>) -> Proof {
        Proof {
            by,
            at: at.parse().unwrap(),
            damage: damage.map(str::to_owned),
        }
    }

    #[test]
    fn names_of_files_are_safe_whatever_the_database() {
        let at = "2026-01-31T12:00:00Z".parse().unwrap();
        assert_eq!(stem("mautrix_slack", at), "mautrix_slack.20260131T120000Z");
        assert_eq!(
            stem("a/b \n.\u{e9}%", at),
            "a%2Fb%20%0A%2E%C3%A9%25.20260131T120000Z"
        );
        assert_eq!(
            beside(Path::new("d/x.zst")),
            Path::new("d/x.zst.manifest.json")
        );
    }

    #[test]
    fn the_last_proof_wins_and_the_inside_has_none() {
        let mut manifest = Manifest {
            proofs: vec![proof(Means::Parse, "2026-01-01T00:00:00Z", None)],
            ..Manifest::default()
        };
        assert_eq!(manifest.damage(), None);
        manifest.proofs.push(proof(
            Means::Verify,
            "2026-01-02T00:00:00Z",
            Some("a flipped bit"),
        ));
        assert_eq!(manifest.damage(), Some("a flipped bit"));
        assert_eq!(
            manifest.verified_at().unwrap().to_string(),
            "2026-01-01T00:00:00Z"
        );
        manifest
            .proofs
            .push(proof(Means::Drill, "2026-01-03T00:00:00Z", None));
        assert_eq!(
            (manifest.damage(), manifest.drilled_at()),
            (None, manifest.verified_at())
        );
        assert_eq!(manifest.inner(), Manifest::default());
    }

    #[test]
    fn it_survives_being_written() {
        let manifest = Manifest {
            database: "a\nb".into(),
            tables: vec![Table::default()],
            ..Manifest::default()
        };
        let text = serde_json::to_string(&manifest).unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&text).unwrap(), manifest);
    }
}
