//! Messages, edits, reactions, deletions and files on their way: what a line tells of one of them.

use std::borrow::Cow;

use crate::event::Event;
use crate::json;
use crate::known::Operation;
use crate::line::Line;

/// Reads what a line tells of something that is bridged.
pub(crate) fn of<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    to_matrix(line).or_else(|| to_slack(line))
}

fn to_matrix<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    let operation = match &*line.message {
        "Sent message part to Matrix" => {
            let is_file = line
                .field("part_id")
                .is_some_and(|part| part.starts_with("file-"));
            if is_file {
                Operation::File
            } else {
                Operation::Message
            }
        }
        "Sent message part edit to Matrix" => Operation::Edit,
        "Sent reaction to Matrix" => Operation::Reaction,
        "Sent redaction of message part to Matrix" => Operation::Deletion,
        _ => return None,
    };
    // Old messages that are filled in have another action: their age is no latency.
    let is_live = line
        .field("action")
        .is_some_and(|action| action == "handle remote event");
    is_live.then(|| Event::Delivered {
        operation,
        sent_at: line.instant("remote_timestamp"),
    })
}

fn to_slack<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    let field = |name| line.field(name).unwrap_or_default();
    let event = match &*line.message {
        "Sending message to Slack" => match line.field("edit_target_remote_id") {
            Some(target) => Event::Sending {
                operation: Operation::Edit,
                id: target,
            },
            None => Event::Sending {
                operation: Operation::Message,
                id: field("event_id"),
            },
        },
        "Uploading attachment to Slack" => Event::Sending {
            operation: Operation::File,
            id: field("event_id"),
        },
        "Ignoring duplicate message" => Event::Echo {
            operation: Operation::Message,
            id: field("existing_mxid"),
        },
        "Received remote echo for message" => Event::Echo {
            operation: Operation::File,
            id: field("event_id"),
        },
        "Not bridging edit: sender doesn't match original message sender" => Event::Echo {
            operation: Operation::Edit,
            id: field("remote_target_message_id"),
        },
        "Ignoring duplicate reaction" | "Target reaction not found" if is_from_me(line) => {
            Event::Echo {
                operation: Operation::Reaction,
                id: Cow::default(),
            }
        }
        "Target message not found" => Event::Echo {
            operation: Operation::Deletion,
            id: Cow::default(),
        },
        _ => return None,
    };
    Some(event)
}

/// Whether it is about what the bridge itself did in Slack.
pub(crate) fn is_from_me(line: &Line<'_>) -> bool {
    line.field("remote_sender").is_some_and(|sender| {
        json::members(&sender)
            .flatten()
            .any(|(key, value)| key == "is_from_me" && value.as_written() == "true")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event;
    use crate::event::tests::with;

    #[test]
    fn filled_in_messages_are_no_deliveries() {
        let text = "2026-08-19T09:00:01Z DBG Sent message part to Matrix action=backfill remote_timestamp=2026-08-19T08:00:01Z";
        with(text, false, |line| {
            assert_eq!(event::of(line), Event::Other);
        });
        let text = r#"2026-08-19T09:00:01Z DBG Sent message part to Matrix action="handle remote event" part_id=file-0-F1 remote_timestamp=2026-08-19T09:00:00Z"#;
        let sent_at = "2026-08-19T09:00:00Z".parse().ok();
        with(text, false, |line| {
            assert_eq!(
                event::of(line),
                Event::Delivered {
                    operation: Operation::File,
                    sent_at
                }
            );
        });
    }
}
