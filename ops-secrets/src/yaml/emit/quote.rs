//! Quotes: which a text needs, and how it stands in them.

use std::fmt::Write as _;

use super::shape::Shape;
use crate::yaml::resolve;

/// A key as go-yaml writes it.
#[must_use]
pub(super) fn key(name: &str) -> String {
    if needs_quotes(name) {
        return double(name);
    }
    let shape = Shape::of(name);
    if name.is_empty() || !shape.plain {
        return if shape.single && !name.contains('\n') {
            single(name)
        } else {
            double(name)
        };
    }
    name.to_owned()
}

/// Whether a text holds no sign that could mean anything in any style: most do, and need no further look.
pub(super) fn is_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inner =
        |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b' ' | b'_' | b'.' | b'/' | b'+' | b'=');
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last() != Some(&b' ')
        && bytes.iter().all(inner)
}

/// Whether a text would be read as something else if it stood without quotes.
pub(super) fn needs_quotes(text: &str) -> bool {
    !resolve::is_text(text) || text == "<<" || is_old_bool(text) || is_base_60(text)
}

pub(super) fn is_old_bool(text: &str) -> bool {
    matches!(
        text,
        "y" | "Y"
            | "yes"
            | "Yes"
            | "YES"
            | "on"
            | "On"
            | "ON"
            | "n"
            | "N"
            | "no"
            | "No"
            | "NO"
            | "off"
            | "Off"
            | "OFF"
    )
}

/// YAML 1.1's base 60: a sign, digits, then groups of a colon and up to two digits, then decimals.
pub(super) fn is_base_60(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|c| c.is_ascii_digit() || c == b'_');
    let mut groups = whole.split(':');
    let first = groups.next().unwrap_or("");
    let rest: Vec<&str> = groups.collect();
    first.starts_with(|c: char| c.is_ascii_digit())
        && digits(first)
        && digits(decimals)
        && !rest.is_empty()
        && rest.iter().all(|group| match group.as_bytes() {
            [one] => one.is_ascii_digit(),
            [ten, one] => (b'0'..=b'5').contains(ten) && one.is_ascii_digit(),
            _ => false,
        })
}

/// Text in single quotes.
#[must_use]
pub(super) fn single(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Whether a text can stand in single quotes, on one line.
pub(super) fn fits_quotes(text: &str) -> bool {
    text.chars().all(|c| c == '\t' || is_bare(c))
}

/// Text in double quotes, as go-yaml escapes it.
pub(super) fn double(text: &str) -> String {
    double_by(text, is_printable)
}

/// Text in double quotes; what is not `bare` is escaped.
pub(super) fn double_by(text: &str, bare: fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\0' => out.push_str("\\0"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\u{1b}' => out.push_str("\\e"),
            '\u{85}' => out.push_str("\\N"),
            '\u{2028}' => out.push_str("\\L"),
            '\u{2029}' => out.push_str("\\P"),
            c if bare(c) => out.push(c),
            c => escape(&mut out, c as u32),
        }
    }
    out.push('"');
    out
}

pub(super) fn escape(out: &mut String, code: u32) {
    let written = match code {
        0..=0xff => write!(out, "\\x{code:02X}"),
        0x100..=0xffff => write!(out, "\\u{code:04X}"),
        _ => write!(out, "\\U{code:08X}"),
    };
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
}

pub(super) fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Whether a character can stand in quotes as it is.
pub(super) fn is_bare(c: char) -> bool {
    !c.is_control() && !is_break(c) && !matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

pub(super) fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}
