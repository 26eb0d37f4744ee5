//! What is on the disk: rows, indexes, checksums, and the room that is left.

use ops_common::check::{Check, State};
use serde_json::json;

use super::limits::Limits;
use super::{number, text};
use crate::copied::Row;
use crate::error::{Error, word};
use crate::reach::{Looker, Server};

/// Transactions stop before two thousand million of them are not frozen.
pub(super) fn wraparound(rows: &[Row], limits: &Limits) -> Vec<Check> {
    let Some(row) = rows.first() else {
        return Vec::new();
    };
    let (database, age) = (text(row, 0), number(row, 1));
    let scale = limits.wraparound.or(500e6, 1.5e9);
    let message = format!("the oldest transaction that is not frozen is {age} transactions old");
    let check = Check::new(scale.judge(age), "db.wraparound", database, message)
        .value(age, "")
        .limit(scale.fail);
    vec![if check.status == State::Ok {
        check
    } else {
        check.fix(format!("vacuumdb --freeze {}", word(database.as_bytes())))
    }]
}

pub(super) fn cache_hit(rows: &[Row]) -> Vec<Check> {
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

pub(super) fn checksum_failures(rows: &[Row]) -> Vec<Check> {
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

pub(super) fn dead_rows(rows: &[Row], limits: &Limits) -> Vec<Check> {
    let Some(row) = rows.first() else {
        return vec![Check::ok("db.dead_rows", "", "no table has many dead rows")];
    };
    let (table, dead, live) = (text(row, 0), number(row, 1), number(row, 2));
    let share = (dead / (dead + live) * 1000.0).round() / 10.0;
    // However many, they are no fault unless somebody said so.
    let state = limits.dead_rows.or(20.0, f64::INFINITY).judge(share);
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

pub(super) fn invalid_indexes(rows: &[Row]) -> Vec<Check> {
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
pub(super) fn disk(
    server: &Server<'_>,
    home: &Looker<'_>,
    limits: &Limits,
) -> Result<Check, Error> {
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
            let state = limits.disk.or(85.0, 95.0).judge(100.0 - share);
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
pub(super) fn free(line: &str) -> Option<(f64, f64)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let percent = words
        .iter()
        .rposition(|word| word.ends_with('%') && word.len() > 1)?;
    let available: f64 = words.get(percent.checked_sub(1)?)?.parse().ok()?;
    let used: f64 = words.get(percent.checked_sub(2)?)?.parse().ok()?;
    let share = available / (available + used).max(1.0) * 100.0;
    Some((available * 1024.0, (share * 10.0).round() / 10.0))
}
