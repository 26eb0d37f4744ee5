//! A connection to a socket of the host.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    os::unix::net::UnixStream,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{external::Forward, lane::Lane, transport::Transport};

/// A connection to a Unix or TCP socket of the host, made directly or through the ssh connection.
///
/// It keeps the connection to the host alive. Dropping the last clone closes it, after what was written has left.
pub struct Stream {
    socket: Socket,
}

enum Socket {
    Unix(UnixStream, Keep),
    Tcp(TcpStream),
    Lane(Forwarded),
}

#[derive(Clone)]
struct Forwarded {
    ends: Arc<Ends>,
    timeout: Arc<Mutex<Option<Duration>>>,
}

/// What the clones of a stream share.
struct Ends {
    lane: Arc<Lane>,
    _keep: Keep,
}

/// What has to live as long as a stream.
#[derive(Clone)]
pub(super) enum Keep {
    Transport(#[expect(dead_code, reason = "held for its drop")] Arc<Transport>),
    Forward(#[expect(dead_code, reason = "held for its drop")] Arc<Forward>),
    Nothing,
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.lane.release();
    }
}

impl Forwarded {
    fn deadline(&self) -> Option<Instant> {
        let timeout = *self.timeout.lock().unwrap_or_else(PoisonError::into_inner);
        timeout.map(|timeout| Instant::now() + timeout)
    }
}

impl Stream {
    pub(super) fn of_unix(socket: UnixStream, keep: Keep) -> Stream {
        Stream {
            socket: Socket::Unix(socket, keep),
        }
    }

    pub(super) fn of_tcp(socket: TcpStream) -> Stream {
        Stream {
            socket: Socket::Tcp(socket),
        }
    }

    pub(super) fn of_lane(lane: Arc<Lane>, keep: Keep) -> Stream {
        let forwarded = Forwarded {
            ends: Arc::new(Ends { lane, _keep: keep }),
            timeout: Arc::default(),
        };
        Stream {
            socket: Socket::Lane(forwarded),
        }
    }

    /// Makes a second handle of the same connection, say to read and write in two threads.
    ///
    /// # Errors
    ///
    /// There is no descriptor left.
    pub fn try_clone(&self) -> io::Result<Stream> {
        let socket = match &self.socket {
            Socket::Unix(socket, keep) => Socket::Unix(socket.try_clone()?, keep.clone()),
            Socket::Tcp(socket) => Socket::Tcp(socket.try_clone()?),
            Socket::Lane(lane) => Socket::Lane(lane.clone()),
        };
        Ok(Stream { socket })
    }

    /// Limits every read and write; after that they fail with [`io::ErrorKind::TimedOut`] or `WouldBlock`.
    ///
    /// # Errors
    ///
    /// The limit is zero.
    pub fn set_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match &self.socket {
            Socket::Unix(socket, _) => socket
                .set_read_timeout(timeout)
                .and(socket.set_write_timeout(timeout)),
            Socket::Tcp(socket) => socket
                .set_read_timeout(timeout)
                .and(socket.set_write_timeout(timeout)),
            Socket::Lane(lane) => {
                *lane.timeout.lock().unwrap_or_else(PoisonError::into_inner) = timeout;
                Ok(())
            }
        }
    }

    /// Tells the other side that nothing more comes; it may still answer.
    ///
    /// # Errors
    ///
    /// The connection is gone.
    pub fn shutdown_write(&self) -> io::Result<()> {
        match &self.socket {
            Socket::Unix(socket, _) => socket.shutdown(Shutdown::Write),
            Socket::Tcp(socket) => socket.shutdown(Shutdown::Write),
            Socket::Lane(lane) => {
                lane.ends.lane.close_input();
                Ok(())
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.socket {
            Socket::Unix(socket, _) => socket.read(buffer),
            Socket::Tcp(socket) => socket.read(buffer),
            Socket::Lane(lane) => lane.ends.lane.read(buffer, lane.deadline()),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.socket {
            Socket::Unix(socket, _) => socket.write(bytes),
            Socket::Tcp(socket) => socket.write(bytes),
            Socket::Lane(lane) => lane.ends.lane.write(bytes, lane.deadline()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stream")
    }
}
