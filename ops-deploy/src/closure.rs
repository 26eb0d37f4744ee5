//! Store paths, and what two closures have different: packages added, removed, changed, with versions and sizes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// A path of a closure with the bytes that it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorePath {
    /// The whole path.
    pub path: String,
    /// Size of its serialisation.
    pub bytes: u64,
}

/// What is different about a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Only the new system has it.
    Added,
    /// Only the old system has it.
    Removed,
    /// Both have it, in other versions or builds.
    Changed,
}

impl Kind {
    /// The word in records.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

/// One package that two systems do not have alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Package {
    /// What is different.
    pub change: Kind,
    /// Its name without version.
    pub name: String,
    /// The versions of the old system, joined with `, `.
    pub old: String,
    /// The versions of the new system.
    pub new: String,
    /// How much more, or less, the new system holds of it.
    pub delta_bytes: i64,
}

/// Says whether a text is a path of the store and nothing else: `/nix/store/HASH-NAME`.
#[must_use]
pub fn is_store_path(text: &str) -> bool {
    let Some((hash, name)) = text
        .strip_prefix("/nix/store/")
        .and_then(|rest| rest.split_once('-'))
    else {
        return false;
    };
    let in_hash = |c: char| c.is_ascii_digit() || (c.is_ascii_lowercase() && !"eotu".contains(c));
    let in_name = |c: char| c.is_ascii_alphanumeric() || "+-._?=".contains(c);
    hash.len() == 32 && hash.chars().all(in_hash) && !name.is_empty() && name.chars().all(in_name)
}

/// Splits a store path into the name and version of its package; outputs like `-bin` and `-man` belong to the version's package.
///
/// The version starts at the first dash that is followed by a digit, as in Nix itself.
#[must_use]
pub fn name_and_version(path: &str) -> (&str, &str) {
    let base = path.rsplit('/').next().unwrap_or(path);
    let base = match base.split_once('-') {
        Some((hash, rest)) if hash.len() == 32 => rest,
        _ => base,
    };
    let dash = base.match_indices('-').map(|(at, _)| at).find(|at| {
        let after = base[at + 1..].chars().next();
        after.is_some_and(|c| c.is_ascii_digit())
    });
    match dash {
        None => (base, ""),
        Some(at) => (&base[..at], strip_output(&base[at + 1..])),
    }
}

fn strip_output(version: &str) -> &str {
    const OUTPUTS: [&str; 9] = [
        "-bin", "-dev", "-lib", "-man", "-doc", "-info", "-out", "-data", "-static",
    ];
    OUTPUTS
        .iter()
        .find_map(|output| version.strip_suffix(output))
        .unwrap_or(version)
}

/// Compares two closures by package; what both share, path for path, does not appear.
#[must_use]
pub fn difference(old: &[StorePath], new: &[StorePath]) -> Vec<Package> {
    let shared: BTreeSet<&str> = {
        let ours: BTreeSet<&str> = old.iter().map(|path| path.path.as_str()).collect();
        new.iter()
            .map(|path| path.path.as_str())
            .filter(|path| ours.contains(path))
            .collect()
    };
    let mut packages: BTreeMap<&str, (Side<'_>, Side<'_>)> = BTreeMap::new();
    for path in old
        .iter()
        .filter(|path| !shared.contains(path.path.as_str()))
    {
        let (name, version) = name_and_version(&path.path);
        packages.entry(name).or_default().0.add(version, path.bytes);
    }
    for path in new
        .iter()
        .filter(|path| !shared.contains(path.path.as_str()))
    {
        let (name, version) = name_and_version(&path.path);
        packages.entry(name).or_default().1.add(version, path.bytes);
    }
    packages
        .into_iter()
        .map(|(name, (old, new))| package(name, &old, &new))
        .collect()
}

#[derive(Default)]
struct Side<'a> {
    paths: usize,
    versions: BTreeSet<&'a str>,
    bytes: u64,
}

impl<'a> Side<'a> {
    fn add(&mut self, version: &'a str, bytes: u64) {
        self.paths += 1;
        self.bytes += bytes;
        if !version.is_empty() {
            self.versions.insert(version);
        }
    }

    fn told(&self) -> String {
        self.versions.iter().copied().collect::<Vec<_>>().join(", ")
    }
}

fn package(name: &str, old: &Side<'_>, new: &Side<'_>) -> Package {
    let change = match (old.paths, new.paths) {
        (0, _) => Kind::Added,
        (_, 0) => Kind::Removed,
        _ => Kind::Changed,
    };
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    Package {
        change,
        name: name.to_owned(),
        old: old.told(),
        new: new.told(),
        delta_bytes: signed(new.bytes) - signed(old.bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "0123456789abcdfghijklmnpqrsvwxyz";

    fn path(name: &str, bytes: u64) -> StorePath {
        StorePath {
            path: format!("/nix/store/{HASH}-{name}"),
            bytes,
        }
    }

    #[test]
    fn names_and_versions_are_told_apart() {
        let cases = [
            ("nginx-1.26.2", ("nginx", "1.26.2")),
            ("openssl-3.0.14-bin", ("openssl", "3.0.14")),
            (
                "python3.12-requests-2.31.0",
                ("python3.12-requests", "2.31.0"),
            ),
            ("etc", ("etc", "")),
            ("unit-nginx.service", ("unit-nginx.service", "")),
            (
                "postgresql-and-plugins-16.3",
                ("postgresql-and-plugins", "16.3"),
            ),
        ];
        for (name, expected) in cases {
            assert_eq!(name_and_version(&path(name, 0).path), expected, "{name}");
        }
    }

    #[test]
    fn only_whole_store_paths_pass() {
        assert!(is_store_path(&path("nixos-system-a-25.05", 0).path));
        let upper = HASH.replace('a', "A");
        for bad in [
            "",
            "/nix/store",
            "/nix/store/x-y",
            "/nix/store/../etc/passwd",
            &format!("/nix/store/{upper}-a"),
            &format!("/nix/store/{HASH}-a/bin"),
            &format!("/nix/store/{HASH}-a b"),
            &format!("/nix/store/{HASH}-$(id)"),
            &format!("/nix/store/{HASH}"),
        ] {
            assert!(!is_store_path(bad), "{bad}");
        }
    }

    #[test]
    fn a_difference_is_by_package_with_all_its_outputs() {
        let other = |name: &str, bytes| StorePath {
            path: format!("/nix/store/{}-{name}", "z".repeat(32)),
            bytes,
        };
        let old = [
            path("shared-1", 7),
            path("nginx-1.26", 10),
            path("gone-2", 5),
            path("etc", 1),
        ];
        let new = [
            path("shared-1", 7),
            path("nginx-1.27", 12),
            path("nginx-1.27-doc", 3),
            path("new", 9),
            other("etc", 2),
        ];
        let found: Vec<_> = difference(&old, &new)
            .into_iter()
            .map(|p| (p.change, p.name, p.old, p.new, p.delta_bytes))
            .collect();
        let row = |kind, name: &str, old: &str, new: &str, delta| {
            (kind, name.to_owned(), old.to_owned(), new.to_owned(), delta)
        };
        assert_eq!(
            found,
            [
                row(Kind::Changed, "etc", "", "", 1),
                row(Kind::Removed, "gone", "2", "", -5),
                row(Kind::Added, "new", "", "", 9),
                row(Kind::Changed, "nginx", "1.26", "1.27", 5),
            ]
        );
    }

    #[test]
    fn equal_closures_have_no_difference() {
        let closure = [path("a-1", 1), path("b-2", 2)];
        assert_eq!(difference(&closure, &closure), []);
    }
}
