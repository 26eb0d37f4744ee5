//! The value cipher of sops: `ENC[AES256_GCM,data:...,iv:...,tag:...,type:...]`.
//!
//! AES-256 in GCM with a nonce of 32 bytes (two other lengths are read), bound to the path of the value.

mod value;

use aes_gcm::aead::consts::{U12, U16, U32};
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::aes::Aes256;
use aes_gcm::{AesGcm, Key, Nonce, Tag};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::tree::Value;
use value::decode;
pub use value::{Bytes, decimal, encode, kind};

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

/// Random bytes that are not used yet: one call of the system serves many nonces.
#[derive(Default)]
pub struct Nonces {
    pool: Vec<u8>,
    /// How many were asked for last: a program that needs one nonce does not pay for hundreds.
    size: usize,
}

impl Nonces {
    /// The most that is asked for at once.
    const MOST: usize = 512;

    fn next(&mut self) -> Result<[u8; 32], Fault> {
        if self.pool.is_empty() {
            self.size = (self.size * 4).clamp(1, Self::MOST);
            self.pool.resize(self.size * 32, 0);
            fill(&mut self.pool)?;
        }
        let rest = self.pool.len() - 32;
        let nonce = fixed(&self.pool[rest..]);
        self.pool.truncate(rest);
        Ok(nonce)
    }
}

/// Random bytes from the system.
pub(crate) fn fill(mut buffer: &mut [u8]) -> Result<(), Fault> {
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
        }
    }

    /// Seals a value for a path. The empty text stays empty, as in sops.
    pub fn seal(&self, nonces: &mut Nonces, value: &Value, path: &str) -> Result<String, Fault> {
        let mut out = String::new();
        self.seal_bytes(
            nonces,
            &mut encode(value).owned(),
            kind(value),
            path,
            &mut out,
        )?;
        Ok(out)
    }

    /// Seals a value in its own memory, which a big one needs.
    pub fn seal_own(&self, nonces: &mut Nonces, value: Value, path: &str) -> Result<String, Fault> {
        let kind = kind(&value);
        let mut bytes = match value {
            Value::Text(mut text) => Zeroizing::new(std::mem::take(&mut *text).into_bytes()),
            Value::Bytes(bytes) => bytes,
            value => encode(&value).owned(),
        };
        let mut out = String::new();
        self.seal_bytes(nonces, &mut bytes, kind, path, &mut out)?;
        Ok(out)
    }

    /// Encrypts bytes where they stand, and writes the ciphertext at the end of `out`.
    pub fn seal_bytes(
        &self,
        nonces: &mut Nonces,
        data: &mut [u8],
        kind: &str,
        path: &str,
        out: &mut String,
    ) -> Result<(), Fault> {
        if data.is_empty() {
            return Ok(());
        }
        let nonce = nonces.next()?;
        let sealed = self.long.encrypt_inout_detached(
            &Nonce::from(nonce),
            path.as_bytes(),
            (&mut *data).into(),
        );
        let tag = sealed.map_err(|_| Fault::Damaged("it is too long"))?;
        out.reserve(sealed_size(data.len()));
        out.push_str(HEAD);
        STANDARD.encode_string(data, out);
        out.push_str(",iv:");
        STANDARD.encode_string(nonce, out);
        out.push_str(",tag:");
        STANDARD.encode_string(tag, out);
        out.push_str(",type:");
        out.push_str(kind);
        out.push(']');
        Ok(())
    }

    /// Opens a ciphertext for a path.
    pub fn open(&self, text: &str, path: &str) -> Result<Value, Fault> {
        if text.is_empty() {
            return Ok(Value::text(""));
        }
        let parts = Parts::of(text).ok_or(Fault::NotSealed)?;
        decode(self.open_parts(&parts, path)?, parts.kind)
    }

    fn open_parts(&self, parts: &Parts<'_>, path: &str) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let mut data = Zeroizing::new(
            STANDARD
                .decode(parts.data)
                .map_err(|_| Fault::Damaged("'data' is no base64"))?,
        );
        let (mut iv, mut tag) = ([0; SHORT], [0; SHORT]);
        let iv = short(parts.iv, &mut iv).ok_or(Fault::Damaged("'iv' is no base64"))?;
        let tag = short(parts.tag, &mut tag).ok_or(Fault::Damaged("'tag' is no base64"))?;
        let tag: Tag = tag
            .try_into()
            .map_err(|_| Fault::Damaged("'tag' has not 16 bytes"))?;
        let path = path.as_bytes();
        let buffer = data.as_mut_slice().into();
        let opened = match iv.len() {
            32 => self
                .long
                .decrypt_inout_detached(&fixed::<32>(iv).into(), path, buffer, &tag),
            16 => self
                .middle
                .decrypt_inout_detached(&fixed::<16>(iv).into(), path, buffer, &tag),
            12 => self
                .short
                .decrypt_inout_detached(&fixed::<12>(iv).into(), path, buffer, &tag),
            _ => return Err(Fault::Damaged("'iv' has an unknown length")),
        };
        opened.map_err(|_| Fault::Tag)?;
        Ok(data)
    }
}

/// How long a ciphertext of so many bytes is at most.
#[must_use]
pub fn sealed_size(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4 + 120
}

/// Room for the bytes of a nonce or tag, and for more than either can have.
const SHORT: usize = 64;

/// Decodes a nonce or tag, without memory of its own. What is too long for either gives more bytes than either has.
fn short<'b>(text: &str, buffer: &'b mut [u8; SHORT]) -> Option<&'b [u8]> {
    if text.len() > SHORT {
        return STANDARD.decode(text).is_ok().then_some(&buffer[..]);
    }
    let length = STANDARD.decode_slice(text, buffer).ok()?;
    Some(&buffer[..length])
}

fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(bytes);
    out
}

/// What every ciphertext begins with.
pub const HEAD: &str = "ENC[AES256_GCM,data:";

/// Whether a text has the form of a ciphertext.
#[must_use]
pub fn is_sealed(text: &str) -> bool {
    Parts::of(text).is_some()
}

/// A field, and what follows the sign behind it. That is nearly always at the first comma, which is found fast.
fn field<'t>(text: &'t str, sign: &str) -> Option<(&'t str, &'t str)> {
    let comma = text.find(',')?;
    match text[comma..].strip_prefix(sign) {
        Some(rest) => Some((&text[..comma], rest)),
        None => text.split_once(sign),
    }
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
        let rest = text.strip_prefix(HEAD)?;
        let (data, rest) = field(rest, ",iv:")?;
        let (iv, rest) = field(rest, ",tag:")?;
        let (tag, rest) = field(rest, ",type:")?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> DataKey {
        DataKey::from_bytes(Zeroizing::new(vec![byte; 32])).unwrap()
    }

    #[test]
    fn what_was_sealed_opens_for_its_path_only() {
        let cipher = Cipher::new(&key(1));
        let mut nonces = Nonces::default();
        for value in [
            Value::text("a"),
            Value::Int(-5),
            Value::Float(1.5e-7),
            Value::Bool(true),
            Value::Time("2024-01-02T00:00:00Z".into()),
        ] {
            let sealed = cipher.seal(&mut nonces, &value, "a:b:").unwrap();
            assert_eq!(cipher.open(&sealed, "a:b:"), Ok(value));
            assert_eq!(cipher.open(&sealed, "a:c:"), Err(Fault::Tag));
            assert_eq!(Cipher::new(&key(2)).open(&sealed, "a:b:"), Err(Fault::Tag));
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

    #[test]
    fn no_nonce_comes_twice() {
        let mut nonces = Nonces::default();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..2000 {
            assert!(seen.insert(nonces.next().unwrap()));
        }
    }
}
