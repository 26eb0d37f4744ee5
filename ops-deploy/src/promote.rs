//! From staging to production: only what has proved itself, and how much alike the two systems really are.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use crate::error::Error;
use crate::git::Revision;
use crate::nix;
use crate::record::{Outcome, Record};
use crate::state::State;
use crate::unit_tree::UnitTree;

/// How much alike two systems are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Likeness {
    /// What holds, in words.
    pub told: String,
    /// The store paths that only one of them has.
    pub differing: Vec<String>,
}

/// Finds the record that proves a commit, or says what is missing.
pub fn proof(
    log: &[Record],
    state: &State,
    revision: &Revision,
    soak: Duration,
    now: Timestamp,
) -> Result<Record, String> {
    if revision.commit.is_empty() {
        return Err("the flake is in no repository, so there is no commit to compare".to_owned());
    }
    let deployed = log
        .iter()
        .rev()
        .find(|record| record.outcome == Outcome::Deployed);
    let record = deployed.ok_or("it has no record of a healthy deployment")?;
    if record.revision.commit != revision.commit {
        let short = |commit: &str| commit.get(..12).unwrap_or("none").to_owned();
        return Err(format!(
            "it proved commit {}, not {}",
            short(&record.revision.commit),
            short(&revision.commit)
        ));
    }
    if record.revision.dirty {
        return Err("it was deployed with changes that are not committed".to_owned());
    }
    if state.current.as_deref() != Some(record.new.as_str()) {
        return Err("what it runs now is not what its record says".to_owned());
    }
    let age = now.duration_since(record.at).unsigned_abs();
    if age < soak {
        return Err(format!(
            "it has run this commit for {}s, not for {}s",
            age.as_secs(),
            soak.as_secs()
        ));
    }
    Ok(record.clone())
}

/// Compares the proved system with the one that production would get.
pub fn likeness(proved: &str, new: &str, units: &[String]) -> Result<Likeness, Error> {
    if proved == new {
        return Ok(Likeness {
            told: "the same path".to_owned(),
            differing: Vec::new(),
        });
    }
    let paths = |path: &str| -> Result<Option<BTreeSet<String>>, Error> {
        Ok(nix::closure(path)?.map(|closure| closure.into_iter().map(|path| path.path).collect()))
    };
    let (Some(old), Some(ours)) = (paths(proved)?, paths(new)?) else {
        return Ok(Likeness {
            told: "the same revision and lock; the proved system is not known here".to_owned(),
            differing: Vec::new(),
        });
    };
    let differing: Vec<String> = old.symmetric_difference(&ours).cloned().collect();
    let read = |path: &str| {
        UnitTree::read(Path::new(path)).map_err(|source| Error::Units {
            path: path.to_owned(),
            source,
        })
    };
    let changed = changed_units(&read(proved)?, &read(new)?, units);
    let services = if changed.is_empty() {
        "the named services are the same".to_owned()
    } else {
        format!("not the same: {}", changed.join(", "))
    };
    Ok(Likeness {
        told: format!(
            "the same revision and lock, {} paths differ, {services}",
            differing.len()
        ),
        differing,
    })
}

/// The named units that the two systems do not have alike.
fn changed_units(proved: &UnitTree, new: &UnitTree, units: &[String]) -> Vec<String> {
    units
        .iter()
        .filter(|unit| proved.unit(unit, unit) != new.unit(unit, unit))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture() -> (Record, State, Revision, Timestamp) {
        let revision = Revision {
            commit: "c".repeat(40),
            ..Revision::default()
        };
        let at: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        let record = Record {
            outcome: Outcome::Deployed,
            new: "p".to_owned(),
            at,
            revision: revision.clone(),
            ..Record::default()
        };
        let state = State {
            current: Some("p".to_owned()),
            ..State::default()
        };
        (
            record,
            state,
            revision,
            "2026-01-31T13:00:00Z".parse().unwrap(),
        )
    }

    #[test]
    fn a_healthy_record_of_the_same_commit_is_a_proof() {
        let (record, state, revision, now) = fixture();
        let failed = Record {
            outcome: Outcome::RolledBack,
            ..Record::default()
        };
        assert_eq!(
            proof(
                &[record.clone(), failed],
                &state,
                &revision,
                Duration::from_hours(1),
                now
            ),
            Ok(record)
        );
    }

    #[test]
    fn what_is_missing_is_said() {
        let (record, state, revision, now) = fixture();
        let missing = |record: Record, state: &State, revision: &Revision, soak: u64| {
            proof(&[record], state, revision, Duration::from_secs(soak), now).unwrap_err()
        };
        assert!(missing(record.clone(), &state, &revision, 3601).contains("for 3600s"));
        assert!(missing(record.clone(), &State::default(), &revision, 0).contains("runs now"));
        assert!(missing(record.clone(), &state, &Revision::default(), 0).contains("no repository"));
        let other = Revision {
            commit: "d".repeat(40),
            ..Revision::default()
        };
        assert!(missing(record.clone(), &state, &other, 0).contains("proved commit cccc"));
        let mut dirty = record.clone();
        dirty.revision.dirty = true;
        assert!(missing(dirty, &state, &revision, 0).contains("not committed"));
        let failed = Record {
            outcome: Outcome::RolledBack,
            ..record
        };
        assert!(missing(failed, &state, &revision, 0).contains("no record"));
    }

    #[test]
    fn named_units_are_compared_with_their_drop_ins() {
        let tree = UnitTree::default()
            .with("a.service", "[Service]\nUser=a\n")
            .with("b.service", "[Service]\nUser=b\n");
        let other = tree
            .clone()
            .with("b.service.d/x.conf", "[Service]\nUser=c\n");
        let units = ["a.service".to_owned(), "b.service".to_owned()];
        assert_eq!(changed_units(&tree, &other, &units), ["b.service"]);
    }
}
