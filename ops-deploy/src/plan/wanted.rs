//! What dependencies do in a switch: units go down with those that they require, and active targets pull in what they want.

use std::collections::BTreeSet;

use super::{Planner, Verb, kind_of};
use crate::unit_file::UnitFile;
use crate::unit_tree::UnitTree;

impl Planner<'_> {
    /// Units that stop because another one does without which they cannot be. What an active target pulls in comes back.
    pub(super) fn stopped_with_others(&mut self) {
        let mut due: Vec<String> = self.changes.keys().cloned().collect();
        let wanted = self.wanted(self.new);
        let needs: Vec<_> = self
            .running
            .iter()
            .filter(|unit| kind_of(unit) != "target")
            .map(|unit| (*unit, self.old.stops_with(unit)))
            .collect();
        while let Some(stopped) = due.pop() {
            let action = self.changes.get(&stopped).map(|(action, _)| *action);
            if !matches!(action, Some(Verb::Stop | Verb::Restart)) {
                continue;
            }
            for (unit, needed) in &needs {
                let planned = self.changes.get(*unit).map(|(action, _)| *action);
                if !needed.contains(&stopped) || matches!(planned, Some(Verb::Stop | Verb::Restart))
                {
                    continue;
                }
                let comes_back = wanted.contains(*unit) || planned == Some(Verb::Reload);
                let verb = if comes_back {
                    Verb::Restart
                } else {
                    Verb::Stop
                };
                self.note(unit, verb, &format!("goes down with '{stopped}'"));
                due.push((*unit).to_owned());
            }
        }
    }

    /// All that the active targets pull in, and what that pulls in: each switch starts those of them that do not run.
    fn wanted(&self, tree: &UnitTree) -> BTreeSet<String> {
        let targets = self.running.iter().filter(|unit| kind_of(unit) == "target");
        let started = targets.filter(|target| is_started_again(target, self.new));
        let mut due: Vec<String> = started
            .flat_map(|target| tree.pulled_in_by(target))
            .collect();
        let mut wanted = BTreeSet::new();
        while let Some(unit) = due.pop() {
            if wanted.insert(unit.clone()) {
                due.extend(tree.pulled_in_by(&unit));
            }
        }
        wanted
    }

    /// Starts what is wanted and does not run: each switch does, for what has ended without a failure too.
    pub(super) fn new_units(&mut self) {
        let wanted_before = self.wanted(self.old);
        for unit in self.wanted(self.new) {
            let (file, _) = self.file_of(&unit);
            let found = self.new.unit(&unit, &file);
            let Some(found) = found.filter(|_| is_told(kind_of(&unit))) else {
                continue;
            };
            if self.running.contains(unit.as_str()) || self.changes.contains_key(&unit) {
                continue;
            }
            if !self.old.has_file(&file) || !wanted_before.contains(&unit) {
                self.note(&unit, Verb::Start, "new");
            } else if self.old.unit(&unit, &file).as_ref() != Some(&found) {
                self.note(&unit, Verb::Start, "did not run, and changed");
            } else if !has_conditions(&found.file) {
                self.note(&unit, Verb::Start, "wanted, and does not run");
            }
        }
    }
}

/// Whether an active target is started again, which pulls in what it wants.
fn is_started_again(target: &str, new: &UnitTree) -> bool {
    let asleep = ["suspend.target", "hibernate.target", "hybrid-sleep.target"];
    let held = new.unit(target, target).is_some_and(|found| {
        ["RefuseManualStart", "X-OnlyManualStart"]
            .iter()
            .any(|key| found.file.flag("Unit", key, false))
    });
    !asleep.contains(&target) && !held
}

/// Whether only the host knows if the unit starts when it is asked to.
fn has_conditions(file: &UnitFile) -> bool {
    file.keys_of("Unit")
        .any(|key| key.starts_with("Condition") || key.starts_with("Assert"))
}

/// Whether a host that is asked for its units tells whether one of this type runs. Targets only pull in others.
fn is_told(kind: &str) -> bool {
    [
        "service",
        "socket",
        "mount",
        "automount",
        "timer",
        "path",
        "swap",
        "slice",
    ]
    .contains(&kind)
}
