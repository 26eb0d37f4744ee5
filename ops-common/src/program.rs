//! Local programs: found with a clear error, run with what they say kept, and every bad end made an error that names them.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::environment;
use crate::exit::{Failure, Status};
use crate::interrupt;

/// A program with its arguments, ready to run.
#[derive(Debug)]
pub struct Program {
    name: String,
    command: Command,
    stdin: Option<Vec<u8>>,
}

/// What a program that ended by itself has said.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: u8,
    /// Its stdout.
    pub stdout: Vec<u8>,
    /// Its stderr.
    pub stderr: Vec<u8>,
}

/// An attempt to use a program that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not on PATH.
    #[error("cannot find the program '{name}'")]
    Find {
        /// The program.
        name: String,
        /// Where it was looked for.
        source: which::Error,
    },
    /// It could not be started or talked to.
    #[error("cannot run '{name}'")]
    Run {
        /// The program.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A signal ended it.
    #[error("'{name}' was killed by signal {signal}")]
    Killed {
        /// The program.
        name: String,
        /// The signal's number.
        signal: i32,
    },
    /// It ended with a status other than 0.
    #[error("'{name}' failed with status {status}{}", said(stderr))]
    Failed {
        /// The program.
        name: String,
        /// Its status.
        status: u8,
        /// What it said last.
        stderr: String,
    },
}

fn said(stderr: &str) -> String {
    let stderr = stderr.trim_end();
    if stderr.is_empty() {
        String::new()
    } else {
        format!(": {stderr}")
    }
}

impl Failure for Error {
    fn status(&self) -> Status {
        Status::Unavailable
    }

    fn hint(&self) -> Option<String> {
        let Self::Find { name, .. } = self else {
            return None;
        };
        Some(format!("install '{name}', or put its folder on PATH"))
    }
}

impl Program {
    /// Finds a program on PATH, or takes a name with a slash as its path.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the wrapper that others shall use"
    )]
    pub fn find(name: impl AsRef<OsStr>) -> Result<Self, Error> {
        let shown = Path::new(name.as_ref()).display().to_string();
        let path = look_up(name.as_ref()).map_err(|source| Error::Find {
            name: shown.clone(),
            source,
        })?;
        Ok(Self {
            name: shown,
            command: Command::new(path),
            stdin: None,
        })
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable of the program's environment. Never a secret.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets the folder that it runs in.
    #[must_use]
    pub fn folder(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Gives it these bytes on stdin; without, its stdin is empty.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// The command itself, for what this wrapper has no word for.
    pub fn command(&mut self) -> &mut Command {
        &mut self.command
    }

    /// Starts it with stdin, stdout and stderr as set on [`Program::command`].
    pub fn spawn(&mut self) -> Result<Child, Error> {
        // Whoever ends it with us registers that when it runs: a signal must not come between.
        interrupt::listen();
        self.command.spawn().map_err(|source| Error::Run {
            name: self.name.clone(),
            source,
        })
    }

    /// Runs it to its end, whatever the status, and keeps what it said.
    pub fn run(mut self) -> Result<Ended, Error> {
        let input = self.stdin.take();
        self.command.stdin(if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        });
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.spawn()?;
        let writer = input.zip(child.stdin.take()).map(|(input, mut stdin)| {
            // A program may end without reading all; its status then says whether that was right.
            std::thread::spawn(move || drop(stdin.write_all(&input)))
        });
        let output = child.wait_with_output().map_err(|source| Error::Run {
            name: self.name.clone(),
            source,
        })?;
        if let Some(writer) = writer {
            drop(writer.join());
        }
        let status = code(&self.name, output.status)?;
        Ok(Ended {
            status,
            stdout: output.stdout,
            stderr: output.stderr,
        })
    }

    /// Runs it to its end; a status other than 0 is an error with what it said.
    pub fn output(self) -> Result<Vec<u8>, Error> {
        let name = self.name.clone();
        let ended = self.run()?;
        if ended.status == 0 {
            return Ok(ended.stdout);
        }
        let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
        Err(Error::Failed {
            name,
            status: ended.status,
            stderr,
        })
    }

    /// Its name as it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

fn look_up(name: &OsStr) -> Result<PathBuf, which::Error> {
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    which::which_in(name, Some(environment::search_path()), here)
}

/// Splits a command line of the user into an argument vector as a shell would; no shell runs it.
#[must_use]
pub fn split(line: &str) -> Option<Vec<OsString>> {
    let words = shell_words::split(line).ok()?;
    (!words.is_empty()).then(|| words.into_iter().map(OsString::from).collect())
}

/// The status of a program that ended by itself; the end by a signal is an error.
pub fn code(name: &str, status: ExitStatus) -> Result<u8, Error> {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ok(u8::try_from(code).unwrap_or(u8::MAX)),
        (None, signal) => Err(Error::Killed {
            name: name.to_owned(),
            signal: signal.unwrap_or(0),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        Program::find("sh").unwrap().arg("-c").arg(script)
    }

    #[test]
    fn what_it_says_is_kept_and_a_bad_status_names_it() {
        let ended = shell("cat; echo err >&2; exit 3")
            .stdin("in")
            .run()
            .unwrap();
        assert_eq!(
            (ended.status, ended.stdout, ended.stderr),
            (3, b"in".to_vec(), b"err\n".to_vec())
        );
        let error = shell("echo no >&2; exit 4").output().unwrap_err();
        assert_eq!(error.to_string(), "'sh' failed with status 4: no");
    }

    #[test]
    fn a_signal_is_never_a_status() {
        let error = shell("kill -9 $$").run().unwrap_err();
        assert_eq!(error.to_string(), "'sh' was killed by signal 9");
    }

    #[test]
    fn a_missing_program_is_named_with_a_hint() {
        let error = Program::find("no-such-program").unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot find the program 'no-such-program'"
        );
        assert_eq!(error.status(), Status::Unavailable);
        assert!(error.hint().unwrap().contains("no-such-program"));
    }

    #[test]
    fn a_program_that_does_not_read_its_input_is_fine() {
        let input = vec![0; 1 << 20];
        assert_eq!(shell("exit 0").stdin(input).run().unwrap().status, 0);
    }
}
