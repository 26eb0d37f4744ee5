//! A generation of installed secrets: a folder in memory that becomes the present one by the swap of a link.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, mount};

use crate::error::Error;
use crate::manifest::{Manifest, Ownership};
use crate::private;

/// Users and groups of this machine, by name.
#[derive(Debug, Default)]
pub struct Accounts {
    users: BTreeMap<String, (u32, u32)>,
    homes: BTreeMap<String, String>,
    groups: BTreeMap<String, u32>,
}

impl Accounts {
    /// Reads `/etc/passwd` and `/etc/group`.
    #[must_use]
    pub fn read() -> Self {
        let fields = |path: &str| -> Vec<Vec<String>> {
            let text = fs::read_to_string(path).unwrap_or_default();
            text.lines()
                .map(|line| line.split(':').map(str::to_owned).collect())
                .collect()
        };
        let passwd = fields("/etc/passwd");
        let homes = passwd
            .iter()
            .filter_map(|line| Some((line.first()?.clone(), line.get(5)?.clone())))
            .collect();
        let users = passwd.into_iter().filter_map(|line| {
            Some((
                line.first()?.clone(),
                (line.get(2)?.parse().ok()?, line.get(3)?.parse().ok()?),
            ))
        });
        let groups = fields("/etc/group")
            .into_iter()
            .filter_map(|line| Some((line.first()?.clone(), line.get(2)?.parse().ok()?)));
        Self {
            users: users.collect(),
            homes,
            groups: groups.collect(),
        }
    }

    /// The numbers of an owner; the group is the owner's own if none is named.
    pub fn of(&self, ownership: &Ownership) -> Result<(u32, u32), String> {
        let (uid, own) = match ownership.owner.as_deref().filter(|name| !name.is_empty()) {
            Some(name) => self
                .users
                .get(name)
                .copied()
                .ok_or_else(|| format!("there is no user '{name}'"))?,
            None => (ownership.uid, ownership.gid),
        };
        let gid = match ownership.group.as_deref().filter(|name| !name.is_empty()) {
            Some(name) => self
                .groups
                .get(name)
                .copied()
                .ok_or_else(|| format!("there is no group '{name}'"))?,
            None => own,
        };
        Ok((uid, gid))
    }

    /// The number of a user's own group.
    #[must_use]
    pub fn group_of(&self, name: &str) -> Option<u32> {
        self.users.get(name).map(|(_, group)| *group)
    }

    /// The home folder of a user.
    #[must_use]
    pub fn home(&self, name: &str) -> Option<&str> {
        self.homes.get(name).map(String::as_str)
    }

    fn group(&self, name: &str) -> Option<u32> {
        self.groups.get(name).copied()
    }
}

/// A generation in the making: removed when dropped, unless it was put in place.
pub struct Generation {
    path: PathBuf,
    number: u64,
    /// The group of its folders; none in a user's own.
    group: Option<u32>,
    kept: bool,
}

impl Drop for Generation {
    fn drop(&mut self) {
        if !self.kept {
            drop(fs::remove_dir_all(&self.path));
        }
    }
}

fn failed(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File {
        attempt,
        path,
        source,
    }
}

/// Makes sure that the place of the generations is in memory.
pub fn prepare(manifest: &Manifest, accounts: &Accounts) -> Result<(), Error> {
    let place = &manifest.secrets_mount_point;
    let mode = if manifest.user_mode { 0o700 } else { 0o751 };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(place)
        .map_err(failed("make", place))?;
    if manifest.user_mode || private::is_in_memory(place) && is_mount(place) {
        return Ok(());
    }
    let flags = MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOEXEC;
    let mounted = if manifest.use_tmpfs {
        mount("none", place, "tmpfs", flags, Some(c"mode=0751,noswap"))
            .or_else(|_| mount("none", place, "tmpfs", flags, Some(c"mode=0751")))
    } else {
        mount("none", place, "ramfs", flags, Some(c"mode=0751"))
    };
    mounted
        .map_err(io::Error::from)
        .map_err(failed("mount a file system in memory at", place))?;
    std::os::unix::fs::chown(
        place,
        Some(0),
        accounts.group("keys").or(accounts.group("nogroup")),
    )
    .map_err(failed("give", place))
}

/// Whether something is mounted right at a folder: it is then on another device than its parent.
fn is_mount(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
    folder
        .parent()
        .is_some_and(|parent| device(folder) != device(parent))
}

impl Generation {
    /// The generation after the present one.
    pub fn next(manifest: &Manifest, accounts: &Accounts) -> Result<Self, Error> {
        let number = numbers(&manifest.secrets_mount_point)
            .into_iter()
            .max()
            .unwrap_or(0)
            + 1;
        let path = manifest.secrets_mount_point.join(number.to_string());
        let mode = if manifest.user_mode { 0o700 } else { 0o751 };
        fs::DirBuilder::new()
            .mode(mode)
            .create(&path)
            .map_err(failed("make", &path))?;
        let group = accounts.group("keys").or(accounts.group("nogroup"));
        let made = Self {
            path,
            number,
            group: group.filter(|_| !manifest.user_mode),
            kept: false,
        };
        if !manifest.user_mode {
            std::os::unix::fs::chown(&made.path, Some(0), group)
                .map_err(failed("give", &made.path))?;
        }
        Ok(made)
    }

    /// Its folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file: first for its owner's eyes only, then handed over.
    pub fn write(
        &self,
        name: &str,
        content: &[u8],
        ownership: &Ownership,
        owner: Option<(u32, u32)>,
    ) -> Result<(), Error> {
        let path = self.path.join(name);
        for folder in Path::new(name)
            .ancestors()
            .skip(1)
            .collect::<Vec<_>>()
            .iter()
            .rev()
        {
            self.folder(&self.path.join(folder))?;
        }
        let file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o400)
            .open(&path);
        file.and_then(|mut file| file.write_all(content))
            .map_err(failed("write", &path))?;
        if let Some((uid, gid)) = owner {
            std::os::unix::fs::chown(&path, Some(uid), Some(gid)).map_err(failed("give", &path))?;
        }
        let mode = ownership.bits().unwrap_or(0o400);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
            .map_err(failed("set the mode of", &path))
    }

    /// Makes a folder inside, which the group may look into like the generation itself.
    fn folder(&self, folder: &Path) -> Result<(), Error> {
        match fs::DirBuilder::new().mode(0o751).create(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            made => made.map_err(failed("make", folder))?,
        }
        match self.group {
            Some(group) => std::os::unix::fs::chown(folder, Some(0), Some(group))
                .map_err(failed("give", folder)),
            None => Ok(()),
        }
    }

    /// Makes it the present one, and removes old ones.
    pub fn put_in_place(mut self, manifest: &Manifest) -> Result<(), Error> {
        let at = &manifest.symlink_path;
        // A real folder may stand there, made before secrets were installed.
        if fs::symlink_metadata(at).is_ok_and(|found| found.is_dir()) {
            fs::remove_dir_all(at).map_err(failed("remove", at))?;
        }
        link(&self.path, at, None)?;
        self.kept = true;
        if manifest.keep_generations > 0 {
            let keep = u64::try_from(manifest.keep_generations).unwrap_or(u64::MAX);
            let old = numbers(&manifest.secrets_mount_point)
                .into_iter()
                .filter(|number| number.saturating_add(keep) <= self.number);
            for number in old {
                let path = manifest.secrets_mount_point.join(number.to_string());
                fs::remove_dir_all(&path).map_err(failed("remove", &path))?;
            }
        }
        Ok(())
    }
}

/// The files below a folder, by their names from there.
#[must_use]
pub fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if let Ok(name) = path.strip_prefix(folder) {
                found.push(name.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

fn numbers(place: &Path) -> Vec<u64> {
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// Makes a link in one go: the old or the new, never none. Its owner is the secret's.
pub fn link(target: &Path, at: &Path, owner: Option<(u32, u32)>) -> Result<(), Error> {
    let folder = at.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(failed("make", folder))?;
    let fresh = tempfile::Builder::new()
        .prefix(".ops-secrets-")
        .make_in(folder, |path| std::os::unix::fs::symlink(target, path));
    let fresh = fresh.map_err(failed("make the link", at))?.into_temp_path();
    if let Some((uid, gid)) = owner {
        std::os::unix::fs::lchown(&fresh, Some(uid), Some(gid)).map_err(failed("give", at))?;
    }
    fs::rename(&fresh, at).map_err(failed("put in place the link", at))?;
    drop(fresh.keep());
    Ok(())
}
