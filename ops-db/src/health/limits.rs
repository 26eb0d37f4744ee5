//! From when on a finding is a warning or a fault: `db.limits` of ops.yaml, and the flags of the command line before it.

use ops_common::check::State;
use ops_common::span::Span;
use serde::Deserialize;

/// What ops.yaml says; whatever it leaves out has its default.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// For the newest backup of each database. Without it an old one is no fault, and having none is worth a warning.
    pub backup_age: Option<Span>,
    /// For the newest one that was restored by `drill`.
    pub drill_age: Option<Span>,
    /// Connections in use, in percent.
    pub connections: Grades,
    /// The age of the oldest transaction.
    pub oldest_transaction: Ages,
    /// How long a session has been idle in a transaction.
    pub idle_in_transaction: Ages,
    /// How long a session has waited for a lock.
    pub blocked: Ages,
    /// How far a replica is behind.
    pub replication: Ages,
    /// The age of the oldest transaction that is not frozen, in transactions.
    pub wraparound: Grades,
    /// WAL held back by a slot that nobody uses, in bytes.
    pub slots: Grades,
    /// Use of the disk, in percent.
    pub disk: Grades,
    /// Dead rows of a table, in percent.
    pub dead_rows: Grades,
}

/// Two thresholds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grades {
    /// A warning from here on.
    pub warn: Option<f64>,
    /// A fault from here on.
    pub fail: Option<f64>,
}

/// Two thresholds in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ages {
    /// A warning from here on.
    pub warn: Option<Span>,
    /// A fault from here on.
    pub fail: Option<Span>,
}

impl From<Ages> for Grades {
    fn from(ages: Ages) -> Self {
        Self {
            warn: ages.warn.map(Span::as_seconds),
            fail: ages.fail.map(Span::as_seconds),
        }
    }
}

impl Grades {
    /// Fills in what was not said.
    #[must_use]
    pub fn or(self, warn: f64, fail: f64) -> Scale {
        Scale {
            warn: self.warn.unwrap_or(warn),
            fail: self.fail.unwrap_or(fail),
        }
    }
}

/// Both thresholds, known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// A warning from here on.
    pub warn: f64,
    /// A fault from here on.
    pub fail: f64,
}

impl Scale {
    /// What a value is worth.
    #[must_use]
    pub fn judge(self, value: f64) -> State {
        match value {
            _ if value >= self.fail => State::Fail,
            _ if value >= self.warn => State::Warn,
            _ => State::Ok,
        }
    }
}

#[cfg(test)]
mod tests {
    use ops_common::config::Config;

    use super::*;
    use crate::settings::Settings;

    #[test]
    fn what_is_not_said_has_its_default() {
        let read = |limits: &str| {
            let text = format!("db: {{limits: {limits}}}\n");
            let config = Config::parse("ops.yaml".into(), text).unwrap();
            config
                .section::<Settings>("db")
                .map(|section| section.limits)
        };
        let limits = read("{backup_age: 26h, blocked: {fail: 2m}, disk: {warn: 50}}").unwrap();
        assert_eq!(limits.backup_age, Some(Span::seconds(26 * 3600)));
        let blocked = Grades::from(limits.blocked).or(1.0, 300.0);
        assert_eq!(
            [0.5, 1.0, 120.0].map(|value| blocked.judge(value)),
            [State::Ok, State::Warn, State::Fail]
        );
        let disk = limits.disk.or(85.0, 95.0);
        assert_eq!(
            [49.0, 50.0, 95.0].map(|value| disk.judge(value)),
            [State::Ok, State::Warn, State::Fail]
        );
        assert!(read("{dsk: {warn: 50}}").is_err());
    }
}
