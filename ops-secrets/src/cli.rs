//! The command line.

mod args;
mod exec;
mod files;
mod git;
mod install;
mod keys;
mod tend;

use clap::{Parser, Subcommand};
use ops_common::exit::{Failure, Status};
use ops_common::tool::{Context, House, Tool};

use crate::error::Error;
use crate::sops_link;

/// sops files with age and SSH keys: encrypt, decrypt, edit, rotate, hand to a program, install at boot
///
/// Files are those of sops: each program reads what the other wrote. Keys are found where sops finds them:
/// SOPS_AGE_KEY, SOPS_AGE_KEY_FILE, SOPS_AGE_KEY_CMD, SOPS_AGE_SSH_PRIVATE_KEY_FILE, SOPS_AGE_SSH_PRIVATE_KEY_CMD,
/// ~/.ssh/id_ed25519, ~/.ssh/id_rsa and ~/.config/sops/age/keys.txt; new files get the keys of the rule in .sops.yaml.
#[derive(Debug, Parser)]
#[command(
    name = "ops-secrets",
    version,
    max_term_width = 100,
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(flatten)]
    house: House,

    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Encrypt(files::Encrypt),
    Decrypt(files::Decrypt),
    Edit(files::Edit),
    Set(files::Set),
    Unset(files::Unset),
    Rotate(tend::Rotate),
    Updatekeys(tend::Updatekeys),
    Verify(tend::Verify),
    ExecEnv(exec::ExecEnv),
    ExecFile(exec::ExecFile),
    Lint(git::Lint),
    Diff(git::Diff),
    Merge(git::Merge),
    GitSetup(git::GitSetup),
    Install(install::Install),
    Filestatus(files::Filestatus),
    Recipient(keys::Recipient),
    Keygen(keys::Keygen),
}

impl Tool for Cli {
    type Error = Error;

    const NAME: &'static str = "ops-secrets";

    fn house(&self) -> &House {
        &self.house
    }

    fn run(self, context: &Context) -> Result<Status, Error> {
        self.verb.run(context)
    }
}

impl Verb {
    fn run(self, context: &Context) -> Result<Status, Error> {
        match self {
            Self::Encrypt(verb) => verb.run(context),
            Self::Decrypt(verb) => verb.run(context),
            Self::Edit(verb) => verb.run(context),
            Self::Set(verb) => verb.run(context),
            Self::Unset(verb) => verb.run(context),
            Self::Rotate(verb) => verb.run(context),
            Self::Updatekeys(verb) => verb.run(context),
            Self::Verify(verb) => verb.run(context),
            Self::ExecEnv(verb) => verb.run(context),
            Self::ExecFile(verb) => verb.run(context),
            Self::Lint(verb) => verb.run(context),
            Self::Diff(verb) => verb.run(context),
            Self::Merge(verb) => verb.run(context),
            Self::GitSetup(verb) => verb.run(context),
            Self::Install(verb) => verb.run(context),
            Self::Filestatus(verb) => verb.run(context),
            Self::Recipient(verb) => verb.run(context),
            Self::Keygen(verb) => verb.run(context),
        }
    }
}

/// The same program under the name of sops: it differs in what its statuses mean.
#[derive(Debug, Parser)]
#[command(name = "ops-secrets", version)]
pub struct AsSops {
    #[command(flatten)]
    cli: Cli,
}

/// A failure, with the status that sops has for it.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct SopsFailure {
    #[source]
    error: Error,
    encrypting: bool,
}

impl Failure for SopsFailure {
    fn status(&self) -> Status {
        sops_link::status(&self.error, self.encrypting)
    }

    fn hint(&self) -> Option<String> {
        self.error.hint()
    }
}

impl Tool for AsSops {
    type Error = SopsFailure;

    const NAME: &'static str = "sops";

    fn house(&self) -> &House {
        &self.cli.house
    }

    fn run(self, context: &Context) -> Result<Status, SopsFailure> {
        let encrypting = matches!(self.cli.verb, Verb::Encrypt(_));
        let ran = match self.cli.verb {
            Verb::Edit(verb) => verb.edited(context).map(sops_link::edited),
            verb => verb.run(context),
        };
        ran.or_else(|error| sops_link::told(&error).ok_or(SopsFailure { error, encrypting }))
    }
}
