//! Places for plain text outside of this process: folders in memory that nobody else can enter.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ops_common::interrupt::{self, Guard};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use crate::environment::Environment;
use crate::error::Error;

/// Keeps the memory of this process out of core files.
pub fn no_core_dumps() {
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    );
}

/// What statfs says of file systems that live in memory.
const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];

/// Whether a folder is in memory: tmpfs or ramfs.
#[must_use]
pub fn is_in_memory(folder: &Path) -> bool {
    #[expect(
        clippy::useless_conversion,
        reason = "the type differs between platforms"
    )]
    rustix::fs::statfs(folder).is_ok_and(|found| IN_MEMORY.contains(&i64::from(found.f_type)))
}

/// A folder in memory with mode 0700, wiped and removed when dropped, and when a signal ends the run.
pub struct Folder {
    path: PathBuf,
    _guard: Guard,
}

impl Folder {
    /// Makes a folder in the first place in memory that can be written.
    pub fn new(environment: &Environment) -> Result<Self, Error> {
        let shared = [PathBuf::from("/dev/shm"), PathBuf::from("/run/shm")];
        let temporary = crate::environment::temporary();
        let places = environment
            .runtime
            .iter()
            .chain(&shared)
            .chain(std::iter::once(&temporary))
            .filter(|place| is_in_memory(place));
        let mut failed = None;
        for place in places {
            match Self::inside(place) {
                Ok(folder) => return Ok(folder),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.map_or(Error::NoMemoryFolder, Error::PrivateFolder))
    }

    fn inside(place: &Path) -> io::Result<Self> {
        interrupt::listen();
        let builder = tempfile::Builder::new()
            .prefix(".ops-secrets-")
            .make_in(place, |path| {
                std::fs::DirBuilder::new().mode(0o700).create(path)
            })?;
        let path = builder
            .into_temp_path()
            .keep()
            .map_err(|failed| failed.error)?;
        let wiped = path.clone();
        let guard = interrupt::guard(move || wipe(&wiped));
        Ok(Self {
            path,
            _guard: guard,
        })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a new file into it.
    pub fn write(&self, name: &str, content: &[u8], mode: u32) -> Result<PathBuf, Error> {
        let path = self.path.join(name);
        let written = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)
            .and_then(|mut file| io::Write::write_all(&mut file, content));
        written.map_err(|source| Error::File {
            attempt: "write",
            path: path.clone(),
            source,
        })?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        wipe(&self.path);
    }
}

/// Overwrites the files of a folder with zeroes, then removes it.
fn wipe(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if file
            && let (Ok(mut file), Ok(metadata)) = (
                std::fs::OpenOptions::new().write(true).open(entry.path()),
                entry.metadata(),
            )
        {
            let mut zeroes = io::Read::take(io::repeat(0), metadata.len());
            drop(io::copy(&mut zeroes, &mut file));
        }
    }
    drop(std::fs::remove_dir_all(folder));
}
