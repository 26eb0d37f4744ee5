//! The verbs on one file: encrypt, decrypt, edit, set, unset, filestatus.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use ops_common::exit::Status;
use ops_common::input;
use ops_common::tool::Context;

use super::args::{Input, New, Rules, Spacing, Target, Trust, Type, Unlocked, print};
use crate::crypt::{Checks, Keep, Stash};
use crate::decrypt;
use crate::edit;
use crate::encrypt::{self, Wishes};
use crate::environment::Environment;
use crate::error::Error;
use crate::file::{self, Opening};
use crate::filestatus::FileStatus;
use crate::json;
use crate::path;
use crate::set;
use crate::tree::Data;

/// Encrypt a file
///
/// The keys and what is encrypted come from the first matching rule of .sops.yaml, searched from the file upward, or from
/// the flags. Formatting and comments stay.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ops-secrets encrypt -i secrets/db.yaml
  ops-secrets encrypt --age age1... secrets.env > secrets.enc.env
  generate | ops-secrets encrypt --filename-override secrets/new.yaml -o secrets/new.yaml -")]
pub(super) struct Encrypt {
    /// The file, or - for stdin
    #[arg(default_value = "-")]
    file: OsString,

    #[command(flatten)]
    input: Input,

    /// Write this format
    #[arg(long, value_name = "TYPE")]
    output_type: Option<Type>,

    #[command(flatten)]
    new: New,

    #[command(flatten)]
    rules: Rules,

    #[command(flatten)]
    target: Target,
}

impl Encrypt {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let environment = Environment::read();
        let (name, format) = (self.input.name(&self.file), self.input.format(&self.file)?);
        let configuration = self.rules.find(context, &environment, &name)?;
        let wishes = self.new.wishes(&environment);
        let plan = encrypt::plan(&name, format, &wishes, configuration.as_ref())?;
        let plain = input::read(&self.file)?;
        let (format, plain) = match self.output_type.map(Into::into) {
            Some(output) if output != format => (
                output,
                encrypt::converted(&name, &plain, format, output, &plan.indent)?,
            ),
            _ => (format, plain),
        };
        let text = encrypt::encrypt(&name, format, plain, plan)?;
        self.target.put(context, &self.file, text.as_bytes(), 0o644)
    }
}

/// Decrypt a file
///
/// Fails if a value, the MAC or the seal was tampered with. Without a seal (files that sops wrote), key names and comments
/// are not protected: -v says so, --require-seal refuses.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ops-secrets decrypt secrets/db.yaml
  ops-secrets decrypt --extract '[\"db\"][\"password\"]' secrets/db.yaml
  ops-secrets decrypt --output-type json secrets/db.yaml | jq -r .db.user")]
pub(super) struct Decrypt {
    /// The file, or - for stdin
    #[arg(default_value = "-")]
    file: OsString,

    #[command(flatten)]
    input: Input,

    /// Write this format
    #[arg(long, value_name = "TYPE")]
    output_type: Option<Type>,

    /// Only the value at this path, such as `["db"][0]["password"]`
    #[arg(long, value_name = "PATH")]
    extract: Option<path::Path>,

    #[command(flatten)]
    spacing: Spacing,

    #[command(flatten)]
    trust: Trust,

    #[command(flatten)]
    target: Target,
}

impl Decrypt {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let environment = Environment::read();
        let opening = Opening {
            only: self.extract.as_ref(),
            ..self.trust.opening()
        };
        let mut unlocked = (self.input).unlock(context, &environment, &self.file, opening)?;
        let output = self.output_type.map_or(unlocked.file.format, Into::into);
        unlocked.file.indent = self.spacing.indent();
        let plain = match &self.extract {
            Some(path) => decrypt::extract(&unlocked.file, unlocked.opened, path, output)?,
            None => decrypt::whole(&unlocked.file, unlocked.opened, output)?,
        };
        self.target.put(context, &self.file, &plain, 0o600)
    }
}

/// Edit a file in an editor
///
/// SOPS_EDITOR, then EDITOR, then vim, nano or vi. The plain text is in a private folder in memory while the editor runs.
/// Values that stay as they were keep their ciphertext. A file that is not there is made with the rule of .sops.yaml.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ops-secrets edit secrets/db.yaml
  EDITOR='code --wait' ops-secrets edit secrets/db.yaml")]
pub(super) struct Edit {
    /// The file
    file: PathBuf,

    #[command(flatten)]
    input: Input,

    #[command(flatten)]
    new: New,

    #[command(flatten)]
    rules: Rules,

    #[command(flatten)]
    trust: Trust,
}

impl Edit {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        self.edited(context).map(|_| Status::Done)
    }

    /// Whether the text came back changed.
    pub(super) fn edited(self, context: &Context) -> Result<bool, Error> {
        let environment = Environment::read();
        let tell = |error: &Error| {
            context
                .report
                .failure(error, &ops_common::exit::describe(error));
        };
        let edited = if self.file.exists() {
            let mut unlocked = self.input.unlock(
                context,
                &environment,
                self.file.as_os_str(),
                self.trust.opening(),
            )?;
            let plain = unlocked.opened.text.clone();
            let reseal = |text: Vec<u8>| {
                let opened =
                    (unlocked.file).open(&unlocked.key, Checks::NONE, Keep::Ciphertexts)?;
                set::reseal(&unlocked.file, unlocked.key.clone(), opened, text, false)
            };
            edit::edit(&environment, &self.file, &plain, reseal, tell)?
        } else {
            let configuration = self.rules.find(context, &environment, &self.file)?;
            let format = self.input.format(self.file.as_os_str())?;
            let wishes: Wishes = self.new.wishes(&environment);
            // Everything that can be refused is refused before the editor opens.
            drop(encrypt::plan(
                &self.file,
                format,
                &wishes,
                configuration.as_ref(),
            )?);
            let make = |text: Vec<u8>| {
                let mut plan = encrypt::plan(&self.file, format, &wishes, configuration.as_ref())?;
                file::encrypt(&self.file, format, text, &mut plan, &mut Stash::default())
            };
            edit::edit(&environment, &self.file, b"", make, tell)?
        };
        match &edited {
            Some(text) => file::write(&self.file, text.as_bytes(), 0o644)?,
            None => context
                .report
                .note(format_args!("'{}' is unchanged", self.file.display())),
        }
        Ok(edited.is_some())
    }
}

/// Set one value
///
/// Only the lines of that value, the time, the MAC and the seal change. What is missing on the way is made.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ops-secrets set secrets/db.yaml '[\"db\"][\"port\"]' 5432
  pwgen 32 1 | jq -R . | ops-secrets set --value-stdin secrets/db.yaml '[\"db\"][\"password\"]'")]
pub(super) struct Set {
    /// The file
    file: OsString,

    /// The path, such as `["db"]["password"]`
    index: path::Path,

    /// The value as JSON. Other users of the machine can see it: better give it on stdin
    #[arg(required_unless_present_any = ["value_file", "value_stdin"], conflicts_with_all = ["value_file", "value_stdin"])]
    value: Option<String>,

    /// Read the value (JSON) from this file
    #[arg(long, value_name = "FILE")]
    value_file: Option<PathBuf>,

    /// Read the value (JSON) from stdin
    #[arg(long, conflicts_with = "value_file")]
    value_stdin: bool,

    /// Leave the file alone if it has that value already
    #[arg(long)]
    idempotent: bool,

    #[command(flatten)]
    input: Input,

    /// Write this format
    #[arg(long, value_name = "TYPE")]
    output_type: Option<Type>,

    #[command(flatten)]
    trust: Trust,
}

impl Set {
    fn value(&self) -> Result<Data, Error> {
        let text = match (&self.value, &self.value_file) {
            (Some(value), _) => value.clone().into_bytes(),
            (None, Some(path)) => input::read(path.as_os_str())?,
            (None, None) => input::read("-".as_ref())?,
        };
        let text =
            String::from_utf8(text).map_err(|_| Error::Value("it is no UTF-8".to_owned()))?;
        json::value(text.trim())
            .map_err(|fault| Error::Value(format!("at byte {}: {}", fault.at, fault.message)))
    }

    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let value = self.value()?;
        let environment = Environment::read();
        let unlocked =
            self.input
                .unlock(context, &environment, &self.file, self.trust.reopening())?;
        let Unlocked { file, key, opened } = unlocked;
        let output = self.output_type.map_or(file.format, Into::into);
        let changed = if self.idempotent && set::holds(&file, &opened, &self.index, &value) {
            None
        } else {
            Some(set::set(&file, key, opened, &self.index, value, output)?)
        };
        finish(context, &self.file, changed)
    }
}

fn finish(
    context: &Context,
    file: &OsString,
    changed: Option<zeroize::Zeroizing<String>>,
) -> Result<Status, Error> {
    match changed {
        Some(text) => file::write(Path::new(file), text.as_bytes(), 0o644)?,
        None => context
            .report
            .note(format_args!("'{}' is unchanged", Path::new(file).display())),
    }
    Ok(Status::Done)
}

/// Take one value away
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ops-secrets unset secrets/db.yaml '[\"db\"][\"old\"]'
  ops-secrets unset --idempotent secrets/db.yaml '[\"users\"][0]'")]
pub(super) struct Unset {
    /// The file
    file: OsString,

    /// The path, such as `["db"]["password"]`
    index: path::Path,

    /// Succeed if nothing is there
    #[arg(long)]
    idempotent: bool,

    #[command(flatten)]
    input: Input,

    /// Write this format
    #[arg(long, value_name = "TYPE")]
    output_type: Option<Type>,

    #[command(flatten)]
    trust: Trust,
}

impl Unset {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let environment = Environment::read();
        let unlocked =
            self.input
                .unlock(context, &environment, &self.file, self.trust.reopening())?;
        let name = unlocked.file.name.clone();
        let Unlocked { file, key, opened } = unlocked;
        let output = self.output_type.map_or(file.format, Into::into);
        let changed = set::unset(&file, key, opened, &self.index, output)?;
        if changed.is_none() && !self.idempotent {
            return Err(Error::NothingAt {
                file: name,
                path: self.index.to_string(),
            });
        }
        finish(context, &self.file, changed)
    }
}

/// Say whether files are encrypted
///
/// One file prints what sops prints: {"encrypted":true}. Several print records.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ops-secrets filestatus secrets/db.yaml
  ops-secrets filestatus secrets/*.yaml | grep ^false")]
pub(super) struct Filestatus {
    /// The files
    #[arg(required = true)]
    files: Vec<OsString>,

    #[command(flatten)]
    input: Input,
}

impl Filestatus {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let mut found = Vec::new();
        for file in input::names(&self.files)? {
            let encrypted = file::is_encrypted(self.input.format(&file)?, &input::read(&file)?);
            found.push(FileStatus {
                file: file.to_string_lossy().into_owned(),
                encrypted,
            });
        }
        if let ([one], None) = (found.as_slice(), context.house.asked_format()) {
            print(
                context,
                format!("{{\"encrypted\":{}}}\n", one.encrypted).as_bytes(),
            )?;
            return Ok(Status::Done);
        }
        let host = ops_common::hosts::this_machine();
        let mut output = context.output()?;
        for record in &found {
            output.record(&host, record)?;
        }
        output.finish()?;
        Ok(Status::Done)
    }
}
