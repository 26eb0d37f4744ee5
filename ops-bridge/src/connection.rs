//! The history of the connection to Slack, and what it amounts to.
//!
//! The bridge tells its states only at the level debug, and several ways to lose messages look alike in them. What tells
//! them apart is the order of the states, their errors, and the time between them.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::event::{SocketEvent, State};

/// How many interruptions are kept; the counts go on.
pub(crate) const KEPT: usize = 32;

/// The bridge waits so long after the first failed attempt, and twice as long after each other.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// One login's connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connection {
    pub(crate) state: String,
    pub(crate) error: String,
    pub(crate) message: String,
    /// When the state was entered.
    pub(crate) since: Option<Timestamp>,
    /// Connected without an interruption other than refreshes since.
    pub(crate) connected_since: Option<Timestamp>,
    pub(crate) gap: Option<Gap>,
    pub(crate) refreshes: u64,
    pub(crate) losses: u64,
    pub(crate) starts: u64,
    pub(crate) episodes: VecDeque<Episode>,
    /// When the last sockets opened, and as what.
    sockets: VecDeque<(Timestamp, Kind)>,
    /// Why the socket will be replaced; known at trace only.
    ended: Option<String>,
    /// When the socket opened, if the log is at trace, and whether Slack has said hello on it.
    opened: Option<Timestamp>,
    is_greeted: bool,
}

/// How the reason starts where Slack asked for a new socket.
const REQUESTED: &str = "disconnection requested";

/// An interruption that lasts.
#[derive(Clone, Debug)]
pub(crate) struct Gap {
    pub(crate) since: Timestamp,
    pub(crate) attempts: u64,
    at_start: bool,
    failed: bool,
    /// Error and message of the last attempt that failed.
    pub(crate) error: String,
    pub(crate) message: String,
    last_failed_at: Option<Timestamp>,
    last_wait: Option<Duration>,
    pub(crate) reason: String,
}

/// An interruption that is over.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Episode {
    pub(crate) kind: Kind,
    pub(crate) at: Timestamp,
    pub(crate) length_s: f64,
    pub(crate) attempts: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
}

/// What kind of interruption it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// The process started.
    Start,
    /// Slack asked for a new socket. At the level debug a cut connection that is replaced at once looks the same.
    Refresh,
    /// Attempts failed before one succeeded, or, as only the level trace tells, the socket broke and was replaced at once.
    Loss,
}

impl Connection {
    /// The newest state alone, without a history.
    pub(crate) fn told(state: &str, error: &str, message: &str, since: Option<Timestamp>) -> Self {
        Self {
            state: state.to_owned(),
            error: error.to_owned(),
            message: message.to_owned(),
            since,
            connected_since: since.filter(|_| state == "CONNECTED"),
            ..Self::default()
        }
    }

    /// The process is gone, and the socket with it.
    pub(crate) fn leave(&mut self, state: &str, at: Timestamp) {
        if !matches!(self.state.as_str(), "STOPPED" | "STARTING") {
            self.gap = Some(Gap::new(at, true));
        }
        self.sockets.clear();
        (self.ended, self.opened, self.is_greeted) = (None, None, false);
        state.clone_into(&mut self.state);
        self.error.clear();
        self.message.clear();
        self.since = Some(at);
        self.connected_since = None;
    }

    /// What the level trace tells about the socket.
    pub(crate) fn trace(&mut self, what: &SocketEvent<'_>, at: Timestamp) {
        match what {
            SocketEvent::Opened => (self.opened, self.is_greeted) = (Some(at), false),
            SocketEvent::Greeted => self.is_greeted = true,
            SocketEvent::Ended(reason) => self.ended = Some(reason.to_string()),
        }
    }

    /// For how long an open socket has been waiting for Slack's hello; nothing where the log does not tell.
    pub(crate) fn ungreeted_for(&self, now: Timestamp) -> Option<Duration> {
        let opened = self.opened.filter(|_| !self.is_greeted)?;
        (self.state == "CONNECTED").then(|| between(opened, now))
    }

    /// Takes in a state. A first one within a while of the start belongs to it.
    pub(crate) fn enter(&mut self, state: &State<'_>, at: Timestamp, at_start: bool) {
        let is_first = self.state.is_empty();
        let gap = self
            .gap
            .get_or_insert_with(|| Gap::new(at, is_first && at_start));
        match &*state.name {
            "CONNECTED" => {
                self.connect(at, is_first);
            }
            "CONNECTING" => {
                gap.attempts += 1;
                gap.last_wait = gap.last_failed_at.map(|failed| between(failed, at));
            }
            _ => {
                gap.failed = true;
                gap.last_failed_at = Some(at);
                gap.reason = reason(&state.error, &state.message);
                state.error.as_ref().clone_into(&mut gap.error);
                state.message.as_ref().clone_into(&mut gap.message);
            }
        }
        if *state.name != self.state {
            self.since = Some(at);
        }
        state.name.as_ref().clone_into(&mut self.state);
        state.error.as_ref().clone_into(&mut self.error);
        state.message.as_ref().clone_into(&mut self.message);
    }

    fn connect(&mut self, at: Timestamp, is_first: bool) {
        let was_connected = self.state == "CONNECTED";
        let Some(mut gap) = self.gap.take() else {
            return;
        };
        if let Some(ended) = self.ended.take()
            && !gap.at_start
            && !gap.failed
        {
            gap.failed = !ended.starts_with(REQUESTED);
            gap.reason = ended;
        }
        if was_connected || is_first && !gap.at_start {
            // The first that is seen of it: since when is not known, but not later than this.
            self.connected_since.get_or_insert(at);
            return;
        }
        let kind = match (gap.at_start, gap.failed) {
            (true, _) => Kind::Start,
            (false, true) => Kind::Loss,
            (false, false) => Kind::Refresh,
        };
        match kind {
            Kind::Start => self.starts += 1,
            Kind::Refresh => self.refreshes += 1,
            Kind::Loss => self.losses += 1,
        }
        if kind != Kind::Refresh || self.connected_since.is_none() {
            self.connected_since = Some(at);
        }
        push(&mut self.sockets, (at, kind));
        let length_s = between(gap.since, at).as_secs_f64();
        push(
            &mut self.episodes,
            Episode {
                kind,
                at: gap.since,
                length_s,
                attempts: gap.attempts,
                reason: gap.reason,
            },
        );
    }

    /// Whether an attempt has failed since the connection was last good. A dial in between changes nothing about that.
    pub(crate) fn is_failing(&self) -> bool {
        matches!(self.state.as_str(), "CONNECTING" | "TRANSIENT_DISCONNECT")
            && self.gap.as_ref().is_some_and(|gap| gap.failed)
    }

    /// The next attempt, where the bridge is waiting for it.
    pub(crate) fn next_attempt(&self) -> Option<Timestamp> {
        let gap = self
            .gap
            .as_ref()
            .filter(|_| self.state == "TRANSIENT_DISCONNECT")?;
        let failed = gap.last_failed_at?;
        if gap.error == "slack-socketmode-error" {
            return failed.checked_add(Duration::from_secs(10)).ok();
        }
        let wait = gap
            .last_wait
            .map_or(FIRST_WAIT, |wait| wait.saturating_mul(2).max(FIRST_WAIT));
        failed.checked_add(wait).ok()
    }

    /// How many sockets were replaced within `span` before `now`.
    pub(crate) fn reconnects_within(&self, span: Duration, now: Timestamp) -> usize {
        self.sockets
            .iter()
            .filter(|(at, kind)| *kind != Kind::Start && *at <= now && between(*at, now) <= span)
            .count()
    }

    /// Whether the last sockets each lived 30 s, and this one no longer: the client gives up on a server that never pings.
    pub(crate) fn is_never_pinged(&self, now: Timestamp) -> bool {
        let newest = self.sockets.iter().rev().map(|(at, _)| *at);
        let ages: Vec<_> = newest
            .clone()
            .zip(newest.skip(1))
            .map(|(to, from)| between(from, to))
            .take(3)
            .collect();
        let is_young = self
            .sockets
            .back()
            .is_some_and(|(last, _)| between(*last, now) <= UNPINGED_AT_MOST);
        is_young && ages.len() >= 2 && ages.iter().all(|age| (29..=32).contains(&age.as_secs()))
    }
}

/// No socket that is never pinged lives longer.
const UNPINGED_AT_MOST: Duration = Duration::from_secs(40);

impl Gap {
    fn new(since: Timestamp, at_start: bool) -> Self {
        let (error, message, reason) = (String::new(), String::new(), String::new());
        Self {
            since,
            attempts: 0,
            at_start,
            failed: false,
            error,
            message,
            last_failed_at: None,
            last_wait: None,
            reason,
        }
    }
}

/// The error of a state and its message, as far as each is there.
pub(crate) fn reason(error: &str, message: &str) -> String {
    match (error, message) {
        (error, "") => error.to_owned(),
        ("", message) => message.to_owned(),
        (error, message) => format!("{error}: {message}"),
    }
}

/// The time between two lines; none where a clock was set back.
pub(crate) fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

fn push<T>(kept: &mut VecDeque<T>, new: T) {
    if kept.len() == KEPT {
        kept.pop_front();
    }
    kept.push_back(new);
}
