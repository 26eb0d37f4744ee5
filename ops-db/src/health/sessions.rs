//! Who is connected, and who keeps others waiting.

use ops_common::check::{Check, State};
use serde_json::json;

use super::limits::{Limits, Scale};
use super::{number, text};
use crate::copied::Row;

pub(super) fn connections(rows: &[Row], limits: &Limits) -> Vec<Check> {
    let Some(row) = rows.first() else {
        return Vec::new();
    };
    let (used, most) = (number(row, 0), number(row, 1));
    let scale = limits.connections.or(80.0, 95.0);
    let state = scale.judge(used / most.max(1.0) * 100.0);
    vec![
        Check::new(
            state,
            "db.connections",
            "",
            format!("{used} of {most} connections are in use"),
        )
        .value(used, "")
        .limit((most * scale.fail / 100.0).ceil()),
    ]
}

/// The oldest transaction: of a session, or prepared and forgotten.
pub(super) fn oldest(rows: &[Row], scale: Scale) -> Check {
    const CHECK: &str = "db.oldest_transaction";
    let Some(row) = rows.first().filter(|row| !text(row, 3).is_empty()) else {
        return longest(CHECK, rows, "is in a transaction", scale);
    };
    let (database, age, name) = (text(row, 1), number(row, 2), text(row, 3));
    let message = format!("the prepared transaction {name} in '{database}' is open since {age} s");
    let check = Check::new(scale.judge(age), CHECK, database, message)
        .value(age, "s")
        .limit(scale.fail);
    if check.status == State::Ok {
        check
    } else {
        check.fix(format!(
            "in '{database}': ROLLBACK PREPARED {name}, or COMMIT PREPARED"
        ))
    }
}

pub(super) fn longest(check: &str, rows: &[Row], what: &str, scale: Scale) -> Check {
    let Some(row) = rows.first() else {
        return Check::ok(check, "", format!("no session {what}"))
            .value(0.0, "s")
            .limit(scale.fail);
    };
    let (pid, database, age) = (text(row, 0), text(row, 1), number(row, 2));
    let message = format!("process {pid} in '{database}' {what} since {age} s");
    let check = Check::new(scale.judge(age), check, database, message)
        .value(age, "s")
        .limit(scale.fail);
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
