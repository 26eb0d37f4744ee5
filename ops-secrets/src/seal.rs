//! The seal: a keyed digest over what sops's MAC leaves open.
//!
//! The MAC of sops can be kept while recipients, names of unencrypted keys and the boundaries between values are changed.
//! The seal covers the whole plain text as decrypting gives it back (so key names, structure, comments and layout), the
//! type of every value, the rules, and who can open the file. It stands in a field that sops ignores, and drops when it
//! rewrites the file.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::cipher::{self, DataKey};
use crate::crypt::Fault;
use crate::format::Format;
use crate::metadata::{MasterKey, Metadata};
use crate::rules;
use crate::tree::Value;

const VERSION: &str = "v1:";

/// A seal in the making.
pub struct Seal {
    mac: Hmac<Sha256>,
    /// Room for the parts about one value: they go into the digest together.
    parts: Vec<u8>,
}

impl Seal {
    /// Begins with the metadata that the seal covers.
    pub fn new(key: &DataKey, format: Format, metadata: &Metadata) -> Result<Self, Fault> {
        let mut derive = keyed(key.bytes());
        derive.update(b"ops-secrets seal v1");
        let mut seal = Self {
            mac: keyed(&derive.finalize().into_bytes()),
            parts: Vec::new(),
        };
        seal.part(format.name().as_bytes());
        for name in rules::NAMES
            .iter()
            .chain(&["mac_only_encrypted", "shamir_threshold"])
        {
            seal.part(metadata.text(name).unwrap_or_default().as_bytes());
        }
        let groups = metadata.groups().unwrap_or_default();
        seal.part(&groups.len().to_le_bytes());
        for group in groups {
            seal.part(&group.len().to_le_bytes());
            for key in group {
                match key {
                    MasterKey::Age { recipient, .. } => seal.also("age").also(&recipient),
                    MasterKey::Foreign { kind, data } => {
                        seal.also(kind).also(&crate::json::write(&data, None))
                    }
                };
            }
        }
        Ok(seal)
    }

    /// A part, with its length before it: no boundary can move.
    fn part(&mut self, bytes: &[u8]) -> &mut Self {
        self.mac.update(&(bytes.len() as u64).to_le_bytes());
        self.mac.update(bytes);
        self
    }

    fn also(&mut self, text: &str) -> &mut Self {
        self.part(text.as_bytes())
    }

    /// The type of a value and its path.
    pub fn value(&mut self, value: &Value, path: &str) {
        let kind = match value {
            Value::Null => "null",
            value => cipher::kind(value),
        };
        self.parts.clear();
        for part in [kind, path] {
            self.parts
                .extend_from_slice(&(part.len() as u64).to_le_bytes());
            self.parts.extend_from_slice(part.as_bytes());
        }
        self.mac.update(&self.parts);
    }

    /// The plain text, last.
    pub fn text(&mut self, text: &[u8]) {
        self.part(text);
    }

    /// The seal as it stands in the metadata.
    #[must_use]
    pub fn finish(self) -> String {
        let bytes = self.mac.finalize().into_bytes();
        format!("{VERSION}{}", hexadecimal(&bytes))
    }
}

/// Bytes in hexadecimal digits.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"))
}
