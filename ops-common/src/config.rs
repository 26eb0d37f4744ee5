//! `ops.yaml`: found, not merged; read strictly, so that a misspelt key is an error with its line and column.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, Visitor};

use crate::environment;
use crate::exit::{Failure, Status};

/// The keys of the top level. Behind the first two, each is the section of one tool, which no other reads.
const KEYS: &[&str] = &[
    "default_host",
    "hosts",
    "matrix",
    "bridge",
    "db",
    "deploy",
    "secrets",
];

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
        let Self::Read { path, .. } = self else {
            return None;
        };
        Some(format!(
            "name a file with --config, or make '{}' readable",
            path.display()
        ))
    }
}

impl Config {
    /// Reads the file that is `named`, else the first found; without any, everything has its default.
    pub fn load(named: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = named.map(Path::to_owned).or_else(find) else {
            return Ok(Self::default());
        };
        let text = std::fs::read_to_string(&path).map_err(|source| Error::Read {
            path: path.clone(),
            source,
        })?;
        Self::parse(path, text)
    }

    /// Takes `text` as the content of the file at `path`.
    pub fn parse(path: PathBuf, text: String) -> Result<Self, Error> {
        let parsed = serde_yaml::Deserializer::from_str(&text).deserialize_top::<Common>("");
        let common = parsed.map_err(|source| Error::Parse {
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
        let parsed = serde_yaml::Deserializer::from_str(&self.text).deserialize_top::<One<T>>(name);
        parsed
            .map(|one| one.0.unwrap_or_default())
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
        .find(|path| path.exists())
}

#[derive(Default)]
struct Common {
    default_host: Option<String>,
    hosts: BTreeMap<String, HostEntry>,
}

struct One<T>(Option<T>);

/// What a reader of the top level takes of it. Going over the text once for each section keeps line and column in
/// the errors, which an intermediate value would lose.
trait Take: Sized {
    fn start() -> Self;
    fn key<'de, A: MapAccess<'de>>(
        &mut self,
        key: &str,
        section: &str,
        map: &mut A,
    ) -> Result<(), A::Error>;
}

impl Take for Common {
    fn start() -> Self {
        Self::default()
    }

    fn key<'de, A: MapAccess<'de>>(
        &mut self,
        key: &str,
        _: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match key {
            "default_host" => self.default_host = map.next_value()?,
            "hosts" => self.hosts = map.next_value::<Option<_>>()?.unwrap_or_default(),
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

impl<T: DeserializeOwned> Take for One<T> {
    fn start() -> Self {
        Self(None)
    }

    fn key<'de, A: MapAccess<'de>>(
        &mut self,
        key: &str,
        section: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        if key == section {
            self.0 = map.next_value()?;
        } else {
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

trait DeserializeTop {
    fn deserialize_top<T: Take>(self, section: &'static str) -> Result<T, serde_yaml::Error>;
}

impl DeserializeTop for serde_yaml::Deserializer<'_> {
    fn deserialize_top<T: Take>(self, section: &'static str) -> Result<T, serde_yaml::Error> {
        Top::<T> {
            section,
            takes: PhantomData,
        }
        .deserialize(self)
    }
}

struct Top<T> {
    section: &'static str,
    takes: PhantomData<T>,
}

impl<'de, T: Take> DeserializeSeed<'de> for Top<T> {
    type Value = T;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Take> Visitor<'de> for Top<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping with default_host, hosts and the sections of the tools")
    }

    fn visit_none<E>(self) -> Result<T, E> {
        Ok(T::start())
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::start())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut taken = T::start();
        while let Some(Key(key)) = map.next_key()? {
            taken.key(&key, self.section, &mut map)?;
        }
        Ok(taken)
    }
}

/// A key of the top level. It is refused while it is read: later the reader no longer knows where it stood.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KnownKey).map(Self)
    }
}

struct KnownKey;

impl Visitor<'_> for KnownKey {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<String, E> {
        if KEYS.contains(&key) {
            Ok(key.to_owned())
        } else {
            Err(E::unknown_field(key, KEYS))
        }
    }
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
}
