//! Reads a journal or log line by line, in constant memory, and never fails on what stands in it.
//!
//! Taken, also mixed: every form of `journalctl -o`, the bridge's JSON and text forms, and both behind what containers put before
//! a line.

use std::borrow::Cow;
use std::io::{self, BufRead, Read};

use jiff::Timestamp;

use crate::light::{Found, Light};
use crate::line::{Envelope, Level, Line};
use crate::origin::{self, Origin};
use crate::prefix::{self, Calendar};
use crate::source::Depth;
use crate::{json, pretty};

/// What is kept of one line; the rest of a longer one is read over.
const LONGEST: u64 = 1 << 20;

/// A source of lines.
pub(crate) struct Reader<R> {
    input: R,
    raw: Vec<u8>,
    text: String,
    envelope: Envelope,
    depth: Depth,
    light: Light,
    /// Whose lines are wanted; nothing for all there are.
    origin: Option<Origin>,
    calendar: Calendar,
    /// The time of the last line that had one.
    last_at: Option<Timestamp>,
}

impl<R: BufRead> Reader<R> {
    /// Starts to read what the analysis looks at.
    pub(crate) fn new(input: R) -> Self {
        Self::to(Depth::Known, input)
    }

    /// Starts to read.
    pub(crate) fn to(depth: Depth, input: R) -> Self {
        Self {
            input,
            raw: Vec::new(),
            text: String::new(),
            envelope: Envelope::default(),
            depth,
            light: Light::new(),
            origin: None,
            calendar: Calendar::default(),
            last_at: None,
        }
    }

    /// Reads the lines of one unit only, where there are those of others too.
    pub(crate) fn of_unit(mut self, unit: &str) -> Self {
        self.origin = Some(Origin::of(unit));
        self
    }

    /// The next line. It borrows from the reader: what should outlive it is copied by whoever wants it.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            self.text.clear();
            self.envelope.clear();
            match self.take_light()? {
                Taken::Message(level) => {
                    return Ok(Some(Line::light(level, &self.text, &self.envelope)));
                }
                Taken::Inner => {}
                Taken::Nothing => {
                    if !self.fill_line()? {
                        return Ok(None);
                    }
                    self.read_long()?;
                }
            }
            pretty::without_colours(&mut self.text);
            self.text
                .truncate(self.text.trim_end_matches(['\n', '\r']).len());
            let start = self.unwrap()?;
            let text = &self.text[start..];
            if self
                .origin
                .as_mut()
                .is_some_and(|origin| !origin.takes(&self.envelope, text))
            {
                continue;
            }
            let line = Line::read(&self.text[start..], &self.envelope);
            self.last_at = line.at.or(self.last_at);
            return Ok(Some(line));
        }
    }

    /// Takes off what a program put before a line to print it, and reads what that tells. Returns where the line starts.
    fn unwrap(&mut self) -> io::Result<usize> {
        // What journald tells is told; the bridge's own forms begin with themselves.
        if self.envelope.at.is_some() || self.text.starts_with('{') {
            return Ok(0);
        }
        if let Some(prefix) = prefix::take(&self.text) {
            let start = self.text.len() - prefix.rest.len();
            let time = prefix.time;
            self.envelope.take_writer(prefix.who);
            if self.calendar.lacks(time) {
                learn(&mut self.calendar, self.input.fill_buf()?);
            }
            match own_time(prefix.rest) {
                Some(own) => self.calendar.learn(time, own),
                None => self.envelope.at = self.calendar.read(time),
            }
            return Ok(start);
        }
        if origin::is_of_systemd(&self.text) {
            self.envelope.from_systemd = true;
            // It came after the line before; when, nobody says.
            self.envelope.at = self.last_at;
        }
        Ok(0)
    }

    /// Reads the next line that is not empty into `raw`. False at the end.
    fn fill_line(&mut self) -> io::Result<bool> {
        while self.fill()? {
            if !self.raw.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes a line the short way, straight from the input's buffer, if it is one for that.
    fn take_light(&mut self) -> io::Result<Taken> {
        if self.depth == Depth::All {
            return Ok(Taken::Nothing);
        }
        let buffer = match self.input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Taken::Nothing),
            buffer => buffer?,
        };
        let Some(end) = memchr::memchr(b'\n', buffer) else {
            return Ok(Taken::Nothing);
        };
        let taken = match self
            .light
            .find(&buffer[..end], &mut self.envelope, self.origin.as_ref())
        {
            Some(Found::Message(level, message)) => {
                self.text.push_str(&lossy(&buffer[message]));
                Taken::Message(level)
            }
            Some(Found::Inner(inner)) => {
                json::unescape(&lossy(&buffer[inner]), &mut self.text);
                Taken::Inner
            }
            None => return Ok(Taken::Nothing),
        };
        self.input.consume(end + 1);
        Ok(taken)
    }

    /// Reads a line of any form into `text` and the envelope.
    fn read_long(&mut self) -> io::Result<()> {
        self.envelope.clear();
        if starts_entry(&self.raw) {
            return self.read_export();
        }
        if self.raw == b"{" {
            self.read_rest_of_object()?;
        }
        let raw = String::from_utf8_lossy(&self.raw);
        // `-o json-seq` and `-o json-sse`.
        let raw = raw.trim_start_matches(['\u{1e}', '\u{feff}']);
        let raw = raw.strip_prefix("data: ").unwrap_or(raw);
        if let Some(cursor) = verbose_cursor(raw) {
            self.envelope.take_cursor(cursor);
            return self.read_verbose();
        }
        if raw.starts_with('{') && self.envelope.read_json(raw, &mut self.text) {
            return Ok(());
        }
        self.envelope.clear();
        self.text.clear();
        match raw
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
        {
            // `jq .MESSAGE`
            Some(inner) if inner.starts_with(r#"{\"level\":"#) => {
                json::unescape(inner, &mut self.text);
            }
            _ => self.text.push_str(raw),
        }
        Ok(())
    }

    /// Reads an object of `-o json-pretty` up to the bracket that ends it.
    fn read_rest_of_object(&mut self) -> io::Result<()> {
        let mut object = std::mem::take(&mut self.raw);
        // What is not indented is another line.
        while matches!(self.input.fill_buf()?.first(), Some(b'\t' | b' ' | b'}')) {
            self.fill()?;
            if (object.len() + self.raw.len()) as u64 <= LONGEST {
                object.extend(&self.raw);
            }
            if self.raw == b"}" {
                break;
            }
        }
        self.raw = object;
        Ok(())
    }

    /// Reads the indented fields of `-o verbose`.
    fn read_verbose(&mut self) -> io::Result<()> {
        while self.input.fill_buf()?.starts_with(b"    ") && self.fill()? {
            let field = String::from_utf8_lossy(&self.raw);
            match field
                .strip_prefix("    ")
                .and_then(|field| field.split_once('='))
            {
                Some((name, value))
                    if name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') =>
                {
                    self.envelope.take(name, value, &mut self.text);
                }
                // The next line of a text.
                _ => {
                    self.text.push('\n');
                    self.text.push_str(field.trim_start());
                }
            }
        }
        Ok(())
    }

    /// Reads one line of the input into `raw`, bounded. False at the end.
    fn fill(&mut self) -> io::Result<bool> {
        self.raw.clear();
        let read = self
            .input
            .by_ref()
            .take(LONGEST)
            .read_until(b'\n', &mut self.raw)?;
        match self.raw.last() {
            Some(b'\n') => {
                self.raw.pop();
                if self.raw.last() == Some(&b'\r') {
                    self.raw.pop();
                }
            }
            _ if read as u64 == LONGEST => {
                skip_line(&mut self.input)?;
            }
            _ => {}
        }
        Ok(read > 0)
    }

    /// Reads an entry of the export format, whose first line stands in `raw`, up to the blank line after it.
    fn read_export(&mut self) -> io::Result<()> {
        loop {
            match memchr::memchr(b'=', &self.raw) {
                Some(at) => {
                    let (name, value) = self.raw.split_at(at);
                    let value = String::from_utf8_lossy(&value[1..]);
                    self.envelope
                        .take(&String::from_utf8_lossy(name), &value, &mut self.text);
                }
                // A field with a newline in it: the name on a line, the length in eight bytes, the bytes, a newline.
                None => self.read_sized_field()?,
            }
            if !self.fill()? || self.raw.is_empty() {
                return Ok(());
            }
        }
    }

    fn read_sized_field(&mut self) -> io::Result<()> {
        let name = String::from_utf8_lossy(&self.raw).into_owned();
        let mut size = [0; 8];
        if let Err(error) = self.input.read_exact(&mut size) {
            return if error.kind() == io::ErrorKind::UnexpectedEof {
                Ok(())
            } else {
                Err(error)
            };
        }
        let size = u64::from_le_bytes(size);
        self.raw.clear();
        self.input
            .by_ref()
            .take(size.min(LONGEST))
            .read_to_end(&mut self.raw)?;
        if size > LONGEST {
            io::copy(
                &mut self.input.by_ref().take(size - LONGEST),
                &mut io::sink(),
            )?;
        }
        let value = String::from_utf8_lossy(&self.raw);
        self.envelope.take(&name, &value, &mut self.text);
        // The newline that ends the field.
        self.input.by_ref().take(1).read_to_end(&mut Vec::new())?;
        Ok(())
    }
}

/// What was taken the short way into `text`.
#[derive(Clone, Copy, Debug)]
enum Taken {
    Nothing,
    /// The message of a line of which no field matters.
    Message(Level),
    /// The bridge's JSON.
    Inner,
}

fn starts_entry(raw: &[u8]) -> bool {
    [
        b"__CURSOR=".as_slice(),
        b"__REALTIME_TIMESTAMP=",
        b"__SEQNUM=",
    ]
    .iter()
    .any(|name| raw.starts_with(name))
}

/// The text of bytes, most often without a copy and in one pass.
fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// The cursor of `Tue 2026-11-24 10:24:48.075213 UTC [s=…;i=1;…]`.
fn verbose_cursor(raw: &str) -> Option<&str> {
    let (head, cursor) = raw.split_once(" [s=").filter(|(head, _)| head.len() < 64)?;
    let cursor = cursor.strip_suffix(']')?;
    (head.split(' ').count() >= 3 && cursor.contains(";t=")).then_some(cursor)
}

/// The time that a line of the bridge has in it.
fn own_time(text: &str) -> Option<Timestamp> {
    if text.starts_with('{') {
        let time = json::members(text)
            .flatten()
            .find(|(key, _)| *key == "time")?;
        return time.1.text().parse().ok();
    }
    pretty::parts(text)?.time?.parse().ok()
}

/// Looks ahead for a line that tells what the prefixes leave out.
fn learn(calendar: &mut Calendar, ahead: &[u8]) {
    for line in ahead.split(|byte| *byte == b'\n') {
        let mut line = String::from_utf8_lossy(line).into_owned();
        pretty::without_colours(&mut line);
        let Some(prefix) = prefix::take(&line) else {
            continue;
        };
        if let Some(own) = own_time(prefix.rest) {
            calendar.learn(prefix.time, own);
            return;
        }
    }
}

fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        let (used, done) = match memchr::memchr(b'\n', buffer) {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        input.consume(used);
        if done {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &[u8]) -> Vec<(Option<String>, Option<Level>, String)> {
        let mut reader = Reader::new(input);
        let mut lines = Vec::new();
        while let Some(line) = reader.next().unwrap() {
            lines.push((
                line.at.map(|at| at.to_string()),
                line.level,
                line.message.into_owned(),
            ));
        }
        lines
    }

    #[test]
    fn journald_json_with_text_bytes_null_and_the_native_writer() {
        let input = br#"{"__REALTIME_TIMESTAMP":"1787130001000000","_COMM":"systemd","PRIORITY":"6","MESSAGE":"Started x.service."}
{"MESSAGE":[27,91,57,48,109,32,27,91,48,109,32,27,91,51,50,109,73,78,70,27,91,48,109,32,72,105],"__REALTIME_TIMESTAMP":"1787130002000000"}
{"MESSAGE":null,"__REALTIME_TIMESTAMP":"1787130003000000"}
{"JSON":"{\"level\":\"warn\",\"message\":\"whole\",\"event_id\":\"$1\"}","MESSAGE":"part","PRIORITY":"4","__REALTIME_TIMESTAMP":"1787130004000000"}
{"level":"info","time":"2026-08-19T09:00:05Z","message":"own"}
"#;
        let at = |second: u8| Some(format!("2026-08-19T09:00:0{second}Z"));
        let wanted = [
            (at(1), Some(Level::Info), "Started x.service."),
            (at(2), Some(Level::Info), "Hi"),
            (at(3), None, ""),
            (at(4), Some(Level::Warn), "whole"),
            (at(5), Some(Level::Info), "own"),
        ];
        assert_eq!(
            read(input),
            wanted.map(|(at, level, message)| (at, level, message.to_owned()))
        );
    }

    #[test]
    fn export_entries_with_sized_fields() {
        let mut input =
            b"__CURSOR=s=1;i=2\n__REALTIME_TIMESTAMP=1787130001000000\nMESSAGE\n".to_vec();
        let message = b"panic: x\n\ngoroutine 1";
        input.extend((message.len() as u64).to_le_bytes());
        input.extend(message);
        input.extend(
            b"\n_COMM=mautrix-slack\n\n__CURSOR=s=1;i=3\nMESSAGE=2026-08-19T09:00:02Z INF next\n",
        );
        let wanted = [
            (
                Some("2026-08-19T09:00:01Z".to_owned()),
                None,
                "panic: x\n\ngoroutine 1".to_owned(),
            ),
            (
                Some("2026-08-19T09:00:02Z".to_owned()),
                Some(Level::Info),
                "next".to_owned(),
            ),
        ];
        assert_eq!(read(&input), wanted);
        // Cut anywhere, it is read without an error.
        for end in 0..input.len() {
            read(&input[..end]);
        }
    }

    #[test]
    fn a_gigantic_line_is_cut_and_the_next_one_is_read() {
        let mut input = vec![b'x'; 3 << 20];
        input.extend(b"\n2026-08-19T09:00:02Z INF next\n");
        let lines = read(&input);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].2.len(), 1 << 20);
        assert_eq!(lines[1].2, "next");
        let mut claimed = b"__CURSOR=a\nMESSAGE\n".to_vec();
        claimed.extend(u64::MAX.to_le_bytes());
        assert_eq!(read(&claimed).len(), 1);
    }

    #[test]
    fn binary_junk_is_read_to_its_end() {
        let scattered = |n: u32| n.wrapping_mul(2_654_435_761).to_be_bytes()[1];
        let junk: Vec<u8> = (0..100_000).map(scattered).collect();
        assert!(!read(&junk).is_empty());
    }

    #[test]
    fn the_prefix_of_journalctl_is_removed() {
        let lines = read(b"Nov 24 08:56:51 h mautrix-slack[12]: 2026-08-19T09:00:02Z INF next\nNov 24 08:56:51 h x[12]: other\n");
        assert_eq!(lines[0].2, "next");
        assert_eq!(lines[1].2, "other");
    }
}
