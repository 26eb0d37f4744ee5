//! SSH keys and what they are in age's terms. An ed25519 key has two forms that do not open each other's files: the native
//! one (`ssh-ed25519`), and the X25519 key that ssh-to-age makes of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bech32::{Bech32, Hrp};
use ed25519_dalek::VerifyingKey;
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

/// Why an SSH key could not be read or converted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The line is no public key.
    #[error("this is no SSH public key")]
    NoPublicKey,
    /// Only ed25519 keys have an X25519 form.
    #[error("a key of type '{0}' cannot be converted: only ssh-ed25519 keys can")]
    Kind(String),
    /// The bytes are no point of the curve.
    #[error("the key is no point of the curve")]
    Point,
}

/// The public key of a line `ssh-ed25519 AAAA... comment`, options before it left out.
fn ed25519_of(line: &str) -> Result<[u8; 32], Fault> {
    let mut words = line.split_whitespace().skip_while(|word| {
        !word.starts_with("ssh-") && !word.starts_with("ecdsa-") && !word.starts_with("sk-")
    });
    let kind = words.next().ok_or(Fault::NoPublicKey)?;
    if kind != "ssh-ed25519" {
        return Err(Fault::Kind(kind.to_owned()));
    }
    let blob = STANDARD
        .decode(words.next().ok_or(Fault::NoPublicKey)?)
        .map_err(|_| Fault::NoPublicKey)?;
    let mut reader = Reader(&blob);
    match (reader.text(), reader.text()) {
        (Some(b"ssh-ed25519"), Some(key)) => key.try_into().map_err(|_| Fault::NoPublicKey),
        _ => Err(Fault::NoPublicKey),
    }
}

/// The age recipient that ssh-to-age gives for a public key.
pub fn converted_recipient(line: &str) -> Result<String, Fault> {
    let key = VerifyingKey::from_bytes(&ed25519_of(line)?).map_err(|_| Fault::Point)?;
    Ok(bech32::encode::<Bech32>(prefix("age"), key.to_montgomery().as_bytes()).unwrap_or_default())
}

fn prefix(text: &str) -> Hrp {
    Hrp::parse(text).unwrap_or_else(|_| unreachable!("the prefix is a valid one"))
}

/// The age identity that ssh-to-age gives for a private key file; nothing for other kinds and encrypted ones.
pub fn converted_identity(pem: &str) -> Option<Zeroizing<String>> {
    let seed = ed25519_seed(pem)?;
    let digest = Zeroizing::new(<[u8; 64]>::from(Sha512::digest(*seed)));
    bech32::encode_upper::<Bech32>(prefix("age-secret-key-"), &digest[..32])
        .ok()
        .map(Zeroizing::new)
}

/// The public line of a private key file that is not encrypted, or whose public part is readable all the same.
#[must_use]
pub fn public_line(pem: &str) -> Option<String> {
    let blob = pem_body(pem)?;
    let mut reader = Reader(blob.strip_prefix(b"openssh-key-v1\0")?);
    let (_, _, _) = (reader.text()?, reader.text()?, reader.text()?);
    reader.number().filter(|count| *count == 1)?;
    let public = reader.text()?;
    let kind = Reader(public).text()?;
    Some(format!(
        "{} {}",
        std::str::from_utf8(kind).ok()?,
        STANDARD.encode(public)
    ))
}

/// Whether a private key file is protected by a passphrase.
#[must_use]
pub fn is_encrypted(pem: &str) -> bool {
    let cipher = pem_body(pem).and_then(|blob| {
        Reader(blob.strip_prefix(b"openssh-key-v1\0")?)
            .text()
            .map(<[u8]>::to_vec)
    });
    cipher.is_some_and(|cipher| cipher != b"none")
}

fn pem_body(pem: &str) -> Option<Zeroizing<Vec<u8>>> {
    let body = pem
        .split_once("-----BEGIN OPENSSH PRIVATE KEY-----")?
        .1
        .split_once("-----END OPENSSH PRIVATE KEY-----")?
        .0;
    let packed = Zeroizing::new(body.split_whitespace().collect::<String>());
    STANDARD.decode(packed.as_bytes()).ok().map(Zeroizing::new)
}

fn ed25519_seed(pem: &str) -> Option<Zeroizing<[u8; 32]>> {
    let blob = pem_body(pem)?;
    let mut reader = Reader(blob.strip_prefix(b"openssh-key-v1\0")?);
    if reader.text()? != b"none" {
        return None;
    }
    let (_, _) = (reader.text()?, reader.text()?);
    reader.number().filter(|count| *count == 1)?;
    let _ = reader.text()?;
    let mut private = Reader(reader.text()?);
    if private.number()? != private.number()? || private.text()? != b"ssh-ed25519" {
        return None;
    }
    let _ = private.text()?;
    let pair = private.text()?;
    Some(Zeroizing::new(pair.get(..32)?.try_into().ok()?))
}

/// Reads the wire format of SSH.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn number(&mut self) -> Option<u32> {
        let (head, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*head))
    }

    fn text(&mut self) -> Option<&'b [u8]> {
        let length = self.number()? as usize;
        let text = self.0.get(..length)?;
        self.0 = &self.0[length..];
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGz1y0KjE+9E4mV4rmbUYBEkvzOlWAFhOZkOEO9r0P1J";

    /// The first key of RFC 8032, section 7.1, as OpenSSH writes it.
    const PRIVATE: &str = "-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
QyNTUxOQAAACDXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGgAAAJAAAAAHAAAA
BwAAAAtzc2gtZWQyNTUxOQAAACDXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg
AAAECdYbGd7/1aYLqESvSS7CzEREnFaXsyaRlwO6wDHK5/YNdamAGCsQq31Uv+08lkBzoO
4XLz2qYjJa8CGmj3B1EaAAAAB3JmYzgwMzIBAgMEBQY=
-----END OPENSSH PRIVATE KEY-----
";
    const IDENTITY: &str =
        "AGE-SECRET-KEY-1X47G8PJ09QEUKSN69MCUQZSP8N7L7FMGMXQVPGA9YRCQDYZDAY8SH3M5PD";
    /// What `age-keygen -y` says of it.
    const RECIPIENT: &str = "age1mp0q0mpzkzkcs9fhct6y6e3drg2re7psc4av5sc9mpw84y8kkchq6r9kjp";

    /// The key in the tests of ssh-to-age, with the recipient that its manual gives.
    #[test]
    fn public_keys_are_converted_as_ssh_to_age_does() {
        let line =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOHz+U0YtjINc54dZiJNclfmEFifF7RXCFlNlTbuZBji";
        assert_eq!(
            converted_recipient(line).as_deref(),
            Ok("age17044m9wgakla6pzftf4srtl3h5mcsr85jysgt5fg23zpnta8sfdqhzn452")
        );
    }

    #[test]
    fn private_keys_are_converted_to_the_identity_of_that_recipient() {
        let identity = converted_identity(PRIVATE);
        assert_eq!(identity.as_deref().map(String::as_str), Some(IDENTITY));
        assert_eq!(
            public_line(PRIVATE).map(|line| converted_recipient(&line)),
            Some(Ok(RECIPIENT.to_owned()))
        );
        let parsed: age::x25519::Identity = IDENTITY.parse().unwrap();
        assert_eq!(parsed.to_public().to_string(), RECIPIENT);
    }

    #[test]
    fn other_kinds_are_named() {
        assert_eq!(
            converted_recipient("ssh-rsa AAAA"),
            Err(Fault::Kind("ssh-rsa".to_owned()))
        );
        assert_eq!(converted_recipient("hello"), Err(Fault::NoPublicKey));
        assert_eq!(
            converted_recipient("ssh-ed25519 AAAA"),
            Err(Fault::NoPublicKey)
        );
    }

    #[test]
    fn options_and_comments_do_not_matter() {
        let plain = converted_recipient(PUBLIC).ok();
        assert_eq!(
            converted_recipient(&format!("restrict,pty {PUBLIC} me@host")).ok(),
            plain
        );
    }
}
