//! The formats of sops files, and what depends on them.

use std::borrow::Cow;
use std::path::Path;

use zeroize::Zeroizing;

use crate::patch::Edit;
use crate::tree::{
    Data, Document, Entry, Map, Node, Pair, Place, Scalar, Style, Syntax, Tree, Value,
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
        Self::of(None)
    }
}

impl Indent {
    /// The indentation by a number as sops takes it: YAML has 2 to 9 blanks, 4 for 0; JSON has tabs below 0.
    #[must_use]
    pub fn of(count: Option<i64>) -> Self {
        let blanks = count.and_then(|count| usize::try_from(count).ok());
        let json = blanks.map_or_else(|| "\t".to_owned(), |count| " ".repeat(count.min(64)));
        Self {
            yaml: match blanks {
                None | Some(0) => 4,
                Some(count @ 2..=9) => count,
                Some(_) => 2,
            },
            binary: json.clone(),
            json,
        }
    }
}

impl Format {
    /// The format that the name of a file tells.
    #[must_use]
    pub fn of_path(path: &Path) -> Self {
        let name = path.as_os_str().as_encoded_bytes();
        let endings: [(&[u8], Self); 5] = [
            (b".yaml", Self::Yaml),
            (b".yml", Self::Yaml),
            (b".json", Self::Json),
            (b".env", Self::Dotenv),
            (b".ini", Self::Ini),
        ];
        let found = endings.into_iter().find(|(end, _)| name.ends_with(end));
        found.map_or(Self::Binary, |(_, format)| format)
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

    /// Parses a text: that of a binary file is what its encrypted form looks like.
    pub fn parse(self, source: &str) -> Result<Tree, Syntax> {
        match self {
            Self::Yaml => yaml::parse::parse(source),
            Self::Json | Self::Binary => json::parse(source),
            Self::Dotenv => dotenv::parse(source),
            Self::Ini => ini::parse(source),
        }
    }

    /// Parses an encrypted text, for [`crypt::open`](crate::crypt::open) and [`Metadata`](crate::metadata::Metadata):
    /// ciphertexts stay in the source where they can.
    pub fn parse_encrypted(self, source: &str) -> Result<Tree, Syntax> {
        match self {
            Self::Yaml => yaml::parse::parse_encrypted(source),
            Self::Json | Self::Binary => json::parse_encrypted(source),
            Self::Dotenv | Self::Ini => self.parse(source),
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
    pub fn conceal<'s>(
        self,
        sealed: &'s str,
        scalar: &Scalar,
        source: &str,
        step: usize,
    ) -> Cow<'s, str> {
        match self {
            Self::Yaml => yaml::emit::conceal(sealed, &scalar.value, &scalar.place, source, step),
            // Not `format!`: that leaves room for as much again.
            Self::Json | Self::Binary => ["\"", sealed, "\""].concat().into(),
            Self::Dotenv => sealed.into(),
            Self::Ini => ini::conceal(sealed, &scalar.value, &scalar.place, source).into(),
        }
    }

    /// A plain value in the place of another; nothing if the format cannot hold it.
    #[must_use]
    pub fn respell<'v>(
        self,
        value: &'v Value,
        place: &Place,
        source: &str,
        step: usize,
    ) -> Option<Cow<'v, str>> {
        match self {
            // No text could give these bytes back.
            Self::Dotenv | Self::Ini if matches!(value, Value::Bytes(_)) => None,
            Self::Yaml => Some(yaml::emit::respell(value, place, source, step)),
            Self::Json | Self::Binary => Some(json::scalar(value).into()),
            Self::Dotenv => Some(dotenv::scalar(value).into()),
            Self::Ini => ini::respell(value, place).map(Cow::Owned),
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

/// What stands around the value of an encrypted binary file, with an empty text in its place.
#[must_use]
pub fn binary_frame(indent: &str) -> String {
    format!("{{\n{indent}\"data\": \"\"\n}}\n")
}

/// The bytes of a binary file as a value.
#[must_use]
pub fn binary_value(mut bytes: Zeroizing<Vec<u8>>) -> Value {
    // What was read from a pipe has room for as much again, and wiping it would touch all of that.
    bytes.shrink_to_fit();
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Value::text(text),
        Err(no_text) => Value::Bytes(Zeroizing::new(no_text.into_bytes())),
    }
}

/// The plain tree of a binary file: its bytes under the key `data`.
#[must_use]
pub fn binary_tree(bytes: Zeroizing<Vec<u8>>) -> Tree {
    let scalar = Scalar {
        value: binary_value(bytes),
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
