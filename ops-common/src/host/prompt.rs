//! Asking a person for a secret, on the terminal and nowhere else.

use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Write},
    sync::Arc,
};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::interrupt;

/// A secret that does not show in messages.
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn new(text: String) -> Secret {
        Secret(text)
    }

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
    let terminal =
        Arc::new(terminal.map_err(|_| io::Error::other("there is no terminal to ask on"))?);
    // First the silence: who answers as soon as the question stands there must find it.
    let silence = Silence::over(&terminal)?;
    (&*terminal).write_all(question.as_bytes())?;
    let mut line = String::new();
    let result = BufReader::new(&*terminal).read_line(&mut line);
    drop(silence);
    (&*terminal).write_all(b"\n")?;
    result?;
    Ok(Secret(line.trim_end_matches('\n').to_owned()))
}

/// A terminal that does not echo, until this is dropped or a signal ends us.
struct Silence {
    terminal: Arc<File>,
    before: Termios,
    _guard: interrupt::Guard,
}

impl Silence {
    fn over(terminal: &Arc<File>) -> io::Result<Silence> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &silent)?;
        let guard = interrupt::guard({
            let (terminal, before) = (Arc::clone(terminal), before.clone());
            move || restore(&terminal, &before)
        });
        Ok(Silence {
            terminal: Arc::clone(terminal),
            before,
            _guard: guard,
        })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        restore(&self.terminal, &self.before);
    }
}

fn restore(terminal: &File, before: &Termios) {
    // A terminal that is gone needs no echo.
    let _ = tcsetattr(terminal, OptionalActions::Flush, before);
}
