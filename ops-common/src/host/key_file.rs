//! A file that `IdentityFile` names, and what can be said of it without a passphrase.

use std::{
    ffi::OsString,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::wire;

/// A file with a private key, or with the public half of one that an agent has.
pub(super) struct KeyFile {
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    /// The public key in wire format, where it can be had without a passphrase.
    pub(super) public: Option<Vec<u8>>,
    /// The certificate beside it, and its type.
    pub(super) certificate: Option<(PathBuf, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    Encrypted,
    /// Only names a key for the agent.
    Public,
    SecurityKey,
    Unreadable,
}

impl KeyFile {
    /// Reads what can be said without a passphrase; none if there is no such file.
    pub(super) fn read(path: &Path) -> Option<KeyFile> {
        let beside = public_file(&with_ending(path, ".pub"));
        let (kind, public) = match std::fs::read_to_string(path) {
            Ok(text) => {
                let (kind, public) = inspect(&text);
                (kind, public.or(beside))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => (Kind::Public, Some(beside?)),
            Err(_) => (Kind::Unreadable, beside),
        };
        let certificate = with_ending(path, "-cert.pub");
        let certificate = public_file(&certificate)
            .and_then(|key| Some((certificate, wire::type_of(&key)?.to_owned())));
        Some(KeyFile {
            path: path.to_owned(),
            kind,
            public,
            certificate,
        })
    }

    /// The type of its key, where that is known.
    pub(super) fn key_type(&self) -> Option<&str> {
        wire::type_of(self.public.as_deref()?)
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

fn public_file(path: &Path) -> Option<Vec<u8>> {
    public_line(&std::fs::read_to_string(path).ok()?)
}

/// What a key file's text is, and its public key where that shows.
fn inspect(text: &str) -> (Kind, Option<Vec<u8>>) {
    if let Some(public) = public_line(text) {
        return (Kind::Public, Some(public));
    }
    let Some(openssh) = openssh_body(text) else {
        let is_encrypted = text.contains("ENCRYPTED");
        return (
            if is_encrypted {
                Kind::Encrypted
            } else {
                Kind::Plain
            },
            None,
        );
    };
    let Some((cipher, public)) = openssh_header(&openssh) else {
        return (Kind::Plain, None);
    };
    let is_security_key = wire::type_of(public).is_some_and(|of| of.starts_with("sk-"));
    let kind = match cipher {
        _ if is_security_key => Kind::SecurityKey,
        b"none" => Kind::Plain,
        _ => Kind::Encrypted,
    };
    (kind, Some(public.to_owned()))
}

/// `ssh-ed25519 AAAA... comment`.
fn public_line(text: &str) -> Option<Vec<u8>> {
    let mut words = text.split_whitespace();
    let (key_type, key) = (words.next()?, words.next()?);
    let key = STANDARD.decode(key).ok()?;
    (wire::type_of(&key)? == key_type).then_some(key)
}

fn openssh_body(text: &str) -> Option<Vec<u8>> {
    let body = text
        .split_once("-----BEGIN OPENSSH PRIVATE KEY-----")?
        .1
        .split_once("-----END")?
        .0;
    STANDARD
        .decode(body.split_whitespace().collect::<String>())
        .ok()
}

/// The cipher and the public key, which stand before the encrypted part: magic, cipher, KDF, its options, count, key.
fn openssh_header(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let body = body.strip_prefix(b"openssh-key-v1\0")?;
    let head: Vec<&[u8]> = wire::fields(body).take(3).collect();
    let length = head.iter().map(|field| 4 + field.len()).sum::<usize>();
    let count = 4;
    let public = wire::fields(body.get(length + count..)?).next()?;
    Some((head.first()?, public))
}
