//! What cannot be saved when a binary file is encrypted or decrypted, with the same crates and without anything else:
//! SHA-512, AES-256-GCM and base64 over its bytes. `make bench` runs it beside ops-secrets.
//!
//! `ops-raw seal FILE` and `ops-raw open FILE` write to stdout.

use std::error::Error;
use std::io::Write as _;

use aes_gcm::aead::consts::U32;
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::aes::Aes256;
use aes_gcm::{AesGcm, Key, Nonce, Tag};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha512};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let (verb, file) = (words.next().unwrap_or_default(), words.next());
    let mut bytes = std::fs::read(file.ok_or("ops-raw seal|open FILE")?)?;
    let cipher = AesGcm::<Aes256, U32>::new(&Key::<Aes256>::from([7; 32]));
    let nonce = Nonce::from([9; 32]);
    let mut out = std::io::stdout().lock();
    if verb == "seal" {
        let digest = Sha512::digest(&bytes);
        let tag = (cipher.encrypt_inout_detached(&nonce, b"data:", bytes.as_mut_slice().into()))
            .map_err(|_| "it is too long")?;
        writeln!(out, "{}", STANDARD.encode(tag))?;
        writeln!(out, "{}", STANDARD.encode(digest))?;
        out.write_all(STANDARD.encode(&bytes).as_bytes())?;
    } else {
        let mut parts = bytes.splitn(3, |byte| *byte == b'\n');
        let mut part = || STANDARD.decode(parts.next().unwrap_or_default());
        let (tag, digest, mut data) = (part()?, part()?, part()?);
        let tag = Tag::try_from(tag.as_slice())?;
        (cipher.decrypt_inout_detached(&nonce, b"data:", data.as_mut_slice().into(), &tag))
            .map_err(|_| "the tag does not fit")?;
        if Sha512::digest(&data).as_slice() != digest {
            return Err("the digest does not fit".into());
        }
        out.write_all(&data)?;
    }
    Ok(out.flush()?)
}
