//! The side of a lane that asks: it writes input, reads output, waits for the end, with a deadline for each.

use std::{io, time::Instant};

use super::{Broken, Caller, Closing, Lane};
use crate::host::chunks::{Chunks, ROOM};

impl Lane {
    /// Waits until the host has accepted the lane.
    pub(in crate::host) fn wait_opened(
        &self,
        deadline: Option<Instant>,
    ) -> Option<Result<(), Broken>> {
        self.wait_until(deadline, |state| match &state.end {
            _ if state.opened => Some(Ok(())),
            Some(Err(broken)) => Some(Err(broken.clone())),
            Some(Ok(_)) => Some(Ok(())),
            None => None,
        })
    }

    /// Queues input, waiting for room.
    pub(in crate::host) fn write(
        &self,
        bytes: &[u8],
        deadline: Option<Instant>,
    ) -> io::Result<usize> {
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
    pub(in crate::host) fn close_input(&self) {
        self.lock().input_closed = true;
        self.changed.notify_all();
        (self.wake_transport)(false);
    }

    /// Queues input that is in memory anyway, so that there is no point in waiting for room.
    pub(in crate::host) fn push_input(&self, bytes: Vec<u8>) {
        self.lock().input.push(bytes);
        self.changed.notify_all();
        (self.wake_transport)(false);
    }

    /// Closes the input and reads no more: what was written still leaves, what comes is dropped.
    pub(in crate::host) fn release(&self) {
        let mut state = self.lock();
        state.input_closed = true;
        state.caller = Caller::Released;
        state.output = Chunks::default();
        drop(state);
        self.changed.notify_all();
        (self.wake_transport)(false);
    }

    /// Reads output; 0 at its proper end, an error where it was cut.
    pub(in crate::host) fn read(
        &self,
        buffer: &mut [u8],
        deadline: Option<Instant>,
    ) -> io::Result<usize> {
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
    pub(in crate::host) fn read_piece(
        &self,
        deadline: Option<Instant>,
    ) -> io::Result<Option<Vec<u8>>> {
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
    pub(in crate::host) fn wait_end(
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
    pub(in crate::host) fn abandon(&self) {
        let mut state = self.lock();
        let is_news = !state.is_abandoned() && state.end.is_none();
        state.caller = Caller::Gone;
        drop(state);
        self.changed.notify_all();
        (self.wake_transport)(is_news);
    }
}
