//! From staging to production: only what has proved itself, and how much alike the two systems really are.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use crate::deployment::Way;
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

/// What has to be proved.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The commit.
    pub revision: &'a Revision,
    /// How long it must have run.
    pub soak: Duration,
    /// The time of day.
    pub now: Timestamp,
}

/// Finds the record that proves a commit, or says what is missing. A commit that changes nothing of the proving host's system is
/// not deployed to it again, and so has no record of its own: then `built`, which returns the system that the commit gives that
/// host, is asked.
pub fn proof<E>(
    log: &[Record],
    state: &State,
    wanted: Wanted<'_>,
    built: impl FnOnce() -> Result<String, E>,
) -> Result<Result<Record, String>, E> {
    let Wanted {
        revision,
        soak,
        now,
    } = wanted;
    if revision.commit.is_empty() {
        return Ok(Err(
            "the flake is in no repository, so there is no commit to compare".to_owned(),
        ));
    }
    let deployed = log
        .iter()
        .rev()
        .find(|record| record.outcome == Outcome::Deployed);
    let Some(record) = deployed else {
        return Ok(Err("it has no record of a healthy deployment".to_owned()));
    };
    if state.current.as_deref() != Some(record.new.as_str()) {
        return Ok(Err(
            "what it runs now is not what its record says".to_owned()
        ));
    }
    if record.way == Way::Boot {
        return Ok(Err(format!(
            "what it runs was made the default for booting and never tried: ops-deploy rollback {0}, then ops-deploy switch {0}",
            record.host
        )));
    }
    let of_commit = record.revision.commit == revision.commit && !record.revision.dirty;
    if !of_commit && built()? != record.new {
        return Ok(Err(another_commit(record, revision)));
    }
    // A clock that was wrong then, or is now, proves nothing.
    let age = Duration::try_from(now.duration_since(record.at)).unwrap_or_default();
    if age < soak {
        return Ok(Err(format!(
            "it has run this commit for {}s, not for {}s",
            age.as_secs(),
            soak.as_secs()
        )));
    }
    Ok(Ok(record.clone()))
}

fn another_commit(record: &Record, revision: &Revision) -> String {
    let short = |commit: &str| commit.get(..12).unwrap_or("none").to_owned();
    if record.revision.commit == revision.commit {
        return "it was deployed with changes that are not committed".to_owned();
    }
    format!(
        "it proved commit {}, not {}",
        short(&record.revision.commit),
        short(&revision.commit)
    )
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

    /// A proof where the commit gives the proving host this system.
    fn proof_with(
        log: &[Record],
        state: &State,
        revision: &Revision,
        soak: u64,
        built: &str,
    ) -> Result<Record, String> {
        let wanted = Wanted {
            revision,
            soak: Duration::from_secs(soak),
            now: fixture().3,
        };
        let built = || Ok::<_, std::convert::Infallible>(built.to_owned());
        proof(log, state, wanted, built).unwrap()
    }

    #[test]
    fn a_healthy_record_of_the_same_commit_is_a_proof() {
        let (record, state, revision, _) = fixture();
        let failed = Record {
            outcome: Outcome::RolledBack,
            ..Record::default()
        };
        let log = [record.clone(), failed];
        assert_eq!(proof_with(&log, &state, &revision, 3600, "q"), Ok(record));
    }

    #[test]
    fn a_commit_that_changes_nothing_is_proved_by_the_one_before() {
        let (record, state, _, _) = fixture();
        let later = Revision {
            commit: "d".repeat(40),
            ..Revision::default()
        };
        let proved = proof_with(std::slice::from_ref(&record), &state, &later, 3600, "p");
        assert_eq!(proved, Ok(record.clone()));
        let mut dirty = record.clone();
        dirty.revision.dirty = true;
        assert_eq!(
            proof_with(&[dirty.clone()], &state, &later, 0, "p"),
            Ok(dirty)
        );
        assert!(proof_with(&[record], &state, &later, 3601, "p").is_err());
    }

    #[test]
    fn what_is_missing_is_said() {
        let (record, state, revision, _) = fixture();
        let missing = |record: Record, state: &State, revision: &Revision, soak: u64| {
            proof_with(&[record], state, revision, soak, "q").unwrap_err()
        };
        assert!(missing(record.clone(), &state, &revision, 3601).contains("for 3600s"));
        let future = Record {
            at: "2026-01-31T15:00:00Z".parse().unwrap(),
            ..record.clone()
        };
        assert!(missing(future, &state, &revision, 3600).contains("for 0s, not for 3600s"));
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
    fn what_was_only_booted_is_no_proof() {
        let (record, state, revision, _) = fixture();
        let booted = Record {
            way: Way::Boot,
            host: "h".to_owned(),
            ..record.clone()
        };
        let log = [record.clone(), booted.clone()];
        let told = proof_with(&log, &state, &revision, 0, "p").unwrap_err();
        assert!(
            told.contains("never tried: ops-deploy rollback h"),
            "{told}"
        );
        // Not even for another commit that gives the same system; but a later try is one.
        let later = Revision {
            commit: "d".repeat(40),
            ..Revision::default()
        };
        assert!(proof_with(&log, &state, &later, 0, "p").is_err());
        for way in [Way::Switch, Way::Test, Way::Reboot] {
            let tried = Record {
                way,
                ..record.clone()
            };
            let log = [booted.clone(), tried.clone()];
            assert_eq!(proof_with(&log, &state, &revision, 0, "q"), Ok(tried));
        }
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
