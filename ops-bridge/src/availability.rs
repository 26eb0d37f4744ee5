//! When messages could flow and when not, read line by line: what is down, since when and why, and what nobody wrote about.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::{Clock, Jump};
use crate::connection::{between, reason};
use crate::event::{Event, State as Told, Step, UnitChange};
use crate::hole::{Hole, Moment, hole, keep, later};
use crate::line::{Level, Line, Writer};
use crate::sample;

/// An interruption up to this long is a refresh of the socket.
pub(crate) const GRACE: Duration = Duration::from_secs(30);

/// Recorded samples farther apart than this have a gap between them.
const SAMPLES_APART: Duration = Duration::from_mins(5);

/// A refused socket is tried again after 10 s: no word for longer than this says that it was not refused again.
pub(crate) const REFUSED_AGAIN: Duration = Duration::from_secs(15);

/// The record of a time.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that lines tell independently of each other"
)]
pub(crate) struct Availability {
    clock: Clock,
    now: Now,
    logins_down: BTreeSet<String>,
    tells_states: bool,
    /// Whether a part of the time was written down without the states: then nothing is known of short outages.
    pub(crate) hides_states: bool,
    login_failed: bool,
    refused_at: Option<Moment>,
    unit_down: bool,
    boot: String,
    /// When each boot ended, as far as that is known from other lines than these.
    ends: BTreeMap<String, Timestamp>,
    pub(crate) first: Option<Moment>,
    pub(crate) last: Option<Moment>,
    pub(crate) outages: Vec<Hole>,
    pub(crate) gaps: Vec<Hole>,
    /// What was not kept one by one: seconds.
    pub(crate) further_s: f64,
    last_sample: Option<Moment>,
}

/// How it is at the moment that has been read up to.
#[derive(Clone, Debug, Default, PartialEq)]
enum Now {
    /// Nothing has told yet.
    #[default]
    Unknown,
    Up,
    Down {
        since: Moment,
        cause: String,
        /// The unit was stopped in it, so it counts however short it is.
        stopped: bool,
    },
}

impl Availability {
    /// Starts a record of a machine whose boots ended then.
    pub(crate) fn with_ends(ends: BTreeMap<String, Timestamp>) -> Self {
        Self {
            ends,
            ..Self::default()
        }
    }

    /// Takes in a line.
    pub(crate) fn observe(&mut self, line: &Line<'_>, event: &Event<'_>) {
        if line.writer == Writer::Other && self.sample(&line.message) {
            return;
        }
        let Some(at) = line.at else { return };
        let jump = self.clock.read(line, at);
        let at = self.moment(at);
        if let Some(jump) = jump {
            self.jumped(jump, at);
        }
        self.reboot(&line.envelope.boot, at);
        self.passed(at);
        if line.writer == Writer::Bridge {
            self.tells_states |= line.level.is_some_and(|level| level <= Level::Debug);
        }
        self.refused_no_more(at);
        match event {
            Event::Process(Step::Stopping)
            | Event::Unit(UnitChange::Stopping | UnitChange::Stopped | UnitChange::Exited(0)) => {
                self.stop(at, "stopped");
            }
            Event::Unit(UnitChange::Killed) => self.stop(at, "killed"),
            Event::Unit(UnitChange::Exited(code)) => self.stop(at, &crate::exit_code::words(*code)),
            Event::Unit(UnitChange::Started) | Event::Process(Step::Starting { .. }) => {
                self.start(at);
            }
            Event::Process(Step::NoLogins) => self.down(at, "nobody is logged in"),
            Event::LoginFailed(_) => {
                self.login_failed = true;
                self.down(at, "the login failed at start");
            }
            Event::Process(Step::Started) if !self.tells_states => self.started_unseen(at),
            Event::SocketRefused(error) if !self.tells_states && !self.unit_down => {
                self.refused_at = Some(at);
                self.down(at, error);
            }
            Event::State(state) if state.login.is_empty() && state.name == "UNCONFIGURED" => {
                self.down(at, "nobody is logged in");
            }
            Event::State(state) if !state.login.is_empty() => self.state(state, at),
            _ => {}
        }
    }

    pub(crate) fn moment(&self, wall: Timestamp) -> Moment {
        let steady = self.clock.steady(wall);
        Moment { wall, steady }
    }

    /// Whether anything told how it is.
    pub(crate) fn knows(&self) -> bool {
        self.now != Now::Unknown || !self.outages.is_empty()
    }

    fn passed(&mut self, at: Moment) {
        self.first.get_or_insert(at);
        if self.last.is_none_or(|last| last.steady <= at.steady) {
            self.last = Some(at);
        }
    }

    /// The clock was set: nobody knows how the time went that it was set over.
    fn jumped(&mut self, jump: Jump, at: Moment) {
        let hole = Hole {
            from: jump.from,
            to: jump.to,
            length_s: 0.0,
            cause: "the clock was set".to_owned(),
            steady: (at.steady, at.steady),
        };
        keep(&mut self.gaps, hole, &mut 0.0);
    }

    fn start(&mut self, at: Moment) {
        match self.now {
            // Started without a word of an end before it: the end was not written down.
            Now::Up => self.stop(at, "restarted"),
            Now::Unknown => self.down(at, "starting"),
            Now::Down { .. } => {}
        }
        self.unit_down = false;
        self.tells_states = false;
        self.login_failed = false;
        self.refused_at = None;
        self.logins_down.clear();
    }

    /// Where states are hidden, the end of the start is all that can be known.
    fn started_unseen(&mut self, at: Moment) {
        self.hides_states = true;
        if !self.login_failed {
            self.up(at);
        }
    }

    /// The end of a loop of refusals, which is not written down where states are hidden.
    fn refused_no_more(&mut self, at: Moment) {
        let Some(refused) = self.refused_at else {
            return;
        };
        if self.tells_states || between(refused.steady, at.steady) <= REFUSED_AGAIN {
            return;
        }
        self.refused_at = None;
        self.hides_states = true;
        self.up(later(refused, Duration::from_secs(10)));
    }

    fn stop(&mut self, at: Moment, cause: &str) {
        self.unit_down = true;
        match &mut self.now {
            Now::Down {
                stopped,
                cause: known,
                ..
            } => {
                // The exit status says more than the stop that it belongs to.
                if cause.starts_with("exit") || !*stopped {
                    cause.clone_into(known);
                }
                *stopped = true;
            }
            Now::Up | Now::Unknown => {
                self.now = Now::Down {
                    since: at,
                    cause: cause.to_owned(),
                    stopped: true,
                }
            }
        }
    }

    fn state(&mut self, state: &Told<'_>, at: Moment) {
        if self.unit_down {
            return;
        }
        if state.name == "CONNECTED" {
            self.logins_down.remove(&*state.login);
            if self.logins_down.is_empty() {
                self.up(at);
            }
            return;
        }
        self.logins_down.insert(state.login.to_string());
        self.down(at, &reason(&state.error, &state.message));
    }

    fn down(&mut self, at: Moment, told: &str) {
        match &mut self.now {
            Now::Down { cause, .. } if !told.is_empty() && !cause.starts_with("exit") => {
                told.clone_into(cause);
            }
            Now::Down { .. } => {}
            Now::Up | Now::Unknown => {
                self.now = Now::Down {
                    since: at,
                    cause: told.to_owned(),
                    stopped: false,
                }
            }
        }
    }

    fn up(&mut self, at: Moment) {
        match std::mem::replace(&mut self.now, Now::Up) {
            Now::Down {
                since,
                cause,
                stopped,
            } => self.close(since, at, cause, stopped),
            Now::Unknown => self.unknown_until(at),
            Now::Up => {}
        }
    }

    /// What was before the first word about it.
    fn unknown_until(&mut self, at: Moment) {
        if let Some(first) = self.first
            && between(first.steady, at.steady) > GRACE
            && self.gaps.is_empty()
        {
            self.gap(first, at, "no line tells how it was");
        }
    }

    fn close(&mut self, since: Moment, to: Moment, cause: String, stopped: bool) {
        let length = between(since.steady, to.steady);
        if stopped || length > GRACE {
            let hole = hole(since, to, cause);
            keep(&mut self.outages, hole, &mut self.further_s);
        }
    }

    fn gap(&mut self, from: Moment, to: Moment, cause: &str) {
        let hole = hole(from, to, cause.to_owned());
        keep(&mut self.gaps, hole, &mut 0.0);
    }

    /// A new boot: a clean stop before it is an outage by reboot, none is a power cut, and nobody knows when it came.
    fn reboot(&mut self, boot: &str, at: Moment) {
        if boot.is_empty() || self.boot == boot {
            return;
        }
        let before = std::mem::replace(&mut self.boot, boot.to_owned());
        let Some(last) = self.last.filter(|_| !before.is_empty()) else {
            return;
        };
        let end = self.ends.get(&before).map(|end| self.moment(*end));
        let last = end.filter(|end| end.steady > last.steady && end.steady < at.steady);
        let last = last.or(self.last).unwrap_or(at);
        match std::mem::take(&mut self.now) {
            Now::Down {
                since,
                mut cause,
                stopped: true,
            } => {
                if cause == "stopped" {
                    "reboot".clone_into(&mut cause);
                }
                self.now = Now::Down {
                    since,
                    cause,
                    stopped: true,
                };
                return;
            }
            Now::Down {
                since,
                cause,
                stopped: false,
            } => self.close(since, last, cause, false),
            Now::Up | Now::Unknown => {}
        }
        self.gap(last, at, "reboot without a clean stop");
        self.now = Now::Down {
            since: at,
            cause: "start after a power cut".to_owned(),
            stopped: true,
        };
    }

    /// A record of `status --every --json`. False if the text is none.
    fn sample(&mut self, text: &str) -> bool {
        if !sample::is_record(text) {
            return false;
        }
        let Some(sample) = sample::read(text) else {
            return true;
        };
        let at = Moment {
            wall: sample.at,
            steady: sample.at,
        };
        self.sampled(at);
        if let Some(state) = sample.state {
            self.state(&state, at);
        }
        true
    }

    /// Moves on to the next sample. A recorder that did not run leaves a gap.
    fn sampled(&mut self, at: Moment) {
        let last = self.last_sample.replace(at);
        if let Some(last) = last.filter(|last| between(last.steady, at.steady) > SAMPLES_APART) {
            self.up(last);
            self.gap(last, at, "no samples");
            self.now = Now::Unknown;
        }
        self.passed(at);
    }

    /// Closes the record at `to`; what is down then is still down.
    pub(crate) fn finish(mut self, to: Moment) -> Self {
        self.refused_no_more(to);
        match self.now.clone() {
            Now::Down {
                since,
                cause,
                stopped,
            } => self.close(since, to, cause, stopped),
            Now::Unknown if self.last_sample.is_none() => self.unknown_until(to),
            Now::Unknown | Now::Up => {}
        }
        self
    }
}
