//! The value cipher of sops: `ENC[AES256_GCM,data:...,iv:...,tag:...,type:...]`.
//!
//! AES-256 in GCM with a nonce of 32 bytes (two other lengths are read), bound to the path of the value.

use aes_gcm::aead::consts::{U12, U16, U32};
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::aes::Aes256;
use aes_gcm::{AesGcm, Key, Nonce, Tag};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::tree::Value;
use crate::yaml::resolve;

/// The key of a file: 32 random bytes, wrapped for every recipient.
#[derive(Clone)]
pub struct DataKey(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataKey")
    }
}

impl DataKey {
    /// A new key.
    pub fn random() -> Result<Self, Fault> {
        let mut bytes = Zeroizing::new(vec![0; 32]);
        fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// A key from its bytes, if there are 32 of them.
    #[must_use]
    pub fn from_bytes(bytes: Zeroizing<Vec<u8>>) -> Option<Self> {
        (bytes.len() == 32).then_some(Self(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Why a value could not be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The text is no ciphertext.
    #[error("it is not encrypted")]
    NotSealed,
    /// The text has the form of a ciphertext, but its parts cannot be read.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// The key, the path or a byte of it is not the one it was sealed with.
    #[error("its tag does not fit: it was changed, moved, or sealed with another key")]
    Tag,
    /// The operating system gave no random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

fn fill(mut buffer: &mut [u8]) -> Result<(), Fault> {
    while !buffer.is_empty() {
        let count = rustix::rand::getrandom(&mut *buffer, rustix::rand::GetRandomFlags::empty())
            .map_err(|_| Fault::Random)?;
        buffer = &mut buffer[count..];
    }
    Ok(())
}

/// Seals and opens values with one data key.
pub struct Cipher {
    long: AesGcm<Aes256, U32>,
    middle: AesGcm<Aes256, U16>,
    short: AesGcm<Aes256, U12>,
    /// Random bytes not used yet: one call of the system serves many nonces.
    pool: Vec<u8>,
}

impl Cipher {
    /// The cipher for a key.
    #[must_use]
    pub fn new(key: &DataKey) -> Self {
        let key: &Key<Aes256> = key
            .bytes()
            .try_into()
            .unwrap_or_else(|_| unreachable!("a data key has 32 bytes"));
        Self {
            long: AesGcm::new(key),
            middle: AesGcm::new(key),
            short: AesGcm::new(key),
            pool: Vec::new(),
        }
    }

    fn nonce(&mut self) -> Result<[u8; 32], Fault> {
        if self.pool.len() < 32 {
            self.pool = vec![0; 16 * 1024];
            fill(&mut self.pool)?;
        }
        let rest = self.pool.len() - 32;
        let mut nonce = [0; 32];
        nonce.copy_from_slice(&self.pool[rest..]);
        self.pool.truncate(rest);
        Ok(nonce)
    }

    /// Seals a value for a path. The empty text stays empty, as in sops.
    pub fn seal(&mut self, value: &Value, path: &str) -> Result<String, Fault> {
        self.seal_bytes(encode(value).owned(), kind(value), path)
    }

    /// Seals a value in its own memory, which a big one needs.
    pub fn seal_own(&mut self, value: Value, path: &str) -> Result<String, Fault> {
        let kind = kind(&value);
        let bytes = match value {
            Value::Text(mut text) => Zeroizing::new(std::mem::take(&mut *text).into_bytes()),
            Value::Bytes(bytes) => bytes,
            value => encode(&value).owned(),
        };
        self.seal_bytes(bytes, kind, path)
    }

    fn seal_bytes(
        &mut self,
        mut data: Zeroizing<Vec<u8>>,
        kind: &str,
        path: &str,
    ) -> Result<String, Fault> {
        if data.is_empty() {
            return Ok(String::new());
        }
        let nonce = self.nonce()?;
        let sealed = self.long.encrypt_inout_detached(
            &Nonce::from(nonce),
            path.as_bytes(),
            data.as_mut_slice().into(),
        );
        let tag = sealed.map_err(|_| Fault::Damaged("it is too long"))?;
        let mut out = String::with_capacity(data.len() * 4 / 3 + 140);
        out.push_str("ENC[AES256_GCM,data:");
        STANDARD.encode_string(&*data, &mut out);
        out.push_str(",iv:");
        STANDARD.encode_string(nonce, &mut out);
        out.push_str(",tag:");
        STANDARD.encode_string(tag, &mut out);
        out.push_str(",type:");
        out.push_str(kind);
        out.push(']');
        Ok(out)
    }

    /// Opens a ciphertext for a path.
    pub fn open(&self, text: &str, path: &str) -> Result<Value, Fault> {
        if text.is_empty() {
            return Ok(Value::text(""));
        }
        let parts = Parts::of(text).ok_or(Fault::NotSealed)?;
        let (data, kind) = self.open_parts(&parts, path)?;
        decode(data, kind)
    }

    fn open_parts<'t>(
        &self,
        parts: &Parts<'t>,
        path: &str,
    ) -> Result<(Zeroizing<Vec<u8>>, &'t str), Fault> {
        let mut data = Zeroizing::new(
            STANDARD
                .decode(parts.data)
                .map_err(|_| Fault::Damaged("'data' is no base64"))?,
        );
        let iv = STANDARD
            .decode(parts.iv)
            .map_err(|_| Fault::Damaged("'iv' is no base64"))?;
        let tag = STANDARD
            .decode(parts.tag)
            .map_err(|_| Fault::Damaged("'tag' is no base64"))?;
        let tag: Tag = tag
            .as_slice()
            .try_into()
            .map_err(|_| Fault::Damaged("'tag' has not 16 bytes"))?;
        let path = path.as_bytes();
        let buffer = data.as_mut_slice().into();
        let opened = match iv.len() {
            32 => self
                .long
                .decrypt_inout_detached(&fixed::<32>(&iv).into(), path, buffer, &tag),
            16 => self
                .middle
                .decrypt_inout_detached(&fixed::<16>(&iv).into(), path, buffer, &tag),
            12 => self
                .short
                .decrypt_inout_detached(&fixed::<12>(&iv).into(), path, buffer, &tag),
            _ => return Err(Fault::Damaged("'iv' has an unknown length")),
        };
        opened.map_err(|_| Fault::Tag)?;
        Ok((data, parts.kind))
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(bytes);
    out
}

/// Whether a text has the form of a ciphertext.
#[must_use]
pub fn is_sealed(text: &str) -> bool {
    Parts::of(text).is_some()
}

struct Parts<'t> {
    data: &'t str,
    iv: &'t str,
    tag: &'t str,
    kind: &'t str,
}

impl<'t> Parts<'t> {
    /// Splits a ciphertext. As in sops, what follows its bracket does not count.
    fn of(text: &'t str) -> Option<Self> {
        let rest = text.strip_prefix("ENC[AES256_GCM,data:")?;
        let (data, rest) = rest.split_once(",iv:")?;
        let (iv, rest) = rest.split_once(",tag:")?;
        let (tag, rest) = rest.split_once(",type:")?;
        let (kind, _) = rest.split_once(']')?;
        (!data.is_empty() && !iv.is_empty() && !tag.is_empty() && !kind.is_empty()).then_some(
            Self {
                data,
                iv,
                tag,
                kind,
            },
        )
    }
}

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
    fn owned(self) -> Zeroizing<Vec<u8>> {
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

fn decode(mut data: Zeroizing<Vec<u8>>, kind: &str) -> Result<Value, Fault> {
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

    fn key(byte: u8) -> DataKey {
        DataKey::from_bytes(Zeroizing::new(vec![byte; 32])).unwrap()
    }

    #[test]
    fn what_was_sealed_opens_for_its_path_only() {
        let mut cipher = Cipher::new(&key(1));
        for value in [
            Value::text("a"),
            Value::Int(-5),
            Value::Float(1.5e-7),
            Value::Bool(true),
            Value::Time("2024-01-02T00:00:00Z".into()),
        ] {
            let sealed = cipher.seal(&value, "a:b:").unwrap();
            assert_eq!(cipher.open(&sealed, "a:b:"), Ok(value));
            assert_eq!(cipher.open(&sealed, "a:c:"), Err(Fault::Tag));
            assert_eq!(Cipher::new(&key(2)).open(&sealed, "a:b:"), Err(Fault::Tag));
        }
    }

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

    #[test]
    fn damaged_ciphertexts_are_told_apart() {
        let cipher = Cipher::new(&key(1));
        assert_eq!(cipher.open("plain", ""), Err(Fault::NotSealed));
        assert_eq!(
            cipher.open("ENC[AES256_GCM,data:*,iv:AA==,tag:AA==,type:str]", ""),
            Err(Fault::Damaged("'data' is no base64"))
        );
        assert_eq!(
            cipher.open("ENC[AES256_GCM,data:AA==,iv:AA==,tag:AA==,type:str]", ""),
            Err(Fault::Damaged("'tag' has not 16 bytes"))
        );
    }
}
