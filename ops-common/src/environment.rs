//! The variables that the tools obey, read in this one place. None of them can say yes to a question.

use std::ffi::OsString;
use std::path::PathBuf;

/// The host named by `OPS_HOST`.
#[must_use]
pub fn host() -> Option<String> {
    text("OPS_HOST")
}

/// Whether `NO_COLOR` asks for text without colours.
#[must_use]
pub fn no_color() -> bool {
    raw("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Whether the terminal can show colours at all.
#[must_use]
pub fn dumb_terminal() -> bool {
    raw("TERM").is_none_or(|value| value == "dumb")
}

/// The folder of the user's configuration: `$XDG_CONFIG_HOME`, else `~/.config`.
#[must_use]
pub fn config_home() -> Option<PathBuf> {
    let named = raw("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    named.or_else(|| home().map(|home| home.join(".config")))
}

/// The user's home folder.
#[must_use]
pub fn home() -> Option<PathBuf> {
    std::env::home_dir().filter(|home| !home.as_os_str().is_empty())
}

/// The socket of the running SSH agent.
#[must_use]
pub fn agent_socket() -> Option<PathBuf> {
    raw("SSH_AUTH_SOCK")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// A variable that a path in ssh's configuration names, as `${NAME}`.
#[must_use]
pub(crate) fn of_ssh(name: &str) -> Option<String> {
    raw(name)?.into_string().ok()
}

/// Where programs are looked for: `PATH`, else where NixOS and others keep them.
#[must_use]
pub fn search_path() -> OsString {
    const USUAL: &str = "/run/current-system/sw/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";
    raw("PATH")
        .filter(|path| !path.is_empty())
        .unwrap_or_else(|| USUAL.into())
}

fn text(name: &str) -> Option<String> {
    raw(name)
        .and_then(|value| value.into_string().ok())
        .filter(|value| !value.is_empty())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment for all tools"
)]
fn raw(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}
