//! What leaves the server as it is written: WAL that is held back, replicated and archived.

use ops_common::check::{Check, State};

use super::limits::{Grades, Limits};
use super::{number, text};
use crate::copied::Row;

pub(super) fn slots(rows: &[Row], limits: &Limits) -> Vec<Check> {
    const GIB: f64 = 1_073_741_824.0;
    let scale = limits.slots.or(0.0, 10.0 * GIB);
    let judge = |row: &Row| {
        let (name, is_active, held) = (text(row, 0), text(row, 1) == "t", number(row, 2));
        let state = if is_active {
            State::Ok
        } else {
            scale.judge(held)
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
        let check = check.value(held, "B").limit(scale.fail);
        if is_active {
            check
        } else {
            check.fix(format!("SELECT pg_drop_replication_slot('{name}')"))
        }
    };
    some_or(rows, judge, "db.slots", "there are no replication slots")
}

pub(super) fn replication(rows: &[Row], limits: &Limits) -> Vec<Check> {
    let scale = Grades::from(limits.replication).or(60.0, 600.0);
    let judge = |row: &Row| {
        let (name, state, lag) = (text(row, 0), text(row, 1), number(row, 2));
        let grade = if state == "streaming" {
            scale.judge(lag)
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
        .limit(scale.fail)
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

pub(super) fn archiver(rows: &[Row]) -> Vec<Check> {
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
