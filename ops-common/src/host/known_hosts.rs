//! Is this the machine that it was: OpenSSH's `known_hosts` files, read as OpenSSH reads them.
//!
//! libssh2 has a reader of its own, but it compares names as plain strings and files a `@revoked` line under a host of that
//! name, so that a revoked key which is also listed as valid passes. Here are patterns, negation, hashed names, ports and
//! markers. What stands in no valid form is skipped, as OpenSSH does: a line from a newer version must not lock us out.

mod entry;

use std::{
    io,
    path::{Path, PathBuf},
};

pub(super) use self::entry::Place;
use self::entry::{Entry, Marker};

/// All that the files say, in their order.
#[derive(Debug, Default)]
pub(super) struct KnownHosts {
    entries: Vec<Entry>,
}

/// What the files say about a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Known,
    Unknown,
    /// The host is known by other keys.
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
            // Only its comment can be in another encoding, and that must not hide what the line says.
            let line = String::from_utf8_lossy(line);
            self.entries.extend(Entry::parse(&line, place));
        }
    }

    fn entries(&self, marker: Marker, name: &str) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(move |entry| entry.marker == marker && entry.names.include(name))
    }

    /// The keys of a host. A later name counts only for a host that no earlier one knows.
    fn listed(&self, identity: &Identity) -> Vec<&Entry> {
        let names = identity.names.iter();
        names
            .map(|name| self.entries(Marker::None, name).collect::<Vec<_>>())
            .find(|entries| !entries.is_empty())
            .unwrap_or_default()
    }

    /// The types of the keys that are on file for the host.
    pub(super) fn key_types(&self, identity: &Identity) -> Vec<&str> {
        let listed = self.listed(identity);
        listed.iter().map(|entry| entry.key_type.as_str()).collect()
    }

    /// Judges the key that the host has shown.
    pub(super) fn judge(&self, identity: &Identity, key: &[u8]) -> Verdict {
        let names = || identity.names.iter();
        let mut revoked = names().flat_map(|name| self.entries(Marker::Revoked, name));
        if let Some(entry) = revoked.find(|entry| entry.key == key) {
            return Verdict::Revoked(entry.place.clone());
        }
        let listed = self.listed(identity);
        if listed.iter().any(|entry| entry.key == key) {
            return Verdict::Known;
        }
        let mut authorities = names().flat_map(|name| self.entries(Marker::Authority, name));
        if let Some(entry) = authorities.next() {
            return Verdict::Authority(entry.place.clone());
        }
        match listed.first() {
            // A plain name says nothing against a server on another port.
            Some(entry) if entry.names.include(identity.name()) => {
                Verdict::Changed(entry.place.clone())
            }
            _ => Verdict::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use hmac::{Hmac, KeyInit, Mac};
    use sha1::Sha1;

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
        known.judge(identity, key)
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
        // A host that is known by one key and shows one of another type is no new host.
        assert_eq!(
            judge(&lines, &plain("db"), &rsa),
            Verdict::Changed(place(3))
        );
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
    fn a_comment_in_another_encoding_hides_no_line() {
        let (one, line) = key("ssh-ed25519", 1);
        let mut known = KnownHosts::default();
        let text = [format!("@revoked * {line} ").as_bytes(), b"J\xf6rg"].concat();
        known.add(Path::new("k"), &text);
        assert!(matches!(
            known.judge(&plain("db"), &one),
            Verdict::Revoked(_)
        ));
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
        // With its port the host is known, by another key: its name without the port says nothing for that.
        assert_eq!(
            judge(
                &[format!("[db]:2222 {one_line}"), format!("db {two_line}")],
                &other_port,
                &two
            ),
            Verdict::Changed(place(1))
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
    fn the_types_on_file_are_those_under_the_first_name() {
        let mut known = KnownHosts::default();
        let text = ["[db]:2222 ", "db ", "[db]:2222 "]
            .iter()
            .zip(["ssh-rsa", "ssh-ed25519", "ssh-rsa"])
            .map(|(name, kind)| format!("{name}{}", key(kind, 1).1))
            .collect::<Vec<_>>()
            .join("\n");
        known.add(Path::new("k"), text.as_bytes());
        let types = |port| known.key_types(&Identity::new(None, "db", port));
        assert_eq!(types(22), ["ssh-ed25519"]);
        assert_eq!(types(2222), ["ssh-rsa", "ssh-rsa"]);
        assert_eq!(types(2200), ["ssh-ed25519"]);
    }
}
