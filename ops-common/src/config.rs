//! `ops.yaml`: found, not merged; read strictly, so that a misspelt key is an error with its line and column.

mod top;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::environment;
use crate::exit::{Failure, Status};

/// More than anybody has written by hand.
const LARGEST: u64 = 4 << 20;

/// The configuration of a run.
#[derive(Clone, Debug, Default)]
pub struct Config {
    path: Option<PathBuf>,
    text: String,
    /// The host that is meant where none is named.
    pub default_host: Option<String>,
    /// The hosts by name.
    pub hosts: BTreeMap<String, HostEntry>,
}

/// One host of `ops.yaml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostEntry {
    /// How ssh reaches it, `user@address[:port]` or an alias; its own name if absent.
    pub ssh: Option<String>,
    /// The flake output with its system, `PATH#NAME`.
    pub flake: Option<String>,
    /// The groups that `@group` finds it by.
    pub groups: Vec<String>,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is named or found but cannot be read.
    #[error("cannot read the configuration '{}'", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not YAML of the expected form.
    #[error("the configuration '{}' is wrong", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_yaml::Error,
    },
}

impl Failure for Error {
    fn status(&self) -> Status {
        Status::BadConfig
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Read { path, .. } => Some(format!(
                "name a file with --config, or make '{}' readable",
                path.display()
            )),
            Self::Parse { source, .. } => source
                .to_string()
                .contains("cannot start any token")
                .then(|| "YAML is indented with spaces, never with tabs".to_owned()),
        }
    }
}

impl Config {
    /// Reads the file that is `named`, else the first found; without any, everything has its default.
    pub fn load(named: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = named.map(Path::to_owned).or_else(find) else {
            return Ok(Self::default());
        };
        match read(&path) {
            Ok(text) => Self::parse(path, text),
            Err(source) => Err(Error::Read { path, source }),
        }
    }

    /// Takes `text` as the content of the file at `path`.
    pub fn parse(path: PathBuf, text: String) -> Result<Self, Error> {
        let common = top::common(&text).map_err(|source| Error::Parse {
            path: path.clone(),
            source,
        })?;
        let (default_host, hosts) = (common.default_host, common.hosts);
        Ok(Self {
            path: Some(path),
            text,
            default_host,
            hosts,
        })
    }

    /// The section of a tool; its defaults where the file or the section is missing.
    pub fn section<T: DeserializeOwned + Default>(&self, name: &'static str) -> Result<T, Error> {
        let Some(path) = &self.path else {
            return Ok(T::default());
        };
        top::section(&self.text, name)
            .map(Option::unwrap_or_default)
            .map_err(|source| Error::Parse {
                path: path.clone(),
                source,
            })
    }

    /// The file in use, if there is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// A path of the configuration, which is relative to its file.
    #[must_use]
    pub fn resolve(&self, path: &Path) -> PathBuf {
        let folder = self.path.as_deref().and_then(Path::parent);
        folder.map_or_else(|| path.to_owned(), |folder| folder.join(path))
    }
}

/// Reads a file that people wrote. One without an end is none.
fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(LARGEST + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

fn find() -> Option<PathBuf> {
    let here = std::env::current_dir().ok();
    let upward = here
        .iter()
        .flat_map(|here| here.ancestors())
        .map(|folder| folder.join("ops.yaml"));
    let user = environment::config_home().map(|folder| folder.join("ops/ops.yaml"));
    upward
        .chain(user)
        .chain([PathBuf::from("/etc/ops.yaml")])
        // A link that leads nowhere is a mistake to tell, not a file that is missing.
        .find(|path| path.symlink_metadata().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Db {
        superuser: Option<String>,
    }

    fn parse(text: &str) -> Result<Config, Error> {
        Config::parse("/etc/ops.yaml".into(), text.to_owned())
    }

    #[test]
    fn hosts_and_sections() {
        let config = parse(
            "default_host: a\nhosts:\n  a: {ssh: root@203.0.113.10, groups: [x]}\n  b:\ndb: {superuser: pg}\n",
        );
        let config = config.unwrap();
        assert_eq!(config.default_host.as_deref(), Some("a"));
        assert_eq!(config.hosts["a"].ssh.as_deref(), Some("root@203.0.113.10"));
        assert_eq!(config.hosts["b"], HostEntry::default());
        assert_eq!(
            config.section::<Db>("db").unwrap().superuser.as_deref(),
            Some("pg")
        );
        assert_eq!(config.section::<Db>("matrix").unwrap(), Db::default());
        assert_eq!(config.resolve(Path::new("docs")), Path::new("/etc/docs"));
    }

    #[test]
    fn an_empty_file_is_all_defaults() {
        assert_eq!(parse("").unwrap().hosts.len(), 0);
        assert_eq!(
            parse("db:\n").unwrap().section::<Db>("db").unwrap(),
            Db::default()
        );
    }

    #[test]
    fn unknown_keys_are_errors_with_their_place() {
        let told = |error: Error| crate::exit::describe(&error);
        let top = told(parse("default_host: a\nhoost: {}\n").unwrap_err());
        assert!(
            top.contains("unknown field `hoost`") && top.contains("line"),
            "{top}"
        );
        let section = told(
            parse("db:\n  superusr: x\n")
                .unwrap()
                .section::<Db>("db")
                .unwrap_err(),
        );
        assert!(
            section.contains("db.superusr") || section.contains("superusr"),
            "{section}"
        );
        assert!(section.contains("line 2 column 3"), "{section}");
    }

    #[test]
    fn files_of_all_kinds_of_people() {
        let with_host = |text: &str| parse(text).unwrap().hosts.contains_key("a");
        for text in [
            "\u{feff}hosts:\n  a: {}\n",
            "hosts:\r\n  a:\r\n    ssh: x\r\n",
            "---\nhosts: {a: {ssh: x}}\n...\n",
            "# words\n\nhosts: {\"a\": null}",
            "hosts:\n  z: &z {ssh: x}\n  a: *z\n",
        ] {
            assert!(with_host(text), "{text:?}");
        }
        for text in ["# only words\n", "---\n", "\n\n", "~", "hosts:\n"] {
            assert!(parse(text).unwrap().hosts.is_empty(), "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, told) in [
            ("hosts:\n\ta: {}\n", "line 2 column 1"),
            ("hosts:\n  a: {}\n  a: {ssh: x}\n", "duplicate name `a`"),
            ("hosts: {}\nhosts: {}\n", "duplicate field `hosts`"),
            ("hosts:\n  a: {ssh: x, ssh: y}\n", "duplicate field `ssh`"),
            ("hosts:\n  a: {<<: {ssh: x}}\n", "unknown field `<<`"),
            ("hosts: {}\n---\nhosts: {}\n", "more than one document"),
            ("hosts: [a, b]\n", "a mapping of names"),
            ("- hosts\n", "a mapping with default_host"),
            ("default_host: [a]\n", "a string"),
            ("hosts: {a: *nobody}\n", "unknown anchor"),
            ("hosts: {a: {ssh: 'x}\n", "line"),
            ("hosts: &a {b: *a}\n", "unknown field `b`"),
        ] {
            let error = parse(text).expect_err(text);
            let message = crate::exit::describe(&error);
            assert!(message.contains(told), "{text:?}: {message}");
            assert_eq!(error.status(), Status::BadConfig);
        }
    }

    #[test]
    fn what_is_found_but_no_file_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ops.yaml");
        let load = || Config::load(Some(&path)).unwrap_err();
        assert!(matches!(load(), Error::Read { .. }));
        std::os::unix::fs::symlink(&path, &path).unwrap();
        assert!(matches!(load(), Error::Read { .. }));
        assert!(matches!(
            Config::load(Some(folder.path())).unwrap_err(),
            Error::Read { .. }
        ));
        let endless = Config::load(Some(Path::new("/dev/zero"))).unwrap_err();
        assert!(
            crate::exit::describe(&endless).contains("file too large"),
            "{endless:?}"
        );
    }
}
