//! What would change on a host: packages and units, from two systems that are known here.

use std::path::Path;
use std::time::Duration;

use ops_common::check::Check;
use ops_common::output;
use serde::Serialize;

use crate::closure::{self, Package, StorePath};
use crate::error::Error;
use crate::fstab;
use crate::nix;
use crate::plan::{self, Change, Running, Verb};
use crate::state::State;
use crate::unit_tree::{UnitTree, template_of};
use crate::units;

/// The difference between two systems.
#[derive(Debug, Clone, Default)]
pub struct Preview {
    /// Packages that are not alike.
    pub packages: Vec<Package>,
    /// What happens to units.
    pub units: Vec<Change>,
    /// The largest start limit that a unit started by the switch sets itself.
    pub start_limit: Duration,
}

/// One line of a printed plan.
#[derive(Debug, Serialize)]
pub struct Line {
    /// `package`, `unit` or `lint`.
    pub kind: &'static str,
    /// What happens.
    pub action: String,
    /// To what.
    pub name: String,
    /// The old version.
    pub old: String,
    /// The new version.
    pub new: String,
    /// How much more the new system holds of a package.
    pub delta_bytes: Option<i64>,
    /// Why, for units.
    pub reason: String,
}

impl output::Record for Line {
    const COLUMNS: &'static [&'static str] = &[
        "kind",
        "action",
        "name",
        "old",
        "new",
        "delta_bytes",
        "reason",
    ];
}

impl Line {
    /// The line of a finding.
    #[must_use]
    pub fn of(check: &Check) -> Self {
        let fix = check.fix.as_ref();
        let fix = fix.map_or_else(String::new, |fix| format!(": {fix}"));
        let place = if check.subject.is_empty() {
            String::new()
        } else {
            format!("{}: ", check.subject)
        };
        Self {
            kind: "lint",
            action: check.status.word().to_owned(),
            name: check.check.clone(),
            old: String::new(),
            new: String::new(),
            delta_bytes: None,
            reason: format!("{place}{}{fix}", check.message),
        }
    }
}

impl Preview {
    /// Compares two systems of the local store. Without a state of the host, every unit of the old system counts as running.
    pub fn between(
        old: &str,
        new: &str,
        new_closure: &[StorePath],
        state: Option<&State>,
    ) -> Result<Option<Self>, Error> {
        let Some(old_closure) = nix::closure(old)? else {
            return Ok(None);
        };
        Self::of((old, &old_closure), (new, new_closure), state).map(Some)
    }

    /// Compares two systems whose closures are known.
    pub fn of(
        (old, old_closure): (&str, &[StorePath]),
        (new, new_closure): (&str, &[StorePath]),
        state: Option<&State>,
    ) -> Result<Self, Error> {
        let read = |path: &str| {
            UnitTree::read(Path::new(path)).map_err(|source| Error::Units {
                path: path.to_owned(),
                source,
            })
        };
        let (old_tree, new_tree) = (read(old)?, read(new)?);
        let assumed: Vec<String> = old_tree
            .names()
            .map(str::to_owned)
            .chain(["multi-user.target".to_owned()])
            .collect();
        let mounted: Vec<String> = fstab::units(old_tree.fstab()).collect();
        let running: Vec<Running<'_>> = if let Some(state) = state {
            let units = state.units.values();
            let running = units.map(|unit| Running {
                name: &unit.name,
                active: unit.is_active(),
                managed: unit.is_managed(),
            });
            running.collect()
        } else {
            let running = |managed| {
                move |name| Running {
                    name,
                    active: true,
                    managed,
                }
            };
            let mounted = mounted.iter().map(String::as_str);
            let assumed = assumed.iter().map(String::as_str).map(running(true));
            assumed.chain(mounted.map(running(false))).collect()
        };
        let units = plan::plan(&old_tree, &new_tree, &running);
        Ok(Self {
            packages: closure::difference(old_closure, new_closure),
            start_limit: start_limit(&new_tree, &units),
            units,
        })
    }

    /// The lines of the plan that are about packages.
    pub fn packages(&self) -> impl Iterator<Item = Line> {
        self.packages.iter().map(|package| Line {
            kind: "package",
            action: package.change.word().to_owned(),
            name: package.name.clone(),
            old: package.old.clone(),
            new: package.new.clone(),
            delta_bytes: Some(package.delta_bytes),
            reason: String::new(),
        })
    }

    /// The lines of the plan: packages first, then units in the order of the work.
    pub fn lines(&self) -> impl Iterator<Item = Line> {
        let units = self.units.iter().map(|change| Line {
            kind: "unit",
            action: change.action.word().to_owned(),
            name: change.unit.clone(),
            old: String::new(),
            new: String::new(),
            delta_bytes: None,
            reason: change.reason.clone(),
        });
        self.packages().chain(units)
    }
}

/// The largest `TimeoutStartSec=` among the units that the plan starts and that set one.
fn start_limit(tree: &UnitTree, plan: &[Change]) -> Duration {
    let started = plan
        .iter()
        .filter(|change| matches!(change.action, Verb::Start | Verb::Restart));
    let limits = started.filter_map(|change| {
        let file = if tree.has_file(&change.unit) {
            change.unit.clone()
        } else {
            template_of(&change.unit)?
        };
        let found = tree.unit(&change.unit, &file)?.file;
        units::time_span(
            found
                .value("Service", "TimeoutStartSec")
                .or(found.value("Service", "TimeoutSec"))?,
        )
    });
    limits.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_own_start_limit_of_started_units_counts() {
        let tree = UnitTree::default()
            .with("a.service", "[Service]\nTimeoutStartSec=10min\n")
            .with("b@.service", "[Service]\nTimeoutStartSec=15min\n")
            .with("c.service", "[Service]\nTimeoutStartSec=1h\n")
            .with("d.service", "[Service]\nTimeoutStartSec=infinity\n");
        let change = |action, unit: &str| Change {
            action,
            unit: unit.to_owned(),
            reason: String::new(),
        };
        let plan = [
            change(Verb::Restart, "a.service"),
            change(Verb::Start, "b@x.service"),
            change(Verb::Stop, "c.service"),
            change(Verb::Start, "d.service"),
        ];
        assert_eq!(start_limit(&tree, &plan), Duration::from_mins(15));
        assert_eq!(start_limit(&tree, &plan[..1]), Duration::from_mins(10));
        assert_eq!(start_limit(&tree, &[]), Duration::ZERO);
    }
}
