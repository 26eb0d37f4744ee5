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
    /// The first place named by the user that could not be read.
    fault: Option<Fault>,
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
    #[must_use]
    pub fn of_files(ssh_keys: &[PathBuf], key_files: &[PathBuf]) -> Self {
        let mut loaded = Loaded::default();
        for path in ssh_keys {
            loaded.named(|loaded| loaded.ssh_file(path));
        }
        for path in key_files {
            loaded.named(|loaded| loaded.key_file(path));
        }
        Self {
            environment: Environment::default(),
            loaded: Some(loaded),
        }
    }

    /// Why a key that the user named could not be loaded, told once.
    pub fn fault(&mut self) -> Option<Fault> {
        self.loaded.as_mut().and_then(|loaded| loaded.fault.take())
    }

    /// Unwraps an armored age file with the first identity that can.
    pub fn unwrap(&mut self, recipient: &str, wrapped: &str) -> Option<Zeroizing<Vec<u8>>> {
        let environment = &self.environment;
        let loaded = self
            .loaded
            .get_or_insert_with(|| Loaded::from_environment(environment, recipient));
        match opened(wrapped, loaded) {
            Ok(bytes) => Some(bytes),
            Err(age::DecryptError::NoMatchingKeys) => None,
            // Another recipient's part may do.
            Err(error) => {
                loaded.troubles.push(error.to_string());
                None
            }
        }
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

fn opened(wrapped: &str, loaded: &Loaded) -> Result<Zeroizing<Vec<u8>>, age::DecryptError> {
    let armor = ArmoredReader::new(BufReader::new(wrapped.as_bytes()));
    let reader = age::Decryptor::new_buffered(armor)?
        .decrypt(loaded.identities.iter().map(AsRef::as_ref))?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(64));
    reader.take(4096).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Loaded {
    /// Everything that the environment names and that stands in the default places. What cannot be loaded is told only if
    /// nothing else opens the file, as sops has it.
    fn from_environment(environment: &Environment, recipient: &str) -> Self {
        let mut loaded = Self::default();
        if let Some(path) = &environment.ssh_key_file {
            loaded.named(|loaded| loaded.ssh_file(path));
        }
        if let Some(command) = &environment.ssh_key_command {
            let place = "SOPS_AGE_SSH_PRIVATE_KEY_CMD";
            loaded.named(|loaded| {
                loaded.ssh_text(&run(command, recipient)?, place);
                Ok(())
            });
        }
        for name in ["id_ed25519", "id_rsa"] {
            let home = environment.home.as_ref();
            let path = home.map(|home| home.join(".ssh").join(name));
            if let Some(path) = path.filter(|path| path.is_file()) {
                loaded.optional(|loaded| loaded.ssh_file(&path));
            }
        }
        if let Some(text) = &environment.age_key {
            loaded.age_text(text, "SOPS_AGE_KEY");
        }
        if let Some(path) = &environment.age_key_file {
            loaded.named(|loaded| loaded.key_file(path));
        }
        if let Some(command) = &environment.age_key_command {
            loaded.named(|loaded| {
                loaded.age_text(&run(command, recipient)?, "SOPS_AGE_KEY_CMD");
                Ok(())
            });
        }
        let config = environment.config_home.as_ref();
        let path = config.map(|config| config.join("sops/age/keys.txt"));
        if let Some(path) = path.filter(|path| path.is_file()) {
            loaded.optional(|loaded| loaded.key_file(&path));
        }
        loaded
    }

    /// A key that was asked for by name: that it cannot be used is the fault, if nothing opens the file.
    fn named(&mut self, load: impl FnOnce(&mut Self) -> Result<(), Fault>) {
        if let Err(fault) = load(self) {
            self.troubles.push(ops_common::exit::describe(&fault));
            self.fault.get_or_insert(fault);
        }
    }

    /// A key in a default place: that it cannot be used is told, if nothing opens the file.
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

/// What a command prints. It learns which recipient is wanted, as sops tells it; it runs once, for the first.
fn run(command: &str, recipient: &str) -> Result<Zeroizing<String>, Fault> {
    let mut words = program::split(command)
        .ok_or_else(|| Fault::CommandLine(command.to_owned()))?
        .into_iter();
    let failed = |source| Fault::Command {
        command: command.to_owned(),
        source: Box::new(source),
    };
    let name = words.next().unwrap_or_default();
    let mut program = Program::find(name).map_err(failed)?.args(words);
    program.command().env("SOPS_AGE_RECIPIENT", recipient);
    let output = program.output().map_err(failed)?;
    Ok(Zeroizing::new(
        String::from_utf8_lossy(&output).into_owned(),
    ))
}
