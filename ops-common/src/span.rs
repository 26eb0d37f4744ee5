//! Lengths of time as people write them (`500ms`, `5s`, `10m`, `7d`), and moments given as a length before now or in RFC 3339.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;

/// A length of time: a whole or decimal number and one of `ms`, `s`, `m`, `h`, `d`, `w`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

/// A hundred years.
const LONGEST: Duration = Duration::from_hours(36_525 * 24);

const UNITS: [(&str, u64); 6] = [
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl Span {
    /// A span of whole seconds.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// A span of whole milliseconds.
    #[must_use]
    pub const fn milliseconds(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }

    /// The same length as the standard library has it.
    #[must_use]
    pub const fn duration(self) -> Duration {
        self.0
    }

    /// The length in seconds, the unit of every machine format.
    #[must_use]
    pub fn as_seconds(self) -> f64 {
        self.0.as_secs_f64()
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

/// A text that is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a length of time such as 500ms, 5s, 10m, 2h or 7d")]
pub struct NotASpan(String);

impl FromStr for Span {
    type Err = NotASpan;

    fn from_str(text: &str) -> Result<Self, NotASpan> {
        let wrong = || NotASpan(text.to_owned());
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(wrong)?;
        let (number, unit) = text.split_at(end);
        let (_, factor) = UNITS
            .into_iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(wrong)?;
        let number: f64 = number.parse().map_err(|_| wrong())?;
        #[expect(
            clippy::cast_precision_loss,
            reason = "a unit is far below 2^53 milliseconds"
        )]
        let seconds = number * factor as f64 / 1_000.0;
        let span = Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
        // Moments that lie further away than this cannot be counted to on every system.
        if span > LONGEST {
            return Err(wrong());
        }
        Ok(Self(span))
    }
}

impl fmt::Display for Span {
    /// Writes the span in the largest unit that needs no fraction.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        if milliseconds == 0 {
            return f.write_str("0s");
        }
        // Weeks are read, never written: `7d` is how people say it.
        let fits = UNITS
            .into_iter()
            .skip(1)
            .find(|(_, factor)| milliseconds.is_multiple_of(u128::from(*factor)));
        let (unit, factor) = fits.unwrap_or(("ms", 1));
        write!(f, "{}{unit}", milliseconds / u128::from(factor))
    }
}

impl<'de> serde::Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

/// What stands for a span in a file. A bare number is told as what it lacks.
struct Written;

impl serde::de::Visitor<'_> for Written {
    type Value = Span;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a length of time with its unit, such as 500ms, 5s, 10m, 2h or 7d")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Span, E> {
        text.parse().map_err(E::custom)
    }
}

impl serde::Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A moment as `--since` and `--until` take it: a span before now, or RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// So long before now, whatever now is where it is asked.
    Ago(Span),
    /// A fixed instant.
    At(Timestamp),
}

impl Moment {
    /// The instant that is meant, seen from `now`.
    #[must_use]
    pub fn instant(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(instant) => instant,
            Self::Ago(span) => now.checked_sub(span.0).unwrap_or(Timestamp::MIN),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(span) = text.parse() {
            return Ok(Self::Ago(span));
        }
        let instant = text.parse().map(Self::At);
        instant.map_err(|_| format!("'{text}' is neither a length of time such as 10m nor an instant such as 2026-01-31T12:00:00Z"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_written_back() {
        for text in ["500ms", "5s", "10m", "2h", "7d"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        assert_eq!("0.5s".parse::<Span>().unwrap().to_string(), "500ms");
        assert_eq!("120s".parse::<Span>().unwrap().to_string(), "2m");
        assert_eq!(Span::default().to_string(), "0s");
    }

    #[test]
    fn what_is_no_span_is_refused_by_name() {
        for text in [
            "",
            "5",
            "s",
            "5 s",
            "-5s",
            "5x",
            "1.2.3s",
            "99999999999999999999999w",
            "36526d",
        ] {
            let error = text.parse::<Span>().unwrap_err();
            assert!(error.to_string().contains(&format!("'{text}'")), "{error}");
        }
    }

    #[test]
    fn a_moment_is_a_span_ago_or_an_instant() {
        let now: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        let ago: Moment = "10m".parse().unwrap();
        assert_eq!(ago.instant(now).to_string(), "2026-01-31T11:50:00Z");
        let at: Moment = "2026-01-01T01:00:00+01:00".parse().unwrap();
        assert_eq!(at.instant(now).to_string(), "2026-01-01T00:00:00Z");
        assert!("yesterday".parse::<Moment>().is_err());
    }
}
