//! What can go wrong: a variant is the attempt that failed, with its object.

use ops_common::exit::{Failure, Status};
use ops_common::{atomic, config, host, hosts, input, output, program};

use crate::nix;

/// An attempt that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host cannot be reached or talked to.
    #[error(transparent)]
    Host(Box<host::Error>),
    /// The hosts are not clear.
    #[error(transparent)]
    Hosts(Box<hosts::Error>),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The answer cannot be printed.
    #[error(transparent)]
    Output(#[from] output::Error),
    /// Nix failed.
    #[error(transparent)]
    Nix(#[from] nix::Error),
    /// An input cannot be read.
    #[error(transparent)]
    Input(#[from] input::Error),
    /// Git cannot be asked.
    #[error("cannot look at the repository of '{folder}'")]
    Git {
        /// The folder of the flake.
        folder: String,
        /// Why.
        source: program::Error,
    },
    /// The worklog entry cannot be written.
    #[error("cannot write the worklog entry")]
    Worklog(#[from] atomic::Error),
    /// The host's answer is not whole.
    #[error("cannot read the state of '{host}': its answer is cut")]
    State {
        /// The host.
        host: String,
    },
    /// The host is no machine that a system can be put on.
    #[error("cannot deploy to '{host}': {reason}")]
    Unfit {
        /// The host.
        host: String,
        /// What is missing.
        reason: &'static str,
    },
    /// We are not root there.
    #[error("cannot deploy to '{host}': the login user is not root")]
    NotRoot {
        /// The host.
        host: String,
    },
    /// Two names in one run mean the same machine.
    #[error("'{first}' and '{second}' are the same machine")]
    SameMachine {
        /// The one.
        first: String,
        /// The other.
        second: String,
    },
    /// The working tree is not what is committed.
    #[error("'{folder}' has changes that are not committed: {files}")]
    Dirty {
        /// The repository.
        folder: String,
        /// Some of the files.
        files: String,
    },
    /// A text that should be a store path.
    #[error("'{0}' is not a path of the Nix store")]
    NotAStorePath(String),
    /// A system that the local store does not have.
    #[error("the local store does not have '{0}'")]
    NotHere(String),
    /// The host's store does not answer.
    #[error("cannot ask the store of '{host}': {reason}")]
    AskStore {
        /// The host.
        host: String,
        /// What it said.
        reason: String,
    },
    /// The local store cannot export.
    #[error("cannot export from the local store: {reason}")]
    Export {
        /// Why.
        reason: String,
    },
    /// The host cannot import.
    #[error("cannot import into the store of '{host}': {reason}")]
    Import {
        /// The host.
        host: String,
        /// What it said.
        reason: String,
    },
    /// The host cannot build the system.
    #[error("cannot build '{what}' on '{host}': {reason}")]
    BuildThere {
        /// The host.
        host: String,
        /// The derivation.
        what: String,
        /// What it said.
        reason: String,
    },
    /// The host will not be able to decrypt secrets of the system.
    #[error("'{host}' cannot decrypt the secrets of the new system: {reason}")]
    Secrets {
        /// The host.
        host: String,
        /// Which, and why.
        reason: String,
    },
    /// Somebody else deploys to that machine.
    #[error("cannot lock '{host}': {owner} deploys to it (deployment {id})")]
    Locked {
        /// The host.
        host: String,
        /// Who.
        owner: String,
        /// Which deployment.
        id: String,
    },
    /// The host is putting its old system back.
    #[error("cannot lock '{host}': it is putting its old system back")]
    Reverting {
        /// The host.
        host: String,
    },
    /// The host has another system than a moment ago.
    #[error("'{host}' has changed since it was looked at")]
    Changed {
        /// The host.
        host: String,
    },
    /// The host could not be prepared.
    #[error("cannot prepare '{host}': {reason}")]
    Prepare {
        /// The host.
        host: String,
        /// What it said.
        reason: String,
        /// The status that the script ended with.
        status: u8,
    },
    /// The log of the host cannot be read.
    #[error("cannot read the log of '{host}': {reason}")]
    Log {
        /// The host.
        host: String,
        /// What it said.
        reason: String,
    },
    /// The host has no such generation.
    #[error("'{host}' has no {what} to go back to")]
    NoGeneration {
        /// The host.
        host: String,
        /// What was asked for.
        what: String,
    },
    /// A line that is no check record.
    #[error("line {line} is not a check record: {reason}")]
    NotARecord {
        /// Its number.
        line: usize,
        /// Why.
        reason: String,
    },
    /// A line that names no system.
    #[error("line {line} names no system: {reason}")]
    NotASystem {
        /// Its number.
        line: usize,
        /// Why.
        reason: String,
    },
    /// The step before has no system for a host.
    #[error("no line names a system for '{host}'")]
    NoPath {
        /// The host.
        host: String,
    },
    /// A system that the host does not have.
    #[error("'{host}' does not have '{path}'")]
    NotThere {
        /// The host.
        host: String,
        /// The system.
        path: String,
    },
    /// What is to be promoted has not proved itself.
    #[error("cannot promote from '{host}': {reason}")]
    NotProved {
        /// The host.
        host: String,
        /// What is missing.
        reason: String,
    },
    /// The unit files of a system cannot be read.
    #[error("cannot read the units of '{path}'")]
    Units {
        /// The system.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The person said no.
    #[error("not confirmed")]
    NotConfirmed,
}

/// Boxed: what can go wrong with a connection is a long story, and most results here are good.
impl From<host::Error> for Error {
    fn from(error: host::Error) -> Self {
        Self::Host(Box::new(error))
    }
}

impl From<hosts::Error> for Error {
    fn from(error: hosts::Error) -> Self {
        Self::Hosts(Box::new(error))
    }
}

impl Failure for Error {
    fn status(&self) -> Status {
        match self {
            Self::Host(error) => error.status(),
            Self::Hosts(error) => error.status(),
            Self::Config(error) => error.status(),
            Self::Output(error) => error.status(),
            Self::Nix(error) => error.status(),
            Self::Input(error) => error.status(),
            Self::Git { source, .. } => source.status(),
            Self::Worklog(error) => error.status(),
            Self::NotRoot { .. } => Status::NotAllowed,
            Self::SameMachine { .. } => Status::Usage,
            Self::Dirty { .. }
            | Self::NotConfirmed
            | Self::Secrets { .. }
            | Self::NoGeneration { .. }
            | Self::NotProved { .. } => Status::No,
            Self::NotAStorePath(_)
            | Self::NotHere(_)
            | Self::NotARecord { .. }
            | Self::NotASystem { .. }
            | Self::NoPath { .. }
            | Self::BuildThere { .. }
            | Self::Units { .. }
            | Self::NotThere { .. } => Status::BadInput,
            Self::Unfit { .. } => Status::Unavailable,
            Self::Locked { .. } | Self::Reverting { .. } | Self::Changed { .. } => Status::TryAgain,
            Self::State { .. }
            | Self::AskStore { .. }
            | Self::Export { .. }
            | Self::Import { .. }
            | Self::Prepare { .. }
            | Self::Log { .. } => Status::Io,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Host(error) => error.hint(),
            Self::Hosts(error) => error.hint(),
            Self::Config(error) => error.hint(),
            Self::Output(error) => error.hint(),
            Self::Nix(error) => error.hint(),
            Self::Git { source, .. } => source.hint(),
            Self::NotRoot { .. } => Some("log in as root, or add --sudo".to_owned()),
            Self::Dirty { .. } => Some("commit them, or add --allow-dirty".to_owned()),
            Self::Locked { .. } | Self::Reverting { .. } => {
                Some("wait until that deployment is over; a dead one is over by itself when its armed time is".to_owned())
            }
            Self::Changed { .. } => Some("look at 'ops-deploy status', then try again".to_owned()),
            Self::Secrets { .. } => Some(
                "add the host's recipient to .sops.yaml (ops-secrets recipient --host), then ops-secrets updatekeys".to_owned(),
            ),
            Self::NotThere { .. } => Some("copy it first: ops-deploy copy".to_owned()),
            Self::NoGeneration { .. } => Some("'ops-deploy status --all' lists the generations".to_owned()),
            _ => None,
        }
    }
}
