//! A public key in ssh's wire format: fields, each with its length before it, the first being the type.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use sha2::{Digest, Sha256};

/// The type that a key begins with.
pub(super) fn type_of(key: &[u8]) -> Option<&str> {
    str::from_utf8(fields(key).next()?).ok()
}

/// A key's fingerprint as ssh-keygen prints it.
pub(super) fn fingerprint(key: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(key)))
}

/// The length of an RSA key.
pub(super) fn rsa_bits(key: &[u8]) -> Option<usize> {
    // The type, the exponent, the modulus.
    let modulus = fields(key)
        .nth(2)
        .filter(|_| type_of(key) == Some("ssh-rsa"))?;
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let first = modulus.get(zeros)?;
    Some((modulus.len() - zeros) * 8 - usize::try_from(first.leading_zeros()).unwrap_or_default())
}

/// The fields, up to the first that is not whole.
pub(super) fn fields(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (field, after) = after.split_at_checked(length)?;
        rest = after;
        Some(field)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(fields: &[&[u8]]) -> Vec<u8> {
        let field = |field: &&[u8]| {
            let length = u32::try_from(field.len()).unwrap();
            [&length.to_be_bytes(), *field].concat()
        };
        fields.iter().flat_map(field).collect()
    }

    #[test]
    fn the_length_of_rsa_keys() {
        let modulus = [&[0, 0x80][..], &[1; 127]].concat();
        let rsa = key(&[b"ssh-rsa", &[1, 0, 1], &modulus]);
        assert_eq!(rsa_bits(&rsa), Some(1024));
        assert_eq!(rsa_bits(&key(&[b"ssh-rsa", &[3], &[1, 0]])), Some(9));
        assert_eq!(rsa_bits(&key(&[b"ssh-ed25519", &[3], &[1, 0]])), None);
        assert_eq!(rsa_bits(&rsa[..rsa.len() - 1]), None);
    }

    #[test]
    fn what_is_no_key_has_no_type() {
        assert_eq!(type_of(&key(&[b"ssh-ed25519", b"x"])), Some("ssh-ed25519"));
        for text in [&b""[..], b"ssh", &[0xff; 8], &[0, 0, 0, 1, 0xff]] {
            assert_eq!(type_of(text), None);
        }
    }
}
