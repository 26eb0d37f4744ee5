//! The thread that owns an ssh session.
//!
//! libssh2 is not made for several threads, and a lock around it would make one that waits for the network hold up all
//! others. So one thread owns the session, never blocks in it, and serves all its channels: it takes turns with them
//! until none can move, then sleeps until the socket or a caller has something. Callers talk to it through [lanes](super::lane).

use std::{
    io,
    os::fd::OwnedFd,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use ssh2::Session;

use super::{
    channel::{Channel, Purpose, Turn},
    dial::Line,
    error::reason,
    heard,
    lane::{Broken, Lane},
};

/// The receive window of a command whose output is small.
const QUESTION_WINDOW: u32 = 2 << 20;
/// What the windows of all commands with much output share. Only a window is under way at a time, so a window in each
/// round trip is all the speed there can be; and all of it may have to wait in memory for a slow reader.
const BULK_WINDOWS: u32 = 32 << 20;

/// How long closing may wait for what was written to streams.
const FAREWELL: Duration = Duration::from_secs(5);

/// A session in the hands of its thread. Dropping it closes the connection.
pub(super) struct Link {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    wishes: Mutex<Wishes>,
    /// A dial has come to its end.
    dialled: Condvar,
    bell: OwnedFd,
}

#[derive(Default)]
struct Wishes {
    channels: Vec<Channel>,
    stop: bool,
    /// The connection is lost, and why: nothing can be wished for any more.
    lost: Option<String>,
    /// The host is dialling an address for us. Until it has an answer no other channel can be opened.
    dialling: bool,
    /// How much of [`BULK_WINDOWS`] is taken.
    windows: u32,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) {
        // Full means that the thread has been rung for already.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }
}

impl Link {
    /// Hands a session that is logged in to a thread of its own.
    pub(super) fn start(session: Session, line: Line) -> io::Result<Link> {
        let bell = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        let shared = Arc::new(Shared {
            wishes: Mutex::default(),
            dialled: Condvar::new(),
            bell,
        });
        let keeper = Keeper {
            session,
            line,
            channels: Vec::new(),
            shared: Arc::clone(&shared),
            heard: Instant::now(),
        };
        let thread = thread::Builder::new()
            .name("ssh".to_owned())
            .spawn(move || keeper.run())?;
        Ok(Link {
            shared,
            thread: Some(thread),
        })
    }

    /// Waits until the link can open a channel at once; whether it can.
    pub(super) fn is_ready(&self, patience: Duration) -> bool {
        let wishes = self.shared.lock();
        let waited = self
            .shared
            .dialled
            .wait_timeout_while(wishes, patience, |wishes| {
                wishes.dialling && wishes.lost.is_none()
            });
        !waited.unwrap_or_else(PoisonError::into_inner).0.dialling
    }

    /// Runs a line of the login shell.
    pub(super) fn run(&self, line: String, collect: bool) -> Arc<Lane> {
        let mut lease = None;
        let mut window = QUESTION_WINDOW;
        if !collect {
            let mut wishes = self.shared.lock();
            window = (BULK_WINDOWS - wishes.windows).max(QUESTION_WINDOW);
            let taken = window.min(BULK_WINDOWS - wishes.windows);
            wishes.windows += taken;
            lease = Some(self.lease(move |wishes| wishes.windows -= taken));
        }
        self.request(Purpose::Run { line, window }, lease, collect)
    }

    /// Connects to a Unix socket of the host.
    pub(super) fn connect_unix(&self, path: &str) -> Arc<Lane> {
        self.request(Purpose::Unix(path.to_owned()), None, false)
    }

    /// Has the host dial an address.
    pub(super) fn connect_tcp(&self, address: String, port: u16) -> Arc<Lane> {
        self.shared.lock().dialling = true;
        let lease = self.lease(|wishes| wishes.dialling = false);
        self.request(Purpose::Tcp(address, port), Some(lease), false)
    }

    fn lease(&self, give_back: impl FnOnce(&mut Wishes) + Send + 'static) -> Lease {
        let shared = Arc::clone(&self.shared);
        Lease(Some(Box::new(move || {
            give_back(&mut shared.lock());
            shared.dialled.notify_all();
        })))
    }

    /// Asks for a channel. What becomes of it shows on its lane.
    fn request(&self, purpose: Purpose, lease: Option<Lease>, collect: bool) -> Arc<Lane> {
        let bell = Arc::clone(&self.shared);
        let lane = Arc::new(Lane::new(collect, move |_| bell.ring()));
        let mut wishes = self.shared.lock();
        if let Some(reason) = &wishes.lost {
            lane.finish(Err(Broken::Lost(reason.clone())));
            // What the lease gives back to is locked here.
            drop(wishes);
        } else {
            wishes
                .channels
                .push(Channel::new(purpose, Arc::clone(&lane), lease));
            drop(wishes);
            self.shared.ring();
        }
        lane
    }
}

/// Something of a link that a channel has for a while.
pub(super) struct Lease(Option<Box<dyn FnOnce() + Send>>);

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(give_back) = self.0.take() {
            give_back();
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.ring();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// What the thread has.
struct Keeper {
    session: Session,
    line: Line,
    channels: Vec<Channel>,
    shared: Arc<Shared>,
    heard: Instant,
}

impl Keeper {
    fn run(mut self) {
        if let Err(reason) = self.serve() {
            let mut wishes = self.shared.lock();
            self.channels.append(&mut wishes.channels);
            wishes.lost = Some(reason.clone());
            drop(wishes);
            for channel in &self.channels {
                channel.lane().finish(Err(Broken::Lost(reason.clone())));
            }
        }
        // Best effort: the other side may be gone, and closing the socket says the same.
        drop(self.session.disconnect(None, "done", None));
    }

    /// Serves until it is told to stop, and what was written to streams that are closed by now has left.
    fn serve(&mut self) -> Result<(), String> {
        let mut stopping = None;
        loop {
            if self.take_wishes() {
                let since = stopping.get_or_insert_with(Instant::now);
                if since.elapsed() > FAREWELL || !self.channels.iter().any(Channel::owes) {
                    return Ok(());
                }
            }
            let before = heard::received();
            let turn = self.round()?;
            if heard::received() != before {
                self.heard = Instant::now();
            } else if turn != Turn::Progress {
                self.rest(turn, stopping.map(|_| FAREWELL))?;
            }
        }
    }

    /// Takes in new channels; true when it is time to stop.
    fn take_wishes(&mut self) -> bool {
        let mut wishes = self.shared.lock();
        self.channels.append(&mut wishes.channels);
        wishes.stop
    }

    /// Gives every channel a turn, or only the one that has half a packet in the socket.
    fn round(&mut self) -> Result<Turn, String> {
        let mut outcome = Turn::Idle;
        let mut opening = self.channels.iter().position(Channel::is_opening);
        let blocked = self.channels.iter().position(Channel::is_blocked);
        let mut gone = Vec::new();
        for (index, channel) in self.channels.iter_mut().enumerate() {
            if blocked.is_some_and(|blocked| blocked != index) {
                continue;
            }
            let turn = channel.turn(
                &self.session,
                opening.is_none_or(|opening| opening == index),
            )?;
            if channel.is_opening() {
                opening = Some(index);
            }
            match turn {
                Turn::Idle => {}
                Turn::Progress => outcome = Turn::Progress,
                Turn::Gone => gone.push(index),
                Turn::Blocked => {
                    outcome = Turn::Blocked;
                    break;
                }
            }
        }
        for index in gone.into_iter().rev() {
            self.channels.remove(index);
            outcome = Turn::Progress;
        }
        Ok(outcome)
    }

    /// Sleeps until the socket or a caller has something.
    fn rest(&mut self, turn: Turn, longest: Option<Duration>) -> Result<(), String> {
        let is_unused = self.channels.is_empty();
        let mut events = PollFlags::empty();
        if turn == Turn::Blocked {
            events = PollFlags::OUT;
        } else if is_unused || self.channels.iter().any(Channel::wants_to_read) {
            events = PollFlags::IN;
        }
        let nap = self.line.nap(self.heard)?;
        let mut polled = vec![PollFd::new(&self.shared.bell, PollFlags::IN)];
        if !events.is_empty() {
            // Otherwise it must not be looked at: a connection that is closed would wake us again and again.
            polled.push(PollFd::from_borrowed_fd(self.line.socket(), events));
        }
        let woken = wait(&mut polled, nap.into_iter().chain(longest).min());
        let has_news = polled
            .get(1)
            .is_some_and(|socket| !socket.revents().is_empty());
        if !polled[0].revents().is_empty() {
            // Empties the bell; what it rang for is found in the next round.
            let _ = rustix::io::read(&self.shared.bell, &mut [0; 8]);
        }
        match woken.map_err(|error| reason(&error))? {
            // Asks the other side for a sign of life, where the kernel does not do it for us.
            0 if nap.is_some() && turn != Turn::Blocked => drop(self.session.keepalive_send()),
            _ if has_news && is_unused => self.channels.push(Channel::errand()),
            _ => {}
        }
        Ok(())
    }
}

/// `poll`, for at most `nap`.
pub(super) fn wait(polled: &mut [PollFd<'_>], nap: Option<Duration>) -> io::Result<usize> {
    let nap = nap.and_then(|nap| Timespec::try_from(nap).ok());
    match poll(polled, nap.as_ref()) {
        Err(rustix::io::Errno::INTR) => Ok(0),
        other => Ok(other?),
    }
}
