//! A backup in the making: a file without a name, and the name that it gets when it is whole.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ops_common::atomic::AtomicFile;

use crate::error::Error;
use crate::manifest::{self, Manifest};

/// A file that is no backup yet.
pub struct Draft {
    file: AtomicFile,
    path: PathBuf,
    ending: &'static str,
}

impl Draft {
    /// Starts a file in `folder` for the backup that `manifest` speaks of.
    pub fn create(folder: &Path, manifest: &Manifest) -> Result<Self, Error> {
        let ending = if manifest.recipients.is_empty() {
            "dump.zst"
        } else {
            "dump.zst.age"
        };
        let path = folder.join(name(manifest, 1, ending));
        let file = AtomicFile::create(&path, 0o600)?;
        Ok(Self { file, path, ending })
    }

    /// Where the backup will be, if nobody takes the name before.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a backup of it; where it is. The manifest comes first: what makes a backup is the name of the file.
    pub fn commit(mut self, manifest: &Manifest) -> Result<PathBuf, Error> {
        let path = reserve(&self.path, self.ending, manifest)?;
        self.file.aim(&path);
        manifest
            .save(&path)
            .and_then(|()| Ok(self.file.commit()?))
            .inspect_err(|_| drop(std::fs::remove_file(manifest::beside(&path))))?;
        Ok(path)
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// `DB.TIME.ENDING` for the first backup of a database in one second, `DB.TIME-2.ENDING` for the next.
fn name(manifest: &Manifest, number: u32, ending: &str) -> String {
    let stem = manifest::stem(&manifest.database, manifest.at);
    match number {
        1 => format!("{stem}.{ending}"),
        number => format!("{stem}-{number}.{ending}"),
    }
}

/// Finds a name that nobody has, `wish` if it is free. It is ours once the file of its manifest is: whoever makes that
/// wins, and whoever comes second in the same second takes the next.
fn reserve(wish: &Path, ending: &str, manifest: &Manifest) -> Result<PathBuf, Error> {
    let mut number = 0;
    loop {
        number += 1;
        let path = wish.with_file_name(name(manifest, number, ending));
        if path.exists() {
            continue;
        }
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(manifest::beside(&path));
        match made {
            Ok(_) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(Error::Save { path, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backups_of_one_second_stand_side_by_side_whoever_is_first() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = Manifest {
            database: "shop".into(),
            at: "2026-01-31T12:00:00.5Z".parse().unwrap(),
            ..Manifest::default()
        };
        let take = || {
            let mut draft = Draft::create(folder.path(), &manifest).unwrap();
            draft.write_all(b"dump").unwrap();
            draft.commit(&manifest).unwrap()
        };
        let mut taken: Vec<PathBuf> = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..8).map(|_| scope.spawn(take)).collect();
            takers
                .into_iter()
                .map(|taker| taker.join().unwrap())
                .collect()
        });
        taken.sort();
        taken.dedup();
        assert_eq!(taken.len(), 8);
        assert!(taken.contains(&folder.path().join("shop.20260131T120000Z.dump.zst")));
        assert!(taken.contains(&folder.path().join("shop.20260131T120000Z-8.dump.zst")));
        for path in taken {
            assert_eq!(std::fs::read(&path).unwrap(), b"dump");
            assert_eq!(manifest::load(&path).unwrap().unwrap(), manifest);
        }
    }
}
