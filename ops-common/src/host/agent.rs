//! Whether an agent answers. libssh2 waits for one without a limit, so it is asked here before.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    sync::mpsc,
    thread,
    time::Duration,
};

/// The request for the list of keys: the length, and SSH_AGENTC_REQUEST_IDENTITIES.
const WHICH_KEYS: [u8; 5] = [0, 0, 0, 1, 11];

/// Waits for an agent's word, for at most `patience`. Connecting may take as long as answering, so a thread does both, and
/// is left behind if need be.
pub(super) fn answers(socket: &Path, patience: Duration) -> io::Result<()> {
    let (sender, receiver) = mpsc::channel();
    let socket = socket.to_owned();
    thread::spawn(move || drop(sender.send(ask(&socket))));
    receiver.recv_timeout(patience).unwrap_or_else(|_| {
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "it does not answer",
        ))
    })
}

fn ask(socket: &Path) -> io::Result<()> {
    let mut agent = UnixStream::connect(socket)?;
    agent.write_all(&WHICH_KEYS)?;
    agent.read_exact(&mut [0; 5])
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn one_that_is_silent_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent");
        assert_eq!(
            answers(&socket, Duration::from_mins(1)).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        // The kernel takes the connection, and nobody reads from it.
        let _silent = UnixListener::bind(&socket).unwrap();
        assert_eq!(
            answers(&socket, Duration::from_millis(50))
                .unwrap_err()
                .kind(),
            io::ErrorKind::TimedOut
        );
    }
}
