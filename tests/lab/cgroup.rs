//! A control group for each host. Without one of its own, a systemd in a container would share the control group of
//! whoever started it, and two hosts would fight over the same names.
//!
//! Control groups are folders in /sys, which outlive the processes in them: what is left of a lab that was killed is
//! swept by the next one.

use std::fs;
use std::path::{Path, PathBuf};

use crate::program::{Result, read};

const PREFIX: &str = "ops-lab-";

/// The folders in which this process may make control groups: that of systemd's own hierarchy, and the unified one.
fn parents() -> Result<Vec<PathBuf>> {
    let own = read(Path::new("/proc/self/cgroup"))?;
    let mounts = read(Path::new("/proc/self/mounts"))?;
    Ok(own
        .lines()
        .filter_map(|line| parent(line, &mounts))
        .collect())
}

/// `0::/user.slice` or `9:name=systemd:/` to a folder, by way of where such hierarchies are mounted.
fn parent(line: &str, mounts: &str) -> Option<PathBuf> {
    let mut fields = line.splitn(3, ':');
    let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let mount = mounts
        .lines()
        .map(|mount| mount.split(' ').collect::<Vec<_>>())
        .find(|mount| match controllers {
            "" => mount.get(2) == Some(&"cgroup2"),
            "name=systemd" => mount
                .get(3)
                .is_some_and(|options| options.split(',').any(|option| option == controllers)),
            _ => false,
        })?;
    Some(Path::new(mount.get(1)?).join(path.trim_start_matches('/')))
}

/// The folders of a host's control groups, which its start makes.
pub(crate) fn folders(lab: u32, name: &str) -> Result<Vec<PathBuf>> {
    let folder = |parent: &PathBuf| parent.join(format!("{PREFIX}{lab:08x}-{name}"));
    Ok(parents()?.iter().map(folder).collect())
}

/// Removes a control group and those below it. One that still has a process stays.
pub(crate) fn remove(folder: &Path) {
    children(folder).for_each(|child| remove(&child));
    fs::remove_dir(folder).ok();
}

/// Removes what labs have left behind: groups of theirs in which nothing runs. A host that is between two boots makes
/// its own again.
pub(crate) fn sweep() {
    for parent in parents().unwrap_or_default() {
        for child in children(&parent) {
            let name = child.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(PREFIX) && !populated(&child) {
                remove(&child);
            }
        }
    }
}

fn populated(folder: &Path) -> bool {
    fs::read(folder.join("cgroup.procs")).is_ok_and(|list| !list.is_empty())
        || children(folder).any(|child| populated(&child))
}

fn children(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use super::parent;
    use std::path::PathBuf;

    #[test]
    fn folders_of_both_hierarchies_are_found() {
        let hybrid = "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,name=systemd 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(
            parent("9:name=systemd:/", hybrid),
            Some(PathBuf::from("/sys/fs/cgroup/systemd"))
        );
        assert_eq!(
            parent("0::/a/b", hybrid),
            Some(PathBuf::from("/sys/fs/cgroup/unified/a/b"))
        );
        assert_eq!(parent("1:cpu:/", hybrid), None);
    }
}
