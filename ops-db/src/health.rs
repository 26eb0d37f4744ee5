//! `ops-db health`: is the server well, and are its backups young and proven?
//!
//! Each question is asked by itself, so what the role may not see makes one finding unknown and no more.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use ops_common::check::{Check, State};
use serde_json::json;

use crate::catalogue::{self, Backup};
use crate::copied::Row;
use crate::error::Error;
use crate::list::HOME;
use crate::reach::{Looker, Server};

/// Stands for the host when it cannot be looked at.
pub const CHECK: &str = "db.connections";

/// From when on the age of backups is a fault; without it, having none is worth a warning.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// For the newest backup of each database.
    pub backup_age: Option<Duration>,
    /// For the newest one that was restored by `drill`.
    pub drill_age: Option<Duration>,
}

/// A question to the whole server, and what its rows mean. Values come in the order of the query's columns.
struct Question {
    check: &'static str,
    select: &'static str,
    judge: fn(&[Row]) -> Vec<Check>,
}

const SERVER: &[Question] = &[
    Question {
        check: "db.connections",
        select: "SELECT count(*), pg_catalog.current_setting('max_connections') FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend'",
        judge: connections,
    },
    Question {
        check: "db.oldest_transaction",
        select: "SELECT pid, datname, extract(epoch FROM pg_catalog.clock_timestamp() - xact_start)::int8 FROM pg_catalog.pg_stat_activity
            WHERE backend_type = 'client backend' AND xact_start IS NOT NULL AND pid <> pg_catalog.pg_backend_pid() ORDER BY xact_start LIMIT 1",
        judge: |rows| vec![longest("db.oldest_transaction", rows, "is in a transaction", 300.0, 3600.0)],
    },
    Question {
        check: "db.idle_in_transaction",
        select: "SELECT pid, datname, extract(epoch FROM pg_catalog.clock_timestamp() - state_change)::int8 FROM pg_catalog.pg_stat_activity
            WHERE state LIKE 'idle in transaction%' ORDER BY state_change LIMIT 1",
        judge: |rows| vec![longest("db.idle_in_transaction", rows, "is idle in a transaction", 60.0, 3600.0)],
    },
    Question {
        check: "db.blocked",
        select: "SELECT pid, datname, extract(epoch FROM pg_catalog.clock_timestamp() - query_start)::int8 FROM pg_catalog.pg_stat_activity
            WHERE pg_catalog.cardinality(pg_catalog.pg_blocking_pids(pid)) > 0 ORDER BY query_start LIMIT 1",
        judge: |rows| vec![longest("db.blocked", rows, "waits for a lock", 1.0, 300.0)],
    },
    Question {
        check: "db.wraparound",
        select: "SELECT datname, GREATEST(pg_catalog.age(datfrozenxid), pg_catalog.mxid_age(datminmxid)) FROM pg_catalog.pg_database ORDER BY 2 DESC LIMIT 1",
        judge: wraparound,
    },
    Question {
        check: "db.cache_hit",
        select: "SELECT sum(blks_hit), sum(blks_hit + blks_read) FROM pg_catalog.pg_stat_database",
        judge: cache_hit,
    },
    Question {
        check: "db.checksum_failures",
        select: "SELECT pg_catalog.current_setting('data_checksums'), sum(checksum_failures) FROM pg_catalog.pg_stat_database",
        judge: checksum_failures,
    },
    Question {
        check: "db.slots",
        select: "SELECT slot_name, active, pg_catalog.pg_wal_lsn_diff(CASE WHEN pg_catalog.pg_is_in_recovery()
            THEN pg_catalog.pg_last_wal_receive_lsn() ELSE pg_catalog.pg_current_wal_lsn() END, restart_lsn)::int8 FROM pg_catalog.pg_replication_slots",
        judge: slots,
    },
    Question {
        check: "db.replication",
        select: "SELECT application_name, state, extract(epoch FROM replay_lag)::float8 FROM pg_catalog.pg_stat_replication",
        judge: replication,
    },
    Question {
        check: "db.archiver",
        select: "SELECT pg_catalog.current_setting('archive_mode'), failed_count, last_failed_time > last_archived_time
            OR (last_failed_time IS NOT NULL AND last_archived_time IS NULL), last_failed_wal FROM pg_catalog.pg_stat_archiver",
        judge: archiver,
    },
];

/// Questions to each database.
const DATABASE: &[Question] = &[
    Question {
        check: "db.dead_rows",
        select: "SELECT schemaname || '.' || relname, n_dead_tup, n_live_tup FROM pg_catalog.pg_stat_user_tables
            WHERE n_dead_tup > 10000 ORDER BY n_dead_tup::float8 / (n_live_tup + n_dead_tup) DESC LIMIT 1",
        judge: dead_rows,
    },
    Question {
        check: "db.invalid_indexes",
        select: "SELECT n.nspname || '.' || c.relname FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE NOT i.indisvalid ORDER BY 1",
        judge: invalid_indexes,
    },
];

/// Looks at the server and at the backups of its databases on this machine.
pub fn look(server: &Server<'_>, limits: Limits) -> Result<Vec<Check>, Error> {
    let home = server.looker(HOME)?;
    let mut checks = ask(&home, SERVER)?;
    checks.push(disk(server, &home)?);
    let names = home.rows("SELECT datname FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1")?;
    let names: Vec<String> = names
        .into_iter()
        .filter_map(|row| row.into_iter().next().flatten())
        .collect();
    for name in &names {
        let found = match server.looker(name) {
            Ok(looker) => ask(&looker, DATABASE)?,
            Err(error @ Error::Open { .. }) => {
                vec![Check::unknown("db.invalid_indexes", name, describe(&error))]
            }
            Err(error) => return Err(error),
        };
        checks.extend(found.into_iter().map(|check| Check {
            subject: name.clone(),
            ..check
        }));
    }
    checks.extend(backups(server, &names, limits)?);
    Ok(checks)
}

fn ask(looker: &Looker<'_>, questions: &[Question]) -> Result<Vec<Check>, Error> {
    let mut checks = Vec::new();
    for question in questions {
        match looker.rows(question.select) {
            Ok(rows) => checks.extend((question.judge)(&rows)),
            Err(Error::Query(refusal)) if !refusal.is_loss() => {
                checks.push(Check::unknown(question.check, "", refusal.to_string()));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(checks)
}

fn describe(error: &Error) -> String {
    ops_common::exit::describe(error)
}

fn text(row: &Row, column: usize) -> &str {
    row.get(column)
        .and_then(Option::as_deref)
        .unwrap_or_default()
}

fn number(row: &Row, column: usize) -> f64 {
    text(row, column).parse().unwrap_or_default()
}

/// The worse of warning from `warn` on and failing from `fail` on.
fn graded(value: f64, warn: f64, fail: f64) -> State {
    match value {
        _ if value >= fail => State::Fail,
        _ if value >= warn => State::Warn,
        _ => State::Ok,
    }
}

fn connections(rows: &[Row]) -> Vec<Check> {
    let Some(row) = rows.first() else {
        return Vec::new();
    };
    let (used, most) = (number(row, 0), number(row, 1));
    let state = graded(used / most.max(1.0), 0.8, 0.95);
    vec![
        Check::new(
            state,
            "db.connections",
            "",
            format!("{used} of {most} connections are in use"),
        )
        .value(used, "")
        .limit((most * 0.95).ceil()),
    ]
}

fn longest(check: &str, rows: &[Row], what: &str, warn: f64, fail: f64) -> Check {
    let Some(row) = rows.first() else {
        return Check::ok(check, "", format!("no session {what}"))
            .value(0.0, "s")
            .limit(fail);
    };
    let (pid, database, age) = (text(row, 0), text(row, 1), number(row, 2));
    let message = format!("process {pid} in '{database}' {what} since {age} s");
    let check = Check::new(graded(age, warn, fail), check, database, message)
        .value(age, "s")
        .limit(fail);
    let is_well = check.status == State::Ok;
    let check = check.data(json!({"pid": pid.parse::<i64>().ok()}));
    if is_well {
        check
    } else {
        check.fix(format!(
            "look at it in pg_stat_activity; pg_terminate_backend({pid}) ends it"
        ))
    }
}

/// Transactions stop before two thousand million of them are not frozen.
fn wraparound(rows: &[Row]) -> Vec<Check> {
    let Some(row) = rows.first() else {
        return Vec::new();
    };
    let (database, age) = (text(row, 0), number(row, 1));
    let message = format!("the oldest transaction that is not frozen is {age} transactions old");
    let check = Check::new(
        graded(age, 500e6, 1.5e9),
        "db.wraparound",
        database,
        message,
    )
    .value(age, "")
    .limit(1.5e9);
    vec![if check.status == State::Ok {
        check
    } else {
        check.fix(format!("vacuumdb --freeze {database}"))
    }]
}

fn cache_hit(rows: &[Row]) -> Vec<Check> {
    let Some(row) = rows.first() else {
        return Vec::new();
    };
    let (hits, all) = (number(row, 0), number(row, 1));
    if all < 1e6 {
        return vec![Check::ok(
            "db.cache_hit",
            "",
            "too little was read to judge",
        )];
    }
    let share = (hits / all * 1000.0).round() / 10.0;
    let state = if share < 90.0 { State::Warn } else { State::Ok };
    vec![
        Check::new(
            state,
            "db.cache_hit",
            "",
            format!("{share} % of the blocks came from memory"),
        )
        .value(share, "%"),
    ]
}

fn checksum_failures(rows: &[Row]) -> Vec<Check> {
    let Some(row) = rows.first() else {
        return Vec::new();
    };
    let (mode, failures) = (text(row, 0), number(row, 1));
    let check = match (mode, failures) {
        ("on", 0.0) => Check::ok(
            "db.checksum_failures",
            "",
            "no block has failed its checksum",
        ),
        ("on", _) => Check::fail(
            "db.checksum_failures",
            "",
            format!("{failures} blocks have failed their checksum"),
        )
        .fix("the disk lies: restore from a backup to another one"),
        _ => {
            return vec![Check::ok(
                "db.checksum_failures",
                "",
                "the server keeps no checksums",
            )];
        }
    };
    vec![check.value(failures, "").limit(1.0)]
}

fn slots(rows: &[Row]) -> Vec<Check> {
    const GIB: f64 = 1_073_741_824.0;
    let judge = |row: &Row| {
        let (name, is_active, held) = (text(row, 0), text(row, 1) == "t", number(row, 2));
        let state = if is_active {
            State::Ok
        } else {
            graded(held, 0.0, 10.0 * GIB)
        };
        let word = if is_active {
            "is in use"
        } else {
            "is not in use"
        };
        let check = Check::new(
            state,
            "db.slots",
            name,
            format!("slot '{name}' {word} and holds back {held} bytes of WAL"),
        );
        let check = check.value(held, "B").limit(10.0 * GIB);
        if is_active {
            check
        } else {
            check.fix(format!("SELECT pg_drop_replication_slot('{name}')"))
        }
    };
    some_or(rows, judge, "db.slots", "there are no replication slots")
}

fn replication(rows: &[Row]) -> Vec<Check> {
    let judge = |row: &Row| {
        let (name, state, lag) = (text(row, 0), text(row, 1), number(row, 2));
        let grade = if state == "streaming" {
            graded(lag, 60.0, 600.0)
        } else {
            State::Warn
        };
        Check::new(
            grade,
            "db.replication",
            name,
            format!("'{name}' is {state}, {lag} s behind"),
        )
        .value(lag, "s")
        .limit(600.0)
    };
    some_or(rows, judge, "db.replication", "nobody replicates from here")
}

fn some_or(rows: &[Row], judge: impl Fn(&Row) -> Check, check: &str, none: &str) -> Vec<Check> {
    if rows.is_empty() {
        vec![Check::ok(check, "", none)]
    } else {
        rows.iter().map(judge).collect()
    }
}

fn archiver(rows: &[Row]) -> Vec<Check> {
    let Some(row) = rows.first() else {
        return Vec::new();
    };
    let (mode, failures, fails_now, wal) = (
        text(row, 0),
        number(row, 1),
        text(row, 2) == "t",
        text(row, 3),
    );
    vec![match (mode, fails_now) {
        ("off", _) => Check::ok("db.archiver", "", "WAL is not archived"),
        (_, true) => Check::fail(
            "db.archiver",
            "",
            format!("archiving '{wal}' failed, and nothing was archived since"),
        )
        .fix("the server's log says why archive_command failed")
        .value(failures, ""),
        (_, false) => Check::ok("db.archiver", "", "WAL is archived").value(failures, ""),
    }]
}

fn dead_rows(rows: &[Row]) -> Vec<Check> {
    let Some(row) = rows.first() else {
        return vec![Check::ok("db.dead_rows", "", "no table has many dead rows")];
    };
    let (table, dead, live) = (text(row, 0), number(row, 1), number(row, 2));
    let share = (dead / (dead + live) * 1000.0).round() / 10.0;
    let state = if share >= 20.0 {
        State::Warn
    } else {
        State::Ok
    };
    let check = Check::new(
        state,
        "db.dead_rows",
        "",
        format!("{share} % of the rows of '{table}' are dead"),
    )
    .value(share, "%");
    vec![if state == State::Ok {
        check
    } else {
        check.fix(format!("VACUUM {table}"))
    }]
}

fn invalid_indexes(rows: &[Row]) -> Vec<Check> {
    let names: Vec<_> = rows.iter().map(|row| text(row, 0)).collect();
    let Some(first) = names.first() else {
        return vec![Check::ok("db.invalid_indexes", "", "all indexes are valid").value(0.0, "")];
    };
    #[expect(clippy::cast_precision_loss, reason = "a count of indexes")]
    let count = names.len() as f64;
    let message = format!("{count} indexes are invalid, the first is '{first}'");
    vec![
        Check::fail("db.invalid_indexes", "", message)
            .value(count, "")
            .limit(1.0)
            .data(json!({ "indexes": names }))
            .fix(format!("REINDEX INDEX {first}")),
    ]
}

/// Room on the disk of the data, as the role's system user sees it.
fn disk(server: &Server<'_>, home: &Looker<'_>) -> Result<Check, Error> {
    let folder = match home.rows("SELECT pg_catalog.current_setting('data_directory')") {
        Ok(rows) => rows
            .first()
            .map(|row| text(row, 0).to_owned())
            .unwrap_or_default(),
        Err(Error::Query(refusal)) if !refusal.is_loss() => {
            return Ok(Check::unknown("db.disk", "", refusal.to_string()));
        }
        Err(error) => return Err(error),
    };
    let df = ops_common::host::Command::new("df")
        .args(["-Pk", "--", &folder])
        .as_user(server.user());
    let ended = server.host().run(&df)?;
    let said = String::from_utf8_lossy(&ended.stdout);
    Ok(match said.lines().nth(1).and_then(free) {
        Some((free, share)) if ended.success() => {
            let state = graded(100.0 - share, 85.0, 95.0);
            Check::new(
                state,
                "db.disk",
                folder,
                format!("{share} % of the disk are free"),
            )
            .value(free, "B")
            .data(json!({"free_percent": share}))
        }
        _ => Check::unknown("db.disk", folder, ended.complaint()),
    })
}

/// Bytes and share that a line of `df -Pk` calls available. Blanks in the device's name come before the numbers.
fn free(line: &str) -> Option<(f64, f64)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let percent = words
        .iter()
        .rposition(|word| word.ends_with('%') && word.len() > 1)?;
    let available: f64 = words.get(percent.checked_sub(1)?)?.parse().ok()?;
    let used: f64 = words.get(percent.checked_sub(2)?)?.parse().ok()?;
    let share = available / (available + used).max(1.0) * 100.0;
    Some((available * 1024.0, (share * 10.0).round() / 10.0))
}

/// The backups on this machine of the databases over there. `postgres` is where people log in, not where they keep anything.
fn backups(server: &Server<'_>, names: &[String], limits: Limits) -> Result<Vec<Check>, Error> {
    let folder = &server.settings().backups;
    let found = if folder.is_dir() {
        catalogue::read(folder)?
    } else {
        Vec::new()
    };
    let taken = newest(&found, |backup| backup.at);
    let drilled = newest(&found, |backup| backup.drilled_at);
    let (place, now) = (folder.display().to_string(), Timestamp::now());
    let age = |of: &BTreeMap<&str, Timestamp>, name: &str| {
        let at = of.get(name)?;
        Some(now.duration_since(*at).as_secs_f64().max(0.0))
    };
    let mut checks = Vec::new();
    for name in names.iter().filter(|name| *name != HOME) {
        let none = format!("there is no whole backup of '{name}' in '{place}'");
        let fix = format!("ops-db backup {name} -o {place}/");
        let words = ("the newest backup", none.as_str(), fix.as_str());
        let (check, limit) = ("db.backup_age", limits.backup_age);
        checks.push(aged(check, name, age(&taken, name), limit, words));
        if taken.contains_key(name.as_str()) || limits.drill_age.is_some() {
            let none = format!("no backup of '{name}' was ever restored");
            let words = (
                "the last proven restore",
                none.as_str(),
                "ops-db drill FILE",
            );
            let (check, limit) = ("db.drill_age", limits.drill_age);
            checks.push(aged(check, name, age(&drilled, name), limit, words));
        }
    }
    Ok(checks)
}

/// The newest moment of each database's whole backups.
fn newest(
    found: &[Backup],
    of: impl Fn(&Backup) -> Option<Timestamp>,
) -> BTreeMap<&str, Timestamp> {
    let mut newest = BTreeMap::new();
    for backup in found {
        let is_whole = backup.state == catalogue::State::Ok;
        if let (true, Some(name), Some(at)) = (is_whole, backup.database.as_deref(), of(backup)) {
            let known = newest.entry(name).or_insert(at);
            *known = at.max(*known);
        }
    }
    newest
}

fn aged(
    check: &str,
    name: &str,
    age: Option<f64>,
    limit: Option<Duration>,
    (what, none, fix): (&str, &str, &str),
) -> Check {
    let limit = limit.map(|limit| limit.as_secs_f64());
    let is_late = limit.is_some_and(|limit| age.is_none_or(|age| age >= limit));
    let state = match (age, is_late) {
        (_, true) => State::Fail,
        (None, false) => State::Warn,
        (Some(_), false) => State::Ok,
    };
    let message = age.map_or_else(
        || none.to_owned(),
        |age| format!("{what} is {} old", spoken(age)),
    );
    let mut found = Check::new(state, check, name, message);
    found = age.map_or(found.clone(), |age| found.value(age.round(), "s"));
    found = limit.map_or(found.clone(), |limit| found.limit(limit));
    if state == State::Ok {
        found
    } else {
        found.fix(fix)
    }
}

/// An age in its largest unit.
fn spoken(seconds: f64) -> String {
    match seconds {
        _ if seconds >= 172_800.0 => format!("{:.0} days", seconds / 86_400.0),
        _ if seconds >= 7200.0 => format!("{:.0} hours", seconds / 3600.0),
        _ => format!("{:.0} minutes", seconds / 60.0),
    }
}

#[cfg(test)]
mod tests;
