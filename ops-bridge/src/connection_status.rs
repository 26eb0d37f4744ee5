//! The check `bridge.connection_status`: the newest state of each login, from whoever knows it best, and what speaks against it.

use jiff::Timestamp;
use ops_common::check::{Check, State};
use serde_json::json;

use crate::connection::{Connection, between};
use crate::database::Login;
use crate::half_open;
use crate::history::History;
use crate::probe::Answer;
use crate::provisioning::Known;
use crate::socket;
use crate::verdict::{self, Verdict};

/// The name of the check.
pub(crate) const CHECK: &str = "bridge.connection_status";

/// One check for each login; one that says so where there is none.
pub(crate) fn judge(
    answer: &Answer,
    known: &Result<Vec<Known>, String>,
    history: &History,
    homeserver: Option<&Verdict>,
) -> Vec<Check> {
    if answer.unit.as_ref().is_ok_and(|unit| !unit.is_active()) {
        let verdict = Verdict {
            code: "stopped",
            status: State::Fail,
            message: "the bridge does not run".to_owned(),
            fix: "",
        };
        return vec![socket::check(CHECK, "", &verdict)];
    }
    let database = match &answer.database {
        Ok(database) => database,
        Err(reason) => return vec![without_database(reason, history, answer.now)],
    };
    if database.logins.is_empty() {
        let verdict = verdict::nobody();
        return vec![socket::check(CHECK, "", &verdict)];
    }
    database
        .logins
        .iter()
        .map(|login| connection(answer, known, history, (login, homeserver)))
        .collect()
}

fn connection(
    answer: &Answer,
    known: &Result<Vec<Known>, String>,
    history: &History,
    (login, homeserver): (&Login, Option<&Verdict>),
) -> Check {
    let (seen, source) = newest(known, history, login);
    let mut check = match &seen {
        Some(connection) => socket::of_login(CHECK, &login.id, history, connection, answer.now),
        None => socket::check(CHECK, &login.id, &verdict::hidden()),
    };
    if !login.has_token {
        check = socket::check(CHECK, &login.id, &needs_login());
    } else if check.status <= State::Warn {
        let is_connected = seen
            .as_ref()
            .is_some_and(|connection| connection.state == "CONNECTED");
        let dead = match (&answer.sockets, &answer.configuration) {
            (Ok(sockets), Ok(configuration)) => half_open::judge(sockets, configuration),
            _ => None,
        };
        if let Some(verdict) = homeserver.or(dead.as_ref()).filter(|_| is_connected) {
            check = socket::check(CHECK, &login.id, verdict);
        }
    }
    check = distrust(check, answer, known);
    let age = seen
        .and_then(|connection| connection.since)
        .map(|since| between(since, answer.now).as_secs_f64());
    if !check.data.is_object() {
        check.data = json!({});
    }
    check.data["source"] = json!(source);
    check.data["age_s"] = json!(age);
    check
}

/// The newest state of a login, and who says so: the process itself, else its log.
fn newest(
    known: &Result<Vec<Known>, String>,
    history: &History,
    login: &Login,
) -> (Option<Connection>, &'static str) {
    let logged = history.logins.get(&login.id).cloned();
    let told = known
        .as_ref()
        .ok()
        .and_then(|known| known.iter().find(|known| known.id == login.id))
        .filter(|known| !known.state.is_empty());
    let Some(told) = told else {
        return (logged, "log");
    };
    match logged {
        // A dial in the middle of a loss says less than the log of that loss.
        Some(logged)
            if logged.state == told.state || logged.is_failing() && told.state == "CONNECTING" =>
        {
            (Some(logged), "provisioning")
        }
        _ => {
            let connection = Connection::told(&told.state, &told.error, &told.message, told.since);
            (Some(connection), "provisioning")
        }
    }
}

/// Who is logged in is not known. If the database is away, and the bridge says so too, that is the answer.
fn without_database(reason: &str, history: &History, now: Timestamp) -> Check {
    let is_away = AWAY.iter().any(|words| reason.contains(words));
    if !is_away {
        return Check::unknown(
            CHECK,
            "",
            format!("who is logged in is not known: {reason}"),
        );
    }
    let mut verdict = verdict::database_away(reason);
    if history.neighbours.database.failing(now).is_none() {
        verdict.status = State::Unknown;
    }
    socket::check(CHECK, "", &verdict)
}

/// How psql says that nobody answers.
const AWAY: [&str; 4] = [
    "No such file or directory",
    "Connection refused",
    "timeout expired",
    "the database system is",
];

fn needs_login() -> Verdict {
    Verdict {
        code: "needs-login",
        status: State::Fail,
        message: "the login's token was refused and removed: it needs a new login".to_owned(),
        fix: "log in: ops-bridge login --tokens FILE --host HOST",
    }
}

/// A source that failed makes a good verdict unknown: it might have known better. A switched-off API is no failure as long
/// as the log shows the states.
fn distrust(mut check: Check, answer: &Answer, known: &Result<Vec<Known>, String>) -> Check {
    if check.status > State::Warn {
        return check;
    }
    let logs_states = answer
        .configuration
        .as_ref()
        .is_ok_and(super::configuration::Configuration::logs_states);
    let switched_off = known
        .as_ref()
        .is_err_and(|reason| reason.contains("no provisioning API"));
    let failed = [
        answer.unit.as_ref().err(),
        answer.journal.as_ref().err(),
        answer.configuration.as_ref().err(),
        answer.sockets.as_ref().err(),
        known
            .as_ref()
            .err()
            .filter(|_| !(switched_off && logs_states)),
    ];
    if let Some(reason) = failed.into_iter().flatten().next() {
        check.status = State::Unknown;
        check.message = format!("{}, but a source did not answer: {reason}", check.message);
    }
    check
}
