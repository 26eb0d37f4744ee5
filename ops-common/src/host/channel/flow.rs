//! The bytes of a channel, between libssh2 and the lane.

use std::io::{Read, Write};

use ssh2::Session;

use super::{Channel, Feed, Phase, fault::Fault};
use crate::host::lane::Supply;

/// Large enough for many packets at a time, small enough for the cache.
const PIECE: usize = 128 << 10;

impl Channel {
    /// The ssh channel, once data may flow.
    fn flowing(&self) -> Option<ssh2::Channel> {
        self.ssh.clone().filter(|_| self.phase >= Phase::Requested)
    }

    pub(super) fn read_output(&mut self, session: &Session) -> Result<bool, Fault> {
        let (Some(channel), false) = (self.flowing(), self.output_over) else {
            return Ok(false);
        };
        if !self.lane.has_output_room() {
            return Ok(false);
        }
        self.buffer.resize(PIECE, 0);
        let count = channel
            .stream(0)
            .read(&mut self.buffer)
            .map_err(|error| Fault::of_io(session, &error))?;
        self.output_over = count == 0;
        if self.output_over {
            self.lane.end_output();
        } else {
            self.lane.push_output(self.buffer[..count].to_vec());
        }
        Ok(true)
    }

    pub(super) fn read_errors(&mut self, session: &Session) -> Result<bool, Fault> {
        let (Some(channel), false) = (self.flowing(), self.errors_over) else {
            return Ok(false);
        };
        let mut piece = [0; 4096];
        let count = channel
            .stderr()
            .read(&mut piece)
            .map_err(|error| Fault::of_io(session, &error))?;
        self.errors_over = count == 0;
        self.lane.push_errors(&piece[..count]);
        Ok(true)
    }

    pub(super) fn write_input(&mut self, session: &Session) -> Result<bool, Fault> {
        let Some(mut channel) = self.flowing().filter(|_| self.feed != Feed::Over) else {
            return Ok(false);
        };
        if self.input_sent == self.input.len() {
            self.input_sent = 0;
            self.input.clear();
            match self.lane.next_input() {
                Supply::Piece(piece) => self.input = piece,
                Supply::Empty => return Ok(false),
                Supply::Closed => self.feed = Feed::Ending,
            }
        }
        let sent = if self.feed == Feed::Ending {
            channel
                .send_eof()
                .map_err(Fault::from)
                .map(|()| self.feed = Feed::Over)
        } else {
            let written = channel.stream(0).write(&self.input[self.input_sent..]);
            written
                .map_err(|error| Fault::of_io(session, &error))
                .map(|count| self.input_sent += count)
        };
        match sent {
            // The other side has closed and wants no more; what it has to say about that comes with its end.
            Err(Fault::Refused(_)) => {
                self.lane.refuse_input();
                self.feed = Feed::Over;
            }
            other => other?,
        }
        Ok(true)
    }
}
