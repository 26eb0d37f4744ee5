//! What can go wrong: each variant is an attempt that failed, with its object.

use std::io;
use std::path::PathBuf;

use ops_common::exit::{Failure, Status};
use ops_common::{atomic, config, host, hosts, input, output};

use crate::server::Refusal;
use crate::{parameters, seal};

/// An attempt that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No host could be asked, or its answer not be printed.
    #[error(transparent)]
    Hosts(#[from] hosts::Error),
    /// A command on the host did not run to its end.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// stdout cannot be written.
    #[error(transparent)]
    Output(#[from] output::Error),
    /// A file cannot be read.
    #[error(transparent)]
    Input(#[from] input::Error),
    /// A file cannot be written.
    #[error(transparent)]
    Atomic(#[from] atomic::Error),
    /// A query cannot be filled.
    #[error(transparent)]
    Parameters(#[from] parameters::Error),
    /// The server's socket does not answer.
    #[error("cannot connect to '{path}'")]
    Dial {
        /// The socket.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The server does not let us in.
    #[error("cannot open database '{database}' as '{role}'")]
    Open {
        /// The database.
        database: String,
        /// The role.
        role: String,
        /// What it said.
        source: Refusal,
    },
    /// A role without a system user cannot be shown to the server.
    #[error("'{host}' has no system user '{role}', whom the server would let in as that role")]
    NoUser {
        /// The host.
        host: String,
        /// The role.
        role: String,
    },
    /// There is no way to the socket as that user.
    #[error("cannot reach the server on '{host}': {reason}")]
    NoWay {
        /// The host.
        host: String,
        /// What is missing.
        reason: String,
    },
    /// The server refused a query.
    #[error("the query failed")]
    Query(#[source] Refusal),
    /// A statement that nothing keeps from changing things.
    #[error("only SELECT, WITH, VALUES, TABLE, SHOW and EXPLAIN are known to change nothing")]
    MayChange,
    /// An answer that cannot be written as objects.
    #[error("two columns are called '{0}', and an object can have one")]
    SameName(String),
    /// A program on the host failed.
    #[error("{program} failed on '{host}' with status {status}: {reason}")]
    Program {
        /// The host.
        host: String,
        /// The program.
        program: &'static str,
        /// Its status.
        status: u8,
        /// Its last words.
        reason: String,
    },
    /// A stream between us and the host failed.
    #[error("the connection to the server failed")]
    Stream(#[source] io::Error),
    /// The output of a verb cannot be written.
    #[error("cannot write the output")]
    Write(#[source] io::Error),
    /// A backup cannot be written.
    #[error("cannot write '{}'", path.display())]
    Save {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is nowhere to put backups.
    #[error("there is no folder '{}'", .0.display())]
    NoFolder(PathBuf),
    /// A backup cannot be removed.
    #[error("cannot remove '{}'", path.display())]
    Remove {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read '{}'", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A dump or backup is not whole.
    #[error("'{name}' is damaged: {damage}")]
    Damaged {
        /// The file or database.
        name: String,
        /// What is wrong, and where.
        damage: String,
    },
    /// A file that is no backup.
    #[error(
        "'{0}' is no backup that is known here: neither a custom archive nor plain SQL, compressed by this program or not"
    )]
    Foreign(String),
    /// Something was wanted of a backup that is not in it.
    #[error("'{name}' holds no {what}")]
    Absent {
        /// The file.
        name: String,
        /// What was wanted.
        what: String,
    },
    /// A dump of another kind.
    #[error("'{name}' is {what}, which is not read here")]
    OtherKind {
        /// The file.
        name: String,
        /// Its kind.
        what: &'static str,
    },
    /// An encrypted backup and no key for it.
    #[error("cannot decrypt '{name}': none of the keys given is one of its recipients'")]
    WrongKey {
        /// The file.
        name: String,
    },
    /// An encrypted backup that does not open.
    #[error("cannot decrypt '{name}': {reason}")]
    Decrypt {
        /// The file.
        name: String,
        /// Why.
        reason: String,
    },
    /// A key that is none.
    #[error("cannot use the key '{key}': {reason}")]
    Key {
        /// The key or its file.
        key: String,
        /// Why.
        reason: String,
    },
    /// A command of the operator failed.
    #[error("the hook '{hook}' failed: {reason}")]
    Hook {
        /// Which one.
        hook: &'static str,
        /// What it said.
        reason: String,
    },
    /// Somebody else is at it.
    #[error("another backup of '{database}' is running")]
    Locked {
        /// The database.
        database: String,
    },
    /// Flags that make no sense together.
    #[error("{0}")]
    Usage(String),
    /// What was restored is not what was backed up.
    #[error("'{database}' is not what was backed up: {difference}")]
    Different {
        /// The database.
        database: String,
        /// The first difference.
        difference: String,
    },
    /// Nobody confirmed.
    #[error("'{0}' exists and was not replaced")]
    Unconfirmed(String),
}

impl Failure for Error {
    fn status(&self) -> Status {
        match self {
            Self::Hosts(error) => error.status(),
            Self::Host(error) => error.status(),
            Self::Config(error) => error.status(),
            Self::Output(error) => error.status(),
            Self::Input(error) => error.status(),
            Self::Atomic(error) => error.status(),
            Self::Parameters(_) | Self::Usage(_) => Status::Usage,
            Self::Dial { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Status::NotAllowed
            }
            Self::Dial { .. } | Self::NoWay { .. } => Status::Unavailable,
            Self::NoUser { .. } | Self::MayChange => Status::NotAllowed,
            Self::Open { source, .. } if source.is_closed() => Status::Unavailable,
            Self::Open { source, .. } | Self::Query(source) => of_refusal(source),
            Self::Program {
                program,
                status,
                reason,
                ..
            } => of_program(program, *status, reason),
            Self::Stream(_) | Self::Hook { .. } | Self::NoFolder(_) => Status::Io,
            Self::Write(source) => Status::of_io(source),
            Self::Save { source, .. } | Self::Remove { source, .. } | Self::Read { source, .. } => {
                match Status::of_io(source) {
                    Status::ReaderLeft => Status::Io,
                    status => status,
                }
            }
            Self::Damaged { .. }
            | Self::Foreign(_)
            | Self::OtherKind { .. }
            | Self::WrongKey { .. }
            | Self::Absent { .. }
            | Self::SameName(_)
            | Self::Decrypt { .. } => Status::BadInput,
            Self::Key { .. } => Status::BadConfig,
            Self::Locked { .. } => Status::TryAgain,
            Self::Different { .. } | Self::Unconfirmed(_) => Status::No,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Hosts(error) => error.hint(),
            Self::Host(error) => error.hint(),
            Self::Config(error) => error.hint(),
            Self::OtherKind { .. } => Some("pg_dump -Fc makes one that is".to_owned()),
            Self::WrongKey { .. } | Self::Decrypt { .. } => {
                Some("name the file with your key: --identity FILE".to_owned())
            }
            Self::SameName(_) => Some("give one of them another name: AS \"name\"".to_owned()),
            Self::NoFolder(path) => Some(format!(
                "make the folder first: mkdir -p {}",
                word(path.as_os_str().as_encoded_bytes())
            )),
            Self::Unconfirmed(name) => Some(format!(
                "--replace {} says that you mean it; the old one is kept under another name",
                word(name.as_bytes())
            )),
            Self::MayChange => Some("--write lets a query change things".to_owned()),
            Self::Query(source) if source.is_read_only() => {
                Some("--write lets a query change things; on a standby nothing does".to_owned())
            }
            Self::Open { role, source, .. } if source.wants_password() => Some(format!(
                "this program brings no password: 'local all {role} peer' in pg_hba.conf lets the system user in"
            )),
            Self::Open { source, .. } if source.is_absence() => Some(DATABASES.to_owned()),
            Self::Program { reason, .. } if names_absent_database(reason) => {
                Some(DATABASES.to_owned())
            }
            _ => None,
        }
    }
}

const DATABASES: &str = "ops-db list shows the databases";

fn names_absent_database(reason: &str) -> bool {
    reason.contains("database \"") && reason.contains("does not exist")
}

/// A word as a shell wants it. Neither names of the server nor paths have a NUL byte, the one thing that cannot be quoted.
#[must_use]
pub fn word(text: &[u8]) -> String {
    String::from_utf8_lossy(&host::quote(text).unwrap_or_default()).into_owned()
}

fn of_refusal(refusal: &Refusal) -> Status {
    match refusal {
        _ if refusal.is_denial() => Status::NotAllowed,
        _ if refusal.is_passing() => Status::TryAgain,
        _ if refusal.is_absence() => Status::Unavailable,
        _ if refusal.is_loss() || refusal.is_io() => Status::Io,
        _ => Status::BadInput,
    }
}

/// The programs of `PostgreSQL` end with 1 whatever happened: their words have to tell.
fn of_program(program: &str, status: u8, reason: &str) -> Status {
    let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    match status {
        127 => Status::Unavailable,
        _ if says(&[
            "lock timeout",
            "starting up",
            "too many clients",
            "could not obtain lock",
        ]) =>
        {
            Status::TryAgain
        }
        _ if says(&[
            "permission denied",
            "authentication failed",
            "no password supplied",
            "must be superuser",
        ]) =>
        {
            Status::NotAllowed
        }
        _ if says(&["role \"", "no pg_hba.conf entry"])
            && says(&["does not exist", "no pg_hba"]) =>
        {
            Status::NotAllowed
        }
        _ if names_absent_database(reason) => Status::Unavailable,
        _ if says(&[
            "is not currently accepting connections",
            "cannot connect to invalid database",
        ]) =>
        {
            Status::Unavailable
        }
        _ if says(&["Tablespace \"", "tablespace \""]) && says(&["does not exist"]) => {
            Status::Unavailable
        }
        _ if says(&["extension \""]) && says(&["is not available"]) => Status::Unavailable,
        // Dropped between the snapshot and the lock: the next dump will not know of it.
        _ if program == "pg_dump"
            && says(&["relation \"", "could not open relation"])
            && says(&["does not exist", "with OID"]) =>
        {
            Status::TryAgain
        }
        _ if says(&["No space left on device"]) => Status::Io,
        _ if says(&["Connection refused", "No such file or directory"]) => Status::Unavailable,
        _ => Status::Io,
    }
}

/// Why reading failed: the medium, or what is on it.
#[must_use]
pub fn of_reading(name: &str, error: io::Error) -> Error {
    match seal::damage_of(&error) {
        Some(damage) => Error::Damaged {
            name: name.to_owned(),
            damage: damage.to_string(),
        },
        // A medium that fails has a number for it; this is what decryption says of data.
        None if error.raw_os_error().is_none()
            && matches!(
                error.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            ) =>
        {
            Error::Damaged {
                name: name.to_owned(),
                damage: error.to_string(),
            }
        }
        None => Error::Read {
            path: name.into(),
            source: error,
        },
    }
}
