//! The formats of sops files, and what depends on them.

use std::path::Path;

use zeroize::Zeroizing;

use crate::tree::{
    Data, Document, Edit, Entry, Map, Node, Pair, Place, Scalar, Style, Syntax, Tree, Value,
};
use crate::{dotenv, ini, json, yaml};

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// YAML.
    Yaml,
    /// JSON.
    Json,
    /// dotenv.
    Dotenv,
    /// INI.
    Ini,
    /// Anything: the bytes are one value of a JSON object.
    Binary,
}

/// How much a level is indented where a document does not show it.
#[derive(Debug, Clone)]
pub struct Indent {
    /// Blanks in YAML.
    pub yaml: usize,
    /// The text of a level in JSON.
    pub json: String,
    /// The text of a level in the JSON around a binary file.
    pub binary: String,
}

impl Default for Indent {
    fn default() -> Self {
        Self {
            yaml: 4,
            json: "\t".to_owned(),
            binary: "\t".to_owned(),
        }
    }
}

impl Format {
    /// The format that the name of a file tells.
    #[must_use]
    pub fn of_path(path: &Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("yaml" | "yml") => Self::Yaml,
            Some("json") => Self::Json,
            Some("env") => Self::Dotenv,
            Some("ini") => Self::Ini,
            _ if path.file_name().is_some_and(|name| name == ".env") => Self::Dotenv,
            _ => Self::Binary,
        }
    }

    /// The name that sops has for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Yaml => "yaml",
            Self::Json => "json",
            Self::Dotenv => "dotenv",
            Self::Ini => "ini",
            Self::Binary => "binary",
        }
    }

    /// Parses an encrypted text, or a plain one of a format other than binary.
    pub fn parse(self, source: &str) -> Result<Tree, Syntax> {
        match self {
            Self::Yaml => yaml::parse::parse(source),
            Self::Json => json::parse(source),
            Self::Binary => json::parse_binary(source),
            Self::Dotenv => dotenv::parse(source),
            Self::Ini => ini::parse(source),
        }
    }

    /// The edits that put metadata in.
    #[must_use]
    pub fn embed(
        self,
        source: &str,
        tree: &Tree,
        fields: &[(String, Data)],
        indent: &Indent,
    ) -> Vec<Edit> {
        match self {
            Self::Yaml => yaml::embed(source, tree, fields, yaml::step(tree, indent.yaml)),
            Self::Json => json::embed(source, tree, fields, &indent.json),
            Self::Binary => json::embed(source, tree, fields, &indent.binary),
            Self::Dotenv => dotenv::embed(source, tree, fields),
            Self::Ini => ini::embed(source, tree, fields),
        }
    }

    /// The edits that cut metadata out.
    #[must_use]
    pub fn strip(self, source: &str, tree: &Tree) -> Vec<Edit> {
        match self {
            Self::Yaml => yaml::strip(source, tree),
            Self::Json | Self::Binary => json::strip(source, tree),
            Self::Dotenv => dotenv::strip(tree),
            Self::Ini => ini::strip(source, tree),
        }
    }

    /// Ciphertext in the place of a value.
    #[must_use]
    pub fn conceal(self, sealed: &str, scalar: &Scalar, source: &str, step: usize) -> String {
        match self {
            Self::Yaml => yaml::emit::conceal(sealed, &scalar.value, &scalar.place, source, step),
            // Not `format!`: that leaves room for as much again.
            Self::Json | Self::Binary => ["\"", sealed, "\""].concat(),
            Self::Dotenv => sealed.to_owned(),
            Self::Ini => ini::conceal(sealed, &scalar.value, &scalar.place, source),
        }
    }

    /// A plain value in the place of another; nothing if the format cannot hold it.
    #[must_use]
    pub fn respell(
        self,
        value: &Value,
        place: &Place,
        source: &str,
        step: usize,
    ) -> Option<String> {
        match self {
            Self::Yaml => Some(yaml::emit::respell(value, place, source, step)),
            Self::Json | Self::Binary => Some(json::scalar(value)),
            Self::Dotenv => Some(dotenv::scalar(value)),
            Self::Ini => ini::respell(value, place),
        }
    }

    /// Writes data in this format; gives the key of what it cannot hold.
    pub fn write(self, data: &Data, indent: &Indent) -> Result<Zeroizing<String>, String> {
        let Data::Map(pairs) = data else {
            return Err("the document".to_owned());
        };
        let text = match self {
            Self::Yaml => yaml::emit::map(pairs, 0, indent.yaml),
            Self::Json => json::write(data, Some(&indent.json)) + "\n",
            Self::Dotenv => dotenv::write(pairs)?,
            Self::Ini => ini::write(pairs)?,
            Self::Binary => match data.member("data") {
                Some(Data::Scalar(Value::Text(text))) => text.to_string(),
                _ => return Err("data".to_owned()),
            },
        };
        Ok(Zeroizing::new(text))
    }
}

/// The plain tree of a binary file: its bytes under the key `data`.
#[must_use]
pub fn binary_tree(mut bytes: Zeroizing<Vec<u8>>) -> Tree {
    // What was read from a pipe has room for as much again, and wiping it would touch all of that.
    bytes.shrink_to_fit();
    let value = match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Value::text(text),
        Err(no_text) => Value::Bytes(Zeroizing::new(no_text.into_bytes())),
    };
    let scalar = Scalar {
        value,
        place: Place {
            style: Style::Double,
            flow: true,
            ..Place::default()
        },
    };
    let pair = Pair {
        key: "data".to_owned(),
        at: 0,
        sign: 0,
        region: 0..0,
        node: Node::Scalar(scalar),
    };
    let root = Map {
        entries: vec![Entry::Pair(pair)],
        flow: true,
        ..Map::default()
    };
    Tree {
        documents: vec![Document { root, end: 0 }],
    }
}
