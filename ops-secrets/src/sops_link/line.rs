//! The grammar of sops's command line: its flags and verbs, and a line taken apart by them.

use std::ffi::{OsStr, OsString};

use super::{Untranslated, fail};
use crate::path::Path;

/// What becomes of a flag.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Becomes {
    /// The same flag.
    Same,
    /// A flag of ours.
    Ours(&'static str),
    /// The verb, as sops had it before it had verbs.
    Verb(&'static str),
    /// Nothing: it says nothing here.
    Nothing,
    /// An error: it belongs to clouds and other machinery of sops.
    Refused,
}

/// A flag of sops: its names, whether a value follows, and what becomes of it.
pub(super) type Flag = (&'static str, &'static str, bool, Becomes);

use Becomes::{Nothing, Ours, Refused, Same, Verb};

pub(super) const FLAGS: [Flag; 58] = [
    ("encrypt", "e", false, Verb("encrypt")),
    ("decrypt", "d", false, Verb("decrypt")),
    ("rotate", "r", false, Verb("rotate")),
    ("set", "", true, Verb("set")),
    ("in-place", "i", false, Same),
    ("output", "", true, Same),
    ("extract", "", true, Same),
    ("input-type", "", true, Same),
    ("output-type", "", true, Same),
    ("filename-override", "", true, Same),
    ("ignore-mac", "", false, Same),
    ("age", "a", true, Same),
    ("add-age", "", true, Same),
    ("rm-age", "", true, Same),
    ("idempotent", "", false, Same),
    ("value-file", "", false, Same),
    ("value-stdin", "", false, Same),
    ("unencrypted-suffix", "", true, Same),
    ("encrypted-suffix", "", true, Same),
    ("unencrypted-regex", "", true, Same),
    ("encrypted-regex", "", true, Same),
    ("unencrypted-comment-regex", "", true, Same),
    ("encrypted-comment-regex", "", true, Same),
    ("mac-only-encrypted", "", false, Same),
    ("shamir-secret-sharing-threshold", "", true, Same),
    ("indent", "", true, Same),
    ("config", "", true, Ours("sops-config")),
    ("verbose", "", false, Same),
    ("yes", "y", false, Same),
    ("pristine", "", false, Same),
    ("user", "", true, Same),
    ("same-process", "", false, Same),
    ("background", "", false, Same),
    ("no-fifo", "", false, Same),
    ("filename", "", true, Same),
    ("version", "v", false, Same),
    ("help", "h", false, Same),
    ("decryption-order", "", true, Nothing),
    ("disable-version-check", "", false, Nothing),
    ("check-for-updates", "", false, Nothing),
    ("enable-local-keyservice", "", false, Nothing),
    ("show-master-keys", "s", false, Nothing),
    ("kms", "k", true, Refused),
    ("pgp", "p", true, Refused),
    ("gcp-kms", "", true, Refused),
    ("hckms", "", true, Refused),
    ("azure-kv", "", true, Refused),
    ("hc-vault-transit", "", true, Refused),
    ("aws-profile", "", true, Refused),
    ("encryption-context", "", true, Refused),
    ("keyservice", "", true, Refused),
    ("add-kms", "", true, Refused),
    ("add-pgp", "", true, Refused),
    ("add-gcp-kms", "", true, Refused),
    ("add-hckms", "", true, Refused),
    ("add-azure-kv", "", true, Refused),
    ("rm-kms", "", true, Refused),
    ("rm-pgp", "", true, Refused),
];

/// The verbs that sops has and this program too, with how many words follow their flags at least, and the status for fewer.
pub(super) const VERBS: [(&str, usize, u8); 10] = [
    ("encrypt", 0, 100),
    ("decrypt", 0, 100),
    ("edit", 1, 100),
    ("rotate", 1, 100),
    ("set", 3, 100),
    ("unset", 2, 100),
    ("updatekeys", 1, 100),
    ("exec-env", 2, 1),
    ("exec-file", 2, 1),
    ("filestatus", 1, 100),
];

/// Verbs of sops that this program does without.
const NO_VERBS: [&str; 4] = ["publish", "keyservice", "groups", "completion"];

/// A flag as it stands in a line.
pub(super) struct Given {
    pub(super) name: &'static str,
    pub(super) becomes: Becomes,
    pub(super) value: Option<OsString>,
    /// Whether it came behind the verb, where sops takes only those of the verb.
    pub(super) of_verb: bool,
}

/// A command line of sops, taken apart.
#[derive(Default)]
pub(super) struct Line {
    pub(super) verb: Option<&'static str>,
    pub(super) flags: Vec<Given>,
    pub(super) words: Vec<OsString>,
    /// Whether the verb was given as one: then flags may follow the words.
    pub(super) modern: bool,
}

impl Line {
    pub(super) fn read(words: &[OsString]) -> Result<Self, Untranslated> {
        let mut line = Self::default();
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            let text = word.to_string_lossy();
            let open = line.words.is_empty() || line.modern;
            if text == "--" {
                line.words.extend(rest.by_ref().cloned());
            } else if let Some(name) = text
                .strip_prefix('-')
                .filter(|name| open && !name.is_empty())
            {
                if let Some(known) = line.flag(name.strip_prefix('-').unwrap_or(name), &mut rest)? {
                    line.flags.push(known);
                } else if line.words.is_empty() {
                    return fail(1, format!("flag provided but not defined: {text}"));
                } else {
                    line.words.push(word.clone());
                }
            } else if line.words.is_empty() && !line.modern {
                line.first(word)?;
            } else {
                line.words.push(word.clone());
            }
        }
        Ok(line)
    }

    /// The first word that is no flag: a verb, or the file of the old command line.
    fn first(&mut self, word: &OsString) -> Result<(), Untranslated> {
        if let Some(name) = NO_VERBS.iter().find(|name| word == **name) {
            return fail(1, absent(name));
        }
        if word == "help" || word == "h" {
            self.flags.push(Given {
                name: "help",
                becomes: Same,
                value: None,
                of_verb: false,
            });
        } else if let Some((verb, ..)) = VERBS.iter().find(|(verb, ..)| word == *verb) {
            (self.verb, self.modern) = (Some(*verb), true);
        } else {
            self.words.push(word.clone());
        }
        Ok(())
    }

    /// A flag with its value; nothing if sops has none of that name.
    fn flag<'w>(
        &self,
        text: &str,
        rest: &mut impl Iterator<Item = &'w OsString>,
    ) -> Result<Option<Given>, Untranslated> {
        let (name, joined) = text
            .split_once('=')
            .map_or((text, None), |(name, value)| (name, Some(value)));
        let known =
            |(long, short, ..): &&Flag| *long == name || (!short.is_empty() && *short == name);
        // Those of clouds come in more names than are worth a line each.
        let cloudy = ["add-", "rm-"].iter().any(|start| name.starts_with(start));
        let Some((long, _, valued, becomes)) = FLAGS.iter().find(known) else {
            return if cloudy {
                fail(1, absent(&format!("--{name}")))
            } else {
                Ok(None)
            };
        };
        let value = match joined {
            Some(value) => Some(value.into()),
            None if *valued => Some(match rest.next() {
                Some(value) => value.clone(),
                None => return fail(1, format!("flag needs an argument: -{name}")),
            }),
            None => None,
        };
        let off = !valued && value.as_ref().is_some_and(|value| value == "false");
        match becomes {
            Refused => return fail(1, absent(&format!("--{long}"))),
            Nothing if *long == "enable-local-keyservice" && off => {
                return fail(128, absent("--keyservice"));
            }
            Nothing if *long == "decryption-order" => check_order(value.as_deref())?,
            _ => {}
        }
        let becomes = if off { Nothing } else { *becomes };
        Ok(Some(Given {
            name: long,
            becomes,
            value: value.filter(|_| *valued),
            of_verb: self.modern,
        }))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.flags
            .iter()
            .any(|flag| flag.name == name && flag.becomes != Nothing)
    }

    pub(super) fn value(&self, name: &str) -> Option<&OsStr> {
        let found = self.flags.iter().rev().find(|flag| flag.name == name);
        found.and_then(|flag| flag.value.as_deref())
    }
}

pub(super) fn absent(word: &str) -> String {
    format!("'{word}' is not there: this is ops-secrets, which works with age and SSH keys only")
}

pub(super) fn check_order(order: Option<&OsStr>) -> Result<(), Untranslated> {
    let order = order.map(OsStr::to_string_lossy).unwrap_or_default();
    let kinds: Vec<&str> = order.split(',').filter(|kind| !kind.is_empty()).collect();
    match kinds
        .iter()
        .enumerate()
        .find(|(index, kind)| kinds[..*index].contains(kind))
    {
        Some((_, kind)) => fail(112, format!("duplicate decryption key type: {kind}")),
        None => Ok(()),
    }
}

pub(super) fn check_path(status: u8, path: &OsStr) -> Result<(), Untranslated> {
    match path.to_string_lossy().parse::<Path>() {
        Ok(_) => Ok(()),
        Err(message) => fail(status, message),
    }
}

pub(super) fn joined(name: &str, value: &OsStr) -> OsString {
    let mut word = OsString::from(format!("--{name}="));
    word.push(value);
    word
}

/// `["a"][0] value`: the path ends at the first bracket that a blank follows.
pub(super) fn split_set(text: &str) -> Option<(String, String)> {
    let at = text.find("] ").map(|at| at + 1)?;
    Some((text[..at].to_owned(), text[at..].trim().to_owned()))
}
