//! The bridge's own text form, `TIME LVL message key=value …`, with and without colours.

use std::borrow::Cow;

use crate::json;
use crate::line::Level;

/// The parts of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    /// RFC 3339, or nothing where the format of times is a blank (as the NixOS modules set it).
    pub(crate) time: Option<&'a str>,
    pub(crate) level: Level,
    pub(crate) message: &'a str,
    /// What follows the message: ` key=value key=value`.
    pub(crate) fields: &'a str,
}

/// Takes a line apart; nothing if it is not of this form.
pub(crate) fn parts(text: &str) -> Option<Parts<'_>> {
    let text = text.trim_start();
    let (word, rest) = text.split_once(' ')?;
    let (time, level, rest) = if let Some(level) = Level::from_short(word) {
        (None, level, rest)
    } else {
        let date = word.as_bytes();
        if date.len() < 20 || date[4] != b'-' || date[10] != b'T' {
            return None;
        }
        let (level, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        (Some(word), Level::from_short(level)?, rest)
    };
    let end = fields_start(rest).unwrap_or(rest.len());
    let (message, fields) = rest.split_at(end);
    Some(Parts {
        time,
        level,
        message: message.trim_end(),
        fields,
    })
}

/// Where the first ` key=` stands.
fn fields_start(text: &str) -> Option<usize> {
    if key_length(text).is_some() {
        return Some(0);
    }
    let bytes = text.as_bytes();
    memchr::memchr_iter(b' ', bytes).find(|at| key_length(&text[at + 1..]).is_some())
}

/// The length of the key, if `text` starts with `key=`.
fn key_length(text: &str) -> Option<usize> {
    let end = text
        .bytes()
        .position(|b| !(b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'))?;
    (end > 0 && text.as_bytes()[end] == b'=').then_some(end)
}

/// The fields of a line, in their order.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a>(&'a str);

/// Starts to read what follows the message.
pub(crate) fn fields(text: &str) -> Fields<'_> {
    Fields(text)
}

impl<'a> Iterator for Fields<'a> {
    /// Key, and value as it was written.
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.0.trim_start();
        let end = key_length(text)?;
        let (key, rest) = (&text[..end], &text[end + 1..]);
        let length = match rest.as_bytes().first() {
            Some(b'"' | b'{' | b'[') => json::value_length(rest).unwrap_or(rest.len()),
            _ => rest.find(' ').unwrap_or(rest.len()),
        };
        let (value, rest) = rest.split_at(length);
        self.0 = rest;
        Some((key, value))
    }
}

/// A value without the quotes that Go puts around text with blanks.
pub(crate) fn unquote(value: &str) -> Cow<'_, str> {
    let inner = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let Some(inner) = inner.filter(|_| value.len() >= 2) else {
        return Cow::Borrowed(value);
    };
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        rest = unescape(after, &mut text);
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// Appends the character of one escape of Go and returns what follows it.
fn unescape<'a>(after: &'a str, text: &mut String) -> &'a str {
    let Some(kind) = after.chars().next() else {
        return after;
    };
    let rest = &after[kind.len_utf8()..];
    let digits = match kind {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => 0,
    };
    if digits > 0 {
        let code = rest
            .get(..digits)
            .and_then(|digits| u32::from_str_radix(digits, 16).ok());
        text.push(
            code.and_then(char::from_u32)
                .unwrap_or(char::REPLACEMENT_CHARACTER),
        );
        return rest.get(digits..).unwrap_or_default();
    }
    text.push(match kind {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        other => other,
    });
    rest
}

/// Removes colours: escape sequences that start with `ESC [`.
pub(crate) fn without_colours(text: &mut String) {
    if memchr::memchr(0x1b, text.as_bytes()).is_none() {
        return;
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        let parameters = after
            .bytes()
            .take_while(|b| matches!(b, b'0'..=b'9' | b';'))
            .count();
        let ends = after[parameters..].starts_with(|c: char| c.is_ascii_alphabetic());
        rest = &after[parameters + usize::from(ends)..];
    }
    plain.push_str(rest);
    *text = plain;
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: &str = r#"2026-08-19T09:00:01.5Z DBG Sent new bridge state bridge_state={"info":{"a":"b c"},"state_event":"CONNECTED"} login_id=T1-U1 part_id= text="a \"b\" \x1b \u00e4=1" user_mxid=@op:ex.org"#;

    #[test]
    fn a_line_is_taken_apart() {
        let parts = parts(STATE).unwrap();
        assert_eq!(
            (parts.time, parts.level, parts.message),
            (
                Some("2026-08-19T09:00:01.5Z"),
                Level::Debug,
                "Sent new bridge state"
            )
        );
        let all: Vec<_> = fields(parts.fields)
            .map(|(key, value)| (key, unquote(value).into_owned()))
            .collect();
        let wanted = [
            (
                "bridge_state",
                r#"{"info":{"a":"b c"},"state_event":"CONNECTED"}"#,
            ),
            ("login_id", "T1-U1"),
            ("part_id", ""),
            ("text", "a \"b\" \u{1b} ä=1"),
            ("user_mxid", "@op:ex.org"),
        ];
        assert_eq!(all, wanted.map(|(key, value)| (key, value.to_owned())));
    }

    #[test]
    fn a_blank_time_and_colours() {
        let mut text =
            "\u{1b}[90m \u{1b}[0m \u{1b}[32mINF\u{1b}[0m \u{1b}[1mNo user logins found\u{1b}[0m"
                .to_owned();
        without_colours(&mut text);
        let parts = parts(&text).unwrap();
        assert_eq!(
            (parts.time, parts.level, parts.message, parts.fields),
            (None, Level::Info, "No user logins found", "")
        );
    }

    #[test]
    fn other_lines_are_not_of_this_form() {
        for text in [
            "",
            "INF",
            "panic: runtime error",
            "Started mautrix-slack.service",
            "2026-08-19T09:00:01Z hello there",
            "goroutine 1 [running]:",
        ] {
            assert_eq!(parts(text), None, "{text}");
        }
    }

    #[test]
    fn broken_values_end_with_the_line() {
        assert_eq!(
            fields(r#" a={"x" b=1"#).collect::<Vec<_>>(),
            [("a", r#"{"x" b=1"#)]
        );
        assert_eq!(unquote("\""), "\"");
        assert_eq!(unquote(r#""\""#), "");
        assert_eq!(unquote(r#""\xZZ""#), "\u{fffd}");
    }
}
