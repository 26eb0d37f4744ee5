//! Which commit is deployed, and whether the working tree is it.

use std::path::{Path, PathBuf};

use ops_common::program::{self, Program};
use serde::{Deserialize, Serialize};

/// The state of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Revision {
    /// The commit; empty where the flake is in no repository.
    pub commit: String,
    /// The first line of its message.
    pub subject: String,
    /// Whether tracked files differ from it.
    pub dirty: bool,
}

/// What was found in a working tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    /// The top of the working tree.
    pub top: PathBuf,
    /// Its commit.
    pub revision: Revision,
    /// Tracked files with changes.
    pub changed: Vec<String>,
    /// Nix files that git does not know, and so flakes do not see.
    pub unseen: Vec<String>,
}

/// Looks at the repository around `folder`; `None` where there is none. Changes below `worklog` do not count.
pub fn look(folder: &Path, worklog: Option<&Path>) -> Result<Option<Tree>, program::Error> {
    let git = || Program::find("git").map(|git| git.arg("-C").arg(folder));
    let top = git()?.args(["rev-parse", "--show-toplevel"]).run()?;
    if top.status != 0 {
        return Ok(None);
    }
    let top = PathBuf::from(String::from_utf8_lossy(&top.stdout).trim_end());
    let head = git()?.args(["log", "-1", "--format=%H%n%s"]).run()?;
    let head = String::from_utf8_lossy(&head.stdout).into_owned();
    let mut lines = head.lines();
    let (commit, subject) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    let status = git()?
        .args([
            "status",
            "--porcelain=v1",
            "-z",
            "--no-renames",
            "--untracked-files=all",
        ])
        .output()?;
    let inside = worklog.and_then(|folder| folder.strip_prefix(&top).ok().map(Path::to_owned));
    let (changed, unseen) = sort_changes(&String::from_utf8_lossy(&status), inside.as_deref());
    let revision = Revision {
        commit: commit.to_owned(),
        subject: subject.to_owned(),
        dirty: !changed.is_empty(),
    };
    Ok(Some(Tree {
        top,
        revision,
        changed,
        unseen,
    }))
}

/// Sorts the entries of `git status -z` into changes of tracked files and Nix files that are not tracked.
fn sort_changes(status: &str, worklog: Option<&Path>) -> (Vec<String>, Vec<String>) {
    let (mut changed, mut unseen) = (Vec::new(), Vec::new());
    for entry in status.split('\0').filter(|entry| entry.len() > 3) {
        let (kind, name) = (&entry[..2], &entry[3..]);
        if worklog.is_some_and(|folder| Path::new(name).starts_with(folder)) {
            continue;
        }
        let is_nix = Path::new(name)
            .extension()
            .is_some_and(|extension| extension == "nix");
        match kind {
            "??" if is_nix => unseen.push(name.to_owned()),
            "??" => {}
            _ => changed.push(name.to_owned()),
        }
    }
    (changed, unseen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_sorted_and_the_worklog_does_not_count() {
        let status = " M flake.nix\0?? new.nix\0?? notes.txt\0A  docs/worklogs/one.md\0?? docs/worklogs/two.md\0M  a b.nix\0";
        let (changed, unseen) = sort_changes(status, Some(Path::new("docs/worklogs")));
        assert_eq!(changed, ["flake.nix", "a b.nix"]);
        assert_eq!(unseen, ["new.nix"]);
    }
}
