//! The side of a lane that serves: it takes input, brings output, and says how it ended.

use super::{Broken, Caller, Closing, Lane, State, TAIL};
use crate::host::chunks::Chunks;

/// What the transport finds in a lane's input.
pub(in crate::host) enum Supply {
    /// The next piece.
    Piece(Vec<u8>),
    /// Nothing yet.
    Empty,
    /// The caller has closed it.
    Closed,
}

impl Lane {
    pub(in crate::host) fn set_opened(&self) {
        self.lock().opened = true;
        self.changed.notify_all();
    }

    pub(in crate::host) fn is_abandoned(&self) -> bool {
        self.lock().is_abandoned()
    }

    pub(in crate::host) fn has_output_room(&self) -> bool {
        self.lock().has_output_room()
    }

    /// Waits for room; false when the caller has given up.
    pub(in crate::host) fn wait_output_room(&self) -> bool {
        self.wait_until(None, |state| {
            state.has_output_room().then_some(!state.is_abandoned())
        })
        .unwrap_or(false)
    }

    pub(in crate::host) fn push_output(&self, piece: Vec<u8>) {
        let mut state = self.lock();
        if matches!(state.caller, Caller::There | Caller::Collecting) {
            state.output.push(piece);
        }
        drop(state);
        self.changed.notify_all();
    }

    pub(in crate::host) fn end_output(&self) {
        self.lock().output_ended = true;
        self.changed.notify_all();
    }

    pub(in crate::host) fn push_errors(&self, bytes: &[u8]) {
        let mut state = self.lock();
        state.errors.extend_from_slice(bytes);
        if state.errors.len() > 2 * TAIL {
            let surplus = state.errors.len() - TAIL;
            state.errors.drain(..surplus);
        }
    }

    pub(in crate::host) fn next_input(&self) -> Supply {
        let mut state = self.lock();
        let supply = supply(&mut state);
        if matches!(supply, Supply::Piece(_)) {
            self.changed.notify_all();
        }
        supply
    }

    /// Waits for input.
    pub(in crate::host) fn wait_input(&self) -> Supply {
        let supply = self.wait_until(None, |state| match supply(state) {
            Supply::Empty if state.is_abandoned() || state.end.is_some() => Some(Supply::Closed),
            Supply::Empty => None,
            other => Some(other),
        });
        self.changed.notify_all();
        supply.unwrap_or(Supply::Closed)
    }

    pub(in crate::host) fn is_released(&self) -> bool {
        self.lock().caller == Caller::Released
    }

    /// Says that the other side takes no more input.
    pub(in crate::host) fn refuse_input(&self) {
        let mut state = self.lock();
        state.input_closed = true;
        state.input = Chunks::default();
        drop(state);
        self.changed.notify_all();
    }

    pub(in crate::host) fn finish(&self, end: Result<Closing, Broken>) {
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
