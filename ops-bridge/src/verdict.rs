//! What the history of a connection amounts to: one verdict, in words, with what to do.

use std::time::Duration;

use jiff::Timestamp;
use ops_common::check::{Check, State};

use crate::availability::REFUSED_AGAIN;
use crate::connection::{Connection, KEPT, between};
use crate::history::History;
use crate::retry::Outlook;

/// A finding about one login.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    /// A short name for scripts.
    pub(crate) code: &'static str,
    pub(crate) status: State,
    pub(crate) message: String,
    pub(crate) fix: &'static str,
}

const LOGIN: &str = "log in: ops-bridge login --tokens FILE --host HOST";
const NETWORK: &str = "look at the network between the host and Slack";
const RESTART: &str = "restart the unit: the bridge's waiting time doubles without end";

/// The codes with which Slack says that a token is not, or no longer, good.
const TOKEN_ERRORS: [&str; 6] = [
    "invalid_auth",
    "not_authed",
    "token_revoked",
    "token_expired",
    "account_inactive",
    "not_allowed_token_type",
];

const RECONNECT: &str = "restart the unit";

/// Slack says hello within milliseconds.
const GREETED: Duration = Duration::from_secs(10);

/// More sockets than this within ten minutes is no refresh any more.
const FLAPS: usize = 5;

impl Verdict {
    fn new(
        code: &'static str,
        status: State,
        message: impl Into<String>,
        fix: &'static str,
    ) -> Self {
        Self {
            code,
            status,
            message: message.into(),
            fix,
        }
    }
}

/// Judges one login at `now`.
pub(crate) fn of(history: &History, connection: &Connection, now: Timestamp) -> Verdict {
    let for_so_long = connection.since.map_or_else(String::new, |since| {
        format!(" for {}", words(between(since, now)))
    });
    match connection.state.as_str() {
        _ if is_hidden(history, now) => hidden(),
        _ if connection.is_failing() => disconnected(connection, now),
        "CONNECTED" => connected(history, connection, now),
        "CONNECTING" => connecting(connection, now),
        "TRANSIENT_DISCONNECT" => disconnected(connection, now),
        "UNKNOWN_ERROR" => failed(history, connection, &for_so_long),
        "BAD_CREDENTIALS" | "LOGGED_OUT" => {
            let reason = crate::connection::reason(&connection.error, &connection.message);
            Verdict::new(
                "needs-login",
                State::Fail,
                format!("Slack does not accept the login{for_so_long}: {reason}"),
                LOGIN,
            )
        }
        "STOPPED" => Verdict::new(
            "stopped",
            State::Fail,
            format!("the bridge has been stopped{for_so_long}"),
            "start the unit",
        ),
        "STARTING" => starting(history, connection, now),
        other => Verdict::new(
            "unknown-state",
            State::Unknown,
            format!("in the state {other}, which this program does not know"),
            "",
        ),
    }
}

/// Whether the last that was heard is a refusal which nobody has repeated: it healed, and the log level hides that.
fn is_hidden(history: &History, now: Timestamp) -> bool {
    let refused = history.run.refused_at;
    refused.is_some_and(|at| !history.run.tells_states && between(at, now) > REFUSED_AGAIN)
}

fn connected(history: &History, connection: &Connection, now: Timestamp) -> Verdict {
    if let Some(verdict) = neighbours(history, now) {
        return verdict;
    }
    if let Some(verdict) = bad_socket(connection, now) {
        return verdict;
    }
    let since = connection.connected_since.or(connection.since);
    let length = since.map_or_else(
        || "connected".to_owned(),
        |since| format!("connected for {}", words(between(since, now))),
    );
    let silent =
        since.is_some_and(|since| history.last_traffic.is_none_or(|traffic| traffic < since));
    let (code, mut message) = if silent {
        (
            "connected-silent",
            format!("{length}, no message seen since"),
        )
    } else {
        ("connected", length)
    };
    let mut status = State::Ok;
    if let Some((who, at)) = doubted(history) {
        status = State::Warn;
        message = format!(
            "{message}; {who} failed {} ago and was not heard of since",
            words(between(at, now))
        );
    }
    Verdict::new(code, status, message, "ops-bridge errors")
}

/// What the life of the sockets says against a connection.
fn bad_socket(connection: &Connection, now: Timestamp) -> Option<Verdict> {
    let ungreeted = connection.ungreeted_for(now);
    if let Some(waiting) = ungreeted.filter(|waiting| *waiting > GREETED) {
        let message = format!(
            "the socket is open, but Slack has not said hello for {}: no events come",
            words(waiting)
        );
        return Some(Verdict::new("no-hello", State::Fail, message, RECONNECT));
    }
    if connection.is_never_pinged(now) {
        let message = "a new socket every 30 s: Slack's pings do not arrive";
        let fix = "look for a proxy or firewall that swallows WebSocket control frames";
        return Some(Verdict::new("never-pinged", State::Fail, message, fix));
    }
    let replaced = connection.reconnects_within(Duration::from_mins(10), now);
    (replaced > FLAPS).then(|| {
        let more = if replaced == KEPT { " or more" } else { "" };
        let message = format!("{replaced}{more} new sockets within 10 minutes");
        let fix = "is a second bridge running with the same app? look at the network";
        Verdict::new("flapping", State::Warn, message, fix)
    })
}

/// Who failed, and nobody knows whether it works again.
fn doubted(history: &History) -> Option<(&'static str, Timestamp)> {
    let neighbours = &history.neighbours;
    let known = [
        ("the database", &neighbours.database),
        ("the homeserver", &neighbours.homeserver),
        ("sending to Slack", &neighbours.web_api),
    ];
    known
        .into_iter()
        .find_map(|(who, known)| Some((who, known.failed_at()?)))
}

/// What the log tells of those without whom messages are lost under a good state.
pub(crate) fn neighbours(history: &History, now: Timestamp) -> Option<Verdict> {
    let neighbours = &history.neighbours;
    let shown = |error: &str| crate::mask::secrets(error);
    if let Some(error) = neighbours.database.failing(now) {
        return Some(database_away(&shown(error)));
    }
    if let Some(error) = neighbours.homeserver.failing(now) {
        return Some(homeserver_away(&shown(error)));
    }
    if let Some(error) = neighbours.web_api.failing(now) {
        let message = format!("Slack refuses what is sent ({}): it is lost", shown(error));
        let is_token = TOKEN_ERRORS.contains(&error);
        let (code, status) = if is_token {
            ("bot-token-refused", State::Fail)
        } else {
            ("sending-refused", State::Warn)
        };
        let fix = crate::known::slack_error(error).map_or("ops-bridge errors", |(_, fix)| fix);
        return Some(Verdict::new(code, status, message, fix));
    }
    neighbours.queue.failing(now)?;
    let message = "an event holds its room for more than 30 s: what follows waits";
    let fix = "ops-bridge log --level warn";
    Some(Verdict::new("back-pressure", State::Warn, message, fix))
}

/// The verdict where the database does not answer.
pub(crate) fn database_away(reason: &str) -> Verdict {
    let message = format!("the database is away, messages are lost both ways: {reason}");
    Verdict::new("database-away", State::Fail, message, "ops-db status")
}

/// The verdict where the homeserver does not answer.
pub(crate) fn homeserver_away(reason: &str) -> Verdict {
    let message = format!(
        "the homeserver is away, messages wait for up to a minute and are lost then: {reason}"
    );
    Verdict::new("homeserver-away", State::Fail, message, "ops-matrix status")
}

fn connecting(connection: &Connection, now: Timestamp) -> Verdict {
    let waiting = connection
        .since
        .map(|since| between(since, now))
        .unwrap_or_default();
    let message = format!("dialling Slack for {}", words(waiting));
    let status = if waiting > Duration::from_secs(30) {
        State::Fail
    } else {
        State::Warn
    };
    Verdict::new(
        "connecting",
        status,
        message,
        "look at the network between the host and Slack",
    )
}

fn disconnected(connection: &Connection, now: Timestamp) -> Verdict {
    let gap = connection.gap.as_ref();
    let length = gap.map(|gap| between(gap.since, now)).unwrap_or_default();
    let error = gap.map_or(&connection.error, |gap| &gap.error);
    if error == "slack-socketmode-error" {
        return refused(gap.map_or(&connection.message, |gap| &gap.message), length);
    }
    let attempts = gap.map_or(0, |gap| gap.attempts);
    let next = connection.next_attempt();
    let wait = next.map(|next| between(now, next)).unwrap_or_default();
    let overdue = next.is_some_and(|next| between(next, now) > Duration::from_secs(30));
    let when = match next {
        Some(_) if overdue => ", the next is overdue".to_owned(),
        Some(next) => format!(", the next at {}", next.strftime("%Y-%m-%dT%H:%M:%SZ")),
        None => String::new(),
    };
    let message = format!("no socket for {}, {attempts} attempts{when}", words(length));
    if length > Duration::from_mins(3) || wait > Duration::from_mins(1) {
        return Verdict::new("backoff", State::Fail, message, RESTART);
    }
    Verdict::new("disconnected", State::Fail, message, NETWORK)
}

/// Slack answers, and refuses to open a socket.
fn refused(code: &str, length: Duration) -> Verdict {
    let length = words(length);
    if TOKEN_ERRORS.contains(&code) {
        let message = format!(
            "Slack refuses the app token ({code}) for {length}: nothing arrives from Slack, though sending works"
        );
        let fix = "make a new app-level token with connections:write and log in with it";
        return Verdict::new("app-token-refused", State::Fail, message, fix);
    }
    let code = if code.is_empty() { "no code" } else { code };
    let message = format!("Slack refuses to open a socket ({code}) for {length}");
    Verdict::new("socket-refused", State::Fail, message, "ops-bridge errors")
}

fn failed(history: &History, connection: &Connection, for_so_long: &str) -> Verdict {
    let reason = crate::connection::reason(&connection.error, &connection.message);
    start_failed(history, for_so_long, &reason)
}

/// The verdict where a login failed and nothing, or something, tries again.
pub(crate) fn start_failed(history: &History, for_so_long: &str, reason: &str) -> Verdict {
    let (code, outlook, fix) = match history.run.retry.outlook {
        Outlook::Again => ("start-failed-retrying", "and is tried again", ""),
        Outlook::Over => (
            "start-failed",
            "again when it was tried again, and nothing tries any more",
            RECONNECT,
        ),
        Outlook::Unknown => (
            "start-failed",
            "and nothing tries again unless bridge.unknown_error_auto_reconnect is set",
            "restart the unit, and set bridge.unknown_error_auto_reconnect: 1m",
        ),
    };
    let message = format!("the login failed at start{for_so_long} {outlook}: {reason}");
    Verdict::new(code, State::Fail, message, fix)
}

fn starting(history: &History, connection: &Connection, now: Timestamp) -> Verdict {
    if let Some(verdict) = neighbours(history, now) {
        return verdict;
    }
    let waiting = connection
        .since
        .map(|since| between(since, now))
        .unwrap_or_default();
    if history.run.login_failed {
        return start_failed(history, "", "see the log");
    }
    if !history.run.tells_states && waiting > Duration::from_secs(30) {
        return hidden();
    }
    let status = if waiting > Duration::from_secs(30) {
        State::Fail
    } else {
        State::Warn
    };
    Verdict::new(
        "starting",
        status,
        format!("started {} ago, no connection yet", words(waiting)),
        "ops-bridge log --level warn",
    )
}

/// The verdict where the log cannot show any state.
pub(crate) fn hidden() -> Verdict {
    let message = "these lines tell no state of the connection: the log level hides them, or they are too few";
    Verdict::new(
        "hidden",
        State::Unknown,
        message,
        "set logging.min_level: debug, or a provisioning secret of 16 characters",
    )
}

/// The verdict where nobody is logged in.
pub(crate) fn nobody() -> Verdict {
    Verdict::new(
        "nobody-logged-in",
        State::Fail,
        "nobody is logged in to Slack",
        LOGIN,
    )
}

/// Adds what to do about a finding, unless there is nothing to do.
pub(crate) fn advise(check: Check, fix: &str) -> Check {
    if check.status == State::Ok || fix.is_empty() {
        check
    } else {
        check.fix(fix)
    }
}

/// A length of time as a person reads it, two units at most.
pub(crate) fn words(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..60 if length.subsec_millis() > 0 && seconds < 10 => {
            format!("{:.1}s", length.as_secs_f64())
        }
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
