//! What a caller and a transport share of one command or one forwarded socket.
//!
//! A lane is input (caller to host), output (host to caller), the tail of standard error, and an end. The transport's
//! thread fills and drains it, the caller's threads block on it. Everything is bounded, so a slow side slows the other
//! down; every wait has a deadline, so nothing can hang for ever.

mod caller;
mod transport;

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

pub(super) use self::transport::Supply;
use super::chunks::Chunks;

/// How much of standard error is kept: its end, where programs say what went wrong.
const TAIL: usize = 64 << 10;

/// What the transport learned about the end of a command.
#[derive(Debug, Clone, Default)]
pub(super) struct Closing {
    /// The exit status, if one was reported.
    pub(super) status: Option<u8>,
    /// The signal that killed it, if one was reported.
    pub(super) signal: Option<String>,
}

/// Why a lane ended without a closing.
#[derive(Debug, Clone)]
pub(super) enum Broken {
    /// The host refused to start or to connect it.
    Refused(String),
    /// The connection or the process is gone.
    Lost(String),
}

impl Broken {
    pub(super) fn reason(&self) -> &str {
        match self {
            Broken::Refused(reason) | Broken::Lost(reason) => reason,
        }
    }
}

/// Called with whether the caller has given up.
type Waker = Box<dyn Fn(bool) + Send + Sync>;

pub(super) struct Lane {
    state: Mutex<State>,
    changed: Condvar,
    wake_transport: Waker,
}

#[derive(Default)]
struct State {
    opened: bool,
    input: Chunks,
    input_closed: bool,
    output: Chunks,
    output_ended: bool,
    errors: Vec<u8>,
    end: Option<Result<Closing, Broken>>,
    caller: Caller,
}

/// What the caller still wants.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Caller {
    #[default]
    There,
    /// It takes all output at any time, so that it may be busy with the input.
    Collecting,
    /// It reads no more, but what it has written is to leave.
    Released,
    /// Nothing, and what runs may be killed.
    Gone,
}

impl State {
    fn has_output_room(&self) -> bool {
        self.caller != Caller::There || !self.output.is_full()
    }

    fn is_abandoned(&self) -> bool {
        self.caller == Caller::Gone
    }
}

impl Lane {
    /// A lane whose transport is woken by `wake_transport` when the caller has done something. The output of one that
    /// collects is kept in memory in any case, so it may come while the caller is busy with the input.
    pub(super) fn new(
        collects: bool,
        wake_transport: impl Fn(bool) + Send + Sync + 'static,
    ) -> Lane {
        let caller = if collects {
            Caller::Collecting
        } else {
            Caller::There
        };
        let state = State {
            caller,
            ..State::default()
        };
        Lane {
            state: Mutex::new(state),
            changed: Condvar::new(),
            wake_transport: Box::new(wake_transport),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock, and the state would be whole if one did.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `ready` has an answer; `None` when the deadline passed first.
    fn wait_until<T>(
        &self,
        deadline: Option<Instant>,
        mut ready: impl FnMut(&mut State) -> Option<T>,
    ) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Some(answer) = ready(&mut state) {
                return Some(answer);
            }
            state =
                match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                    None => self
                        .changed
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner),
                    Some(left) if left.is_zero() => return None,
                    Some(left) => {
                        self.changed
                            .wait_timeout(state, left)
                            .unwrap_or_else(PoisonError::into_inner)
                            .0
                    }
                };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc, thread, time::Duration};

    use super::*;
    use crate::host::chunks::ROOM;

    fn lane() -> Lane {
        Lane::new(false, |_| {})
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    #[test]
    fn a_cut_is_an_error_and_never_an_end() {
        let lane = lane();
        lane.push_output(b"half".to_vec());
        lane.finish(Err(Broken::Lost("gone".into())));
        assert_eq!(lane.read_piece(None).unwrap().unwrap(), b"half");
        assert_eq!(lane.read_piece(None).unwrap_err().to_string(), "gone");
        assert_eq!(
            lane.write(b"x", None).unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
    }

    #[test]
    fn every_wait_ends_at_its_deadline() {
        let lane = lane();
        assert_eq!(
            lane.read_piece(Some(soon())).unwrap_err().kind(),
            io::ErrorKind::TimedOut
        );
        assert!(lane.wait_opened(Some(soon())).is_none());
        assert!(lane.wait_end(Some(soon())).is_none());
        assert_eq!(lane.write(&vec![0; ROOM], Some(soon())).unwrap(), ROOM);
        assert_eq!(
            lane.write(b"x", Some(soon())).unwrap_err().kind(),
            io::ErrorKind::TimedOut
        );
    }

    #[test]
    fn a_full_lane_holds_the_transport_until_the_caller_has_read() {
        let lane = Arc::new(lane());
        lane.push_output(vec![0; ROOM]);
        let transport = thread::spawn({
            let lane = Arc::clone(&lane);
            move || lane.wait_output_room()
        });
        assert!(!lane.has_output_room());
        lane.read_piece(None).unwrap();
        assert!(transport.join().unwrap());
    }

    #[test]
    fn only_the_tail_of_standard_error_is_kept() {
        let lane = lane();
        for _ in 0..10 {
            lane.push_errors(&vec![b'x'; TAIL]);
        }
        lane.push_errors(b"last");
        lane.finish(Ok(Closing::default()));
        let errors = lane.wait_end(None).unwrap().1;
        assert!(errors.ends_with(b"last") && errors.len() <= 2 * TAIL);
    }
}
