//! `--ssh-command`: everything over a program with ssh's command line, one process for each command.
//!
//! That program brings its own settings, keys and connections; the rule of success, the quoting and the deadlines are
//! ours, as on any other way.

use std::{
    ffi::{OsStr, OsString},
    os::unix::{ffi::OsStrExt, net::UnixStream},
    sync::Arc,
    time::Instant,
};

use super::{
    Error,
    address::Address,
    child::{self, Kill},
    error::reason,
    lane::Lane,
    stream::{Keep, Stream},
};
use crate::program::{self, Program};

/// The program, and the host as it is told to it.
pub(super) struct External {
    name: String,
    argv: Vec<OsString>,
    address: Address,
}

impl External {
    pub(super) fn new(name: &str, command: &str, address: Address) -> Result<External, Error> {
        let argv = program::split(command).ok_or_else(|| Error::Setting {
            host: name.to_owned(),
            setting: "--ssh-command".to_owned(),
            reason: format!("'{command}' is not a command line"),
        })?;
        Ok(External {
            name: name.to_owned(),
            argv,
            address,
        })
    }

    fn program(&self, options: &[&OsStr]) -> Result<Program, Error> {
        let program = Program::find(&self.argv[0])?.args(&self.argv[1..]);
        Ok(program.args(options).args(self.address.arguments()))
    }

    /// Runs a line of the login shell.
    pub(super) fn run(&self, line: &[u8], collect: bool) -> Result<Arc<Lane>, Error> {
        let program = self.program(&[])?.arg(OsStr::from_bytes(line));
        Ok(child::start(program, Kill::Process, collect)?)
    }

    /// The standard streams of the program are the connection. That it was refused shows only when reading.
    pub(super) fn connect_tcp(&self, target: &str) -> Result<Stream, Error> {
        let program = self.program(&["-W".as_ref(), target.as_ref()])?;
        Ok(Stream::of_lane(
            child::start(program, Kill::Process, false)?,
            Keep::Nothing,
        ))
    }

    /// ssh has no `-W` for Unix sockets, so it forwards one of ours in a private folder. It listens there before it runs
    /// the command, which says so.
    pub(super) fn connect_unix(&self, path: &str, deadline: Instant) -> Result<Stream, Error> {
        let fail = |reason| Error::Forward {
            host: self.name.clone(),
            target: path.to_owned(),
            reason,
        };
        let folder = tempfile::tempdir().map_err(|error| fail(reason(&error)))?;
        let socket = folder.path().join("s");
        let mut forward = socket.clone().into_os_string();
        forward.push(":");
        forward.push(path);
        let options: [&OsStr; 4] = [
            "-o".as_ref(),
            "ExitOnForwardFailure=yes".as_ref(),
            "-L".as_ref(),
            &forward,
        ];
        let program = self.program(&options)?.arg("echo ready; exec cat");
        let lane = child::start(program, Kill::Process, false)?;
        let ready = lane.read(&mut [0; 6], Some(deadline));
        let connected = match ready {
            Ok(1..) => UnixStream::connect(&socket).map_err(|error| reason(&error)),
            Ok(0) => Err(lane.wait_end(Some(deadline)).map_or_else(
                || "connection timed out".to_owned(),
                |(_, stderr)| super::ending::complaint(&stderr),
            )),
            Err(error) => Err(reason(&error)),
        };
        match connected {
            Ok(stream) => Ok(Stream::of_unix(
                stream,
                Keep::Forward(Arc::new(Forward {
                    lane,
                    _folder: folder,
                })),
            )),
            Err(reason) => {
                lane.abandon();
                Err(fail(reason))
            }
        }
    }
}

/// What ssh's last word means when it ends with its own status, 255. No word of a connection that broke is among these.
pub(super) fn failure(host: &str, said: &str) -> Option<Error> {
    let host = host.to_owned();
    let lower = said.to_lowercase();
    let login = |user: &str, reason: &str| {
        Some(Error::Login {
            host: host.clone(),
            user: user.to_owned(),
            reason: reason.to_owned(),
        })
    };
    if let Some((who, methods)) = said.split_once(": Permission denied (") {
        let user = who.split_once('@').map_or(who, |(user, _)| user);
        return login(
            user,
            &format!("permission denied ({}", methods.trim_end_matches('.')),
        );
    }
    if lower.starts_with("host key verification failed") {
        return login("", "host key verification failed");
    }
    let reason = said
        .strip_prefix("ssh: ")
        .or_else(|| said.strip_prefix("kex_exchange_identification: "))?;
    Some(Error::Connect {
        host: host.clone(),
        reason: reason.trim_end_matches('.').to_owned(),
    })
}

/// A forwarding program and the folder of its socket, for as long as a stream uses them.
pub(super) struct Forward {
    lane: Arc<Lane>,
    _folder: tempfile::TempDir,
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.lane.abandon();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ssh_says_tells_a_refusal_from_a_broken_connection() {
        let failed = |said| failure("db-1", said).map(|error| error.to_string());
        assert_eq!(
            failed("ssh: connect to host db-1 port 22: Connection refused").as_deref(),
            Some("cannot connect to 'db-1': connect to host db-1 port 22: Connection refused")
        );
        assert_eq!(
            failed("op@db-1: Permission denied (publickey).").as_deref(),
            Some("cannot log in to 'db-1' as 'op': permission denied (publickey)")
        );
        assert_eq!(failed("Connection to db-1 closed by remote host."), None);
        assert_eq!(failed("client_loop: send disconnect: Broken pipe"), None);
    }
}
