//! The access tokens of `ping`: decrypted by `ops-secrets`, kept in memory, sent in one header and shown nowhere.

use std::fmt;
use std::path::Path;

use ops_common::program::Program;
use serde_json::Value;

use crate::document;
use crate::error::Error;

/// An access token.
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token")
    }
}

impl Token {
    /// The value of the `Authorization` header.
    #[must_use]
    pub fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

/// What the file of `matrix.tokens` holds.
#[derive(Debug)]
pub struct Tokens {
    /// The account that sends.
    pub sender: Token,
    /// The account that waits for the message; the sender itself if there is no other.
    pub receiver: Option<Token>,
    /// The room in which both are.
    pub room: String,
}

/// Has `ops-secrets` decrypt the file.
pub fn read(path: &Path) -> Result<Tokens, Error> {
    let program = Program::find("ops-secrets")?
        .args(["decrypt", "--output-type", "json", "--"])
        .arg(path);
    let clear = program.output()?;
    parse(&clear).map_err(|reason| Error::Tokens {
        path: path.to_owned(),
        reason,
    })
}

fn parse(clear: &[u8]) -> Result<Tokens, String> {
    // A message about the content could quote it.
    let object = document::object(clear).map_err(|_| "what is in it is no mapping".to_owned())?;
    let text = |key: &str| {
        object
            .get(key)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let needed = |key: &str| text(key).ok_or_else(|| format!("no '{key}' in it"));
    Ok(Tokens {
        sender: Token(needed("token_a")?),
        receiver: text("token_b").map(Token),
        room: needed("room")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_key_is_named_and_a_token_is_not_shown() {
        let tokens = parse(br#"{"token_a":"s3cr3t","room":"!r:chat.example"}"#).expect("tokens");
        assert!(tokens.receiver.is_none());
        assert_eq!(tokens.sender.header(), "Bearer s3cr3t");
        assert!(!format!("{tokens:?}").contains("s3cr3t"));
        assert_eq!(
            parse(br#"{"token_a":"s3cr3t"}"#).expect_err("no room"),
            "no 'room' in it"
        );
        assert_eq!(
            parse(b"s3cr3t").expect_err("no mapping"),
            "what is in it is no mapping"
        );
    }
}
