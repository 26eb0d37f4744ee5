//! The key response of a server: whether others can believe its signatures.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, STANDARD};
use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::{Map, Value};

use crate::canonical::{self, NotCanonical};
use crate::document::{self, DocumentError};

/// Base64 without padding, and as peers read it: bits too many in the last letter are dropped. The specification's own key
/// has some.
const UNPADDED: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    NO_PAD.with_decode_allow_trailing_bits(true),
);

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
    let bytes = match UNPADDED.decode(text) {
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
    let Ok(bytes) = UNPADDED.decode(signature) else {
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
#[path = "keys_tests.rs"]
mod tests;
