//! YAML as go-yaml's emitter writes it, which is how sops writes it.

mod block;
mod place;
mod quote;
mod shape;

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use self::block::literal;
use self::quote::{double, is_word, key, needs_quotes, single};
use self::shape::Shape;
use super::resolve;
use crate::tree::{Data, Place, Value};

pub use self::block::unbroken;
pub use self::place::{conceal, respell};

/// A mapping written in block style, each line indented by `column`, with `step` more for each level.
#[must_use]
pub fn map(pairs: &[(String, Data)], column: usize, step: usize) -> String {
    let mut out = String::new();
    block_map(&mut out, pairs, column, step, false);
    out
}

/// A value as it stands after `key:` or `-`, the blank or line break before it included, with the line break at its end.
#[must_use]
pub fn after_sign(data: &Data, column: usize, element: bool, step: usize) -> String {
    let mut out = String::new();
    value(&mut out, data, column, element, step);
    out
}

fn block_map(out: &mut String, pairs: &[(String, Data)], column: usize, step: usize, begun: bool) {
    for (index, (name, data)) in pairs.iter().enumerate() {
        if index > 0 || !begun {
            indent(out, column);
        }
        pair(out, name, data, column, step);
    }
}

/// A key and its value, without the indentation of the first line.
pub fn pair(out: &mut String, name: &str, data: &Data, column: usize, step: usize) {
    let short = name.len() <= 128 && !name.contains(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']);
    if short {
        out.push_str(&key(name));
        out.push(':');
        value(out, data, column, false, step);
    } else {
        out.push_str("? ");
        out.push_str(&text(
            name,
            &Place {
                column,
                ..Place::default()
            },
            step,
        ));
        out.push('\n');
        indent(out, column);
        out.push(':');
        value(out, data, column, false, step);
    }
}

fn value(out: &mut String, data: &Data, column: usize, element: bool, step: usize) {
    let inner = if element {
        column + 2
    } else {
        next_stop(column, step)
    };
    match data {
        Data::Scalar(leaf) => {
            out.push(' ');
            let place = Place {
                column,
                element,
                ..Place::default()
            };
            out.push_str(&scalar(leaf, &place, step));
            out.push('\n');
        }
        Data::Map(pairs) if pairs.is_empty() => out.push_str(" {}\n"),
        Data::List(items) if items.is_empty() => out.push_str(" []\n"),
        Data::Map(pairs) => {
            out.push_str(if element { " " } else { "\n" });
            block_map(out, pairs, inner, step, element);
        }
        Data::List(items) => {
            out.push_str(if element { " " } else { "\n" });
            for (index, item) in items.iter().enumerate() {
                if index > 0 || !element {
                    indent(out, inner);
                }
                out.push('-');
                value(out, item, inner, true, step);
            }
        }
    }
}

fn indent(out: &mut String, column: usize) {
    out.extend(std::iter::repeat_n(' ', column));
}

/// The column that go-yaml indents to from `column`: the next multiple of the step.
#[must_use]
pub fn next_stop(column: usize, step: usize) -> usize {
    step * ((column + step) / step)
}

/// A leaf as go-yaml writes it at a place; only the place's column and surroundings count, not its present style.
/// The line break that ends a literal block is not part of it.
#[must_use]
pub fn scalar<'v>(value: &'v Value, place: &Place, step: usize) -> Cow<'v, str> {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => if *value { "true" } else { "false" }.into(),
        Value::Int(value) => value.to_string().into(),
        Value::Float(value) => resolve::write_float(*value).into(),
        Value::Time(value) => value.into(),
        Value::Text(value) | Value::Comment(value) => text(value, place, step),
        Value::Bytes(bytes) => format!("!!binary {}", text(&packed(bytes), place, step)).into(),
    }
}

/// Base64 in lines of 70 characters, if it needs more than one.
fn packed(bytes: &[u8]) -> String {
    let mut text = STANDARD.encode(bytes);
    if text.len() >= 70 {
        let lines = text.as_bytes().chunks(70).map(String::from_utf8_lossy);
        text = lines.map(|line| line.into_owned() + "\n").collect();
    }
    text
}

fn text<'v>(value: &'v str, place: &Place, step: usize) -> Cow<'v, str> {
    if is_word(value) && !needs_quotes(value) {
        return value.into();
    }
    let shape = Shape::of(value);
    if value.contains('\n') {
        let spelled = if shape.block && !place.flow {
            literal(value, place, step)
        } else {
            double(value)
        };
        return spelled.into();
    }
    if needs_quotes(value) {
        return double(value).into();
    }
    let plain = if place.flow {
        shape.flow_plain
    } else {
        shape.plain
    };
    match (plain, shape.single) {
        (true, _) => value.into(),
        (false, true) => single(value).into(),
        (false, false) => double(value).into(),
    }
}
