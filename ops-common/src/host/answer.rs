//! The answer of `ssh -G NAME`: what ssh would do to reach a host, as `keyword value` by line.
//!
//! ssh's configuration has patterns, conditions, includes and defaults that change; only ssh reads it right.

use std::path::PathBuf;

use super::{
    Error,
    tokens::{self, Tokens},
};

/// ssh's answer, taken apart.
pub(super) struct Answer<'a> {
    name: &'a str,
    original: &'a str,
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> Answer<'a> {
    /// `name` is the host's name in messages, `original` what ssh was asked about.
    pub(super) fn new(name: &'a str, original: &'a str, text: &'a str) -> Answer<'a> {
        let pairs = text
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(key, value)| (key, value.trim()))
            .collect();
        Answer {
            name,
            original,
            pairs,
        }
    }

    pub(super) fn host_name(&self) -> &'a str {
        self.one("hostname").unwrap_or(self.original)
    }

    pub(super) fn user(&self) -> &'a str {
        self.one("user").unwrap_or("root")
    }

    pub(super) fn port(&self) -> u16 {
        self.one("port")
            .and_then(|port| port.parse().ok())
            .unwrap_or(22)
    }

    /// The value of a keyword that has one.
    pub(super) fn one(&self, key: &str) -> Option<&'a str> {
        self.all(key).next()
    }

    /// The values of a keyword that has a line for each.
    pub(super) fn all(&self, key: &str) -> impl Iterator<Item = &'a str> {
        self.pairs
            .iter()
            .filter(move |(found, _)| *found == key)
            .map(|(_, value)| *value)
    }

    /// Some keywords are told as `yes`, others as `true`.
    pub(super) fn says_yes(&self, key: &str) -> bool {
        matches!(self.one(key), Some("yes" | "true"))
    }

    /// A value with commas.
    pub(super) fn list(&self, key: &str) -> Vec<String> {
        let value = self.one(key).unwrap_or_default();
        let words = value.split(',').filter(|word| !word.is_empty());
        words.map(str::to_owned).collect()
    }

    /// A value of several paths, which ssh puts between spaces without quoting those that stand in one: what does not
    /// begin as a path does goes on with the one before.
    pub(super) fn files(&self, key: &str) -> Vec<PathBuf> {
        let mut files: Vec<String> = Vec::new();
        for word in self.one(key).unwrap_or_default().split(' ') {
            match files.last_mut() {
                Some(file) if !word.starts_with(['/', '~']) => *file += &format!(" {word}"),
                _ => files.push(word.to_owned()),
            }
        }
        let files = files
            .iter()
            .filter(|file| !matches!(file.as_str(), "" | "none" | "/dev/null"));
        files.map(|file| tokens::home(file)).collect()
    }

    /// Puts the values of tokens in.
    pub(super) fn expand(&self, key: &str, value: &str) -> Result<String, Error> {
        self.expanded(key, self.tokens().expand(value))
    }

    /// Puts the values of tokens and of variables in, which paths may have as well.
    pub(super) fn expand_path(&self, key: &str, value: &str) -> Result<String, Error> {
        self.expanded(key, self.tokens().expand_path(value))
    }

    fn expanded(&self, key: &str, expanded: Result<String, String>) -> Result<String, Error> {
        expanded.map_err(|unknown| self.cannot(key, format!("nothing is known as {unknown}")))
    }

    fn tokens(&self) -> Tokens {
        Tokens::new(&tokens::Connection {
            original: self.original,
            host_name: self.host_name(),
            port: self.port(),
            user: self.user(),
            host_key_alias: self.one("hostkeyalias"),
            jump: self.one("proxyjump").filter(|jump| *jump != "none"),
        })
    }

    /// The error about a setting that cannot be honoured.
    pub(super) fn cannot(&self, setting: &str, reason: String) -> Error {
        Error::Setting {
            host: self.name.to_owned(),
            setting: setting.to_owned(),
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_with_spaces_stay_together() {
        let text = "userknownhostsfile /a b/k /c ~/d e\nglobalknownhostsfile none\n";
        let answer = Answer::new("db", "db", text);
        let files = answer.files("userknownhostsfile");
        assert_eq!(files[..2], [PathBuf::from("/a b/k"), PathBuf::from("/c")]);
        assert!(files[2].ends_with("d e") && files.len() == 3);
        assert!(answer.files("globalknownhostsfile").is_empty());
        assert!(answer.files("nothing").is_empty());
    }
}
