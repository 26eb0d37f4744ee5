//! What can go wrong: each variant is an attempt that failed, with its object.

use std::path::PathBuf;

use ops_common::exit::{Failure, Status};
use ops_common::{config, host, hosts, input, output, program};

use crate::name::NameError;
use crate::nginx::NginxError;

/// An attempt that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A URL that is none, or of another kind.
    #[error("'{text}' is no http or https URL: {reason}")]
    Url {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A server name that is none.
    #[error("'{text}' is no server name")]
    ServerName {
        /// What was given.
        text: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// A verb that needs to know our server has no name.
    #[error("the name of the server is not known")]
    NoServerName,
    /// No name was given at all.
    #[error("no server name was given")]
    NoNames,
    /// The names on stdin, or a configuration, cannot be read.
    #[error(transparent)]
    Input(#[from] input::Error),
    /// A certificate authority that cannot be read.
    #[error("cannot read the certificates of '{}': {reason}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The machine has no trust store, so no certificate can be judged.
    #[error("cannot load the trust store of this machine: {0}")]
    TrustStore(String),
    /// No unit of a homeserver on the host.
    #[error("no homeserver unit on '{host}': looked for {looked_for}")]
    NoUnit {
        /// Which host.
        host: String,
        /// The names that were tried.
        looked_for: String,
    },
    /// The host answered something that cannot be read.
    #[error("cannot read what '{host}' says about its homeserver: {reason}")]
    Answer {
        /// Which host.
        host: String,
        /// What is wrong.
        reason: String,
    },
    /// The configuration of nginx cannot be read.
    #[error("cannot read the nginx configuration '{path}': {reason}")]
    ReadNginx {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// The configuration of nginx is not one.
    #[error("cannot read the nginx configuration")]
    ParseNginx(#[source] NginxError),
    /// The tokens of `ping`.
    #[error("cannot use the tokens of '{}': {reason}", path.display())]
    Tokens {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// No file with tokens is named.
    #[error("no file with the tokens of two accounts is named")]
    NoTokens,
    /// A program of this machine.
    #[error(transparent)]
    Program(#[from] program::Error),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// Which hosts, and the way to them.
    #[error(transparent)]
    Hosts(#[from] hosts::Error),
    /// A host.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// stdout.
    #[error(transparent)]
    Output(#[from] output::Error),
}

impl Failure for Error {
    fn status(&self) -> Status {
        match self {
            Self::Url { .. } | Self::ServerName { .. } | Self::NoServerName | Self::NoNames => {
                Status::Usage
            }
            Self::Input(error) => error.status(),
            Self::CaFile { .. } | Self::Answer { .. } | Self::ParseNginx(_) => Status::BadInput,
            Self::TrustStore(_) | Self::NoUnit { .. } | Self::ReadNginx { .. } => {
                Status::Unavailable
            }
            Self::Tokens { .. } | Self::NoTokens => Status::BadConfig,
            Self::Program(error) => error.status(),
            Self::Config(error) => error.status(),
            Self::Hosts(error) => error.status(),
            Self::Host(error) => error.status(),
            Self::Output(error) => error.status(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoServerName => Some("give it, or write matrix.server_name into ops.yaml".to_owned()),
            Self::NoNames => Some("give names, or - to read them from stdin, one on a line".to_owned()),
            Self::TrustStore(_) => Some("name a file of certificates with --cafile".to_owned()),
            Self::NoUnit { .. } => Some("write the unit's name into matrix.unit of ops.yaml".to_owned()),
            Self::NoTokens => {
                Some("write matrix.tokens into ops.yaml: a sops file with token_a, room and, if there is one, token_b".to_owned())
            }
            Self::Input(error) => error.hint(),
            Self::Program(error) => error.hint(),
            Self::Config(error) => error.hint(),
            Self::Hosts(error) => error.hint(),
            Self::Host(error) => error.hint(),
            Self::Output(error) => error.hint(),
            _ => None,
        }
    }
}
