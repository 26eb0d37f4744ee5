//! Whether a login that failed is tried again.
//!
//! The framework tries once for each state `UNKNOWN_ERROR` that it sends, after `bridge.unknown_error_auto_reconnect` and a fifth of
//! it more or less. A state with the same error as the one before is a duplicate for an hour: it is not sent, and starts nothing.
//! So a login that fails again in the same way is given up after one try, and one that fails in another way is not.

use std::time::Duration;

use jiff::Timestamp;

use crate::connection::between;
use crate::event::LoginFailure;

/// How long a state with an error makes others like it a duplicate.
const ALIKE: Duration = Duration::from_hours(1);

/// What is known of further tries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// The log does not show whether the setting is on.
    #[default]
    Unknown,
    Again,
    Over,
}

/// The tries of one process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Retry {
    pub(crate) outlook: Outlook,
    /// The failure whose state was sent last.
    last: Option<(LoginFailure, Timestamp)>,
}

impl Retry {
    /// The bridge says that it tries again, or that it did so often enough.
    pub(crate) fn said(&mut self, goes_on: bool) {
        self.outlook = if goes_on {
            Outlook::Again
        } else {
            Outlook::Over
        };
    }

    pub(crate) fn failed(&mut self, failure: LoginFailure, at: Timestamp) {
        let alike = |(last, since)| last == failure && between(since, at) < ALIKE;
        if self.last.is_some_and(alike) {
            self.failed_alike();
        } else {
            self.last = Some((failure, at));
        }
    }

    /// The state was a duplicate. Where no try was seen since the one before, that one still waits for its own.
    pub(crate) fn failed_alike(&mut self) {
        if self.outlook == Outlook::Again {
            self.outlook = Outlook::Over;
        }
    }

    /// Another state was sent: no failure is a duplicate now.
    pub(crate) fn forget(&mut self) {
        self.last = None;
    }

    /// The configuration tells what the log does not: after which time the first try comes.
    pub(crate) fn expect(&mut self, after: Duration, now: Timestamp) {
        let waits = |(_, since)| between(since, now) < after + after / 2;
        if self.outlook == Outlook::Unknown && self.last.is_some_and(waits) {
            self.outlook = Outlook::Again;
        }
    }
}
