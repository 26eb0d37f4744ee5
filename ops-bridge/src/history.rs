//! What the lines of a log tell about the bridge, one after the other: its process, its logins, and whom it works with.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::clock::DISORDER;
use crate::connection::Connection;
use crate::event::{self, Event, SocketEvent, State, Step, UnitChange};
use crate::known::{self, Class};
use crate::line::{Level, Line, Writer};
use crate::neighbour::Neighbours;
use crate::retry::Retry;

/// All logins of one bridge.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) logins: BTreeMap<String, Connection>,
    pub(crate) run: Run,
    /// The time of the last line: the "now" of a file.
    pub(crate) last_at: Option<Timestamp>,
    /// The last Slack delivery or echo: the only proof that events flow.
    pub(crate) last_traffic: Option<Timestamp>,
    pub(crate) neighbours: Neighbours,
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
    pub(crate) retry: Retry,
    /// A login failed at the start. Where the states are hidden this line alone tells of it.
    pub(crate) login_failed: bool,
    /// When Slack refused a socket last, as far as that is known without the states.
    pub(crate) refused_at: Option<Timestamp>,
}

impl History {
    /// Takes in a line.
    pub(crate) fn observe(&mut self, line: &Line<'_>, event: &Event<'_>) {
        let Some(at) = line.at.or(self.last_at) else {
            return;
        };
        self.last_at = Some(latest(self.last_at, at));
        if line.writer == Writer::Other
            && let Some(known) = known::find_plain(&line.message)
            && known.class == Class::Trouble
        {
            let first = line.message.lines().next().unwrap_or_default();
            first.clone_into(&mut self.run.last_words);
        }
        if line.writer == Writer::Bridge {
            self.run.tells_states |= line.level.is_some_and(|level| level <= Level::Debug);
            self.run.is_running.get_or_insert(true);
        }
        match event {
            Event::Unit(change) => self.unit(*change, at),
            Event::Process(step) => self.step(step, line, at),
            Event::State(state) if !self.run.is_stopping => self.enter(state, at),
            Event::SocketRefused(error) if !self.run.is_stopping && !self.run.tells_states => {
                self.refused(error, line, at);
            }
            Event::AutoReconnect { goes_on } => self.run.retry.said(*goes_on),
            Event::LoginFailed(failure) => {
                self.run.login_failed = true;
                self.run.retry.failed(*failure, at);
            }
            Event::LoginFailedAlike => self.run.retry.failed_alike(),
            Event::Delivered { .. } | Event::Echo { .. } => self.last_traffic = Some(at),
            Event::Socket { login, what } => self.socket(login, what, at),
            _ => {}
        }
        self.neighbours.observe(event, at);
    }

    /// What the level trace tells about a socket. A line without a login belongs to the only one there is.
    fn socket(&mut self, login: &str, what: &SocketEvent<'_>, at: Timestamp) {
        let only = self.logins.len() == 1;
        let connection = match self.logins.get_mut(login) {
            Some(connection) => Some(connection),
            None if login.is_empty() && only => self.logins.values_mut().next(),
            None => None,
        };
        if let Some(connection) = connection {
            connection.trace(what, at);
        }
    }

    /// Where the states are hidden, a refusal of Slack is written all the same, and again every 10 s.
    fn refused(&mut self, error: &str, line: &Line<'_>, at: Timestamp) {
        let state = State {
            login: line.field("login_id").unwrap_or_default(),
            name: "TRANSIENT_DISCONNECT".into(),
            error: "slack-socketmode-error".into(),
            message: error.into(),
        };
        if !state.login.is_empty() {
            self.enter(&state, at);
            self.run.refused_at = Some(at);
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
        self.neighbours = Neighbours::default();
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
        if state.name != "UNKNOWN_ERROR" {
            self.run.retry.forget();
        }
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

/// The time of the newest line. A little disorder among writers is none of the clock's; more is a clock that was set back.
fn latest(last: Option<Timestamp>, at: Timestamp) -> Timestamp {
    last.filter(|last| *last > at && last.duration_since(at) < DISORDER)
        .unwrap_or(at)
}

/// Reads a whole log into a history.
pub(crate) fn observe(history: &mut History, line: &Line<'_>) {
    history.observe(line, &event::of(line));
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::connection::Kind;
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
        let last = seen.since.unwrap();
        assert!(seen.is_never_pinged(last));
        let later = last.checked_add(Duration::from_mins(2)).unwrap();
        assert!(!seen.is_never_pinged(later), "it lives: it was pinged");
        let seen = connection(&[
            "0 CONNECTED",
            "30 CONNECTING",
            "30 CONNECTED",
            "7230 CONNECTING",
            "7230 CONNECTED",
            "9000 CONNECTING",
            "9000 CONNECTED",
        ]);
        assert!(!seen.is_never_pinged(seen.since.unwrap()));
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
