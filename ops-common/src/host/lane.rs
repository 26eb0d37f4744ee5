//! What a caller and a transport share of one command or one forwarded socket.
//!
//! A lane is input (caller to host), output (host to caller), the tail of standard error, and an end. The transport's
//! thread fills and drains it, the caller's threads block on it. Everything is bounded, so a slow side slows the other
//! down; every wait has a deadline, so nothing can hang for ever.

use std::{
    io,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::chunks::{Chunks, ROOM};

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

/// What the transport finds in a lane's input.
pub(super) enum Supply {
    /// The next piece.
    Piece(Vec<u8>),
    /// Nothing yet.
    Empty,
    /// The caller has closed it.
    Closed,
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

    // The caller's side.

    /// Waits until the host has accepted the lane.
    pub(super) fn wait_opened(&self, deadline: Option<Instant>) -> Option<Result<(), Broken>> {
        self.wait_until(deadline, |state| match &state.end {
            _ if state.opened => Some(Ok(())),
            Some(Err(broken)) => Some(Err(broken.clone())),
            Some(Ok(_)) => Some(Ok(())),
            None => None,
        })
    }

    /// Queues input, waiting for room.
    pub(super) fn write(&self, bytes: &[u8], deadline: Option<Instant>) -> io::Result<usize> {
        let result = self.wait_until(deadline, |state| match &state.end {
            Some(Err(broken)) => Some(Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
                broken.reason(),
            ))),
            Some(Ok(_)) => Some(Err(io::ErrorKind::BrokenPipe.into())),
            None if state.is_abandoned() || state.input_closed => {
                Some(Err(io::ErrorKind::BrokenPipe.into()))
            }
            None if state.input.is_full() => None,
            None => {
                let count = bytes.len().min(ROOM);
                state.input.push(bytes[..count].to_vec());
                Some(Ok(count))
            }
        });
        self.changed.notify_all();
        (self.wake_transport)(false);
        result.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Says that no more input comes.
    pub(super) fn close_input(&self) {
        self.lock().input_closed = true;
        self.changed.notify_all();
        (self.wake_transport)(false);
    }

    /// Queues input that is in memory anyway, so that there is no point in waiting for room.
    pub(super) fn push_input(&self, bytes: Vec<u8>) {
        self.lock().input.push(bytes);
        self.changed.notify_all();
        (self.wake_transport)(false);
    }

    /// Closes the input and reads no more: what was written still leaves, what comes is dropped.
    pub(super) fn release(&self) {
        let mut state = self.lock();
        state.input_closed = true;
        state.caller = Caller::Released;
        state.output = Chunks::default();
        drop(state);
        self.changed.notify_all();
        (self.wake_transport)(false);
    }

    /// Reads output; 0 at its proper end, an error where it was cut.
    pub(super) fn read(&self, buffer: &mut [u8], deadline: Option<Instant>) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.take(deadline, |output| {
            let count = output.read(buffer);
            (count > 0).then_some(count)
        })
        .map(Option::unwrap_or_default)
    }

    /// Takes the next piece of output; none at its proper end, an error where it was cut.
    pub(super) fn read_piece(&self, deadline: Option<Instant>) -> io::Result<Option<Vec<u8>>> {
        self.take(deadline, Chunks::pop)
    }

    fn take<T>(
        &self,
        deadline: Option<Instant>,
        mut some: impl FnMut(&mut Chunks) -> Option<T>,
    ) -> io::Result<Option<T>> {
        let mut was_full = false;
        let result = self.wait_until(deadline, |state| {
            was_full = state.output.is_full();
            if let Some(taken) = some(&mut state.output) {
                return Some(Ok(Some(taken)));
            }
            match &state.end {
                _ if state.output_ended => Some(Ok(None)),
                Some(Err(broken)) => Some(Err(io::Error::new(
                    io::ErrorKind::ConnectionReset,
                    broken.reason(),
                ))),
                Some(Ok(_)) => Some(Ok(None)),
                None => None,
            }
        });
        if was_full {
            self.changed.notify_all();
            (self.wake_transport)(false);
        }
        result.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Waits for the end, throwing away output that nobody has read; `None` when the deadline passed first.
    pub(super) fn wait_end(
        &self,
        deadline: Option<Instant>,
    ) -> Option<(Result<Closing, Broken>, Vec<u8>)> {
        loop {
            match self.read_piece(deadline) {
                Ok(Some(_)) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return None,
                Ok(None) | Err(_) => break,
            }
        }
        self.wait_until(deadline, |state| {
            let end = state.end.clone()?;
            Some((end, state.errors.clone()))
        })
    }

    /// Gives the lane up: the transport closes it, and kills what runs on it where it can.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        let is_news = !state.is_abandoned() && state.end.is_none();
        state.caller = Caller::Gone;
        drop(state);
        self.changed.notify_all();
        (self.wake_transport)(is_news);
    }

    // The transport's side.

    pub(super) fn set_opened(&self) {
        self.lock().opened = true;
        self.changed.notify_all();
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.lock().is_abandoned()
    }

    pub(super) fn has_output_room(&self) -> bool {
        self.lock().has_output_room()
    }

    /// Waits for room; false when the caller has given up.
    pub(super) fn wait_output_room(&self) -> bool {
        self.wait_until(None, |state| {
            state.has_output_room().then_some(!state.is_abandoned())
        })
        .unwrap_or(false)
    }

    pub(super) fn push_output(&self, piece: Vec<u8>) {
        let mut state = self.lock();
        if matches!(state.caller, Caller::There | Caller::Collecting) {
            state.output.push(piece);
        }
        drop(state);
        self.changed.notify_all();
    }

    pub(super) fn end_output(&self) {
        self.lock().output_ended = true;
        self.changed.notify_all();
    }

    pub(super) fn push_errors(&self, bytes: &[u8]) {
        let mut state = self.lock();
        state.errors.extend_from_slice(bytes);
        if state.errors.len() > 2 * TAIL {
            let surplus = state.errors.len() - TAIL;
            state.errors.drain(..surplus);
        }
    }

    pub(super) fn next_input(&self) -> Supply {
        let mut state = self.lock();
        let supply = supply(&mut state);
        if matches!(supply, Supply::Piece(_)) {
            self.changed.notify_all();
        }
        supply
    }

    /// Waits for input.
    pub(super) fn wait_input(&self) -> Supply {
        let supply = self.wait_until(None, |state| match supply(state) {
            Supply::Empty if state.is_abandoned() || state.end.is_some() => Some(Supply::Closed),
            Supply::Empty => None,
            other => Some(other),
        });
        self.changed.notify_all();
        supply.unwrap_or(Supply::Closed)
    }

    pub(super) fn is_released(&self) -> bool {
        self.lock().caller == Caller::Released
    }

    /// Says that the other side takes no more input.
    pub(super) fn refuse_input(&self) {
        let mut state = self.lock();
        state.input_closed = true;
        state.input = Chunks::default();
        drop(state);
        self.changed.notify_all();
    }

    pub(super) fn finish(&self, end: Result<Closing, Broken>) {
        self.lock().end.get_or_insert(end);
        self.changed.notify_all();
    }
}

fn supply(state: &mut State) -> Supply {
    match state.input.pop() {
        Some(piece) => Supply::Piece(piece),
        None if state.input_closed => Supply::Closed,
        None => Supply::Empty,
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread, time::Duration};

    use super::*;

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
