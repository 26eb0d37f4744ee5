//! What the bytes of a value are, by its type.

use zeroize::Zeroizing;

use super::Fault;
use crate::tree::Value;
use crate::yaml::resolve;

/// The bytes of a value: its own, or made for it.
pub enum Bytes<'v> {
    /// Its own.
    Lent(&'v [u8]),
    /// Made.
    Made(Zeroizing<Vec<u8>>),
}

impl std::ops::Deref for Bytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Lent(bytes) => bytes,
            Self::Made(bytes) => bytes,
        }
    }
}

impl Bytes<'_> {
    /// The bytes, copied if they were lent.
    #[must_use]
    pub fn owned(self) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Lent(bytes) => Zeroizing::new(bytes.to_vec()),
            Self::Made(bytes) => bytes,
        }
    }
}

/// The bytes of a value, which are also what the MAC takes.
#[must_use]
pub fn encode(value: &Value) -> Bytes<'_> {
    let made = |text: String| Bytes::Made(Zeroizing::new(text.into_bytes()));
    match value {
        Value::Null => Bytes::Lent(b""),
        Value::Text(text) | Value::Comment(text) => Bytes::Lent(text.as_bytes()),
        Value::Bytes(bytes) => Bytes::Lent(bytes),
        Value::Int(value) => made(value.to_string()),
        Value::Float(value) => made(decimal(*value)),
        Value::Bool(true) => Bytes::Lent(b"True"),
        Value::Bool(false) => Bytes::Lent(b"False"),
        Value::Time(text) => Bytes::Lent(text.as_bytes()),
    }
}

/// The name that sops has for the type of a value.
#[must_use]
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null | Value::Text(_) | Value::Bytes(_) => "str",
        Value::Comment(_) => "comment",
        Value::Int(_) => "int",
        Value::Float(_) => "float",
        Value::Bool(_) => "bool",
        Value::Time(_) => "time",
    }
}

/// A float in decimals, never with an exponent.
#[must_use]
pub fn decimal(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        format!("{value}")
    }
}

/// The value of decrypted bytes; they are not copied if they are its text.
pub(super) fn decode(mut data: Zeroizing<Vec<u8>>, kind: &str) -> Result<Value, Fault> {
    if kind == "bytes" {
        return Ok(Value::Bytes(data));
    }
    if kind == "str" {
        let own = String::from_utf8(std::mem::take(&mut *data));
        return Ok(own.map_or_else(
            |no_text| Value::Bytes(Zeroizing::new(no_text.into_bytes())),
            Value::text,
        ));
    }
    let text = std::str::from_utf8(&data).map_err(|_| Fault::Damaged("it is no text"))?;
    match kind {
        "comment" => Ok(Value::Comment(Zeroizing::new(text.to_owned()))),
        "int" => text
            .parse()
            .map(Value::Int)
            .map_err(|_| Fault::Damaged("it is no integer")),
        "float" => float(text)
            .map(Value::Float)
            .ok_or(Fault::Damaged("it is no float")),
        "bool" => match text {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(Value::Bool(false)),
            _ => Err(Fault::Damaged("it is no truth value")),
        },
        "time" if resolve::is_timestamp(text) => Ok(Value::Time(text.to_owned())),
        "time" => Err(Fault::Damaged("it is no instant")),
        _ => Err(Fault::Damaged("its type is unknown")),
    }
}

fn float(text: &str) -> Option<f64> {
    match text {
        "+Inf" | "Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        _ => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_have_no_exponent() {
        for (value, text) in [
            (1e10, "10000000000"),
            (1.5e-7, "0.00000015"),
            (1.0, "1"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(decimal(value), text);
        }
    }
}
