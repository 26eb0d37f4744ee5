//! The `%h` of ssh's settings, and the `~`.

use std::path::PathBuf;

/// What the tokens of one connection stand for.
pub(super) struct Tokens {
    values: Vec<(char, String)>,
}

impl Tokens {
    pub(super) fn new(original: &str, host_name: &str, port: u16, user: &str) -> Tokens {
        let (local_user, home) = account();
        let values = vec![
            ('%', "%".to_owned()),
            ('h', host_name.to_owned()),
            ('n', original.to_owned()),
            ('p', port.to_string()),
            ('r', user.to_owned()),
            ('u', local_user),
            ('d', home),
            ('i', rustix::process::getuid().as_raw().to_string()),
        ];
        Tokens { values }
    }

    /// Puts the values in; a token without one is the error.
    pub(super) fn expand(&self, text: &str) -> Result<String, String> {
        let mut expanded = String::with_capacity(text.len());
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                expanded.push(letter);
                continue;
            }
            let token = letters.next();
            let value = self.values.iter().find(|(name, _)| Some(*name) == token);
            let (_, value) =
                value.ok_or_else(|| format!("%{}", token.map(String::from).unwrap_or_default()))?;
            expanded.push_str(value);
        }
        Ok(expanded)
    }
}

/// Puts the home folder in for a leading `~/`.
pub(super) fn home(path: &str) -> PathBuf {
    match path.strip_prefix("~/") {
        Some(rest) => PathBuf::from(account().1).join(rest),
        None => path.into(),
    }
}

/// The name and the home folder of whoever runs this. ssh takes them from the user database, not from the environment.
fn account() -> (String, String) {
    let uid = rustix::process::getuid().as_raw().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut records = users
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>());
    let record = records.find(|fields| fields.get(2) == Some(&uid.as_str()));
    match record.as_deref() {
        Some([name, _, _, _, _, home, ..]) => ((*name).to_owned(), (*home).to_owned()),
        // Users that come from elsewhere, a directory service say.
        _ => (
            uid,
            std::env::home_dir()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_expanded_and_unknown_ones_told() {
        let tokens = Tokens::new("db", "203.0.113.10", 22, "root");
        assert_eq!(
            tokens.expand("%r@%h:%p %n %%").unwrap(),
            "root@203.0.113.10:22 db %"
        );
        assert_eq!(tokens.expand("100%Z").unwrap_err(), "%Z");
        assert_eq!(tokens.expand("100%").unwrap_err(), "%");
    }

    #[test]
    fn only_a_leading_tilde_is_home() {
        assert!(home("~/.ssh/id_ed25519").ends_with(".ssh/id_ed25519"));
        assert!(home("~/.ssh/id_ed25519").is_absolute());
        assert_eq!(home("/a/~/b"), PathBuf::from("/a/~/b"));
    }
}
