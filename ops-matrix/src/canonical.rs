//! Canonical JSON: the one spelling of an object that signatures are made over.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

/// The largest integer that every implementation of JSON keeps exactly.
const LARGEST: i64 = (1 << 53) - 1;

/// Why a document has no canonical form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotCanonical {
    /// A number with a fraction, an exponent, or minus zero.
    #[error("'{path}' is {number}, and only integers without exponent are allowed")]
    Number {
        /// Where in the document.
        path: String,
        /// The number as it was read.
        number: String,
    },
    /// An integer that does not fit 53 bits.
    #[error("'{path}' is {number}, beyond the 53 bits of canonical JSON")]
    TooLarge {
        /// Where in the document.
        path: String,
        /// The number as it was read.
        number: String,
    },
}

/// Returns the canonical bytes of an object, without the members that no signature covers.
pub fn signed_bytes(object: &Map<String, Value>) -> Result<Vec<u8>, NotCanonical> {
    let mut kept = object.clone();
    kept.remove("signatures");
    kept.remove("unsigned");
    canonical(&Value::Object(kept))
}

/// Returns the canonical bytes of a value.
pub fn canonical(value: &Value) -> Result<Vec<u8>, NotCanonical> {
    let mut bytes = Vec::new();
    write(value, "", &mut bytes)?;
    Ok(bytes)
}

fn write(value: &Value, path: &str, bytes: &mut Vec<u8>) -> Result<(), NotCanonical> {
    match value {
        Value::Number(number) => {
            check(number, path)?;
            bytes.extend_from_slice(number.to_string().as_bytes());
        }
        Value::Array(items) => {
            bytes.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    bytes.push(b',');
                }
                write(item, &format!("{path}[{index}]"), bytes)?;
            }
            bytes.push(b']');
        }
        Value::Object(members) => write_object(members, path, bytes)?,
        scalar => bytes.extend_from_slice(scalar.to_string().as_bytes()),
    }
    Ok(())
}

fn write_object(
    members: &Map<String, Value>,
    path: &str,
    bytes: &mut Vec<u8>,
) -> Result<(), NotCanonical> {
    // The order of UTF-8 bytes is the order of code points, which is the one asked for.
    let sorted: BTreeMap<&String, &Value> = members.iter().collect();
    bytes.push(b'{');
    for (index, (key, member)) in sorted.into_iter().enumerate() {
        if index > 0 {
            bytes.push(b',');
        }
        bytes.extend_from_slice(Value::String(key.clone()).to_string().as_bytes());
        bytes.push(b':');
        let inner = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        write(member, &inner, bytes)?;
    }
    bytes.push(b'}');
    Ok(())
}

fn check(number: &Number, path: &str) -> Result<(), NotCanonical> {
    let refused = || (path.to_owned(), number.to_string());
    match (number.as_i64(), number.as_u64()) {
        (Some(integer), _) if (-LARGEST..=LARGEST).contains(&integer) => Ok(()),
        (Some(_), _) | (_, Some(_)) => {
            let (path, number) = refused();
            Err(NotCanonical::TooLarge { path, number })
        }
        (None, None) => {
            let (path, number) = refused();
            Err(NotCanonical::Number { path, number })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<String, NotCanonical> {
        let value: Value = serde_json::from_str(text).expect("the vector is JSON");
        canonical(&value).map(|bytes| String::from_utf8(bytes).expect("JSON is UTF-8"))
    }

    /// The examples of the specification's appendix.
    #[test]
    fn the_vectors_of_the_specification() {
        for (given, expected) in [
            ("{}", "{}"),
            (
                "{\n \"one\": 1,\n \"two\": \"Two\"\n}",
                r#"{"one":1,"two":"Two"}"#,
            ),
            (r#"{"b": "2", "a": "1"}"#, r#"{"a":"1","b":"2"}"#),
            (
                r#"{"auth":{"success":true,"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[{"medium":"email","address":"john.doe@example.org"},{"medium":"msisdn","address":"123456789"}]}}}"#,
                r#"{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[{"address":"john.doe@example.org","medium":"email"},{"address":"123456789","medium":"msisdn"}]},"success":true}}"#,
            ),
            (
                "{\"a\": \"\u{65e5}\u{672c}\u{8a9e}\"}",
                "{\"a\":\"\u{65e5}\u{672c}\u{8a9e}\"}",
            ),
            (
                "{\"\u{672c}\": 2, \"\u{65e5}\": 1}",
                "{\"\u{65e5}\":1,\"\u{672c}\":2}",
            ),
            (r#"{"a": "\u65E5"}"#, "{\"a\":\"\u{65e5}\"}"),
            (r#"{"a": null}"#, r#"{"a":null}"#),
        ] {
            assert_eq!(of(given).as_deref(), Ok(expected), "{given}");
        }
    }

    #[test]
    fn control_characters_get_the_shortest_escape() {
        assert_eq!(
            of(r#"{"a":"\u0009\u000a\u001f\u007f\/\""}"#).as_deref(),
            Ok("{\"a\":\"\\t\\n\\u001f\u{7f}/\\\"\"}")
        );
    }

    #[test]
    fn numbers_that_are_no_plain_integers_are_refused_with_their_place() {
        for text in ["1.0", "1e3", "-0", "1.5", "18446744073709551616"] {
            let refused = of(&format!(r#"{{"a":{{"b":[0,{text}]}}}}"#));
            assert!(
                matches!(&refused, Err(NotCanonical::Number { path, .. }) if path == "a.b[1]"),
                "{text}: {refused:?}"
            );
        }
        for text in [
            "9007199254740992",
            "-9007199254740992",
            "18446744073709551615",
        ] {
            let refused = of(&format!(r#"{{"a":{text}}}"#));
            assert!(
                matches!(&refused, Err(NotCanonical::TooLarge { path, .. }) if path == "a"),
                "{text}: {refused:?}"
            );
        }
        assert!(of(r#"{"a":[9007199254740991,-9007199254740991,0]}"#).is_ok());
    }

    #[test]
    fn signatures_and_unsigned_are_not_covered() {
        let Value::Object(object) =
            serde_json::json!({"unsigned": 1.5, "signatures": {}, "b": 1, "a": {"signatures": 2}})
        else {
            panic!("an object");
        };
        assert_eq!(
            signed_bytes(&object).expect("canonical"),
            br#"{"a":{"signatures":2},"b":1}"#
        );
    }
}
