//! What a line counts as among the errors, and what was lost with it.

use crate::known::{self, Class, Direction, Operation};
use crate::line::{Level, Line, Writer};
use crate::transfer::is_from_me;

/// What a line counts as among the errors. Nothing for a line that is no trouble at all.
pub(crate) fn of(line: &Line<'_>, is_stopping: bool) -> Option<Class> {
    if line.writer == Writer::Other {
        return known::find_plain(&line.message).map(|known| known.class);
    }
    let level = line.level.filter(|level| *level >= Level::Warn)?;
    if line.writer == Writer::Systemd {
        return None;
    }
    let known = known::find(&line.message).map(|known| known.class);
    let error_is = |text: &str| line.field("error").is_some_and(|error| error == text);
    match (&*line.message, known) {
        ("Error in socket mode connection", _) if is_stopping && error_is("context canceled") => {
            Some(Class::Healthy)
        }
        ("Failed to handle Matrix membership change", _) if error_is("invalid channel ID") => {
            Some(Class::Healthy)
        }
        (
            "Target reaction not found"
            | "Not bridging edit: sender doesn't match original message sender",
            _,
        ) if !is_from_me(line) => Some(Class::Trouble),
        (_, Some(class)) => Some(class),
        // A warning that nobody has described loses nothing; an error might.
        (_, None) => Some(if level >= Level::Error {
            Class::Trouble
        } else {
            Class::Healthy
        }),
    }
}

/// What was lost with a line, seen from its context where one text stands for several things. Nothing where what failed was
/// no message of a person: a join, a room's name.
pub(crate) fn lost(
    line: &Line<'_>,
    direction: Direction,
    operation: Operation,
) -> Option<(Direction, Operation)> {
    let direction = match line.field("action").as_deref() {
        Some("handle matrix event") => Direction::ToSlack,
        Some("handle remote event") => Direction::ToMatrix,
        _ => direction,
    };
    let kind = match direction {
        Direction::ToMatrix => line.field("bridge_evt_type"),
        Direction::ToSlack => None,
    };
    let kind = kind
        .or_else(|| line.field("event_type"))
        .unwrap_or_default();
    let operation = match &*kind {
        "RemoteEventEdit" => Operation::Edit,
        "RemoteEventReaction"
        | "RemoteEventReactionRemove"
        | "RemoteEventReactionSync"
        | "m.reaction" => Operation::Reaction,
        "RemoteEventMessageRemove" | "m.room.redaction" => Operation::Deletion,
        ""
        | "RemoteEventMessage"
        | "RemoteEventMessageUpsert"
        | "m.room.message"
        | "m.room.encrypted"
        | "m.sticker" => operation,
        // Slack's own events, before the bridge has understood them.
        kind if kind.ends_with("MessageEvent") => operation,
        kind if kind.contains("Reaction") => Operation::Reaction,
        kind if kind.contains("poll.") => Operation::Message,
        _ => return None,
    };
    Some((direction, operation))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tests::with;

    #[test]
    fn healthy_lines_weigh_nothing_and_losses_weigh() {
        let weigh = |text: &str, stopping| with(text, false, |line| of(line, stopping));
        let echo = r#"2026-08-19T09:00:01Z WRN Target reaction not found remote_sender={"is_from_me":true}"#;
        assert_eq!(weigh(echo, false), Some(Class::Healthy));
        assert_eq!(
            weigh(
                r#"2026-08-19T09:00:01Z ERR Error in socket mode connection error="context canceled""#,
                true
            ),
            Some(Class::Healthy)
        );
        assert_eq!(
            weigh(
                r#"2026-08-19T09:00:01Z ERR Error in socket mode connection error="context canceled""#,
                false
            ),
            Some(Class::Trouble)
        );
        assert_eq!(
            weigh(
                "2026-08-19T09:00:01Z ERR Failed to handle Matrix message error=not_in_channel",
                false
            ),
            Some(Class::Lost(Direction::ToSlack, Operation::Message))
        );
        assert_eq!(
            weigh("2026-08-19T09:00:01Z ERR Something new", false),
            Some(Class::Trouble)
        );
        assert_eq!(
            weigh("2026-08-19T09:00:01Z WRN Something new", false),
            Some(Class::Healthy)
        );
        assert_eq!(weigh("2026-08-19T09:00:01Z INF Something new", false), None);
    }
}
