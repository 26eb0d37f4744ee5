//! What sudo wants: asked once for a host, then remembered.

use std::{
    fs::File,
    io::{self, Read},
    sync::{Mutex, PoisonError},
};

use super::{
    Command, Error, Finished,
    command::Sudo,
    prompt::{self, Secret},
};

/// How to become root on a host, once that is known.
#[derive(Default)]
pub(super) struct Door {
    key: Mutex<Option<Key>>,
}

struct Key {
    mode: Sudo,
    password: Option<Secret>,
}

impl Door {
    /// The way through, and what to send ahead of a command's input. `ask` runs a command as the login user.
    pub(super) fn open(
        &self,
        host: &str,
        password_fd: Option<i32>,
        ask: impl FnOnce(&Command) -> Result<Finished, Error>,
    ) -> Result<(Sudo, Vec<u8>), Error> {
        // Held while a person types, so that they are asked once and not by every thread.
        let mut key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        let key = match &*key {
            Some(key) => key,
            None => key.insert(find(host, password_fd, ask)?),
        };
        let line = key
            .password
            .as_ref()
            .map(|password| format!("{}\n", password.expose()));
        Ok((key.mode, line.unwrap_or_default().into_bytes()))
    }
}

fn find(
    host: &str,
    password_fd: Option<i32>,
    ask: impl FnOnce(&Command) -> Result<Finished, Error>,
) -> Result<Key, Error> {
    let question = Command::script("[ \"$(id -u)\" = 0 ] || sudo -n true", &[""; 0]);
    let answer = ask(&question)?;
    if answer.success() {
        return Ok(Key {
            mode: Sudo::Free,
            password: None,
        });
    }
    let password = match password_fd {
        Some(fd) => read_line(fd),
        None => prompt::ask(&format!("password for sudo on '{host}': ")),
    };
    match password {
        Ok(password) => Ok(Key {
            mode: Sudo::Password,
            password: Some(password),
        }),
        Err(error) => Err(Error::Denied {
            subject: format!("commands on '{host}'"),
            user: "root".to_owned(),
            reason: format!("{} ({})", answer.complaint(), super::error::reason(&error)),
        }),
    }
}

/// Reads one line of a descriptor that we were given, and no byte more: it may hold other things.
fn read_line(fd: i32) -> io::Result<Secret> {
    let mut file = File::open(format!("/proc/self/fd/{fd}"))
        .map_err(|_| io::Error::other(format!("descriptor {fd} is not open")))?;
    let mut line = Vec::new();
    let mut byte = [0];
    while file.read(&mut byte)? == 1 && byte != *b"\n" {
        line.extend(byte);
    }
    String::from_utf8(line)
        .map(Secret::new)
        .map_err(|_| io::Error::other("it is not UTF-8"))
}
