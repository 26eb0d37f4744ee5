//! Rows as JSON objects that the server has written, each with the host it comes from.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Write};

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use crate::copied;

/// Rows that the server has written as JSON, each with the host it comes from.
pub(super) struct Objects<'a> {
    host: &'a str,
    has_host: Option<bool>,
}

impl<'a> Objects<'a> {
    pub(super) fn of(host: &'a str) -> Self {
        let has_host = None;
        Self { host, has_host }
    }

    pub(super) fn print(&mut self, line: &str, output: &mut dyn Write) -> io::Result<()> {
        // A newline in a value of type json is a blank of its syntax: inside strings it would have been escaped.
        let text = copied::row(line)
            .into_iter()
            .flatten()
            .collect::<String>()
            .replace(['\n', '\r', '\t'], " ");
        let text = plain_json(&text);
        let has_host = if let Some(known) = self.has_host {
            known
        } else {
            let names = names(&text)?;
            all_differ(&names)?;
            *self
                .has_host
                .insert(names.iter().any(|name| name == "host"))
        };
        if has_host {
            return writeln!(output, "{text}");
        }
        let rest = text.strip_prefix('{').unwrap_or(&text);
        let comma = if rest == "}" { "" } else { "," };
        writeln!(output, "{{\"host\":{}{comma}{rest}", Value::from(self.host))
    }
}

/// The names in an object that the server has written; it writes one twice where two columns have it.
fn names(object: &str) -> io::Result<Vec<String>> {
    struct Names;
    impl<'de> Visitor<'de> for Names {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut names = Vec::new();
            while let Some((name, IgnoredAny)) = map.next_entry()? {
                names.push(name);
            }
            Ok(names)
        }
    }
    let mut reader = serde_json::Deserializer::from_str(object);
    Ok(reader.deserialize_map(Names)?)
}

/// Whoever reads an object keeps one value of a name, so a second would be lost without a word.
pub(super) fn all_differ(names: &[String]) -> io::Result<()> {
    let mut seen = BTreeSet::new();
    match names.iter().find(|name| !seen.insert(*name)) {
        Some(name) => Err(io::Error::other(SameName(name.clone()))),
        None => Ok(()),
    }
}

/// A name that two columns have.
#[derive(Debug, thiserror::Error)]
#[error("two columns are called '{0}'")]
pub(super) struct SameName(pub(super) String);

/// JSON lets the second block of control characters through, and terminals obey them: escaped it says the same.
pub(super) fn plain_json(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\u{7f}'..='\u{9f}' => plain.push_str(&format!("\\u{:04x}", u32::from(character))),
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_in_json_carry_their_host() {
        let print = |line: &str| {
            let mut output = Vec::new();
            Objects::of("h").print(line, &mut output).unwrap();
            String::from_utf8(output).unwrap()
        };
        assert_eq!(
            print("{\"a\":1,\"b\":\"x\\\\ny\"}"),
            "{\"host\":\"h\",\"a\":1,\"b\":\"x\\ny\"}\n"
        );
        assert_eq!(
            print("{\"a\":{\\n\"c\":1}}"),
            "{\"host\":\"h\",\"a\":{ \"c\":1}}\n"
        );
        assert_eq!(print("{\"host\":1}"), "{\"host\":1}\n");
        assert_eq!(print("{}"), "{\"host\":\"h\"}\n");
    }

    #[test]
    fn two_columns_of_one_name_are_no_object() {
        let mut objects = Objects::of("h");
        let error = objects.print("{\"a\":1,\"b\":{\"a\":2},\"a\":3}", &mut Vec::new());
        assert_eq!(error.unwrap_err().to_string(), "two columns are called 'a'");
        let is_written = objects.print("{\"a\":1,\"b\":{\"a\":2}}", &mut Vec::new());
        assert!(is_written.is_ok());
    }
}
