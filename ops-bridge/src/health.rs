//! `health`: thresholds over time, under the names of the platform's indicators.

use std::time::Duration;

use jiff::Timestamp;
use ops_common::check::{Check, State};
use ops_common::host::Host;
use ops_common::span::{Moment, Span};
use serde_json::json;

use crate::availability::Availability;
use crate::delays;
use crate::error::Error;
use crate::event;
use crate::history::History;
use crate::known::{Direction, Operation};
use crate::latency::Traffic;
use crate::line::Line;
use crate::problems::Problems;
use crate::settings::Settings;
use crate::socket;
use crate::source::{self, Bounds, File, Window};
use crate::status;
use crate::uptime;
use crate::verdict::advise;

/// The check that stands for all of them where nothing can be looked at.
pub(crate) const CHECK: &str = status::CHECK;

/// What is still healthy.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) window: Span,
    pub(crate) errors: u64,
    pub(crate) lost: u64,
    pub(crate) latency: Span,
    /// How old the last message may be; nothing for as old as it likes.
    pub(crate) stale: Option<Span>,
    pub(crate) uptime_window: Span,
    pub(crate) uptime: f64,
}

/// What the lines of the window tell.
#[derive(Default)]
struct Seen {
    history: History,
    problems: Problems,
    traffic: Traffic,
    uptime: Availability,
}

impl Seen {
    fn observe(&mut self, line: &Line<'_>) {
        let event = event::of(line);
        self.history.observe(line, &event);
        self.problems.observe(line, &event);
        self.traffic.observe(line, &event);
        self.uptime.observe(line, &event);
    }
}

/// Looks at a host: its state now, its journal of the window, and its states of the longer window.
pub(crate) fn look_host(
    host: &Host,
    settings: &Settings,
    limits: &Limits,
) -> Result<Vec<Check>, Error> {
    let now_checks = status::look(host, settings)?;
    let mut seen = Seen::default();
    let window = |span| Window {
        since: Some(Moment::Ago(span)),
        until: None,
    };
    source::read_host(
        host,
        &settings.unit,
        &source::journalctl(&settings.unit, window(limits.window)),
        |line| seen.observe(line),
    )?;
    let uptime = uptime::look_host(
        host,
        &settings.unit,
        window(limits.uptime_window),
        limits.uptime,
    )?;
    let mut checks: Vec<Check> = now_checks
        .into_iter()
        .filter(|check| check.check != "bridge.error_count")
        .map(|check| stale(check, limits))
        .collect();
    checks.extend(of_window(&seen, limits, limits.window));
    checks.extend(uptime);
    Ok(checks)
}

/// Looks at a file or stdin; now is the time of its last line, and the window is all of it.
pub(crate) fn look_file(
    file: File<'_>,
    window: Window,
    limits: &Limits,
) -> Result<Vec<Check>, Error> {
    let mut seen = Seen::default();
    let mut first: Option<Timestamp> = None;
    source::read_file(file, window, |line| {
        first = first.or(line.at);
        seen.observe(line);
    })?;
    let now = seen.history.last_at.unwrap_or_else(Timestamp::now);
    let length = Span::from(
        first
            .map(|first| crate::connection::between(first, now))
            .unwrap_or_default(),
    );
    let mut checks = connections(&seen.history, now);
    checks.extend(
        Direction::BOTH
            .into_iter()
            .map(|direction| stale(last_message(&seen.traffic, direction, now), limits)),
    );
    checks.extend(of_window(&seen, limits, length));
    checks.push(uptime::judge(
        std::mem::take(&mut seen.uptime),
        Bounds::default(),
        now,
        limits.uptime,
    ));
    Ok(checks)
}

fn connections(history: &History, now: Timestamp) -> Vec<Check> {
    if history.logins.is_empty() {
        return vec![socket::without_login(CHECK, history, now)];
    }
    history
        .logins
        .iter()
        .map(|(login, connection)| socket::of_login(CHECK, login, history, connection, now))
        .collect()
}

fn last_message(traffic: &Traffic, direction: Direction, now: Timestamp) -> Check {
    const NAME: &str = "bridge.last_successful_message";
    match traffic.last.get(&direction) {
        Some(at) => {
            let age = crate::connection::between(*at, now);
            let message = format!("{} ago", crate::verdict::words(age));
            Check::ok(NAME, direction.to_string(), message)
                .value(age.as_secs_f64(), "s")
                .data(json!({"last_at": at}))
        }
        None => Check::ok(NAME, direction.to_string(), "none in this time"),
    }
}

/// A last message that is too old, where there is a limit to it.
fn stale(mut check: Check, limits: &Limits) -> Check {
    if check.check != "bridge.last_successful_message" {
        return check;
    }
    let Some(limit) = limits.stale else {
        return check;
    };
    check.limit = Some(limit.as_seconds());
    if check.status == State::Ok && check.value.is_none_or(|age| age > limit.as_seconds()) {
        check.status = State::Fail;
        check.message = format!("{}: too long", check.message);
        check.fix = Some("prove it: ops-bridge ping --tokens FILE --host HOST".to_owned());
    }
    check
}

/// The checks of a window of time.
fn of_window(seen: &Seen, limits: &Limits, length: Span) -> Vec<Check> {
    let mut checks = vec![
        error_count(&seen.problems, limits, length),
        error_rate(&seen.problems, length),
    ];
    checks.extend(
        Direction::BOTH
            .into_iter()
            .map(|direction| messages_lost(&seen.problems, direction, limits, length)),
    );
    checks.extend(delays::judge(&seen.traffic, limits.latency.duration()));
    for (name, operation) in [
        ("bridge.reactions", Operation::Reaction),
        ("bridge.edits", Operation::Edit),
        ("bridge.attachments", Operation::File),
    ] {
        checks.extend(
            Direction::BOTH
                .into_iter()
                .map(|direction| bridged(seen, name, operation, direction)),
        );
    }
    checks
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of lines are far below 2^53"
)]
fn number(count: u64) -> f64 {
    count as f64
}

fn error_count(problems: &Problems, limits: &Limits, length: Span) -> Check {
    let status = if problems.total > limits.errors {
        State::Fail
    } else {
        State::Ok
    };
    let message = format!("{} errors in {length}", problems.total);
    let check = Check::new(status, "bridge.error_count", length.to_string(), message)
        .value(number(problems.total), "")
        .limit(number(limits.errors));
    advise(check, &format!("ops-bridge errors --since {length}"))
}

fn error_rate(problems: &Problems, length: Span) -> Check {
    let hours = (length.as_seconds() / 3600.0).max(f64::MIN_POSITIVE);
    let rate = if problems.total == 0 {
        0.0
    } else {
        number(problems.total) / hours
    };
    Check::ok("bridge.error_rate", length.to_string(), "errors an hour").value(rate, "")
}

fn messages_lost(
    problems: &Problems,
    direction: Direction,
    limits: &Limits,
    length: Span,
) -> Check {
    let lost = problems.lost_in(direction);
    let causes: Vec<_> = problems.lost.iter().filter(|((lost, ..), _)| *lost == direction).map(|((_, operation, cause), count)| json!({"operation": operation.to_string(), "cause": cause, "count": count})).collect();
    let status = if lost > limits.lost {
        State::Fail
    } else {
        State::Ok
    };
    let check = Check::new(
        status,
        "bridge.messages_lost",
        direction.to_string(),
        format!("{lost} lost in {length}"),
    );
    let check = check
        .value(number(lost), "")
        .limit(number(limits.lost))
        .data(json!({"causes": causes}));
    advise(check, &format!("ops-bridge errors --since {length}"))
}

fn bridged(seen: &Seen, name: &str, operation: Operation, direction: Direction) -> Check {
    let (bridged, failed) = (
        seen.traffic.bridged(direction, operation),
        seen.problems.lost_of(direction, operation),
    );
    let status = if failed > 0 { State::Warn } else { State::Ok };
    let message = if failed > 0 {
        format!("{bridged} bridged, {failed} failed")
    } else {
        format!("{bridged} bridged")
    };
    Check::new(status, name, direction.to_string(), message)
        .value(number(bridged), "")
        .data(json!({"bridged": bridged, "failed": failed}))
}

impl Limits {
    /// The limits of ops.yaml, over the usual windows.
    pub(crate) fn of(settings: &Settings) -> Result<Self, Error> {
        Ok(Self {
            window: Span::seconds(3600),
            errors: 10,
            lost: 0,
            latency: settings.latency_limit,
            stale: None,
            uptime_window: Span::from(Duration::from_hours(168)),
            uptime: uptime::target(&settings.uptime_target)?,
        })
    }
}
