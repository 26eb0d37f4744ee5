//! Key responses, good and bad, and the vectors of the specification.

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
    let key = UNPADDED.encode(signer.verifying_key().as_bytes());
    let mut reply = json!({
        "server_name": "chat.example", "valid_until_ts": NOW + DAY,
        "verify_keys": {"ed25519:a": {"key": key}}, "old_verify_keys": {},
    });
    change(&mut reply);
    if let Ok(bytes) = canonical::canonical(&reply) {
        let signature = UNPADDED.encode(signer.sign(&bytes).to_bytes());
        reply["signatures"] = json!({"chat.example": {"ed25519:a": signature}});
    }
    spoil(&mut reply);
    examine(reply.to_string().as_bytes(), "chat.example", NOW)
        .expect("an object")
        .faults
}

#[test]
fn the_reply_of_a_real_continuwuity_verifies() {
    let reply = examine(CONTINUWUITY.as_bytes(), "clarun.test", ITS_DATE_MS).expect("an object");
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

/// The signed objects of the specification's appendix, with the key that it gives the seed of.
#[test]
fn the_signatures_of_the_specification_verify() {
    let seed = UNPADDED
        .decode("YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1")
        .expect("base64");
    let signer = SigningKey::from_bytes(&seed.try_into().expect("32 bytes"));
    for (object, signature) in [
        (
            json!({}),
            "K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ",
        ),
        (
            json!({"one": 1, "two": "Two"}),
            "KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw",
        ),
    ] {
        let bytes = canonical::canonical(&object).expect("canonical");
        assert_eq!(UNPADDED.encode(signer.sign(&bytes).to_bytes()), signature);
        assert!(verifies(&signer.verifying_key(), &bytes, signature));
    }
}

/// Whatever single bit of a reply is changed, the reply is not believed as it was.
#[test]
fn no_bit_of_what_is_signed_can_be_changed() {
    let good = CONTINUWUITY.trim_end().as_bytes();
    let believed = examine(good, "clarun.test", ITS_DATE_MS).expect("an object");
    // The low bits of the signature's last letter carry nothing.
    let last = CONTINUWUITY.find("CQ\"").expect("the signature's end") + 1;
    for place in (0..good.len()).filter(|place| *place != last) {
        for bit in 0..8 {
            let mut changed = good.to_vec();
            changed[place] ^= 1 << bit;
            let Ok(found) = examine(&changed, "clarun.test", ITS_DATE_MS) else {
                continue;
            };
            assert!(
                found != believed,
                "bit {bit} of byte {place}: {}",
                String::from_utf8_lossy(&changed)
            );
        }
    }
}

#[test]
fn what_is_no_object_is_no_key_response() {
    assert_eq!(examine(b"<html>", "x", 0), Err(DocumentError::Html));
    assert_eq!(examine(b"[]", "x", 0), Err(DocumentError::NotObject));
}
