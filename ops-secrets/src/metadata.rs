//! The `sops` part of a file: who can open it, by which rules it was encrypted, its MAC and seal.
//!
//! The fields are kept as they were found, in their order, with those that this tool does not know. New files have them in
//! the alphabetical order of sops 3.13.

use crate::dotenv;
use crate::format::Format;
use crate::rules::{self, Rules};
use crate::tree::{Data, Node, Tree, Value};

/// The version of sops whose files ours are like.
pub const VERSION: &str = "3.13.3";

/// The field of our own: sops ignores it, and drops it when it rewrites the file.
pub const SEAL: &str = "ops_seal";

/// The lists of keys in a group that other tools than age stand behind.
const FOREIGN: [&str; 6] = ["azure_kv", "gcp_kms", "hc_vault", "hckms", "kms", "pgp"];

/// The metadata of a file.
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    fields: Vec<(String, Data)>,
}

/// One key that can open a file, or a part of it.
#[derive(Debug, Clone, PartialEq)]
pub enum MasterKey {
    /// An age or SSH recipient, with the data key wrapped for it.
    Age {
        /// The recipient, as given.
        recipient: String,
        /// The wrapped key: an armored age file.
        wrapped: String,
    },
    /// A key of a kind that this tool does not hold, kept as it is.
    Foreign {
        /// The name of its list.
        kind: &'static str,
        /// Its fields.
        data: Data,
    },
}

/// Keys of which each opens the same thing.
pub type Group = Vec<MasterKey>;

/// Why metadata cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Fault {
    /// There is none: the file is not encrypted.
    #[error("the file is not encrypted: it has no sops metadata")]
    Missing,
    /// It is there, but is no mapping.
    #[error("the sops metadata is no mapping")]
    Shape,
    /// A field that must be there is not, or is no text.
    #[error("the sops metadata has no valid '{0}'")]
    Field(&'static str),
    /// No key can open the file.
    #[error("the sops metadata names no key")]
    NoKeys,
    /// The selectors are wrong.
    #[error(transparent)]
    Rules(#[from] rules::Fault),
}

impl Metadata {
    /// Metadata for a new file, without keys, MAC and time.
    #[must_use]
    pub fn new(rules: &Rules) -> Self {
        let mut new = Self::default();
        for (name, data) in rules.fields() {
            new.put(&name, data);
        }
        new.put("version", Data::text(VERSION));
        new
    }

    /// Reads the metadata of a file that was parsed as an encrypted one.
    pub fn of(tree: &Tree, source: &str, format: Format) -> Result<Self, Fault> {
        let root = &tree.documents[0].root;
        let data = match format {
            Format::Dotenv => {
                let flat = root.pairs().filter_map(|pair| {
                    Some((
                        pair.key.strip_prefix("sops_")?.to_owned(),
                        leaf(&pair.node)?,
                    ))
                });
                dotenv::unflatten(flat)
            }
            Format::Ini => {
                let Some(pair) = root.pair("sops") else {
                    return Err(Fault::Missing);
                };
                let Node::Map(map) = &pair.node else {
                    return Err(Fault::Shape);
                };
                let flat = map
                    .pairs()
                    .filter_map(|pair| Some((pair.key.clone(), unescaped(leaf(&pair.node)?))));
                dotenv::unflatten(flat)
            }
            Format::Yaml | Format::Json | Format::Binary => {
                let mut node = root.pair("sops").ok_or(Fault::Missing)?.node.clone();
                // The MAC is a ciphertext: the tree has only its place.
                node.own(source);
                (&node).into()
            }
        };
        match data {
            Data::Map(fields) if fields.is_empty() => Err(Fault::Missing),
            Data::Map(fields) => {
                let found = Self { fields };
                // The last field: without it, the file was cut off.
                found.text("version").ok_or(Fault::Field("version"))?;
                Ok(found)
            }
            _ => Err(Fault::Shape),
        }
    }

    /// The fields, to be written.
    #[must_use]
    pub fn fields(&self) -> &[(String, Data)] {
        &self.fields
    }

    fn field(&self, name: &str) -> Option<&Data> {
        self.fields
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, data)| data)
    }

    /// A field as text, whatever its type.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        match self.field(name)? {
            Data::Scalar(Value::Text(text)) => Some(text.to_string()),
            Data::Scalar(Value::Time(text)) => Some(text.clone()),
            Data::Scalar(Value::Null) | Data::Map(_) | Data::List(_) => None,
            Data::Scalar(value) => Some(dotenv::scalar(value)),
        }
    }

    /// Puts a field in its place: where it stood, or before the first that follows it in the alphabet.
    pub fn put(&mut self, name: &str, data: Data) {
        if let Some(index) = self.fields.iter().position(|(key, _)| key == name) {
            self.fields[index].1 = data;
        } else {
            let index = self
                .fields
                .iter()
                .position(|(key, _)| key.as_str() > name)
                .unwrap_or(self.fields.len());
            self.fields.insert(index, (name.to_owned(), data));
        }
    }

    /// Takes a field away.
    pub fn remove(&mut self, name: &str) {
        self.fields.retain(|(key, _)| key != name);
    }

    /// The rules by which the file was encrypted.
    pub fn rules(&self, format: Format) -> Result<Rules, Fault> {
        let only = self.text("mac_only_encrypted").is_some_and(|text| {
            matches!(text.as_str(), "true" | "True" | "TRUE" | "1" | "t" | "T")
        });
        if format == Format::Binary && rules::NAMES.iter().all(|name| self.text(name).is_none()) {
            return Ok(Rules::everything().mac_only_encrypted(only));
        }
        Ok(Rules::new(|name| self.text(name), only)?)
    }

    /// When the file was last changed, in the form that the MAC is bound to.
    pub fn last_modified(&self) -> Result<String, Fault> {
        let text = self
            .text("lastmodified")
            .ok_or(Fault::Field("lastmodified"))?;
        crate::yaml::resolve::instant(&text).ok_or(Fault::Field("lastmodified"))
    }

    /// The groups of keys: one, or several that hold a part each.
    pub fn groups(&self) -> Result<Vec<Group>, Fault> {
        let single = group_of(&Data::Map(self.fields.clone()))?;
        if !single.is_empty() {
            return Ok(vec![single]);
        }
        let groups = match self.field("key_groups") {
            Some(Data::List(groups)) => {
                groups.iter().map(group_of).collect::<Result<Vec<_>, _>>()?
            }
            _ => Vec::new(),
        };
        if groups.iter().all(Vec::is_empty) {
            Err(Fault::NoKeys)
        } else {
            Ok(groups)
        }
    }

    /// How many groups are needed: all, if nothing else is said.
    #[must_use]
    pub fn threshold(&self, groups: usize) -> usize {
        match self
            .text("shamir_threshold")
            .and_then(|text| text.parse().ok())
        {
            None | Some(0) => groups,
            Some(threshold) => threshold,
        }
    }

    /// Replaces all groups.
    pub fn set_groups(&mut self, groups: &[Group], threshold: usize) {
        for name in FOREIGN
            .iter()
            .chain(&["age", "key_groups", "shamir_threshold"])
        {
            self.remove(name);
        }
        if let [group] = groups {
            for (name, list) in lists(group, false) {
                self.put(name, list);
            }
            return;
        }
        let groups = groups.iter().map(|group| {
            let lists = lists(group, true)
                .into_iter()
                .map(|(name, list)| (name.to_owned(), list));
            Data::Map(lists.collect())
        });
        self.put("key_groups", Data::List(groups.collect()));
        if let Ok(threshold) = i64::try_from(threshold)
            && threshold > 0
        {
            self.put("shamir_threshold", Data::Scalar(Value::Int(threshold)));
        }
    }
}

fn leaf(node: &Node) -> Option<Value> {
    match node {
        Node::Scalar(scalar) => Some(scalar.value.clone()),
        _ => None,
    }
}

/// INI metadata writes line breaks as two characters.
fn unescaped(value: Value) -> Value {
    match value {
        Value::Text(text) => Value::text(text.replace("\\n", "\n")),
        value => value,
    }
}

fn group_of(data: &Data) -> Result<Group, Fault> {
    let mut group = Group::new();
    for kind in FOREIGN {
        if let Some(Data::List(keys)) = data.member(kind) {
            group.extend(keys.iter().map(|key| MasterKey::Foreign {
                kind,
                data: key.clone(),
            }));
        }
    }
    if let Some(Data::List(keys)) = data.member("age") {
        for key in keys {
            let text = |name: &'static str| {
                key.member(name)
                    .and_then(Data::as_text)
                    .map(str::to_owned)
                    .ok_or(Fault::Field("age"))
            };
            group.push(MasterKey::Age {
                recipient: text("recipient")?,
                wrapped: text("enc")?,
            });
        }
    }
    Ok(group)
}

/// The lists of a group; inside `key_groups` sops always writes two of them, also when empty.
fn lists(group: &Group, inside: bool) -> Vec<(&'static str, Data)> {
    let mut names: Vec<&'static str> = FOREIGN.to_vec();
    names.insert(0, "age");
    let list = |name: &str| -> Vec<Data> {
        (group.iter())
            .filter_map(|key| match key {
                MasterKey::Age { recipient, wrapped } if name == "age" => Some(Data::Map(vec![
                    ("enc".to_owned(), Data::text(wrapped.clone())),
                    ("recipient".to_owned(), Data::text(recipient.clone())),
                ])),
                MasterKey::Foreign { kind, data } if *kind == name => Some(data.clone()),
                _ => None,
            })
            .collect()
    };
    let lists = names.into_iter().map(|name| (name, list(name)));
    lists
        .filter(|(name, list)| !list.is_empty() || (inside && matches!(*name, "age" | "hc_vault")))
        .map(|(name, list)| (name, Data::List(list)))
        .collect()
}
