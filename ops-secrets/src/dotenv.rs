//! dotenv: one `KEY=value` or `#comment` a line.

use zeroize::Zeroizing;

use crate::patch::Edit;
use crate::tree::{
    Comment, Data, Document, Entry, Map, Node, Pair, Place, Scalar, Syntax, Tree, Value,
};

/// Parses a file. Nothing is trimmed and no quotes are read; the two characters `\n` stand for a line break.
pub fn parse(source: &str) -> Result<Tree, Syntax> {
    let mut root = Map {
        span: 0..source.len(),
        ..Map::default()
    };
    let mut at = 0;
    for line in source.split('\n') {
        let start = at;
        at += line.len() + 1;
        let end = start + line.len();
        if line.is_empty() {
            continue;
        }
        if let Some(text) = line.strip_prefix('#') {
            root.entries.push(comment(text, start..end));
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            return Err(Syntax::new(
                start,
                "a line must be empty, begin with '#' or hold a '='",
            ));
        };
        let place = Place {
            span: start + key.len() + 1..end,
            ..Place::default()
        };
        let node = Node::Scalar(Scalar {
            value: Value::text(value.replace("\\n", "\n")),
            place,
        });
        root.entries.push(Entry::Pair(Pair {
            key: key.to_owned(),
            at: start,
            sign: start + key.len() + 1,
            region: start..at.min(source.len()),
            node,
        }));
    }
    Ok(Tree {
        documents: vec![Document {
            root,
            end: source.len(),
        }],
    })
}

fn comment(text: &str, span: std::ops::Range<usize>) -> Entry {
    Entry::Comment(Comment {
        text: Zeroizing::new(text.to_owned()),
        span,
        column: 0,
        alone: true,
        alias: false,
    })
}

/// A value as it stands after `=`; none for what a line cannot hold.
#[must_use]
pub fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Float(value) => float(*value),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Time(text) => seconds(text),
        Value::Text(text) | Value::Comment(text) => text.replace('\n', "\\n"),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).replace('\n', "\\n"),
    }
}

/// A float with capital exponent, and with one decimal where it could be taken for an integer.
#[must_use]
pub fn float(value: f64) -> String {
    if !value.is_finite() {
        return crate::cipher::decimal(value);
    }
    let text = crate::yaml::resolve::shortest(value, -4, 21, "E");
    if text.contains(['.', 'E']) {
        text
    } else {
        format!("{text}.0")
    }
}

/// An instant in whole seconds.
#[must_use]
pub fn seconds(text: &str) -> String {
    let Some((whole, fraction)) = text.split_once('.') else {
        return text.to_owned();
    };
    format!(
        "{whole}{}",
        fraction.trim_start_matches(|c: char| c.is_ascii_digit())
    )
}

/// Writes pairs of leaves; gives the key of one that is no leaf.
pub fn write(pairs: &[(String, Data)]) -> Result<String, String> {
    let mut out = String::new();
    for (key, data) in pairs {
        let Data::Scalar(value) = data else {
            return Err(key.clone());
        };
        out.push_str(&format!("{key}={}\n", scalar(value)));
    }
    Ok(out)
}

/// The metadata lines, with `sops_` before each key.
#[must_use]
pub fn metadata(fields: &[(String, Data)]) -> String {
    let mut flat = Vec::new();
    flatten(&Data::Map(fields.to_vec()), "", &mut flat);
    flat.iter().fold(String::new(), |text, (key, value)| {
        text + "sops_" + key + "=" + &scalar(value) + "\n"
    })
}

/// Flattens nested data into one level: `age__list_0__map_enc`.
pub fn flatten(data: &Data, prefix: &str, out: &mut Vec<(String, Value)>) {
    match data {
        Data::Scalar(value) => out.push((prefix.to_owned(), value.clone())),
        Data::Map(pairs) => {
            for (key, value) in pairs {
                let sign = if prefix.is_empty() { "" } else { "__map_" };
                flatten(value, &format!("{prefix}{sign}{key}"), out);
            }
        }
        Data::List(items) => {
            for (index, item) in items.iter().enumerate() {
                flatten(item, &format!("{prefix}__list_{index}"), out);
            }
        }
    }
}

/// The opposite of [`flatten`].
pub fn unflatten(flat: impl IntoIterator<Item = (String, Value)>) -> Data {
    let mut root = Data::Map(Vec::new());
    for (key, value) in flat {
        place(&mut root, &key, value);
    }
    root
}

fn place(root: &mut Data, path: &str, value: Value) {
    let mut here = root;
    let mut rest = path;
    loop {
        let next = ["__map_", "__list_"]
            .iter()
            .filter_map(|sign| rest.find(sign))
            .min()
            .unwrap_or(rest.len());
        let (name, after) = rest.split_at(next);
        let Some(child) = child(here, name) else {
            return;
        };
        here = child;
        if let Some(after) = after.strip_prefix("__map_") {
            if matches!(here, Data::Scalar(_)) {
                *here = Data::Map(Vec::new());
            }
            rest = after;
        } else if let Some(after) = after.strip_prefix("__list_") {
            if matches!(here, Data::Scalar(_)) {
                *here = Data::List(Vec::new());
            }
            rest = after;
        } else {
            *here = Data::Scalar(value);
            return;
        }
    }
}

/// The member or element of that name, made if it is not there. A list grows by one at a time: sops writes no gaps.
fn child<'d>(data: &'d mut Data, name: &str) -> Option<&'d mut Data> {
    match data {
        Data::Map(pairs) => {
            let index = pairs
                .iter()
                .position(|(key, _)| key == name)
                .unwrap_or_else(|| {
                    pairs.push((name.to_owned(), Data::Scalar(Value::Null)));
                    pairs.len() - 1
                });
            Some(&mut pairs[index].1)
        }
        Data::List(items) => {
            let index: usize = name.parse().ok()?;
            if index > 10_000 {
                return None;
            }
            while items.len() <= index {
                items.push(Data::Scalar(Value::Null));
            }
            items.get_mut(index)
        }
        Data::Scalar(_) => None,
    }
}

/// Puts the metadata at the end, in the place of the old.
#[must_use]
pub fn embed(source: &str, tree: &Tree, fields: &[(String, Data)]) -> Vec<Edit> {
    let mut edits = strip(tree);
    let break_before = if source.is_empty() || source.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    edits.push(Edit::new(
        source.len()..source.len(),
        format!("{break_before}{}", metadata(fields)),
    ));
    edits
}

/// Cuts the metadata out.
#[must_use]
pub fn strip(tree: &Tree) -> Vec<Edit> {
    tree.documents[0]
        .root
        .pairs()
        .filter(|pair| pair.key.starts_with("sops_"))
        .map(|pair| Edit::new(pair.region.clone(), ""))
        .collect()
}
