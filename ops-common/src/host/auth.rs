//! Logging in with a key: those of the agent first, then the files, as ssh does it.

use std::path::{Path, PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD};
use libssh2_sys as raw;
use ssh2::ErrorCode;

use super::{
    Error,
    prompt::{self, Secret},
    session::{Driver, Stop},
    settings::{Agent, Settings},
};

/// How often a passphrase may be mistyped.
const TRIES: usize = 3;

/// Logs in.
pub(super) fn login(name: &str, settings: &Settings, driver: &Driver<'_>) -> Result<(), Error> {
    let mut attempt = Attempt {
        settings,
        driver,
        notes: Vec::new(),
        is_refused: false,
    };
    match attempt.run() {
        Ok(true) => Ok(()),
        Ok(false) => Err(attempt.refused(name, None)),
        Err(Stop::Deadline) => Err(Error::Connect {
            host: name.to_owned(),
            reason: "login timed out".to_owned(),
        }),
        // A host hangs up on who has tried too many keys; before any was refused it is the link that ended.
        Err(Stop::Ssh(error)) if is_loss(&error) && !attempt.is_refused => Err(Error::Connect {
            host: name.to_owned(),
            reason: "the connection ended during the login".to_owned(),
        }),
        Err(Stop::Ssh(error)) => Err(attempt.refused(name, Some(error.message().to_owned()))),
    }
}

/// Whether the connection ended. libssh2 says so in words only where it waits for the answer to a key.
fn is_loss(error: &ssh2::Error) -> bool {
    matches!(
        error.code(),
        ErrorCode::Session(
            raw::LIBSSH2_ERROR_SOCKET_DISCONNECT
                | raw::LIBSSH2_ERROR_SOCKET_RECV
                | raw::LIBSSH2_ERROR_SOCKET_SEND
        )
    ) || error.message().starts_with("Waiting for ")
}

struct Attempt<'a> {
    settings: &'a Settings,
    driver: &'a Driver<'a>,
    /// What was tried, or why not, for the message in the end.
    notes: Vec<String>,
    /// Whether the host has said no to a key.
    is_refused: bool,
}

impl Attempt<'_> {
    /// Tries everything; whether something was accepted.
    fn run(&mut self) -> Result<bool, Stop> {
        let files: Vec<KeyFile> = self
            .settings
            .identity_files
            .iter()
            .filter_map(|path| KeyFile::read(path))
            .collect();
        if self.try_agent(&files)? {
            return Ok(true);
        }
        for file in &files {
            if self.try_file(file)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn try_agent(&mut self, files: &[KeyFile]) -> Result<bool, Stop> {
        let session = self.driver.session;
        let Ok(mut agent) = session.agent() else {
            return Ok(false);
        };
        match &self.settings.agent {
            Agent::None => return Ok(false),
            Agent::Environment => {}
            Agent::Socket(path) => drop(agent.set_identity_path(path)),
        }
        if agent.connect().is_err() || agent.list_identities().is_err() {
            if let Agent::Socket(path) = &self.settings.agent {
                self.notes.push(format!("no agent at '{}'", path.display()));
            }
            return Ok(false);
        }
        let keys = agent.identities().unwrap_or_default();
        let is_wanted = |blob: &[u8]| {
            files
                .iter()
                .any(|file| file.public.as_deref() == Some(blob))
        };
        let (wanted, other): (Vec<_>, Vec<_>) =
            keys.into_iter().partition(|key| is_wanted(key.blob()));
        let other = if self.settings.identities_only {
            Vec::new()
        } else {
            other
        };
        for key in wanted.into_iter().chain(other) {
            let result = self
                .driver
                .drive(|| agent.userauth(&self.settings.user, &key));
            if self.accepted(result, &format!("key '{}' of the agent", key.comment()))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn try_file(&mut self, file: &KeyFile) -> Result<bool, Stop> {
        let shown = file.path.display();
        match file.kind {
            Kind::Public => Ok(false),
            Kind::SecurityKey => {
                self.notes
                    .push(format!("'{shown}' lives in a security key"));
                Ok(false)
            }
            Kind::Unreadable => {
                self.notes.push(format!("'{shown}' cannot be read"));
                Ok(false)
            }
            Kind::Plain => {
                let result = self.userauth(&file.path, None);
                self.accepted(result, &format!("'{shown}'"))
            }
            Kind::Encrypted => self.try_encrypted(file),
        }
    }

    fn try_encrypted(&mut self, file: &KeyFile) -> Result<bool, Stop> {
        let shown = file.path.display();
        for _ in 0..TRIES {
            let question = format!("passphrase for '{shown}': ");
            let passphrase = match self.driver.pause(|| prompt::ask(&question)) {
                Ok(passphrase) => passphrase,
                Err(error) => {
                    self.notes.push(format!(
                        "'{shown}' has a passphrase, and {}",
                        super::error::reason(&error)
                    ));
                    return Ok(false);
                }
            };
            match self.userauth(&file.path, Some(&passphrase)) {
                Err(Stop::Ssh(error))
                    if error.code() == ErrorCode::Session(raw::LIBSSH2_ERROR_FILE) => {}
                other => return self.accepted(other, &format!("'{shown}'")),
            }
        }
        self.notes.push(format!("'{shown}' has another passphrase"));
        Ok(false)
    }

    fn userauth(&self, path: &Path, passphrase: Option<&Secret>) -> Result<(), Stop> {
        let passphrase = passphrase.map(Secret::expose);
        self.driver.drive(|| {
            self.driver
                .session
                .userauth_pubkey_file(&self.settings.user, None, path, passphrase)
        })
    }

    /// Sorts out the answer to one key. An error is one after which no other key needs to be tried.
    fn accepted(&mut self, result: Result<(), Stop>, key: &str) -> Result<bool, Stop> {
        match result {
            Ok(()) => Ok(true),
            Err(Stop::Ssh(error)) if is_loss(&error) => {
                self.notes.push(format!("the host hung up at {key}"));
                Err(Stop::Ssh(error))
            }
            Err(Stop::Ssh(error)) => {
                let is_refusal = matches!(
                    error.code(),
                    ErrorCode::Session(
                        raw::LIBSSH2_ERROR_AUTHENTICATION_FAILED
                            | raw::LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED
                    )
                );
                self.is_refused |= is_refusal;
                self.notes.push(if is_refusal {
                    format!("{key} was refused")
                } else {
                    format!("{key} cannot be used ({})", error.message())
                });
                Ok(false)
            }
            Err(Stop::Deadline) => Err(Stop::Deadline),
        }
    }

    fn refused(&self, name: &str, reason: Option<String>) -> Error {
        let reason = if self.notes.is_empty() {
            reason.unwrap_or_else(|| "there is no key to try".to_owned())
        } else {
            self.notes.join(", ")
        };
        Error::Login {
            host: name.to_owned(),
            user: self.settings.user.clone(),
            reason,
        }
    }
}

/// A file that IdentityFile names.
struct KeyFile {
    path: PathBuf,
    kind: Kind,
    /// The public key in wire format, where it can be had without a passphrase.
    public: Option<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Encrypted,
    /// Only names a key for the agent.
    Public,
    SecurityKey,
    Unreadable,
}

impl KeyFile {
    /// Reads what can be said without a passphrase; none if there is no such file.
    fn read(path: &Path) -> Option<KeyFile> {
        let mut beside = path.to_owned().into_os_string();
        beside.push(".pub");
        let beside = std::fs::read_to_string(beside)
            .ok()
            .and_then(|text| public_line(&text));
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let (kind, public) = inspect(&text);
                Some(KeyFile {
                    path: path.to_owned(),
                    kind,
                    public: public.or(beside),
                })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let public = beside?;
                Some(KeyFile {
                    path: path.to_owned(),
                    kind: Kind::Public,
                    public: Some(public),
                })
            }
            Err(_) => Some(KeyFile {
                path: path.to_owned(),
                kind: Kind::Unreadable,
                public: beside,
            }),
        }
    }
}

/// What a key file's text is, and its public key where that shows.
fn inspect(text: &str) -> (Kind, Option<Vec<u8>>) {
    if let Some(public) = public_line(text) {
        return (Kind::Public, Some(public));
    }
    let Some(openssh) = openssh_body(text) else {
        let encrypted = text.contains("ENCRYPTED");
        return (
            if encrypted {
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
    let is_security_key = super::known_hosts::key_type_of(&public)
        .is_some_and(|key_type| key_type.starts_with("sk-"));
    let kind = match cipher.as_slice() {
        _ if is_security_key => Kind::SecurityKey,
        b"none" => Kind::Plain,
        _ => Kind::Encrypted,
    };
    (kind, Some(public))
}

/// `ssh-ed25519 AAAA... comment`.
fn public_line(text: &str) -> Option<Vec<u8>> {
    let mut words = text.split_whitespace();
    let (key_type, key) = (words.next()?, words.next()?);
    let key = STANDARD.decode(key).ok()?;
    (super::known_hosts::key_type_of(&key)? == key_type).then_some(key)
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
fn openssh_header(body: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut rest = body.strip_prefix(b"openssh-key-v1\0")?;
    let mut field = || {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (field, after) =
            after.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        rest = after;
        Some(field.to_vec())
    };
    let cipher = field()?;
    field()?;
    field()?;
    let public = rest.get(4..)?;
    let (length, after) = public.split_first_chunk::<4>()?;
    let public = after.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    Some((cipher, public.to_vec()))
}
