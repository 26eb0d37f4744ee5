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
            // Beyond the appendix: pairs of surrogates are one character, and keys go by code points, not by UTF-16.
            (
                r#"[{"\ud83d\ude08": 1, "\uff5e": {"b": [ ], "a": { }}}]"#,
                "[{\"\u{ff5e}\":{\"a\":{},\"b\":[]},\"\u{1f608}\":1}]",
            ),
            (
                r#"{"a": 1, "": 2, "A": 3, "aa": 4}"#,
                r#"{"":2,"A":3,"a":1,"aa":4}"#,
            ),
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

    /// A generator of its own: the same values at every run.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % sides
        }

        fn text(&mut self) -> String {
            const LETTERS: [char; 10] = [
                'a',
                'B',
                '"',
                '\\',
                '/',
                '\n',
                '\u{1}',
                '\u{7f}',
                '\u{e9}',
                '\u{1f600}',
            ];
            let length = self.roll(4);
            let letter = |dice: &mut Self| LETTERS[usize::try_from(dice.roll(10)).expect("few")];
            (0..length).map(|_| letter(self)).collect()
        }

        fn value(&mut self, depth: u64) -> Value {
            match self.roll(if depth == 0 { 5 } else { 7 }) {
                0 => Value::Null,
                1 => Value::Bool(self.roll(2) == 0),
                2 => Value::from(i64::try_from(self.roll(1 << 53)).expect("53 bits")),
                3 => Value::from(-i64::try_from(self.roll(1 << 53)).expect("53 bits")),
                4 => Value::String(self.text()),
                5 => (0..self.roll(4)).map(|_| self.value(depth - 1)).collect(),
                _ => Value::Object(
                    (0..self.roll(4))
                        .map(|_| (self.text(), self.value(depth - 1)))
                        .collect(),
                ),
            }
        }
    }

    /// The members of every object the other way round.
    fn turned(value: &Value) -> Value {
        match value {
            Value::Array(items) => items.iter().map(turned).collect(),
            Value::Object(members) => Value::Object(
                members
                    .iter()
                    .rev()
                    .map(|(key, member)| (key.clone(), turned(member)))
                    .collect(),
            ),
            other => other.clone(),
        }
    }

    #[test]
    fn the_form_is_the_same_whatever_the_order_and_the_value_is_kept() {
        let mut dice = Dice(0x2545_f491_4f6c_dd1d);
        let (mut objects, mut lists, mut longest) = (0, 0, 0);
        for _ in 0..5000 {
            let value = dice.value(4);
            objects += usize::from(value.is_object());
            lists += usize::from(value.is_array());
            let bytes = canonical(&value).expect("whole numbers of 53 bits");
            longest = longest.max(bytes.len());
            assert_eq!(canonical(&turned(&value)).as_ref(), Ok(&bytes));
            let again: Value = serde_json::from_slice(&bytes).expect("it is JSON");
            assert_eq!((&again, canonical(&again)), (&value, Ok(bytes.clone())));
            let pretty = serde_json::to_vec_pretty(&value).expect("it is JSON");
            let loose: Value = serde_json::from_slice(&pretty).expect("it is JSON");
            assert_eq!(canonical(&loose), Ok(bytes));
        }
        assert!(
            objects > 500 && lists > 500 && longest > 200,
            "{objects} {lists} {longest}"
        );
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
