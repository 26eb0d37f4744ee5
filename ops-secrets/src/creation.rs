//! `.sops.yaml`: which keys and rules a new file gets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde::Deserialize;

use crate::format::Indent;
use crate::keys::recipient;
use crate::rules::{self, Rules};

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It could not be read.
    #[error("cannot read '{}'", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is malformed.
    #[error("'{}' is malformed", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_yaml::Error,
    },
    /// The pattern of a rule does not compile.
    #[error("'{}': the path_regex of rule {number} is not valid", path.display())]
    Pattern {
        /// The file.
        path: PathBuf,
        /// The rule, counted from 1.
        number: usize,
        /// Why.
        source: Box<regex::Error>,
    },
    /// The selectors of a rule are wrong.
    #[error("'{}': rule {number}", path.display())]
    Rules {
        /// The file.
        path: PathBuf,
        /// The rule, counted from 1.
        number: usize,
        /// Why.
        source: rules::Fault,
    },
    /// A selector is no text.
    #[error("'{}': '{name}' of rule {number} is no text", path.display())]
    NoText {
        /// The file.
        path: PathBuf,
        /// The rule, counted from 1.
        number: usize,
        /// The selector.
        name: &'static str,
    },
    /// No rule is for the file.
    #[error("no creation rule of '{}' is for '{}'", path.display(), file.display())]
    NoRule {
        /// The configuration.
        path: PathBuf,
        /// The file.
        file: PathBuf,
    },
}

/// A configuration that was found.
#[derive(Debug)]
pub struct Configuration {
    /// Where it stands.
    pub path: PathBuf,
    raw: Raw,
    text: String,
}

#[derive(Debug, Default, Deserialize)]
struct Raw {
    #[serde(default)]
    creation_rules: Option<Vec<RawRule>>,
    #[serde(default)]
    stores: Stores,
}

#[derive(Debug, Default, Deserialize)]
struct Stores {
    yaml: Option<Store>,
    json: Option<Store>,
    json_binary: Option<Store>,
}

#[derive(Debug, Default, Deserialize)]
struct Store {
    indent: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
struct RawRule {
    #[serde(default)]
    path_regex: Option<String>,
    #[serde(default)]
    age: Option<OneOrMany>,
    #[serde(default)]
    key_groups: Option<Vec<RawGroup>>,
    #[serde(default)]
    shamir_threshold: Option<usize>,
    #[serde(default)]
    mac_only_encrypted: Option<bool>,
    #[serde(flatten)]
    others: BTreeMap<String, serde_yaml::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Default, Deserialize)]
struct RawGroup {
    #[serde(default)]
    age: Option<Vec<String>>,
    #[serde(default)]
    merge: Option<Vec<RawGroup>>,
    #[serde(flatten)]
    others: BTreeMap<String, serde_yaml::Value>,
}

/// What a rule says about a file.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its number, counted from 1.
    pub number: usize,
    /// The recipients, group by group.
    pub groups: Vec<Vec<String>>,
    /// Kinds of keys that this tool does not hold.
    pub foreign: Vec<String>,
    /// How many groups are needed; 0 for all.
    pub threshold: usize,
    /// What is encrypted.
    pub rules: Rules,
}

/// Kinds of keys of other tools, by their names in a rule and in a key group.
const FOREIGN: [&str; 7] = [
    "kms",
    "gcp_kms",
    "hckms",
    "azure_keyvault",
    "hc_vault_transit_uri",
    "hc_vault",
    "pgp",
];

impl Configuration {
    /// Reads a configuration.
    pub fn read(path: &Path) -> Result<Self, Fault> {
        let text = std::fs::read_to_string(path).map_err(|source| Fault::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, text)
    }

    /// Takes the text of a configuration.
    pub fn parse(path: &Path, text: String) -> Result<Self, Fault> {
        let malformed = |source| Fault::Malformed {
            path: path.to_owned(),
            source,
        };
        let mut value: serde_yaml::Value = serde_yaml::from_str(&text).map_err(malformed)?;
        value.apply_merge().map_err(malformed)?;
        let raw = if value.is_null() {
            Raw::default()
        } else {
            serde_yaml::from_value(value).map_err(malformed)?
        };
        Ok(Self {
            path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
            raw,
            text,
        })
    }

    /// Finds the configuration for a file: from its folder upward, then (as sops does) from the working directory upward.
    pub fn find(file: Option<&Path>) -> Result<Option<Self>, Fault> {
        let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let absolute = file.and_then(|file| std::path::absolute(file).ok());
        for start in [
            absolute.as_deref().and_then(Path::parent),
            Some(here.as_path()),
        ]
        .into_iter()
        .flatten()
        {
            let found = start
                .ancestors()
                .map(|folder| folder.join(".sops.yaml"))
                .find(|path| path.is_file());
            if let Some(path) = found {
                return Self::read(&path).map(Some);
            }
        }
        Ok(None)
    }

    /// The first rule for a file.
    pub fn rule_for(&self, file: &Path) -> Result<Rule, Fault> {
        let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        let shown = absolute
            .strip_prefix(folder)
            .unwrap_or(&absolute)
            .to_string_lossy()
            .into_owned();
        let rules = self.raw.creation_rules.as_deref().unwrap_or_default();
        for (index, raw) in rules.iter().enumerate() {
            if self
                .pattern(raw, index + 1)?
                .is_none_or(|regex| regex.is_match(&shown))
            {
                return self.rule(raw, index + 1);
            }
        }
        Err(Fault::NoRule {
            path: self.path.clone(),
            file: file.to_owned(),
        })
    }

    fn pattern(&self, raw: &RawRule, number: usize) -> Result<Option<Regex>, Fault> {
        let Some(text) = raw.path_regex.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let failed = |source| Fault::Pattern {
            path: self.path.clone(),
            number,
            source: Box::new(source),
        };
        Regex::new(text).map(Some).map_err(failed)
    }

    fn rule(&self, raw: &RawRule, number: usize) -> Result<Rule, Fault> {
        let collection = |name: &&str| {
            let value = raw.others.get(*name);
            value.is_some_and(|value| !value.is_null() && text_of(value).is_none())
        };
        if let Some(name) = rules::NAMES.into_iter().find(collection) {
            return Err(Fault::NoText {
                path: self.path.clone(),
                number,
                name,
            });
        }
        let found = |name: &str| raw.others.get(name).and_then(text_of);
        let rules =
            Rules::new(found, raw.mac_only_encrypted.unwrap_or(false)).map_err(|source| {
                Fault::Rules {
                    path: self.path.clone(),
                    number,
                    source,
                }
            })?;
        let mut foreign = Vec::new();
        let groups = match &raw.key_groups {
            Some(groups) if !groups.is_empty() => groups
                .iter()
                .map(|group| flatten(group, &mut foreign))
                .collect(),
            _ => {
                foreign = foreign_in(&raw.others);
                vec![match &raw.age {
                    Some(OneOrMany::One(text)) => recipient::list(text),
                    Some(OneOrMany::Many(list)) => {
                        list.iter().flat_map(|text| recipient::list(text)).collect()
                    }
                    None => Vec::new(),
                }]
            }
        };
        let groups = groups.into_iter().map(without_doubles).collect();
        Ok(Rule {
            number,
            groups,
            foreign,
            threshold: raw.shamir_threshold.unwrap_or(0),
            rules,
        })
    }

    /// Whether a rule, by its number, is for certain paths: one for every file says nothing about what must be encrypted.
    #[must_use]
    pub fn names_paths(&self, number: usize) -> bool {
        let rules = self.raw.creation_rules.as_deref().unwrap_or_default();
        rules.get(number - 1).is_some_and(|rule| {
            rule.path_regex
                .as_deref()
                .is_some_and(|text| !text.is_empty())
        })
    }

    /// Every rule, checked.
    #[must_use]
    pub fn check(&self) -> Vec<Fault> {
        let rules = self.raw.creation_rules.as_deref().unwrap_or_default();
        let mut faults = Vec::new();
        for (index, raw) in rules.iter().enumerate() {
            faults.extend(self.pattern(raw, index + 1).err());
            faults.extend(self.rule(raw, index + 1).err());
        }
        faults
    }

    /// The indentation of new files.
    #[must_use]
    pub fn indent(&self) -> Indent {
        let of = |store: &Option<Store>| Indent::of(store.as_ref().and_then(|store| store.indent));
        let stores = &self.raw.stores;
        Indent {
            yaml: of(&stores.yaml).yaml,
            json: of(&stores.json).json,
            binary: of(&stores.json_binary).binary,
        }
    }

    /// Names of recipients: the anchor before it or the comment behind it.
    #[must_use]
    pub fn names(&self) -> BTreeMap<String, String> {
        let mut names = BTreeMap::new();
        for line in self.text.lines() {
            let line = line.trim_start_matches([' ', '-']);
            let (anchor, rest) = match line.strip_prefix('&').and_then(|line| line.split_once(' '))
            {
                Some((anchor, rest)) => (Some(anchor), rest),
                None => (None, line),
            };
            let (value, comment) = rest
                .split_once(" #")
                .map_or((rest, None), |(value, comment)| {
                    (value, Some(comment.trim()))
                });
            let value = value.trim().trim_end_matches(',').trim_matches(['"', '\'']);
            if (value.starts_with("age1") || value.starts_with("ssh-"))
                && let Some(name) = anchor.or(comment)
            {
                names
                    .entry(value.to_owned())
                    .or_insert_with(|| name.to_owned());
            }
        }
        names
    }
}

/// A text; a number or a truth value is one too, as sops has it.
fn text_of(value: &serde_yaml::Value) -> Option<String> {
    match value {
        serde_yaml::Value::String(text) => Some(text.clone()),
        serde_yaml::Value::Number(number) => Some(number.to_string()),
        serde_yaml::Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

/// The kinds of keys of other tools that are named.
fn foreign_in(fields: &BTreeMap<String, serde_yaml::Value>) -> Vec<String> {
    let named = FOREIGN.iter().filter(|name| is_set(fields.get(**name)));
    named.map(|name| (*name).to_owned()).collect()
}

fn is_set(value: Option<&serde_yaml::Value>) -> bool {
    match value {
        None | Some(serde_yaml::Value::Null) => false,
        Some(serde_yaml::Value::String(text)) => !text.is_empty(),
        Some(serde_yaml::Value::Sequence(list)) => !list.is_empty(),
        Some(_) => true,
    }
}

fn flatten(group: &RawGroup, foreign: &mut Vec<String>) -> Vec<String> {
    let mut keys: Vec<String> = group
        .merge
        .iter()
        .flatten()
        .flat_map(|inner| flatten(inner, foreign))
        .collect();
    keys.extend(
        group
            .age
            .iter()
            .flatten()
            .flat_map(|text| recipient::list(text)),
    );
    foreign.extend(foreign_in(&group.others));
    keys
}

fn without_doubles(group: Vec<String>) -> Vec<String> {
    let mut seen = Vec::new();
    for key in group {
        if !seen.contains(&key) {
            seen.push(key);
        }
    }
    seen
}
