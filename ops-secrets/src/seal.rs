//! The seal: a keyed digest over what sops's MAC leaves open.
//!
//! The MAC of sops can be kept while recipients, names of unencrypted keys and the boundaries between values are changed.
//! The seal covers every byte of the encrypted file but its own: who knows that it fits knows that the file is the one
//! that somebody with the data key wrote. It stands in a field that sops ignores, and drops when it rewrites the file.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::cipher::{self, DataKey};
use crate::format::Format;

/// What a seal begins with: how it is made.
const VERSION: &str = "v2:";

/// A text as long as a seal that stands in its place until that is known. It is random, so it stands nowhere else.
pub fn blank() -> Result<String, cipher::Fault> {
    let mut bytes = [0; 32];
    cipher::fill(&mut bytes)?;
    Ok(format!("{VERSION}{}", hexadecimal(&bytes)))
}

/// The seal of a text that holds it in the places where `here` stands.
///
/// The digest is over the format and what lies between those places, each with its length before it. So the text can be
/// told from what was digested and the seal: another text, or the same with other places, has another seal.
#[must_use]
pub fn of(key: &DataKey, format: Format, text: &str, here: &str) -> String {
    let mut derive = keyed(key.bytes());
    derive.update(b"ops-secrets seal v2");
    let mut mac = keyed(&derive.finalize().into_bytes());
    for part in std::iter::once(format.name()).chain(text.split(here)) {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part.as_bytes());
    }
    format!("{VERSION}{}", hexadecimal(&mac.finalize().into_bytes()))
}

/// Whether a seal that stands in a text is that of the text.
#[must_use]
pub fn fits(key: &DataKey, format: Format, text: &str, seal: &str) -> bool {
    seal.starts_with(VERSION) && of(key, format, text, seal) == seal
}

/// The version of a seal, if it is one that this program does not know.
#[must_use]
pub fn unknown_version(seal: &str) -> Option<&str> {
    let (version, _) = seal.split_once(':')?;
    let number = version.strip_prefix('v')?;
    let is_number = (1..=4).contains(&number.len()) && number.bytes().all(|c| c.is_ascii_digit());
    (is_number && !seal.starts_with(VERSION)).then_some(version)
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

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn key(byte: u8) -> DataKey {
        DataKey::from_bytes(Zeroizing::new(vec![byte; 32])).unwrap()
    }

    /// A text with the seal in its places.
    fn sealed(text: &str) -> (String, String) {
        let blank = blank().unwrap();
        let text = text.replace("SEAL", &blank);
        let seal = of(&key(1), Format::Yaml, &text, &blank);
        (text.replace(&blank, &seal), seal)
    }

    #[test]
    fn a_seal_fits_its_own_text_key_and_format_only() {
        let (text, seal) = sealed("a: 1\nseal: SEAL\n---\nb: 2\nseal: SEAL\n");
        assert!(fits(&key(1), Format::Yaml, &text, &seal));
        assert!(!fits(&key(2), Format::Yaml, &text, &seal));
        assert!(!fits(&key(1), Format::Json, &text, &seal));
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let changed = String::from_utf8(bytes).unwrap();
            assert!(!fits(&key(1), Format::Yaml, &changed, &seal), "byte {at}");
        }
    }

    #[test]
    fn its_places_cannot_move() {
        let (text, seal) = sealed("a: SEAL\nb: SEAL\n");
        for changed in [
            text.replacen(&seal, "", 1),
            text.replacen("\nb: ", "", 1),
            format!("{text}{seal}"),
            text.replacen(&seal, "x", 1),
            format!("{}{seal}", text.replacen(&seal, "", 1)),
        ] {
            assert!(!fits(&key(1), Format::Yaml, &changed, &seal), "{changed}");
        }
    }

    #[test]
    fn versions_are_told_from_damage() {
        for (seal, version) in [
            ("v1:00", Some("v1")),
            ("v30:zz", Some("v30")),
            ("v2:00", None),
            ("v:00", None),
            ("w1:00", None),
            ("v12345:00", None),
            ("", None),
        ] {
            assert_eq!(unknown_version(seal), version, "{seal}");
        }
    }
}
