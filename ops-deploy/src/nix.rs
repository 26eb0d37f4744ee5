//! The local Nix: every call is one that versions 2.8 to 2.3x understand alike.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use ops_common::exit::{Failure, Status};
use ops_common::program::{self, Program};
use serde::Deserialize;

use crate::closure::StorePath;

/// Nix could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration does not evaluate or build.
    #[error("cannot build '{what}'")]
    Build {
        /// The flake outputs.
        what: String,
        /// What Nix said.
        source: program::Error,
    },
    /// Nix answered something else than it should.
    #[error("cannot understand what nix says about '{what}': {reason}")]
    Answer {
        /// What was asked about.
        what: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The store could not be asked.
    #[error("cannot ask the local store about '{path}'")]
    Store {
        /// The path.
        path: String,
        /// What Nix said.
        source: program::Error,
    },
    /// Nix is not there, or cannot be started.
    #[error(transparent)]
    Program(#[from] program::Error),
}

impl Failure for Error {
    fn status(&self) -> Status {
        match self {
            Self::Program(error)
            | Self::Store {
                source: error @ program::Error::Find { .. },
                ..
            } => error.status(),
            Self::Build { .. } | Self::Answer { .. } | Self::Store { .. } => Status::BadInput,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Program(error) | Self::Store { source: error, .. } => error.hint(),
            Self::Build { .. } | Self::Answer { .. } => None,
        }
    }
}

/// A flake and the name of one of its systems.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installable {
    /// The flake: a path or a URL.
    pub flake: String,
    /// The name under `nixosConfigurations`.
    pub system: String,
    /// The folder that a relative flake is seen from.
    pub folder: PathBuf,
}

impl Installable {
    /// Reads `FLAKE#NAME`; without `#NAME` the system is called as the host.
    #[must_use]
    pub fn parse(text: &str, host: &str, folder: PathBuf) -> Self {
        let (flake, system) = text.split_once('#').unwrap_or((text, ""));
        let system = if system.is_empty() { host } else { system };
        let flake = if flake.is_empty() { "." } else { flake };
        Self {
            flake: flake.to_owned(),
            system: system.to_owned(),
            folder,
        }
    }

    /// The attribute to build.
    #[must_use]
    pub fn attribute(&self) -> String {
        let name = self.system.replace('\\', "\\\\").replace('"', "\\\"");
        format!(
            "{}#nixosConfigurations.\"{name}\".config.system.build.toplevel",
            self.flake
        )
    }
}

#[derive(Deserialize)]
struct Built {
    outputs: BTreeMap<String, String>,
}

/// Builds systems of one folder with one evaluation, and returns their store paths in the same order.
pub fn build(installables: &[Installable]) -> Result<Vec<String>, Error> {
    let Some(first) = installables.first() else {
        return Ok(Vec::new());
    };
    let what = installables
        .iter()
        .map(|one| format!("{}#{}", one.flake, one.system))
        .collect::<Vec<_>>()
        .join("', '");
    let nix = Program::find("nix")?
        .args([
            "--extra-experimental-features",
            "nix-command flakes",
            "build",
            "--json",
            "--no-link",
        ])
        .args(installables.iter().map(Installable::attribute))
        .folder(&first.folder);
    let answer = nix.output().map_err(|source| match source {
        program::Error::Failed { .. } => Error::Build {
            what: what.clone(),
            source,
        },
        other => Error::Program(other),
    })?;
    let wrong = |reason: String| Error::Answer {
        what: what.clone(),
        reason,
    };
    let built: Vec<Built> =
        serde_json::from_slice(&answer).map_err(|error| wrong(error.to_string()))?;
    if built.len() != installables.len() {
        return Err(wrong(format!(
            "{} results for {} systems",
            built.len(),
            installables.len()
        )));
    }
    let path = |built: Built| {
        built
            .outputs
            .get("out")
            .cloned()
            .ok_or_else(|| wrong("no output 'out'".to_owned()))
    };
    built.into_iter().map(path).collect()
}

/// Evaluates a system without building it, and returns its derivation.
pub fn derivation(installable: &Installable) -> Result<String, Error> {
    let what = format!("{}#{}", installable.flake, installable.system);
    let nix = Program::find("nix")?
        .args([
            "--extra-experimental-features",
            "nix-command flakes",
            "eval",
            "--raw",
        ])
        .arg(format!("{}.drvPath", installable.attribute()))
        .folder(&installable.folder);
    let answer = nix.output().map_err(|source| match source {
        program::Error::Failed { .. } => Error::Build { what, source },
        other => Error::Program(other),
    })?;
    Ok(String::from_utf8_lossy(&answer).trim().to_owned())
}

/// A closure with sizes, references first; `None` where the local store does not have it.
pub type Closure = Option<Vec<StorePath>>;

/// The closures of a run: hosts that are given the same system, or have it, are asked for once.
#[derive(Debug, Clone, Default)]
pub struct Closures(Arc<Mutex<BTreeMap<String, Closure>>>);

impl Closures {
    /// The closures of two paths.
    pub fn of(&self, paths: [&str; 2]) -> Result<[Closure; 2], Error> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new: Vec<&str> = paths.to_vec();
        new.retain(|path| !known.contains_key(*path));
        new.dedup();
        let found = closures(&new)?;
        known.extend(new.into_iter().map(str::to_owned).zip(found));
        Ok(paths.map(|path| known.get(path).cloned().flatten()))
    }
}

/// The closure of a path.
pub fn closure(path: &str) -> Result<Closure, Error> {
    Ok(closures(&[path])?.pop().flatten())
}

/// The closures of several paths, in two steps of Nix whose start is most of what they cost.
fn closures(paths: &[&str]) -> Result<Vec<Closure>, Error> {
    let lists = std::thread::scope(|scope| {
        let asked: Vec<_> = paths
            .iter()
            .map(|path| scope.spawn(|| requisites(path)))
            .collect();
        asked
            .into_iter()
            .map(|list| {
                list.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect::<Result<Vec<_>, Error>>()
    })?;
    let all: BTreeSet<&str> = lists
        .iter()
        .flatten()
        .flat_map(|list| list.lines())
        .collect();
    let sizes = sizes(&all.into_iter().collect::<Vec<_>>())?;
    let with_size = |path: &str| StorePath {
        path: path.to_owned(),
        bytes: sizes.get(path).copied().unwrap_or(0),
    };
    let closure = |list: &String| list.lines().map(with_size).collect();
    Ok(lists
        .iter()
        .map(|list| list.as_ref().map(closure))
        .collect())
}

fn store(path: &str) -> impl Fn(program::Error) -> Error {
    move |source| Error::Store {
        path: path.to_owned(),
        source,
    }
}

fn requisites(path: &str) -> Result<Option<String>, Error> {
    let found = Program::find("nix-store")?
        .args(["--query", "--requisites", path])
        .run()
        .map_err(store(path))?;
    let text = String::from_utf8_lossy(&found.stdout).into_owned();
    Ok((found.status == 0).then_some(text))
}

fn sizes<'a>(paths: &[&'a str]) -> Result<BTreeMap<&'a str, u64>, Error> {
    let mut sizes = BTreeMap::new();
    // Few enough at a time for any limit on the length of a command line.
    for some in paths.chunks(1000) {
        let answer = Program::find("nix-store")?
            .args(["--query", "--size"])
            .args(some)
            .output()
            .map_err(store(some[0]))?;
        let text = String::from_utf8_lossy(&answer);
        let bytes = text.lines().map(|line| line.trim().parse().unwrap_or(0));
        sizes.extend(some.iter().copied().zip(bytes));
    }
    Ok(sizes)
}

/// Starts to export paths as a stream on the stdout of the child.
pub fn export(paths: &[&str]) -> Result<Child, Error> {
    let mut nix = Program::find("nix-store")?.arg("--export").args(paths);
    nix.command()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    Ok(nix.spawn()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flake_reference_names_a_system() {
        let attribute = |text: &str| Installable::parse(text, "box", PathBuf::new()).attribute();
        assert_eq!(
            attribute(".#web"),
            ".#nixosConfigurations.\"web\".config.system.build.toplevel"
        );
        assert_eq!(
            attribute("."),
            ".#nixosConfigurations.\"box\".config.system.build.toplevel"
        );
        assert_eq!(
            attribute("#a.b"),
            ".#nixosConfigurations.\"a.b\".config.system.build.toplevel"
        );
        assert_eq!(
            attribute("git+file:///x?ref=y#q\"q"),
            "git+file:///x?ref=y#nixosConfigurations.\"q\\\"q\".config.system.build.toplevel"
        );
    }
}
