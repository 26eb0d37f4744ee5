//! What to run on a host, and the little shell program that carries it there.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    os::unix::ffi::OsStrExt,
    time::Duration,
};

use super::{Error, ending::Token, quote};

/// A command to run on a host: an argument vector, quoted for you, with what goes to its standard input.
///
/// ```
/// use ops_common::host::Command;
///
/// let list = Command::new("psql").arg("-XAt").arg("-l").as_user("postgres");
/// assert_eq!(list.to_string(), "psql -XAt -l");
/// ```
#[derive(Clone)]
pub struct Command {
    pub(super) argv: Vec<OsString>,
    pub(super) stdin: Vec<u8>,
    pub(super) user: Option<String>,
    pub(super) deadline: Option<Duration>,
}

impl Command {
    /// Starts a command line with the program's name or path.
    #[must_use]
    pub fn new(program: impl AsRef<OsStr>) -> Command {
        Command {
            argv: vec![program.as_ref().to_owned()],
            stdin: Vec::new(),
            user: None,
            deadline: None,
        }
    }

    /// Runs a text of POSIX shell, `sh -c TEXT sh ARG...`: the way to ask many questions in one round trip.
    #[must_use]
    pub fn script<A: AsRef<OsStr>>(text: &str, args: &[A]) -> Command {
        Command::new("sh").arg("-c").arg(text).arg("sh").args(args)
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Command {
        self.argv.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Command {
        self.argv
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets what the command reads from its standard input; without it that is empty.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Command {
        self.stdin = bytes.into();
        self
    }

    /// Runs the command as this user of the host, in `/`. A root login changes to it by itself, any other asks `sudo -n`.
    #[must_use]
    pub fn as_user(mut self, user: &str) -> Command {
        self.user = Some(user.to_owned());
        self
    }

    /// Gives the command at most this long, within what the verb has left.
    #[must_use]
    pub fn deadline(mut self, after: Duration) -> Command {
        self.deadline = Some(after);
        self
    }

    /// The program, for messages: the whole line would drown them.
    pub(super) fn program(&self) -> String {
        self.argv[0].to_string_lossy().into_owned()
    }

    /// The argument vector of the shell program around this command.
    pub(super) fn wrapped(&self, token: &Token, sudo: Sudo) -> Vec<OsString> {
        let mut argv: Vec<OsString> = ["sh", "-c", WRAPPER, "sh"].map(OsString::from).to_vec();
        argv.push(token.as_str().into());
        argv.push(match (&self.user, sudo) {
            (Some(user), _) => user.into(),
            (None, Sudo::No) => OsString::new(),
            (None, Sudo::Free | Sudo::Password) => "root".into(),
        });
        argv.push(if sudo == Sudo::Password {
            "p".into()
        } else {
            OsString::new()
        });
        argv.extend(self.argv.iter().cloned());
        argv
    }

    /// The command line for a login shell on the other side.
    pub(super) fn line(&self, token: &Token, sudo: Sudo) -> Result<Vec<u8>, Error> {
        let argv = self.wrapped(token, sudo);
        let words = quote::quote_all(argv.iter().map(|arg| arg.as_bytes()))?;
        Ok([b"exec ".as_slice(), &words].concat())
    }
}

/// How commands become root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sudo {
    /// They stay what the login user is.
    No,
    /// sudo asks nothing.
    Free,
    /// sudo wants a password, which is the first line of standard input.
    Password,
}

/// Shows the command line as a person would type it; its standard input is not shown, since it may be secret.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.argv.iter().map(|arg| arg.to_string_lossy()).collect();
        f.write_str(&shell_words::join(&words))
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("line", &self.to_string())
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Runs `"$@"`, as another user where one is named, and says on stderr how it ended, after a token that nothing else
/// knows: `RS TOKEN end STATUS`. A stream that was cut has no such line, and neither has a shell that was killed.
///
/// `RS TOKEN user` says that the change of user succeeded, so that a refusal of sudo is not taken for one of the command.
/// A password for sudo comes as the first line of standard input, and only the shell's own `read` and `printf` see it;
/// `sudo -v` then opens the door for the `sudo -n` of the same shell.
const WRAPPER: &str = r#"unset t u p i s; t=$1 u=$2 p=$3; shift 3
[ -z "$p" ] || IFS= read -r p
if [ -z "$u" ]; then "$@"
elif i=$(id -u) && [ "$i" = "$(id -u -- "$u")" ]; then printf '\036%s user\n' "$t" >&2; cd / && "$@"
else
  set -- sh -c 'printf "\036%s user\n" "$1" >&2; shift; exec "$@"' sh "$t" "$@"
  if [ "$i" = 0 ]; then cd / && setpriv --reuid="$u" --regid="$(id -g -- "$u")" --init-groups -- "$@"
  else { [ -z "$p" ] || printf '%s\n' "$p" | sudo -S -p '' -v; } && cd / && sudo -n -u "$u" -- "$@"; fi
fi
s=$?; printf '\036%s end %d\n' "$t" "$s" >&2; exit "$s""#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_one_exec_with_its_arguments() {
        let command = Command::script("cat \"$1\"", &["a b"]);
        assert_eq!(command.to_string(), r#"sh -c 'cat "$1"' sh 'a b'"#);
    }

    #[test]
    fn standard_input_never_shows() {
        let command = Command::new("cat").stdin("hunter2");
        assert!(!format!("{command:?} {command}").contains("hunter2"));
    }
}
