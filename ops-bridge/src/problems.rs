//! The errors of a log: grouped, explained, and the messages that were lost with them counted.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, VecDeque};

use jiff::Timestamp;
use ops_common::output::Record;
use serde::Serialize;

use crate::event::{Event, Step, UnitChange};
use crate::known::{self, Class, Direction, Operation};
use crate::line::{Level, Line};
use crate::{mask, weight};

/// So many groups are kept apart; further ones are counted together.
const GROUPS: usize = 500;

/// What stands for them.
const FURTHER: &str = "(further errors)";

/// So many events are remembered, so that a loss that two lines tell is counted once.
const REMEMBERED: usize = 1024;

/// Lines that say the same about different things.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Group {
    pub(crate) count: u64,
    #[serde(serialize_with = "as_text")]
    pub(crate) level: Level,
    pub(crate) message: String,
    pub(crate) error: String,
    /// What was lost with each of these lines: `slack->matrix message`.
    pub(crate) lost: Option<String>,
    pub(crate) first_at: Option<Timestamp>,
    pub(crate) last_at: Option<Timestamp>,
    pub(crate) meaning: String,
    pub(crate) remedy: String,
    /// The identifiers of the last of them.
    pub(crate) example: BTreeMap<String, String>,
}

impl Record for Group {
    const COLUMNS: &'static [&'static str] = &[
        "count", "level", "message", "error", "lost", "first_at", "last_at", "meaning",
    ];
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out references"
)]
fn as_text<S: serde::Serializer>(level: &Level, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(level)
}

/// All errors of a log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Problems {
    groups: HashMap<(String, String), Group>,
    pub(crate) lost: BTreeMap<(Direction, Operation, String), u64>,
    pub(crate) total: u64,
    lost_events: VecDeque<String>,
    /// The messages from Slack that were deleted last: what comes to them later is lost to nobody.
    deleted: VecDeque<String>,
    is_stopping: bool,
}

/// Fields that help to find what a line is about. None of them holds a text.
const EXAMPLES: [&str; 8] = [
    "portal_id",
    "event_id",
    "remote_message_id",
    "login_id",
    "sender",
    "file_id",
    "event_type",
    "url",
];

impl Problems {
    /// Takes in a line.
    pub(crate) fn observe(&mut self, line: &Line<'_>, event: &Event<'_>) {
        match event {
            Event::Process(Step::Stopping) | Event::Unit(UnitChange::Stopping) => {
                self.is_stopping = true;
            }
            Event::Process(Step::Starting { .. }) | Event::Unit(UnitChange::Started) => {
                self.is_stopping = false;
            }
            _ => {}
        }
        if let Event::Delivered {
            operation: Operation::Deletion,
            ..
        } = event
            && let Some(target) = line.field("remote_target_message_id")
        {
            remember(&mut self.deleted, target.into_owned());
        }
        match weight::of(line, self.is_stopping) {
            Some(Class::Lost(Direction::ToMatrix, _)) if self.is_about_deleted(line) => {}
            Some(Class::Lost(direction, operation)) => {
                let lost = weight::lost(line, direction, operation);
                if let Some((direction, operation)) = lost
                    && self.is_new_loss(line, direction)
                {
                    self.lose(direction, operation, error_of(line));
                }
                self.count(
                    line,
                    lost.map(|(direction, operation)| format!("{direction} {operation}")),
                );
            }
            Some(Class::Trouble) => self.count(line, None),
            Some(Class::Normal | Class::Healthy | Class::Twin) | None => {}
        }
    }

    fn lose(&mut self, direction: Direction, operation: Operation, mut cause: String) {
        let is_known = |lost: &BTreeMap<_, _>, cause: &str| {
            lost.contains_key(&(direction, operation, cause.to_owned()))
        };
        if self.lost.len() >= GROUPS && !is_known(&self.lost, &cause) {
            FURTHER.clone_into(&mut cause);
        }
        *self.lost.entry((direction, operation, cause)).or_default() += 1;
    }

    /// Whether no line before told of the same loss: of another part of the message, or of a step before.
    fn is_new_loss(&mut self, line: &Line<'_>, direction: Direction) -> bool {
        let text = |name| line.field(name).filter(|text| !text.is_empty());
        let id = match direction {
            Direction::ToSlack => text("event_id").map(Cow::into_owned),
            // An edit or reaction is known by what it is about and when it was made.
            Direction::ToMatrix => {
                let kind = text("bridge_evt_type").unwrap_or_default();
                let message = text("remote_message_id").map(|id| format!("{kind} {id}"));
                message.or_else(|| {
                    let about = text("remote_target_message_id")?;
                    let made = text("remote_timestamp")?;
                    Some(format!("{kind} {about} {made}"))
                })
            }
        };
        let Some(id) = id else { return true };
        if self.lost_events.contains(&id) {
            return false;
        }
        remember(&mut self.lost_events, id);
        true
    }

    /// Whether a line is about what did not find the message that it belongs to, since that was deleted before.
    fn is_about_deleted(&self, line: &Line<'_>) -> bool {
        matches!(
            &*line.message,
            "Target message for reaction not found" | "Edit target message not found"
        ) && line
            .field("remote_target_message_id")
            .is_some_and(|target| self.deleted.iter().any(|deleted| *deleted == target))
    }

    fn count(&mut self, line: &Line<'_>, lost: Option<String>) {
        self.total += 1;
        let error = error_of(line);
        // What Go says of a panic goes on with its stack.
        let first = line.message.lines().next().unwrap_or_default();
        let mut key = (mask::secrets(first), error);
        if self.groups.len() >= GROUPS && !self.groups.contains_key(&key) {
            key = (FURTHER.to_owned(), String::new());
        }
        let group = self
            .groups
            .entry(key)
            .or_insert_with_key(|(message, error)| Group::new(line, message, error, lost));
        group.count += 1;
        group.first_at = group.first_at.or(line.at);
        group.last_at = line.at.or(group.last_at);
        group.example = example(line);
    }

    /// The groups, the most frequent first.
    pub(crate) fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<_> = self.groups.values().cloned().collect();
        groups.sort_by(|a, b| {
            b.count
                .cmp(&a.count)
                .then_with(|| b.last_at.cmp(&a.last_at))
                .then_with(|| a.message.cmp(&b.message))
        });
        groups
    }

    /// How many were lost in one direction.
    pub(crate) fn lost_in(&self, direction: Direction) -> u64 {
        self.lost
            .iter()
            .filter(|((lost, ..), _)| *lost == direction)
            .map(|(_, count)| count)
            .sum()
    }

    /// How many of one kind were lost in one direction.
    pub(crate) fn lost_of(&self, direction: Direction, operation: Operation) -> u64 {
        self.lost
            .iter()
            .filter(|((lost, what, _), _)| (*lost, *what) == (direction, operation))
            .map(|(_, count)| count)
            .sum()
    }
}

fn remember(last: &mut VecDeque<String>, new: String) {
    if last.len() == REMEMBERED {
        last.pop_front();
    }
    last.push_back(new);
}

impl Group {
    fn new(line: &Line<'_>, message: &str, error: &str, lost: Option<String>) -> Self {
        let known = known::find(message).or_else(|| known::find_plain(message));
        let cause = known::slack_error(error);
        let told = [
            known.map(|known| known.meaning),
            cause.map(|(meaning, _)| meaning),
        ];
        let meaning = told.into_iter().flatten().collect::<Vec<_>>().join(": ");
        let remedy = cause
            .map(|(_, remedy)| remedy)
            .or(known.map(|known| known.remedy))
            .unwrap_or_default();
        Self {
            count: 0,
            level: line.level.unwrap_or(Level::Error),
            message: message.to_owned(),
            error: error.to_owned(),
            lost,
            first_at: None,
            last_at: None,
            meaning,
            remedy: remedy.to_owned(),
            example: BTreeMap::new(),
        }
    }
}

fn error_of(line: &Line<'_>) -> String {
    mask::identifiers(&mask::secrets(&line.field("error").unwrap_or_default()))
}

fn example(line: &Line<'_>) -> BTreeMap<String, String> {
    let fields = EXAMPLES
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), mask::secrets(&line.field(name)?))));
    fields.filter(|(_, value)| !value.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event;
    use crate::reader::Reader;

    fn read(log: &str) -> Problems {
        let mut problems = Problems::default();
        let mut reader = Reader::new(log.as_bytes());
        while let Some(line) = reader.next().unwrap() {
            problems.observe(&line, &event::of(&line));
        }
        problems
    }

    #[test]
    fn losses_are_counted_once_and_grouped_by_cause() {
        let problems = read(
            r#"2026-08-19T09:00:01Z ERR Failed to handle Matrix message error=not_in_channel event_id=$1
2026-08-19T09:00:02Z ERR Failed to handle Matrix message error=not_in_channel event_id=$2
2026-08-19T09:00:03Z ERR Failed to upload attachment to Slack error=EOF event_id=$3
2026-08-19T09:00:03Z ERR Failed to handle Matrix message error=EOF event_id=$3
2026-08-19T09:00:04Z ERR Request failed error=x
2026-08-19T09:00:04Z ERR Failed to check if message is a duplicate error=x
2026-08-19T09:00:04Z ERR Failed to send message part to Matrix error=x remote_message_id=T1-C1-1.2
2026-08-19T09:00:05Z WRN Target message for reaction not found bridge_evt_type=RemoteEventReaction
2026-08-19T09:00:06Z WRN Not bridging edit: sender doesn't match original message sender remote_sender={"is_from_me":true}
2026-08-19T09:00:07Z INF Shutting down bridge
2026-08-19T09:00:07Z ERR Error in socket mode connection error="context canceled"
"#,
        );
        assert_eq!(
            (
                problems.lost_in(Direction::ToSlack),
                problems.lost_in(Direction::ToMatrix)
            ),
            (3, 2)
        );
        assert_eq!(problems.lost_of(Direction::ToSlack, Operation::File), 1);
        assert_eq!(
            problems.lost[&(
                Direction::ToSlack,
                Operation::Message,
                "not_in_channel".to_owned()
            )],
            2
        );
        let groups = problems.groups();
        assert_eq!((groups[0].count, &*groups[0].error), (2, "not_in_channel"));
        assert_eq!(groups[0].example["event_id"], "$2");
        assert!(
            groups[0].meaning.contains("not in the channel")
                && groups[0].remedy.contains("/invite")
        );
        assert_eq!(problems.total, 6);
    }

    #[test]
    fn each_thing_is_lost_once_and_what_is_no_message_is_not() {
        let problems = read(
            r#"{"level":"error","action":"handle remote event","bridge_evt_type":"RemoteEventMessage","remote_message_id":"T1-C1-1.2","error":"x","part_id":"","message":"Failed to send message part to Matrix"}
{"level":"error","action":"handle remote event","bridge_evt_type":"RemoteEventMessage","remote_message_id":"T1-C1-1.2","error":"x","part_id":"file-1","message":"Failed to send message part to Matrix"}
{"level":"error","action":"handle remote event","bridge_evt_type":"RemoteEventEdit","remote_message_id":"T1-C1-1.2","remote_target_message_id":"T1-C1-1.2","error":"x","message":"Failed to get edit target message"}
{"level":"error","action":"handle remote event","bridge_evt_type":"RemoteEventReaction","remote_target_message_id":"T1-C1-1.2","remote_timestamp":"2026-08-19T09:00:01Z","error":"x","message":"Failed to get target message for reaction"}
{"level":"error","action":"handle remote event","bridge_evt_type":"RemoteEventReaction","remote_target_message_id":"T1-C1-1.2","remote_timestamp":"2026-08-19T09:00:02Z","error":"x","message":"Failed to get target message for reaction"}
{"level":"error","action":"handle matrix event","event_id":"$1","event_type":"m.room.member","error":"x","message":"Failed to get user login to handle Matrix event"}
{"level":"error","action":"handle matrix event","event_id":"$2","event_type":"m.reaction","error":"x","message":"Failed to get user login to handle Matrix event"}
{"level":"error","action":"handle matrix event","event_id":"$3","event_type":"m.room.message","message":"Event handling panicked"}
{"level":"error","event_type":"*slack.UserTypingEvent","error":"x","message":"Failed to wrap Slack event"}
{"level":"error","event_type":"*slack.MessageEvent","error":"x","message":"Failed to wrap Slack event"}
"#,
        );
        let lost = |direction| Operation::ALL.map(|what| problems.lost_of(direction, what));
        assert_eq!(lost(Direction::ToMatrix), [2, 1, 2, 0, 0]);
        assert_eq!(lost(Direction::ToSlack), [1, 0, 1, 0, 0]);
        assert_eq!(problems.total, 10);
    }

    #[test]
    fn what_comes_to_a_deleted_message_is_lost_to_nobody() {
        let late = |target: &str| {
            format!(
                "2026-08-19T09:00:02Z WRN Target message for reaction not found bridge_evt_type=RemoteEventReaction \
                remote_target_message_id={target} remote_timestamp=2026-08-19T09:00:01Z\n"
            )
        };
        let deletion = "2026-08-19T09:00:01Z DBG Sent redaction of message part to Matrix action=\"handle remote event\" remote_target_message_id=T1-C1-1.2\n";
        let problems = read(&[deletion, &late("T1-C1-1.2"), &late("T1-C1-9.9")].concat());
        assert_eq!(problems.lost_in(Direction::ToMatrix), 1);
        assert_eq!(problems.total, 1);
    }

    #[test]
    fn no_end_of_different_errors_fits_into_the_memory() {
        let line = |n: usize| format!("2026-08-19T09:00:01Z ERR e{}x\n", "y".repeat(n % 700));
        let log = (0..2000).map(line).collect::<Vec<_>>().concat();
        let problems = read(&log);
        assert_eq!(problems.total, 2000);
        assert!(problems.groups().len() <= GROUPS + 1);
        assert_eq!(
            problems
                .groups()
                .iter()
                .map(|group| group.count)
                .sum::<u64>(),
            2000
        );
    }
}
