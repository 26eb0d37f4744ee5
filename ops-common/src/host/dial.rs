//! The bytes under an ssh session: a TCP connection, or a child process whose standard streams are one.

use std::{
    io::{self, Read},
    net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::{Child, ChildStderr, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    net::sockopt,
    process::{Pid, Signal, kill_process},
};

use super::{
    Error,
    address::Address,
    ending::complaint,
    error::reason,
    settings::{Family, Proxy, Settings},
};
use crate::{interrupt, program::Program};

/// After this long without an answer a link counts as dead.
const DEAD_AFTER: Duration = Duration::from_secs(28);
/// After this long without a word the other side is asked for one.
const SILENCE: Duration = Duration::from_secs(10);

/// What carries a session.
pub(super) struct Line {
    socket: OwnedFd,
    peer: Option<IpAddr>,
    proxy: Option<ProxyChild>,
}

impl Line {
    /// Connects to the host, or starts what will.
    pub(super) fn dial(name: &str, settings: &Settings, deadline: Instant) -> Result<Line, Error> {
        match &settings.proxy {
            Proxy::None => Line::tcp(name, settings, deadline),
            Proxy::Command(command) => Line::proxy(
                name,
                Program::find("sh")?
                    .arg("-c")
                    .arg(format!("exec {command}")),
            ),
            Proxy::Jump(hops) => Line::proxy(name, jump(hops, settings)?),
        }
    }

    fn tcp(name: &str, settings: &Settings, deadline: Instant) -> Result<Line, Error> {
        let fail = |reason| Error::Connect {
            host: name.to_owned(),
            reason,
        };
        let addresses = resolve(settings, deadline).map_err(fail)?;
        let mut failure = "it has no address of the wanted family".to_owned();
        for (index, address) in addresses.iter().enumerate() {
            // Each address gets its share of what is left, so that a dead one does not use up the time of a live one.
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
            match TcpStream::connect_timeout(address, share.max(Duration::from_millis(1))) {
                Ok(socket) => {
                    watch_over(&socket).map_err(|error| fail(reason(&error)))?;
                    return Ok(Line {
                        socket: socket.into(),
                        peer: Some(address.ip()),
                        proxy: None,
                    });
                }
                Err(error) => failure = reason(&error),
            }
        }
        Err(fail(failure))
    }

    fn proxy(name: &str, mut program: Program) -> Result<Line, Error> {
        let fail = |error: io::Error| Error::Connect {
            host: name.to_owned(),
            reason: reason(&error),
        };
        let (ours, theirs) = UnixStream::pair().map_err(fail)?;
        let output = OwnedFd::from(theirs.try_clone().map_err(fail)?);
        program
            .command()
            .stdin(OwnedFd::from(theirs))
            .stdout(output)
            .stderr(Stdio::piped());
        let mut child = program.spawn()?;
        let stderr = child.stderr.take();
        let guard = Pid::from_raw(child.id().cast_signed()).map(|pid| {
            // Gone already is as good.
            interrupt::guard(move || {
                let _ = kill_process(pid, Signal::TERM);
            })
        });
        // The descriptors of the other end close with the program's command, so that its end is seen as one.
        drop(program);
        Ok(Line {
            socket: ours.into(),
            peer: None,
            proxy: Some(ProxyChild {
                child,
                guard,
                words: stderr.map(Words::listen),
            }),
        })
    }

    /// The address at the other end, where no proxy is in between.
    pub(super) fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// A second descriptor of the same socket, for libssh2.
    pub(super) fn handle(&self) -> io::Result<OwnedFd> {
        self.socket.try_clone()
    }

    /// How long to sleep at most before a sign of life is asked for, when the last one was at `heard`. The kernel watches
    /// over a TCP connection by itself; behind a proxy nobody does.
    pub(super) fn nap(&self, heard: Instant) -> Result<Option<Duration>, String> {
        match (&self.proxy, heard.elapsed()) {
            (None, _) => Ok(None),
            (Some(_), silence) if silence >= DEAD_AFTER => {
                Err("the host does not answer any more".to_owned())
            }
            (Some(_), silence) => Ok(Some(
                (SILENCE.saturating_sub(silence)).max(Duration::from_secs(1)),
            )),
        }
    }

    /// What the proxy said last, once its end of the line is closed.
    pub(super) fn proxy_words(&mut self) -> Option<String> {
        let words = self.proxy.as_mut()?.stop();
        (!words.is_empty()).then_some(words)
    }
}

/// A proxy that ends with the line.
struct ProxyChild {
    child: Child,
    /// Ends it when a signal ends us.
    guard: Option<interrupt::Guard>,
    words: Option<Words>,
}

impl ProxyChild {
    fn stop(&mut self) -> String {
        // Once it has been waited for, its number may be another's.
        self.guard = None;
        let ended = self.child.try_wait().ok().flatten().is_some();
        if !ended {
            drop(self.child.kill());
            drop(self.child.wait());
        }
        self.words
            .as_ref()
            .map_or_else(String::new, Words::last_line)
    }
}

/// What a proxy says on standard error.
struct Words {
    text: Arc<Mutex<Vec<u8>>>,
    ended: mpsc::Receiver<()>,
}

impl Words {
    fn listen(mut from: ChildStderr) -> Words {
        let text = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&text);
        let (end, ended) = mpsc::channel();
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = from.read(&mut piece) {
                let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                heard.extend_from_slice(&piece[..count]);
            }
            drop(end);
        });
        Words { text, ended }
    }

    /// The last line, once the proxy has ended. What it has left behind may hold its standard error open for ever, and is
    /// not waited for.
    fn last_line(&self) -> String {
        let _ = self.ended.recv_timeout(Duration::from_millis(500));
        complaint(&self.text.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for ProxyChild {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The command that ssh itself would run for `ProxyJump`: the last hop connects to the host, those before it are its own.
fn jump(hops: &str, settings: &Settings) -> Result<Program, Error> {
    let (before, last) = hops
        .rsplit_once(',')
        .map_or((None, hops), |(before, last)| (Some(before), last));
    let last = Address::parse(
        last.strip_prefix("ssh://")
            .unwrap_or(last)
            .trim_end_matches('/'),
    )?;
    let mut program = Program::find("ssh")?;
    if let Some(before) = before {
        program = program.arg("-J").arg(before);
    }
    let target = format!("[{}]:{}", settings.host_name, settings.port);
    Ok(program.arg("-W").arg(target).args(last.arguments()))
}

/// The addresses to try, in their order.
fn resolve(settings: &Settings, deadline: Instant) -> Result<Vec<SocketAddr>, String> {
    let (host, port) = (settings.host_name.as_str(), settings.port);
    let addresses = match host.parse::<IpAddr>() {
        Ok(address) => vec![(address, port).into()],
        Err(_) => look_up(host, port, deadline)?,
    };
    let wanted = |address: &SocketAddr| match settings.family {
        Family::Any => true,
        Family::V4 => address.is_ipv4(),
        Family::V6 => address.is_ipv6(),
    };
    Ok(addresses.into_iter().filter(wanted).collect())
}

/// The system's resolver knows no deadline, so a thread waits for it, and is left behind if need be.
fn look_up(host: &str, port: u16, deadline: Instant) -> Result<Vec<SocketAddr>, String> {
    let (sender, receiver) = mpsc::channel();
    let asked = host.to_owned();
    thread::spawn(move || {
        drop(sender.send((asked.as_str(), port).to_socket_addrs().map(Vec::from_iter)));
    });
    receiver
        .recv_timeout(deadline.saturating_duration_since(Instant::now()))
        .map_err(|_| format!("looking up '{host}' timed out"))?
        .map_err(|error| format!("cannot look up '{host}': {}", reason(&error)))
}

/// Small packets leave at once, and a link that is dead is noticed, whether or not anything is being sent.
fn watch_over(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, SILENCE)?;
    sockopt::set_tcp_keepintvl(socket, Duration::from_secs(5))?;
    sockopt::set_tcp_user_timeout(
        socket,
        u32::try_from(DEAD_AFTER.as_millis()).unwrap_or(u32::MAX),
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Behind these the kernel gives a link up, idle or not, before half a minute is over.
    #[test]
    fn a_dead_link_is_noticed_within_30_seconds() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        watch_over(&socket).unwrap();
        let limit = Duration::from_millis(sockopt::tcp_user_timeout(&socket).unwrap().into());
        assert!(!limit.is_zero() && limit < Duration::from_secs(30));
        assert!(sockopt::socket_keepalive(&socket).unwrap());
        let first = sockopt::tcp_keepidle(&socket).unwrap();
        let then = sockopt::tcp_keepintvl(&socket).unwrap();
        assert!(first + then < limit, "{first:?} {then:?}");
    }

    #[test]
    fn what_a_proxy_leaves_behind_is_not_waited_for() {
        let script = "sleep 600 & echo $! >&2; exit 1";
        let program = Program::find("sh").unwrap().arg("-c").arg(script);
        let mut line = Line::proxy("db-1", program).unwrap();
        let ended = line.proxy.as_mut().unwrap().child.wait().unwrap();
        assert_eq!(ended.code(), Some(1));
        let words = line.proxy_words().unwrap();
        let left = Pid::from_raw(words.parse().unwrap()).unwrap();
        kill_process(left, Signal::KILL).unwrap();
    }

    /// Behind a proxy the kernel sees only a pipe; there the silence itself is watched.
    #[test]
    fn a_silent_proxy_is_asked_and_then_given_up() {
        let program = Program::find("cat").unwrap();
        let line = Line::proxy("db-1", program).unwrap();
        let ago = |seconds| {
            Instant::now()
                .checked_sub(Duration::from_secs(seconds))
                .unwrap()
        };
        assert!(line.nap(ago(1)).unwrap().unwrap() <= SILENCE);
        assert!(line.nap(ago(29)).is_err());
    }
}
