//! A connection, whatever carries it: a socket of this machine or a channel of an ssh session.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Bytes in both directions, with a limit on how long one call may wait.
pub trait Socket: Read + Write + Send {
    /// Sets how long one read or write may wait.
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()>;
}

impl Socket for TcpStream {
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(timeout)?;
        self.set_write_timeout(timeout)
    }
}

/// When everything about one probe has to be over, however slowly a peer drips.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// The instant `after` from now.
    #[must_use]
    pub fn after(after: Duration) -> Self {
        Self(Instant::now() + after)
    }

    /// The time that is left, or the error of one that is over.
    pub fn left(self) -> io::Result<Duration> {
        let left = self.0.saturating_duration_since(Instant::now());
        if left.is_zero() {
            Err(io::ErrorKind::TimedOut.into())
        } else {
            Ok(left)
        }
    }

    /// The earlier of this one and `after` from now.
    #[must_use]
    pub fn or_after(self, after: Duration) -> Self {
        Self(self.0.min(Instant::now() + after))
    }
}

/// Whether an error is that of a wait that was too long.
#[must_use]
pub fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
    )
}

impl Socket for ops_common::host::Stream {
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        ops_common::host::Stream::set_timeout(self, timeout)
    }
}
