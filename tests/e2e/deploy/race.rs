//! Two that want the same host at the same time: two people, and the timer against the one who deploys.

use ops_tests::{Lab, skip};
use rustix::process::Signal;

use crate::bed::{After, Bed, System, host, long_run};

#[test]
fn others_at_the_same_time() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = host(lab, "lock-1");
    let bed = Bed::new();
    let old = bed.deployed("lock-1", &System::new("1"));
    host.sh("systemd-run --quiet --collect --unit=ops-deploy-lock --description='ops-deploy d7 ana@laptop' sleep 1000").expect(0);
    bed.switch("lock-1", &System::new("2"))
        .expect(75)
        .complains("ana@laptop deploys to it (deployment d7)");
    host.sh("systemctl stop ops-deploy-lock").expect(0);
    assert_eq!(After::of(&host), After::settled(&old));
    // A health command runs between the first look and the lock: here it changes the host in between.
    let bed = bed.settings("health_window: 500ms, rollback_after: 10s, health: ['ssh lock-1 ln -sfn /nix/store /run/current-system']");
    bed.switch("lock-1", &System::new("2"))
        .expect(75)
        .complains("has changed since it was looked at");
    host.sh("ln -sfn $(readlink -e /nix/var/nix/profiles/system) /run/current-system")
        .expect(0);
    assert_eq!(After::of(&host), After::settled(&old));
    assert_eq!(bed.record("lock-1")["outcome"], "refused");
    assert_eq!(
        host.sh("systemctl list-units --all --plain --no-legend 'ops-deploy-*'")
            .out(),
        ""
    );
}

const SHORT: &str = "health_window: 300ms, rollback_after: 8s, health: []";

/// Waits on the host until a line of shell is true.
fn until(host: &ops_tests::LabHost, condition: &str) {
    host.sh(&format!(
        "timeout 60 sh -c 'until {condition}; do sleep 0.02; done'"
    ))
    .expect(0);
}

/// No lock, no timer, and nobody putting back.
const OVER: &str =
    "! systemctl is-active -q ops-deploy-lock ops-deploy-revert.timer ops-deploy-revert";

#[test]
fn the_timer_is_faster_than_the_commit() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let (host, bed) = (host(lab, "race-1"), Bed::new().settings(SHORT));
    let old = bed.deployed("race-1", &System::new("1"));
    // Somebody holds what keeps the two apart, so that both wait for it; then the armed time is over.
    let new = System::new("2").hook(
        "settled",
        "systemd-run --quiet --unit=holder flock /var/lib/ops-deploy sh -c \"touch /run/held; until [ -e /run/go ]; do sleep 0.02; done\"; until [ -e /run/held ]; do sleep 0.02; done",
    );
    bed.systems(&[("race-1", &new)]);
    let tool = bed.ops(&["switch", "race-1"]).spawn();
    until(&host, "pgrep -f \"start .* ops-deploy-[c]ommit\"");
    until(&host, "systemctl is-active -q ops-deploy-revert");
    host.sh("touch /run/go").expect(0);
    let ran = tool.finish().expect(1);
    until(&host, OVER);
    assert_eq!(After::of(&host), After::settled(&old), "{ran}");
    assert_eq!(bed.records("race-1").len(), 2, "{ran}");
    assert_eq!(bed.record("race-1")["outcome"], "rolled-back", "{ran}");
}

#[test]
fn the_timer_ends_what_was_committed_while_we_slept() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let (host, bed) = (host(lab, "race-2"), Bed::new().settings(SHORT));
    bed.deployed("race-2", &System::new("1"));
    let new = System::new("2").hook(
        "boot",
        "touch /run/reached; until [ -e /run/go ]; do sleep 0.02; done",
    );
    bed.systems(&[("race-2", &new)]);
    let tool = bed.ops(&["switch", "race-2"]).spawn();
    until(&host, "[ -e /run/reached ]");
    tool.signal(Signal::STOP);
    host.sh("touch /run/go").expect(0);
    until(&host, OVER);
    let told = bed.record("race-2")["reason"].clone();
    assert!(
        told.as_str().unwrap_or_default().contains("was lost"),
        "{told}"
    );
    tool.signal(Signal::CONT);
    let ran = tool.finish().expect(0);
    assert_eq!(After::of(&host), After::settled(ran.out().trim()), "{ran}");
    let records = bed.records("race-2");
    assert_eq!(records.len(), 2, "{ran}");
    assert_eq!(
        records[0]["reason"], "healthy, and the default for booting",
        "the one who deployed knows more than the timer\n{ran}"
    );
}

#[test]
fn who_slept_too_long_changes_nothing_of_the_next() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let (host, bed) = (host(lab, "race-3"), Bed::new().settings(SHORT));
    bed.deployed("race-3", &System::new("1"));
    let places = [("settled", "2"), ("boot", "4")];
    for (place, version) in &places[..if long_run() { 2 } else { 1 }] {
        let wait = "touch /run/reached; until [ -e /run/go ]; do sleep 0.02; done";
        bed.systems(&[("race-3", &System::new(version).hook(place, wait))]);
        let tool = bed.ops(&["switch", "race-3"]).spawn();
        until(&host, "[ -e /run/reached ]");
        tool.signal(Signal::STOP);
        until(&host, OVER);
        host.sh("rm /run/reached").expect(0);
        let next = bed.deployed("race-3", &System::new(&format!("{version}-next")));
        tool.signal(Signal::CONT);
        let ran = tool.finish().expect(3);
        assert_eq!(After::of(&host), After::settled(&next), "{place}\n{ran}");
        assert_eq!(bed.record("race-3")["new"], next, "{place}\n{ran}");
    }
}
