//! `status`: can messages flow now. One answer from the unit, the journal, the database, the configuration, the sockets and
//! the provisioning API; a source that does not answer is named, and what depended on it is unknown.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use ops_common::check::{Check, State};
use ops_common::exit;
use ops_common::host::Host;
use serde_json::{Value, json};

use crate::connection::{Connection, History, between};
use crate::database::{Database, Login};
use crate::error::Error;
use crate::event;
use crate::known::Direction;
use crate::probe::{self, Answer};
use crate::problems::Problems;
use crate::provisioning::{Known, Provisioning};
use crate::reader::Reader;
use crate::settings::Settings;
use crate::socket;
use crate::verdict::{self, Verdict, words};

/// The check that stands for all of them where the host cannot be asked.
pub(crate) const CHECK: &str = "bridge.connection_status";

/// Slack pings every five seconds; the bridge itself gives up after 30 to 60.
const SILENT: Duration = Duration::from_secs(20);

/// Looks at a host.
pub(crate) fn look(host: &Host, settings: &Settings) -> Result<Vec<Check>, Error> {
    let answer = probe::ask(host, settings, probe::ALL)?;
    let known = ask_bridge(host, &answer);
    Ok(judge(&answer, &known, settings))
}

/// The newest states, which only the process itself knows.
fn ask_bridge(host: &Host, answer: &Answer) -> Result<Vec<Known>, String> {
    let configuration = answer
        .configuration
        .as_ref()
        .map_err(|_| "its configuration is not known".to_owned())?;
    let ask = || -> Result<Vec<Known>, Error> {
        let api = Provisioning::connect(host, configuration)?;
        if !api.is_ready()? {
            return Ok(Vec::new());
        }
        let mut users: Vec<&str> = answer
            .database
            .iter()
            .flat_map(|database| &database.logins)
            .map(|login| &*login.user)
            .collect();
        users.dedup();
        let known = users
            .into_iter()
            .map(|user| api.logins_of(user))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(known.into_iter().flatten().collect())
    };
    ask().map_err(|error| exit::describe(&error))
}

fn judge(answer: &Answer, known: &Result<Vec<Known>, String>, settings: &Settings) -> Vec<Check> {
    let seen = Seen::read(answer);
    let sources = sources(answer, known);
    let mut checks = vec![unit(answer, &seen.history, settings)];
    let before = checks.len();
    checks.extend(connections(answer, known, &seen.history));
    for check in &mut checks[before..] {
        if let Value::Object(data) = &mut check.data {
            data.insert("sources".to_owned(), json!(sources));
        } else {
            check.data = json!({ "sources": sources });
        }
    }
    checks.extend(last_messages(answer));
    checks.push(error_count(answer, &seen.problems));
    checks.push(log_level(answer, &seen.history));
    for check in &mut checks {
        check.at = answer.now;
    }
    checks
}

/// What the journal of the last hour tells, and the states of the last days.
struct Seen {
    history: History,
    problems: Problems,
}

impl Seen {
    fn read(answer: &Answer) -> Self {
        let mut seen = Self {
            history: History::default(),
            problems: Problems::default(),
        };
        let hour_ago = answer
            .now
            .checked_sub(Duration::from_hours(1))
            .unwrap_or(Timestamp::MIN);
        let journal = answer.journal.as_deref().unwrap_or_default();
        let mut reader = Reader::new(journal);
        // Reading from memory does not fail.
        while let Ok(Some(line)) = reader.next() {
            let event = event::of(&line);
            seen.history.observe(&line, &event);
            if line.at.is_none_or(|at| at >= hour_ago) {
                seen.problems.observe(&line, &event);
            }
        }
        seen
    }
}

/// Every source by name: `ok`, or why it said nothing.
fn sources(answer: &Answer, known: &Result<Vec<Known>, String>) -> BTreeMap<&'static str, String> {
    fn told<T>(part: &Result<T, String>) -> String {
        part.as_ref().map_or_else(Clone::clone, |_| "ok".to_owned())
    }
    BTreeMap::from([
        ("unit", told(&answer.unit)),
        ("journal", told(&answer.journal)),
        ("database", told(&answer.database)),
        ("configuration", told(&answer.configuration)),
        ("sockets", told(&answer.sockets)),
        ("provisioning", told(known)),
    ])
}

fn unit(answer: &Answer, history: &History, settings: &Settings) -> Check {
    const NAME: &str = "bridge.unit";
    let unit = match &answer.unit {
        Ok(unit) => unit,
        Err(reason) => return Check::unknown(NAME, &settings.unit, reason),
    };
    if unit.load_state == "not-found" {
        return Check::fail(NAME, &settings.unit, "there is no such unit")
            .fix("name the bridge's unit in ops.yaml: bridge.unit");
    }
    let (mut message, since) = (unit.words(), unit.active_since.or(unit.changed_at));
    if !unit.is_active() && !history.run.last_words.is_empty() {
        message = format!(
            "{message} ({})",
            crate::mask::secrets(&history.run.last_words)
        );
    }
    let status = if unit.is_active() {
        State::Ok
    } else {
        State::Fail
    };
    let remedy = unit
        .exit_code
        .and_then(crate::exit_code::find)
        .map_or("ops-bridge errors", |known| known.remedy);
    let check =
        Check::new(status, NAME, &settings.unit, message).identity(unit.invocation.as_str());
    let check = verdict::advise(check, remedy);
    let check = since
        .map(|since| between(since, answer.now).as_secs_f64())
        .map_or(check.clone(), |age| check.value(age, "s"));
    check.data(json!({
        "state": unit.active_state, "sub_state": unit.sub_state, "result": unit.result, "exit_code": unit.exit_code,
        "signal": unit.signal, "restarts": unit.restarts, "since": since, "memory_bytes": unit.memory_bytes, "version": history.run.version,
    }))
}

/// One check for each login; one that says so where there is none.
fn connections(
    answer: &Answer,
    known: &Result<Vec<Known>, String>,
    history: &History,
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
        Err(reason) => {
            return vec![Check::unknown(
                CHECK,
                "",
                format!("who is logged in is not known: {reason}"),
            )];
        }
    };
    if database.logins.is_empty() {
        let verdict = verdict::nobody();
        return vec![socket::check(CHECK, "", &verdict)];
    }
    database
        .logins
        .iter()
        .map(|login| connection(answer, known, history, login))
        .collect()
}

fn connection(
    answer: &Answer,
    known: &Result<Vec<Known>, String>,
    history: &History,
    login: &Login,
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
        if let Some(verdict) = socket_verdict(answer).filter(|_| is_connected) {
            check = socket::check(CHECK, &login.id, &verdict);
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

/// What the kernel says against a state of CONNECTED.
fn socket_verdict(answer: &Answer) -> Option<Verdict> {
    let (Ok(sockets), Ok(configuration)) = (&answer.sockets, &answer.configuration) else {
        return None;
    };
    let homeserver = configuration.homeserver_port();
    let to_slack: Vec<_> = sockets
        .iter()
        .filter(|socket| {
            socket.local_port != configuration.appservice.port
                && Some(socket.peer_port) != homeserver
        })
        .collect();
    let fail = |code, message: String| {
        Some(Verdict {
            code,
            status: State::Fail,
            message,
            fix: "restart the unit",
        })
    };
    if to_slack.is_empty() {
        return fail(
            "no-socket",
            "the bridge believes to be connected, but has no connection to Slack".to_owned(),
        );
    }
    let silent = to_slack.iter().filter_map(|socket| socket.silent).min()?;
    if silent < SILENT {
        return None;
    }
    fail(
        "half-open",
        format!(
            "connected, but nothing came from Slack for {}, not even a ping",
            words(silent)
        ),
    )
}

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

fn last_messages(answer: &Answer) -> Vec<Check> {
    Direction::BOTH
        .into_iter()
        .map(|direction| last_message(&answer.database, direction, answer.now))
        .collect()
}

/// The last message of one direction, by Slack's clock; how old is too old is for `health` to say.
pub(crate) fn last_message(
    database: &Result<Database, String>,
    direction: Direction,
    now: Timestamp,
) -> Check {
    const NAME: &str = "bridge.last_successful_message";
    let subject = direction.to_string();
    let database = match database {
        Ok(database) => database,
        Err(reason) => return Check::unknown(NAME, subject, reason),
    };
    let last = database.last.iter().find(|last| last.direction == subject);
    let Some((at, count)) = last.and_then(|last| Some((last.instant()?, last.count))) else {
        return Check::ok(NAME, subject, "none so far").data(json!({"count": 0}));
    };
    let age = between(at, now);
    let message = format!("{} ago, {count} in all", words(age));
    Check::ok(NAME, subject, message)
        .value(age.as_secs_f64(), "s")
        .data(json!({"last_at": at, "count": count}))
}

fn error_count(answer: &Answer, problems: &Problems) -> Check {
    const NAME: &str = "bridge.error_count";
    if let Err(reason) = &answer.journal {
        return Check::unknown(NAME, "1h", reason);
    }
    let lost: u64 = Direction::BOTH
        .into_iter()
        .map(|direction| problems.lost_in(direction))
        .sum();
    let (count, status) = (
        problems.total,
        if problems.total == 0 {
            State::Ok
        } else {
            State::Warn
        },
    );
    let message = if lost == 0 {
        format!("{count} errors in the last hour")
    } else {
        format!("{count} errors in the last hour, {lost} messages lost")
    };
    let lost_in = |direction| problems.lost_in(direction);
    #[expect(
        clippy::cast_precision_loss,
        reason = "an hour's errors are far below 2^53"
    )]
    let check = Check::new(status, NAME, "1h", message).value(count as f64, "");
    let data = json!({"lost": {"slack->matrix": lost_in(Direction::ToMatrix), "matrix->slack": lost_in(Direction::ToSlack)}});
    let check = check.data(data);
    verdict::advise(check, "ops-bridge errors --since 1h")
}

fn log_level(answer: &Answer, history: &History) -> Check {
    const NAME: &str = "bridge.log_level";
    match &answer.configuration {
        Ok(configuration) if configuration.logs_states() => Check::ok(
            NAME,
            &configuration.logging.min_level,
            "the states of the connection are logged",
        ),
        Ok(configuration) => Check::warn(
            NAME,
            &configuration.logging.min_level,
            "the states of the connection are not logged",
        )
        .fix("set logging.min_level: debug in the bridge's configuration"),
        Err(_) if history.run.tells_states => {
            Check::ok(NAME, "", "the states of the connection are logged")
        }
        Err(reason) => Check::unknown(NAME, "", reason),
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
