//! Our own process dies, at each step, or is interrupted.

use std::time::Duration;

use ops_tests::relay::{Fault, Link, Relay, Toward};
use ops_tests::{Lab, command, skip};
use rustix::process::Signal;

use crate::bed::{After, Bed, System, host, long_run};

const QUICK: &str = "health_window: 500ms, rollback_after: 4s, health: []";

#[test]
fn the_timer_puts_back_what_a_killed_process_leaves() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = host(lab, "killed-1");
    let bed = Bed::new().settings(QUICK);
    let old = bed.deployed("killed-1", &System::new("1"));
    // Each system stops at a point of the way that can be seen from outside; there the tool is killed.
    let wait = "touch /run/reached; sleep 1000";
    let points = [
        ("in the activation", System::new("2").hook("activate", wait)),
        (
            "after the activation",
            System::new("3").hook("settled", "touch /run/reached"),
        ),
        ("at the boot loader", System::new("4").hook("boot", wait)),
        (
            "while putting back",
            System::new("5").service("bad", "exit 1"),
        ),
    ];
    for (point, new) in points {
        if point == "after the activation" && !long_run() {
            continue;
        }
        host.sh("rm -f /run/reached").expect(0);
        bed.systems(&[("killed-1", &new)]);
        let running = bed
            .ops(&["switch", "killed-1"])
            .timeout(Duration::from_mins(1))
            .spawn();
        let reached = match point {
            "while putting back" => {
                "until systemctl is-active -q ops-deploy-rollback.service; do sleep 0.02; done"
            }
            _ => "until [ -e /run/reached ]; do sleep 0.02; done",
        };
        host.sh(&format!("timeout 30 sh -c '{reached}'")).expect(0);
        running.signal(Signal::KILL);
        assert_eq!(running.finish().signal, Some(9), "{point}");
        host.sh("timeout 30 sh -c 'while systemctl is-active -q ops-deploy-lock.service; do sleep 0.1; done'").expect(0);
        assert_eq!(After::of(&host), After::settled(&old), "{point}");
        let record = bed.record("killed-1");
        assert_eq!(record["outcome"], "rolled-back", "{point}: {record}");
        assert!(
            record["reason"]
                .as_str()
                .unwrap_or_default()
                .contains("deploying process was lost"),
            "{point}: {record}"
        );
    }
    // And the next run finds nothing in its way.
    let next = bed.deployed("killed-1", &System::new("6"));
    assert_eq!(After::of(&host), After::settled(&next));
}

#[test]
fn an_interrupt_puts_back_at_once() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = host(lab, "interrupted-1");
    let bed = Bed::new().settings("health_window: 30s, rollback_after: 60s, health: []");
    let old = bed.deployed_quickly("interrupted-1", &System::new("1"));
    let wait = "touch /run/reached; sleep 1000";
    for new in [
        System::new("2").hook("activate", wait),
        System::new("3").hook("settled", "touch /run/reached"),
    ] {
        host.sh("rm -f /run/reached").expect(0);
        bed.systems(&[("interrupted-1", &new)]);
        let running = bed.ops(&["switch", "interrupted-1"]).spawn();
        host.sh("timeout 30 sh -c 'until [ -e /run/reached ]; do sleep 0.02; done'")
            .expect(0);
        running.signal(Signal::INT);
        let ran = running.finish();
        assert_eq!(ran.signal, Some(2), "{ran}");
        assert_eq!(After::of(&host), After::settled(&old), "{ran}");
        let record = bed.record("interrupted-1");
        assert_eq!(
            (&record["outcome"], &record["reason"]),
            (&"rolled-back".into(), &"interrupted by a signal".into()),
            "{ran}"
        );
    }
}

/// Before the lock is taken a death leaves nothing, and stands in nobody's way.
#[test]
fn a_death_before_the_lock_leaves_nothing() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let (host, bed) = (host(lab, "killed-2"), Bed::new().settings(QUICK));
    let old = bed.deployed("killed-2", &System::new("1"));
    let here = bed.folder.path().display().to_string();
    let wait =
        format!("/usr/bin/touch {here}/reached; until [ -e {here}/go ]; do /bin/sleep 0.02; done");
    for point in ["in the build", "in the baseline", "in the copy"] {
        let link = match point {
            "in the copy" => Link::new().fault(Toward::Host, 100_000, Fault::Hang),
            _ => Link::new(),
        };
        let relay = Relay::before(&host, "killed-link", link);
        let mut new = System::new(point.rsplit(' ').next().unwrap_or_default());
        match point {
            "in the build" => new = new.extra(&wait),
            "in the baseline" => bed.set(&format!(
                "health_window: 500ms, rollback_after: 4s, health: ['{wait}']"
            )),
            _ => new = new.extra("/usr/bin/head -c 1000000 /dev/urandom >$out/blob"),
        }
        bed.systems(&[("killed-link", &new)]);
        let running = bed.ops(&["switch", "killed-link"]).spawn();
        if point == "in the copy" {
            relay.wait_fault();
        } else {
            command("timeout")
                .args([
                    "60",
                    "sh",
                    "-c",
                    &format!("until [ -e {here}/reached ]; do sleep 0.02; done"),
                ])
                .run()
                .expect(0);
        }
        running.signal(Signal::KILL);
        assert_eq!(running.finish().signal, Some(9), "{point}");
        // What it had started may end now: nobody waits for it.
        bed.write("go", "");
        bed.set(QUICK);
        drop(relay);
        assert_eq!(After::of(&host), After::settled(&old), "{point}");
        assert_eq!(bed.records("killed-2").len(), 1, "{point}");
        for file in ["go", "reached"] {
            std::fs::remove_file(bed.folder.path().join(file)).ok();
        }
    }
    let next = bed.deployed("killed-2", &System::new("9"));
    assert_eq!(After::of(&host), After::settled(&next));
}
