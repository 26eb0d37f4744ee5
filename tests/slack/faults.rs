//! What can go wrong.

use std::time::Duration;

/// How one call of a method fails.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Slack says no, with this code.
    Code(&'static str),
    /// The status of HTTP.
    Status(u16),
    /// Too many calls.
    Limited,
    /// The answer comes late, and is good.
    Late(Duration),
    /// The connection is closed without an answer.
    Dropped,
}

/// How sockets behave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Link {
    /// As they should.
    #[default]
    Good,
    /// New ones are refused in the handshake.
    Refused,
    /// They open, and nothing is ever said on them, not even hello; pings come.
    Mute,
    /// They open, and no ping ever comes.
    Pingless,
    /// They stay open while nothing is sent or read any more: a dead line.
    Dead,
}
