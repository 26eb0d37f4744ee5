//! The rules of the unit plan, one test a rule.

use super::compare::IGNORED;
use super::*;

pub(super) fn service(name: &str) -> Running<'_> {
    Running {
        name,
        active: true,
        managed: true,
    }
}

fn planned(old: &UnitTree, new: &UnitTree, running: &[Running<'_>]) -> Vec<(Verb, String)> {
    plan(old, new, running)
        .into_iter()
        .map(|change| (change.action, change.unit))
        .collect()
}

/// Plans for one running `a.service` that goes from `old` to `new`.
fn one(old: &str, new: &str) -> Vec<(Verb, String)> {
    let (old, new) = (
        UnitTree::default().with("a.service", old),
        UnitTree::default().with("a.service", new),
    );
    planned(&old, &new, &[service("a.service")])
}

fn only(verb: Verb) -> Vec<(Verb, String)> {
    vec![(verb, "a.service".to_owned())]
}

#[test]
fn an_unchanged_unit_is_not_in_the_plan() {
    assert_eq!(
        one("[Service]\nExecStart=/a\n", "[Service]\nExecStart=/a\n"),
        []
    );
}

#[test]
fn a_changed_command_restarts() {
    assert_eq!(
        one("[Service]\nExecStart=/a\n", "[Service]\nExecStart=/b\n"),
        only(Verb::Restart)
    );
}

#[test]
fn words_about_the_unit_are_ignored() {
    for key in IGNORED {
        let new = format!("[Unit]\n{key}=new\n[Service]\nExecStart=/a\n");
        assert_eq!(one("[Unit]\n[Service]\nExecStart=/a\n", &new), [], "{key}");
    }
}

#[test]
fn a_dependency_is_not_ignored() {
    assert_eq!(
        one(
            "[Service]\nUser=a\n",
            "[Unit]\nAfter=b\n[Service]\nUser=a\n"
        ),
        only(Verb::Restart)
    );
}

#[test]
fn a_reload_trigger_reloads_and_its_removal_does_nothing() {
    let (without, with) = (
        "[Service]\nUser=a\n",
        "[Unit]\nX-Reload-Triggers=/x\n[Service]\nUser=a\n",
    );
    assert_eq!(one(without, with), only(Verb::Reload));
    assert_eq!(one(with, without), []);
}

#[test]
fn a_new_reload_command_reloads_and_a_lost_one_does_nothing() {
    let (without, with) = ("[Service]\nUser=a\n", "[Service]\nUser=a\nExecReload=/r\n");
    assert_eq!(one(without, with), only(Verb::Reload));
    assert_eq!(one(with, without), []);
}

#[test]
fn a_reload_beside_a_restart_is_a_restart() {
    let old = "[Unit]\nX-Reload-Triggers=/x\n[Service]\nUser=a\n";
    let new = "[Unit]\nX-Reload-Triggers=/y\n[Service]\nUser=b\n";
    assert_eq!(one(old, new), only(Verb::Restart));
}

#[test]
fn the_new_unit_says_what_holds_it_back() {
    let old = "[Service]\nUser=a\n";
    let leave = [
        "[Service]\nUser=b\nX-RestartIfChanged=false\n",
        "[Unit]\nRefuseManualStop=true\n[Service]\nUser=b\n",
        "[Unit]\nX-OnlyManualStart=true\n[Service]\nUser=b\n",
    ];
    for new in leave {
        assert_eq!(one(old, new), only(Verb::Leave), "{new}");
    }
    assert_eq!(
        one(old, "[Service]\nUser=b\nX-ReloadIfChanged=true\n"),
        only(Verb::Reload)
    );
}

#[test]
fn a_removed_unit_stops_unless_it_says_otherwise() {
    let new = UnitTree::default();
    let old = UnitTree::default().with("a.service", "[Service]\nUser=a\n");
    assert_eq!(
        planned(&old, &new, &[service("a.service")]),
        only(Verb::Stop)
    );
    let kept = UnitTree::default().with("a.service", "[Unit]\nX-StopOnRemoval=false\n");
    assert_eq!(
        planned(&kept, &new, &[service("a.service")]),
        only(Verb::Leave)
    );
}

#[test]
fn a_masked_unit_stops() {
    let old = UnitTree::default().with("a.service", "[Service]\nUser=a\n");
    let new = UnitTree::default().with_mask("a.service");
    let changes = plan(&old, &new, &[service("a.service")]);
    assert_eq!(changes[0].reason, "masked");
    assert_eq!(changes[0].action, Verb::Stop);
}

#[test]
fn a_service_behind_a_socket_stops_and_the_socket_restarts() {
    let socket = "[Socket]\nListenStream=/run/a\n";
    let old = UnitTree::default()
        .with("a.service", "[Service]\nUser=a\n")
        .with("a.socket", socket);
    let new = UnitTree::default()
        .with("a.service", "[Service]\nUser=b\n")
        .with("a.socket", socket);
    let running = [service("a.service"), service("a.socket")];
    assert_eq!(
        planned(&old, &new, &running),
        [
            (Verb::Stop, "a.service".to_owned()),
            (Verb::Restart, "a.socket".to_owned())
        ]
    );
    let opted_out = UnitTree::default()
        .with(
            "a.service",
            "[Service]\nUser=b\nX-NotSocketActivated=true\n",
        )
        .with("a.socket", socket);
    assert_eq!(
        planned(&old, &opted_out, &running),
        [
            (Verb::Restart, "a.service".to_owned()),
            (Verb::Restart, "a.socket".to_owned())
        ]
    );
}

#[test]
fn slices_paths_and_sockets_are_not_touched() {
    for unit in ["a.slice", "a.path", "a.socket"] {
        let old = UnitTree::default().with(unit, "[Unit]\nAfter=a\n");
        let new = UnitTree::default().with(unit, "[Unit]\nAfter=b\n");
        assert_eq!(planned(&old, &new, &[service(unit)]), [], "{unit}");
    }
}

#[test]
fn mounts_restart_but_root_and_the_store_only_reload() {
    for (unit, verb) in [
        ("data.mount", Verb::Restart),
        ("-.mount", Verb::Reload),
        ("nix.mount", Verb::Reload),
    ] {
        let old = UnitTree::default().with(unit, "[Mount]\nWhat=/dev/a\nOptions=ro\n");
        let new = UnitTree::default().with(unit, "[Mount]\nWhat=/dev/b\nOptions=ro\n");
        assert_eq!(
            planned(&old, &new, &[service(unit)]),
            [(verb, unit.to_owned())]
        );
    }
    let old = UnitTree::default().with("data.mount", "[Mount]\nWhat=/dev/a\nOptions=ro\n");
    let new = UnitTree::default().with("data.mount", "[Mount]\nWhat=/dev/a\nOptions=rw\n");
    assert_eq!(
        planned(&old, &new, &[service("data.mount")]),
        [(Verb::Reload, "data.mount".to_owned())]
    );
}

#[test]
fn an_instance_follows_its_template_and_its_own_drop_ins() {
    let running = [service("w@1.service")];
    let old = UnitTree::default().with("w@.service", "[Service]\nUser=a\n");
    let new = UnitTree::default().with("w@.service", "[Service]\nUser=b\n");
    assert_eq!(
        planned(&old, &new, &running),
        [(Verb::Restart, "w@1.service".to_owned())]
    );
    let dropped = old
        .clone()
        .with("w@1.service.d/o.conf", "[Service]\nGroup=a\n");
    assert_eq!(
        planned(&old, &dropped, &running),
        [(Verb::Restart, "w@1.service".to_owned())]
    );
    // An instance that was there through its drop-ins and has lost them is gone, though the template is not.
    assert_eq!(
        planned(&dropped, &old, &running),
        [(Verb::Stop, "w@1.service".to_owned())]
    );
}

#[test]
fn only_units_of_etc_systemd_system_are_looked_at() {
    let old = UnitTree::default().with("a.service", "[Service]\nUser=a\n");
    let generated = Running {
        name: "a.service",
        active: true,
        managed: false,
    };
    assert_eq!(planned(&old, &UnitTree::default(), &[generated]), []);
}

#[test]
fn what_an_active_target_newly_wants_starts() {
    let old = UnitTree::default().with("multi-user.target", "[Unit]\n");
    let new = old
        .clone()
        .with("b.service", "[Service]\nUser=b\n")
        .with("c.service", "[Service]\nUser=c\n")
        .with("d.service", "[Service]\nUser=d\n")
        .with("multi-user.target.wants/b.service", "")
        .with("multi-user.target.wants/own.target", "")
        .with("own.target", "[Unit]\nWants=c.service\n");
    let starts = planned(&old, &new, &[service("multi-user.target")]);
    assert_eq!(
        starts,
        [
            (Verb::Start, "b.service".to_owned()),
            (Verb::Start, "c.service".to_owned())
        ]
    );
}

#[test]
fn the_plan_is_in_the_order_of_the_work() {
    let old = UnitTree::default()
        .with("a.service", "[Service]\nUser=a\n")
        .with("z.service", "[Service]\nUser=a\n");
    let new = UnitTree::default().with("a.service", "[Service]\nUser=b\n");
    let verbs: Vec<_> = planned(&old, &new, &[service("a.service"), service("z.service")]);
    assert_eq!(
        verbs,
        [
            (Verb::Stop, "z.service".to_owned()),
            (Verb::Restart, "a.service".to_owned())
        ]
    );
}
