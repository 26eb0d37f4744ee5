//! The history of the connection to Slack, and what it amounts to.
//!
//! The bridge tells its states only at the level debug, and several ways to lose messages look alike in them. What tells
//! them apart is the order of the states, their errors, and the time between them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::event::{self, Event, State, Step, UnitChange};
use crate::line::{Level, Line, Writer};

/// How many interruptions are kept; the counts go on.
const KEPT: usize = 32;

/// The bridge waits so long after the first failed attempt, and twice as long after each other.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// All logins of one bridge.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) logins: BTreeMap<String, Connection>,
    pub(crate) run: Run,
    /// The time of the last line: the "now" of a file.
    pub(crate) last_at: Option<Timestamp>,
    /// The last Slack delivery or echo: the only proof that events flow.
    pub(crate) last_traffic: Option<Timestamp>,
}

/// The process that runs, or ran last.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that lines tell independently of each other"
)]
pub(crate) struct Run {
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) version: String,
    pub(crate) is_running: Option<bool>,
    pub(crate) is_stopping: bool,
    /// A line of level debug or trace was seen: the states would show.
    pub(crate) tells_states: bool,
    pub(crate) has_no_logins: bool,
    pub(crate) exit: Option<u8>,
    /// The message of the line that told why the process ends.
    pub(crate) last_words: String,
    pub(crate) retries_failed_logins: bool,
}

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
    reconnects: VecDeque<Timestamp>,
}

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
    /// Slack asked for a new socket, or a cut connection was replaced at once: the log cannot tell these apart.
    Refresh,
    /// Attempts failed before one succeeded.
    Loss,
}

impl History {
    /// Takes in a line.
    pub(crate) fn observe(&mut self, line: &Line<'_>, event: &Event<'_>) {
        let Some(at) = line.at.or(self.last_at) else {
            return;
        };
        self.last_at = self.last_at.max(Some(at));
        if line.writer == Writer::Bridge {
            self.run.tells_states |= line.level.is_some_and(|level| level <= Level::Debug);
            self.run.is_running.get_or_insert(true);
        }
        match event {
            Event::Unit(change) => self.unit(*change, at),
            Event::Process(step) => self.step(step, line, at),
            Event::State(state) if !self.run.is_stopping => self.enter(state, at),
            Event::AutoReconnect => self.run.retries_failed_logins = true,
            Event::Delivered { .. } | Event::Echo { .. } => {
                self.last_traffic = self.last_traffic.max(Some(at));
            }
            Event::State(_) | Event::SocketRefused(_) | Event::Sending { .. } | Event::Other => {}
        }
    }

    fn unit(&mut self, change: UnitChange, at: Timestamp) {
        match change {
            UnitChange::Starting | UnitChange::Restarting => {}
            // Type=exec: systemd says so before the bridge says its first word.
            UnitChange::Started => self.start(at),
            UnitChange::Stopping => self.run.is_stopping = true,
            UnitChange::Stopped | UnitChange::Killed => self.stop(at),
            UnitChange::Exited(status) => {
                self.stop(at);
                self.run.exit = Some(status);
            }
        }
    }

    fn step(&mut self, step: &Step<'_>, line: &Line<'_>, at: Timestamp) {
        match step {
            Step::Starting { version } => {
                let tells_states = line.level.is_some_and(|level| level <= Level::Debug);
                self.start(at);
                self.run.tells_states = tells_states;
                version.as_ref().clone_into(&mut self.run.version);
            }
            Step::Started => {}
            Step::NoLogins => self.run.has_no_logins = true,
            Step::Stopping => self.run.is_stopping = true,
            Step::Stopped => self.stop(at),
            Step::Fatal => {
                let error = line.field("error").unwrap_or_default();
                self.run.last_words = if error.is_empty() {
                    line.message.to_string()
                } else {
                    format!("{}: {error}", line.message)
                };
            }
        }
    }

    fn start(&mut self, at: Timestamp) {
        let version = std::mem::take(&mut self.run.version);
        self.run = Run {
            started_at: Some(at),
            version,
            is_running: Some(true),
            ..Run::default()
        };
        for connection in self.logins.values_mut() {
            connection.leave("STARTING", at);
        }
    }

    fn stop(&mut self, at: Timestamp) {
        self.run.is_running = Some(false);
        for connection in self.logins.values_mut() {
            connection.leave("STOPPED", at);
        }
    }

    fn enter(&mut self, state: &State<'_>, at: Timestamp) {
        if state.login.is_empty() {
            self.run.has_no_logins = state.name == "UNCONFIGURED";
            return;
        }
        self.run.has_no_logins = false;
        self.run.is_running = Some(true);
        let started = self
            .run
            .started_at
            .filter(|started| at.duration_since(*started) < START);
        let connection = self.logins.entry(state.login.to_string()).or_default();
        connection.enter(state, at, started.is_some());
    }
}

/// A first state within this time of the start belongs to it.
const START: jiff::SignedDuration = jiff::SignedDuration::from_mins(2);

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
    fn leave(&mut self, state: &str, at: Timestamp) {
        if self.state != "STOPPED" {
            self.gap = Some(Gap::new(at, true));
        }
        state.clone_into(&mut self.state);
        self.error.clear();
        self.message.clear();
        self.since = Some(at);
        self.connected_since = None;
    }

    fn enter(&mut self, state: &State<'_>, at: Timestamp, at_start: bool) {
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
        let Some(gap) = self.gap.take() else { return };
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
        if kind != Kind::Start {
            push(&mut self.reconnects, at);
        }
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
        self.reconnects
            .iter()
            .filter(|at| between(**at, now) <= span)
            .count()
    }

    /// Whether the last sockets each lived 30 s: the client gives up on a server that never pings.
    pub(crate) fn is_never_pinged(&self) -> bool {
        let ages: Vec<_> = self
            .reconnects
            .iter()
            .zip(self.reconnects.iter().skip(1))
            .map(|(a, b)| between(*a, *b))
            .collect();
        ages.len() >= 2
            && ages
                .iter()
                .rev()
                .take(3)
                .all(|age| (29..=32).contains(&age.as_secs()))
    }
}

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

/// Reads a whole log into a history.
pub(crate) fn observe(history: &mut History, line: &Line<'_>) {
    history.observe(line, &event::of(line));
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::reader::Reader;

    /// A log from `SECONDS STATE[ ERROR[ MESSAGE]]`, `SECONDS start` and the like.
    pub(crate) fn log(lines: &[&str]) -> String {
        let mut log = String::new();
        for line in lines {
            let (seconds, what) = line.split_once(' ').unwrap();
            let after = Duration::from_secs_f64(seconds.parse().unwrap());
            let at = Timestamp::from_second(1_787_130_000).unwrap() + after;
            let what = match what {
                "start" => r"DBG Initializing bridge name=mautrix-slack version=v26.07".to_owned(),
                "stopping" => "INF Shutting down bridge".to_owned(),
                "stopped" => "INF Shutdown complete".to_owned(),
                _ if what.starts_with(char::is_lowercase) => what[1..].to_owned(),
                state => {
                    let mut words = state.splitn(3, ' ');
                    let (name, error, message) = (
                        words.next().unwrap(),
                        words.next().unwrap_or(""),
                        words.next().unwrap_or(""),
                    );
                    format!(
                        r#"DBG Sent new bridge state bridge_state={{"error":"{error}","message":"{message}","state_event":"{name}"}} login_id=T1-U1"#
                    )
                }
            };
            log.push_str(&format!("{at} {what}\n"));
        }
        log
    }

    pub(crate) fn read(log: &str) -> History {
        let mut history = History::default();
        let mut reader = Reader::new(log.as_bytes());
        while let Some(line) = reader.next().unwrap() {
            observe(&mut history, &line);
        }
        history
    }

    fn connection(lines: &[&str]) -> Connection {
        read(&log(lines)).logins.remove("T1-U1").unwrap()
    }

    #[test]
    fn a_refresh_is_no_loss_and_a_restart_is_neither() {
        let seen = connection(&[
            "0 start",
            "0.1 CONNECTING",
            "0.2 CONNECTED",
            "100 CONNECTING",
            "100.01 CONNECTED",
            "200 stopping",
            "200.1 TRANSIENT_DISCONNECT slack-socketmode-error context canceled",
            "200.2 stopped",
            "205 start",
            "205.1 CONNECTING",
            "205.2 CONNECTED",
        ]);
        assert_eq!((seen.starts, seen.refreshes, seen.losses), (2, 1, 0));
        assert_eq!(seen.state, "CONNECTED");
        assert_eq!(seen.connected_since, seen.since);
        assert_eq!(
            seen.episodes
                .iter()
                .map(|episode| episode.kind)
                .collect::<Vec<_>>(),
            [Kind::Start, Kind::Refresh, Kind::Start]
        );
        assert!((seen.episodes[2].length_s - 5.0).abs() < 0.01, "{seen:?}");
    }

    #[test]
    fn a_loss_counts_its_attempts_and_knows_the_next() {
        let lost = "TRANSIENT_DISCONNECT slack-socketmode-connection-error";
        let lines = [
            "0 start",
            "0.1 CONNECTING",
            "0.2 CONNECTED",
            "50 CONNECTING",
            &format!("50 {lost}"),
            "50.1 CONNECTING",
            &format!("50.1 {lost}"),
            "50.3 CONNECTING",
            &format!("50.3 {lost}"),
        ];
        let seen = connection(&lines);
        let gap = seen.gap.as_ref().unwrap();
        assert_eq!(
            (gap.attempts, &*gap.reason),
            (3, "slack-socketmode-connection-error")
        );
        assert_eq!(
            seen.next_attempt().unwrap().as_millisecond(),
            1_787_130_050_700
        );
        let healed = [&lines[..], &["50.7 CONNECTING", "50.71 CONNECTED"]].concat();
        let seen = connection(&healed);
        assert_eq!(
            (seen.losses, seen.refreshes, seen.next_attempt()),
            (1, 0, None)
        );
        assert_eq!(seen.episodes.back().unwrap().attempts, 4);
    }

    #[test]
    fn the_next_attempt_is_known_also_from_the_middle_of_a_loss() {
        let lost = "TRANSIENT_DISCONNECT slack-socketmode-connection-error";
        let seen = connection(&[
            &format!("0 {lost}"),
            "102.4 CONNECTING",
            &format!("102.4 {lost}"),
        ]);
        assert_eq!(
            seen.next_attempt().unwrap().as_millisecond(),
            1_787_130_000_000 + 102_400 + 204_800
        );
    }

    #[test]
    fn sockets_that_live_30_seconds_are_never_pinged() {
        let seen = connection(&[
            "0 CONNECTED",
            "30 CONNECTING",
            "30 CONNECTED",
            "60 CONNECTING",
            "60 CONNECTED",
            "90 CONNECTING",
            "90 CONNECTED",
        ]);
        assert!(seen.is_never_pinged());
        let seen = connection(&[
            "0 CONNECTED",
            "30 CONNECTING",
            "30 CONNECTED",
            "7230 CONNECTING",
            "7230 CONNECTED",
            "9000 CONNECTING",
            "9000 CONNECTED",
        ]);
        assert!(!seen.is_never_pinged());
    }

    #[test]
    fn a_clock_set_back_is_no_negative_time() {
        let seen = connection(&[
            "1000 CONNECTED",
            "10 CONNECTING",
            "5 TRANSIENT_DISCONNECT x",
            "4 CONNECTED",
        ]);
        assert!(seen.episodes.iter().all(|episode| episode.length_s >= 0.0));
    }
}
