//! `ops-db health`: is the server well, and are its backups young and proven?
//!
//! Each question is asked by itself, so what the role may not see makes one finding unknown and no more.

mod backups;
mod copies;
pub mod limits;
mod sessions;
mod storage;

use ops_common::check::Check;

use self::backups::backups;
use self::copies::{archiver, replication, slots};
use self::limits::{Grades, Limits};
use self::sessions::{connections, longest, oldest};
use self::storage::{cache_hit, checksum_failures, dead_rows, disk, invalid_indexes, wraparound};
use crate::copied::Row;
use crate::error::Error;
use crate::list::HOME;
use crate::reach::{Looker, Server};

/// Stands for the host when it cannot be looked at.
pub const CHECK: &str = "db.connections";

/// A question to the whole server, and what its rows mean. Values come in the order of the query's columns.
struct Question {
    check: &'static str,
    select: &'static str,
    judge: fn(&[Row], &Limits) -> Vec<Check>,
}

const SERVER: &[Question] = &[
    Question {
        check: "db.connections",
        select: "SELECT count(*), pg_catalog.current_setting('max_connections') FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend'",
        judge: connections,
    },
    Question {
        check: "db.oldest_transaction",
        // One that was prepared has no session, and stays until somebody ends it.
        select: "SELECT pid, datname, extract(epoch FROM pg_catalog.clock_timestamp() - xact_start)::int8, NULL FROM pg_catalog.pg_stat_activity
            WHERE backend_type = 'client backend' AND xact_start IS NOT NULL AND pid <> pg_catalog.pg_backend_pid()
            UNION ALL SELECT NULL, database, extract(epoch FROM pg_catalog.clock_timestamp() - prepared)::int8, pg_catalog.quote_literal(gid)
            FROM pg_catalog.pg_prepared_xacts ORDER BY 3 DESC LIMIT 1",
        judge: |rows, limits| vec![oldest(rows, Grades::from(limits.oldest_transaction).or(300.0, 3600.0))],
    },
    Question {
        check: "db.idle_in_transaction",
        select: "SELECT pid, datname, extract(epoch FROM pg_catalog.clock_timestamp() - state_change)::int8 FROM pg_catalog.pg_stat_activity
            WHERE state LIKE 'idle in transaction%' ORDER BY state_change LIMIT 1",
        judge: |rows, limits| vec![longest("db.idle_in_transaction", rows, "is idle in a transaction", Grades::from(limits.idle_in_transaction).or(60.0, 3600.0))],
    },
    Question {
        check: "db.blocked",
        select: "SELECT pid, datname, extract(epoch FROM pg_catalog.clock_timestamp() - query_start)::int8 FROM pg_catalog.pg_stat_activity
            WHERE pg_catalog.cardinality(pg_catalog.pg_blocking_pids(pid)) > 0 ORDER BY query_start LIMIT 1",
        judge: |rows, limits| vec![longest("db.blocked", rows, "waits for a lock", Grades::from(limits.blocked).or(1.0, 300.0))],
    },
    Question {
        check: "db.wraparound",
        select: "SELECT datname, GREATEST(pg_catalog.age(datfrozenxid), pg_catalog.mxid_age(datminmxid)) FROM pg_catalog.pg_database ORDER BY 2 DESC LIMIT 1",
        judge: wraparound,
    },
    Question {
        check: "db.cache_hit",
        select: "SELECT sum(blks_hit), sum(blks_hit + blks_read) FROM pg_catalog.pg_stat_database",
        judge: |rows, _| cache_hit(rows),
    },
    Question {
        check: "db.checksum_failures",
        select: "SELECT pg_catalog.current_setting('data_checksums'), sum(checksum_failures) FROM pg_catalog.pg_stat_database",
        judge: |rows, _| checksum_failures(rows),
    },
    Question {
        check: "db.slots",
        select: "SELECT slot_name, active, pg_catalog.pg_wal_lsn_diff(CASE WHEN pg_catalog.pg_is_in_recovery()
            THEN pg_catalog.pg_last_wal_receive_lsn() ELSE pg_catalog.pg_current_wal_lsn() END, restart_lsn)::int8 FROM pg_catalog.pg_replication_slots",
        judge: slots,
    },
    Question {
        check: "db.replication",
        // On a standby its own way to the primary comes first.
        select: "SELECT 'this standby', coalesce((SELECT status FROM pg_catalog.pg_stat_wal_receiver), 'not connected to its primary'),
            CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver)
                AND pg_catalog.pg_last_wal_receive_lsn() = pg_catalog.pg_last_wal_replay_lsn() THEN 0
            ELSE extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp()) END::float8
            WHERE pg_catalog.pg_is_in_recovery() AND EXISTS (SELECT FROM pg_catalog.pg_settings WHERE name = 'primary_conninfo' AND setting <> '')
            UNION ALL SELECT application_name, state, extract(epoch FROM replay_lag)::float8 FROM pg_catalog.pg_stat_replication",
        judge: replication,
    },
    Question {
        check: "db.archiver",
        // A standby archives only if it is always to do so.
        select: "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() AND pg_catalog.current_setting('archive_mode') = 'on' THEN 'off'
            ELSE pg_catalog.current_setting('archive_mode') END, failed_count, last_failed_time > last_archived_time
            OR (last_failed_time IS NOT NULL AND last_archived_time IS NULL), last_failed_wal FROM pg_catalog.pg_stat_archiver",
        judge: |rows, _| archiver(rows),
    },
];

/// Questions to each database.
const DATABASE: &[Question] = &[
    Question {
        check: "db.dead_rows",
        select: "SELECT pg_catalog.format('%I.%I', schemaname, relname), n_dead_tup, n_live_tup FROM pg_catalog.pg_stat_user_tables
            WHERE n_dead_tup > 10000 ORDER BY n_dead_tup::float8 / (n_live_tup + n_dead_tup) DESC LIMIT 1",
        judge: dead_rows,
    },
    Question {
        check: "db.invalid_indexes",
        select: "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE NOT i.indisvalid ORDER BY 1",
        judge: |rows, _| invalid_indexes(rows),
    },
];

/// Looks at the server and at the backups of its databases on this machine.
pub fn look(server: &Server<'_>, limits: &Limits) -> Result<Vec<Check>, Error> {
    let home = server.looker(HOME)?;
    let mut checks = ask(&home, SERVER, limits)?;
    checks.push(disk(server, &home, limits)?);
    let names = home.rows("SELECT datname FROM pg_catalog.pg_database WHERE datallowconn AND datconnlimit <> -2 AND NOT datistemplate ORDER BY 1")?;
    let names: Vec<String> = names
        .into_iter()
        .filter_map(|row| row.into_iter().next().flatten())
        .collect();
    for name in &names {
        let found = match server.looker(name) {
            Ok(looker) => ask(&looker, DATABASE, limits)?,
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

fn ask(looker: &Looker<'_>, questions: &[Question], limits: &Limits) -> Result<Vec<Check>, Error> {
    let mut checks = Vec::new();
    for question in questions {
        match looker.rows(question.select) {
            Ok(rows) => checks.extend((question.judge)(&rows, limits)),
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

#[cfg(test)]
mod tests;
