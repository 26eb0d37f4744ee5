//! What a step of a channel fails with, out of the codes of libssh2.

use std::io;

use libssh2_sys as raw;
use ssh2::{ErrorCode, Session};

/// What a step may fail with.
pub(super) enum Fault {
    /// Not now.
    Again,
    /// The other side does not do that, on this channel.
    Refused(String),
    /// The connection is gone.
    Lost(String),
}

impl Fault {
    /// ssh2's streams speak of `io::Error`, which has lost the code; the session still has it.
    pub(super) fn of_io(session: &Session, error: &io::Error) -> Fault {
        match ssh2::Error::last_session_error(session) {
            _ if error.kind() == io::ErrorKind::WouldBlock => Fault::Again,
            Some(error) => error.into(),
            None => Fault::Lost(error.to_string()),
        }
    }
}

impl From<ssh2::Error> for Fault {
    fn from(error: ssh2::Error) -> Fault {
        let ErrorCode::Session(code) = error.code() else {
            return Fault::Lost(error.message().to_owned());
        };
        match code {
            raw::LIBSSH2_ERROR_EAGAIN => Fault::Again,
            raw::LIBSSH2_ERROR_CHANNEL_FAILURE
            | raw::LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED
            | raw::LIBSSH2_ERROR_CHANNEL_CLOSED
            | raw::LIBSSH2_ERROR_CHANNEL_EOF_SENT => Fault::Refused(words(error.message())),
            raw::LIBSSH2_ERROR_SOCKET_DISCONNECT | raw::LIBSSH2_ERROR_SOCKET_RECV => {
                Fault::Lost("the connection was closed".to_owned())
            }
            _ => Fault::Lost(error.message().to_owned()),
        }
    }
}

/// The reason out of libssh2's message: `Channel open failure (connect failed)`.
fn words(message: &str) -> String {
    let inner = message
        .rsplit_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(message).to_lowercase()
}
