//! The answers of a homeserver that is well, signed with a key of the tests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};

use crate::fake::{Act, Asked, json as json_reply, reply};

pub(crate) const VERSIONS: &str =
    r#"{"versions":["r0.6.1","v1.1","v1.11"],"unstable_features":{"org.matrix.msc4155":true}}"#;
pub(crate) const VERSION: &str = r#"{"server":{"name":"Fixture","version":"1.0"}}"#;
pub(crate) const KEYS: &str = "/_matrix/key/v2/server";

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

fn signer(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// A key response of `server`, changed by `change` before it is signed and by `spoil` after.
pub(crate) fn keys(
    server: &str,
    seed: u8,
    change: fn(&mut Value),
    spoil: fn(&mut Value),
) -> String {
    let key = STANDARD_NO_PAD.encode(signer(seed).verifying_key().as_bytes());
    let mut reply = json!({
        "server_name": server, "valid_until_ts": now_ms() + 86_400_000,
        "verify_keys": {"ed25519:a": {"key": key}}, "old_verify_keys": {},
    });
    change(&mut reply);
    let signature = STANDARD_NO_PAD.encode(signer(seed).sign(sorted(&reply).as_bytes()).to_bytes());
    reply["signatures"] = json!({server: {"ed25519:a": signature}});
    spoil(&mut reply);
    reply.to_string()
}

/// The object with its members in order, at every level.
fn sorted(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(key, _)| key.as_str());
            let one = |(key, value): (&String, &Value)| format!("{}:{}", json!(key), sorted(value));
            format!(
                "{{{}}}",
                members.into_iter().map(one).collect::<Vec<_>>().join(",")
            )
        }
        other => other.to_string(),
    }
}

/// A good key response of `server`.
pub(crate) fn good_keys(server: &str) -> String {
    keys(server, 7, |_| (), |_| ())
}

/// A server that is well, whose name is `server`.
pub(crate) fn well(server: &str) -> impl Fn(&Asked) -> Act + Send + Sync + use<> {
    let keys = good_keys(server);
    move |asked: &Asked| {
        Act::Send(match asked.path.as_str() {
            KEYS => json_reply(&keys),
            "/_matrix/federation/v1/version" => json_reply(VERSION),
            "/_matrix/client/versions" => json_reply(VERSIONS),
            _ => reply(
                404,
                "Content-Type: application/json",
                r#"{"errcode":"M_UNRECOGNIZED","error":"not found"}"#,
            ),
        })
    }
}

/// A server that is well but for one path.
pub(crate) fn well_but(
    server: &str,
    path: &'static str,
    act: impl Fn(&Asked) -> Act + Send + Sync + 'static,
) -> impl Fn(&Asked) -> Act + Send + Sync {
    let rest = well(server);
    move |asked: &Asked| {
        if asked.path == path {
            act(asked)
        } else {
            rest(asked)
        }
    }
}
