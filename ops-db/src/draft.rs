//! A backup in the making: a file without a name, and the name that it gets when it is whole.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ops_common::atomic::AtomicFile;
use ops_common::interrupt::{self, Guard};
use tempfile::TempDir;

use crate::error::Error;
use crate::manifest::{self, Manifest, PARTS};

/// A file that is no backup yet.
pub struct Draft {
    file: AtomicFile,
    path: PathBuf,
    ending: &'static str,
}

impl Draft {
    /// Starts a file in `folder` for the backup that `manifest` speaks of.
    pub fn create(folder: &Path, manifest: &Manifest) -> Result<Self, Error> {
        let ending = ending(manifest);
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

/// A directory that is no backup yet, under a hidden name that its folder lists as left over if the run dies.
pub struct Folder {
    hidden: TempDir,
    path: PathBuf,
    ending: &'static str,
    _guard: Guard,
}

impl Folder {
    /// Starts a directory in `folder` for the backup that `manifest` speaks of.
    pub fn create(folder: &Path, manifest: &Manifest) -> Result<Self, Error> {
        let path = folder.join(name(manifest, 1, PARTS));
        interrupt::listen();
        let hidden = tempfile::Builder::new()
            .prefix(".ops-")
            .suffix(".tmp")
            .tempdir_in(folder);
        let hidden = hidden.map_err(|source| Error::Save {
            path: path.clone(),
            source,
        })?;
        let left_over = hidden.path().to_owned();
        Ok(Self {
            hidden,
            path,
            ending: ending(manifest),
            _guard: interrupt::guard(move || drop(std::fs::remove_dir_all(left_over))),
        })
    }

    /// Where its files are for now.
    #[must_use]
    pub fn hidden(&self) -> &Path {
        self.hidden.path()
    }

    /// Where the backup will be, if nobody takes the name before.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The ending of its files.
    #[must_use]
    pub fn ending(&self) -> &'static str {
        self.ending
    }

    /// Makes a backup of it; where it is.
    pub fn commit(self, manifest: &Manifest) -> Result<PathBuf, Error> {
        let path = reserve(&self.path, PARTS, manifest)?;
        let renamed = manifest.save(&path).and_then(|()| {
            let rename = || {
                std::fs::rename(self.hidden.path(), &path)?;
                std::fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
            };
            rename().map_err(|source| Error::Save {
                path: path.clone(),
                source,
            })
        });
        renamed.inspect_err(|_| drop(std::fs::remove_file(manifest::beside(&path))))?;
        Ok(path)
    }
}

fn ending(manifest: &Manifest) -> &'static str {
    if manifest.recipients.is_empty() {
        "dump.zst"
    } else {
        "dump.zst.age"
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
