//! Is the host worse than before? Two moments compared, so that what was broken already is nobody's fault.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ops_common::check::{Check, State as Finding};

use crate::listeners::Listener;
use crate::plan::{Change, Verb};
use crate::state::State;
use crate::units::Unit;

/// A unit that systemd restarts so often within one window does not settle.
const TOO_MANY_RESTARTS: u32 = 3;

/// What was there before the switch.
#[derive(Debug, Clone, Default)]
pub struct Baseline {
    sick: BTreeSet<String>,
    active: BTreeSet<String>,
    listeners: Option<Vec<Listener>>,
    probes: Vec<Check>,
}

impl Baseline {
    /// Takes the baseline from two looks at the host, one a while before the other: a unit that was restarted in between
    /// flaps already.
    #[must_use]
    pub fn new(first: &State, second: &State, probes: Vec<Check>) -> Self {
        let flaps = |unit: &Unit| {
            first
                .units
                .get(&unit.name)
                .is_some_and(|before| unit.restarts > before.restarts)
        };
        let was_sick = |unit: &Unit| first.units.get(&unit.name).is_some_and(Unit::is_restarting);
        let units = second.units.values().filter(|unit| !unit.is_ours());
        let sick = units
            .filter(|unit| unit.is_sick() || flaps(unit) || was_sick(unit))
            .map(|unit| unit.name.clone());
        let active = second.units.values().filter(|unit| unit.is_active());
        Self {
            active: active.map(|unit| unit.name.clone()).collect(),
            sick: sick.collect(),
            listeners: second.listeners.clone(),
            probes,
        }
    }

    /// The health commands' findings before the switch.
    #[must_use]
    pub fn probes(&self) -> &[Check] {
        &self.probes
    }

    /// The units that were failed, or restarted again and again.
    pub fn sick(&self) -> impl Iterator<Item = &str> {
        self.sick.iter().map(String::as_str)
    }
}

/// Watches restart counters over several looks. They start at zero again when somebody restarts the unit.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    last: BTreeMap<String, u64>,
    grown: BTreeMap<String, u64>,
}

impl Counters {
    /// Starts at what the counters were before the switch.
    #[must_use]
    pub fn new(before: &State) -> Self {
        let last = before
            .units
            .values()
            .map(|unit| (unit.name.clone(), unit.restarts))
            .collect();
        Self {
            last,
            grown: BTreeMap::new(),
        }
    }

    /// Takes another look into account.
    pub fn look(&mut self, state: &State) {
        for unit in state.units.values() {
            let last = self
                .last
                .insert(unit.name.clone(), unit.restarts)
                .unwrap_or(0);
            let more = unit.restarts.checked_sub(last).unwrap_or(unit.restarts);
            if more > 0 {
                *self.grown.entry(unit.name.clone()).or_default() += more;
            }
        }
    }

    fn grown(&self, unit: &str) -> u64 {
        self.grown.get(unit).copied().unwrap_or(0)
    }
}

/// What the comparison has to know beside the two moments.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The units whose listeners must come back.
    pub watched: &'a [String],
    /// What the switch was to do to the units.
    pub plan: &'a [Change],
    /// For how long the host is watched.
    pub window: Duration,
}

/// Compares the host with the baseline. Only what has become worse fails.
#[must_use]
pub fn compare(
    baseline: &Baseline,
    counters: &Counters,
    now: &State,
    probes: &[Check],
    scope: Scope<'_>,
) -> Vec<Check> {
    let mut checks: Vec<Check> = now
        .units
        .values()
        .filter(|unit| !unit.is_ours())
        .filter_map(|unit| unit_check(baseline, counters, now, unit, scope.window))
        .collect();
    checks.extend(stopped_checks(baseline, now, scope));
    if !checks.iter().any(|check| check.status == Finding::Fail) {
        let (all, active) = (
            now.units.len(),
            now.units.values().filter(|unit| unit.is_active()).count(),
        );
        let message = format!("{active} of {all} units are active, none has become worse");
        checks.insert(0, Check::ok("deploy.units", "", message));
    }
    checks.extend(listener_checks(baseline, now, scope));
    checks.extend(
        probes
            .iter()
            .map(|probe| probe_check(&baseline.probes, probe)),
    );
    checks
}

/// Whether something has failed for good, so that waiting longer cannot help.
#[must_use]
pub fn is_hopeless(baseline: &Baseline, now: &State) -> bool {
    let units = now
        .units
        .values()
        .filter(|unit| !unit.is_ours() && unit.load != "not-found");
    units
        .into_iter()
        .any(|unit| unit.active == "failed" && !baseline.sick.contains(&unit.name))
}

/// How much longer units that are on their way up may take by their own limit.
#[must_use]
pub fn still_starting(baseline: &Baseline, now: &State) -> Option<Duration> {
    let starting = now
        .units
        .values()
        .filter(|unit| unit.is_starting() && !unit.is_ours());
    starting
        .filter(|unit| !baseline.sick.contains(&unit.name))
        .filter_map(|unit| {
            let since = Duration::from_micros(now.uptime_us.saturating_sub(unit.started_us));
            unit.start_limit.map(|limit| limit.saturating_sub(since))
        })
        .max()
}

fn unit_check(
    baseline: &Baseline,
    counters: &Counters,
    now: &State,
    unit: &Unit,
    window: Duration,
) -> Option<Check> {
    let (name, told) = (unit.name.as_str(), unit.told());
    if baseline.sick.contains(name) {
        return unit
            .is_sick()
            .then(|| Check::warn("deploy.units", name, format!("{told}, as before")));
    }
    if unit.is_sick() && unit.load == "not-found" {
        return Some(Check::warn(
            "deploy.units",
            name,
            format!("{told}; the new system does not have it"),
        ));
    }
    if unit.is_sick() {
        let fix = format!("look at: journalctl -u {name}");
        return Some(Check::fail("deploy.units", name, told).fix(fix));
    }
    if unit.is_starting() && unit.start_limit.is_some() {
        return Some(Check::unknown("deploy.units", name, "is still starting"));
    }
    let grown = counters.grown(name);
    if grown == 0 {
        return None;
    }
    let stable = Duration::from_micros(now.uptime_us.saturating_sub(unit.changed_us));
    let message = format!(
        "restarted by itself {grown} times since the switch, stable for {}s",
        stable.as_secs()
    );
    let settled = grown < u64::from(TOO_MANY_RESTARTS) && stable >= window / 2;
    let check = if settled { Check::warn } else { Check::fail };
    #[expect(
        clippy::cast_precision_loss,
        reason = "a restart counter is far below 2^52"
    )]
    let check = check("deploy.restarts", name.to_owned(), message).value(grown as f64, "");
    Some(check.limit(TOO_MANY_RESTARTS.into()))
}

/// Units that matter and ran before, but have ended without a failure: nobody planned that.
fn stopped_checks(baseline: &Baseline, now: &State, scope: Scope<'_>) -> Vec<Check> {
    let planned = |unit: &str| {
        let mut changes = scope.plan.iter();
        changes.any(|change| change.unit == unit && change.action == Verb::Stop)
    };
    let ended = |unit: &&String| {
        let state = now.units.get(*unit);
        state.is_none_or(|unit| !unit.is_active() && !unit.is_sick() && unit.load != "not-found")
    };
    let ran = scope
        .watched
        .iter()
        .filter(|unit| baseline.active.contains(*unit));
    ran.filter(|unit| !planned(unit))
        .filter(ended)
        .map(|unit| {
            let told = now
                .units
                .get(unit)
                .map_or_else(|| "is gone".to_owned(), Unit::told);
            Check::fail(
                "deploy.units",
                unit,
                format!("ran before, and is {told} now"),
            )
            .fix(format!("look at: journalctl -u {unit}"))
        })
        .collect()
}

fn listener_checks(baseline: &Baseline, now: &State, scope: Scope<'_>) -> Vec<Check> {
    let (Some(before), Some(after)) = (&baseline.listeners, &now.listeners) else {
        return Vec::new();
    };
    let gone = before
        .iter()
        .filter(|listener| scope.watched.contains(&listener.unit) && !after.contains(listener));
    gone.filter_map(|listener| {
        let unit = listener.unit.as_str();
        let change = scope.plan.iter().find(|change| change.unit == unit);
        if change.is_some_and(|change| change.reason == "removed" || change.reason == "masked") {
            return None;
        }
        let place = std::net::SocketAddr::new(listener.address, listener.port);
        let elsewhere = after.iter().any(|other| other.unit == unit);
        let message = format!("no longer listens on {place}");
        Some(if elsewhere && change.is_some() {
            Check::warn(
                "deploy.listeners",
                unit,
                message + ", but elsewhere: its configuration changed",
            )
        } else {
            Check::fail("deploy.listeners", unit, message)
                .fix(format!("look at: journalctl -u {unit}"))
        })
    })
    .collect()
}

fn probe_check(before: &[Check], probe: &Check) -> Check {
    let was = before
        .iter()
        .find(|check| check.check == probe.check && check.subject == probe.subject);
    let bad = matches!(probe.status, Finding::Fail | Finding::Unknown);
    let mut check = probe.clone();
    match was {
        Some(was) if bad && was.status == probe.status => {
            check.status = Finding::Warn;
            check.message = format!("{} ({}, as before)", probe.message, probe.status.word());
        }
        // A command that could not look before and cannot now says nothing; one that could, must.
        _ if bad => check.status = Finding::Fail,
        _ => {}
    }
    check
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
