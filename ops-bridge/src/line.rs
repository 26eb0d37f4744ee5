//! One line of a journal or log, whatever form it came in.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

pub(crate) use crate::envelope::Envelope;
use crate::{json, pretty};

/// The levels of the bridge's logger, from the least to the gravest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Everything, Slack's events included.
    Trace,
    /// The level at which the state of the connection shows.
    Debug,
    /// Starts, stops and trouble.
    Info,
    /// Trouble that may pass.
    Warn,
    /// Something failed.
    Error,
    /// The end of the process.
    Fatal,
}

impl Level {
    const NAMES: [(Self, &'static str, &'static str); 6] = [
        (Self::Trace, "trace", "TRC"),
        (Self::Debug, "debug", "DBG"),
        (Self::Info, "info", "INF"),
        (Self::Warn, "warn", "WRN"),
        (Self::Error, "error", "ERR"),
        (Self::Fatal, "fatal", "FTL"),
    ];

    /// The level that the bridge's text form writes so.
    pub(crate) fn from_short(short: &str) -> Option<Self> {
        if short == "PNC" {
            return Some(Self::Fatal);
        }
        Self::NAMES
            .into_iter()
            .find(|(_, _, name)| *name == short)
            .map(|(level, ..)| level)
    }

    /// The level of a syslog priority.
    fn from_priority(priority: &str) -> Option<Self> {
        match priority.parse::<u8>().ok()? {
            0..=2 => Some(Self::Fatal),
            3 => Some(Self::Error),
            4 => Some(Self::Warn),
            5 | 6 => Some(Self::Info),
            _ => Some(Self::Debug),
        }
    }

    fn name(self) -> &'static str {
        Self::NAMES[self as usize].1
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::NAMES
            .into_iter()
            .find(|(_, name, _)| *name == text)
            .map(|(level, ..)| level);
        found
            .or((text == "panic").then_some(Self::Fatal))
            .ok_or_else(|| format!("'{text}' is not trace, debug, info, warn, error or fatal"))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Who wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    /// The bridge's logger.
    Bridge,
    /// systemd, about the unit.
    Systemd,
    /// Anything else: a trace of a panic, a script of the unit, another program. Kept.
    Other,
}

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Line<'a> {
    /// When it was written: by the writer's clock where the line says so, else by the journal's.
    pub(crate) at: Option<Timestamp>,
    /// Nothing for lines of unknown form.
    pub(crate) level: Option<Level>,
    /// The message without its fields; the whole text for lines of unknown form.
    pub(crate) message: Cow<'a, str>,
    pub(crate) writer: Writer,
    pub(crate) envelope: &'a Envelope,
    fields: Form<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Form<'a> {
    Json(&'a str),
    Pretty(&'a str),
    Plain,
}

impl<'a> Line<'a> {
    /// Reads the text of a line. Every text is a line.
    pub(crate) fn read(text: &'a str, envelope: &'a Envelope) -> Self {
        Self::read_json(text, envelope)
            .or_else(|| Self::read_pretty(text, envelope))
            .unwrap_or_else(|| Self {
                at: envelope.at,
                level: Level::from_priority(&envelope.priority).filter(|_| envelope.from_systemd),
                message: Cow::Borrowed(text),
                writer: if envelope.from_systemd {
                    Writer::Systemd
                } else {
                    Writer::Other
                },
                envelope,
                fields: Form::Plain,
            })
    }

    /// A line of the bridge of which only this is known, and needed.
    pub(crate) fn light(level: Level, message: &'a str, envelope: &'a Envelope) -> Self {
        Self {
            at: envelope.at,
            level: Some(level),
            message: Cow::Borrowed(message),
            writer: Writer::Bridge,
            envelope,
            fields: Form::Plain,
        }
    }

    fn read_json(text: &'a str, envelope: &'a Envelope) -> Option<Self> {
        if !text.starts_with('{') {
            return None;
        }
        let (mut at, mut level, mut message) = (None, None, None);
        for member in json::members(text) {
            let (key, value) = member.ok()?;
            match key {
                "time" => at = value.text().parse().ok(),
                "level" if level.is_none() => level = value.text().parse().ok(),
                "message" => message = Some(value.text()),
                _ => {}
            }
        }
        let level = level?;
        // A line of the bridge always has a level; one without message is kept with an empty one.
        let message = message.unwrap_or_default();
        let message = match message.strip_suffix('\n') {
            Some(line) => Cow::Owned(line.to_owned()),
            None => message,
        };
        let fields = Form::Json(text);
        Some(Self {
            at: at.or(envelope.at),
            level: Some(level),
            message,
            writer: Writer::Bridge,
            envelope,
            fields,
        })
    }

    fn read_pretty(text: &'a str, envelope: &'a Envelope) -> Option<Self> {
        let parts = pretty::parts(text)?;
        let at = match parts.time {
            Some(time) => time.parse().ok(),
            None => None,
        };
        Some(Self {
            at: at.or(envelope.at),
            level: Some(parts.level),
            message: Cow::Borrowed(parts.message),
            writer: Writer::Bridge,
            envelope,
            fields: Form::Pretty(parts.fields),
        })
    }

    /// The first field of that name: the outer one, where the bridge wrote it twice.
    pub(crate) fn field(&self, name: &str) -> Option<Cow<'a, str>> {
        match self.fields {
            Form::Plain => None,
            Form::Json(text) => json::members(text)
                .flatten()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.text()),
            Form::Pretty(text) => pretty::fields(text)
                .find(|(key, _)| *key == name)
                .map(|(_, value)| pretty::unquote(value)),
        }
    }

    /// All fields but time, level and message, in their order; text without quotes.
    pub(crate) fn fields(&self) -> Vec<(&'a str, Cow<'a, str>)> {
        match self.fields {
            Form::Plain => Vec::new(),
            Form::Json(text) => json::members(text)
                .flatten()
                .filter(|(key, _)| !matches!(*key, "time" | "level" | "message"))
                .map(|(key, value)| (key, value.text()))
                .collect(),
            Form::Pretty(text) => pretty::fields(text)
                .map(|(key, value)| (key, pretty::unquote(value)))
                .collect(),
        }
    }

    /// A field that holds an instant.
    pub(crate) fn instant(&self, name: &str) -> Option<Timestamp> {
        self.field(name)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_pretty_say_the_same() {
        let envelope = Envelope::default();
        let json = r#"{"level":"error","action":"handle matrix event","event_id":"$e2","action":"inner","event_id":"$e3","error":"not in","time":"2026-08-19T09:00:10.402572232Z","message":"Failed to handle Matrix message"}"#;
        let pretty = r#"2026-08-19T09:00:10.402572232Z ERR Failed to handle Matrix message error="not in" action="handle matrix event" event_id=$e2"#;
        for text in [json, pretty] {
            let line = Line::read(text, &envelope);
            assert_eq!(
                (line.level, &*line.message, line.writer),
                (
                    Some(Level::Error),
                    "Failed to handle Matrix message",
                    Writer::Bridge
                )
            );
            assert_eq!(
                line.at.unwrap().to_string(),
                "2026-08-19T09:00:10.402572232Z"
            );
            assert_eq!(line.field("error").unwrap(), "not in");
            assert_eq!(line.field("event_id").unwrap(), "$e2");
            assert_eq!(line.field("action").unwrap(), "handle matrix event");
            assert_eq!(line.field("nothing"), None);
        }
    }

    #[test]
    fn what_is_not_a_line_of_the_bridge_is_kept_whole() {
        let envelope = Envelope::default();
        for text in [
            "",
            "{",
            r#"{"level":"debug","message":"half a li"#,
            r#"{"no":"level"}"#,
            "goroutine 1 [running]:",
            "\u{fffd}\u{1b}",
        ] {
            let line = Line::read(text, &envelope);
            assert_eq!(
                (&*line.message, line.level, line.writer),
                (text, None, Writer::Other)
            );
        }
    }

    #[test]
    fn levels_have_an_order_and_names() {
        assert!(Level::Debug < Level::Warn);
        assert_eq!("panic".parse(), Ok(Level::Fatal));
        assert_eq!(format!("{:5}|", Level::Info), "info |");
        assert!("loud".parse::<Level>().is_err());
    }
}
