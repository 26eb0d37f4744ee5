//! Who deploys what from where: the part of a record that is the same for all hosts of a run.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use ops_common::config::Config;
use ops_common::hosts::{Target, this_machine};
use ops_common::report::Report;

use crate::error::Error;
use crate::git::{self, Revision};
use crate::nix::Installable;
use crate::settings::Settings;

/// The facts of a run.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// `user@machine (pid N)`.
    pub who: String,
    /// The commit that is deployed.
    pub revision: Revision,
    /// The folder for worklog entries, where there is a repository for it.
    pub worklog: Option<PathBuf>,
}

/// The folder that flakes and paths of the configuration are relative to.
#[must_use]
pub fn folder(config: &Config) -> PathBuf {
    let folder = config
        .path()
        .and_then(Path::parent)
        .filter(|folder| !folder.as_os_str().is_empty());
    folder.map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// The flake output of a host.
#[must_use]
pub fn installable(config: &Config, target: &Target) -> Installable {
    let flake = target.entry.flake.clone().unwrap_or_else(|| ".".to_owned());
    Installable::parse(&flake, &target.record_name(), folder(config))
}

/// Looks at the repository that the flakes of a run are in, and refuses changes that are not committed.
pub fn gather(
    config: &Config,
    settings: &Settings,
    flake: Option<&Installable>,
    allow_dirty: bool,
    report: &Report,
) -> Result<Facts, Error> {
    let folder = match flake {
        Some(flake) if !flake.flake.contains(':') => flake.folder.join(&flake.flake),
        _ => folder(config),
    };
    // As git does, from the real place: a link to the working tree is not inside it.
    let folder = folder.canonicalize().unwrap_or(folder);
    let worklog = folder.join(&settings.worklog);
    let tree = git::look(&folder, Some(&worklog));
    let tree = tree.map_err(|source| Error::Git {
        folder: folder.display().to_string(),
        source,
    })?;
    let mut facts = Facts {
        who: who(),
        ..Facts::default()
    };
    let Some(tree) = tree else {
        facts.worklog = config.path().map(|_| worklog);
        return Ok(facts);
    };
    if flake.is_some() && !tree.changed.is_empty() && !allow_dirty {
        let files = tree
            .changed
            .iter()
            .take(3)
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        let more = if tree.changed.len() > 3 { ", ..." } else { "" };
        return Err(Error::Dirty {
            folder: tree.top.display().to_string(),
            files: files + more,
        });
    }
    for file in tree.unseen.iter().filter(|_| flake.is_some()) {
        report.warn(format_args!(
            "'{file}' is not tracked by git, so the flake does not see it"
        ));
    }
    facts.revision = tree.revision;
    facts.worklog = Some(worklog);
    Ok(facts)
}

/// A name for one deployment of one host.
#[must_use]
pub fn id(at: Timestamp) -> String {
    let time: String = at
        .to_string()
        .chars()
        .take(23)
        .filter(|c| c.is_ascii_digit() || *c == 'T')
        .collect();
    format!("{time}-{}", std::process::id())
}

/// The user, the machine and the process, as the owner of a lock.
fn who() -> String {
    let uid = rustix::process::getuid().as_raw();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let is_me = |line: &&str| line.split(':').nth(2) == Some(uid.to_string().as_str());
    let name = users
        .lines()
        .find(is_me)
        .and_then(|line| line.split(':').next())
        .map_or_else(|| uid.to_string(), str::to_owned);
    format!("{name}@{}", this_machine())
}
