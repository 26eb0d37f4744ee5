//! The network and the power are cut, at each step.

use ops_tests::relay::{Link, Relay};
use ops_tests::{Lab, LabHost, Ran, skip};

use crate::bed::{After, Bed, System, host, long_run};

/// Cuts a host off the network, or joins it again.
pub(crate) fn network(host: &LabHost, state: &str) {
    ops_tests::command("ip")
        .args(["-n", host.name(), "link", "set", "host0", state])
        .run()
        .expect(0);
}

#[test]
fn the_network_is_cut() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = host(lab, "cut-1");
    let bed = Bed::new().settings("health_window: 500ms, rollback_after: 5s, health: []");
    let old = bed.deployed("cut-1", &System::new("1"));
    let reached =
        "timeout 30 sh -c 'until [ -e /run/reached ]; do sleep 0.02; done'; rm -f /run/reached";
    let gone = "timeout 30 sh -c 'while systemctl is-active -q ops-deploy-revert.timer ops-deploy-revert.service; do sleep 0.1; done'";
    // For so long that the host gives up: it is back on its old system before the tool can reach it again.
    bed.systems(&[(
        "cut-1",
        &System::new("2").hook("settled", "touch /run/reached"),
    )]);
    let running = bed.ops(&["switch", "cut-1"]).spawn();
    host.sh(reached).expect(0);
    network(&host, "down");
    host.sh(gone).expect(0);
    network(&host, "up");
    let ran = running.finish().expect(1);
    assert_eq!(After::of(&host), After::settled(&old), "{ran}");
    assert_eq!(bed.record("cut-1")["outcome"], "rolled-back", "{ran}");
    // For a moment: nothing is lost.
    bed.set("health_window: 500ms, rollback_after: 60s, health: []");
    let new = System::new("3").hook(
        "settled",
        "touch /run/reached; until [ -e /run/joined ]; do sleep 0.02; done",
    );
    bed.systems(&[("cut-1", &new)]);
    let running = bed.ops(&["switch", "cut-1"]).spawn();
    host.sh(reached).expect(0);
    network(&host, "down");
    let dialled = ops_tests::command("ssh")
        .args(["-o", "ConnectTimeout=1", "cut-1", "true"])
        .run();
    assert_eq!(dialled.status, 255, "the network is cut\n{dialled}");
    network(&host, "up");
    host.sh("touch /run/joined").expect(0);
    let ran = running.finish().expect(0);
    assert_eq!(After::of(&host), After::settled(ran.out().trim()), "{ran}");
}

#[test]
fn restarts_of_the_host() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = host(lab, "power-1");
    let bed = Bed::new().settings("health_window: 500ms, rollback_after: 30s, health: []");
    let old = bed.deployed("power-1", &System::new("1"));
    let wait = "touch /run/reached; sleep 1000";
    let points = [
        ("in the activation", System::new("2").hook("activate", wait)),
        (
            "before the boot loader",
            System::new("3").hook("boot", wait),
        ),
    ];
    for (point, new) in points {
        for cut in [true, false] {
            // An orderly restart goes the same way as a power cut.
            if !cut && !long_run() {
                continue;
            }
            bed.systems(&[("power-1", &new)]);
            let running = bed.ops(&["switch", "power-1"]).spawn();
            host.sh("timeout 30 sh -c 'until [ -e /run/reached ]; do sleep 0.02; done'")
                .expect(0);
            if cut {
                host.kill();
                host.start();
            } else {
                host.reboot();
            }
            let ran = running.finish();
            let after = After::of(&host);
            assert_eq!(
                (
                    after.current.as_str(),
                    after.boots.as_str(),
                    after.left.as_str()
                ),
                (old.as_str(), old.as_str(), ""),
                "{point}\n{ran}"
            );
            let outcome = bed.record("power-1")["outcome"].clone();
            assert!(
                ran.status == 1 && outcome == "rolled-back",
                "{point}: {outcome}\n{ran}"
            );
            assert_eq!(after.profile, old, "{point}\n{ran}");
        }
    }
}

/// Power cuts before the lock is taken, while the old system is put back, and when nobody is left to clean up.
#[test]
fn power_cuts_at_other_steps() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let (host, bed) = (host(lab, "power-2"), Bed::new());
    let settings = "health_window: 500ms, rollback_after: 20s";
    bed.set(&format!("{settings}, health: []"));
    let old = bed.deployed("power-2", &System::new("1"));
    // In the baseline: a health command, here the cut itself, runs before the lock is taken.
    let here = bed.folder.path().display().to_string();
    let wait = format!("touch {here}/reached; until [ -e {here}/go ]; do sleep 0.02; done");
    bed.set(&format!("{settings}, health: ['{wait}']"));
    bed.systems(&[("power-2", &System::new("2"))]);
    let running = bed.ops(&["switch", "power-2"]).spawn();
    let reached = format!("until [ -e {here}/reached ]; do sleep 0.02; done");
    ops_tests::command("timeout")
        .args(["60", "sh", "-c", &reached])
        .run()
        .expect(0);
    host.kill();
    host.start();
    bed.write("go", "");
    let ran = running.finish();
    bed.set(&format!("{settings}, health: []"));
    assert_old_or_new(&bed, &host, &ran, &old);
    // In the copy: whatever of it has arrived, nothing runs.
    let old = After::of(&host).current;
    let relay = Relay::before(&host, "power-link", Link::new());
    let new = System::new("3").extra("/usr/bin/head -c 3000000 /dev/urandom >$out/blob");
    bed.systems(&[("power-link", &new)]);
    let running = bed.ops(&["switch", "power-link"]).spawn();
    relay.wait_until(|count| count.to_host > 500_000);
    host.kill();
    host.start();
    let ran = running.finish();
    assert_old_or_new(&bed, &host, &ran, &old);
    drop(relay);
    // While the old one is put back: the boot has done it.
    let old = After::of(&host).current;
    bed.systems(&[("power-2", &System::new("4").service("bad", "exit 1"))]);
    let running = bed.ops(&["switch", "power-2"]).spawn();
    host.sh(
        "timeout 60 sh -c 'until systemctl is-active -q ops-deploy-rollback; do sleep 0.01; done'",
    )
    .expect(0);
    host.kill();
    host.start();
    let ran = running.finish().expect(1);
    assert_eq!(After::of(&host), After::settled(&old), "{ran}");
    assert_eq!(bed.record("power-2")["outcome"], "rolled-back", "{ran}");
}

/// The tool was there to the end, so it knows: the host has the old system, or the new one and a record of that.
fn assert_old_or_new(bed: &Bed, host: &LabHost, ran: &Ran, old: &str) {
    let after = After::of(host);
    let runs = if ran.status == 0 {
        ran.out().trim().to_owned()
    } else {
        old.to_owned()
    };
    assert_eq!(after, After::settled(&runs), "{ran}");
    let outcome = bed.record("power-2")["outcome"].clone();
    let deployed = bed.record("power-2")["new"] == runs.as_str() && outcome == "deployed";
    assert!(deployed || ran.status != 0, "{outcome}\n{ran}");
}

/// The host loses power between profile and boot loader, either way, and the one who deploys dies: the next run makes both
/// what the host runs.
#[test]
fn the_next_run_repairs_what_host_and_tool_died_of() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let (host, bed) = (host(lab, "power-3"), Bed::new());
    bed.set("health_window: 500ms, rollback_after: 60s, health: []");
    let wait = "touch /run/reached; until [ -e /run/go ]; do sleep 0.02; done";
    let old = bed.deployed("power-3", &System::new("1"));
    let new = System::new("2").hook("boot", wait);
    bed.systems(&[("power-3", &new)]);
    let running = bed.ops(&["switch", "power-3"]).spawn();
    host.sh("timeout 60 sh -c 'until [ -e /run/reached ]; do sleep 0.02; done'")
        .expect(0);
    running.signal(rustix::process::Signal::KILL);
    host.kill();
    host.start();
    assert_eq!(running.finish().signal, Some(9));
    let torn = After::of(&host);
    assert!(
        torn.current == old && torn.boots == old && torn.profile != old,
        "the fault has struck: {torn:?}"
    );
    assert_eq!(bed.record("power-3")["outcome"], "unfinished");
    let ran = bed
        .ops(&["switch", "power-3", "--store-path", &old])
        .run()
        .expect(0)
        .complains("cleaning up after a deployment")
        .complains("nothing to do");
    assert_eq!(After::of(&host), After::settled(&old), "{ran}");
    let record = bed.record("power-3");
    assert_eq!(record["outcome"], "interrupted", "{record}");
    let reason = record["reason"].as_str().unwrap_or_default();
    assert!(reason.ends_with("the old system runs"), "{record}");
}
