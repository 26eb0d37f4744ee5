//! Writing values as Go does.

use crate::tree::{Data, Value};
use crate::yaml::resolve::shortest;

/// The text of a leaf. Floats that JSON cannot hold are an error of the caller's making: they are written as null.
#[must_use]
pub fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => float(*value),
        Value::Time(text) => quote(text),
        Value::Text(text) | Value::Comment(text) => quote(text),
        Value::Bytes(bytes) => quote(&String::from_utf8_lossy(bytes)),
    }
}

fn float(value: f64) -> String {
    if !value.is_finite() {
        return "null".to_owned();
    }
    let text = shortest(value, -6, 21, "e");
    // Go writes one-digit exponents as one digit here.
    text.replace("e-0", "e-")
}

/// Whether a text stands in quotes as it is.
#[must_use]
pub fn is_bare(text: &str) -> bool {
    !text.contains(['"', '\\', '<', '>', '&', '\u{2028}', '\u{2029}'])
        && text.bytes().all(|c| c >= b' ')
}

/// A text in quotes, escaped as Go does: also `<`, `>`, `&` and the two line separators.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A value over several lines, each level indented by one `unit` more; without a unit, all in one line.
#[must_use]
pub fn write(data: &Data, unit: Option<&str>) -> String {
    let mut out = String::new();
    put(&mut out, data, unit, "\n");
    out
}

/// A value whose closing bracket stands on a line that begins with `line` (a line break and blanks).
pub fn put(out: &mut String, data: &Data, unit: Option<&str>, line: &str) {
    let inner = format!("{line}{}", unit.unwrap_or(""));
    let (lead, tail) = if unit.is_some() {
        (inner.as_str(), line)
    } else {
        ("", "")
    };
    match data {
        Data::Scalar(value) => out.push_str(&scalar(value)),
        Data::Map(pairs) if pairs.is_empty() => out.push_str("{}"),
        Data::List(items) if items.is_empty() => out.push_str("[]"),
        Data::Map(pairs) => {
            for (index, (key, value)) in pairs.iter().enumerate() {
                out.push_str(if index == 0 { "{" } else { "," });
                out.push_str(lead);
                out.push_str(&quote(key));
                out.push_str(": ");
                put(out, value, unit, &inner);
            }
            out.push_str(tail);
            out.push('}');
        }
        Data::List(items) => {
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "[" } else { "," });
                out.push_str(lead);
                put(out, item, unit, &inner);
            }
            out.push_str(tail);
            out.push(']');
        }
    }
}
