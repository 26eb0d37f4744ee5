//! `log`: the lines themselves, from a host, a file or stdin, followed over broken connections without losing or repeating one.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ops_common::exit::{Failure, Status, describe};
use ops_common::host::Host;
use ops_common::output::{Format, Output, Record};
use ops_common::report::{Report, printable};
use regex::Regex;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::line::{Level, Line, Writer};
use crate::mask::{self, Shown};
use crate::source::{self, Depth, File, Window};

/// Lines shown where nothing else is said.
const LINES: usize = 100;

/// Between two attempts to reach a host that was lost.
const PAUSE: Duration = Duration::from_secs(2);

/// Which lines, and what of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    pub(crate) window: Window,
    pub(crate) lines: Option<usize>,
    pub(crate) level: Option<Level>,
    pub(crate) pattern: Option<Regex>,
    pub(crate) portal: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) with_bodies: bool,
}

/// A line as it is printed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entry {
    at: Option<Timestamp>,
    level: Option<String>,
    message: String,
    /// The fields as the text form writes them.
    #[serde(skip)]
    text: String,
    fields: Map<String, Value>,
    writer: &'static str,
}

impl Record for Entry {
    const COLUMNS: &'static [&'static str] = &["at", "level", "message", "fields"];
}

impl Wish {
    /// A line that is wanted, fit to be shown.
    fn take(&self, line: &Line<'_>) -> Option<Entry> {
        // systemd's own words belong to every view; lines of no level are kept, since nobody knows how grave they are.
        if self
            .level
            .is_some_and(|least| line.level.is_some_and(|level| level < least))
            && line.writer == Writer::Bridge
        {
            return None;
        }
        let holds = |names: &[&str], wanted: &str| {
            names
                .iter()
                .any(|name| line.field(name).is_some_and(|value| value == wanted))
        };
        if self
            .portal
            .as_deref()
            .is_some_and(|portal| !holds(&["portal_id", "portal_mxid", "room_id"], portal))
        {
            return None;
        }
        if self.user.as_deref().is_some_and(|user| {
            !holds(
                &[
                    "user_mxid",
                    "sender",
                    "user_id",
                    "login_id",
                    "message_sender",
                    "source_id",
                ],
                user,
            )
        }) {
            return None;
        }
        let entry = Entry::new(line, mask::shown(line, self.with_bodies));
        let matches =
            |pattern: &Regex| pattern.is_match(&entry.message) || pattern.is_match(&entry.text);
        self.pattern.as_ref().is_none_or(matches).then_some(entry)
    }

    fn filters(&self) -> bool {
        self.level.is_some()
            || self.pattern.is_some()
            || self.portal.is_some()
            || self.user.is_some()
    }

    /// How many lines from the end; nothing for all of a window.
    fn last(&self) -> Option<usize> {
        self.lines
            .or((self.window.since.is_none() && self.window.until.is_none()).then_some(LINES))
    }
}

impl Entry {
    fn new(line: &Line<'_>, shown: Shown) -> Self {
        let words: Vec<_> = shown
            .fields
            .iter()
            .map(|(key, value)| format!("{key}={}", quoted(value)))
            .collect();
        let mut fields = Map::new();
        for (key, value) in shown.fields {
            // The outer one of a repeated key comes first and is the one that counts.
            fields.entry(key).or_insert(Value::String(value));
        }
        let writer = match line.writer {
            Writer::Bridge => "bridge",
            Writer::Systemd => "systemd",
            Writer::Other => "other",
        };
        Self {
            at: line.at,
            level: line.level.map(|level| level.to_string()),
            message: shown.message,
            text: words.join(" "),
            fields,
            writer,
        }
    }

    /// The line for a person.
    fn line(&self, zone: &TimeZone) -> String {
        let at = self.at.map_or_else(
            || "-".to_owned(),
            |at| {
                at.to_zoned_datetime(zone.clone())
                    .strftime("%m-%d %H:%M:%S%.3f")
                    .to_string()
            },
        );
        let level = self.level.as_deref().unwrap_or("-");
        let line = format!("{at} {level:5} {} {}", self.message, self.text);
        printable(line.trim_end()).replace('\n', "\\n")
    }
}

fn quoted(value: &str) -> String {
    let plain =
        !value.is_empty() && !value.contains([' ', '"', '\n', '\t']) || value.starts_with('{');
    if plain {
        value.to_owned()
    } else {
        format!("{value:?}")
    }
}

/// Prints lines as they come.
pub(crate) struct Printer {
    output: Output,
    host: String,
    zone: TimeZone,
}

impl Printer {
    /// Prints to `output` about `host`.
    pub(crate) fn new(output: Output, host: String) -> Self {
        Self {
            output,
            host,
            zone: TimeZone::system(),
        }
    }

    fn print(&mut self, entry: &Entry) -> Result<(), Error> {
        match self.output.format() {
            Format::Text => self.output.line(&entry.line(&self.zone))?,
            Format::Json => self.output.record(&self.host, entry)?,
            _ => self.output.record(&self.host, &Flat::of(entry))?,
        }
        Ok(())
    }
}

/// An entry whose fields are one cell.
#[derive(Serialize)]
struct Flat<'a> {
    at: Option<Timestamp>,
    level: Option<&'a str>,
    message: &'a str,
    fields: &'a str,
}

impl<'a> Flat<'a> {
    fn of(entry: &'a Entry) -> Self {
        Self {
            at: entry.at,
            level: entry.level.as_deref(),
            message: &entry.message,
            fields: &entry.text,
        }
    }
}

impl Record for Flat<'_> {
    const COLUMNS: &'static [&'static str] = Entry::COLUMNS;
}

/// Prints the lines of a file or of stdin.
pub(crate) fn print_file(
    file: File<'_>,
    wish: &Wish,
    printer: &mut Printer,
) -> Result<Status, Error> {
    let mut sink = Sink::new(wish.lines, printer);
    source::read_file_to(Depth::All, file, wish.window, |line| {
        sink.take(wish, line, false);
    })?;
    sink.finish()
}

/// Prints the lines that a host has.
pub(crate) fn print_host(
    host: &Host,
    unit: &str,
    wish: &Wish,
    printer: &mut Printer,
) -> Result<Status, Error> {
    let mut arguments = source::journalctl(unit, wish.window);
    if let Some(lines) = wish.last().filter(|_| !wish.filters()) {
        arguments.push(format!("--lines={lines}"));
    }
    let mut sink = Sink::new(wish.last(), printer);
    source::read_host_to(Depth::All, host, (unit, &arguments), |line| {
        sink.take(wish, line, false);
    })?;
    sink.finish()
}

/// Prints the last lines of a host and those to come. A host that is lost is looked for until it is back.
pub(crate) fn follow(
    connect: impl Fn() -> Result<Host, Error>,
    unit: &str,
    wish: &Wish,
    printer: &mut Printer,
    report: &Report,
) -> Result<Status, Error> {
    let mut host = connect()?;
    let mut cursor: Option<String> = None;
    loop {
        let mut arguments = source::journalctl(unit, wish.window);
        arguments.push("--follow".to_owned());
        match &cursor {
            Some(cursor) => {
                arguments.extend([format!("--after-cursor={cursor}"), "--lines=all".to_owned()]);
            }
            None => arguments.push(wish.last().map_or_else(
                || "--lines=all".to_owned(),
                |lines| format!("--lines={lines}"),
            )),
        }
        let mut sink = Sink::new(None, printer);
        let ended = source::read_host_to(Depth::All, &host, (unit, &arguments), |line| {
            sink.take(wish, line, true);
            if sink.failed.is_none() && !line.envelope.cursor.is_empty() {
                cursor = Some(line.envelope.cursor.clone());
            }
        });
        sink.finish()?;
        match ended {
            Err(error) if is_loss(&error) => {
                report.warn(format_args!("{}; looking for it again", describe(&error)));
            }
            Err(error) => return Err(error),
            Ok(_) => return Ok(Status::Done),
        }
        host = reconnect(&connect)?;
    }
}

/// Tries until the host answers. What waiting cannot heal, a changed host key for one, ends it.
fn reconnect(connect: impl Fn() -> Result<Host, Error>) -> Result<Host, Error> {
    loop {
        std::thread::sleep(PAUSE);
        match connect() {
            Err(error) if is_loss(&error) => {}
            done => return done,
        }
    }
}

fn is_loss(error: &Error) -> bool {
    matches!(error, Error::Hosts(_) | Error::Host(_))
        && matches!(
            error.status(),
            Status::Unavailable | Status::Io | Status::TryAgain
        )
}

/// Takes lines, keeps the last ones where only those are wanted, and remembers the first failure to print.
struct Sink<'a> {
    keep: Option<usize>,
    kept: VecDeque<Entry>,
    printer: &'a mut Printer,
    failed: Option<Error>,
}

impl<'a> Sink<'a> {
    fn new(keep: Option<usize>, printer: &'a mut Printer) -> Self {
        Self {
            keep,
            kept: VecDeque::new(),
            printer,
            failed: None,
        }
    }

    fn take(&mut self, wish: &Wish, line: &Line<'_>, at_once: bool) {
        if self.failed.is_some() {
            return;
        }
        let Some(entry) = wish.take(line) else { return };
        let Some(keep) = self.keep else {
            self.failed = self.printer.print(&entry).err();
            if at_once && self.failed.is_none() {
                self.failed = self.printer.output.finish().err().map(Error::from);
            }
            return;
        };
        if self.kept.len() == keep {
            self.kept.pop_front();
        }
        if keep > 0 {
            self.kept.push_back(entry);
        }
    }

    fn finish(mut self) -> Result<Status, Error> {
        while let (None, Some(entry)) = (&self.failed, self.kept.pop_front()) {
            self.failed = self.printer.print(&entry).err();
        }
        if let Some(error) = self.failed.take() {
            Err(error)
        } else {
            self.printer.output.finish()?;
            Ok(Status::Done)
        }
    }
}
