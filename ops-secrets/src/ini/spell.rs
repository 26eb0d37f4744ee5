//! How one value or comment is spelled: in which quotes go-ini reads it back as it was.

use super::parse::{parse, unquoted};
use crate::dotenv;
use crate::tree::{Entry, Node, Pair, Place, Scalar, Style, Value};

/// The sign and the blanks that a comment in the source begins with.
fn comment_lead(source: &str) -> &str {
    let sign = source.chars().next().unwrap_or(';');
    let length = source.len() - source.trim_start_matches([sign, ' ']).len();
    &source[..length]
}

/// A comment with another text, its sign kept.
#[must_use]
pub fn comment_text(old: &str, text: &str) -> String {
    let lead = comment_lead(old);
    let mut out = String::new();
    for (index, line) in text.split('\n').enumerate() {
        if index == 0 {
            out.push_str(lead);
            out.push_str(line);
        } else {
            out.push('\n');
            if !line.starts_with(['#', ';']) {
                out.push_str(lead);
            }
            out.push_str(line);
        }
    }
    out
}

/// A value as go-ini writes it; nothing for one that INI cannot hold.
#[must_use]
pub fn scalar(value: &Value) -> Option<String> {
    let text = plain_text(value);
    let quoted = if text.contains(['\n', '`']) {
        format!("\"\"\"{text}\"\"\"")
    } else if text.contains(['#', ';'])
        || text.ends_with('\\')
        || unquoted(&text).1 != Style::Plain
        || text.starts_with("\"\"\"")
    {
        format!("`{text}`")
    } else if text.trim().len() != text.len() {
        format!("\"{text}\"")
    } else {
        text.clone()
    };
    reads_as(&quoted, &text).then_some(quoted)
}

fn reads_as(spelled: &str, text: &str) -> bool {
    let line = format!("k = {spelled}\n");
    let Ok(tree) = parse(&line) else { return false };
    let root = &tree.documents[0].root;
    let Some(Node::Map(section)) = root.pair("DEFAULT").map(|pair| &pair.node) else {
        return false;
    };
    let mut entries = section.entries.iter();
    let same = match entries.next() {
        Some(Entry::Pair(Pair {
            node:
                Node::Scalar(Scalar {
                    value: Value::Text(read),
                    ..
                }),
            ..
        })) => read.as_str() == text,
        _ => false,
    };
    same && entries.next().is_none() && root.entries.len() == 1
}

/// A leaf as a text.
pub(super) fn plain_text(value: &Value) -> String {
    match value {
        Value::Text(text) | Value::Comment(text) => text.to_string(),
        other => dotenv::scalar(other),
    }
}

/// A decrypted or new value in the quotes found in the source, where they can hold it.
#[must_use]
pub fn respell(value: &Value, place: &Place) -> Option<String> {
    let text = plain_text(value);
    let kept = match place.style {
        Style::Single => Some(format!("'{text}'")),
        Style::Double => Some(format!("\"{text}\"")),
        Style::Literal => Some(format!("`{text}`")),
        Style::Folded => Some(format!("\"\"\"{text}\"\"\"")),
        Style::Plain => None,
    };
    kept.filter(|kept| reads_as(kept, &text))
        .or_else(|| scalar(value))
}

/// Ciphertext in the place of a plain value: bare where go-ini would write the value as the source does.
#[must_use]
pub fn conceal(sealed: &str, value: &Value, place: &Place, source: &str) -> String {
    if scalar(value).as_deref() == Some(&source[place.span.clone()]) {
        return sealed.to_owned();
    }
    match place.style {
        Style::Single => format!("'{sealed}'"),
        Style::Double => format!("\"{sealed}\""),
        Style::Literal => format!("`{sealed}`"),
        Style::Folded => format!("\"\"\"{sealed}\"\"\""),
        Style::Plain => sealed.to_owned(),
    }
}
