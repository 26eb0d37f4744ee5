//! The keys at hand: loaded once a run, from all the places that sops looks at.

use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};

use age::armor::ArmoredReader;
use age::secrecy::SecretString;
use ops_common::program::{self, Program};
use zeroize::Zeroizing;

use super::prompt::{self, Terminal};
use super::ssh;
use crate::environment::Environment;
use crate::metadata::{Group, MasterKey};

/// Why an identity that was named could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A file could not be read.
    #[error("cannot read the key file '{}'", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A command could not be run.
    #[error("cannot get keys from the command '{command}'")]
    Command {
        /// The command.
        command: String,
        /// Why.
        source: Box<program::Error>,
    },
    /// A command line cannot be split.
    #[error("the command '{0}' is no valid command line")]
    CommandLine(String),
    /// A wrapped key is malformed.
    #[error("a wrapped data key is malformed: {0}")]
    Wrapped(String),
}

/// What identities were found where.
pub struct Identities {
    environment: Environment,
    loaded: Option<Loaded>,
}

#[derive(Default)]
struct Loaded {
    identities: Vec<Box<dyn age::Identity>>,
    /// The places looked at, with what was found.
    places: Vec<String>,
    /// What could not be used, told if nothing opens.
    troubles: Vec<String>,
}

impl Identities {
    /// The identities that an environment leads to; nothing is read yet.
    #[must_use]
    pub fn new(environment: Environment) -> Self {
        Self {
            environment,
            loaded: None,
        }
    }

    /// Identities from SSH private keys and age key files only, as a host's manifest names them.
    pub fn of_files(ssh_keys: &[PathBuf], key_files: &[PathBuf]) -> Result<Self, Fault> {
        let mut loaded = Loaded::default();
        for path in ssh_keys {
            loaded.ssh_file(path)?;
        }
        for path in key_files {
            loaded.key_file(path)?;
        }
        Ok(Self {
            environment: Environment::default(),
            loaded: Some(loaded),
        })
    }

    /// Unwraps an armored age file with the first identity that can.
    pub fn unwrap(&mut self, wrapped: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Fault> {
        let loaded = match &mut self.loaded {
            Some(loaded) => loaded,
            none => none.insert(Loaded::from_environment(&self.environment)?),
        };
        let malformed = |error: &dyn std::fmt::Display| Fault::Wrapped(error.to_string());
        let decryptor =
            age::Decryptor::new_buffered(ArmoredReader::new(BufReader::new(wrapped.as_bytes())))
                .map_err(|error| malformed(&error))?;
        let mut reader = match decryptor.decrypt(loaded.identities.iter().map(AsRef::as_ref)) {
            Ok(reader) => reader,
            Err(age::DecryptError::NoMatchingKeys) => return Ok(None),
            Err(error) => {
                loaded.troubles.push(error.to_string());
                return Ok(None);
            }
        };
        let mut bytes = Zeroizing::new(Vec::with_capacity(64));
        reader
            .by_ref()
            .take(4096)
            .read_to_end(&mut bytes)
            .map_err(|error| malformed(&error))?;
        Ok(Some(bytes))
    }

    /// What was tried, for a message.
    #[must_use]
    pub fn account(&self, groups: &[Group]) -> String {
        let recipients: Vec<&str> = groups
            .iter()
            .flatten()
            .map(|key| match key {
                MasterKey::Age { recipient, .. } => recipient.as_str(),
                MasterKey::Foreign { kind, .. } => *kind,
            })
            .collect();
        let mut text = format!("it is for {}", recipients.join(", "));
        if let Some(loaded) = &self.loaded {
            let places = if loaded.places.is_empty() {
                "no key was found".to_owned()
            } else {
                format!("looked at {}", loaded.places.join(", "))
            };
            text.push_str(&format!("; {places}"));
            for trouble in &loaded.troubles {
                text.push_str(&format!("; {trouble}"));
            }
        }
        text
    }
}

impl Loaded {
    fn from_environment(environment: &Environment) -> Result<Self, Fault> {
        let mut loaded = Self::default();
        if let Some(path) = &environment.ssh_key_file {
            loaded.ssh_file(path)?;
        }
        if let Some(command) = &environment.ssh_key_command {
            loaded.ssh_text(&run(command)?, "SOPS_AGE_SSH_PRIVATE_KEY_CMD");
        }
        for name in ["id_ed25519", "id_rsa"] {
            let path = environment
                .home
                .as_ref()
                .map(|home| home.join(".ssh").join(name));
            if let Some(path) = path.filter(|path| path.is_file()) {
                loaded.optional(|loaded| loaded.ssh_file(&path));
            }
        }
        if let Some(text) = &environment.age_key {
            loaded.age_text(text, "SOPS_AGE_KEY");
        }
        if let Some(path) = &environment.age_key_file {
            loaded.key_file(path)?;
        }
        if let Some(command) = &environment.age_key_command {
            loaded.age_text(&run(command)?, "SOPS_AGE_KEY_CMD");
        }
        let path = environment
            .config_home
            .as_ref()
            .map(|config| config.join("sops/age/keys.txt"));
        if let Some(path) = path.filter(|path| path.is_file()) {
            loaded.optional(|loaded| loaded.key_file(&path));
        }
        Ok(loaded)
    }

    /// A key in a default place that cannot be used is told only if nothing opens the file.
    fn optional(&mut self, load: impl FnOnce(&mut Self) -> Result<(), Fault>) {
        if let Err(fault) = load(self) {
            self.troubles.push(ops_common::exit::describe(&fault));
        }
    }

    fn ssh_file(&mut self, path: &Path) -> Result<(), Fault> {
        let text = read(path)?;
        let name = path.display().to_string();
        match std::str::from_utf8(&text) {
            Ok(text) => self.ssh_text(text, &name),
            Err(_) => self.troubles.push(format!("'{name}' is no private key")),
        }
        Ok(())
    }

    /// An SSH key serves in both its forms.
    fn ssh_text(&mut self, text: &str, place: &str) {
        self.places.push(place.to_owned());
        match age::ssh::Identity::from_buffer(text.as_bytes(), Some(place.to_owned())) {
            Ok(age::ssh::Identity::Unsupported(_)) => self.troubles.push(format!(
                "the key in '{place}' is of a kind that age does not know"
            )),
            Ok(identity) => self
                .identities
                .push(Box::new(identity.with_callbacks(Terminal))),
            Err(error) => self
                .troubles
                .push(format!("'{place}' is no SSH private key: {error}")),
        }
        if let Some(converted) = ssh::converted_identity(text)
            && let Ok(identity) = converted.parse::<age::x25519::Identity>()
        {
            self.identities.push(Box::new(identity));
        }
    }

    fn key_file(&mut self, path: &Path) -> Result<(), Fault> {
        let bytes = read(path)?;
        let name = path.display().to_string();
        let sealed = bytes.starts_with(b"age-encryption.org/")
            || bytes.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----");
        let text = if sealed {
            Self::open_key_file(&bytes, &name)
        } else {
            String::from_utf8(bytes.to_vec()).ok().map(Zeroizing::new)
        };
        match text {
            Some(text) => self.age_text(&text, &name),
            None => self
                .troubles
                .push(format!("'{name}' holds no keys that can be read")),
        }
        Ok(())
    }

    /// A key file protected by a passphrase.
    fn open_key_file(bytes: &[u8], name: &str) -> Option<Zeroizing<String>> {
        let decryptor =
            age::Decryptor::new_buffered(ArmoredReader::new(BufReader::new(bytes))).ok()?;
        let passphrase = prompt::secret(&format!("Passphrase of '{name}'"))?;
        let identity = age::scrypt::Identity::new(SecretString::from(passphrase.to_string()));
        let mut reader = decryptor
            .decrypt(std::iter::once(&identity as &dyn age::Identity))
            .ok()?;
        let mut text = Zeroizing::new(String::new());
        reader.read_to_string(&mut text).ok()?;
        Some(text)
    }

    fn age_text(&mut self, text: &str, place: &str) {
        self.places.push(place.to_owned());
        let lines = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'));
        for word in lines.flat_map(str::split_whitespace) {
            if word.starts_with("AGE-SECRET-KEY-PQ-1") {
                self.troubles.push(format!(
                    "a key in '{place}' is a post-quantum one, which this tool cannot use yet"
                ));
            } else if word.starts_with("AGE-PLUGIN-") {
                self.plugin(word, place);
            } else if let Ok(identity) = word.parse::<age::x25519::Identity>() {
                self.identities.push(Box::new(identity));
            } else {
                self.troubles
                    .push(format!("a word in '{place}' is no age identity"));
            }
        }
    }

    fn plugin(&mut self, word: &str, place: &str) {
        let made = word
            .parse::<age::plugin::Identity>()
            .map_err(|error| (*error).to_owned())
            .and_then(|identity| {
                let name = identity.plugin().to_owned();
                age::plugin::IdentityPluginV1::new(&name, &[identity], Terminal)
                    .map_err(|error| error.to_string())
            });
        match made {
            Ok(plugin) => self.identities.push(Box::new(plugin)),
            Err(why) => self
                .troubles
                .push(format!("a plugin's key in '{place}' cannot be used: {why}")),
        }
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Fault> {
    std::fs::read(path)
        .map(Zeroizing::new)
        .map_err(|source| Fault::Read {
            path: path.to_owned(),
            source,
        })
}

fn run(command: &str) -> Result<Zeroizing<String>, Fault> {
    let mut words = program::split(command)
        .ok_or_else(|| Fault::CommandLine(command.to_owned()))?
        .into_iter();
    let failed = |source| Fault::Command {
        command: command.to_owned(),
        source: Box::new(source),
    };
    let name = words.next().unwrap_or_default();
    let output = Program::find(name)
        .map_err(failed)?
        .args(words)
        .output()
        .map_err(failed)?;
    Ok(Zeroizing::new(
        String::from_utf8_lossy(&output).into_owned(),
    ))
}
