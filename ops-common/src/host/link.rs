//! The thread that owns an ssh session.
//!
//! libssh2 is not made for several threads, and a lock around it would make one that waits for the network hold up all
//! others. So one thread owns the session, never blocks in it, and serves all its channels: it takes turns with them
//! until none can move, then sleeps until the socket or a caller has something. Callers talk to it through [lanes](super::lane).

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use ssh2::Session;

use super::{
    channel::{Channel, Purpose, Turn},
    dial::Line,
    heard,
    lane::{Broken, Lane},
};

/// The receive window of a command whose output is small.
const QUESTION_WINDOW: u32 = 2 << 20;
/// That of one whose output is not: at most a window is under way, so a window in each round trip is all there can be.
const BULK_WINDOW: u32 = 32 << 20;

/// A session in the hands of its thread. Dropping it closes the connection.
pub(super) struct Link {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    wishes: Mutex<Wishes>,
    bell: OwnedFd,
}

#[derive(Default)]
struct Wishes {
    channels: Vec<Channel>,
    stop: bool,
    /// The connection is lost, and why: nothing can be wished for any more.
    lost: Option<String>,
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

    /// Asks for a channel. What becomes of it shows on its lane.
    pub(super) fn open(&self, purpose: Purpose) -> Arc<Lane> {
        self.request(purpose, false)
    }

    /// Runs a line of the login shell.
    pub(super) fn run(&self, line: String, collect: bool) -> Arc<Lane> {
        let window = if collect {
            QUESTION_WINDOW
        } else {
            BULK_WINDOW
        };
        self.request(Purpose::Run { line, window }, collect)
    }

    fn request(&self, purpose: Purpose, collect: bool) -> Arc<Lane> {
        let bell = Arc::clone(&self.shared);
        let lane = Arc::new(Lane::new(collect, move |_| bell.ring()));
        let mut wishes = self.shared.lock();
        if let Some(reason) = &wishes.lost {
            lane.finish(Err(Broken::Lost(reason.clone())));
        } else {
            wishes
                .channels
                .push(Channel::new(purpose, Arc::clone(&lane)));
            drop(wishes);
            self.shared.ring();
        }
        lane
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

    /// Serves until nobody wants anything any more.
    fn serve(&mut self) -> Result<(), String> {
        loop {
            if self.take_wishes() {
                return Ok(());
            }
            let before = heard::received();
            let turn = self.round()?;
            if heard::received() != before {
                self.heard = Instant::now();
            } else if turn != Turn::Progress {
                self.rest(turn)?;
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
    fn rest(&mut self, turn: Turn) -> Result<(), String> {
        let mut events = PollFlags::empty();
        events.set(
            PollFlags::IN,
            turn != Turn::Blocked && self.channels.iter().any(Channel::wants_to_read),
        );
        events.set(PollFlags::OUT, turn == Turn::Blocked);
        let nap = self.line.nap(self.heard)?;
        let mut polled = [
            PollFd::from_borrowed_fd(self.line.as_fd(), events),
            PollFd::new(&self.shared.bell, PollFlags::IN),
        ];
        wait(&mut polled, nap).map_err(|error| super::error::reason(&error))?;
        let rung = !polled[1].revents().is_empty();
        let is_idle = polled.iter().all(|polled| polled.revents().is_empty());
        if rung {
            // Empties the bell; what it rang for is found in the next round.
            let _ = rustix::io::read(&self.shared.bell, &mut [0; 8]);
        }
        if is_idle && nap.is_some() && turn != Turn::Blocked {
            // Asks the other side for a sign of life, where the kernel does not do it for us.
            drop(self.session.keepalive_send());
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

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket()
    }
}

impl AsRawFd for Line {
    fn as_raw_fd(&self) -> i32 {
        self.socket().as_raw_fd()
    }
}
