//! Which system is live where, from which commit, and whether the repository has moved on.

use jiff::Timestamp;
use ops_common::output;
use serde::Serialize;

use crate::record::{Outcome, Record};
use crate::state::State;

/// One host, or one generation of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Live {
    /// The generation.
    pub generation: Option<u64>,
    /// `running`, `default` (for booting), both, or neither.
    pub state: &'static str,
    /// The system.
    pub path: String,
    /// The commit that it was built from, where a record says so.
    pub commit: String,
    /// Whether it was built from something else than that commit.
    pub dirty: bool,
    /// `same` or `differs` from the commit of the repository here; empty where one of them is not known.
    pub drift: &'static str,
    /// When it was deployed, else when the generation was made.
    pub at: Option<Timestamp>,
    /// Who deployed it.
    pub who: String,
    /// Who deploys right now.
    pub locked_by: String,
}

impl output::Record for Live {
    const COLUMNS: &'static [&'static str] = &[
        "generation",
        "state",
        "path",
        "commit",
        "drift",
        "at",
        "who",
        "locked_by",
    ];
}

/// Describes a host: the system that runs, or with `all` every generation, newest first.
#[must_use]
pub fn describe(state: &State, log: &[Record], head: &str, all: bool) -> Vec<Live> {
    let mut lines: Vec<Live> = Vec::new();
    if all {
        let generations = state.generations.iter().rev();
        lines.extend(generations.map(|generation| {
            let mut live = live(state, log, head, &generation.path);
            live.generation = Some(generation.number);
            live.at = live.at.or(Some(generation.at));
            live
        }));
    }
    let running = state.old().unwrap_or("");
    if !lines.iter().any(|line| line.path == running) {
        let mut live = live(state, log, head, running);
        live.generation = state
            .generation
            .filter(|_| state.profile.as_deref() == Some(running));
        lines.insert(0, live);
    }
    lines
}

fn live(state: &State, log: &[Record], head: &str, path: &str) -> Live {
    let record = log
        .iter()
        .rev()
        .find(|record| record.new == path && record.outcome == Outcome::Deployed);
    let commit = record.map_or("", |record| record.revision.commit.as_str());
    let dirty = record.is_some_and(|record| record.revision.dirty);
    let (runs, boots) = (
        state.old() == Some(path),
        state.profile.as_deref() == Some(path),
    );
    Live {
        generation: None,
        state: match (runs, boots) {
            (true, true) => "running, default",
            (true, false) => "running",
            (false, true) => "default",
            (false, false) => "",
        },
        path: path.to_owned(),
        commit: commit.to_owned(),
        dirty,
        drift: match (commit, head) {
            ("", _) | (_, "") => "",
            (commit, head) if commit == head && !dirty => "same",
            _ => "differs",
        },
        at: record.map(|record| record.at),
        who: record.map_or_else(String::new, |record| record.who.clone()),
        locked_by: state
            .lock
            .as_ref()
            .map_or_else(String::new, |lock| lock.owner.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Generation;

    fn state() -> State {
        let generation = |number, path: &str| Generation {
            number,
            path: path.to_owned(),
            at: Timestamp::UNIX_EPOCH,
        };
        State {
            current: Some("b".to_owned()),
            profile: Some("b".to_owned()),
            generation: Some(2),
            generations: vec![generation(1, "a"), generation(2, "b")],
            ..State::default()
        }
    }

    fn log() -> Vec<Record> {
        let mut record = Record {
            new: "b".to_owned(),
            outcome: Outcome::Deployed,
            ..Record::default()
        };
        record.revision.commit = "c1".to_owned();
        vec![record]
    }

    #[test]
    fn the_running_system_has_its_commit_and_drift() {
        let lines = describe(&state(), &log(), "c1", false);
        assert_eq!(
            (lines.len(), lines[0].generation, lines[0].state),
            (1, Some(2), "running, default")
        );
        assert_eq!((lines[0].commit.as_str(), lines[0].drift), ("c1", "same"));
        assert_eq!(describe(&state(), &log(), "c2", false)[0].drift, "differs");
        assert_eq!(describe(&state(), &[], "c2", false)[0].drift, "");
    }

    #[test]
    fn all_generations_come_newest_first() {
        let numbers = |state: &State| {
            describe(state, &log(), "", true)
                .iter()
                .map(|l| l.generation)
                .collect::<Vec<_>>()
        };
        assert_eq!(numbers(&state()), [Some(2), Some(1)]);
        let tried = State {
            current: Some("x".to_owned()),
            ..state()
        };
        assert_eq!(numbers(&tried), [None, Some(2), Some(1)]);
    }
}
