//! `:'name'` and `:"name"` in a query, as psql fills them: with a literal and with a name.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::sql::Lexer;

/// One `name=value` of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// What stands between the quotes in the query.
    pub name: String,
    /// What takes its place, as a quoted literal or a quoted name.
    pub value: String,
}

impl FromStr for Parameter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| format!("'{text}' is not name=value"))?;
        if name.is_empty() || !name.bytes().all(is_name) {
            return Err(format!(
                "'{name}' is no name of a parameter: letters, digits and '_' only"
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }
}

/// Why a query cannot be filled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The query names a parameter that was not given.
    #[error("the query wants {0}, which no -P gives")]
    Missing(String),
    /// A parameter was given that the query does not name.
    #[error("the query has no :'{0}'")]
    Unused(String),
}

/// Fills every `:'name'` outside quotes and comments with its value as a literal, and every `:"name"` with it as a name.
pub fn fill(query: &str, given: &[Parameter]) -> Result<String, Error> {
    let values: BTreeMap<_, _> = given
        .iter()
        .map(|given| (given.name.as_str(), given.value.as_str()))
        .collect();
    let mut unused = values.clone();
    let (mut lexer, mut at, mut filled) = (Lexer::default(), 0, Vec::with_capacity(query.len()));
    let text = query.as_bytes();
    while at < text.len() {
        let place = if lexer == Lexer::Code {
            parameter(text, at)
        } else {
            None
        };
        let next = if let Some((quote, name)) = place {
            let value = values
                .get(name)
                .ok_or_else(|| Error::Missing(format!(":{quote}{name}{quote}")))?;
            unused.remove(name);
            filled.extend_from_slice(quoted(quote, value).as_bytes());
            at + name.len() + 3
        } else {
            let next = lexer.step(text, at);
            filled.extend_from_slice(&text[at..next]);
            next
        };
        at = next;
    }
    match unused.first_key_value() {
        Some((name, _)) => Err(Error::Unused((*name).to_owned())),
        None => Ok(String::from_utf8_lossy(&filled).into_owned()),
    }
}

/// A name, or a literal that is good under any `standard_conforming_strings`: with a space before a leading `E`.
fn quoted(quote: char, value: &str) -> String {
    match quote {
        '"' => postgres_protocol::escape::escape_identifier(value),
        _ => postgres_protocol::escape::escape_literal(value),
    }
}

/// The quote and the name of `:'name'` or `:"name"` at `at`. Two colons are a cast: the second of `::'x'` starts none, the
/// third of `:::'x'` does.
fn parameter(text: &[u8], at: usize) -> Option<(char, &str)> {
    let (quote, rest) = text[at..].strip_prefix(b":")?.split_first()?;
    let colons = text[..at].iter().rev().take_while(|byte| **byte == b':');
    if !matches!(quote, b'\'' | b'"') || colons.count() % 2 == 1 {
        return None;
    }
    let end = rest.iter().position(|byte| !is_name(*byte))?;
    let is_closed = end > 0 && rest[end] == *quote;
    let name = std::str::from_utf8(&rest[..end]).ok()?;
    is_closed.then_some((char::from(*quote), name))
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(query: &str, given: &[&str]) -> Result<String, Error> {
        let given: Vec<Parameter> = given.iter().map(|given| given.parse().unwrap()).collect();
        fill(query, &given)
    }

    #[test]
    fn a_value_becomes_a_literal() {
        assert_eq!(
            filled("SELECT :'a', :'b2'", &["a=x", "b2=it's"]).unwrap(),
            "SELECT 'x', 'it''s'"
        );
        assert_eq!(
            filled("SELECT :'a'::int", &["a=5"]).unwrap(),
            "SELECT '5'::int"
        );
        assert_eq!(
            filled("SELECT x[1:2], x[:'a':2], f(a := :'a'), 1:::'a'", &["a=5"]).unwrap(),
            "SELECT x[1:2], x['5':2], f(a := '5'), 1::'5'"
        );
        assert_eq!(filled("SELECT :'a'", &["a=\\"]).unwrap(), "SELECT  E'\\\\'");
        assert_eq!(
            filled("SELECT :'a', é", &["a='; DROP TABLE x; --"]).unwrap(),
            "SELECT '''; DROP TABLE x; --', é"
        );
    }

    #[test]
    fn a_value_becomes_a_name() {
        assert_eq!(
            filled("SELECT :'a' FROM :\"a\"", &["a=x\"; DROP TABLE y; --"]).unwrap(),
            "SELECT 'x\"; DROP TABLE y; --' FROM \"x\"\"; DROP TABLE y; --\""
        );
        assert_eq!(
            filled("SELECT 1 AS \":'a'\"", &[]).unwrap(),
            "SELECT 1 AS \":'a'\""
        );
    }

    #[test]
    fn a_value_is_never_read_again() {
        assert_eq!(
            filled("SELECT :'a', :'b'", &["a=:'b'", "b=y"]).unwrap(),
            "SELECT ':''b''', 'y'"
        );
    }

    #[test]
    fn nothing_is_filled_in_quotes_and_comments() {
        for query in [
            "SELECT ':''a''', \":'a'\"",
            "SELECT 1 -- :'a'\n",
            "/* :'a' */ SELECT $$ :'a' $$",
            "SELECT x::'a', x::\"a\"",
            "SELECT E'x'\n'\\' :\\'a\\' '",
            "SELECT 1 --\r, ':''a'''",
        ] {
            assert_eq!(filled(query, &[]).unwrap(), query);
            assert_eq!(
                filled(query, &["a=x"]).unwrap_err(),
                Error::Unused("a".into()),
                "{query}"
            );
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = filled("SELECT :'who'", &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the query wants :'who', which no -P gives"
        );
        assert!("a b=x".parse::<Parameter>().is_err());
        assert!("novalue".parse::<Parameter>().is_err());
    }
}
