//! `uptime`: for what share of the time could messages flow, and what took the rest.
//!
//! Down is: the unit stopped, until a login is connected again; or a login in another state than CONNECTED for longer than the
//! grace time. A time that nobody wrote about, after a power cut or where the journal begins later, is a gap: neither up nor down.

use std::time::Duration;

use jiff::Timestamp;
use ops_common::check::{Check, State};
use ops_common::host::Host;
use serde_json::json;

use crate::availability::{Availability, GRACE};
use crate::connection::between;
use crate::error::Error;
use crate::event;
use crate::hole::{Hole, Moment};
use crate::source::{self, Bounds, File, Window};
use crate::verdict::words;

/// The name of the check.
pub(crate) const CHECK: &str = "bridge.uptime";

/// The lines that matter; the rest stays on the host.
const PATTERN: &str = "bridge state|Initializing bridge|Bridge started|No user logins found|Shutting down bridge|process exited|\
    Failed to fetch (team|user) info|Failed to connect|Error in socket mode|^(Started|Stopping|Stopped) |Deactivated";

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
    let mut seen = Availability::with_ends(source::boot_ends(host)?);
    let mut arguments = source::journalctl(unit, window);
    arguments.push(format!("--grep={PATTERN}"));
    arguments.push("--case-sensitive=yes".to_owned());
    // How it was when the window began stands in the lines before it.
    let before = source::before(&arguments);
    let mut observe = |line: &crate::line::Line<'_>| seen.observe(line, &event::of(line));
    if let Some(before) = before {
        source::read_host(host, unit, &before, &mut observe)?;
    }
    let now = source::read_host(host, unit, &arguments, &mut observe)?;
    Ok(vec![judge(seen, window.fixed(now), now, target)])
}

/// Looks at a file or stdin: a journal, or recorded samples. Now is the time of the last line.
pub(crate) fn look_file(file: File<'_>, window: Window, target: f64) -> Result<Vec<Check>, Error> {
    let mut seen = Availability::default();
    let until = Window {
        since: None,
        ..window
    };
    source::read_file(file, until, |line| seen.observe(line, &event::of(line)))?;
    let now = seen.last.map_or_else(Timestamp::now, |last| last.wall);
    Ok(vec![judge(seen, window.fixed(now), now, target)])
}

/// The share of the time within `bounds`, seen from `now`, against the target.
pub(crate) fn judge(mut seen: Availability, bounds: Bounds, now: Timestamp, target: f64) -> Check {
    let to = seen.moment(bounds.until.unwrap_or(now));
    let (Some(first), true) = (seen.first, seen.knows()) else {
        return Check::unknown(CHECK, "", "no line tells whether it was connected").limit(target);
    };
    seen = seen.finish(to);
    let from = match bounds.since {
        Some(since) => Moment {
            wall: since,
            // By the clock that was never set, counted back from the end.
            steady: to
                .steady
                .checked_sub(to.wall.duration_since(since))
                .unwrap_or(since),
        },
        None => first,
    };
    if between(from.steady, first.steady) > GRACE {
        let cause = "the journal begins later".to_owned();
        let length_s = between(from.steady, first.steady).as_secs_f64();
        let steady = (from.steady, first.steady);
        let (from, to) = (from.wall, first.wall);
        let hole = Hole {
            from,
            to,
            length_s,
            cause,
            steady,
        };
        seen.gaps.insert(0, hole);
    }
    clip(&mut seen.outages, from, to);
    clip(&mut seen.gaps, from, to);
    of_time(&seen, from, to, target)
}

/// Leaves of each hole what lies within the time.
fn clip(holes: &mut Vec<Hole>, from: Moment, to: Moment) {
    for hole in holes.iter_mut() {
        if hole.steady.0 < from.steady {
            (hole.from, hole.steady.0) = (from.wall, from.steady);
        }
        if hole.steady.1 > to.steady {
            (hole.to, hole.steady.1) = (to.wall, to.steady);
        }
        if hole.length_s > 0.0 {
            hole.length_s = between(hole.steady.0, hole.steady.1).as_secs_f64();
        }
    }
    holes.retain(|hole| hole.steady.0 <= to.steady && hole.steady.1 >= from.steady);
    holes.retain(|hole| hole.length_s > 0.0 || hole.from != hole.to);
}

fn of_time(seen: &Availability, from: Moment, to: Moment, target: f64) -> Check {
    let (down, gap) = (total(&seen.outages) + seen.further_s, total(&seen.gaps));
    let whole = between(from.steady, to.steady).as_secs_f64();
    let observed = (whole - gap).max(0.0);
    let budget = observed * (100.0 - target) / 100.0;
    let share = if observed > 0.0 {
        100.0 * (observed - down).max(0.0) / observed
    } else {
        0.0
    };
    let subject = words(Duration::try_from_secs_f64(whole).unwrap_or_default());
    let data = json!({
        "from": from.wall, "to": to.wall, "observed_s": observed, "down_s": down, "gap_s": gap, "budget_s": budget,
        "left_s": budget - down, "outages": seen.outages, "gaps": seen.gaps, "days": days(seen, from, to),
    });
    if observed <= 0.0 {
        return Check::unknown(CHECK, subject, "no line tells whether it was connected")
            .limit(target)
            .data(data);
    }
    let seconds =
        |seconds: f64| words(Duration::try_from_secs_f64(seconds.abs()).unwrap_or_default());
    let left = if budget >= down {
        format!("{} of the budget left", seconds(budget - down))
    } else {
        format!("{} over the budget", seconds(down - budget))
    };
    let mut message = format!(
        "{share:.3}% {} {} outages, {}, {left}",
        strip(seen, from, to),
        seen.outages.len(),
        seconds(down)
    );
    let status = if share < target {
        State::Fail
    } else if seen.hides_states {
        message.push_str("; at the log level info only stops show");
        State::Unknown
    } else {
        State::Ok
    };
    Check::new(status, CHECK, subject, message)
        // Down to a millionth, and never rounded up to the target.
        .value((share * 1e6).floor() / 1e6, "%")
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
        .map(|hole| between(hole.steady.0.max(from), hole.steady.1.min(to)).as_secs_f64())
        .sum()
}

/// The days of the window, from its end backwards in steps of 24 hours, the oldest first.
fn steps(from: Timestamp, to: Timestamp) -> Vec<(Timestamp, Timestamp)> {
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

fn days(seen: &Availability, from: Moment, to: Moment) -> Vec<serde_json::Value> {
    let day = |(from, to): (Timestamp, Timestamp)| json!({"from": from, "to": to, "down_s": within(&seen.outages, from, to), "gap_s": within(&seen.gaps, from, to)});
    steps(from.steady, to.steady).into_iter().map(day).collect()
}

/// One sign a day: full where nothing was missing, lower the longer it was down, a blank for a day without any line.
fn strip(seen: &Availability, from: Moment, to: Moment) -> String {
    let sign = |(from, to): (Timestamp, Timestamp)| {
        let (whole, down, gap) = (
            between(from, to).as_secs_f64(),
            within(&seen.outages, from, to),
            within(&seen.gaps, from, to),
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
    let days = steps(from.steady, to.steady);
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

    fn read(text: &str) -> Availability {
        let mut uptime = Availability::default();
        let mut reader = Reader::new(text.as_bytes());
        while let Some(line) = reader.next().unwrap() {
            uptime.observe(&line, &event::of(&line));
        }
        uptime
    }

    fn judged(text: &str) -> Check {
        let uptime = read(text);
        let to = uptime.last.unwrap().wall;
        judge(uptime, Bounds::default(), to, 99.0)
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
