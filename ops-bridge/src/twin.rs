//! Lines that are there twice: the bridge may have several writers, and all of them may end in one journal.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::event::{self, Event};
use crate::line::{Level, Line, Writer};

/// The copies of a line are no farther apart.
const NEAR: usize = 8;

/// Fields that tell two lines apart which say the same in the same millisecond.
const IDENTIFIERS: [&str; 5] = [
    "event_id",
    "remote_message_id",
    "existing_mxid",
    "remote_target_message_id",
    "login_id",
];

/// The last lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct Twins(VecDeque<Key>);

/// What two copies have in common. The bridge's text form has its times to the millisecond, its JSON to the nanosecond.
#[derive(Clone, Copy, Debug)]
struct Key {
    nanos: i128,
    said: u64,
}

impl Key {
    /// Nothing for a line that may be there as often as it likes.
    fn of(line: &Line<'_>) -> Option<Self> {
        let counts = line.level >= Some(Level::Warn) || event::has_fields(&line.message);
        if line.writer != Writer::Bridge || !counts {
            return None;
        }
        let mut said = DefaultHasher::new();
        line.message.hash(&mut said);
        for (place, name) in IDENTIFIERS.iter().enumerate() {
            if let Some(value) = line.field(name) {
                (place, value).hash(&mut said);
            }
        }
        if let Event::State(state) = event::of(line) {
            (state.name, state.error).hash(&mut said);
        }
        Some(Self {
            nanos: line.at?.as_nanosecond(),
            said: said.finish(),
        })
    }

    fn is_copy_of(self, other: Self) -> bool {
        const MILLI: i128 = 1_000_000;
        let is_rough = |key: Self| key.nanos % MILLI == 0;
        let same_time = if is_rough(self) || is_rough(other) {
            self.nanos.div_euclid(MILLI) == other.nanos.div_euclid(MILLI)
        } else {
            self.nanos == other.nanos
        };
        same_time && self.said == other.said
    }
}

impl Twins {
    /// Whether a line was there before, in this form or in another.
    pub(crate) fn repeats(&mut self, line: &Line<'_>) -> bool {
        let Some(key) = Key::of(line) else {
            return false;
        };
        if self.0.iter().any(|other| key.is_copy_of(*other)) {
            return true;
        }
        if self.0.len() == NEAR {
            self.0.pop_front();
        }
        self.0.push_back(key);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::Envelope;

    #[test]
    fn copies_are_found_in_each_form_and_others_are_none() {
        let mut twins = Twins::default();
        let mut repeats = |text: &str| twins.repeats(&Line::read(text, &Envelope::default()));
        let json = r#"{"level":"error","event_id":"$1","time":"2026-08-19T09:00:01.402572232Z","message":"Failed to handle Matrix message"}"#;
        let text = "2026-08-19T09:00:01.402Z ERR Failed to handle Matrix message event_id=$1";
        assert!(!repeats(json));
        assert!(repeats(json) && repeats(text));
        assert!(!repeats(&json.replace("$1", "$2")), "another message");
        assert!(
            !repeats(&json.replace("402572232", "402572233")),
            "a nanosecond later"
        );
        assert!(
            !repeats(&text.replace(".402", ".403")),
            "a millisecond later"
        );
        let state = r#"2026-08-19T09:00:02.5Z DBG Sent new bridge state bridge_state={"state_event":"CONNECTING"} login_id=T1-U1"#;
        assert!(!repeats(state));
        assert!(!repeats(&state.replace("ING", "ED")), "another state");
        assert!(repeats(state));
        assert!(
            !repeats("2026-08-19T09:00:02.5Z INF tick")
                && !repeats("2026-08-19T09:00:02.5Z INF tick")
        );
    }
}
