//! When a remote command counts as finished.
//!
//! Status 0 alone proves little: libssh2 reports it for a command that was killed by a signal and for a connection that
//! died. A command has finished only if its channel was closed by the other side in the ordinary way, no signal was
//! reported, and the [wrapper](super::command) got as far as printing its end marker.

use std::fmt;

use super::{Error, external, lane::Closing};

/// What a command that ran to its end left behind. The status may be anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Its exit status.
    pub status: u8,
    /// Its standard output; empty where it was streamed.
    pub stdout: Vec<u8>,
    /// The last 64 KiB of its standard error.
    pub stderr: Vec<u8>,
}

impl Finished {
    /// Whether the status is 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status == 0
    }

    /// The last non-empty line of standard error, for messages.
    #[must_use]
    pub fn complaint(&self) -> String {
        complaint(&self.stderr)
    }
}

/// The last non-empty line of a program's standard error.
pub(super) fn complaint(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    text.lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or_default()
        .to_owned()
}

/// A random word that the markers of one command carry, so that no output can be taken for them.
pub(super) struct Token(String);

impl Token {
    pub(super) fn random() -> Token {
        let mut bytes = [0; 8];
        // Cannot fail: Linux has the call, and eight bytes never block once the machine is up.
        let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
        debug_assert_eq!(filled, Ok(bytes.len()));
        Token(format!("{:016x}", u64::from_ne_bytes(bytes)))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Cuts `RS TOKEN WHAT...\n` out of `stderr` and returns what follows WHAT.
    fn take(&self, what: &str, stderr: &mut Vec<u8>) -> Option<String> {
        let start = format!("\x1e{} {what}", self.0);
        let at = stderr
            .windows(start.len())
            .position(|window| window == start.as_bytes())?;
        let length = stderr[at..].iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = stderr.drain(at..=at + length).collect();
        Some(
            String::from_utf8_lossy(&line[start.len()..length])
                .trim()
                .to_owned(),
        )
    }
}

/// Who was asked to run what: the object of every message about it.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) host: String,
    pub(super) command: String,
    /// The user of the host that the command was to run as.
    pub(super) user: Option<String>,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' on '{}'", self.command, self.host)
    }
}

/// Judges the end of a wrapped command.
pub(super) fn judge(
    subject: &Subject,
    token: &Token,
    closing: &Closing,
    stdout: Vec<u8>,
    mut stderr: Vec<u8>,
) -> Result<Finished, Error> {
    let got_user = token.take("user", &mut stderr).is_some();
    let end = token
        .take("end", &mut stderr)
        .and_then(|status| status.parse::<u8>().ok());
    if let Some(signal) = &closing.signal {
        return Err(killed(subject, signal, None));
    }
    let Some(status) = end.filter(|status| closing.status == Some(*status)) else {
        return Err(unfinished(subject, closing, &stdout, &stderr));
    };
    if let Some(user) = subject.user.as_ref().filter(|_| !got_user) {
        return Err(Error::Denied {
            subject: subject.to_string(),
            user: user.clone(),
            reason: complaint(&stderr),
        });
    }
    finished(subject, status, stdout, stderr)
}

/// Judges the end of a command that ran without the wrapper, as a child of ours.
pub(super) fn judge_child(
    subject: &Subject,
    closing: &Closing,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
) -> Result<Finished, Error> {
    match (&closing.signal, closing.status) {
        (None, Some(status)) => finished(subject, status, stdout, stderr),
        (Some(signal), _) => Err(killed(subject, signal, None)),
        (None, None) => Err(unfinished(subject, closing, &stdout, &stderr)),
    }
}

/// A shell reports a child killed by signal n as 128 + n, and nobody can ask it whether that was the child's own status. It is
/// a failure in both cases, and the message names both.
fn finished(
    subject: &Subject,
    status: u8,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
) -> Result<Finished, Error> {
    match status.checked_sub(128) {
        Some(number @ 1..=31) => Err(killed(subject, signal_name(number), Some(status))),
        _ => Ok(Finished {
            status,
            stdout,
            stderr,
        }),
    }
}

fn killed(subject: &Subject, signal: &str, status: Option<u8>) -> Error {
    Error::Killed {
        subject: subject.to_string(),
        signal: signal.trim_start_matches("SIG").to_owned(),
        status,
    }
}

/// A login shell that is none also ends without a marker. Then what it said is the reason: nologin says it on standard
/// output.
fn unfinished(subject: &Subject, closing: &Closing, stdout: &[u8], stderr: &[u8]) -> Error {
    let said = [stderr, stdout]
        .map(complaint)
        .into_iter()
        .find(|line| !line.is_empty());
    if let Some(error) = said
        .as_ref()
        .filter(|_| closing.status == Some(255))
        .and_then(|said| external::failure(&subject.host, said))
    {
        return error;
    }
    let reason = match (said.filter(|line| line.len() < 200), closing.status) {
        (Some(said), _) => said,
        (None, Some(status)) if status != 0 => format!("the shell ended with status {status}"),
        _ => "it ended without a sign of having finished".to_owned(),
    };
    Error::Lost {
        subject: subject.to_string(),
        reason,
    }
}

/// The name of a signal's number, without `SIG`.
pub(super) fn signal_name(number: u8) -> &'static str {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
        "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
        "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    usize::from(number)
        .checked_sub(1)
        .and_then(|index| NAMES.get(index))
        .copied()
        .unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject() -> Subject {
        Subject {
            host: "db-1".into(),
            command: "pg_dump".into(),
            user: None,
        }
    }

    fn closing(status: Option<u8>, signal: Option<&str>) -> Closing {
        Closing {
            status,
            signal: signal.map(str::to_owned),
        }
    }

    fn token() -> Token {
        Token("0123456789abcdef".into())
    }

    #[test]
    fn the_marker_is_cut_out_wherever_it_stands() {
        let stderr = b"warning\n\x1e0123456789abcdef end 3\nlate\n".to_vec();
        let finished = judge(
            &subject(),
            &token(),
            &closing(Some(3), None),
            vec![],
            stderr,
        )
        .unwrap();
        assert_eq!(
            (finished.status, finished.stderr.as_slice()),
            (3, b"warning\nlate\n".as_slice())
        );
    }

    #[test]
    fn status_zero_is_not_enough() {
        let marker = b"\x1e0123456789abcdef end 0\n".to_vec();
        let other = b"\x1efedcba9876543210 end 0\n".to_vec();
        let judge = |closing, stderr| judge(&subject(), &token(), &closing, vec![], stderr);
        assert!(judge(closing(Some(0), None), marker.clone()).is_ok());
        assert!(matches!(
            judge(closing(Some(0), None), vec![]),
            Err(Error::Lost { .. })
        ));
        assert!(matches!(
            judge(closing(Some(0), None), other),
            Err(Error::Lost { .. })
        ));
        assert!(matches!(
            judge(closing(None, None), marker.clone()),
            Err(Error::Lost { .. })
        ));
        assert!(
            matches!(judge(closing(Some(0), Some("KILL")), marker), Err(Error::Killed { signal, .. }) if signal == "KILL")
        );
    }

    #[test]
    fn a_shells_128_plus_n_is_a_signal() {
        let stderr = b"\x1e0123456789abcdef end 137\n".to_vec();
        let error = judge(
            &subject(),
            &token(),
            &closing(Some(137), None),
            vec![],
            stderr,
        )
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "'pg_dump' on 'db-1' was killed by signal KILL, or ended with status 137"
        );
    }

    #[test]
    fn a_refusal_of_sudo_is_not_the_commands() {
        let subject = Subject {
            user: Some("postgres".into()),
            ..subject()
        };
        let refused = b"sudo: a password is required\n\x1e0123456789abcdef end 1\n".to_vec();
        let failed = b"\x1e0123456789abcdef user\noops\n\x1e0123456789abcdef end 1\n".to_vec();
        let judge = |stderr| judge(&subject, &token(), &closing(Some(1), None), vec![], stderr);
        assert!(
            matches!(judge(refused), Err(Error::Denied { reason, .. }) if reason == "sudo: a password is required")
        );
        assert_eq!(judge(failed).unwrap().stderr, b"oops\n");
    }
}
