//! What the journal knows about a line, and how it writes that down.

use jiff::{SignedDuration, Timestamp};

use crate::json;

/// What the journal knows about a line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Envelope {
    pub(crate) at: Option<Timestamp>,
    /// The time since the boot, by the clock that nobody can set.
    pub(crate) counted: Option<SignedDuration>,
    pub(crate) cursor: String,
    pub(crate) boot: String,
    pub(crate) invocation: String,
    pub(crate) priority: String,
    /// The program that wrote it.
    pub(crate) command: String,
    /// The unit whose program wrote it.
    pub(crate) unit: String,
    /// The unit that it is about, where systemd wrote it.
    pub(crate) about: String,
    pub(crate) from_systemd: bool,
    /// The bridge's writer for the journal was used: no line of text, but the whole line in a field of its own.
    pub(crate) native: bool,
}

impl Envelope {
    /// Whether a field of the journal is kept.
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
                | "_SYSTEMD_UNIT"
                | "_SYSTEMD_USER_UNIT"
                | "UNIT"
                | "USER_UNIT"
                | "JSON"
        )
    }

    /// Takes a field of the journal.
    pub(crate) fn take(&mut self, key: &str, value: &str, text: &mut String) {
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
            "_COMM" => {
                self.from_systemd = value == "systemd";
                set(&mut self.command);
            }
            "_SYSTEMD_UNIT" | "_SYSTEMD_USER_UNIT" => set(&mut self.unit),
            "UNIT" | "USER_UNIT" => set(&mut self.about),
            _ => {}
        }
    }

    /// Takes who wrote a line, as `journalctl` prints it.
    pub(crate) fn take_writer(&mut self, who: &str) {
        self.from_systemd = matches!(who, "systemd" | "init.scope");
        let field = if who.ends_with(".service") {
            &mut self.unit
        } else {
            &mut self.command
        };
        who.clone_into(field);
    }

    /// The unit that a line is of. systemd itself is of none.
    pub(crate) fn unit(&self) -> &str {
        if self.from_systemd || !self.about.is_empty() {
            &self.about
        } else {
            &self.unit
        }
    }

    /// Takes what a cursor tells: the times of both clocks, and the boot.
    pub(crate) fn take_cursor(&mut self, cursor: &str) {
        for part in cursor.split(';') {
            let Some((name, value)) = part.split_once('=') else {
                continue;
            };
            let number = || i64::from_str_radix(value, 16).ok();
            match name {
                "t" => self.at = number().and_then(|at| Timestamp::from_microsecond(at).ok()),
                "m" => self.counted = number().map(SignedDuration::from_micros),
                "b" => value.clone_into(&mut self.boot),
                _ => {}
            }
        }
        cursor.clone_into(&mut self.cursor);
    }

    /// Empties it for the next line.
    pub(crate) fn clear(&mut self) {
        self.at = None;
        self.counted = None;
        self.from_systemd = false;
        self.native = false;
        for field in [
            &mut self.cursor,
            &mut self.boot,
            &mut self.invocation,
            &mut self.priority,
            &mut self.command,
            &mut self.unit,
            &mut self.about,
        ] {
            field.clear();
        }
    }

    /// Reads a line of `journalctl -o json`, or of a container's log. False if it is none: a line of the bridge's own JSON, or
    /// half a line.
    pub(crate) fn read_json(&mut self, raw: &str, text: &mut String) -> bool {
        let is_of_container = raw.starts_with(r#"{"log":""#);
        let mut is_journal = false;
        for member in json::members(raw) {
            let Ok((key, value)) = member else {
                return false;
            };
            match key {
                "MESSAGE" if !self.native => {
                    is_journal = true;
                    text.clear();
                    value.append_to(text);
                }
                "log" if is_of_container => {
                    is_journal = true;
                    value.append_to(text);
                }
                "time" if is_of_container => self.at = value.text().parse().ok(),
                "__REALTIME_TIMESTAMP" => {
                    is_journal = true;
                    self.take(key, &value.text(), text);
                }
                _ if Self::wants(key) => self.take(key, &value.text(), text),
                _ => {}
            }
        }
        is_journal
    }
}
