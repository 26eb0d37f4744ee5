//! The cases of NixOS's own test of `switch-to-configuration` (nixos/tests/switch-test.nix, and the unit tests beside its
//! source) that can be told from unit files: from one system to the next, with what it then prints.

#![expect(
    clippy::too_many_lines,
    reason = "a table is read from its beginning to its end"
)]

use std::collections::BTreeSet;

use super::tests::service;
use super::*;
use crate::unit_file::UnitFile;

/// What switches do to `test.service` and its like: `stopping` and then `starting` is a restart.
const BASE: &str = "[Unit]\n[Service]\nExecReload=/bin/true\nExecStart=/bin/true\nRemainAfterExit=true\nType=oneshot\n";

const MODIFIED: &str = "[Unit]\n[Service]\nExecReload=/bin/true\nExecStart=/bin/true\nRemainAfterExit=true\nType=oneshot\nX-Test=true\n";

/// With other lines in its `[Unit]` and `[Service]`.
fn with(unit: &str, service: &str) -> String {
    let text = BASE.replacen("[Unit]\n", &format!("[Unit]\n{unit}"), 1);
    text + service
}

/// A system with these files; those that are services are wanted by `multi-user.target`.
fn system(files: &[(&str, &str)]) -> UnitTree {
    let tree = UnitTree::default().with("multi-user.target", "[Unit]\n");
    files.iter().fold(tree, |tree, (name, text)| {
        let wanted = name.ends_with(".service") && !name.contains("@.");
        let tree = tree.with(name, text);
        if wanted {
            tree.with(&format!("multi-user.target.wants/{name}"), "")
        } else {
            tree
        }
    })
}

/// The plan from one system to another, all units of the old one being active.
fn switched(old: &UnitTree, new: &UnitTree, beside: &[&str]) -> Vec<(Verb, String)> {
    let mut names: BTreeSet<&str> = old.names().filter(|name| !name.contains("@.")).collect();
    names.extend(beside);
    let running: Vec<_> = names.into_iter().map(service).collect();
    let changes = plan(old, new, &running).into_iter();
    changes.map(|change| (change.action, change.unit)).collect()
}

#[track_caller]
fn check(case: &str, plan: &[(Verb, String)], expected: &[(Verb, &str)]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|(verb, unit)| (*verb, (*unit).to_owned()))
        .collect();
    assert_eq!(plan, expected, "{case}");
}

#[test]
fn services() {
    let nostop = with("", "X-StopIfChanged=false\n");
    let described = with("Description=Test unit\n", "");
    let extra = |section: &str| format!("{nostop}[{section}]\nX-Test-Value=a\n");
    let triggered = |trigger: &str, more: &str| {
        with(
            &format!("X-Reload-Triggers={trigger}\n"),
            &format!("X-StopIfChanged=false\n{more}"),
        )
    };
    let cases: [(&str, &str, &str, Option<Verb>); 20] = [
        ("nothing is changed", BASE, BASE, None),
        ("only the description", BASE, &described, None),
        ("modified", &described, MODIFIED, Some(Verb::Restart)),
        (
            "stopIfChanged=false",
            MODIFIED,
            &nostop,
            Some(Verb::Restart),
        ),
        (
            "reloadIfChanged=true",
            &nostop,
            &with("", "X-ReloadIfChanged=true\n"),
            Some(Verb::Reload),
        ),
        (
            "restartIfChanged=false",
            &with("", "X-ReloadIfChanged=true\n"),
            &with("", "X-RestartIfChanged=false\n"),
            Some(Verb::Leave),
        ),
        (
            "add a section",
            &nostop,
            &extra("X-Test"),
            Some(Verb::Restart),
        ),
        (
            "rename it",
            &extra("X-Test"),
            &extra("X-Test2"),
            Some(Verb::Restart),
        ),
        ("remove it", &extra("X-Test2"), &nostop, Some(Verb::Restart)),
        (
            "[Install] is ignored",
            &nostop,
            &format!("{nostop}[Install]\nWantedBy=multi-user.target\n"),
            None,
        ),
        (
            "add a key",
            &nostop,
            &format!("{nostop}X-Test=test\n"),
            Some(Verb::Restart),
        ),
        (
            "change its value",
            &format!("{nostop}X-Test=test\n"),
            &format!("{nostop}X-Test=test2\n"),
            Some(Verb::Restart),
        ),
        (
            "rename the key",
            &format!("{nostop}X-Test=test2\n"),
            &format!("{nostop}X-Test2=test\n"),
            Some(Verb::Restart),
        ),
        (
            "remove the key",
            &format!("{nostop}X-Test2=test\n"),
            &nostop,
            Some(Verb::Restart),
        ),
        (
            "add a reload trigger",
            &nostop,
            &triggered("/dev/null", ""),
            Some(Verb::Reload),
        ),
        (
            "modify the reload trigger",
            &triggered("/dev/null", ""),
            &triggered("/dev/zero", ""),
            Some(Verb::Reload),
        ),
        (
            "modify the reload trigger and something else",
            &triggered("/dev/null", ""),
            &triggered("/dev/zero", "X-Test=test\n"),
            Some(Verb::Restart),
        ),
        (
            "remove the reload trigger",
            &triggered("/dev/zero", "X-Test=test\n"),
            &format!("{nostop}X-Test=test\n"),
            None,
        ),
        (
            "a section that is empty",
            &nostop,
            &format!("{nostop}[X-Empty]\n"),
            Some(Verb::Restart),
        ),
        (
            "another ExecReload",
            BASE,
            &BASE.replace("Reload=/bin/true", "Reload=/bin/x"),
            Some(Verb::Reload),
        ),
    ];
    for (case, old, new, verb) in cases {
        // Names with a backslash, and those that begin with a dash, are like others.
        for name in [
            "test.service",
            "escaped\\x2ddash.service",
            "-.service",
            "foo\\x2dbar@1.service",
        ] {
            let plan = switched(&system(&[(name, old)]), &system(&[(name, new)]), &[]);
            let expected = verb.map(|verb| (verb, name));
            check(&format!("{case}, {name}"), &plan, expected.as_slice());
        }
    }
}

#[test]
fn the_unit_tests_of_its_comparison() {
    let unit = |text: &str| UnitFile::parse(text);
    let kind = |old: &str, new: &str| match compare(&unit(old), &unit(new)) {
        Difference::None => "equal",
        Difference::Reload(_) => "reload",
        Difference::Restart(_) => "restart",
    };
    let trigger = "[Unit]\nX-Reload-Triggers=foobar\n";
    for (old, new, expected) in [
        ("", "", "equal"),
        ("[Unit]\n", "", "equal"),
        (trigger, "", "equal"),
        ("[foobar]\n", "", "restart"),
        ("[Mount]\nOptions=\n", "[Mount]\nOptions=ro\n", "reload"),
        ("", trigger, "reload"),
        (trigger, "[Unit]\nX-Reload-Triggers=barfoo\n", "reload"),
        ("", "[Service]\nExecReload=foobar\n", "reload"),
        (
            "[Service]\nExecReload=foobar\n",
            "[Service]\nExecReload=barfoo\n",
            "reload",
        ),
        (
            "[Unit]\nDescription=x\n",
            "[Unit]\nDescription=x\n[Service]\nExecStart=y\n",
            "restart",
        ),
        (
            "[Unit]\nDescription=x\n",
            "[Unit]\nDescription=x\n[Service]\nExecReload=y\n",
            "reload",
        ),
        (
            "[Service]\nExecStart=a\nExecReload=b\n",
            "[Service]\nExecStart=a\n",
            "equal",
        ),
        ("[Service]\nExecReload=b\n", "", "equal"),
        ("", "[Service]\n", "restart"),
        ("", "[Unit]\nDescription=x\n", "equal"),
        ("", "[Unit]\nAfter=x\n", "restart"),
        (
            "",
            "[Unit]\nDescription=x\n[Service]\nExecReload=y\n",
            "restart",
        ),
        (
            "[Mount]\nWhat=a\n",
            "[Mount]\nWhat=a\nOptions=ro\n",
            "restart",
        ),
    ] {
        assert_eq!(kind(old, new), expected, "{old:?} {new:?}");
    }
}

#[test]
fn units_that_come_and_go() {
    let old = system(&[("test.service", BASE)]);
    let new = system(&[("escaped\\x2ddash.service", BASE)]);
    let expected = [
        (Verb::Stop, "test.service"),
        (Verb::Start, "escaped\\x2ddash.service"),
    ];
    check("another unit", &switched(&old, &new, &[]), &expected);
    // One that has ended without a failure is wanted still.
    let again = system(&[("autorestart.service", "[Service]\nExecStart=/bin/true\n")]);
    let plan = plan(&again, &again, &[service("multi-user.target")]);
    assert_eq!(plan.len(), 1);
    assert_eq!(
        (plan[0].action, plan[0].reason.as_str()),
        (Verb::Start, "wanted, and does not run")
    );
}

#[test]
fn units_that_require_others() {
    let requires = "[Unit]\nRequires=required.service\n[Service]\nExecStart=/bin/true\n";
    let old = system(&[("required.service", BASE), ("test.service", requires)]);
    let triggered = requires.replace("[Unit]\n", "[Unit]\nX-Reload-Triggers=test\n");
    let modified = system(&[("required.service", MODIFIED), ("test.service", &triggered)]);
    let both = [
        (Verb::Restart, "required.service"),
        (Verb::Restart, "test.service"),
    ];
    check(
        "not reloaded: it went down",
        &switched(&old, &modified, &[]),
        &both,
    );
    let bound = requires.replace("Requires", "PartOf");
    let old = system(&[("required.service", BASE), ("test.service", &bound)]);
    let modified = system(&[("required.service", MODIFIED), ("test.service", &bound)]);
    check("PartOf", &switched(&old, &modified, &[]), &both);
    // Nothing wants it: it goes down for good.
    let alone = |required: &str| {
        UnitTree::default()
            .with("required.service", required)
            .with("test.service", &bound)
    };
    let expected = [
        (Verb::Stop, "test.service"),
        (Verb::Restart, "required.service"),
    ];
    check(
        "unwanted",
        &switched(&alone(BASE), &alone(MODIFIED), &[]),
        &expected,
    );
}

#[test]
fn templates() {
    let old = system(&[
        ("instantiated@.service", BASE),
        ("instantiated@one.service.d/overrides.conf", ""),
        ("instantiated@two.service.d/overrides.conf", ""),
    ]);
    let new = old.clone().with("instantiated@.service", MODIFIED);
    let instances = ["instantiated@one.service", "instantiated@two.service"];
    let both = instances.map(|name| (Verb::Restart, name));
    check("modified", &switched(&old, &new, &instances), &both);
    let dropped = system(&[
        ("instantiated@.service", BASE),
        ("instantiated@one.service.d/overrides.conf", ""),
    ])
    .with_mask("instantiated@two.service.d/overrides.conf");
    let gone = [(Verb::Stop, "instantiated@two.service")];
    check(
        "one is disabled",
        &switched(&old, &dropped, &instances),
        &gone,
    );
    // It looks for the template of `a.b` under another name, and so leaves it alone.
    let odd = ["instantiated@a.b.service", "instantiated@a@b.service"];
    check("odd instances", &switched(&old, &new, &odd), &[]);
}

#[test]
fn socket_activated_services() {
    let socket = ("act.socket", "[Socket]\nListenStream=/run/test.sock\n");
    let unit = |more: &str| format!("[Service]\nExecStart=/bin/x\nExecReload=/bin/true\n{more}");
    let tree = |text: &str| {
        UnitTree::default()
            .with(socket.0, socket.1)
            .with("act.service", text)
    };
    let (nostop, stop) = (unit("X-StopIfChanged=false\n"), unit(""));
    let plan = switched(
        &tree(&nostop),
        &tree(&unit("X-StopIfChanged=false\nX-Test=t\n")),
        &[],
    );
    check(
        "stopIfChanged=false",
        &plan,
        &[(Verb::Restart, "act.service")],
    );
    let plan = switched(&tree(&nostop), &tree(&stop), &[]);
    let expected = [(Verb::Stop, "act.service"), (Verb::Restart, "act.socket")];
    check("stopIfChanged=true", &plan, &expected);
    let triggered = format!("[Unit]\nX-Reload-Triggers=test\n{stop}");
    let plan = switched(&tree(&stop), &tree(&triggered), &[]);
    check("a reload trigger", &plan, &[(Verb::Reload, "act.service")]);
    // One that does not run is changed, and its socket waits on.
    let running = [service("act.socket"), service("sockets.target")];
    let plan = plan_of(&tree(&stop), &tree(&nostop), &running);
    check("not activated", &plan, &[]);
    let several = |sockets: &str, more: &str| {
        let text = unit(&format!("Sockets=a.socket b.socket\n{more}"));
        let names = sockets.split(' ').filter(|name| !name.is_empty());
        names.fold(
            UnitTree::default().with("act.service", &text),
            |tree, name| tree.with(name, socket.1),
        )
    };
    let plan = switched(
        &several("a.socket b.socket", ""),
        &several("a.socket", "X-Test=t\n"),
        &[],
    );
    let expected = [
        (Verb::Stop, "act.service"),
        (Verb::Stop, "b.socket"),
        (Verb::Restart, "a.socket"),
    ];
    check("one of its sockets is gone", &plan, &expected);
    let template = |text: &str| {
        UnitTree::default()
            .with("act@.service", text)
            .with(socket.0, socket.1)
    };
    let plan = switched(&template(&stop), &template(&nostop), &["act@1.service"]);
    check(
        "nostop instance",
        &plan,
        &[(Verb::Restart, "act@1.service")],
    );
    let plan = switched(&template(&nostop), &template(&stop), &["act@1.service"]);
    let expected = [(Verb::Stop, "act@1.service"), (Verb::Restart, "act.socket")];
    check("an instance", &plan, &expected);
}

fn plan_of(old: &UnitTree, new: &UnitTree, running: &[Running<'_>]) -> Vec<(Verb, String)> {
    let changes = plan(old, new, running).into_iter();
    changes.map(|change| (change.action, change.unit)).collect()
}

#[test]
fn mounts_timers_targets_paths_and_slices() {
    let mount = |what: &str, options: &str| {
        format!("[Mount]\nWhat={what}\nWhere=/testmount\nOptions={options}\n")
    };
    let (small, large, ram) = (
        mount("tmpfs", "size=1M"),
        mount("tmpfs", "size=10M"),
        mount("ramfs", "size=10M"),
    );
    let timer = |at: &str| format!("[Timer]\nOnCalendar={at}\n");
    let (soon, late) = (timer("@1395716396"), timer("Fri 2012-11-23 16:00:00"));
    let cases: [(&str, &str, &str, Option<Verb>); 9] = [
        ("testmount.mount", &small, &large, Some(Verb::Reload)),
        ("testmount.mount", &large, &ram, Some(Verb::Restart)),
        ("test-timer.timer", &soon, &late, Some(Verb::Restart)),
        (
            "hybrid-sleep.target",
            "[Unit]\n",
            "[Unit]\nX-Test=true\n",
            None,
        ),
        (
            "test-target.target",
            "[Unit]\n",
            "[Unit]\nX-Test=true\n",
            None,
        ),
        (
            "test-target.target",
            "[Unit]\n",
            "[Unit]\nX-StopOnReconfiguration=true\n",
            None,
        ),
        (
            "test-watch.path",
            "[Path]\nPathExists=/testpath\n",
            "[Path]\nPathExists=/testpath2\n",
            None,
        ),
        (
            "testslice.slice",
            "[Slice]\nMemoryMax=1\n",
            "[Slice]\n",
            None,
        ),
        (
            "test.socket",
            "[Socket]\nSocketMode=0777\n",
            "[Socket]\nSocketMode=0700\n",
            None,
        ),
    ];
    for (unit, old, new, verb) in cases {
        let (old, new) = (
            UnitTree::default().with(unit, old),
            UnitTree::default().with(unit, new),
        );
        let expected = verb.map(|verb| (verb, unit));
        check(unit, &switched(&old, &new, &[]), expected.as_slice());
        let gone = switched(&old, &UnitTree::default(), &[]);
        check("removed", &gone, &[(Verb::Stop, unit)]);
    }
}

#[test]
fn slices_and_automounts_are_started_where_they_are_wanted() {
    let old = system(&[]);
    for unit in ["test.slice", "testmount.automount"] {
        let new = old
            .clone()
            .with(unit, "[Unit]\n")
            .with(&format!("multi-user.target.wants/{unit}"), "");
        check("new", &switched(&old, &new, &[]), &[(Verb::Start, unit)]);
        check("runs", &switched(&old, &new, &[unit]), &[]);
    }
}

#[test]
fn a_target_that_may_not_be_started_pulls_nothing_in() {
    for (target, settings) in [
        ("a.target", "RefuseManualStart=true"),
        ("a.target", "X-OnlyManualStart=true"),
        ("suspend.target", ""),
    ] {
        let old = UnitTree::default().with(target, &format!("[Unit]\n{settings}\n"));
        let wants = format!("{target}.wants/new.service");
        let new = old.clone().with("new.service", BASE).with(&wants, "");
        check(target, &switched(&old, &new, &[]), &[]);
    }
}

#[test]
fn what_a_new_unit_needs_starts_with_it() {
    let old = system(&[]);
    let new = system(&[("a.service", "[Unit]\nRequires=b.service\nWants=c.socket\n")])
        .with("b.service", "[Unit]\nBindsTo=d.service\n")
        .with("c.socket", "[Socket]\n")
        .with("d.service", BASE)
        .with("e.service", BASE);
    let expected =
        ["a.service", "b.service", "c.socket", "d.service"].map(|unit| (Verb::Start, unit));
    check("all", &switched(&old, &new, &[]), &expected);
}
