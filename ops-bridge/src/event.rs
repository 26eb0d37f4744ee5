//! What a line tells about the bridge.

use std::borrow::Cow;

use jiff::Timestamp;

use crate::json;
use crate::known::{self, Class, Direction, Operation};
use crate::line::{Level, Line, Writer};

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event<'a> {
    /// systemd changed the unit.
    Unit(UnitChange),
    /// The process of the bridge went a step.
    Process(Step<'a>),
    /// The state of a login changed, or of the whole bridge where `login` is empty.
    State(State<'a>),
    /// Slack refused to open a socket.
    SocketRefused(Cow<'a, str>),
    /// A failed login is tried again.
    AutoReconnect,
    /// A message, edit or file left for Slack.
    Sending {
        operation: Operation,
        id: Cow<'a, str>,
    },
    /// Slack's echo of something that came from Matrix: it arrived.
    Echo {
        operation: Operation,
        id: Cow<'a, str>,
    },
    /// Something from Slack is in its room.
    Delivered {
        operation: Operation,
        sent_at: Option<Timestamp>,
    },
    /// Nothing that is followed here.
    Other,
}

/// What systemd did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnitChange {
    Starting,
    Started,
    Stopping,
    Stopped,
    /// The main process ended, with this status or signal.
    Exited(u8),
    Killed,
    Restarting,
}

/// A step in the life of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    Starting { version: Cow<'a, str> },
    Started,
    NoLogins,
    Stopping,
    Stopped,
    Fatal,
}

/// A state that the bridge sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State<'a> {
    pub(crate) login: Cow<'a, str>,
    pub(crate) name: Cow<'a, str>,
    pub(crate) error: Cow<'a, str>,
    pub(crate) message: Cow<'a, str>,
}

/// Reads what a line tells.
pub(crate) fn of<'a>(line: &Line<'a>) -> Event<'a> {
    match line.writer {
        Writer::Systemd => unit_change(&line.message).map_or(Event::Other, Event::Unit),
        Writer::Other => Event::Other,
        Writer::Bridge if line.level == Some(Level::Fatal) => Event::Process(Step::Fatal),
        Writer::Bridge => process(line)
            .or_else(|| to_matrix(line))
            .or_else(|| to_slack(line))
            .unwrap_or(Event::Other),
    }
}

fn unit_change(message: &str) -> Option<UnitChange> {
    if let Some((_, after)) = message.split_once("Main process exited, code=") {
        let (kind, rest) = after.split_once(", status=")?;
        let status = rest.split('/').next()?.parse().ok()?;
        return Some(if kind == "exited" {
            UnitChange::Exited(status)
        } else {
            UnitChange::Killed
        });
    }
    match message.split(' ').next()? {
        "Starting" => Some(UnitChange::Starting),
        "Started" => Some(UnitChange::Started),
        "Stopping" => Some(UnitChange::Stopping),
        "Stopped" => Some(UnitChange::Stopped),
        _ if message.contains(": Scheduled restart job") => Some(UnitChange::Restarting),
        _ if message.ends_with(": Deactivated successfully.") => Some(UnitChange::Stopped),
        _ => None,
    }
}

fn process<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    let step = match &*line.message {
        "Initializing bridge" => Step::Starting {
            version: line.field("version").unwrap_or_default(),
        },
        "Bridge started" => Step::Started,
        "No user logins found" => Step::NoLogins,
        "Shutting down bridge" => Step::Stopping,
        "Shutdown complete" => Step::Stopped,
        "Sent new bridge state" | "Sent new global bridge state" => {
            return state(line).map(Event::State);
        }
        "Error in socket mode connection" => {
            return Some(Event::SocketRefused(
                line.field("error").unwrap_or_default(),
            ));
        }
        "Disconnecting and reconnecting login due to unknown error" => {
            return Some(Event::AutoReconnect);
        }
        _ => return None,
    };
    Some(Event::Process(step))
}

fn state<'a>(line: &Line<'a>) -> Option<State<'a>> {
    let object = line.field("bridge_state")?;
    let mut state = State {
        login: line.field("login_id").unwrap_or_default(),
        ..State::default()
    };
    for member in json::members(&object) {
        let (key, value) = member.ok()?;
        let field = match key {
            "state_event" => &mut state.name,
            "error" => &mut state.error,
            "message" => &mut state.message,
            "remote_id" if state.login.is_empty() => &mut state.login,
            _ => continue,
        };
        *field = Cow::Owned(value.text().into_owned());
    }
    (!state.name.is_empty()).then_some(state)
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

fn is_from_me(line: &Line<'_>) -> bool {
    line.field("remote_sender").is_some_and(|sender| {
        json::members(&sender)
            .flatten()
            .any(|(key, value)| key == "is_from_me" && value.as_written() == "true")
    })
}

/// What a line counts as among the errors. Nothing for a line that is no trouble at all.
pub(crate) fn weight(line: &Line<'_>, is_stopping: bool) -> Option<Class> {
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

/// The direction and operation of a message lost, seen from its context where one line stands for several.
pub(crate) fn lost(
    line: &Line<'_>,
    direction: Direction,
    operation: Operation,
) -> (Direction, Operation) {
    let kind = line.field("bridge_evt_type").unwrap_or_default();
    let operation = match (direction, &*kind) {
        (Direction::ToMatrix, "RemoteEventEdit") => Operation::Edit,
        (Direction::ToMatrix, "RemoteEventReaction" | "RemoteEventReactionRemove") => {
            Operation::Reaction
        }
        (Direction::ToMatrix, "RemoteEventMessageRemove") => Operation::Deletion,
        _ => match line.field("event_type").as_deref() {
            Some("m.reaction") => Operation::Reaction,
            Some("m.room.redaction") => Operation::Deletion,
            _ => operation,
        },
    };
    (direction, operation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::Envelope;

    fn with<T>(text: &str, systemd: bool, look: impl FnOnce(&Line<'_>) -> T) -> T {
        let envelope = Envelope {
            from_systemd: systemd,
            ..Envelope::default()
        };
        look(&Line::read(text, &envelope))
    }

    #[test]
    fn states_carry_login_error_and_message() {
        let text = r#"{"level":"debug","login_id":"T1-U1","bridge_state":{"state_event":"TRANSIENT_DISCONNECT","timestamp":1,"error":"slack-socketmode-error","message":"invalid_auth","remote_id":"T1-U1"},"time":"2026-08-19T09:00:01Z","message":"Sent new bridge state"}"#;
        with(text, false, |line| {
            let Event::State(state) = of(line) else {
                panic!("no state")
            };
            assert_eq!(
                (&*state.login, &*state.name, &*state.error, &*state.message),
                (
                    "T1-U1",
                    "TRANSIENT_DISCONNECT",
                    "slack-socketmode-error",
                    "invalid_auth"
                )
            );
        });
    }

    #[test]
    fn units_change_as_systemd_says() {
        let told = |text: &str, wanted: Event<'static>| {
            with(text, true, |line| assert_eq!(of(line), wanted, "{text}"));
        };
        told(
            "Started mautrix-slack.service - bridge.",
            Event::Unit(UnitChange::Started),
        );
        let exited = "mautrix-slack.service: Main process exited, code=exited, status=11/n/a";
        told(exited, Event::Unit(UnitChange::Exited(11)));
        told(
            "mautrix-slack.service: Main process exited, code=killed, status=9/KILL",
            Event::Unit(UnitChange::Killed),
        );
        let restart = "mautrix-slack.service: Scheduled restart job, restart counter is at 1.";
        told(restart, Event::Unit(UnitChange::Restarting));
        told("mautrix-slack.service: Consumed 1s CPU time.", Event::Other);
    }

    #[test]
    fn healthy_lines_weigh_nothing_and_losses_weigh() {
        let weigh = |text: &str, stopping| with(text, false, |line| weight(line, stopping));
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

    #[test]
    fn filled_in_messages_are_no_deliveries() {
        let text = "2026-08-19T09:00:01Z DBG Sent message part to Matrix action=backfill remote_timestamp=2026-08-19T08:00:01Z";
        with(text, false, |line| assert_eq!(of(line), Event::Other));
        let text = r#"2026-08-19T09:00:01Z DBG Sent message part to Matrix action="handle remote event" part_id=file-0-F1 remote_timestamp=2026-08-19T09:00:00Z"#;
        let sent_at = "2026-08-19T09:00:00Z".parse().ok();
        with(text, false, |line| {
            assert_eq!(
                of(line),
                Event::Delivered {
                    operation: Operation::File,
                    sent_at
                }
            );
        });
    }
}
