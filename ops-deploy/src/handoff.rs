//! How the steps of a deployment hand systems to each other: lines of PATH, of HOST and PATH, or JSON records.

use std::io::BufRead;

use serde::Deserialize;

use crate::closure::is_store_path;
use crate::error::Error;
use crate::git::Revision;

/// A system for a host, or for the only host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Handed {
    /// The host; empty where the line names none.
    pub host: String,
    /// Its system.
    pub path: String,
    /// The commit that it was built from, where the line says so.
    pub commit: String,
    /// Whether it was built from something else than that commit.
    pub dirty: bool,
}

/// Reads what the step before has printed.
pub fn read(input: impl BufRead) -> Result<Vec<Handed>, Error> {
    let mut handed = Vec::new();
    for (index, line) in input.lines().enumerate() {
        let wrong = |reason: String| Error::NotASystem {
            line: index + 1,
            reason,
        };
        let line = line.map_err(|error| wrong(error.to_string()))?;
        if line.trim().is_empty() {
            continue;
        }
        let one: Handed = if line.starts_with('{') {
            serde_json::from_str(&line).map_err(|error| wrong(error.to_string()))?
        } else {
            let (host, path) = line.split_once('\t').unwrap_or(("", &line));
            Handed {
                host: host.to_owned(),
                path: path.trim().to_owned(),
                ..Handed::default()
            }
        };
        if !is_store_path(&one.path) {
            return Err(wrong(format!(
                "'{}' is not a path of the Nix store",
                one.path
            )));
        }
        let other = |before: &&Handed| before.host == one.host && before.path != one.path;
        if !one.host.is_empty()
            && let Some(before) = handed.iter().find(other)
        {
            return Err(wrong(format!(
                "'{}' had '{}' before, and has '{}' now",
                one.host, before.path, one.path
            )));
        }
        handed.push(one);
    }
    Ok(handed)
}

/// Picks the systems of these hosts, in their order.
pub fn pick(handed: &[Handed], hosts: &[String]) -> Result<Vec<Handed>, Error> {
    let only = hosts.len() == 1 && handed.len() == 1;
    let of = |host: &String| {
        let found = handed
            .iter()
            .find(|one| one.host == *host || (only && one.host.is_empty()));
        found
            .cloned()
            .ok_or_else(|| Error::NoPath { host: host.clone() })
    };
    hosts.iter().map(of).collect()
}

impl Handed {
    /// What it says about the commit.
    #[must_use]
    pub fn revision(&self) -> Revision {
        Revision {
            commit: self.commit.clone(),
            dirty: self.dirty,
            ..Revision::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-a";
    const B: &str = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-b";

    fn picked(text: &str, hosts: &[&str]) -> Result<Vec<String>, Error> {
        let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
        Ok(pick(&read(text.as_bytes())?, &hosts)?
            .into_iter()
            .map(|one| one.path)
            .collect())
    }

    #[test]
    fn one_path_is_for_the_only_host() {
        assert_eq!(picked(&format!("{A}\n"), &["x"]).unwrap(), [A]);
        assert!(picked(&format!("{A}\n"), &["x", "y"]).is_err());
        assert!(picked(&format!("{A}\n{B}\n"), &["x"]).is_err());
    }

    #[test]
    fn named_lines_are_for_their_hosts() {
        let text = format!(
            "x\t{A}\n{{\"host\":\"y\",\"path\":\"{B}\",\"commit\":\"c\",\"dirty\":true}}\n"
        );
        assert_eq!(picked(&text, &["y", "x"]).unwrap(), [B, A]);
        assert!(picked(&text, &["z"]).is_err());
        let revision = read(text.as_bytes()).unwrap()[1].revision();
        assert_eq!((revision.commit.as_str(), revision.dirty), ("c", true));
    }

    #[test]
    fn a_host_has_one_system() {
        let twice = format!("x\t{A}\r\n\r\nx\t{A}\n");
        assert_eq!(picked(&twice, &["x"]).unwrap(), [A]);
        let error = picked(&format!("x\t{A}\n\nx\t{B}\n"), &["x"]).unwrap_err();
        assert!(error.to_string().contains("line 3"), "{error}");
    }

    #[test]
    fn what_is_no_store_path_is_refused_with_its_line() {
        for bad in ["/tmp/x", "$(id)", "{\"host\":\"y\"}", "{"] {
            let error = read(format!("{A}\n{bad}\n").as_bytes()).unwrap_err();
            assert!(error.to_string().contains("line 2"), "{error}");
        }
    }
}
