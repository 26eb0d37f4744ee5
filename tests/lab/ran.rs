//! How a program ended and what it said.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Output};
use std::time::Duration;

/// How a program ended and what it said.
#[derive(Debug, Clone)]
pub struct Ran {
    /// The command line, for messages.
    pub command: String,
    /// The exit status; 128 and the signal's number where a signal ended it, as a shell has it.
    pub status: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// All of its standard output; of a terminal, all that appeared there.
    pub stdout: Vec<u8>,
    /// All of its standard error.
    pub stderr: Vec<u8>,
    /// How long it took.
    pub took: Duration,
}

#[expect(
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "`expect` and `complains` are there for their assertion"
)]
impl Ran {
    pub(crate) fn new(command: String, output: Output, took: Duration) -> Self {
        let Output {
            status,
            stdout,
            stderr,
        } = output;
        Self {
            command,
            status: code(status),
            signal: status.signal(),
            stdout,
            stderr,
            took,
        }
    }

    /// Standard output as text.
    #[must_use]
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    #[must_use]
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Standard output as JSON lines.
    #[must_use]
    pub fn json(&self) -> Vec<serde_json::Value> {
        let parse = |line: &str| {
            serde_json::from_str(line)
                .unwrap_or_else(|cause| panic!("not JSON: {line:?}: {cause}\n{self}"))
        };
        self.out().lines().map(parse).collect()
    }

    /// Standard output as TSV: lines of fields.
    #[must_use]
    pub fn tsv(&self) -> Vec<Vec<String>> {
        self.out()
            .lines()
            .map(|line| line.split('\t').map(str::to_owned).collect())
            .collect()
    }

    /// Requires this status; shows all that was said otherwise.
    #[track_caller]
    pub fn expect(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// Requires standard error to contain `text`.
    #[track_caller]
    pub fn complains(self, text: &str) -> Self {
        assert!(self.err().contains(text), "stderr lacks {text:?}\n{self}");
        self
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            command,
            status,
            took,
            ..
        } = self;
        write!(
            f,
            "$ {command}\n[status {status} after {took:.1?}]\n{}",
            self.out()
        )?;
        write!(f, "[stderr]\n{}", self.err())
    }
}

fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
