//! Running the programs that the lab is made with: `ip`, `mount`, `systemd-nspawn` and the like.

#![expect(
    clippy::disallowed_methods,
    reason = "the lab uses nothing of ops-common, on purpose"
)]

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

/// What went wrong, in words that name the object.
#[derive(Debug)]
pub struct Error(String);

impl Error {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// The result of what the lab does.
pub type Result<T> = std::result::Result<T, Error>;

/// Names the attempt in an I/O error.
pub(crate) trait During<T> {
    fn during(self, attempt: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: std::fmt::Display> During<T> for std::result::Result<T, E> {
    fn during(self, attempt: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|cause| Error(format!("cannot {}: {cause}", attempt())))
    }
}

/// A program to be run.
pub(crate) fn program(name: impl AsRef<OsStr>) -> Command {
    Command::new(name)
}

/// Runs a program; anything but success is an error with what it said.
pub(crate) fn run<I: AsRef<OsStr>>(name: &str, args: impl IntoIterator<Item = I>) -> Result<()> {
    feed(name, args, "")
}

/// Runs a program with `input` on its standard input.
pub(crate) fn feed<I: AsRef<OsStr>>(
    name: &str,
    args: impl IntoIterator<Item = I>,
    input: &str,
) -> Result<()> {
    let mut command = program(name);
    command
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().during(|| format!("run '{name}'"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input shows in its status.
        stdin.write_all(input.as_bytes()).ok();
    }
    let output = child
        .wait_with_output()
        .during(|| format!("wait for '{name}'"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error(format!(
        "{command:?}: {}: {}",
        output.status,
        said.trim()
    )))
}

/// Whether `name` is a program on PATH.
pub(crate) fn exists(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|dir| dir.join(name).is_file())
}

/// An environment variable, when it is set to something.
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Writes a file, and the folders above it.
pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).during(|| format!("make '{}'", parent.display()))?;
    }
    fs::write(path, content).during(|| format!("write '{}'", path.display()))
}

/// Opens a file that is there for its lock only.
pub(crate) fn lock_file(path: &Path) -> Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(false);
    options
        .open(path)
        .during(|| format!("open '{}'", path.display()))
}

/// Reads a file as text.
pub(crate) fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).during(|| format!("read '{}'", path.display()))
}
