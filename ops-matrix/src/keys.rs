//! The key response of a server: whether others can believe its signatures.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::{Map, Value};

use crate::canonical::{self, NotCanonical};
use crate::document::{self, DocumentError};

/// Peers ask a server not to answer with less validity than this.
const SHORTEST_VALIDITY_MS: i64 = 3_600_000;

/// How far ahead an old key's end may lie before it is worth a word: clocks differ.
const CLOCK_TOLERANCE_MS: i64 = 60_000;

/// A key response and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyReply {
    /// Key ids and keys, as they were written.
    pub keys: Vec<(String, String)>,
    /// Until when others may believe the keys, in milliseconds since 1970.
    pub valid_until_ms: Option<i64>,
    /// Everything found, in the order of the checks.
    pub faults: Vec<KeyFault>,
}

/// One thing wrong with a key response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// The keys of another server.
    #[error("server_name is '{found}', not '{expected}'")]
    ServerName {
        /// What the reply says.
        found: String,
        /// Whom we asked for.
        expected: String,
    },
    /// No ed25519 key at all.
    #[error("no ed25519 key in verify_keys")]
    NoKey,
    /// A key id outside the grammar.
    #[error("key id '{0}' is not ed25519:[A-Za-z0-9_]+")]
    KeyId(String),
    /// A key that cannot be one.
    #[error("key '{id}' is {reason}")]
    Key {
        /// Which key.
        id: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A listed key did not sign the reply.
    #[error("no signature by '{0}'")]
    NotSigned(String),
    /// A signature that does not verify.
    #[error("the signature by '{0}' does not verify")]
    Signature(String),
    /// A document that cannot be signed the same way twice.
    #[error("not canonical JSON: {0}")]
    NotCanonical(NotCanonical),
    /// No time of expiry.
    #[error("valid_until_ts is missing or no integer")]
    NoValidUntil,
    /// The reply has expired.
    #[error("valid_until_ts was {0} s ago")]
    Expired(i64),
    /// The reply expires sooner than peers want.
    #[error("valid_until_ts is only {0} s ahead: peers want an hour")]
    ExpiresSoon(i64),
    /// An old key that is still valid.
    #[error("old key '{0}' expires in the future")]
    OldKeyValid(String),
}

impl KeyFault {
    /// Whether peers would still believe the reply.
    #[must_use]
    pub fn is_harmless(&self) -> bool {
        matches!(self, Self::ExpiresSoon(_) | Self::OldKeyValid(_))
    }

    /// One word for machines.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::ServerName { .. } => "server_name",
            Self::NoKey => "no_key",
            Self::KeyId(_) => "key_id",
            Self::Key { .. } => "key",
            Self::NotSigned(_) => "not_signed",
            Self::Signature(_) => "signature",
            Self::NotCanonical(_) => "not_canonical",
            Self::NoValidUntil => "no_valid_until",
            Self::Expired(_) => "keys_expired",
            Self::ExpiresSoon(_) => "expires_soon",
            Self::OldKeyValid(_) => "old_key_valid",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn fix(&self) -> &'static str {
        match self {
            Self::ServerName { .. } => {
                "the request ends at another server: look at the proxy's server blocks and at its Host header"
            }
            Self::Expired(_) | Self::ExpiresSoon(_) => {
                "set the clock of the server, or take a cache away that stands in front of it"
            }
            Self::NotCanonical(_) | Self::Signature(_) => {
                "take away what changes the body between the server and its peers"
            }
            _ => {
                "the homeserver has to answer with its own keys, signed: look at its log and its key file"
            }
        }
    }
}

/// Checks a key response as a peer would that asked for `server`.
pub fn examine(body: &[u8], server: &str, now_ms: i64) -> Result<KeyReply, DocumentError> {
    let object = document::object(body)?;
    let mut faults = Vec::new();
    let found = object
        .get("server_name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if found != server {
        faults.push(KeyFault::ServerName {
            found: found.to_owned(),
            expected: server.to_owned(),
        });
    }
    let keys = verify_keys(&object);
    signatures(&object, server, &keys, &mut faults);
    let valid_until_ms = object.get("valid_until_ts").and_then(Value::as_i64);
    faults.extend(validity(valid_until_ms, now_ms));
    faults.extend(old_keys(&object, now_ms));
    Ok(KeyReply {
        keys,
        valid_until_ms,
        faults,
    })
}

fn verify_keys(object: &Map<String, Value>) -> Vec<(String, String)> {
    let listed = object.get("verify_keys").and_then(Value::as_object);
    let text = |entry: &Value| {
        entry
            .get("key")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    listed
        .into_iter()
        .flatten()
        .filter(|(id, _)| id.starts_with("ed25519:"))
        .map(|(id, entry)| (id.clone(), text(entry)))
        .collect()
}

/// Every listed ed25519 key must have signed the reply.
fn signatures(
    object: &Map<String, Value>,
    server: &str,
    keys: &[(String, String)],
    faults: &mut Vec<KeyFault>,
) {
    if keys.is_empty() {
        faults.push(KeyFault::NoKey);
    }
    let covered = match canonical::signed_bytes(object) {
        Ok(bytes) => Some(bytes),
        Err(fault) => {
            faults.push(KeyFault::NotCanonical(fault));
            None
        }
    };
    let made = object.get("signatures").and_then(|all| all.get(server));
    for (id, key) in keys {
        if !is_key_id(id) {
            faults.push(KeyFault::KeyId(id.clone()));
        }
        let key = match decode_key(key) {
            Ok(key) => key,
            Err(reason) => {
                faults.push(KeyFault::Key {
                    id: id.clone(),
                    reason,
                });
                continue;
            }
        };
        match made.and_then(|made| made.get(id)).and_then(Value::as_str) {
            None => faults.push(KeyFault::NotSigned(id.clone())),
            Some(signature) => {
                if covered
                    .as_ref()
                    .is_some_and(|bytes| !verifies(&key, bytes, signature))
                {
                    faults.push(KeyFault::Signature(id.clone()));
                }
            }
        }
    }
}

fn is_key_id(id: &str) -> bool {
    let version = id.strip_prefix("ed25519:").unwrap_or_default();
    !version.is_empty()
        && version
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn decode_key(text: &str) -> Result<VerifyingKey, &'static str> {
    let bytes = match STANDARD_NO_PAD.decode(text) {
        Ok(bytes) => bytes,
        Err(_) if STANDARD.decode(text).is_ok() => {
            return Err("padded, and Matrix has base64 without padding");
        }
        Err(_) => return Err("not base64"),
    };
    let bytes: [u8; 32] = bytes.try_into().map_err(|_| "not 32 bytes long")?;
    VerifyingKey::from_bytes(&bytes).map_err(|_| "no point of the curve")
}

fn verifies(key: &VerifyingKey, covered: &[u8], signature: &str) -> bool {
    let Ok(bytes) = STANDARD_NO_PAD.decode(signature) else {
        return false;
    };
    let Ok(signature) = Signature::from_slice(&bytes) else {
        return false;
    };
    key.verify_strict(covered, &signature).is_ok()
}

fn validity(valid_until_ms: Option<i64>, now_ms: i64) -> Option<KeyFault> {
    let Some(until) = valid_until_ms else {
        return Some(KeyFault::NoValidUntil);
    };
    let left = until.saturating_sub(now_ms);
    match left {
        ..=0 => Some(KeyFault::Expired(-left / 1000)),
        1..SHORTEST_VALIDITY_MS => Some(KeyFault::ExpiresSoon(left / 1000)),
        _ => None,
    }
}

fn old_keys(object: &Map<String, Value>, now_ms: i64) -> Vec<KeyFault> {
    let old = object.get("old_verify_keys").and_then(Value::as_object);
    old.into_iter()
        .flatten()
        .filter(|(_, entry)| {
            let expired = entry.get("expired_ts").and_then(Value::as_i64);
            expired.is_none_or(|expired| expired > now_ms + CLOCK_TOLERANCE_MS)
        })
        .map(|(id, _)| KeyFault::OldKeyValid(id.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer as _, SigningKey};
    use serde_json::json;

    /// The reply of a continuwuity 26.8.0-alpha.1, and the instant of its `Date` header.
    const CONTINUWUITY: &str = include_str!("../fixtures/continuwuity/key.json");
    const ITS_DATE_MS: i64 = 1_795_450_224_000;

    const NOW: i64 = 1_800_000_000_000;
    const DAY: i64 = 86_400_000;

    /// A reply of our own, signed; `change` sees it before, `spoil` after signing.
    fn faults(change: impl Fn(&mut Value), spoil: impl Fn(&mut Value)) -> Vec<KeyFault> {
        let signer = SigningKey::from_bytes(&[7; 32]);
        let key = STANDARD_NO_PAD.encode(signer.verifying_key().as_bytes());
        let mut reply = json!({
            "server_name": "chat.example", "valid_until_ts": NOW + DAY,
            "verify_keys": {"ed25519:a": {"key": key}}, "old_verify_keys": {},
        });
        change(&mut reply);
        if let Ok(bytes) = canonical::canonical(&reply) {
            let signature = STANDARD_NO_PAD.encode(signer.sign(&bytes).to_bytes());
            reply["signatures"] = json!({"chat.example": {"ed25519:a": signature}});
        }
        spoil(&mut reply);
        examine(reply.to_string().as_bytes(), "chat.example", NOW)
            .expect("an object")
            .faults
    }

    #[test]
    fn the_reply_of_a_real_continuwuity_verifies() {
        let reply =
            examine(CONTINUWUITY.as_bytes(), "clarun.test", ITS_DATE_MS).expect("an object");
        assert_eq!(reply.faults, []);
        assert_eq!(reply.keys[0].0, "ed25519:vVt1abRZ");
        // One character of its server name changed: the signature no longer covers it.
        let changed = CONTINUWUITY.replace("1796055024161", "1796055024162");
        let faults = examine(changed.as_bytes(), "clarun.test", ITS_DATE_MS)
            .expect("an object")
            .faults;
        assert_eq!(faults, [KeyFault::Signature("ed25519:vVt1abRZ".into())]);
    }

    #[test]
    fn a_good_reply_has_no_fault() {
        assert_eq!(faults(|_| (), |_| ()), []);
    }

    type Change = fn(&mut Value);

    #[test]
    fn each_fault_of_what_was_signed_is_named() {
        let rows: [(Change, KeyFault); 6] = [
            (
                |reply| set(reply, "/valid_until_ts", json!(NOW - 5000)),
                KeyFault::Expired(5),
            ),
            (
                |reply| set(reply, "/valid_until_ts", json!(NOW + 60_000)),
                KeyFault::ExpiresSoon(60),
            ),
            (
                |reply| set(reply, "/valid_until_ts", json!("soon")),
                KeyFault::NoValidUntil,
            ),
            (
                |reply| {
                    set(
                        reply,
                        "/verify_keys",
                        json!({"ed25519:a": reply["verify_keys"]["ed25519:a"], "ed25519:b": reply["verify_keys"]["ed25519:a"]}),
                    );
                },
                KeyFault::NotSigned("ed25519:b".into()),
            ),
            (
                |reply| {
                    set(
                        reply,
                        "/old_verify_keys",
                        json!({"ed25519:o": {"key": "", "expired_ts": NOW + DAY}}),
                    );
                },
                KeyFault::OldKeyValid("ed25519:o".into()),
            ),
            (
                |reply| set(reply, "/server_name", json!("other.example")),
                KeyFault::ServerName {
                    found: "other.example".into(),
                    expected: "chat.example".into(),
                },
            ),
        ];
        for (change, expected) in rows {
            assert_eq!(faults(change, |_| ()), [expected]);
        }
    }

    #[test]
    fn each_fault_of_keys_and_signatures_is_named() {
        const KEY: &str = "/verify_keys/ed25519:a/key";
        let key = |reason| KeyFault::Key {
            id: "ed25519:a".to_owned(),
            reason,
        };
        let rows: [(Change, KeyFault); 6] = [
            (
                |reply| set(reply, "/server_name", json!("chat.example ")),
                KeyFault::ServerName {
                    found: "chat.example ".into(),
                    expected: "chat.example".into(),
                },
            ),
            (
                |reply| set(reply, "/signatures", json!({})),
                KeyFault::NotSigned("ed25519:a".into()),
            ),
            (|reply| set(reply, KEY, json!("%%")), key("not base64")),
            (
                |reply| set(reply, KEY, json!("AAAA")),
                key("not 32 bytes long"),
            ),
            (
                |reply| set(reply, KEY, json!("AAA=")),
                key("padded, and Matrix has base64 without padding"),
            ),
            (
                |reply| set(reply, "/verify_keys", json!({})),
                KeyFault::NoKey,
            ),
        ];
        for (spoil, expected) in rows {
            // The first fault names the cause; a signature over something else is its consequence.
            assert_eq!(faults(|_| (), spoil)[0], expected);
        }
    }

    /// Replaces what a JSON pointer points at.
    fn set(reply: &mut Value, pointer: &str, value: Value) {
        *reply.pointer_mut(pointer).expect("it is there") = value;
    }

    #[test]
    fn a_float_is_named_and_not_called_a_bad_signature() {
        let found = faults(|_| (), |reply| reply["extra"] = json!(1.0));
        assert!(
            matches!(&found[..], [KeyFault::NotCanonical(_)]),
            "{found:?}"
        );
    }

    #[test]
    fn an_id_outside_the_grammar_is_a_fault() {
        let found = faults(
            |_| (),
            |reply| {
                set(
                    reply,
                    "/verify_keys",
                    json!({"ed25519:a-b": reply["verify_keys"]["ed25519:a"]}),
                );
            },
        );
        assert_eq!(
            found,
            [
                KeyFault::KeyId("ed25519:a-b".into()),
                KeyFault::NotSigned("ed25519:a-b".into())
            ]
        );
    }

    #[test]
    fn what_is_no_object_is_no_key_response() {
        assert_eq!(examine(b"<html>", "x", 0), Err(DocumentError::Html));
        assert_eq!(examine(b"[]", "x", 0), Err(DocumentError::NotObject));
    }
}
