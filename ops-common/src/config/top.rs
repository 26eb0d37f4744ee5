//! The top level of `ops.yaml`, read so that every mistake has its line and column.
//!
//! Going over the text once for each section keeps the place in the errors, which an intermediate value would lose.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor,
};

use super::HostEntry;

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

/// What all tools read.
#[derive(Default)]
pub(super) struct Common {
    pub(super) default_host: Option<String>,
    pub(super) hosts: BTreeMap<String, HostEntry>,
}

/// Reads what all tools read.
pub(super) fn common(text: &str) -> Result<Common, serde_yaml::Error> {
    let mut common = Common::default();
    read(text, &mut common)?;
    Ok(common)
}

/// Reads the section of one tool.
pub(super) fn section<T: DeserializeOwned>(
    text: &str,
    name: &'static str,
) -> Result<Option<T>, serde_yaml::Error> {
    let mut section = Section { name, value: None };
    read(text, &mut section)?;
    Ok(section.value)
}

fn read<T: Take>(text: &str, into: &mut T) -> Result<(), serde_yaml::Error> {
    serde_yaml::Deserializer::from_str(text).deserialize_any(Top(into))
}

/// What takes its part of the top level.
trait Take {
    /// Takes or skips the value of a key.
    fn value<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error>;
}

impl Take for Common {
    fn value<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "default_host" => self.default_host = map.next_value()?,
            "hosts" => self.hosts = map.next_value_seed(Unique::default())?,
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

/// The section of one tool.
struct Section<T> {
    name: &'static str,
    value: Option<T>,
}

impl<T: DeserializeOwned> Take for Section<T> {
    fn value<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        if key == self.name {
            self.value = map.next_value()?;
        } else {
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

struct Top<'a, T>(&'a mut T);

impl<'de, T: Take> Visitor<'de> for Top<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping with default_host, hosts and the sections of the tools")
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(Key(key)) = map.next_key()? {
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom(format_args!("duplicate field `{key}`")));
            }
            self.0.value(&key, &mut map)?;
        }
        Ok(())
    }
}

/// A key of the top level. It is refused while it is read: later the reader no longer knows where it stood.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KnownKey).map(Self)
    }
}

struct KnownKey;

impl Visitor<'_> for KnownKey {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<String, E> {
        if KEYS.contains(&key) {
            Ok(key.to_owned())
        } else {
            Err(E::unknown_field(key, KEYS))
        }
    }
}

/// A mapping in which no key stands twice; of two that do, the first would be lost.
struct Unique<T>(PhantomData<T>);

impl<T> Default for Unique<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<'de, T: Deserialize<'de> + Default> DeserializeSeed<'de> for Unique<T> {
    type Value = BTreeMap<String, T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for Unique<T> {
    type Value = BTreeMap<String, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping of names")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(BTreeMap::new())
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(BTreeMap::new())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            if entries.contains_key(&name) {
                return Err(A::Error::custom(format_args!("duplicate name `{name}`")));
            }
            let entry = map.next_value::<Option<T>>()?.unwrap_or_default();
            entries.insert(name, entry);
        }
        Ok(entries)
    }
}
