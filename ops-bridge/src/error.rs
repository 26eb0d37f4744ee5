//! What can go wrong: each variant is an attempt that failed, with its object.

use ops_common::exit::{Failure, Status};
use ops_common::{config, host, hosts, input, output, program};

use crate::form::Form;
use crate::http;
use crate::source::NO_JOURNALCTL;

/// An attempt that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No host could be asked, or its answer not be printed.
    #[error(transparent)]
    Hosts(#[from] hosts::Error),
    /// A command on the host did not run to its end.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// The configuration of the tools cannot be used.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// stdout cannot be written.
    #[error(transparent)]
    Output(#[from] output::Error),
    /// A journal cannot be read.
    #[error(transparent)]
    Input(#[from] input::Error),
    /// A program of this machine failed.
    #[error(transparent)]
    Program(#[from] program::Error),
    /// The journal of the unit on the host cannot be read.
    #[error("cannot read the journal of '{unit}' on '{host}': {reason}")]
    Journal {
        /// The unit.
        unit: String,
        /// The host.
        host: String,
        /// What journalctl said.
        reason: String,
    },
    /// The bridge's database cannot be read.
    #[error("cannot read the database '{database}' on '{host}': {reason}")]
    Database {
        /// The database.
        database: String,
        /// The host.
        host: String,
        /// What psql said.
        reason: String,
    },
    /// The database is none of this bridge, or of a version that is not known.
    #[error("the database '{database}' is not one of mautrix-slack that is known here: {reason}")]
    Schema {
        /// The database.
        database: String,
        /// What is strange about it.
        reason: String,
    },
    /// What the host said cannot be understood.
    #[error("cannot read what '{host}' says about {what}: {reason}")]
    Answer {
        /// The host.
        host: String,
        /// What was asked for.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A pattern of `--grep` that is none.
    #[error("'{pattern}' is not a pattern")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Why.
        source: regex::Error,
    },
    /// An input without a single line of a bridge.
    #[error("'{0}' holds no line of the bridge")]
    NoBridge(String),
    /// An input in a form that is not read.
    #[error("'{input}' is no text: it is {}", form.name)]
    Form {
        /// The input.
        input: String,
        /// What it is.
        form: Form,
    },
    /// An input whose lines are not in the order in which they were written.
    #[error("the lines of '{0}' are not in the order of their times")]
    Disorder(String),
    /// A span before now, on stdin, whose now is its last line.
    #[error("'-' is read once, so its last line, which is its now, is not known in time")]
    Relative,
    /// `explain` was given something that is not known.
    #[error("nothing is known about '{0}'")]
    NotKnown(String),
    /// The bridge's provisioning API, the homeserver or Slack did not answer.
    #[error("cannot ask {whom}")]
    Ask {
        /// Who was asked.
        whom: String,
        /// Why.
        source: http::Error,
    },
    /// The bridge's provisioning API, the homeserver or Slack said no.
    #[error("{whom} refused {what}: {reason}")]
    Refused {
        /// Who was asked.
        whom: String,
        /// For what.
        what: String,
        /// The answer.
        reason: String,
    },
    /// A file of tokens lacks one, or is none.
    #[error("cannot use the tokens of '{file}': {reason}")]
    Tokens {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody said where the tokens are.
    #[error("no file of tokens was named")]
    NoTokens,
    /// The bridge's own configuration does not allow what was asked for.
    #[error("the bridge on '{host}' has no provisioning API: {reason}")]
    NoProvisioning {
        /// The host.
        host: String,
        /// Why.
        reason: String,
    },
    /// The port for the bridge's pushes cannot be had.
    #[error("cannot listen on port {port} of 127.0.0.1")]
    Listen {
        /// The port.
        port: u16,
        /// Why.
        source: std::io::Error,
    },
    /// A share that is none.
    #[error("'{0}' is no share such as 99%")]
    Target(String),
}

impl Failure for Error {
    fn status(&self) -> Status {
        match self {
            Self::Hosts(error) => error.status(),
            Self::Host(error) => error.status(),
            Self::Config(error) => error.status(),
            Self::Output(error) => error.status(),
            Self::Input(error) => error.status(),
            Self::Program(error) => error.status(),
            Self::Journal { .. }
            | Self::Database { .. }
            | Self::Ask { .. }
            | Self::Listen { .. } => Status::Unavailable,
            Self::Schema { .. }
            | Self::NoBridge(_)
            | Self::Form { .. }
            | Self::Disorder(_)
            | Self::Answer { .. } => Status::BadInput,
            Self::Pattern { .. } | Self::Target(_) | Self::Relative | Self::NoTokens => {
                Status::Usage
            }
            Self::NotKnown(_) => Status::No,
            Self::Refused { .. } => Status::NotAllowed,
            Self::Tokens { .. } | Self::NoProvisioning { .. } => Status::BadConfig,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Hosts(error) => error.hint(),
            Self::Host(error) => error.hint(),
            Self::Config(error) => error.hint(),
            Self::Output(error) => error.hint(),
            Self::Input(error) => error.hint(),
            Self::Program(error) => error.hint(),
            Self::Journal { reason, .. } if reason == NO_JOURNALCTL => Some("a host without systemd keeps its log elsewhere: give it as a file, or - for stdin".to_owned()),
            Self::Journal { .. } => Some("the journal is for root and the group systemd-journal: --sudo".to_owned()),
            Self::Database { .. } => Some("is PostgreSQL running? ops-db status; bridge.database and bridge.db_user of ops.yaml name it".to_owned()),
            Self::Listen { .. } => Some("is another one running? ss -ltnp; or give --port".to_owned()),
            Self::NoBridge(_) => Some("is the bridge's unit another one? bridge.unit of ops.yaml names it".to_owned()),
            Self::Form { form, .. } => Some(form.command.to_owned()),
            Self::Disorder(_) => Some("journalctl writes them in order without --reverse; tac turns a file round".to_owned()),
            Self::Relative => Some("give --since and --until as instants, or put the lines into a file".to_owned()),
            Self::NoTokens => Some("give --tokens FILE, or set bridge.tokens in ops.yaml".to_owned()),
            Self::NoProvisioning { .. } => Some("set provisioning.shared_secret to 16 characters or more".to_owned()),
            _ => None,
        }
    }
}
