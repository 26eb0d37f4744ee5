//! `uptime`: for what share of the time could messages flow, and what took the rest.
//!
//! Down is: the unit stopped, until a login is connected again; or a login in another state than CONNECTED for longer than the
//! grace time. A time that nobody wrote about, after a power cut or where the journal begins later, is a gap: neither up nor down.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::time::Duration;

use jiff::Timestamp;
use ops_common::check::{Check, State};
use ops_common::host::Host;
use serde::Serialize;
use serde_json::json;

use crate::connection::{between, reason};
use crate::error::Error;
use crate::event::{self, Event, State as Told, Step, UnitChange};
use crate::json;
use crate::line::{Level, Line, Writer};
use crate::source::{self, Window};
use crate::verdict::words;

/// The name of the check.
pub(crate) const CHECK: &str = "bridge.uptime";

/// An interruption up to this long is a refresh of the socket.
const GRACE: Duration = Duration::from_secs(30);

/// Recorded samples farther apart than this have a gap between them.
const SAMPLES_APART: Duration = Duration::from_mins(5);

/// The lines that matter; the rest stays on the host.
pub(crate) const PATTERN: &str = "bridge state|Initializing bridge|Bridge started|Shutting down bridge|process exited|\
    ^(Started|Stopping|Stopped) |Deactivated";

/// A time that was not up.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Hole {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) length_s: f64,
    pub(crate) cause: String,
}

/// The record of a time, read line by line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Uptime {
    now: Now,
    logins_down: BTreeSet<String>,
    tells_states: bool,
    unit_down: bool,
    boot: String,
    first_at: Option<Timestamp>,
    pub(crate) last_at: Option<Timestamp>,
    pub(crate) outages: Vec<Hole>,
    pub(crate) gaps: Vec<Hole>,
    last_sample: Option<Timestamp>,
}

/// How it is at the moment that has been read up to.
#[derive(Clone, Debug, Default, PartialEq)]
enum Now {
    /// Nothing has told yet.
    #[default]
    Unknown,
    Up,
    /// The unit was stopped in it, so it counts however short it is.
    Down {
        since: Timestamp,
        cause: String,
        stopped: bool,
    },
}

impl Uptime {
    /// Takes in a line.
    pub(crate) fn observe(&mut self, line: &Line<'_>, event: &Event<'_>) {
        if line.writer == Writer::Other && self.sample(&line.message) {
            return;
        }
        let Some(at) = line.at else { return };
        self.reboot(&line.envelope.boot, at);
        self.first_at.get_or_insert(at);
        self.last_at = self.last_at.max(Some(at));
        if line.writer == Writer::Bridge {
            self.tells_states |= line.level.is_some_and(|level| level <= Level::Debug);
        }
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
            // Where states are hidden, the end of the start is all that can be known.
            Event::Process(Step::Started) if !self.tells_states => self.up(at),
            Event::State(state) if !state.login.is_empty() => self.state(state, at),
            _ => {}
        }
    }

    fn start(&mut self, at: Timestamp) {
        // Started without a word of an end before it: the end was not written down.
        if self.now == Now::Up {
            self.stop(at, "restarted");
        }
        self.unit_down = false;
        self.tells_states = false;
        self.logins_down.clear();
    }

    fn stop(&mut self, at: Timestamp, cause: &str) {
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

    fn state(&mut self, state: &Told<'_>, at: Timestamp) {
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
        let told = reason(&state.error, &state.message);
        match &mut self.now {
            Now::Down { cause, .. } if !told.is_empty() && !cause.starts_with("exit") => {
                cause.clone_from(&told);
            }
            Now::Down { .. } => {}
            Now::Up | Now::Unknown => {
                self.now = Now::Down {
                    since: at,
                    cause: told,
                    stopped: false,
                }
            }
        }
    }

    fn up(&mut self, at: Timestamp) {
        if let Now::Down {
            since,
            cause,
            stopped,
        } = std::mem::replace(&mut self.now, Now::Up)
        {
            self.close(since, at, cause, stopped);
        }
    }

    fn close(&mut self, since: Timestamp, to: Timestamp, cause: String, stopped: bool) {
        if stopped || between(since, to) > GRACE {
            self.outages.push(hole(since, to, cause));
        }
    }

    /// A new boot: a clean stop before it is an outage by reboot, none is a power cut, and nobody knows when it came.
    fn reboot(&mut self, boot: &str, at: Timestamp) {
        if boot.is_empty() || self.boot == boot {
            return;
        }
        let is_first = self.boot.is_empty();
        boot.clone_into(&mut self.boot);
        let Some(last) = self.last_at.filter(|_| !is_first) else {
            return;
        };
        match &mut self.now {
            Now::Down {
                cause,
                stopped: true,
                ..
            } if cause == "stopped" => "reboot".clone_into(cause),
            Now::Down { .. } => {}
            Now::Up | Now::Unknown => {
                self.gaps
                    .push(hole(last, at, "reboot without a clean stop".to_owned()));
                self.now = Now::Down {
                    since: at,
                    cause: "start after a power cut".to_owned(),
                    stopped: true,
                };
            }
        }
    }

    /// A record of `status --every --json`. False if the text is none.
    fn sample(&mut self, text: &str) -> bool {
        if !text.starts_with(r#"{"check":"bridge.connection_status""#) {
            return text.starts_with(r#"{"check":"#);
        }
        let mut record = [None, None, None, None];
        let names = ["at", "status", "message", "subject"];
        for (key, value) in json::members(text).flatten() {
            if let Some(place) = names.iter().position(|name| *name == key) {
                record[place] = Some(value.text());
            }
        }
        let [Some(at), Some(status), message, login] = record else {
            return true;
        };
        let Ok(at) = at.parse::<Timestamp>() else {
            return true;
        };
        self.sampled(at);
        let (name, message) = match &*status {
            "ok" | "warn" => ("CONNECTED", None),
            "fail" => ("DOWN", message),
            _ => return true,
        };
        let state = Told {
            login: login.unwrap_or_default(),
            name: name.into(),
            message: message.unwrap_or_default(),
            ..Told::default()
        };
        self.state(&state, at);
        true
    }

    /// Moves on to the next sample. A recorder that did not run leaves a gap.
    fn sampled(&mut self, at: Timestamp) {
        let last = self.last_sample.replace(at);
        if let Some(last) = last.filter(|last| between(*last, at) > SAMPLES_APART) {
            self.up(last);
            self.gaps.push(hole(last, at, "no samples".to_owned()));
            self.now = Now::Unknown;
        }
        self.first_at.get_or_insert(at);
        self.last_at = self.last_at.max(Some(at));
    }

    /// Closes the record at `to`; what is down then is still down.
    fn finish(mut self, since: Option<Timestamp>, to: Timestamp) -> Self {
        if let Now::Down {
            since,
            cause,
            stopped,
        } = self.now.clone()
        {
            self.close(since, to, cause, stopped);
        }
        if let (Some(since), Some(first)) = (since, self.first_at)
            && between(since, first) > GRACE
        {
            self.gaps
                .insert(0, hole(since, first, "the journal begins later".to_owned()));
        }
        self
    }
}

fn hole(from: Timestamp, to: Timestamp, cause: String) -> Hole {
    Hole {
        from,
        to,
        length_s: between(from, to).as_secs_f64(),
        cause,
    }
}

/// A share such as `99%`.
pub(crate) fn target(text: &str) -> Result<f64, Error> {
    let share: Option<f64> = text
        .trim()
        .strip_suffix('%')
        .and_then(|number| number.trim().parse().ok());
    share
        .filter(|share| (0.0..=100.0).contains(share))
        .ok_or_else(|| Error::Target(text.to_owned()))
}

/// Looks at a host.
pub(crate) fn look_host(
    host: &Host,
    unit: &str,
    window: Window,
    target: f64,
) -> Result<Vec<Check>, Error> {
    let mut uptime = Uptime::default();
    let mut arguments = source::journalctl(unit, window);
    arguments.push(format!("--grep={PATTERN}"));
    arguments.push("--case-sensitive=yes".to_owned());
    let now = source::read_host(host, unit, &arguments, |line| {
        uptime.observe(line, &event::of(line));
    })?;
    let bounds = window.fixed(now);
    Ok(vec![judge(
        uptime,
        bounds.since,
        bounds.until.unwrap_or(now),
        target,
    )])
}

/// Looks at a file or stdin: a journal, or recorded samples.
pub(crate) fn look_file(name: &OsStr, window: Window, target: f64) -> Result<Vec<Check>, Error> {
    let mut uptime = Uptime::default();
    source::read_file(name, window, |line| uptime.observe(line, &event::of(line)))?;
    let now = uptime.last_at.unwrap_or_else(Timestamp::now);
    let bounds = window.fixed(now);
    Ok(vec![judge(
        uptime,
        bounds.since,
        bounds.until.unwrap_or(now),
        target,
    )])
}

/// The share of the time, against the target.
pub(crate) fn judge(uptime: Uptime, since: Option<Timestamp>, to: Timestamp, target: f64) -> Check {
    let Some(from) = since.or(uptime.first_at) else {
        return Check::unknown(CHECK, "", "no line tells anything").limit(target);
    };
    let knows = uptime.now != Now::Unknown || !uptime.outages.is_empty();
    let uptime = uptime.finish(since, to);
    let (down, gap) = (total(&uptime.outages), total(&uptime.gaps));
    let whole = between(from, to).as_secs_f64();
    let observed = (whole - gap).max(0.0);
    let budget = observed * (100.0 - target) / 100.0;
    let share = if observed > 0.0 {
        100.0 * (observed - down).max(0.0) / observed
    } else {
        0.0
    };
    let subject = words(Duration::try_from_secs_f64(whole).unwrap_or_default());
    let data = json!({
        "from": from, "to": to, "observed_s": observed, "down_s": down, "gap_s": gap, "budget_s": budget, "left_s": budget - down,
        "outages": uptime.outages, "gaps": uptime.gaps, "days": days(&uptime, from, to),
    });
    if !knows || observed <= 0.0 {
        return Check::unknown(CHECK, subject, "no line tells whether it was connected")
            .limit(target)
            .data(data);
    }
    let status = if share < target {
        State::Fail
    } else {
        State::Ok
    };
    let seconds =
        |seconds: f64| words(Duration::try_from_secs_f64(seconds.abs()).unwrap_or_default());
    let left = if budget >= down {
        format!("{} of the budget left", seconds(budget - down))
    } else {
        format!("{} over the budget", seconds(down - budget))
    };
    let message = format!(
        "{share:.3}% {} {} outages, {}, {left}",
        strip(&uptime, from, to),
        uptime.outages.len(),
        seconds(down)
    );
    Check::new(status, CHECK, subject, message)
        .value(share, "%")
        .limit(target)
        .data(data)
}

fn total(holes: &[Hole]) -> f64 {
    holes.iter().map(|hole| hole.length_s).sum()
}

/// The part of holes within a day.
fn within(holes: &[Hole], from: Timestamp, to: Timestamp) -> f64 {
    holes
        .iter()
        .map(|hole| between(hole.from.max(from), hole.to.min(to)).as_secs_f64())
        .sum()
}

/// The days of the window, from its end backwards in steps of 24 hours, the oldest first.
fn bounds(from: Timestamp, to: Timestamp) -> Vec<(Timestamp, Timestamp)> {
    let mut days = Vec::new();
    let mut end = to;
    while end > from && days.len() < 400 {
        let start = end
            .checked_sub(Duration::from_hours(24))
            .map_or(from, |start| start.max(from));
        days.push((start, end));
        end = start;
    }
    days.reverse();
    days
}

fn days(uptime: &Uptime, from: Timestamp, to: Timestamp) -> Vec<serde_json::Value> {
    let day = |(from, to): (Timestamp, Timestamp)| json!({"from": from, "to": to, "down_s": within(&uptime.outages, from, to), "gap_s": within(&uptime.gaps, from, to)});
    bounds(from, to).into_iter().map(day).collect()
}

/// One sign a day: full where nothing was missing, lower the longer it was down, a blank for a day without any line.
fn strip(uptime: &Uptime, from: Timestamp, to: Timestamp) -> String {
    let sign = |(from, to): (Timestamp, Timestamp)| {
        let (whole, down, gap) = (
            between(from, to).as_secs_f64(),
            within(&uptime.outages, from, to),
            within(&uptime.gaps, from, to),
        );
        match down {
            _ if gap > whole * 0.99 => ' ',
            down if down <= 0.0 => '█',
            down if down < whole * 0.01 => '▇',
            down if down < whole * 0.1 => '▅',
            down if down < whole * 0.5 => '▃',
            _ => '▁',
        }
    };
    let days = bounds(from, to);
    let last = days.len().saturating_sub(31);
    format!(
        "[{}]",
        days.into_iter().skip(last).map(sign).collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::log;
    use crate::reader::Reader;

    fn read(text: &str) -> Uptime {
        let mut uptime = Uptime::default();
        let mut reader = Reader::new(text.as_bytes());
        while let Some(line) = reader.next().unwrap() {
            uptime.observe(&line, &event::of(&line));
        }
        uptime
    }

    fn judged(text: &str) -> Check {
        let uptime = read(text);
        let to = uptime.last_at.unwrap();
        judge(uptime, None, to, 99.0)
    }

    #[test]
    fn refreshes_cost_nothing_and_outages_their_length() {
        let lines = [
            "0 start",
            "0 CONNECTING",
            "0 CONNECTED",
            "1000 CONNECTING",
            "1000.01 CONNECTED",
            "2000 CONNECTING",
            "2000 TRANSIENT_DISCONNECT slack-socketmode-connection-error",
            "2100 CONNECTING",
            "2100 CONNECTED",
            "3000 stopping",
            "3001 stopped",
            "3005 start",
            "3006 CONNECTING",
            "3007 CONNECTED",
            "10000 CONNECTING",
            "10000 CONNECTED",
        ];
        let check = judged(&log(&lines));
        assert_eq!(
            (&check.data["down_s"], check.status),
            (&json!(107.0), State::Fail),
            "{check:?}"
        );
        assert_eq!(
            check.data["outages"][0]["cause"],
            "slack-socketmode-connection-error"
        );
        assert_eq!(check.data["outages"][1]["length_s"], 7.0);
        assert_eq!(check.data["budget_s"], 100.0);
    }

    #[test]
    fn seven_days_at_99_percent_are_a_budget_of_6048_seconds() {
        let check = judged(&log(&["0 start", "0 CONNECTED", "604800 xINF tick"]));
        assert_eq!(
            (&check.data["budget_s"], check.value),
            (&json!(6048.0), Some(100.0))
        );
        assert!(check.message.contains("[███████]"), "{}", check.message);
    }

    #[test]
    fn a_reboot_is_an_outage_and_a_power_cut_a_gap() {
        let line = |at: u64, boot: u8, text: &str| {
            let text = text.replace('"', "\\\"");
            format!(
                "{{\"__REALTIME_TIMESTAMP\":\"{}000000\",\"_BOOT_ID\":\"b{boot}\",\"MESSAGE\":\"{text}\"}}\n",
                1_787_130_000 + at
            )
        };
        let connected = r"INF x";
        let state = |name: &str| {
            format!(
                r#"DBG Sent new bridge state bridge_state={{"state_event":"{name}"}} login_id=T1-U1"#
            )
        };
        let text = [
            line(0, 1, connected),
            line(0, 1, &state("CONNECTED")),
            line(100, 1, "INF Shutting down bridge"),
            line(160, 2, "DBG Initializing bridge"),
            line(161, 2, &state("CONNECTED")),
            line(500, 2, "DBG tick"),
            line(900, 3, "DBG Initializing bridge"),
            line(902, 3, &state("CONNECTED")),
            line(1000, 3, "DBG tick"),
        ]
        .concat();
        let check = judged(&text);
        assert_eq!(
            (
                &check.data["outages"][0]["length_s"],
                &check.data["outages"][0]["cause"]
            ),
            (&json!(61.0), &json!("reboot"))
        );
        assert_eq!(
            (&check.data["gaps"][0]["length_s"], &check.data["gap_s"]),
            (&json!(400.0), &json!(400.0))
        );
        assert_eq!(check.data["down_s"], 63.0);
    }

    #[test]
    fn recorded_samples_are_a_history_too() {
        let sample = |minute: u64, status: &str| {
            let at = Timestamp::from_second(i64::try_from(1_787_130_000 + minute * 60).unwrap())
                .unwrap();
            format!(
                r#"{{"check":"bridge.connection_status","host":"h","subject":"T1-U1","status":"{status}","message":"why","at":"{at}"}}"#
            )
        };
        let text = [
            sample(0, "ok"),
            sample(1, "fail"),
            sample(2, "fail"),
            sample(3, "ok"),
            sample(60, "ok"),
        ]
        .join("\n");
        let check = judged(&text);
        assert_eq!(
            (
                &check.data["down_s"],
                &check.data["gap_s"],
                &check.data["outages"][0]["cause"]
            ),
            (&json!(120.0), &json!(3420.0), &json!("why"))
        );
    }

    #[test]
    fn what_tells_nothing_is_never_an_uptime() {
        assert_eq!(
            judged("2026-08-19T09:00:01Z INF tick\n2026-08-19T10:00:01Z INF tick\n").status,
            State::Unknown
        );
        assert!(target("99").is_err() && target("101%").is_err());
    }
}
