//! What counts as worse, one test a rule.

use super::*;

const WINDOW: Duration = Duration::from_secs(10);

fn unit(name: &str, active: &str, sub: &str, restarts: u64) -> Unit {
    Unit {
        name: name.to_owned(),
        load: "loaded".to_owned(),
        active: active.to_owned(),
        sub: sub.to_owned(),
        restarts,
        ..Unit::default()
    }
}

fn running(name: &str, restarts: u64) -> Unit {
    unit(name, "active", "running", restarts)
}

fn host(units: &[Unit]) -> State {
    let units = units
        .iter()
        .map(|unit| (unit.name.clone(), unit.clone()))
        .collect();
    State {
        units,
        uptime_us: 100_000_000,
        ..State::default()
    }
}

/// The findings that are not ok, as `STATUS CHECK SUBJECT`.
fn findings(before: &State, now: &State) -> Vec<String> {
    let mut counters = Counters::new(before);
    counters.look(now);
    let baseline = Baseline::new(before, before, Vec::new());
    let watched = ["w.service".to_owned()];
    told(&compare(
        &baseline,
        &counters,
        now,
        &[],
        Scope {
            watched: &watched,
            plan: &[],
            window: WINDOW,
        },
    ))
}

fn told(checks: &[Check]) -> Vec<String> {
    let bad = checks.iter().filter(|check| check.status != Finding::Ok);
    bad.map(|check| format!("{} {} {}", check.status.word(), check.check, check.subject))
        .collect()
}

#[test]
fn a_newly_failed_unit_fails() {
    let now = host(&[unit("a.service", "failed", "failed", 0)]);
    assert_eq!(
        findings(&host(&[running("a.service", 0)]), &now),
        ["fail deploy.units a.service"]
    );
    assert_eq!(findings(&host(&[]), &now), ["fail deploy.units a.service"]);
}

#[test]
fn a_unit_that_was_failed_before_is_only_a_warning() {
    let sick = host(&[unit("a.service", "failed", "failed", 0)]);
    assert_eq!(findings(&sick, &sick), ["warn deploy.units a.service"]);
}

#[test]
fn a_unit_that_flapped_before_may_go_on() {
    let (first, second) = (
        host(&[running("a.service", 3)]),
        host(&[running("a.service", 5)]),
    );
    let now = host(&[unit("a.service", "activating", "auto-restart", 9)]);
    let baseline = Baseline::new(&first, &second, Vec::new());
    let mut counters = Counters::new(&second);
    counters.look(&now);
    let checks = compare(
        &baseline,
        &counters,
        &now,
        &[],
        Scope {
            watched: &[],
            plan: &[],
            window: WINDOW,
        },
    );
    assert_eq!(told(&checks), ["warn deploy.units a.service"]);
}

#[test]
fn a_unit_that_waits_for_its_restart_fails_though_it_is_not_failed() {
    let now = host(&[unit("a.service", "activating", "auto-restart", 1)]);
    assert_eq!(
        findings(&host(&[running("a.service", 0)]), &now),
        ["fail deploy.units a.service"]
    );
}

#[test]
fn one_restart_long_ago_is_a_warning_and_a_late_one_fails() {
    let before = host(&[running("a.service", 2)]);
    let mut settled = running("a.service", 3);
    settled.changed_us = 94_000_000; // six of the ten seconds of the window
    assert_eq!(
        findings(&before, &host(&[settled.clone()])),
        ["warn deploy.restarts a.service"]
    );
    settled.changed_us = 96_000_000;
    assert_eq!(
        findings(&before, &host(&[settled.clone()])),
        ["fail deploy.restarts a.service"]
    );
    settled.changed_us = 94_000_000;
    settled.restarts = 5;
    assert_eq!(
        findings(&before, &host(&[settled])),
        ["fail deploy.restarts a.service"]
    );
}

#[test]
fn counters_that_were_reset_count_from_zero() {
    let mut counters = Counters::new(&host(&[running("a.service", 7)]));
    counters.look(&host(&[running("a.service", 0)]));
    assert_eq!(counters.grown("a.service"), 0);
    counters.look(&host(&[running("a.service", 2)]));
    assert_eq!(counters.grown("a.service"), 2);
}

#[test]
fn units_of_the_deployment_itself_do_not_count() {
    let now = host(&[unit("ops-deploy-activate.service", "failed", "failed", 0)]);
    assert_eq!(findings(&host(&[]), &now), Vec::<String>::new());
    assert!(!is_hopeless(&Baseline::default(), &now));
}

#[test]
fn a_lost_listener_of_a_watched_unit_fails_unless_its_unit_is_gone() {
    let listener = |port| Listener {
        address: "127.0.0.1".parse().unwrap(),
        port,
        unit: "w.service".to_owned(),
    };
    let with = |ports: &[u16]| State {
        listeners: Some(ports.iter().map(|p| listener(*p)).collect()),
        ..State::default()
    };
    assert_eq!(
        findings(&with(&[80, 81]), &with(&[80, 81])),
        Vec::<String>::new()
    );
    assert_eq!(
        findings(&with(&[80]), &with(&[])),
        ["fail deploy.listeners w.service"]
    );
    let unknown = State::default();
    assert_eq!(findings(&with(&[80]), &unknown), Vec::<String>::new());
    let watched = ["w.service".to_owned()];
    let compared = |reason: &str, after: &[u16]| {
        let plan = [Change {
            action: Verb::Restart,
            unit: "w.service".to_owned(),
            reason: reason.to_owned(),
        }];
        let baseline = Baseline::new(&with(&[80]), &with(&[80]), Vec::new());
        let scope = Scope {
            watched: &watched,
            plan: &plan,
            window: WINDOW,
        };
        told(&compare(
            &baseline,
            &Counters::default(),
            &with(after),
            &[],
            scope,
        ))
    };
    assert_eq!(compared("removed", &[]), Vec::<String>::new());
    assert_eq!(
        compared("changed: ExecStart", &[81]),
        ["warn deploy.listeners w.service"]
    );
    assert_eq!(
        compared("changed: ExecStart", &[]),
        ["fail deploy.listeners w.service"]
    );
}

#[test]
fn a_unit_that_matters_must_not_end_unplanned() {
    let before = host(&[running("w.service", 0), running("x.service", 0)]);
    let ended = unit("w.service", "inactive", "dead", 0);
    let now = host(&[ended.clone(), unit("x.service", "inactive", "dead", 0)]);
    assert_eq!(findings(&before, &now), ["fail deploy.units w.service"]);
    assert_eq!(findings(&host(&[ended]), &now), Vec::<String>::new());
    let watched = ["w.service".to_owned()];
    let plan = [Change {
        action: Verb::Stop,
        unit: "w.service".to_owned(),
        reason: String::new(),
    }];
    let scope = Scope {
        watched: &watched,
        plan: &plan,
        window: WINDOW,
    };
    let baseline = Baseline::new(&before, &before, Vec::new());
    assert_eq!(
        told(&compare(&baseline, &Counters::default(), &now, &[], scope)),
        Vec::<String>::new()
    );
}

#[test]
fn a_health_command_fails_only_if_it_was_better_before() {
    use Finding::{Fail, Ok, Unknown, Warn};
    let found = |before: Option<Finding>, now: Finding| {
        let check = |status| Check::new(status, "m.v", "s", "msg");
        let baseline = Baseline::new(
            &State::default(),
            &State::default(),
            before.map(check).into_iter().collect(),
        );
        let scope = Scope {
            watched: &[],
            plan: &[],
            window: WINDOW,
        };
        compare(
            &baseline,
            &Counters::default(),
            &State::default(),
            &[check(now)],
            scope,
        )
        .last()
        .unwrap()
        .status
    };
    for (before, now, expected) in [
        (Some(Ok), Fail, Fail),
        (Some(Ok), Unknown, Fail),
        (Some(Ok), Ok, Ok),
        (Some(Fail), Fail, Warn),
        (Some(Unknown), Unknown, Warn),
        (Some(Unknown), Fail, Fail),
        (Some(Fail), Ok, Ok),
        (None, Fail, Fail),
    ] {
        assert_eq!(found(before, now), expected, "{before:?} then {now:?}");
    }
}

#[test]
fn a_unit_on_its_way_up_has_the_time_that_it_asks_for() {
    let mut slow = unit("a.service", "activating", "start", 0);
    slow.start_limit = Some(Duration::from_mins(10));
    slow.started_us = 40_000_000;
    let now = host(&[slow]);
    assert_eq!(
        still_starting(&Baseline::default(), &now),
        Some(Duration::from_mins(9))
    );
    assert_eq!(
        findings(&host(&[]), &now),
        ["unknown deploy.units a.service"]
    );
    assert_eq!(
        still_starting(&Baseline::default(), &host(&[running("a.service", 0)])),
        None
    );
}
