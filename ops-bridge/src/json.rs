//! The members of a JSON object as slices of the line they stand in.
//!
//! Lines of the bridge repeat keys (`action`, `event_id`), the first one is the one that counts, and most lines are looked
//! at for two or three members only: so nothing is built, every member is handed out, and text is unescaped when asked for.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

/// The members of one object, in their order, repeated keys included.
#[derive(Clone, Debug)]
pub(crate) struct Members<'a> {
    rest: &'a str,
    first: bool,
    done: bool,
}

/// One JSON value as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value<'a>(&'a str);

/// The text is not one whole JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Starts to read `text` as an object.
pub(crate) fn members(text: &str) -> Members<'_> {
    Members {
        rest: text.trim_start(),
        first: true,
        done: false,
    }
}

/// The length of the value that `text` starts with.
pub(crate) fn value_length(text: &str) -> Result<usize, Malformed> {
    match text.as_bytes().first().ok_or(Malformed)? {
        b'"' => string_length(text.as_bytes()),
        b'{' | b'[' => nested_length(text.as_bytes()),
        b'}' | b']' | b',' | b':' => Err(Malformed),
        _ => {
            let end = text.find([',', '}', ']', ' ', '\t', '\n', '\r']);
            Ok(end.unwrap_or(text.len()))
        }
    }
}

/// What follows the blanks; most often there are none.
fn trim_start(text: &str) -> &str {
    match text.as_bytes().first() {
        Some(b'!'..=b'~') | None => text,
        _ => text.trim_start(),
    }
}

fn string_length(bytes: &[u8]) -> Result<usize, Malformed> {
    let mut at = 1;
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..).ok_or(Malformed)?).ok_or(Malformed)?;
        if bytes[at] == b'"' {
            return Ok(at + 1);
        }
        at += 2;
    }
}

fn nested_length(bytes: &[u8]) -> Result<usize, Malformed> {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at += string_length(&bytes[at..])?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Ok(at);
        }
    }
    Err(Malformed)
}

impl<'a> Members<'a> {
    /// The next member: its key as written (keys with escapes do not occur) and its value.
    fn step(&mut self) -> Result<Option<(&'a str, Value<'a>)>, Malformed> {
        let open = if self.first { '{' } else { ',' };
        self.rest = match self.rest.strip_prefix('}') {
            Some(after) if !self.first => return self.end(after),
            _ => trim_start(self.rest.strip_prefix(open).ok_or(Malformed)?),
        };
        if let (true, Some(after)) = (self.first, self.rest.strip_prefix('}')) {
            return self.end(after);
        }
        self.first = false;
        if !self.rest.starts_with('"') {
            return Err(Malformed);
        }
        let (key, rest) = self.rest.split_at(string_length(self.rest.as_bytes())?);
        let rest = trim_start(rest).strip_prefix(':').ok_or(Malformed)?;
        let rest = trim_start(rest);
        let (value, rest) = rest.split_at(value_length(rest)?);
        self.rest = trim_start(rest);
        Ok(Some((&key[1..key.len() - 1], Value(value))))
    }

    fn end(&mut self, after: &str) -> Result<Option<(&'a str, Value<'a>)>, Malformed> {
        self.done = true;
        if after.trim_end().is_empty() {
            Ok(None)
        } else {
            Err(Malformed)
        }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Result<(&'a str, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let step = self.step();
        self.done |= step.is_err();
        step.transpose()
    }
}

impl<'a> Value<'a> {
    /// A string without its quotes and escapes; any other value as it was written.
    pub(crate) fn text(self) -> Cow<'a, str> {
        match self.0.strip_prefix('"') {
            None => Cow::Borrowed(self.0),
            Some(inner) => {
                let inner = &inner[..inner.len() - 1];
                if memchr(b'\\', inner.as_bytes()).is_none() {
                    return Cow::Borrowed(inner);
                }
                let mut text = String::with_capacity(inner.len());
                unescape(inner, &mut text);
                Cow::Owned(text)
            }
        }
    }

    /// Appends what [`Value::text`] returns; an array of numbers is taken as bytes, as journald writes text that is not
    /// clean. Null is nothing.
    pub(crate) fn append_to(self, text: &mut String) {
        match self.0.as_bytes().first() {
            Some(b'"') => unescape(&self.0[1..self.0.len() - 1], text),
            Some(b'[') => text.push_str(&String::from_utf8_lossy(&self.bytes())),
            _ if self.0 == "null" => {}
            _ => text.push_str(self.0),
        }
    }

    /// The value as it was written.
    pub(crate) fn as_written(self) -> &'a str {
        self.0
    }

    fn bytes(self) -> Vec<u8> {
        let inner = self.0.trim_start_matches('[').trim_end_matches(']');
        inner
            .split(',')
            .filter_map(|number| number.trim().parse().ok())
            .collect()
    }
}

/// Appends the text of a string's inside. An escape that does not exist is kept as it was written.
pub(crate) fn unescape(inner: &str, text: &mut String) {
    let mut rest = inner;
    while let Some(at) = memchr(b'\\', rest.as_bytes()) {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(kind) = rest.chars().next() else {
            text.push('\\');
            return;
        };
        rest = &rest[kind.len_utf8()..];
        match kind {
            'n' => text.push('\n'),
            't' => text.push('\t'),
            'r' => text.push('\r'),
            'b' => text.push('\u{8}'),
            'f' => text.push('\u{c}'),
            'u' => rest = unescape_unicode(rest, text),
            other => text.push(other),
        }
    }
    text.push_str(rest);
}

/// Appends the character of `\uXXXX`, or of a pair of them, and returns what follows.
fn unescape_unicode<'a>(rest: &'a str, text: &mut String) -> &'a str {
    let unit = |text: &str| {
        text.get(..4)
            .and_then(|digits| u16::from_str_radix(digits, 16).ok())
    };
    let Some(first) = unit(rest) else {
        text.push(char::REPLACEMENT_CHARACTER);
        return rest;
    };
    let second = rest[4..].strip_prefix("\\u").and_then(unit);
    let mut decoded = char::decode_utf16([Some(first), second].into_iter().flatten());
    text.push(
        decoded
            .next()
            .and_then(Result::ok)
            .unwrap_or(char::REPLACEMENT_CHARACTER),
    );
    let paired = second.is_some() && decoded.next().is_none();
    &rest[if paired { 10 } else { 4 }..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, Malformed> {
        members(text)
            .map(|member| member.map(|(key, value)| (key.to_owned(), value.text().into_owned())))
            .collect()
    }

    #[test]
    fn every_member_is_handed_out_also_when_its_key_is_repeated() {
        let text = r#"{"a":"x","n":-1.5e3,"o":{"a":"}\"]"},"a":"y", "l" : [1,{"b":2}] ,"z":null}"#;
        let wanted = [
            ("a", "x"),
            ("n", "-1.5e3"),
            ("o", r#"{"a":"}\"]"}"#),
            ("a", "y"),
            ("l", r#"[1,{"b":2}]"#),
            ("z", "null"),
        ];
        assert_eq!(
            read(text).unwrap(),
            wanted.map(|(key, value)| (key.to_owned(), value.to_owned()))
        );
        assert_eq!(read(" {} ").unwrap(), []);
    }

    #[test]
    fn what_is_not_one_whole_object_is_malformed() {
        for text in [
            "",
            "{",
            "}",
            "[]",
            "{}x",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1"#,
            r#"{"a":"x"#,
            r#"{"a":"x\"#,
            r#"{"a":[1}"#,
            "{a:1}",
            r#"{"a":1 "b":2}"#,
        ] {
            assert_eq!(read(text), Err(Malformed), "{text}");
        }
    }

    #[test]
    fn escapes_are_undone_and_never_a_panic() {
        let text = |inner: &str| Value(&format!("\"{inner}\"")).text().into_owned();
        assert_eq!(
            text(r#"a\"b\\c\/d\n\t\u00e4\ud83d\ude00"#),
            "a\"b\\c/d\n\tä😀"
        );
        assert_eq!(text(r"\ud83d"), "\u{fffd}");
        assert_eq!(text(r"\ud83dx\u12"), "\u{fffd}x\u{fffd}12");
        assert_eq!(text(r"\u00e4\u00f6"), "äö");
        assert_eq!(text(r"\é"), "é");
    }

    #[test]
    fn byte_arrays_and_null() {
        let append = |value: &str| {
            let mut text = String::new();
            Value(value).append_to(&mut text);
            text
        };
        assert_eq!(append("[27,91,57,48,109]"), "\u{1b}[90m");
        assert_eq!(append("[255, 65]"), "\u{fffd}A");
        assert_eq!(append("null"), "");
    }
}
