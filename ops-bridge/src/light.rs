//! The short way through a line of the journal. The bridge's own JSON stands escaped in a field of the journal's, among two dozen
//! others: what matters of it is found without taking the journal's JSON apart, and most lines of a bridge at debug are looked at
//! for their time, level and message only.
//!
//! What this does not understand goes the long way.

use std::cell::Cell;
use std::ops::Range;

use jiff::{SignedDuration, Timestamp};
use memchr::memmem::Finder;

use crate::event;
use crate::line::{Envelope, Level};
use crate::origin::Origin;

/// How the bridge's JSON begins within the journal's, how its message does, which is written last, and how it ends.
const START: &str = r#""MESSAGE":"{\"level\":\""#;
const MESSAGE: &[u8] = br#"\"message\":\""#;
const END: &[u8] = br#"\"}"#;

/// The bridge's own writer for the journal was used: nothing here is as it should be.
const NATIVE: &str = r#""JSON":""#;

/// No message that matters is longer, name and all.
const LONGEST: usize = 200;

/// Finds things in lines.
#[derive(Clone, Debug)]
pub(crate) struct Light {
    start: Place,
    next: Finder<'static>,
    native: Finder<'static>,
    at: Place,
    counted: Place,
    boot: Place,
    unit: Place,
}

/// Finds the name of a field, most often where it stood in the line before: journalctl writes the lines of one program with the
/// same fields in the same order, and most of them are as long as before.
#[derive(Clone, Debug)]
struct Place {
    name: Finder<'static>,
    /// How far it was from the start of the line before, and from its end.
    from_start: Cell<usize>,
    from_end: Cell<usize>,
}

impl Place {
    fn of(name: &'static str) -> Self {
        Self {
            name: Finder::new(name),
            from_start: Cell::new(0),
            from_end: Cell::new(0),
        }
    }

    /// Where it stands.
    fn find(&self, raw: &[u8]) -> Option<usize> {
        let name = self.name.needle();
        let is_here = |at: &usize| raw.get(*at..).is_some_and(|rest| rest.starts_with(name));
        let from_end = raw.len().checked_sub(self.from_end.get());
        if let Some(at) = from_end.filter(is_here) {
            return Some(at);
        }
        if let Some(at) = Some(self.from_start.get()).filter(is_here) {
            return Some(at);
        }
        let at = self.name.find(raw)?;
        self.from_start.set(at);
        self.from_end.set(raw.len() - at);
        Some(at)
    }

    /// The value behind it, which holds no quotes.
    fn value<'a>(&self, raw: &'a [u8]) -> Option<&'a [u8]> {
        let value = &raw[self.find(raw)? + self.name.needle().len()..];
        Some(&value[..memchr::memchr(b'"', value)?])
    }
}

/// What was found: places in the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nobody looks at the fields.
    Message(Level, Range<usize>),
    /// The bridge's JSON, escaped.
    Inner(Range<usize>),
}

impl Light {
    pub(crate) fn new() -> Self {
        Self {
            start: Place::of(START),
            next: Finder::new(r#"",""#),
            native: Finder::new(NATIVE),
            at: Place::of(r#""__REALTIME_TIMESTAMP":""#),
            counted: Place::of(r#""__MONOTONIC_TIMESTAMP":""#),
            boot: Place::of(r#""_BOOT_ID":""#),
            unit: Place::of(r#""_SYSTEMD_UNIT":""#),
        }
    }

    /// Looks into a line, and fills the envelope. Nothing if the line has to go the long way.
    pub(crate) fn find(
        &self,
        raw: &[u8],
        envelope: &mut Envelope,
        origin: Option<&Origin>,
    ) -> Option<Found> {
        if !raw.starts_with(b"{\"") || !raw.ends_with(b"\"}") {
            return None;
        }
        let start = self.start.find(raw)? + r#""MESSAGE":""#.len();
        // Every quote within is behind a backslash: a bare one ends the text, before the next field or the end of the line.
        let end = match self.next.find(&raw[start..]) {
            Some(length) => start + length,
            None => raw.len() - 2,
        };
        if end == 0 || raw[end - 1] != b'}' {
            return None;
        }
        if self
            .native
            .find(&raw[..start])
            .or_else(|| self.native.find(&raw[end..]))
            .is_some()
        {
            return None;
        }
        if let Some(origin) = origin
            && let Some(unit) = self.unit.value(raw)
            && !origin.is_named(std::str::from_utf8(unit).ok()?)
        {
            return None;
        }
        let micros: i64 = number(self.at.value(raw)?)?;
        envelope.at = Some(Timestamp::from_microsecond(micros).ok()?);
        envelope.counted = self
            .counted
            .value(raw)
            .and_then(number)
            .map(SignedDuration::from_micros);
        if let Some(boot) = self.boot.value(raw) {
            envelope.boot.push_str(std::str::from_utf8(boot).ok()?);
        }
        Some(message(raw, start..end).unwrap_or(Found::Inner(start..end)))
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    // Eighteen digits fit.
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    digits.iter().try_fold(0_i64, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + i64::from(digit - b'0'))
    })
}

/// The message of a line whose fields nobody looks at.
fn message(raw: &[u8], inner: Range<usize>) -> Option<Found> {
    let level = match raw
        .get(inner.start + r#"{\"level\":\""#.len()..)?
        .get(..5)?
    {
        b"debug" => Level::Debug,
        b"trace" => Level::Trace,
        [b'i', b'n', b'f', b'o', _] => Level::Info,
        _ => return None,
    };
    let end = inner.end - END.len();
    let near = inner.start.max(end.saturating_sub(LONGEST));
    let near_end = raw.get(near..end).filter(|_| raw[end..].starts_with(END))?;
    // The last quote opens the message, unless there is one in it.
    let start = memchr::memrchr(b'"', near_end)? + 1;
    if !near_end[..start].ends_with(MESSAGE) {
        return None;
    }
    let start = near + start;
    let message = std::str::from_utf8(&raw[start..end]).ok()?;
    let is_plain = memchr::memchr(b'\\', message.as_bytes()).is_none();
    (is_plain && !event::has_fields(message)).then_some(Found::Message(level, start..end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(raw: &str) -> Option<Result<(Level, &str), &str>> {
        let found = Light::new().find(raw.as_bytes(), &mut Envelope::default(), None)?;
        Some(match found {
            Found::Message(level, message) => Ok((level, &raw[message])),
            Found::Inner(inner) => Err(&raw[inner]),
        })
    }

    #[test]
    fn lines_without_fields_that_matter_go_the_short_way() {
        let line = |inner: &str| {
            format!(
                r#"{{"_PID":"1","MESSAGE":"{}","__REALTIME_TIMESTAMP":"1787130001000000","_BOOT_ID":"b"}}"#,
                inner.replace('"', "\\\"")
            )
        };
        let boring =
            line(r#"{"level":"debug","x":{"message":"y"},"message":"Handling remote event"}"#);
        assert_eq!(
            find(&boring),
            Some(Ok((Level::Debug, "Handling remote event")))
        );
        let info = line(r#"{"level":"info","message":"tick"}"#);
        assert_eq!(find(&info), Some(Ok((Level::Info, "tick"))));
        for inner in [
            r#"{"level":"error","message":"tick"}"#,
            r#"{"level":"debug","message":"Sent new bridge state"}"#,
            r#"{"level":"debug","message":"Reconnecting due to x"}"#,
            r#"{"level":"debug","x":"y"}"#,
            r#"{"level":"debug","message":"tick","x":1}"#,
            r#"{"level":"debug","message":"tick","x":{}}"#,
        ] {
            let escaped = inner.replace('"', "\\\"");
            assert_eq!(find(&line(inner)), Some(Err(&*escaped)), "{inner}");
        }
        for long in [
            r#"{"level":"debug","message":"tick""#,
            "{\"level\":\"debug\",\"message\":\"tick\"}\\n",
            "plain",
        ] {
            assert_eq!(find(&line(long)), None, "{long}");
        }
        assert_eq!(find(&boring.replace("_PID", "JSON")), None);
        assert_eq!(find(&boring[..boring.len() - 1]), None);
        assert_eq!(find(&boring.replace("__REALTIME_TIMESTAMP", "OTHER")), None);
    }
}
