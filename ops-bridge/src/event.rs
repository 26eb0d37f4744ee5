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
    /// Slack could not be asked for what a login needs: the login failed, and nothing tries again.
    LoginFailed,
    /// What only the level trace tells about a socket of this login (empty where the line names none).
    Socket {
        login: Cow<'a, str>,
        what: SocketEvent<'a>,
    },
    /// A neighbour did not do what it was asked to.
    Failing {
        neighbour: Neighbour,
        error: Cow<'a, str>,
    },
    /// A neighbour was heard of.
    Works(Neighbour),
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

/// What happened to a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SocketEvent<'a> {
    Opened,
    /// Slack's first word: events are subscribed from now on.
    Greeted,
    /// It will be replaced, for this reason.
    Ended(Cow<'a, str>),
}

/// Whom the bridge cannot work without, apart from the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Neighbour {
    Homeserver,
    Database,
    /// Slack's Web API, which takes what comes from Matrix.
    WebApi,
    /// The bridge's own queue of a room.
    Queue,
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
            .or_else(|| socket(line))
            .or_else(|| neighbour(line))
            .unwrap_or(Event::Other),
    }
}

/// Whether [`of`] looks at the fields of lines with this message, below the level of a warning.
pub(crate) fn has_fields(message: &str) -> bool {
    const STARTS: [&str; 5] = [
        "Sent ",
        "Sending ",
        "Reconnecting due to ",
        "WebSocket ",
        "Received ",
    ];
    STARTS.iter().any(|start| message.starts_with(start))
        || matches!(
            message,
            "Initializing bridge"
                | "Error in socket mode connection"
                | "Uploading attachment to Slack"
                | "Ignoring duplicate message"
                | "Ignoring duplicate reaction"
                | "Target reaction not found"
                | "Target message not found"
                | "Not bridging edit: sender doesn't match original message sender"
        )
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
        "Failed to fetch team info" | "Failed to fetch user info" | "Failed to connect" => {
            return Some(Event::LoginFailed);
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

/// What the socket's own library says, at trace only.
fn socket<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    const GREETING: &str = r#""type":"hello""#;
    let message = &*line.message;
    let what = if let Some(reason) = message.strip_prefix("Reconnecting due to ") {
        SocketEvent::Ended(Cow::Owned(reason.to_owned()))
    } else if message.starts_with("WebSocket connection succeeded") {
        SocketEvent::Opened
    } else if message.starts_with("Received WebSocket message: ")
        && message.len() < 1000
        && message.contains(GREETING)
    {
        SocketEvent::Greeted
    } else {
        return None;
    };
    let login = line.field("login_id").unwrap_or_default();
    Some(Event::Socket { login, what })
}

/// What a line tells about the homeserver or the database.
fn neighbour<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    match &*line.message {
        "Request completed"
        | "Starting handling of transaction"
        | "Received ping from homeserver" => {
            return Some(Event::Works(Neighbour::Homeserver));
        }
        "Event that took long finished handling"
        | "Event that took too long finally finished handling" => {
            return Some(Event::Works(Neighbour::Queue));
        }
        _ if line.level < Some(Level::Warn) => return None,
        "Event handling is taking long"
        | "Event handling is taking too long, continuing in background"
        | "Portal event channel is full, queue will block"
        | "Portal event channel is still full" => {
            let (neighbour, error) = (Neighbour::Queue, Cow::default());
            return Some(Event::Failing { neighbour, error });
        }
        _ => {}
    }
    let error = line.field("error")?;
    // The bot's default avatar lies on a server that a host without a way out never reaches.
    let is_foreign = || {
        line.field("url")
            .is_some_and(|url| url.contains("/media/download/"))
    };
    let neighbour = match &*line.message {
        "Request failed" | "Request failed, retrying" if is_foreign() => return None,
        "Request failed, retrying"
        | "Failed to connect to homeserver, retrying in 10 seconds..." => Neighbour::Homeserver,
        _ if is_of_database(&error) => Neighbour::Database,
        "Request failed" | "Failed to send message part to Matrix" if is_unreachable(&error) => {
            Neighbour::Homeserver
        }
        "Failed to handle Matrix message"
        | "Failed to handle Matrix edit"
        | "Failed to handle Matrix reaction"
        | "Failed to handle Matrix redaction" => Neighbour::WebApi,
        _ => return None,
    };
    Some(Event::Failing { neighbour, error })
}

/// How Go's driver of PostgreSQL words that the server is away. A socket of Unix is always the database's.
fn is_of_database(error: &str) -> bool {
    [
        "dial unix",
        ".s.PGSQL.",
        "pq: ",
        "driver: bad connection",
        "sql: ",
        ":5432: connect",
    ]
    .iter()
    .any(|part| error.contains(part))
}

/// How Go words that the other side cannot be reached, and a proxy that nobody is behind it.
fn is_unreachable(error: &str) -> bool {
    [
        "dial tcp",
        "connection refused",
        "connection reset",
        "EOF",
        "deadline exceeded",
        "Client.Timeout",
        "HTTP 502",
        "HTTP 503",
        "HTTP 504",
    ]
    .iter()
    .any(|part| error.contains(part))
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
