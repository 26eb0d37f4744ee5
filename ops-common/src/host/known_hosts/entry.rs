//! A line of a `known_hosts` file: `[@marker] names key-type base64-key [comment]`.

use std::path::PathBuf;

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use crate::host::wire;

/// What a line says.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) marker: Marker,
    pub(super) names: Names,
    pub(super) key_type: String,
    pub(super) key: Vec<u8>,
    pub(super) place: Place,
}

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::host) struct Place {
    pub(in crate::host) file: PathBuf,
    pub(in crate::host) line: usize,
}

/// What the key of a line is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Marker {
    None,
    Revoked,
    Authority,
}

/// Whom a line is about.
#[derive(Debug)]
pub(super) enum Names {
    /// Patterns with `*` and `?`; those with `!` in front exclude.
    Patterns(Vec<String>),
    /// HMAC-SHA1 of one name.
    Hashed { salt: Vec<u8>, hash: Vec<u8> },
}

impl Entry {
    /// Reads a line. One in no valid form says nothing.
    pub(super) fn parse(line: &str, place: Place) -> Option<Entry> {
        let mut words = line
            .split([' ', '\t', '\r'])
            .filter(|word| !word.is_empty());
        let mut names = words.next().filter(|word| !word.starts_with('#'))?;
        let marker = match names {
            "@revoked" => Marker::Revoked,
            "@cert-authority" => Marker::Authority,
            _ if names.starts_with('@') => return None,
            _ => Marker::None,
        };
        if marker != Marker::None {
            names = words.next()?;
        }
        let names = Names::parse(names)?;
        let key_type = words.next()?.to_owned();
        let key = STANDARD.decode(words.next()?).ok()?;
        // The key repeats its type; a line where the two differ is damaged.
        (wire::type_of(&key)? == key_type).then_some(Entry {
            marker,
            names,
            key_type,
            key,
            place,
        })
    }
}

impl Names {
    fn parse(text: &str) -> Option<Names> {
        let Some(hashed) = text.strip_prefix("|1|") else {
            return Some(Names::Patterns(
                text.to_lowercase().split(',').map(str::to_owned).collect(),
            ));
        };
        let (salt, hash) = hashed.split_once('|')?;
        Some(Names::Hashed {
            salt: STANDARD.decode(salt).ok()?,
            hash: STANDARD.decode(hash).ok()?,
        })
    }

    /// Whether a name in lower case is among them.
    pub(super) fn include(&self, name: &str) -> bool {
        match self {
            Names::Hashed { salt, hash } => Hmac::<Sha1>::new_from_slice(salt)
                .is_ok_and(|mac| mac.chain_update(name).finalize().into_bytes().as_slice() == hash),
            Names::Patterns(patterns) => {
                let excludes = |pattern: &String| {
                    pattern
                        .strip_prefix('!')
                        .is_some_and(|rest| glob(rest, name))
                };
                !patterns.iter().any(excludes) && patterns.iter().any(|pattern| glob(pattern, name))
            }
        }
    }
}

/// `*` is any run of letters, `?` any one.
fn glob(pattern: &str, name: &str) -> bool {
    let mut letters = pattern.chars();
    match letters.next() {
        None => name.is_empty(),
        Some('*') => {
            let rest = letters.as_str();
            name.char_indices()
                .map(|(at, _)| at)
                .chain([name.len()])
                .any(|at| glob(rest, &name[at..]))
        }
        Some(wanted) => {
            let mut name = name.chars();
            name.next()
                .is_some_and(|letter| wanted == '?' || wanted == letter)
                && glob(letters.as_str(), name.as_str())
        }
    }
}
