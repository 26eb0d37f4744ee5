//! How old the backups are, and the last of them that was proven by a restore.

use std::collections::BTreeMap;

use jiff::Timestamp;
use ops_common::check::{Check, State};
use ops_common::span::Span;

use super::limits::Limits;
use crate::catalogue;
use crate::error::{Error, word};
use crate::list::HOME;
use crate::reach::Server;

/// The backups on this machine of the databases over there. `postgres` is where people log in, not where they keep anything.
pub(super) fn backups(
    server: &Server<'_>,
    names: &[String],
    limits: &Limits,
) -> Result<Vec<Check>, Error> {
    let folder = &server.settings().backups;
    let found = if folder.is_dir() {
        catalogue::read(folder)?
    } else {
        Vec::new()
    };
    let origin = server.origin()?;
    let taken = catalogue::newest(&found, &origin, |backup| backup.at);
    let drilled = catalogue::newest(&found, &origin, |backup| backup.drilled_at);
    let (place, now) = (folder.display().to_string(), Timestamp::now());
    let age = |of: &BTreeMap<String, Timestamp>, name: &str| {
        let at = of.get(name)?;
        Some(now.duration_since(*at).as_secs_f64().max(0.0))
    };
    let mut checks = Vec::new();
    for name in names.iter().filter(|name| *name != HOME) {
        let none = format!("there is no whole backup of '{name}' in '{place}'");
        let fix = format!(
            "ops-db backup {} -o {}/",
            word(name.as_bytes()),
            word(place.as_bytes())
        );
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

pub(super) fn aged(
    check: &str,
    name: &str,
    age: Option<f64>,
    limit: Option<Span>,
    (what, none, fix): (&str, &str, &str),
) -> Check {
    let limit = limit.map(Span::as_seconds);
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
