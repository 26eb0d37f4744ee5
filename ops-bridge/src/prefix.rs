//! What stands before a line where a program printed it for people: journalctl in its short forms, a container's log.
//!
//! `journalctl` without `-o` leaves out the year and the time zone. Both are learnt from a line that has its own time.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use crate::pretty;

/// No prefix is longer.
const LONGEST: usize = 200;

/// A prefix that was taken apart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Prefix<'a> {
    pub(crate) time: When,
    /// The program or unit that wrote the line; empty where it is not told.
    pub(crate) who: &'a str,
    /// What follows.
    pub(crate) rest: &'a str,
}

/// The time of a prefix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum When {
    Exact(Timestamp),
    /// By a clock on a wall somewhere; the year is 0 where it is not told.
    Wall(DateTime),
    /// Since the boot.
    Counted(SignedDuration),
    Untold,
}

/// Takes the prefix off a line: `Nov 24 08:56:51 host name[12]: ` and what else journalctl writes; `name  | `,
/// `2026-11-24T08:56:51Z ` of containers. Nothing if there is none.
pub(crate) fn take(text: &str) -> Option<Prefix<'_>> {
    of_journalctl(text).or_else(|| of_container(text))
}

fn of_journalctl(text: &str) -> Option<Prefix<'_>> {
    let (head, rest) = text
        .split_once("]: ")
        .filter(|(head, _)| head.len() < LONGEST)?;
    let (before, pid) = head.rsplit_once('[')?;
    if pid.is_empty() || !pid.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (before, who) = before.rsplit_once(' ')?;
    let time = time(before.trim_start())?;
    Some(Prefix { time, who, rest })
}

/// The time that a text begins with; the host's name may follow.
fn time(text: &str) -> Option<When> {
    if let Some(counted) = text.strip_prefix('[') {
        let seconds = counted.split([']', '<']).next()?.trim().parse().ok()?;
        return Some(When::Counted(
            SignedDuration::try_from_secs_f64(seconds).ok()?,
        ));
    }
    let mut words = text.split_ascii_whitespace();
    let first = words.next()?;
    if let Some(at) = exact(first) {
        return Some(When::Exact(at));
    }
    if let Some(month) = month(first) {
        let day = words.next()?.parse().ok()?;
        let time = words.next()?.parse().ok()?;
        return Some(When::Wall(Date::new(0, month, day).ok()?.to_datetime(time)));
    }
    // `Tue 2026-11-24 08:56:51 UTC`
    let date: Date = words.next()?.parse().ok()?;
    let time: Time = words.next()?.parse().ok()?;
    let at = date.to_datetime(time);
    if words.next() == Some("UTC") {
        return Offset::UTC.to_timestamp(at).ok().map(When::Exact);
    }
    Some(When::Wall(at))
}

/// `2026-11-24T08:56:51+0100`, with a colon and a fraction or without, or seconds since 1970.
fn exact(word: &str) -> Option<Timestamp> {
    let bytes = word.as_bytes();
    if bytes.get(4) == Some(&b'-') && bytes.get(10) == Some(&b'T') {
        return word.parse().ok();
    }
    let (seconds, micros) = word.split_once('.')?;
    let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if seconds.len() < 9 || micros.len() != 6 || !is_number(seconds) || !is_number(micros) {
        return None;
    }
    format!("{seconds}{micros}")
        .parse()
        .ok()
        .and_then(|micros| Timestamp::from_microsecond(micros).ok())
}

fn month(word: &str) -> Option<i8> {
    const NAMES: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let place = NAMES.iter().position(|name| *name == word)?;
    i8::try_from(place + 1).ok()
}

/// `name-1  | LINE`, `2026-11-24T08:56:51.1Z LINE`, or both.
fn of_container(text: &str) -> Option<Prefix<'_>> {
    let (who, mut rest) = match text.split_once(" | ") {
        Some((who, rest)) if who.len() < LONGEST && !who.trim_end().contains(' ') => {
            (who.trim_end(), rest)
        }
        _ => ("", text),
    };
    let mut time = When::Untold;
    if pretty::parts(rest).is_none()
        && let Some((word, after)) = rest.split_once(' ')
        && let Some(at) = exact(word)
        && is_line(after)
    {
        (time, rest) = (When::Exact(at), after);
    }
    (is_line(rest) && rest.len() < text.len()).then_some(Prefix { time, who, rest })
}

/// Whether a text looks like a whole line of the bridge.
fn is_line(text: &str) -> bool {
    text.starts_with(r#"{"level":"#) || pretty::parts(text).is_some()
}

/// Turns the times of prefixes into instants.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calendar {
    /// How the wall's clock and the one since the boot are ahead of the instants; learnt.
    wall: Option<SignedDuration>,
    counted: Option<SignedDuration>,
    year: Option<i16>,
}

/// Zones are apart by so many seconds.
const QUARTER: i64 = 15 * 60;

impl Calendar {
    /// Learns from a line that has a time of its own.
    pub(crate) fn learn(&mut self, time: When, own: Timestamp) {
        match time {
            When::Wall(at) => {
                let year = Offset::UTC.to_datetime(own).year();
                // Around the turn of a year the wall may be in another one.
                let candidates = [year - 1, year, year + 1];
                let ahead = candidates
                    .into_iter()
                    .filter_map(|year| Some((year, ahead(with_year(at, year)?, own)?)))
                    .min_by_key(|(_, ahead)| ahead.abs());
                let Some((year, ahead)) = ahead else { return };
                let quarters = (ahead.as_secs() + QUARTER / 2).div_euclid(QUARTER);
                self.wall = Some(SignedDuration::from_secs(quarters * QUARTER));
                self.year = Some(year);
            }
            When::Counted(at) => {
                let since_epoch = SignedDuration::from_micros(own.as_microsecond());
                self.counted = Some(since_epoch - at);
            }
            When::Exact(_) | When::Untold => {}
        }
    }

    /// Whether there is something to learn before such a time can be read.
    pub(crate) fn lacks(&self, time: When) -> bool {
        match time {
            When::Wall(_) => self.wall.is_none(),
            When::Counted(_) => self.counted.is_none(),
            When::Exact(_) | When::Untold => false,
        }
    }

    /// The instant of a prefix. Where nothing was learnt the zone is that of this machine, and the year the last one that fits.
    pub(crate) fn read(&mut self, time: When) -> Option<Timestamp> {
        match time {
            When::Exact(at) => Some(at),
            When::Untold => None,
            When::Counted(at) => {
                let since_epoch = self.counted? + at;
                let micros = i64::try_from(since_epoch.as_micros()).ok()?;
                Timestamp::from_microsecond(micros).ok()
            }
            When::Wall(at) => match self.wall {
                Some(ahead) => {
                    let at = with_year(at, self.year?)?;
                    Offset::UTC.to_timestamp(at).ok()?.checked_sub(ahead).ok()
                }
                None => here(at),
            },
        }
    }
}

fn here(at: DateTime) -> Option<Timestamp> {
    let now = Timestamp::now();
    let read = |year| {
        let at = with_year(at, year)?;
        TimeZone::system().to_timestamp(at).ok()
    };
    let year = Offset::UTC.to_datetime(now).year();
    let tomorrow = now.checked_add(SignedDuration::from_hours(24)).ok()?;
    [year + 1, year]
        .into_iter()
        .filter_map(read)
        .find(|at| *at <= tomorrow)
        .or_else(|| read(year - 1))
}

fn with_year(at: DateTime, year: i16) -> Option<DateTime> {
    if at.year() != 0 {
        return Some(at);
    }
    at.with().year(year).build().ok()
}

fn ahead(wall: DateTime, own: Timestamp) -> Option<SignedDuration> {
    Some(Offset::UTC.to_timestamp(wall).ok()?.duration_since(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(at: Option<Timestamp>) -> Option<i64> {
        at.map(Timestamp::as_second)
    }

    #[test]
    fn every_form_of_journalctl_has_its_time() {
        let own: Timestamp = "2026-11-24T08:56:51.5Z".parse().unwrap();
        for head in [
            "Nov 24 09:56:51",
            "Nov 24 09:56:51.500000",
            "Tue 2026-11-24 08:56:51 UTC",
            "Tue 2026-11-24 09:56:51 CET",
            "2026-11-24T09:56:51+0100",
            "2026-11-24T09:56:51.500000+01:00",
            "1795510611.500000",
            "[ 6049.669957]",
            "[ 6049.669957 <    0.093207 >]",
        ] {
            let text = format!("{head} host mautrix-slack[12]: INF tick a=[1]: b");
            let prefix = take(&text).unwrap_or_else(|| panic!("{head}"));
            assert_eq!(
                (prefix.who, prefix.rest),
                ("mautrix-slack", "INF tick a=[1]: b"),
                "{head}"
            );
            let mut calendar = Calendar::default();
            calendar.learn(prefix.time, own);
            assert_eq!(
                seconds(calendar.read(prefix.time)),
                Some(own.as_second()),
                "{head}"
            );
        }
    }

    #[test]
    fn the_turn_of_a_year_and_of_a_clock() {
        let mut calendar = Calendar::default();
        let wall = |text: &str| take(text).unwrap().time;
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let new_year = wall("Jan  1 00:30:00 h x[1]: INF a");
        calendar.learn(new_year, at("2025-12-31T23:30:00Z"));
        assert_eq!(calendar.read(new_year), Some(at("2025-12-31T23:30:00Z")));
        // Summer time is learnt with the next line that has its own time.
        let summer = wall("Jun  1 12:00:00 h x[1]: INF a");
        calendar.learn(summer, at("2026-06-01T10:00:00Z"));
        assert_eq!(calendar.read(summer), Some(at("2026-06-01T10:00:00Z")));
        // February the 29th is in some years only.
        let leap = wall("Feb 29 12:00:00 h x[1]: INF a");
        calendar.learn(leap, at("2028-02-29T12:00:00Z"));
        assert_eq!(calendar.read(leap), Some(at("2028-02-29T12:00:00Z")));
    }

    #[test]
    fn containers_and_what_is_no_prefix() {
        let prefix = take(r#"slack-1  | {"level":"info"}"#).unwrap();
        assert_eq!(
            (prefix.who, prefix.rest),
            ("slack-1", r#"{"level":"info"}"#)
        );
        let text = "2026-11-24T08:56:51.1Z 2026-11-24T08:56:51.1Z INF a";
        assert_eq!(take(text).unwrap().rest, "2026-11-24T08:56:51.1Z INF a");
        for text in [
            "",
            "2026-11-24T08:56:51.1Z INF a",
            "INF a | b",
            "panic: x [recovered]: y",
            "Nov 24 08:56:51 host name[x]: y",
            "x[1]: y",
            "Nov 99 08:56:51 host name[1]: y",
            "[x] host name[1]: y",
            "99999999999999999999.000000 host name[1]: y",
        ] {
            assert_eq!(take(text), None, "{text}");
        }
    }
}
