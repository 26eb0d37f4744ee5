//! Questions to a person, on the terminal of the process and nowhere else.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write as _};

use age::secrecy::SecretString;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// The terminal, as age's plugins and encrypted keys ask for it.
#[derive(Clone, Default)]
pub struct Terminal;

fn terminal() -> Option<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/tty")
        .ok()
}

/// Asks for a secret, without showing what is typed. Nothing without a terminal.
#[must_use]
pub fn secret(question: &str) -> Option<Zeroizing<String>> {
    let tty = terminal()?;
    let before = tcgetattr(&tty).ok()?;
    let mut quiet = before.clone();
    quiet.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&tty, OptionalActions::Flush, &quiet).ok()?;
    let restore = before.clone();
    let guard = ops_common::interrupt::guard(move || {
        if let Some(tty) = terminal() {
            let _ = tcsetattr(&tty, OptionalActions::Now, &restore);
        }
    });
    let answer = ask(&tty, question);
    let _ = tcsetattr(&tty, OptionalActions::Now, &before);
    drop(guard);
    drop((&tty).write_all(b"\n"));
    answer
}

/// Asks for a line. Nothing without a terminal.
#[must_use]
pub fn line(question: &str) -> Option<Zeroizing<String>> {
    ask(&terminal()?, question)
}

fn ask(mut tty: &File, question: &str) -> Option<Zeroizing<String>> {
    tty.write_all(format!("{question}: ").as_bytes()).ok()?;
    let mut answer = Zeroizing::new(String::new());
    BufReader::new(tty)
        .read_line(&mut answer)
        .ok()
        .filter(|count| *count > 0)?;
    let length = answer.trim_end_matches(['\n', '\r']).len();
    answer.truncate(length);
    Some(answer)
}

impl age::Callbacks for Terminal {
    fn display_message(&self, message: &str) {
        if let Some(mut tty) = terminal() {
            drop(writeln!(tty, "{message}"));
        }
    }

    fn confirm(&self, message: &str, yes: &str, no: Option<&str>) -> Option<bool> {
        let answer = line(&format!(
            "{message} (y for '{yes}', n for '{}')",
            no.unwrap_or("no")
        ))?;
        Some(answer.trim().eq_ignore_ascii_case("y"))
    }

    fn request_public_string(&self, description: &str) -> Option<String> {
        line(description).map(|answer| answer.to_string())
    }

    fn request_passphrase(&self, description: &str) -> Option<SecretString> {
        secret(description).map(|answer| SecretString::from(answer.to_string()))
    }
}
