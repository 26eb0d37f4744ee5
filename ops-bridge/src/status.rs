//! `status`: can messages flow now. One answer from the unit, the journal, the database, the configuration, the sockets and
//! the provisioning API; a source that does not answer is named, and what depended on it is unknown.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use ops_common::check::{Check, State};
use ops_common::exit;
use ops_common::host::Host;
use serde_json::{Value, json};

use crate::configuration::Configuration;
use crate::connection::between;
use crate::connection_status;
use crate::database::Database;
use crate::error::Error;
use crate::event;
use crate::history::History;
use crate::homeserver;
use crate::known::Direction;
use crate::probe::{self, Answer};
use crate::problems::Problems;
use crate::provisioning::{Known, Provisioning};
use crate::reader::Reader;
use crate::settings::Settings;
use crate::twin::Twins;
use crate::verdict::{self, words};

/// The check that stands for all of them where the host cannot be asked.
pub(crate) const CHECK: &str = connection_status::CHECK;

/// Looks at a host.
pub(crate) fn look(host: &Host, settings: &Settings) -> Result<Vec<Check>, Error> {
    let answer = probe::ask(host, settings, probe::ALL)?;
    let known = ask_bridge(host, &answer);
    let homeserver = answer
        .configuration
        .as_ref()
        .ok()
        .and_then(|configuration| homeserver::to_homeserver(host, configuration));
    Ok(judge(&answer, &known, homeserver, settings))
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

fn judge(
    answer: &Answer,
    known: &Result<Vec<Known>, String>,
    homeserver: Option<Check>,
    settings: &Settings,
) -> Vec<Check> {
    let mut seen = Seen::read(answer);
    // Who was asked just now is known better than from the log.
    let neighbours = &mut seen.history.neighbours;
    if answer.database.is_ok() {
        neighbours.database.works();
    }
    let away = homeserver
        .as_ref()
        .filter(|check| check.status == State::Fail)
        .map(|check| verdict::homeserver_away(&check.message));
    if homeserver.is_some() && away.is_none() {
        neighbours.homeserver.works();
    }
    let configuration = answer.configuration.as_ref().ok();
    if let Some(after) = configuration.and_then(Configuration::retries_after) {
        seen.history.run.retry.expect(after, answer.now);
    }
    let sources = sources(answer, known);
    let mut checks = vec![unit(answer, &seen.history, settings)];
    let before = checks.len();
    checks.extend(connection_status::judge(
        answer,
        known,
        &seen.history,
        away.as_ref(),
    ));
    for check in &mut checks[before..] {
        if let Value::Object(data) = &mut check.data {
            data.insert("sources".to_owned(), json!(sources));
        } else {
            check.data = json!({ "sources": sources });
        }
    }
    checks.extend(homeserver);
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
        let mut twins = Twins::default();
        while let Ok(Some(line)) = reader.next() {
            if twins.repeats(&line) {
                continue;
            }
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
pub(crate) mod tests;
