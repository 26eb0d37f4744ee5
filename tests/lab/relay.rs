//! A TCP relay that makes a link long, thin, short-lived or deaf, and counts what goes over it.
//!
//! The kernel of a test machine may have no netem, so delay and faults come from here: whoever wants a bad link connects
//! to [`Relay::address`] instead of the host. It counts connections, bytes and round trips. A round trip begins where
//! something comes from the client after something has come from the host; with some delay each way (20 ms will do) the
//! packets of one flight stay together, and the count is that of the protocol and not of the scheduler.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Alias, LabHost};

/// A direction of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toward {
    /// From the client to the host.
    Host,
    /// From the host to the client.
    Client,
}

/// What happens to a connection when its time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Both sides see it closed.
    Cut,
    /// It stays open, and nothing passes any more.
    Hang,
}

/// What the link is like. The default is a perfect one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Link {
    delay: Duration,
    bytes_per_second: Option<u64>,
    fault: Option<(Toward, u64, Fault)>,
    held: bool,
}

impl Link {
    /// A perfect link.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Every byte arrives this much later, in each direction.
    #[must_use]
    pub fn delay(mut self, each_way: Duration) -> Self {
        self.delay = each_way;
        self
    }

    /// No more than this passes in each direction.
    #[must_use]
    pub fn throttle(mut self, bytes_per_second: u64) -> Self {
        self.bytes_per_second = Some(bytes_per_second);
        self
    }

    /// Each connection fails when exactly this many bytes have passed in a direction.
    #[must_use]
    pub fn fault(mut self, toward: Toward, bytes: u64, fault: Fault) -> Self {
        self.fault = Some((toward, bytes, fault));
        self
    }

    /// Nothing passes toward the clients before [`Relay::release`].
    #[must_use]
    pub fn held(mut self) -> Self {
        self.held = true;
        self
    }
}

/// What has gone over a relay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Connections that clients have made.
    pub connections: u64,
    /// Bytes from clients.
    pub to_host: u64,
    /// Bytes from the host.
    pub to_client: u64,
    /// How often the host has spoken after a client.
    pub round_trips: u64,
    /// Connections that the fault has struck.
    pub faults: u64,
}

/// A relay in front of one address. It works until it is dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    /// The name by which ssh goes through it.
    alias: Option<Alias>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    link: Link,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    count: Count,
    released: bool,
    frozen: bool,
    closed: bool,
    sockets: Vec<TcpStream>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and tells those who wait for it.
    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Waits until the state is as wanted.
    fn wait(&self, mut ready: impl FnMut(&State) -> bool) {
        let guard = self.lock();
        drop(self.changed.wait_while(guard, |state| !ready(state)));
    }
}

impl Relay {
    /// Starts a relay on a free port of the loopback address.
    ///
    /// # Panics
    /// There is no port left.
    #[must_use]
    pub fn start(target: SocketAddr, link: Link) -> Self {
        Self::at(([127, 0, 0, 1], 0).into(), target, link)
    }

    /// Starts a relay at this address; port 0 is a free one.
    ///
    /// # Panics
    /// The address is taken, or none of this machine.
    #[must_use]
    pub fn at(address: SocketAddr, target: SocketAddr, link: Link) -> Self {
        let listener =
            TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        let address = listener.local_addr().expect("the port");
        let shared = Arc::new(Shared {
            target,
            link,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || serve(&serving, &listener));
        Self {
            address,
            alias: None,
            shared,
        }
    }

    /// Starts a relay to a host's sshd; `--host ALIAS` and `ssh ALIAS` go through it.
    ///
    /// # Panics
    /// There is no port left.
    #[must_use]
    pub fn before(host: &LabHost, alias: &str, link: Link) -> Self {
        let target = (
            host.v4()
                .parse::<std::net::IpAddr>()
                .expect("an address of the lab"),
            22,
        );
        let mut relay = Self::start(target.into(), link);
        let settings = format!(
            "    HostName 127.0.0.1\n    Port {}\n    HostKeyAlias {}\n    User root",
            relay.address.port(),
            host.name()
        );
        relay.alias = Some(Alias::new(alias, &settings));
        relay
    }

    /// The alias that [`Relay::before`] has made.
    #[must_use]
    pub fn alias(&self) -> &str {
        self.alias.as_ref().map_or("", Alias::name)
    }

    /// Where clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has gone over it so far.
    #[must_use]
    pub fn count(&self) -> Count {
        self.shared.lock().count
    }

    /// Waits until this many connections have been made: the barrier of tests that want to know that all have.
    pub fn wait_connections(&self, connections: u64) {
        self.shared
            .wait(|state| state.count.connections >= connections);
    }

    /// Waits until the count is as wanted.
    ///
    /// # Panics
    /// When it is not within a minute.
    pub fn wait_until(&self, ready: impl Fn(&Count) -> bool) {
        let guard = self.shared.lock();
        let limit = Duration::from_mins(1);
        let waited = self
            .shared
            .changed
            .wait_timeout_while(guard, limit, |state| !ready(&state.count));
        let (state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(
            !waited.timed_out(),
            "the relay waits in vain: {:?}",
            state.count
        );
    }

    /// Waits until a fault has struck.
    pub fn wait_fault(&self) {
        self.shared.wait(|state| state.count.faults > 0);
    }

    /// Lets a held link pass.
    pub fn release(&self) {
        self.shared.update(|state| state.released = true);
    }

    /// From now on nothing passes in any direction, and everything stays open.
    pub fn freeze(&self) {
        self.shared.update(|state| state.frozen = true);
    }

    /// Closes all connections of now; new ones are still taken.
    pub fn cut(&self) {
        self.shared.update(close_all);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.update(|state| {
            state.closed = true;
            state.released = true;
            state.frozen = false;
            close_all(state);
        });
        // Wakes the listener, so that its thread sees the end.
        drop(TcpStream::connect(self.address));
    }
}

fn close_all(state: &mut State) {
    for socket in state.sockets.drain(..) {
        socket.shutdown(Shutdown::Both).ok();
    }
}

fn serve(shared: &Arc<Shared>, listener: &TcpListener) {
    for client in listener.incoming().flatten() {
        if shared.lock().closed {
            return;
        }
        shared.update(|state| state.count.connections += 1);
        // A target that refuses shows to the client as a connection that closes.
        if let Ok(host) = TcpStream::connect(shared.target) {
            join(shared, client, host).ok();
        }
    }
}

/// The two halves of a connection, moved by two threads each: one reads, one waits and writes.
fn join(shared: &Arc<Shared>, client: TcpStream, host: TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    host.set_nodelay(true)?;
    let sockets = [client.try_clone()?, host.try_clone()?];
    shared.update(|state| state.sockets.extend(sockets));
    let last = Arc::new(Mutex::new(Toward::Client));
    for (from, to, toward) in [
        (client.try_clone()?, host.try_clone()?, Toward::Host),
        (host, client, Toward::Client),
    ] {
        // A long link holds all that a window lets be under way, a thin one makes the sender wait.
        let (sender, receiver) = sync_channel(if shared.link.bytes_per_second.is_some() {
            4
        } else {
            1 << 14
        });
        let shared = Arc::clone(shared);
        let last = Arc::clone(&last);
        let writer = Arc::clone(&shared);
        thread::spawn(move || read(&shared, from, toward, &last, &sender));
        thread::spawn(move || pass_on(&writer, to, toward, &receiver));
    }
    Ok(())
}

/// Reads, counts, and hands on what came with the time when it is due.
fn read(
    shared: &Shared,
    mut from: TcpStream,
    toward: Toward,
    last: &Mutex<Toward>,
    sender: &SyncSender<(Instant, Vec<u8>)>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        let turned = *last != toward;
        *last = toward;
        drop(last);
        shared.update(|state| match toward {
            Toward::Host => state.count.to_host += count as u64,
            Toward::Client => {
                state.count.to_client += count as u64;
                state.count.round_trips += u64::from(turned);
            }
        });
        if sender
            .send((Instant::now() + shared.link.delay, buffer[..count].to_vec()))
            .is_err()
        {
            return;
        }
    }
}

/// Writes what is due, until the fault strikes or nothing more comes.
fn pass_on(
    shared: &Shared,
    mut to: TcpStream,
    toward: Toward,
    receiver: &Receiver<(Instant, Vec<u8>)>,
) {
    let mut left = match shared.link.fault {
        Some((direction, bytes, fault)) if direction == toward => Some((bytes, fault)),
        _ => None,
    };
    if shared.link.held && toward == Toward::Client {
        shared.wait(|state| state.released);
    }
    for (due, piece) in receiver {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        shared.wait(|state| !state.frozen);
        let mut piece = piece.as_slice();
        if let Some((bytes, fault)) = &mut left {
            piece = &piece[..piece
                .len()
                .min(usize::try_from(*bytes).unwrap_or(usize::MAX))];
            *bytes -= piece.len() as u64;
            if *bytes == 0 {
                to.write_all(piece).ok();
                strike(shared, &to, *fault);
                return;
            }
        }
        if to.write_all(piece).is_err() {
            break;
        }
        if let Some(rate) = shared.link.bytes_per_second {
            thread::sleep(Duration::from_nanos(
                piece.len() as u64 * 1_000_000_000 / rate,
            ));
        }
    }
    to.shutdown(Shutdown::Write).ok();
}

/// A connection that is cut closes on both sides, since the thread that reads the other way sees its end; one that hangs
/// keeps its sockets until the relay ends.
fn strike(shared: &Shared, to: &TcpStream, fault: Fault) {
    shared.update(|state| state.count.faults += 1);
    match fault {
        Fault::Cut => drop(to.shutdown(Shutdown::Both)),
        Fault::Hang => shared.wait(|state| state.closed),
    }
}
