//! Reads a journal or log line by line, in constant memory, and never fails on what stands in it.
//!
//! Taken, also mixed: `journalctl -o json` and `-o export`, the bridge's JSON and text forms, and the latter behind the
//! prefix of `journalctl` without `-o` (whose times have no year and are not used).

use std::io::{self, BufRead, Read};

use jiff::{SignedDuration, Timestamp};

use crate::light::{Found, Light};
use crate::line::{Envelope, Level, Line};
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
        }
    }

    /// The next line. It borrows from the reader: what should outlive it is copied by whoever wants it.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.text.clear();
        self.envelope.clear();
        match self.take_light()? {
            Taken::Message(level) => {
                return Ok(Some(Line::light(level, &self.text, &self.envelope)));
            }
            Taken::Inner => {}
            Taken::Nothing => {
                loop {
                    if !self.fill()? {
                        return Ok(None);
                    }
                    if !self.raw.is_empty() {
                        break;
                    }
                }
                self.read_long()?;
            }
        }
        pretty::without_colours(&mut self.text);
        if self.text.ends_with('\n') {
            self.text.truncate(self.text.trim_end_matches('\n').len());
        }
        Ok(Some(Line::read(
            without_syslog_prefix(&self.text),
            &self.envelope,
        )))
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
        let taken = match self.light.find(&buffer[..end], &mut self.envelope) {
            Some(Found::Message(level, message)) => {
                self.text
                    .push_str(&String::from_utf8_lossy(&buffer[message]));
                Taken::Message(level)
            }
            Some(Found::Inner(inner)) => {
                json::unescape(&String::from_utf8_lossy(&buffer[inner]), &mut self.text);
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
            self.read_export()?;
        } else {
            let raw = String::from_utf8_lossy(&self.raw);
            if !(raw.starts_with('{')
                && read_journal_json(&raw, &mut self.envelope, &mut self.text))
            {
                self.envelope.clear();
                self.text.clear();
                self.text.push_str(&raw);
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

/// Reads a line of `journalctl -o json`. False if it is none: a line of the bridge's own JSON, or half a line.
fn read_journal_json(raw: &str, envelope: &mut Envelope, text: &mut String) -> bool {
    let mut is_journal = false;
    for member in json::members(raw) {
        let Ok((key, value)) = member else {
            return false;
        };
        match key {
            "MESSAGE" if !envelope.native => {
                is_journal = true;
                text.clear();
                value.append_to(text);
            }
            "__REALTIME_TIMESTAMP" => {
                is_journal = true;
                envelope.take(key, &value.text(), text);
            }
            _ if Envelope::wants(key) => envelope.take(key, &value.text(), text),
            _ => {}
        }
    }
    is_journal
}

impl Envelope {
    fn wants(key: &str) -> bool {
        matches!(
            key,
            "__CURSOR"
                | "__MONOTONIC_TIMESTAMP"
                | "_BOOT_ID"
                | "_SYSTEMD_INVOCATION_ID"
                | "INVOCATION_ID"
                | "PRIORITY"
                | "_COMM"
                | "_TRANSPORT"
                | "JSON"
        )
    }

    /// Takes a field of the journal.
    fn take(&mut self, key: &str, value: &str, text: &mut String) {
        let set = |field: &mut String| {
            field.clear();
            field.push_str(value);
        };
        match key {
            "MESSAGE" if !self.native => set(text),
            "JSON" => {
                self.native = true;
                set(text);
            }
            "__REALTIME_TIMESTAMP" => {
                self.at = value
                    .parse()
                    .ok()
                    .and_then(|at| Timestamp::from_microsecond(at).ok());
            }
            "__MONOTONIC_TIMESTAMP" => {
                self.counted = value.parse().ok().map(SignedDuration::from_micros);
            }
            "__CURSOR" => set(&mut self.cursor),
            "_BOOT_ID" => set(&mut self.boot),
            "_SYSTEMD_INVOCATION_ID" | "INVOCATION_ID" => set(&mut self.invocation),
            "PRIORITY" => set(&mut self.priority),
            "_COMM" => self.from_systemd = value == "systemd",
            _ => {}
        }
    }

    fn clear(&mut self) {
        self.at = None;
        self.counted = None;
        self.from_systemd = false;
        self.native = false;
        for field in [
            &mut self.cursor,
            &mut self.boot,
            &mut self.invocation,
            &mut self.priority,
        ] {
            field.clear();
        }
    }
}

/// Removes `Nov 24 08:56:51 host name[12]: ` where the rest is a line of the bridge.
fn without_syslog_prefix(text: &str) -> &str {
    let Some((prefix, rest)) = text
        .split_once("]: ")
        .filter(|(prefix, _)| prefix.len() < 200)
    else {
        return text;
    };
    let is_prefix = prefix.rsplit_once('[').is_some_and(|(before, pid)| {
        before.split_whitespace().count() >= 3
            && !pid.is_empty()
            && pid.bytes().all(|b| b.is_ascii_digit())
    });
    let is_line = rest.starts_with('{') || pretty::parts(rest).is_some();
    if is_prefix && is_line { rest } else { text }
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
        assert_eq!(lines[1].2, "Nov 24 08:56:51 h x[12]: other");
    }
}
