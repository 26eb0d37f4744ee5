//! The short way through a line of the journal: most lines of a bridge at debug are looked at for their time, level and message
//! only. Those are found without taking the bridge's own JSON apart, which stands escaped within the journal's.
//!
//! What this does not understand, or what has fields that matter, goes the long way.

use std::ops::Range;

use memchr::memmem;

use crate::event;
use crate::line::{Envelope, Level};

/// How a message of the bridge's JSON begins within the journal's JSON, and where it is: the logger writes it last.
const START: &[u8] = br#"{\"level\":\""#;
const MESSAGE: &[u8] = br#"\"message\":\""#;
const END: &[u8] = br#"\"}"#;

/// No message that matters is longer, name and all.
const LONGEST: usize = 200;

/// Level of a line whose fields nobody looks at, and where its message stands; the envelope is filled. Nothing if the line has to go the long way.
pub(crate) fn read(raw: &[u8], envelope: &mut Envelope) -> Option<(Level, Range<usize>)> {
    let mut rest = raw.strip_prefix(b"{")?;
    let mut inner = None;
    loop {
        let (key, after) = string(rest)?;
        rest = after.strip_prefix(b":")?;
        let value;
        if key == b"MESSAGE" {
            let text = rest
                .strip_prefix(b"\"")
                .filter(|text| text.starts_with(START))?;
            // Every quote within is behind a backslash, so this is the end.
            let end = memmem::find(text, b"}\"")? + 1;
            inner = Some(&text[..end]);
            rest = &text[end + 1..];
        } else {
            (value, rest) = string(rest)?;
            envelope.take_plain(key, value)?;
        }
        match rest.split_first()? {
            (b',', after) => rest = after,
            (b'}', b"") => break,
            _ => return None,
        }
    }
    let inner = inner.filter(|_| envelope.at.is_some())?;
    let level = inner.get(START.len()..)?;
    let level = match level.get(..5)? {
        b"debug" => Level::Debug,
        b"trace" => Level::Trace,
        [b'i', b'n', b'f', b'o', _] => Level::Info,
        _ => return None,
    };
    let inner = inner.strip_suffix(END)?;
    let near = inner.len().saturating_sub(LONGEST);
    let at = near + memmem::rfind(&inner[near..], MESSAGE)? + MESSAGE.len();
    let message = std::str::from_utf8(&inner[at..]).ok()?;
    let is_plain = memchr::memchr(b'\\', message.as_bytes()).is_none();
    let start = message.as_ptr().addr() - raw.as_ptr().addr();
    (is_plain && !event::has_fields(message)).then(|| (level, start..start + message.len()))
}

/// A string without escapes, and what follows it.
fn string(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.strip_prefix(b"\"")?;
    let end = memchr::memchr2(b'"', b'\\', text)?;
    (text[end] == b'"').then(|| (&text[..end], &text[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> Option<(Level, &str)> {
        let (level, message) = super::read(raw.as_bytes(), &mut Envelope::default())?;
        Some((level, &raw[message]))
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
        assert_eq!(read(&boring), Some((Level::Debug, "Handling remote event")));
        let info = line(r#"{"level":"info","message":"tick"}"#);
        assert_eq!(read(&info), Some((Level::Info, "tick")));
        for long in [
            r#"{"level":"error","message":"tick"}"#,
            r#"{"level":"debug","message":"Sent new bridge state"}"#,
            r#"{"level":"debug","message":"Reconnecting due to x"}"#,
            r#"{"level":"debug","x":"y"}"#,
            r#"{"level":"debug","message":"tick","x":1}"#,
            r#"{"level":"debug","message":"tick""#,
            "plain",
        ] {
            assert_eq!(read(&line(long)), None, "{long}");
        }
        assert_eq!(read(&boring.replace("_PID", "JSON")), None);
        assert_eq!(read(&boring[..boring.len() - 1]), None);
        assert_eq!(read(&boring.replace("__REALTIME_TIMESTAMP", "OTHER")), None);
    }
}
