//! Files that appear whole or not at all: written without a name, fsynced, then put in place of the old one.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, OFlags};

use crate::exit::{Failure, Status};

/// A file in the making. Dropped without [`AtomicFile::commit`], nothing of it remains; after `kill -9` neither, where the
/// file system knows files without a name (`O_TMPFILE`).
#[derive(Debug)]
pub struct AtomicFile {
    target: PathBuf,
    file: File,
    beside: Option<tempfile::TempPath>,
}

/// An attempt at an atomic file that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No file could be made in the folder of the target.
    #[error("cannot create '{}'", path.display())]
    Create {
        /// The target.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The content could not be written or brought to the disk.
    #[error("cannot write '{}'", path.display())]
    Write {
        /// The target.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The finished file could not take the place of the old one.
    #[error("cannot replace '{}'", path.display())]
    Replace {
        /// The target.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Failure for Error {
    fn status(&self) -> Status {
        let (Self::Create { source, .. }
        | Self::Write { source, .. }
        | Self::Replace { source, .. }) = self;
        match Status::of_io(source) {
            Status::ReaderLeft => Status::Io,
            status => status,
        }
    }
}

impl AtomicFile {
    /// Starts a file that will stand at `path` with `mode`. A symbolic link is followed: its target is replaced.
    pub fn create(path: &Path, mode: u32) -> Result<Self, Error> {
        let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let failed = |source| Error::Create {
            path: path.to_owned(),
            source,
        };
        let folder = folder_of(&target);
        let unnamed = std::fs::OpenOptions::new()
            .write(true)
            .read(true)
            .custom_flags(OFlags::TMPFILE.bits().cast_signed())
            .mode(mode)
            .open(folder);
        let (file, beside) = match unnamed {
            Ok(file) => (file, None),
            Err(error) if knows_no_unnamed_files(&error) => {
                let (file, beside) = hidden_name()
                    .tempfile_in(folder)
                    .map_err(failed)?
                    .into_parts();
                (file, Some(beside))
            }
            Err(error) => return Err(failed(error)),
        };
        // The mode asked for, whatever the umask says.
        file.set_permissions(PermissionsExt::from_mode(mode))
            .map_err(failed)?;
        Ok(Self {
            target,
            file,
            beside,
        })
    }

    /// Starts a file that will replace the one at `path` and keep its mode; `mode` if there is none yet.
    pub fn replace(path: &Path, mode: u32) -> Result<Self, Error> {
        let mode = std::fs::metadata(path).map_or(mode, |old| old.permissions().mode() & 0o7777);
        Self::create(path, mode)
    }

    /// The path that the file will have.
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Lets the file stand at `path` instead, in the same folder.
    pub fn aim(&mut self, path: &Path) {
        path.clone_into(&mut self.target);
    }

    /// The open file, for readers and for position.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Brings the content to the disk, puts it in place, and brings the folder's entry to the disk.
    pub fn commit(self) -> Result<(), Error> {
        let Self {
            target,
            file,
            beside,
        } = self;
        file.sync_all().map_err(|source| Error::Write {
            path: target.clone(),
            source,
        })?;
        let replaced = match beside {
            Some(beside) => beside.persist(&target).map_err(|failed| failed.error),
            None => name(&file, &target),
        };
        replaced
            .and_then(|()| File::open(folder_of(&target))?.sync_all())
            .map_err(|source| Error::Replace {
                path: target,
                source,
            })
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes `content` to `path` in one go.
pub fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
    let mut file = AtomicFile::create(path, mode)?;
    file.write_all(content).map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })?;
    file.commit()
}

/// Gives an unnamed file its name. `linkat` cannot replace, so an old file is replaced by a rename of a second, hidden name.
fn name(file: &File, target: &Path) -> io::Result<()> {
    let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
    let link = |to: &Path| rustix::fs::linkat(CWD, &unnamed, CWD, to, AtFlags::SYMLINK_FOLLOW);
    match link(target) {
        Err(rustix::io::Errno::EXIST) => {}
        done => return done.map_err(io::Error::from),
    }
    let hidden = hidden_name().make_in(folder_of(target), |hidden| {
        link(hidden).map_err(io::Error::from)
    })?;
    hidden
        .into_temp_path()
        .persist(target)
        .map_err(|failed| failed.error)
}

fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

fn hidden_name() -> tempfile::Builder<'static, 'static> {
    // The name of the target is left out: it may already be as long as a name can be.
    let mut builder = tempfile::Builder::new();
    builder.prefix(".ops-").suffix(".tmp");
    builder
}

fn knows_no_unnamed_files(error: &io::Error) -> bool {
    let errno = rustix::io::Errno::from_io_error(error);
    matches!(
        errno,
        Some(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR | rustix::io::Errno::INVAL)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_dropped_file_leaves_nothing_and_the_old_one_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        write(&path, b"old", 0o600).unwrap();
        let mut new = AtomicFile::create(&path, 0o600).unwrap();
        new.write_all(b"half").unwrap();
        drop(new);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["x"]);
    }

    #[test]
    fn a_committed_file_replaces_the_old_one_with_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        write(&path, b"old", 0o640).unwrap();
        let mut new = AtomicFile::replace(&path, 0o600).unwrap();
        new.write_all(b"new").unwrap();
        new.commit().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            0o640
        );
        assert_eq!(names(folder.path()), ["x"]);
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        write(&real, b"old", 0o600).unwrap();
        std::os::unix::fs::symlink("real", &link).unwrap();
        write(&link, b"new", 0o600).unwrap();
        assert_eq!(std::fs::read(&real).unwrap(), b"new");
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = AtomicFile::create(Path::new("/nonexistent/x"), 0o600).unwrap_err();
        assert_eq!(error.to_string(), "cannot create '/nonexistent/x'");
        assert_eq!(error.status(), Status::Io);
    }
}
