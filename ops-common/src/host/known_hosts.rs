//! Is this the machine that it was: OpenSSH's `known_hosts` files, read as OpenSSH reads them.
//!
//! libssh2 has a reader of its own, but it compares names as plain strings and files a `@revoked` line under a host of that
//! name, so that a revoked key which is also listed as valid passes. Here are patterns, negation, hashed names, ports and
//! markers. What stands in no valid form is skipped, as OpenSSH does: a line from a newer version must not lock us out.

use std::{
    io,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD, engine::general_purpose::STANDARD_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// All that the files say, in their order.
#[derive(Debug, Default)]
pub(super) struct KnownHosts {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    marker: Marker,
    names: Names,
    key_type: String,
    key: Vec<u8>,
    place: Place,
}

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: PathBuf,
    pub(super) line: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum Marker {
    None,
    Revoked,
    Authority,
}

#[derive(Debug)]
enum Names {
    /// Patterns with `*` and `?`; those with `!` in front exclude.
    Patterns(Vec<String>),
    /// HMAC-SHA1 of one name.
    Hashed { salt: Vec<u8>, hash: Vec<u8> },
}

/// What the files say about a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Known,
    Unknown,
    /// Another key of this type is known.
    Changed(Place),
    Revoked(Place),
    /// The host would have to show a certificate, and libssh2 cannot check those.
    Authority(Place),
}

/// The names under which a host may stand in the files.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    names: Vec<String>,
}

impl Identity {
    /// An alias is taken as it is; an address with another port than 22 is `[address]:port`, and its plain name will do
    /// where that is not listed.
    pub(super) fn new(alias: Option<&str>, host_name: &str, port: u16) -> Identity {
        let names = match (alias, port) {
            (Some(alias), _) => vec![alias.to_lowercase()],
            (None, 22) => vec![host_name.to_lowercase()],
            (None, port) => vec![
                format!("[{host_name}]:{port}").to_lowercase(),
                host_name.to_lowercase(),
            ],
        };
        Identity { names }
    }

    /// The name to store a new key under.
    pub(super) fn name(&self) -> &str {
        &self.names[0]
    }
}

impl KnownHosts {
    /// Reads the files; one that is not there says nothing.
    pub(super) fn read(files: &[PathBuf]) -> Result<KnownHosts, (PathBuf, io::Error)> {
        let mut known = KnownHosts::default();
        for file in files {
            match std::fs::read(file) {
                Ok(text) => known.add(file, &text),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err((file.clone(), error)),
            }
        }
        Ok(known)
    }

    /// Adds the lines of one file.
    fn add(&mut self, file: &Path, text: &[u8]) {
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let place = Place {
                file: file.to_owned(),
                line: index + 1,
            };
            self.entries.extend(
                str::from_utf8(line)
                    .ok()
                    .and_then(|line| Entry::parse(line, place)),
            );
        }
    }

    /// The types of the keys that are on file for the host, in their order.
    pub(super) fn key_types(&self, identity: &Identity) -> Vec<&str> {
        let mut types = Vec::new();
        for name in &identity.names {
            for entry in self
                .entries
                .iter()
                .filter(|entry| entry.marker == Marker::None && entry.names.match_(name))
            {
                if !types.contains(&entry.key_type.as_str()) {
                    types.push(&entry.key_type);
                }
            }
        }
        types
    }

    /// Judges the key that the host has shown.
    pub(super) fn judge(&self, identity: &Identity, key_type: &str, key: &[u8]) -> Verdict {
        let entries = |name: &str| {
            self.entries
                .iter()
                .filter(move |entry| entry.names.match_(name))
                .collect::<Vec<_>>()
        };
        let named: Vec<Vec<&Entry>> = identity.names.iter().map(|name| entries(name)).collect();
        let mut all = named.iter().flatten();
        if let Some(entry) = all
            .clone()
            .find(|entry| entry.marker == Marker::Revoked && entry.key == key)
        {
            return Verdict::Revoked(entry.place.clone());
        }
        if all
            .clone()
            .any(|entry| entry.marker == Marker::None && entry.key == key)
        {
            return Verdict::Known;
        }
        let changed = |entry: &&&Entry| entry.marker == Marker::None && entry.key_type == key_type;
        // A plain name says nothing against a server on another port.
        if let Some(entry) = named[0].iter().find(changed) {
            return Verdict::Changed(entry.place.clone());
        }
        match all.find(|entry| entry.marker == Marker::Authority) {
            Some(entry) => Verdict::Authority(entry.place.clone()),
            None => Verdict::Unknown,
        }
    }
}

impl Entry {
    /// Parses `[@marker] names key-type base64-key [comment]`.
    fn parse(line: &str, place: Place) -> Option<Entry> {
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
        (key_type_of(&key)? == key_type).then_some(Entry {
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

    fn match_(&self, name: &str) -> bool {
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

/// The type that a key in ssh's wire format begins with.
pub(super) fn key_type_of(key: &[u8]) -> Option<&str> {
    let (length, rest) = key.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    str::from_utf8(rest.get(..length)?).ok()
}

/// A key's fingerprint as ssh-keygen prints it.
pub(super) fn fingerprint(key: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key in wire format, and its line.
    fn key(key_type: &str, body: u8) -> (Vec<u8>, String) {
        let length = u32::try_from(key_type.len()).unwrap().to_be_bytes();
        let key = [length.as_slice(), key_type.as_bytes(), &[0, 0, 0, 1, body]].concat();
        let line = format!("{key_type} {}", STANDARD.encode(&key));
        (key, line)
    }

    fn judge(lines: &[String], identity: &Identity, key: &[u8]) -> Verdict {
        let mut known = KnownHosts::default();
        known.add(Path::new("k"), lines.join("\n").as_bytes());
        known.judge(identity, key_type_of(key).unwrap(), key)
    }

    fn place(line: usize) -> Place {
        Place {
            file: "k".into(),
            line,
        }
    }

    fn plain(name: &str) -> Identity {
        Identity::new(None, name, 22)
    }

    #[test]
    fn known_unknown_and_changed() {
        let (one, one_line) = key("ssh-ed25519", 1);
        let (two, _) = key("ssh-ed25519", 2);
        let (rsa, _) = key("ssh-rsa", 1);
        let lines = [format!(
            "# comment\nnonsense\ndb,db.example {one_line} me@here"
        )];
        assert_eq!(judge(&lines, &plain("db.example"), &one), Verdict::Known);
        assert_eq!(judge(&lines, &plain("DB"), &one), Verdict::Known);
        assert_eq!(judge(&lines, &plain("web"), &one), Verdict::Unknown);
        assert_eq!(
            judge(&lines, &plain("db"), &two),
            Verdict::Changed(place(3))
        );
        assert_eq!(judge(&lines, &plain("db"), &rsa), Verdict::Unknown);
    }

    #[test]
    fn several_keys_of_one_host_are_all_good() {
        let (one, one_line) = key("ssh-ed25519", 1);
        let (two, two_line) = key("ssh-ed25519", 2);
        let lines = [format!("db {one_line}"), format!("db {two_line}")];
        assert_eq!(judge(&lines, &plain("db"), &one), Verdict::Known);
        assert_eq!(judge(&lines, &plain("db"), &two), Verdict::Known);
    }

    #[test]
    fn a_revoked_key_stays_revoked_when_it_is_listed_as_well() {
        let (one, line) = key("ssh-ed25519", 1);
        for lines in [
            [format!("db {line}"), format!("@revoked * {line}")],
            [format!("@revoked db {line}"), format!("db {line}")],
        ] {
            assert!(matches!(
                judge(&lines, &plain("db"), &one),
                Verdict::Revoked(_)
            ));
        }
        let (two, _) = key("ssh-ed25519", 2);
        assert_eq!(
            judge(&[format!("@revoked db {line}")], &plain("db"), &two),
            Verdict::Unknown
        );
    }

    #[test]
    fn patterns_and_negation() {
        let (one, line) = key("ssh-ed25519", 1);
        let lines = [format!("*.example,!bad.example,203.0.113.? {line}")];
        assert_eq!(judge(&lines, &plain("db.example"), &one), Verdict::Known);
        assert_eq!(judge(&lines, &plain("bad.example"), &one), Verdict::Unknown);
        assert_eq!(judge(&lines, &plain("203.0.113.7"), &one), Verdict::Known);
        assert_eq!(
            judge(&lines, &plain("203.0.113.10"), &one),
            Verdict::Unknown
        );
    }

    #[test]
    fn hashed_names() {
        let (one, line) = key("ssh-ed25519", 1);
        let hashed = |name: &str| {
            let mac = Hmac::<Sha1>::new_from_slice(b"salt")
                .unwrap()
                .chain_update(name)
                .finalize()
                .into_bytes();
            format!(
                "|1|{}|{} {line}",
                STANDARD.encode("salt"),
                STANDARD.encode(mac)
            )
        };
        assert_eq!(judge(&[hashed("db")], &plain("db"), &one), Verdict::Known);
        assert_eq!(
            judge(&[hashed("db")], &plain("web"), &one),
            Verdict::Unknown
        );
        assert_eq!(
            judge(
                &[hashed("[db]:2222")],
                &Identity::new(None, "db", 2222),
                &one
            ),
            Verdict::Known
        );
    }

    #[test]
    fn ports_and_aliases() {
        let (one, one_line) = key("ssh-ed25519", 1);
        let (two, two_line) = key("ssh-ed25519", 2);
        let other_port = Identity::new(None, "db", 2222);
        assert_eq!(
            judge(&[format!("[db]:2222 {one_line}")], &other_port, &one),
            Verdict::Known
        );
        assert_eq!(
            judge(&[format!("[db]:2222 {one_line}")], &plain("db"), &one),
            Verdict::Unknown
        );
        assert_eq!(
            judge(&[format!("db {one_line}")], &other_port, &one),
            Verdict::Known
        );
        assert_eq!(
            judge(&[format!("db {two_line}")], &other_port, &one),
            Verdict::Unknown
        );
        let alias = Identity::new(Some("Box"), "db", 2222);
        assert_eq!(
            judge(&[format!("box {two_line}")], &alias, &two),
            Verdict::Known
        );
    }

    #[test]
    fn an_authority_alone_is_told_apart() {
        let (one, line) = key("ssh-ed25519", 1);
        let authority = format!("@cert-authority *.example {line}");
        assert_eq!(
            judge(std::slice::from_ref(&authority), &plain("db.example"), &one),
            Verdict::Authority(place(1))
        );
        assert_eq!(judge(&[authority], &plain("db"), &one), Verdict::Unknown);
    }

    #[test]
    fn the_types_on_file_come_in_their_order() {
        let mut known = KnownHosts::default();
        let text = ["ssh-rsa", "ssh-ed25519", "ssh-rsa"]
            .map(|kind| format!("db {}\n", key(kind, 1).1))
            .concat();
        known.add(Path::new("k"), text.as_bytes());
        assert_eq!(known.key_types(&plain("db")), ["ssh-rsa", "ssh-ed25519"]);
    }
}
