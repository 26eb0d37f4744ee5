//! The record of a deployment: one JSON line on the host, and the source of the worklog entry.

use std::collections::BTreeMap;

use jiff::Timestamp;
use ops_common::check::Check;
use ops_common::output;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::deployment::Way;
use crate::git::Revision;

/// What became of a deployment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is not over.
    #[default]
    Unfinished,
    /// The new system runs and was healthy, or with [`Way::Boot`] only boots.
    Deployed,
    /// The old system was put back and verified.
    RolledBack,
    /// Nothing was changed.
    Refused,
    /// Nobody knows in which state the host is.
    Unknown,
    /// Nobody finished it.
    Interrupted,
}

impl Outcome {
    /// The word in records.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unfinished => "unfinished",
            Self::Deployed => "deployed",
            Self::RolledBack => "rolled-back",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Interrupted => "interrupted",
        }
    }
}

/// One deployment. `outcome` and `reason` stay beside each other: the host fills them in where nobody else can.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Names the deployment.
    pub id: String,
    /// The host by the name it was given.
    pub host: String,
    /// `switch`, `activate`, `rollback`.
    pub action: String,
    /// How far the system was taken.
    pub way: Way,
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub duration_s: f64,
    /// Who deployed: `user@machine`.
    pub who: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it became that.
    pub reason: String,
    /// The flake output.
    pub flake: String,
    /// The commit, its message, and whether the working tree was it.
    #[serde(flatten)]
    pub revision: Revision,
    /// Where it comes from beside the repository: `promoted from ...`.
    pub origin: String,
    /// The system before.
    pub old: String,
    /// Its generation.
    pub old_generation: Option<u64>,
    /// The system that was deployed.
    pub new: String,
    /// Its generation, where it got one.
    pub generation: Option<u64>,
    /// The status of `switch-to-configuration test`.
    pub activation: Option<u8>,
    /// Packages added, removed, changed.
    pub packages: Vec<Value>,
    /// What was planned for the units.
    pub units: Vec<Value>,
    /// How long each step took.
    pub steps_s: BTreeMap<String, f64>,
    /// The health commands' findings before.
    pub before: Vec<Check>,
    /// All findings after.
    pub after: Vec<Check>,
    /// Errors in the host's journal since the switch began.
    pub journal: Vec<String>,
}

impl output::Record for Record {
    const COLUMNS: &'static [&'static str] =
        &["at", "host", "outcome", "commit", "new", "who", "reason"];
}

impl Record {
    /// The line for the host's log.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = serde_json::to_string(self).unwrap_or_default();
        line.push('\n');
        line
    }

    /// Ends it.
    pub fn close(&mut self, outcome: Outcome, reason: impl Into<String>) {
        self.outcome = outcome;
        self.reason = reason.into();
        let took = Timestamp::now().duration_since(self.at).as_secs_f64();
        self.duration_s = (took * 1000.0).round() / 1000.0;
    }

    /// Notes how long a step took.
    pub fn step(&mut self, name: &str, started: std::time::Instant) {
        self.took(name, started.elapsed());
    }

    /// Notes how long a step has taken.
    pub fn took(&mut self, name: &str, took: std::time::Duration) {
        let took = (took.as_secs_f64() * 1000.0).round() / 1000.0;
        self.steps_s.insert(name.to_owned(), took);
    }
}

/// Reads a log, oldest first. Lines that are no record, for example one cut by a power failure, are counted.
#[must_use]
pub fn read_log(text: &str) -> (Vec<Record>, usize) {
    let mut damaged = 0;
    let records = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .filter_map(|line| {
            let record = serde_json::from_str(line).ok();
            damaged += usize::from(record.is_none());
            record
        });
    let records = records.collect();
    (records, damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pending_record_has_the_place_that_the_host_fills_in() {
        let record = Record {
            id: "d1".to_owned(),
            ..Record::default()
        };
        let line = record.line();
        assert!(
            line.contains("\"outcome\":\"unfinished\",\"reason\":\"\""),
            "{line}"
        );
        assert!(
            line.contains("\"id\":\"d1\"")
                && line.ends_with('\n')
                && line.matches('\n').count() == 1
        );
        let filled = line.replace(
            "\"outcome\":\"unfinished\",\"reason\":\"\"",
            "\"outcome\":\"rolled-back\",\"reason\":\"r\"",
        );
        let (read, damaged) = read_log(&filled);
        assert_eq!(
            (read[0].outcome, read[0].reason.as_str(), damaged),
            (Outcome::RolledBack, "r", 0)
        );
    }

    #[test]
    fn a_record_survives_its_own_line() {
        let mut record = Record {
            host: "h".to_owned(),
            old_generation: Some(3),
            ..Record::default()
        };
        record.revision.commit = "abc".to_owned();
        record.close(Outcome::Deployed, "healthy");
        let (read, _) = read_log(&record.line());
        assert_eq!(read, [record]);
    }

    #[test]
    fn damaged_lines_are_counted_and_the_rest_is_read() {
        let line = Record::default().line();
        let (read, damaged) = read_log(&format!("{line}{{\"id\":\"cut\n\n{line}"));
        assert_eq!((read.len(), damaged), (2, 1));
    }
}
