//! The local Nix: every call is one that versions 2.8 to 2.3x understand alike.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Stdio};

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

/// Lists the closure of a path with sizes, or says that the local store does not have it.
pub fn closure(path: &str) -> Result<Option<Vec<StorePath>>, Error> {
    let store = |source| Error::Store {
        path: path.to_owned(),
        source,
    };
    let found = Program::find("nix-store")?
        .args(["--query", "--requisites", path])
        .run()
        .map_err(store)?;
    if found.status != 0 {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&found.stdout).into_owned();
    let paths: Vec<&str> = text.lines().collect();
    let mut sizes = Vec::with_capacity(paths.len());
    // Few enough at a time for any limit on the length of a command line.
    for some in paths.chunks(1000) {
        let answer = Program::find("nix-store")?
            .args(["--query", "--size"])
            .args(some)
            .output()
            .map_err(store)?;
        sizes.extend(
            String::from_utf8_lossy(&answer)
                .lines()
                .map(|line| line.trim().parse().unwrap_or(0)),
        );
    }
    let closure = paths.into_iter().zip(sizes).map(|(path, bytes)| StorePath {
        path: path.to_owned(),
        bytes,
    });
    Ok(Some(closure.collect()))
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
