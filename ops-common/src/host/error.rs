//! What can go wrong between here and a host.

use std::{io, path::PathBuf, time::Duration};

use crate::{
    exit::{Failure, Status},
    program,
};

/// An attempt to reach a host, or to run something on it, that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answers there, or not in time.
    #[error("cannot connect to '{host}': {reason}")]
    Connect {
        /// The host as it was named.
        host: String,
        /// Why, in words.
        reason: String,
    },
    /// The other side answered, but not with an ssh session.
    #[error("cannot connect to '{host}': ssh handshake failed: {reason}")]
    Handshake {
        /// The host as it was named.
        host: String,
        /// Why, in words.
        reason: String,
    },
    /// The host key is not one that may be trusted.
    #[error("cannot trust the host key of '{host}': {problem}")]
    HostKey {
        /// The host as it was named.
        host: String,
        /// The name under which it was looked for, in the form of a `known_hosts` file.
        known_as: String,
        /// The address and port that presented the key.
        address: (String, u16),
        /// What is wrong with it.
        problem: Box<HostKeyProblem>,
    },
    /// No key was accepted.
    #[error("cannot log in to '{host}' as '{user}': {reason}")]
    Login {
        /// The host as it was named.
        host: String,
        /// The user there.
        user: String,
        /// Why, in words.
        reason: String,
    },
    /// An ssh setting that this transport cannot honour, and must not ignore.
    #[error("cannot honour the ssh setting {setting} of '{host}': {reason}")]
    Setting {
        /// The host as it was named.
        host: String,
        /// The keyword of ssh_config.
        setting: String,
        /// Why, in words.
        reason: String,
    },
    /// `ssh -G` did not answer.
    #[error("cannot read the ssh settings of '{host}': {reason}")]
    Settings {
        /// The host as it was named.
        host: String,
        /// Why, in words.
        reason: String,
    },
    /// A host name that is none.
    #[error("'{address}' is not a host: {reason}")]
    Address {
        /// What was given.
        address: String,
        /// Why, in words.
        reason: &'static str,
    },
    /// A program of this machine could not be run.
    #[error(transparent)]
    Program(#[from] program::Error),
    /// The command did not end in the ordinary way: the connection broke, or the end marker never came.
    #[error("lost {subject}: {reason}")]
    Lost {
        /// What was going on, and where.
        subject: String,
        /// Why, in words.
        reason: String,
    },
    /// The command was killed.
    #[error("{subject} was killed by signal {signal}{}", or_ended(*status))]
    Killed {
        /// The command and the host.
        subject: String,
        /// The signal's name without `SIG`.
        signal: String,
        /// The status from which a signal was concluded: a shell reports one as 128 and its number, which a program may
        /// also end with by itself.
        status: Option<u8>,
    },
    /// The command, or the verb as a whole, took longer than it may.
    #[error("{subject} did not finish within {}", words(*limit))]
    Deadline {
        /// The command and the host.
        subject: String,
        /// How long it was given.
        limit: Duration,
    },
    /// The command ended with a status other than 0.
    #[error("'{command}' on '{host}' failed with status {status}{}", after_colon(.stderr))]
    Remote {
        /// The host as it was named.
        host: String,
        /// The program that ran.
        command: String,
        /// Its status.
        status: u8,
        /// The last line that it wrote to standard error.
        stderr: String,
    },
    /// The host does not let the login user become another one.
    #[error("cannot run {subject} as '{user}'{}", after_colon(.reason))]
    Denied {
        /// The command and the host.
        subject: String,
        /// The user it was to run as.
        user: String,
        /// What sudo said.
        reason: String,
    },
    /// The host would not connect us to one of its sockets.
    #[error("cannot connect to '{target}' on '{host}': {reason}")]
    Forward {
        /// The host as it was named.
        host: String,
        /// The socket or the address.
        target: String,
        /// Why, in words.
        reason: String,
    },
    /// An argument that no Unix program can get.
    #[error("argument '{argument}' holds a NUL byte")]
    NulInArgument {
        /// The argument, the byte written as `\0`.
        argument: String,
    },
    /// A command line that does not fit into one packet.
    #[error("the command line of {subject} is too long for ssh ({length} bytes)")]
    TooLong {
        /// The command and the host.
        subject: String,
        /// Its length with all quoting.
        length: usize,
    },
    /// Our side could not take the output.
    #[error("cannot write the output of {subject}")]
    Sink {
        /// The command and the host.
        subject: String,
        /// Why.
        source: io::Error,
    },
    /// Our side could not get the input.
    #[error("cannot read the input of {subject}")]
    Source {
        /// The command and the host.
        subject: String,
        /// Why.
        source: io::Error,
    },
}

/// What is wrong with a host key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostKeyProblem {
    /// No file knows the host.
    #[error("it is not known ({fingerprint}, {key_type})")]
    Unknown {
        /// `SHA256:...`, as ssh-keygen prints it.
        fingerprint: String,
        /// The type, as it stands in a `known_hosts` file.
        key_type: String,
    },
    /// A file knows another one of the same type.
    #[error("it has changed: {fingerprint} ({key_type}) is not the key in {}:{line}", file.display())]
    Changed {
        /// `SHA256:...`, as ssh-keygen prints it.
        fingerprint: String,
        /// The type, as it stands in a `known_hosts` file.
        key_type: String,
        /// The file with the other key.
        file: PathBuf,
        /// The line there.
        line: usize,
    },
    /// A file says that this key must never be trusted again.
    #[error("{fingerprint} is revoked in {}:{line}", file.display())]
    Revoked {
        /// `SHA256:...`, as ssh-keygen prints it.
        fingerprint: String,
        /// The file that revokes it.
        file: PathBuf,
        /// The line there.
        line: usize,
    },
    /// An RSA key shorter than ssh's settings allow.
    #[error("it has {bits} bits, and RequiredRSASize is {shortest}")]
    Short {
        /// Its length.
        bits: usize,
        /// The shortest that is allowed.
        shortest: usize,
    },
}

impl Failure for Error {
    fn status(&self) -> Status {
        match self {
            Error::Connect { .. }
            | Error::Handshake { .. }
            | Error::Forward { .. }
            | Error::Remote { .. }
            | Error::Killed { .. } => Status::Unavailable,
            Error::HostKey { .. } | Error::Login { .. } | Error::Denied { .. } => {
                Status::NotAllowed
            }
            Error::Setting { .. } | Error::Settings { .. } => Status::BadConfig,
            Error::Address { .. } | Error::NulInArgument { .. } | Error::TooLong { .. } => {
                Status::Usage
            }
            Error::Lost { .. } => Status::Io,
            Error::Deadline { .. } => Status::TryAgain,
            Error::Program(error) => error.status(),
            Error::Sink { source, .. } | Error::Source { source, .. } => Status::of_io(source),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::Connect { host, .. } => Some(format!(
                "is it up, and is its address right? try: ssh {host}"
            )),
            Error::HostKey {
                known_as,
                address,
                problem,
                ..
            } => Some(accept(known_as, address, problem)),
            Error::Login { host, .. } => {
                Some(format!("see which key the host wants: ssh -v {host}"))
            }
            Error::Setting { .. } => {
                Some("reach the host through OpenSSH's own client: --ssh-command ssh".to_owned())
            }
            Error::Denied { user, .. } if user == "root" => {
                Some("log in as root, or let sudo do it".to_owned())
            }
            Error::Denied { user, .. } => Some(format!(
                "log in as root, or let sudo run commands as '{user}'"
            )),
            Error::Program(error) => error.hint(),
            _ => None,
        }
    }
}

/// How to accept a host key, by someone who has checked it.
fn accept(known_as: &str, (host, port): &(String, u16), problem: &HostKeyProblem) -> String {
    let scan = format!("ssh-keyscan -p {port} {host}");
    match problem {
        HostKeyProblem::Unknown { .. } => {
            format!("if the fingerprint is right: {scan} >> ~/.ssh/known_hosts")
        }
        HostKeyProblem::Changed { file, .. } => format!(
            "if the host has a new key: ssh-keygen -R '{known_as}' -f '{file}', then {scan} >> '{file}'",
            file = file.display()
        ),
        HostKeyProblem::Revoked { .. } | HostKeyProblem::Short { .. } => {
            "the host has to get another key".to_owned()
        }
    }
}

/// An error of the operating system as part of a message: `connection refused`, without the number.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if !text[1..].starts_with(char::is_uppercase) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}

fn after_colon(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(": {text}")
    }
}

fn or_ended(status: Option<u8>) -> String {
    status.map_or_else(String::new, |status| {
        format!(", or ended with status {status}")
    })
}

fn words(duration: Duration) -> String {
    match duration.as_millis() {
        millis if millis % 1000 == 0 => format!("{}s", millis / 1000),
        millis => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_errors_read_like_the_rest_of_a_message() {
        assert_eq!(
            reason(&io::Error::from_raw_os_error(111)),
            "connection refused"
        );
        assert_eq!(reason(&io::Error::other("EOF")), "EOF");
    }
}
