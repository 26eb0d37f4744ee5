//! What a line tells about the bridge.

use std::borrow::Cow;

use jiff::Timestamp;

use crate::known::Operation;
use crate::line::{Level, Line, Writer};
use crate::{json, neighbour, transfer};

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
    /// A login failed before there was a socket.
    LoginFailed(LoginFailure),
    /// A login is in the same state of failure as before, so that the state was not sent.
    LoginFailedAlike,
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
    /// A failed login is tried again, or was for the last time.
    AutoReconnect { goes_on: bool },
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

/// At what a login failed. Each has an error of its own in the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoginFailure {
    /// Slack could not be asked for the team or the user.
    Fetch,
    /// The homeserver's side could not be set up.
    Connect,
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

/// What the framework says of a state that it does not send again.
const DUPLICATE: &str = "Not sending bridge state as it's a duplicate";

/// Reads what a line tells.
pub(crate) fn of<'a>(line: &Line<'a>) -> Event<'a> {
    match line.writer {
        Writer::Systemd => unit_change(&line.message).map_or(Event::Other, Event::Unit),
        Writer::Other => Event::Other,
        Writer::Bridge if line.level == Some(Level::Fatal) => Event::Process(Step::Fatal),
        Writer::Bridge => process(line)
            .or_else(|| transfer::of(line))
            .or_else(|| socket(line))
            .or_else(|| neighbour::of(line))
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
                | DUPLICATE
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
            return Some(Event::AutoReconnect { goes_on: true });
        }
        "Not reconnecting as the maximum number of unknown error reconnects has been reached" => {
            return Some(Event::AutoReconnect { goes_on: false });
        }
        "Failed to fetch team info" | "Failed to fetch user info" => {
            return Some(Event::LoginFailed(LoginFailure::Fetch));
        }
        "Failed to connect" => return Some(Event::LoginFailed(LoginFailure::Connect)),
        DUPLICATE => {
            let is_failure = line.field("state_event")? == "UNKNOWN_ERROR";
            return is_failure.then_some(Event::LoginFailedAlike);
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::line::Envelope;

    /// Looks at one line.
    pub(crate) fn with<T>(text: &str, systemd: bool, look: impl FnOnce(&Line<'_>) -> T) -> T {
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
}
