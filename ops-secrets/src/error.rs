//! What can fail: a variant is the attempt that failed, with its object.

use std::path::PathBuf;

use ops_common::exit::{Failure, Status};
use ops_common::{atomic, config, host, hosts, input, output, program};

use crate::{change, creation, crypt, keys, metadata, rules};

/// A failure of the tool.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Input could not be read.
    #[error(transparent)]
    Read(#[from] input::Error),
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] atomic::Error),
    /// stdout could not be written.
    #[error(transparent)]
    Print(#[from] output::Error),
    /// ops.yaml could not be read.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// A host could not be chosen.
    #[error(transparent)]
    Hosts(#[from] hosts::Error),
    /// A host could not be asked.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// A program could not be run.
    #[error(transparent)]
    Program(#[from] program::Error),
    /// `.sops.yaml` cannot be used.
    #[error(transparent)]
    Creation(#[from] creation::Fault),
    /// A file is malformed.
    #[error("'{}' line {line}, column {column}: {message}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// A file could not be encrypted.
    #[error("cannot encrypt '{}'", file.display())]
    Encrypt {
        /// The file.
        file: PathBuf,
        /// Why.
        source: crypt::Fault,
    },
    /// A file could not be decrypted.
    #[error("cannot decrypt '{}'", file.display())]
    Decrypt {
        /// The file.
        file: PathBuf,
        /// Why.
        source: crypt::Fault,
    },
    /// The metadata of a file cannot be used.
    #[error("cannot decrypt '{}'", file.display())]
    Metadata {
        /// The file.
        file: PathBuf,
        /// Why.
        source: metadata::Fault,
    },
    /// The data key of a file could not be recovered.
    #[error("cannot decrypt '{}'", file.display())]
    Unlock {
        /// The file.
        file: PathBuf,
        /// Why.
        source: keys::Fault,
    },
    /// The data key of a file could not be wrapped.
    #[error("cannot encrypt '{}'", file.display())]
    Wrap {
        /// The file.
        file: PathBuf,
        /// Why.
        source: keys::Fault,
    },
    /// A file has no seal, but one is required.
    #[error("'{}' has no seal", .0.display())]
    NoSeal(PathBuf),
    /// A file is encrypted already.
    #[error("'{}' is encrypted already", .0.display())]
    Already(PathBuf),
    /// The selectors would leave everything in plain text.
    #[error("the rules would leave every value of '{}' in plain text", .0.display())]
    AllPlain(PathBuf),
    /// Selectors of the command line are wrong.
    #[error(transparent)]
    Rules(#[from] rules::Fault),
    /// There are no recipients for a file.
    #[error("there is no recipient for '{}'", .0.display())]
    NoRecipients(PathBuf),
    /// A key group would be empty.
    #[error("a key group of '{}' has no recipient", .0.display())]
    EmptyGroup(PathBuf),
    /// The environment names keys of other kinds.
    #[error("'{0}' asks for keys of a kind that this tool does not hold")]
    ForeignVariable(&'static str),
    /// A rule names keys of other kinds.
    #[error("the creation rule for '{}' names '{kind}' keys, which this tool does not hold", file.display())]
    ForeignRule {
        /// The file.
        file: PathBuf,
        /// The kind.
        kind: String,
    },
    /// A document could not be changed.
    #[error("cannot change '{}'", file.display())]
    Change {
        /// The file.
        file: PathBuf,
        /// Why.
        source: change::Fault,
    },
    /// Nothing is at a path.
    #[error("'{}' has nothing at {path}", file.display())]
    NothingAt {
        /// The file.
        file: PathBuf,
        /// The path.
        path: String,
    },
    /// A format cannot hold a value.
    #[error("{format} cannot hold '{key}' of '{}'", file.display())]
    Convert {
        /// The file.
        file: PathBuf,
        /// The format.
        format: &'static str,
        /// The key.
        key: String,
    },
    /// The value given is no JSON.
    #[error("the value is no JSON: {0}")]
    Value(String),
    /// A file's format cannot be told.
    #[error("the format of stdin is not known")]
    NoFormat,
    /// A private place for plain text could not be made.
    #[error("cannot make a private folder in memory")]
    PrivateFolder(#[source] std::io::Error),
    /// No place in memory was found for plain text.
    #[error("no folder in memory is there for the editor's file")]
    NoMemoryFolder,
    /// The editor failed.
    #[error("the editor '{name}' ended with status {status}: '{}' is unchanged", file.display())]
    Editor {
        /// The editor.
        name: String,
        /// Its status.
        status: u8,
        /// The file.
        file: PathBuf,
    },
    /// An argument is wrong.
    #[error("{0}")]
    Usage(String),
    /// A file could not be worked on.
    #[error("cannot {attempt} '{}'", path.display())]
    File {
        /// What was tried.
        attempt: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A recipient cannot be told from what was given.
    #[error("cannot make a recipient of '{name}'")]
    Recipient {
        /// What was given.
        name: String,
        /// Why.
        source: keys::ssh::Fault,
    },
    /// Several files failed; each was told.
    #[error("{failed} of {all} files failed")]
    Several {
        /// How many failed.
        failed: usize,
        /// How many there were.
        all: usize,
        /// The worst status.
        status: Status,
    },
    /// A manifest cannot be used.
    #[error("the manifest '{}': {message}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}

impl Failure for Error {
    fn status(&self) -> Status {
        match self {
            Self::Read(error) => error.status(),
            Self::Write(error) => error.status(),
            Self::Print(error) => error.status(),
            Self::Config(error) => error.status(),
            Self::Hosts(error) => error.status(),
            Self::Host(error) => error.status(),
            Self::Program(error) => error.status(),
            Self::Unlock { source, .. } | Self::Wrap { source, .. } => status_of_keys(source),
            Self::Creation(_)
            | Self::ForeignRule { .. }
            | Self::ForeignVariable(_)
            | Self::NoRecipients(_)
            | Self::EmptyGroup(_)
            | Self::AllPlain(_) => Status::BadConfig,
            Self::Usage(_) | Self::NoFormat | Self::Rules(_) => Status::Usage,
            Self::PrivateFolder(source) | Self::File { source, .. } => Status::of_io(source),
            Self::NoMemoryFolder => Status::Unavailable,
            Self::Several { status, .. } => *status,
            Self::Editor { .. } => Status::No,
            Self::Malformed { .. }
            | Self::Encrypt { .. }
            | Self::Decrypt { .. }
            | Self::Metadata { .. }
            | Self::NoSeal(_)
            | Self::Already(_)
            | Self::Change { .. }
            | Self::NothingAt { .. }
            | Self::Convert { .. }
            | Self::Value(_)
            | Self::Recipient { .. }
            | Self::Manifest { .. } => Status::BadInput,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Read(error) => return error.hint(),
            Self::Config(error) => return error.hint(),
            Self::Hosts(error) => return error.hint(),
            Self::Host(error) => return error.hint(),
            Self::Program(error) => return error.hint(),
            Self::Already(_) => "decrypt it first, or change it with 'edit', 'set' or 'rotate'",
            Self::AllPlain(_) => "correct the selector, or say --allow-plaintext",
            Self::NoRecipients(_) => "give --age RECIPIENT, or a creation rule in .sops.yaml",
            Self::EmptyGroup(_) => "name at least one age recipient in each key group of the rule",
            Self::ForeignVariable(_) => "unset it, or encrypt with sops",
            Self::Creation(creation::Fault::NoRule { .. }) => {
                "add a rule whose path_regex matches, or give --age RECIPIENT"
            }
            Self::Metadata {
                source: metadata::Fault::Missing,
                ..
            } => "encrypt it first with 'ops-secrets encrypt'",
            Self::Decrypt {
                source: crypt::Fault::Mac,
                ..
            } => {
                "see what changed in the history of the file; --ignore-mac shows the values all the same"
            }
            Self::Decrypt {
                source: crypt::Fault::Seal,
                ..
            } => {
                "see what changed in the history of the file; --ignore-seal shows the values all the same"
            }
            Self::Decrypt {
                source: crypt::Fault::SealVersion(_),
                ..
            } => {
                "use a newer ops-secrets; --ignore-seal shows the values, and 'rotate --ignore-seal' makes a new seal"
            }
            Self::NoFormat => "say --input-type or --filename-override",
            Self::Unlock {
                source: keys::Fault::NoneFits(_) | keys::Fault::TooFewGroups { .. },
                ..
            } => {
                "put the key into SOPS_AGE_KEY_FILE, SOPS_AGE_SSH_PRIVATE_KEY_FILE or ~/.config/sops/age/keys.txt"
            }
            Self::NoMemoryFolder => "mount a tmpfs at /dev/shm",
            Self::NoSeal(_) => "'ops-secrets rotate' seals a file",
            _ => return None,
        };
        Some(text.to_owned())
    }
}

fn status_of_keys(fault: &keys::Fault) -> Status {
    match fault {
        keys::Fault::Identity(keys::identity::Fault::Read { source, .. }) => Status::of_io(source),
        keys::Fault::Identity(keys::identity::Fault::Command { source, .. }) => source.status(),
        keys::Fault::Identity(keys::identity::Fault::CommandLine(_))
        | keys::Fault::Threshold { .. } => Status::BadConfig,
        keys::Fault::Recipient(keys::recipient::Fault::Plugin { .. }) => Status::Unavailable,
        _ => Status::BadInput,
    }
}
