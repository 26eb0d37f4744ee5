//! Asking a person for a secret, on the terminal and nowhere else.

use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Write},
    os::fd::AsFd,
};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

/// A secret that does not show in messages.
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Asks on the controlling terminal, without showing what is typed. Standard input and output stay untouched: they are data.
pub(super) fn ask(question: &str) -> io::Result<Secret> {
    let terminal = File::options().read(true).write(true).open("/dev/tty");
    let terminal = terminal.map_err(|_| io::Error::other("there is no terminal to ask on"))?;
    (&terminal).write_all(question.as_bytes())?;
    let silence = Silence::over(&terminal)?;
    let mut line = String::new();
    let result = BufReader::new(&terminal).read_line(&mut line);
    drop(silence);
    (&terminal).write_all(b"\n")?;
    result?;
    Ok(Secret(line.trim_end_matches('\n').to_owned()))
}

/// A terminal that does not echo, until this is dropped.
struct Silence<'a> {
    terminal: &'a File,
    before: rustix::termios::Termios,
}

impl<'a> Silence<'a> {
    fn over(terminal: &'a File) -> io::Result<Silence<'a>> {
        let before = tcgetattr(terminal.as_fd())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal.as_fd(), OptionalActions::Flush, &silent)?;
        Ok(Silence { terminal, before })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal.as_fd(), OptionalActions::Flush, &self.before);
    }
}
