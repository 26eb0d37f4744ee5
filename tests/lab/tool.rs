//! Running the real tools, and other programs beside them, in a clean environment.

#![expect(
    clippy::disallowed_methods,
    reason = "the lab uses nothing of ops-common, on purpose"
)]

use std::collections::HashSet;
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use crate::outer::{self, RUN};
use crate::program::variable;
use crate::ran::Ran;
pub use crate::running::Running;
use crate::terminal;

const TIMEOUT: Duration = Duration::from_mins(2);

/// One of the five tools, as it was built.
#[must_use]
pub fn tool(name: &str) -> Tool {
    command(bin_dir().join(name))
}

/// Any other program.
#[must_use]
pub fn command(program: impl Into<OsString>) -> Tool {
    Tool {
        words: vec![program.into()],
        above: Vec::new(),
        settings: Vec::new(),
        stdin: None,
        folder: None,
        timeout: TIMEOUT,
        through: None,
        screen: None,
    }
}

/// The folder of the built tools: `OPS_BIN_DIR`, or where cargo has put them when asked (once in a process).
pub fn bin_dir() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| variable("OPS_BIN_DIR").map_or_else(build, PathBuf::from))
}

fn build() -> PathBuf {
    let cargo = variable("CARGO").unwrap_or_else(|| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["build", "--workspace", "--bins", "--message-format=json"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo can be run");
    assert!(output.status.success(), "the tools do not build");
    let folders: HashSet<_> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| {
            Some(
                Path::new(message.get("executable")?.as_str()?)
                    .parent()?
                    .to_owned(),
            )
        })
        .collect();
    folders
        .into_iter()
        .next()
        .expect("cargo names what it has built")
}

/// A program about to be run: with nothing of the environment of the tests but what is given here.
#[derive(Debug, Clone)]
pub struct Tool {
    pub(crate) words: Vec<OsString>,
    /// The program that it runs under, with its arguments.
    above: Vec<OsString>,
    settings: Vec<(OsString, OsString)>,
    pub(crate) stdin: Option<Vec<u8>>,
    folder: Option<PathBuf>,
    pub(crate) timeout: Duration,
    through: Option<String>,
    pub(crate) screen: Option<(u16, u16)>,
}

impl Tool {
    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.words.push(arg.as_ref().to_owned());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.words
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// An environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.settings.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// What it reads on its standard input; without this, nothing.
    #[must_use]
    pub fn stdin(mut self, content: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(content.into());
        self
    }

    /// The folder it runs in.
    #[must_use]
    pub fn dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// How long it may take (two minutes, if not said otherwise): then it is killed and the test fails.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Runs it through a shell command in which `"$@"` stands for it: `exec "$@" <&-`, `exec "$@" > /dev/full`.
    #[must_use]
    pub fn through(mut self, shell: &str) -> Self {
        self.through = Some(shell.to_owned());
        self
    }

    /// Runs it under another program, which gets these arguments before its command line.
    #[must_use]
    pub fn under<A: AsRef<OsStr>>(
        mut self,
        program: &str,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        self.above = vec![program.into()];
        self.above
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Runs it on a terminal of this size: all it shows is in `stdout` then.
    #[must_use]
    pub fn terminal(mut self, columns: u16, rows: u16) -> Self {
        self.screen = Some((columns, rows));
        self
    }

    /// Runs it to its end.
    #[must_use = "a test that does not look at the end of a program proves nothing"]
    #[track_caller]
    pub fn run(self) -> Ran {
        self.spawn().finish()
    }

    /// Starts it.
    #[must_use]
    #[track_caller]
    pub fn spawn(self) -> Running {
        Running::start(self)
    }

    /// The process to be, without its standard streams.
    pub(crate) fn prepare(&self) -> Command {
        let mut words = Vec::new();
        if self.screen.is_some() {
            words.extend(terminal::WRAPPER.map(OsString::from));
        }
        words.extend(self.above.iter().cloned());
        if let Some(shell) = &self.through {
            words.extend(["sh", "-c", shell, "sh"].map(OsString::from));
        }
        words.extend(self.words.iter().cloned());
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .env_clear()
            .envs(environment())
            .envs(self.settings.iter().cloned());
        if self.screen.is_some() {
            command.env("TERM", "xterm");
        }
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command
    }
}

impl std::fmt::Display for Tool {
    /// The command line, for messages and for shells that take it as it is.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words: Vec<_> = self
            .words
            .iter()
            .map(|word| word.to_string_lossy())
            .collect();
        f.write_str(&words.join(" "))
    }
}

/// The least that programs need: where programs are (the tools first, since they call each other), a home, a place
/// for temporary files, and settings that do not depend on who runs the tests.
fn environment() -> Vec<(&'static str, OsString)> {
    let home = if outer::id().is_some() {
        PathBuf::from(RUN).join("home")
    } else {
        crate::tree::cache().join("home")
    };
    std::fs::create_dir_all(&home).ok();
    let mut path = variable("OPS_BIN_DIR").map_or_else(String::new, |folder| folder + ":");
    path += "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    vec![
        ("PATH", path.into()),
        ("HOME", home.into()),
        ("TMPDIR", env::temp_dir().into()),
        ("LANG", "C.UTF-8".into()),
        ("TZ", "UTC".into()),
    ]
}
