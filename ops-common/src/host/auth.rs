//! Logging in with a key: those of the agent first, then the files, as ssh does it.

use std::path::Path;

use libssh2_sys as raw;
use ssh2::ErrorCode;

use super::{
    Error, agent,
    error::reason,
    key_file::{KeyFile, Kind},
    prompt::{self, Secret},
    session::{Driver, Stop},
    settings::{Agent, Settings},
    wire,
};
use crate::environment;

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
        let socket = match &self.settings.agent {
            Agent::None => None,
            Agent::Environment => environment::agent_socket(),
            Agent::Socket(path) => Some(path.clone()),
        };
        let Some(agent) = socket.and_then(|socket| self.ask_agent(&socket)) else {
            return Ok(false);
        };
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
            let shown = format!("key '{}' of the agent", key.comment());
            if !self.is_allowed(wire::type_of(key.blob()), &shown) {
                continue;
            }
            // The agent may ask a person whether it may sign.
            let result = self.driver.drive(|| {
                self.driver
                    .pause(|| agent.userauth(&self.settings.user, &key))
            });
            if self.accepted(result, &shown)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The agent, with its list of keys; if it does not tell, that is noted.
    fn ask_agent(&mut self, socket: &Path) -> Option<ssh2::Agent> {
        // A part of the time: the files may still let us in.
        let answered = agent::answers(socket, self.driver.left() / 2);
        let asked = answered
            .map_err(|error| reason(&error))
            .and_then(|()| self.list_keys(socket));
        asked
            .map_err(|reason| {
                let note = format!("the agent at '{}': {reason}", socket.display());
                self.notes.push(note);
            })
            .ok()
    }

    fn list_keys(&self, socket: &Path) -> Result<ssh2::Agent, String> {
        let list = || {
            let mut agent = self.driver.session.agent()?;
            agent.set_identity_path(socket)?;
            agent.connect()?;
            agent.list_identities()?;
            Ok(agent)
        };
        list().map_err(|error: ssh2::Error| error.message().to_owned())
    }

    /// Whether the settings let keys of this type log in; if not, that is noted.
    fn is_allowed(&mut self, key_type: Option<&str>, shown: &str) -> bool {
        let allowed = &self.settings.allowed.user_keys;
        let is_allowed = match key_type {
            None => true,
            Some("ssh-rsa") => allowed.iter().any(|name| name.starts_with("rsa-sha2-")),
            Some("ssh-rsa-cert-v01@openssh.com") => allowed
                .iter()
                .any(|name| name.starts_with("rsa-sha2-") && name.contains("-cert-")),
            Some(key_type) => allowed.iter().any(|name| name == key_type),
        };
        if allowed.is_empty() || is_allowed {
            return true;
        }
        self.notes.push(format!(
            "{shown} is of a type that PubkeyAcceptedAlgorithms has not"
        ));
        false
    }

    /// Tries a file with its certificate, if it has one, then without.
    fn try_file(&mut self, file: &KeyFile) -> Result<bool, Stop> {
        let shown = file.path.display();
        let why_not = match file.kind {
            Kind::Public => return Ok(false),
            Kind::SecurityKey => Some("lives in a security key"),
            Kind::Unreadable => Some("cannot be read"),
            Kind::Plain | Kind::Encrypted => None,
        };
        if let Some(why) = why_not {
            self.notes.push(format!("'{shown}' {why}"));
            return Ok(false);
        }
        if let Some((path, key_type)) = &file.certificate {
            let shown = format!("'{}'", path.display());
            if self.is_allowed(Some(key_type), &shown) && self.try_key(file, Some(path), &shown)? {
                return Ok(true);
            }
        }
        let shown = format!("'{shown}'");
        Ok(self.is_allowed(file.key_type(), &shown) && self.try_key(file, None, &shown)?)
    }

    fn try_key(
        &mut self,
        file: &KeyFile,
        certificate: Option<&Path>,
        shown: &str,
    ) -> Result<bool, Stop> {
        if file.kind == Kind::Plain {
            let result = self.userauth(&file.path, certificate, None);
            return self.accepted(result, shown);
        }
        if self.settings.batch_mode {
            self.notes.push(format!(
                "{shown} has a passphrase, and BatchMode asks nobody"
            ));
            return Ok(false);
        }
        let question = format!("passphrase for '{}': ", file.path.display());
        for _ in 0..TRIES {
            let passphrase = match self.driver.pause(|| prompt::ask(&question)) {
                Ok(passphrase) => passphrase,
                Err(error) => {
                    self.notes
                        .push(format!("{shown} has a passphrase, and {}", reason(&error)));
                    return Ok(false);
                }
            };
            match self.userauth(&file.path, certificate, Some(&passphrase)) {
                Err(Stop::Ssh(error))
                    if error.code() == ErrorCode::Session(raw::LIBSSH2_ERROR_FILE) => {}
                other => return self.accepted(other, shown),
            }
        }
        self.notes.push(format!("{shown} has another passphrase"));
        Ok(false)
    }

    fn userauth(
        &self,
        path: &Path,
        certificate: Option<&Path>,
        passphrase: Option<&Secret>,
    ) -> Result<(), Stop> {
        let passphrase = passphrase.map(Secret::expose);
        self.driver.drive(|| {
            self.driver.session.userauth_pubkey_file(
                &self.settings.user,
                certificate,
                path,
                passphrase,
            )
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
