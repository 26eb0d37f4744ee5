//! Flags that several verbs have, and what they come to.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use ops_common::exit::Status;
use ops_common::tool::Context;

use crate::cipher::DataKey;
use crate::creation::Configuration;
use crate::crypt::{Checks, Keep, Opened, SealState};
use crate::encrypt::Wishes;
use crate::environment::Environment;
use crate::error::Error;
use crate::file::{self, Encrypted, Opening};
use crate::format::{Format, Indent};
use crate::keys::{identity::Identities, recipient};

/// A format by name.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Type {
    /// YAML
    Yaml,
    /// JSON
    Json,
    /// dotenv: KEY=value lines
    Dotenv,
    /// INI
    Ini,
    /// Bytes
    Binary,
}

impl From<Type> for Format {
    fn from(kind: Type) -> Self {
        match kind {
            Type::Yaml => Self::Yaml,
            Type::Json => Self::Json,
            Type::Dotenv => Self::Dotenv,
            Type::Ini => Self::Ini,
            Type::Binary => Self::Binary,
        }
    }
}

/// Which format the input has.
#[derive(Debug, Clone, Args)]
pub(super) struct Input {
    /// Take the input for this format, whatever its name
    #[arg(long, value_name = "TYPE")]
    pub(super) input_type: Option<Type>,

    /// Look up rules and format by this name (needed for stdin)
    #[arg(long, value_name = "NAME")]
    pub(super) filename_override: Option<PathBuf>,
}

impl Input {
    /// The name that rules and formats go by.
    pub(super) fn name(&self, file: &OsStr) -> PathBuf {
        self.filename_override
            .clone()
            .unwrap_or_else(|| PathBuf::from(file))
    }

    /// The format.
    pub(super) fn format(&self, file: &OsStr) -> Result<Format, Error> {
        match (self.input_type, &self.filename_override) {
            (Some(kind), _) => Ok(kind.into()),
            (None, Some(name)) => Ok(Format::of_path(name)),
            (None, None) if file == "-" => Err(Error::NoFormat),
            (None, None) => Ok(Format::of_path(Path::new(file))),
        }
    }

    /// Reads and decrypts a file of the format that the flags tell.
    pub(super) fn unlock(
        &self,
        context: &Context,
        environment: &Environment,
        file: &OsStr,
        opening: Opening<'_>,
    ) -> Result<Unlocked, Error> {
        unlock(context, environment, file, self.format(file)?, opening)
    }
}

/// Which checks a decryption does without.
#[derive(Debug, Clone, Args)]
pub(super) struct Trust {
    /// Decrypt although the MAC does not fit
    #[arg(long)]
    pub(super) ignore_mac: bool,

    /// Decrypt although the seal does not fit
    #[arg(long, conflicts_with = "require_seal")]
    pub(super) ignore_seal: bool,

    /// Refuse files without a seal
    #[arg(long)]
    pub(super) require_seal: bool,
}

impl Trust {
    pub(super) fn opening(&self) -> Opening<'static> {
        // A file whose MAC does not fit cannot have a seal that does.
        let checks = Checks {
            mac: !self.ignore_mac,
            seal: !self.ignore_mac && !self.ignore_seal,
        };
        Opening {
            checks,
            require_seal: self.require_seal,
            keep: Keep::Nothing,
            only: None,
        }
    }

    /// For a file that is encrypted again afterwards.
    pub(super) fn reopening(&self) -> Opening<'static> {
        Opening {
            keep: Keep::Ciphertexts,
            ..self.opening()
        }
    }
}

/// What is encrypted: at most one of the selectors.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Selectors {
    /// Leave values in plain text whose key ends in this [default: _unencrypted]
    #[arg(long, value_name = "SUFFIX")]
    unencrypted_suffix: Option<String>,

    /// Encrypt only values whose key ends in this
    #[arg(long, value_name = "SUFFIX")]
    encrypted_suffix: Option<String>,

    /// Leave values in plain text whose key matches this
    #[arg(long, value_name = "REGEX")]
    unencrypted_regex: Option<String>,

    /// Encrypt only values whose key matches this
    #[arg(long, value_name = "REGEX")]
    encrypted_regex: Option<String>,

    /// Leave values in plain text below a comment that matches this
    #[arg(long, value_name = "REGEX")]
    unencrypted_comment_regex: Option<String>,

    /// Encrypt only values below a comment that matches this
    #[arg(long, value_name = "REGEX")]
    encrypted_comment_regex: Option<String>,

    /// Let the MAC of sops cover encrypted values only
    #[arg(long)]
    mac_only_encrypted: bool,
}

impl Selectors {
    fn given(self) -> Vec<(&'static str, String)> {
        let all = [
            ("unencrypted_suffix", self.unencrypted_suffix),
            ("encrypted_suffix", self.encrypted_suffix),
            ("unencrypted_regex", self.unencrypted_regex),
            ("encrypted_regex", self.encrypted_regex),
            ("unencrypted_comment_regex", self.unencrypted_comment_regex),
            ("encrypted_comment_regex", self.encrypted_comment_regex),
        ];
        all.into_iter()
            .filter_map(|(name, text)| text.map(|text| (name, text)))
            .collect()
    }
}

/// How a new file is made.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct New {
    /// Encrypt to these recipients in place of the rule's; with commas, or several times
    #[arg(short, long, value_name = "RECIPIENT")]
    pub(super) age: Vec<String>,

    #[command(flatten)]
    selectors: Selectors,

    /// How many key groups are needed to decrypt
    #[arg(long, value_name = "COUNT")]
    shamir_secret_sharing_threshold: Option<usize>,

    /// Write no seal: only what sops itself writes
    #[arg(long)]
    no_seal: bool,

    /// Allow a file in which no value is encrypted
    #[arg(long)]
    allow_plaintext: bool,

    #[command(flatten)]
    spacing: Spacing,
}

/// How much a level is indented.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(super) struct Spacing {
    /// Indent by this many blanks where the document does not show it
    #[arg(long, value_name = "COUNT")]
    indent: Option<u8>,
}

impl Spacing {
    pub(super) fn indent(self) -> Indent {
        self.indent
            .map(|count| Indent::of(Some(count.into())))
            .unwrap_or_default()
    }
}

impl New {
    /// The wishes, with the recipients of the environment where none are given.
    pub(super) fn wishes(self, environment: &Environment) -> Wishes {
        let mut recipients: Vec<String> = self
            .age
            .iter()
            .flat_map(|text| recipient::list(text))
            .collect();
        if recipients.is_empty() {
            recipients = environment
                .recipients
                .as_deref()
                .map(recipient::list)
                .unwrap_or_default();
        }
        Wishes {
            recipients,
            foreign_keys: environment.foreign_keys,
            mac_only_encrypted: self.selectors.mac_only_encrypted,
            selectors: self.selectors.given(),
            threshold: self.shamir_secret_sharing_threshold,
            no_seal: self.no_seal,
            allow_plaintext: self.allow_plaintext,
            indent: self
                .spacing
                .indent
                .map(|count| Indent::of(Some(count.into()))),
        }
    }
}

/// `.sops.yaml`, from where it was named or where it is found.
#[derive(Debug, Clone, Args)]
pub(super) struct Rules {
    /// Read creation rules from this file instead of the first .sops.yaml found from the file upward
    #[arg(long, value_name = "FILE")]
    pub(super) sops_config: Option<PathBuf>,
}

impl Rules {
    pub(super) fn find(
        &self,
        context: &Context,
        environment: &Environment,
        file: &Path,
    ) -> Result<Option<Configuration>, Error> {
        let found = match self
            .sops_config
            .as_ref()
            .or(environment.sops_config.as_ref())
        {
            Some(path) => Some(Configuration::read(path)?),
            None => Configuration::find(Some(file))?,
        };
        if let Some(found) = &found {
            context
                .report
                .note(format_args!("creation rules '{}'", found.path.display()));
        }
        Ok(found)
    }
}

/// A file that has been decrypted, with what is needed to encrypt it again.
pub(super) struct Unlocked {
    pub(super) file: Encrypted,
    pub(super) key: DataKey,
    pub(super) opened: Opened,
}

/// Reads and decrypts a file, and tells what people should know about it.
pub(super) fn unlock(
    context: &Context,
    environment: &Environment,
    name: &OsStr,
    format: Format,
    opening: Opening<'_>,
) -> Result<Unlocked, Error> {
    let mut file = Encrypted::read(name, format)?;
    let (key, opened) = file::open(
        &mut file,
        &mut Identities::new(environment.clone()),
        opening,
    )?;
    if opened.seal == SealState::Absent {
        context
            .report
            .note(format_args!("'{}' has no seal", file.name.display()));
    }
    if opened.odd_comments > 0 {
        context.report.warn(format_args!(
            "'{}': {} comments cannot be decrypted and stay as they are",
            file.name.display(),
            opened.odd_comments
        ));
    }
    Ok(Unlocked { file, key, opened })
}

/// Where a result goes.
#[derive(Debug, Clone, Args)]
pub(super) struct Target {
    /// Write the result into this file
    #[arg(short, long, value_name = "FILE", conflicts_with = "in_place")]
    pub(super) output: Option<PathBuf>,

    /// Write the result into the file itself
    #[arg(short, long)]
    pub(super) in_place: bool,
}

impl Target {
    /// Writes the result to its place: the file itself, another, or stdout.
    pub(super) fn put(
        &self,
        context: &Context,
        file: &OsString,
        content: &[u8],
        mode: u32,
    ) -> Result<Status, Error> {
        let path = match &self.output {
            Some(path) if path.is_dir() || path.as_os_str().to_string_lossy().ends_with('/') => {
                Some(path.join(Path::new(file).file_name().unwrap_or(OsStr::new("secret"))))
            }
            Some(path) => Some(path.clone()),
            None if self.in_place && file == "-" => {
                return Err(Error::Usage("stdin cannot be written in place".to_owned()));
            }
            None if self.in_place => Some(PathBuf::from(file)),
            None => None,
        };
        match path {
            Some(path) if self.in_place => file::write(&path, content, mode)?,
            Some(path) => {
                let mut new = ops_common::atomic::AtomicFile::create(&path, mode)?;
                new.write_all(content).map_err(|source| Error::File {
                    attempt: "write",
                    path: path.clone(),
                    source,
                })?;
                new.commit()?;
            }
            None => print(context, content)?,
        }
        Ok(Status::Done)
    }
}

/// Prints bytes as they are.
pub(super) fn print(context: &Context, content: &[u8]) -> Result<(), Error> {
    let mut output = context.output()?;
    output.write(content)?;
    Ok(output.finish()?)
}
