//! What a run ends with: one table of statuses for all tools, and the trait that maps an error to it.

use std::cmp::Reverse;

/// How a run ended. The numbers keep clear of 101 (Rust panic), 124 to 127 (timeout, env, shell), 128+n (signals) and
/// 255 (ssh's own failure).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 0: done; or the answer is yes.
    Done,
    /// 1: the answer is no. Never "something broke".
    No,
    /// 2: wrong command line.
    Usage,
    /// 3: it could not be verified; a person is needed.
    Unknown,
    /// 65: the input is bad.
    BadInput,
    /// 69: a host, service or program is not there or not reachable.
    Unavailable,
    /// 70: a bug in the tool.
    Bug,
    /// 74: reading or writing failed.
    Io,
    /// 75: try again later.
    TryAgain,
    /// 77: not allowed.
    NotAllowed,
    /// 78: the configuration is wrong.
    BadConfig,
    /// 141: the reader of stdout left.
    ReaderLeft,
    /// The status of a child that the user asked to run, or of another table that the user asked for (`--format nagios`).
    Foreign(u8),
}

impl Status {
    /// The number that the process exits with.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::No => 1,
            Self::Usage => 2,
            Self::Unknown => 3,
            Self::BadInput => 65,
            Self::Unavailable => 69,
            Self::Bug => 70,
            Self::Io => 74,
            Self::TryAgain => 75,
            Self::NotAllowed => 77,
            Self::BadConfig => 78,
            Self::ReaderLeft => 141,
            Self::Foreign(code) => code,
        }
    }

    /// The one of several hosts' statuses that the run ends with: the worst, in the order 70 3 74 65 78 77 69 75 1 0.
    #[must_use]
    pub fn worst(statuses: impl IntoIterator<Item = Self>) -> Self {
        statuses
            .into_iter()
            .min_by_key(|status| status.rank())
            .unwrap_or(Self::Done)
    }

    /// The status for a failure to read or write: 77 where permission is what is missing, else 74.
    #[must_use]
    pub fn of_io(error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotAllowed
            }
            std::io::ErrorKind::BrokenPipe => Self::ReaderLeft,
            _ => Self::Io,
        }
    }

    fn rank(self) -> (u8, Reverse<u8>) {
        const ORDER: [Status; 12] = [
            Status::Usage,
            Status::ReaderLeft,
            Status::Bug,
            Status::Unknown,
            Status::Io,
            Status::BadInput,
            Status::BadConfig,
            Status::NotAllowed,
            Status::Unavailable,
            Status::TryAgain,
            Status::No,
            Status::Done,
        ];
        let place = ORDER.iter().position(|status| *status == self);
        // A foreign status stands before those of the table, the larger number first.
        (
            place.map_or(0, |place| u8::try_from(place + 1).unwrap_or(u8::MAX)),
            Reverse(self.code()),
        )
    }
}

impl From<Status> for std::process::ExitCode {
    fn from(status: Status) -> Self {
        status.code().into()
    }
}

/// An error that knows which status it ends the run with, and what the user can do about it.
pub trait Failure: std::error::Error {
    /// The status that this failure ends the run with.
    fn status(&self) -> Status;

    /// What to do about it, where there is something to do.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// The message of an error and its causes, joined with `: `. A cause that its parent already told is not told twice, and
/// the number of a system error helps nobody.
#[must_use]
pub fn describe(error: &dyn std::error::Error) -> String {
    let mut text = without_number(&error.to_string());
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = without_number(&error.to_string());
        if !text.ends_with(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        cause = error.source();
    }
    text
}

/// The text without the ` (os error N)` that the standard library ends system errors with.
fn without_number(text: &str) -> String {
    let Some((before, number)) = text.rsplit_once(" (os error ") else {
        return text.to_owned();
    };
    match number.strip_suffix(')') {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => before.to_owned(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_several_hosts() {
        assert_eq!(Status::worst([]), Status::Done);
        assert_eq!(Status::worst([Status::Done, Status::No]), Status::No);
        assert_eq!(
            Status::worst([Status::No, Status::TryAgain, Status::Unavailable]),
            Status::Unavailable
        );
        assert_eq!(
            Status::worst([Status::BadInput, Status::Io, Status::Unknown]),
            Status::Unknown
        );
        assert_eq!(Status::worst([Status::Unknown, Status::Bug]), Status::Bug);
    }

    #[test]
    fn system_errors_have_no_number() {
        let missing = std::io::Error::from_raw_os_error(2);
        assert_eq!(describe(&missing), "No such file or directory");
    }

    #[test]
    fn causes_are_joined_and_never_told_twice() {
        #[derive(Debug, thiserror::Error)]
        enum Error {
            #[error("cannot read '{0}'")]
            Read(&'static str, #[source] std::io::Error),
            #[error("cannot start")]
            Start(#[source] Box<Error>),
            #[error(transparent)]
            Same(Box<Error>),
        }
        let refused = || std::io::Error::other("refused");
        let read = Error::Start(Box::new(Error::Read("x", refused())));
        assert_eq!(describe(&read), "cannot start: cannot read 'x': refused");
        let same = Error::Same(Box::new(Error::Read("y", refused())));
        assert_eq!(describe(&same), "cannot read 'y': refused");
    }
}
