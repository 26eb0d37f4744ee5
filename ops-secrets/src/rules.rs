//! Which values of a document are encrypted: sops's six selectors, by name of the keys or by comments.

use regex::Regex;

use crate::tree::Data;

/// The suffix that sops writes out where no selector is given.
pub const DEFAULT_SUFFIX: &str = "_unencrypted";

/// The names of the selectors in metadata and `.sops.yaml`.
pub const NAMES: [&str; 6] = [
    "unencrypted_suffix",
    "encrypted_suffix",
    "unencrypted_regex",
    "encrypted_regex",
    "unencrypted_comment_regex",
    "encrypted_comment_regex",
];

/// What is wrong with selectors.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Fault {
    /// More than one was given.
    #[error("'{first}' and '{second}' cannot be used together")]
    Several {
        /// One of them.
        first: &'static str,
        /// Another.
        second: &'static str,
    },
    /// A pattern does not compile. sops would write every value in plain text.
    #[error("the pattern of '{name}' is not valid: {source}")]
    Pattern {
        /// The selector.
        name: &'static str,
        /// Why.
        source: Box<regex::Error>,
    },
}

/// The selector of a file, and whether its MAC covers encrypted values only.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The name and text of the selector, as they stand in metadata.
    pub written: Option<(&'static str, String)>,
    /// Whether values in plain text stay outside of the MAC.
    pub mac_only_encrypted: bool,
    selector: Selector,
}

#[derive(Debug, Clone)]
enum Selector {
    All,
    UnencryptedSuffix(String),
    EncryptedSuffix(String),
    UnencryptedRegex(Regex),
    EncryptedRegex(Regex),
    UnencryptedComment(Regex),
    EncryptedComment(Regex),
}

impl Rules {
    /// The rules of a binary file: everything.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            written: None,
            mac_only_encrypted: false,
            selector: Selector::All,
        }
    }

    /// Rules from what stands under the selectors' names; empty texts do not count.
    pub fn new(
        found: impl Fn(&str) -> Option<String>,
        mac_only_encrypted: bool,
    ) -> Result<Self, Fault> {
        let mut given = NAMES.iter().filter_map(|name| {
            found(name)
                .filter(|text| !text.is_empty())
                .map(|text| (*name, text))
        });
        let (name, text) = given
            .next()
            .unwrap_or((NAMES[0], DEFAULT_SUFFIX.to_owned()));
        if let Some((second, _)) = given.next() {
            return Err(Fault::Several {
                first: name,
                second,
            });
        }
        let pattern = || {
            Regex::new(&text).map_err(|source| Fault::Pattern {
                name,
                source: Box::new(source),
            })
        };
        let selector = match name {
            "unencrypted_suffix" => Selector::UnencryptedSuffix(text.clone()),
            "encrypted_suffix" => Selector::EncryptedSuffix(text.clone()),
            "unencrypted_regex" => Selector::UnencryptedRegex(pattern()?),
            "encrypted_regex" => Selector::EncryptedRegex(pattern()?),
            "unencrypted_comment_regex" => Selector::UnencryptedComment(pattern()?),
            _ => Selector::EncryptedComment(pattern()?),
        };
        Ok(Self {
            written: Some((name, text)),
            mac_only_encrypted,
            selector,
        })
    }

    /// The same rules, with the MAC over encrypted values only or over all.
    #[must_use]
    pub fn mac_only_encrypted(self, mac_only_encrypted: bool) -> Self {
        Self {
            mac_only_encrypted,
            ..self
        }
    }

    /// Whether comments choose what is encrypted.
    #[must_use]
    pub fn by_comments(&self) -> bool {
        matches!(
            self.selector,
            Selector::UnencryptedComment(_) | Selector::EncryptedComment(_)
        )
    }

    /// Whether a comment holds the mark that keeps what follows in plain text.
    #[must_use]
    pub fn marks_plain(&self, comment: &str) -> bool {
        matches!(&self.selector, Selector::UnencryptedComment(regex) if regex.is_match(comment))
    }

    /// Whether one more key in the path decides (`None`: it says nothing).
    #[must_use]
    pub fn key_matches(&self, key: &str) -> bool {
        match &self.selector {
            Selector::UnencryptedSuffix(suffix) | Selector::EncryptedSuffix(suffix) => {
                key.ends_with(suffix.as_str())
            }
            Selector::UnencryptedRegex(regex) | Selector::EncryptedRegex(regex) => {
                regex.is_match(key)
            }
            Selector::All | Selector::UnencryptedComment(_) | Selector::EncryptedComment(_) => {
                false
            }
        }
    }

    /// Whether a leaf is encrypted, given whether a key of its path matched and the comments above it, level by level.
    /// A comment that is itself the leaf is the last of the last level.
    pub fn selects(&self, key_matched: bool, comments: &[Vec<String>], is_comment: bool) -> bool {
        match &self.selector {
            Selector::All => true,
            Selector::UnencryptedSuffix(_) | Selector::UnencryptedRegex(_) => !key_matched,
            Selector::EncryptedSuffix(_) | Selector::EncryptedRegex(_) => key_matched,
            Selector::UnencryptedComment(regex) => !comments
                .iter()
                .flatten()
                .any(|comment| regex.is_match(comment)),
            Selector::EncryptedComment(regex) => {
                let own = usize::from(is_comment);
                let count = comments.iter().map(Vec::len).sum::<usize>() - own;
                comments
                    .iter()
                    .flatten()
                    .take(count)
                    .any(|comment| regex.is_match(comment))
            }
        }
    }

    /// The metadata fields of these rules.
    #[must_use]
    pub fn fields(&self) -> Vec<(String, Data)> {
        let mut fields: Vec<(String, Data)> = self
            .written
            .iter()
            .map(|(name, text)| ((*name).to_owned(), Data::text(text.clone())))
            .collect();
        if self.mac_only_encrypted {
            fields.push((
                "mac_only_encrypted".to_owned(),
                Data::Scalar(crate::tree::Value::Bool(true)),
            ));
        }
        fields
    }
}
