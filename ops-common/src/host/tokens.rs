//! The `%h` of ssh's settings, the `${NAME}` of its paths, and the `~`.

use std::{fmt::Write, path::PathBuf};

use sha1::{Digest, Sha1};

use crate::environment;

/// What the tokens of one connection stand for.
pub(super) struct Tokens {
    values: Vec<(char, String)>,
}

/// What is known of a connection before it is made.
pub(super) struct Connection<'a> {
    /// The host as ssh was asked about it.
    pub(super) original: &'a str,
    pub(super) host_name: &'a str,
    pub(super) port: u16,
    pub(super) user: &'a str,
    pub(super) host_key_alias: Option<&'a str>,
    /// The hosts to hop over; the last one stands for all.
    pub(super) jump: Option<&'a str>,
}

impl Tokens {
    pub(super) fn new(of: &Connection<'_>) -> Tokens {
        let (local_user, home) = account();
        let here = crate::hosts::this_machine();
        let jump = of.jump.map_or("", jump_host);
        let port = of.port.to_string();
        let hash = Sha1::digest([&here, of.host_name, &port, of.user, jump].concat());
        let hash = hash.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        let short = here.split('.').next().unwrap_or_default().to_owned();
        let values = vec![
            ('%', "%".to_owned()),
            ('h', of.host_name.to_owned()),
            ('n', of.original.to_owned()),
            ('p', port),
            ('r', of.user.to_owned()),
            ('j', jump.to_owned()),
            ('k', of.host_key_alias.unwrap_or(of.original).to_owned()),
            ('C', hash),
            ('L', short),
            ('l', here),
            ('u', local_user),
            ('d', home),
            ('i', rustix::process::getuid().as_raw().to_string()),
        ];
        Tokens { values }
    }

    /// Puts the values of the tokens in; a token without one is the error.
    pub(super) fn expand(&self, text: &str) -> Result<String, String> {
        self.replace(text, |_| None)
    }

    /// Puts the values of the tokens and of the environment's variables in.
    pub(super) fn expand_path(&self, text: &str) -> Result<String, String> {
        self.replace(text, |rest| rest.strip_prefix("${")?.split_once('}'))
    }

    /// `variable` takes a variable's name off the beginning of a text.
    fn replace<'a>(
        &self,
        text: &'a str,
        variable: impl Fn(&'a str) -> Option<(&'a str, &'a str)>,
    ) -> Result<String, String> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            if let Some((name, after)) = variable(rest) {
                expanded += &environment::of_ssh(name).ok_or_else(|| format!("${{{name}}}"))?;
                rest = after;
                continue;
            }
            rest = &rest[letter.len_utf8()..];
            if letter != '%' {
                expanded.push(letter);
                continue;
            }
            let token = rest.chars().next();
            let value = self.values.iter().find(|(name, _)| Some(*name) == token);
            let (name, value) =
                value.ok_or_else(|| format!("%{}", token.map(String::from).unwrap_or_default()))?;
            expanded.push_str(value);
            rest = &rest[name.len_utf8()..];
        }
        Ok(expanded)
    }
}

/// The host of the last hop, without user and port.
fn jump_host(hops: &str) -> &str {
    let last = hops.rsplit(',').next().unwrap_or(hops);
    let place = last.rsplit_once('@').map_or(last, |(_, place)| place);
    match place.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => place.split(':').next().unwrap_or(place),
    }
}

/// Puts the home folder in for a leading `~/`, and that of another user for a leading `~USER/`.
pub(super) fn home(path: &str) -> PathBuf {
    let folder = path.strip_prefix('~').and_then(|rest| {
        let (user, rest) = rest.split_once('/').unwrap_or((rest, ""));
        match user {
            "" => Some((account().1, rest)),
            user => field_of(|fields| fields.first() == Some(&user), 5).map(|home| (home, rest)),
        }
    });
    folder.map_or_else(
        || path.into(),
        |(home, rest)| PathBuf::from(home).join(rest),
    )
}

/// The name and the home folder of whoever runs this. ssh takes them from the user database, not from the environment.
fn account() -> (String, String) {
    let uid = rustix::process::getuid().as_raw().to_string();
    let own = |field| field_of(|fields| fields.get(2) == Some(&uid.as_str()), field);
    // Users that come from elsewhere, a directory service say.
    let home = || environment::home().unwrap_or_default();
    (
        own(0).unwrap_or_else(|| uid.clone()),
        own(5).unwrap_or_else(|| home().to_string_lossy().into_owned()),
    )
}

/// A field of the first record of the user database that is wanted.
fn field_of(is_wanted: impl Fn(&[&str]) -> bool, field: usize) -> Option<String> {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut records = users
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>());
    let record = records.find(|fields| is_wanted(fields))?;
    record.get(field).map(|&value| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        Tokens::new(&Connection {
            original: "db",
            host_name: "203.0.113.10",
            port: 22,
            user: "root",
            host_key_alias: None,
            jump: Some("first,me@[2001:db8::1]:22"),
        })
    }

    #[test]
    fn tokens_are_expanded_and_unknown_ones_told() {
        let tokens = tokens();
        assert_eq!(
            tokens.expand("%r@%h:%p %n %k %j %%").unwrap(),
            "root@203.0.113.10:22 db db 2001:db8::1 %"
        );
        assert_eq!(tokens.expand("%C").unwrap().len(), 40);
        assert_eq!(tokens.expand("100%Z").unwrap_err(), "%Z");
        assert_eq!(tokens.expand("100%").unwrap_err(), "%");
    }

    #[test]
    fn variables_are_of_paths_only() {
        let tokens = tokens();
        assert_eq!(tokens.expand("${PATH}").unwrap(), "${PATH}");
        assert_ne!(tokens.expand_path("/${PATH}/%h").unwrap(), "/${PATH}/%h");
        assert_eq!(tokens.expand_path("$PATH ${").unwrap(), "$PATH ${");
        assert_eq!(
            tokens.expand_path("${NO_SUCH_VARIABLE}").unwrap_err(),
            "${NO_SUCH_VARIABLE}"
        );
    }

    #[test]
    fn only_a_leading_tilde_is_home() {
        assert!(home("~/.ssh/id_ed25519").ends_with(".ssh/id_ed25519"));
        assert!(home("~/.ssh/id_ed25519").is_absolute());
        assert_eq!(home("~root/k"), PathBuf::from("/root/k"));
        assert_eq!(home("~no-such-user/k"), PathBuf::from("~no-such-user/k"));
        assert_eq!(home("/a/~/b"), PathBuf::from("/a/~/b"));
    }
}
