//! The fault matrix. Each row is a deployment that meets a fault; afterwards the host must run the system that it ran before,
//! boot it, have neither lock nor timer, and its record must say what happened.

use std::time::Duration;

use ops_tests::{Lab, LabHost, skip};

use crate::bed::{After, Bed, System, host};

const QUICK: &str = "health_window: 500ms, rollback_after: 4s, health: []";

/// A deployment that must fail.
struct Row {
    /// What is wrong, for messages.
    fault: &'static str,
    /// The system that is deployed.
    new: System,
    /// The `deploy` section.
    settings: &'static str,
    /// The status of the tool.
    status: i32,
    /// What it must say on stderr.
    says: &'static str,
    /// What its record must have as outcome and in its reason.
    outcome: &'static str,
    /// Part of the reason.
    reason: &'static str,
    /// Whether it is for the long run: another row goes the same way through the tool.
    long: bool,
}

impl Row {
    fn rolled_back(fault: &'static str, new: System, reason: &'static str) -> Self {
        Self {
            fault,
            new,
            settings: QUICK,
            status: 1,
            says: "is not kept",
            outcome: "rolled-back",
            reason,
            long: false,
        }
    }

    fn settings(mut self, settings: &'static str) -> Self {
        self.settings = settings;
        self
    }

    fn long(mut self) -> Self {
        self.long = true;
        self
    }

    fn refused(mut self) -> Self {
        self.outcome = "refused";
        self.says = "activate --reboot";
        self
    }
}

/// Whether all rows are to be run.
#[expect(
    clippy::disallowed_methods,
    reason = "a test has no other way to be told"
)]
fn long_run() -> bool {
    std::env::var_os("OPS_TEST_LONG").is_some()
}

fn check(rows: Vec<Row>, name: &str, good: &System) {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = host(lab, name);
    let bed = Bed::new().settings(QUICK);
    let old = bed.deployed(name, good);
    let all = rows.len();
    let long_run = long_run();
    let rows: Vec<_> = rows
        .into_iter()
        .filter(|row| long_run || !row.long)
        .collect();
    let count = rows.len();
    #[expect(clippy::print_stdout, reason = "a matrix says how much of it was run")]
    {
        println!("{name}: {count} of {all} rows");
    }
    for row in rows {
        fails(&bed, &host, &old, row);
    }
    assert_eq!(
        bed.records(name).len(),
        count + 1,
        "one record for each deployment"
    );
    assert_eq!(
        bed.worklogs().len(),
        count + 1,
        "one worklog entry for each deployment"
    );
}

fn fails(bed: &Bed, host: &LabHost, old: &str, row: Row) {
    let Row {
        fault,
        new,
        settings,
        status,
        says,
        outcome,
        reason,
        ..
    } = row;
    let generation = host.sh("readlink /nix/var/nix/profiles/system").out();
    bed.set(settings);
    let ran = bed.switch(host.name(), &new);
    assert_eq!(
        ran.status,
        status,
        "{fault}\n{ran}\n{}",
        bed.record(host.name())
    );
    assert!(ran.err().contains(says), "{fault}: {says}\n{ran}");
    assert_eq!(
        ran.out(),
        "",
        "{fault}: no path of a system that is not there\n{ran}"
    );
    assert_eq!(After::of(host), After::settled(old), "{fault}\n{ran}");
    assert_eq!(
        host.sh("readlink /nix/var/nix/profiles/system").out(),
        generation,
        "{fault}: the same generation"
    );
    let record = bed.record(host.name());
    assert_eq!(record["outcome"], outcome, "{fault}\n{record}");
    let told = record["reason"].as_str().unwrap_or_default();
    assert!(
        told.contains(reason),
        "{fault}: reason {told:?} lacks {reason:?}\n{ran}"
    );
    assert_eq!(
        host.sh("systemctl is-active app").out(),
        "active\n",
        "{fault}: the old service runs"
    );
}

/// Shell text for the build of a system whose pre-switch check is this code.
fn pre_switch_check(code: &str) -> String {
    format!(
        "printf '#!/bin/sh\\n%s\\n' '{code}' >$out/pre-switch-check; /bin/chmod 755 $out/pre-switch-check\n"
    )
}

#[test]
fn activation_that_fails() {
    let new = || System::new("2");
    let rows = vec![
        Row::rolled_back(
            "pre-switch check says no",
            new().extra(&pre_switch_check("exit 1")),
            "status 1",
        )
        .long(),
        Row::rolled_back(
            "inhibitors",
            new().extra(&pre_switch_check("echo inhibitors: dbus; exit 1")),
            "reboot needed",
        )
        .refused(),
        Row::rolled_back(
            "init interface",
            new().extra("echo systemd 999 >$out/init-interface-version"),
            "status 100",
        )
        .refused(),
        Row::rolled_back(
            "activation script fails",
            new().hook("activate", "exit 1"),
            "status 2",
        ),
        Row::rolled_back(
            "some other status",
            new().hook("settled", "return 37"),
            "status 37",
        )
        .long(),
        Row::rolled_back("a panic", new().hook("settled", "return 101"), "status 101").long(),
        Row::rolled_back("killed", new().hook("settled", "kill -9 $$"), "signal 9"),
        Row::rolled_back(
            "it says that it is killed",
            new().hook("settled", "return 137"),
            "status 137",
        )
        .long(),
        Row::rolled_back(
            "it takes too long",
            new().hook("activate", "sleep 1000"),
            "armed time",
        ),
        Row::rolled_back(
            "the boot loader fails",
            new().hook("boot", "return 1"),
            "boot loader",
        ),
        Row::rolled_back(
            "no program",
            new().extra("/bin/rm $out/bin/switch-to-configuration"),
            "status 203",
        ),
        Row::rolled_back(
            "another switch-to-configuration",
            new().hook("before", "return 11"),
            "status 11",
        )
        .long()
        .refused(),
    ];
    check(rows, "activation-1", &System::new("1"));
}

#[test]
fn units_that_fail() {
    let new = || System::new("2");
    let rows = vec![
        Row::rolled_back("fails at once", new().service("bad", "exit 3"), "bad.service: failed (exit-code, status 3)"),
        Row::rolled_back("cannot start", new().service_with("bad", "exit 1", "Type=oneshot\n"), "bad.service").long(),
        Row::rolled_back("fails after a while", new().service("bad", "sleep 0.3; exit 1"), "bad.service").long(),
        Row::rolled_back("flaps", new().service_with("bad", "sleep 0.2; exit 1", "Restart=always\nRestartSec=0.1\n"), "bad.service"),
        Row::rolled_back("flaps with success", new().service_with("bad", "sleep 0.2", "Restart=always\nRestartSec=0.1\n"), "bad.service").long()
            .settings("health_window: 2s, rollback_after: 6s, health: []"),
        Row::rolled_back("its own service breaks", new().service("app", "exit 1"), "app.service").long(),
        Row::rolled_back("stops listening", new().service("web", "exec sleep 1000"), "web.service: no longer listens")
            .settings("health_window: 500ms, rollback_after: 4s, health: [], units: [web]"),
        Row::rolled_back(
            "health command fails",
            new(),
            "status 1",
        )
        .settings("health_window: 500ms, rollback_after: 4s, health: ['ssh units-1 readlink /run/current-system | grep -q -- -1$']"),
        Row::rolled_back("health command hangs", new(), "did not end within")
            .settings("health_window: 500ms, rollback_after: 6s, health: ['ssh units-1 readlink /run/current-system | grep -q -- -1$ || sleep 1000']"),
    ];
    let web = "exec python3 -m http.server --bind 127.0.0.1 8100";
    let good = System::new("1")
        .service("web", web)
        .hook("settled", "until nc -z 127.0.0.1 8100; do sleep 0.02; done");
    check(rows, "units-1", &good);
}

#[test]
fn logins_that_break() {
    let new = || System::new("2");
    // The old system starts sshd when it is put back, as the units of a real one would.
    let rows = vec![
        Row::rolled_back(
            "sshd is stopped",
            new().hook("activate", "systemctl stop ssh.socket ssh"),
            "a new login does not work",
        ),
        Row::rolled_back(
            "sshd is stopped and every connection cut",
            new().hook(
                "activate",
                "systemctl stop ssh.socket ssh; pkill -9 sshd; :",
            ),
            "",
        ),
    ];
    check(
        rows,
        "logins-1",
        &System::new("1").hook("activate", "systemctl start ssh"),
    );
}

#[test]
fn what_was_broken_before_is_nobodys_fault() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let (host, bed) = (host(lab, "before-1"), Bed::new());
    let sick = |version: &str| {
        System::new(version).service("dead", "exit 1").service_with(
            "flaps",
            "sleep 0.1; exit 1",
            "Restart=always\nRestartSec=0.1\nStartLimitIntervalSec=0\n",
        )
    };
    // Without an old system there is nothing to compare with, and nothing to put back.
    host.sh("rm /run/current-system /nix/var/nix/profiles/system*")
        .expect(0);
    let ran = bed.switch("before-1", &sick("1").first()).expect(3);
    assert!(ran.err().contains("no old system to put back"), "{ran}");
    let two = bed.deployed("before-1", &sick("2"));
    let record = bed.record("before-1");
    assert_eq!(
        (&record["outcome"], &record["new"]),
        (&"deployed".into(), &two.into()),
        "{record}"
    );
    assert_eq!(
        record["activation"], 4,
        "units were failed, and that was not new"
    );
}

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
        (
            "in the activation",
            System::new("2").hook("activate", wait),
            QUICK,
        ),
        (
            "in the window",
            System::new("3").hook("settled", "touch /run/reached"),
            "health_window: 60s, rollback_after: 0s, health: []",
        ),
        (
            "at the boot loader",
            System::new("4").hook("boot", wait),
            QUICK,
        ),
        (
            "while putting back",
            System::new("5").service("bad", "exit 1"),
            QUICK,
        ),
    ];
    for (point, new, settings) in points {
        host.sh("rm -f /run/reached").expect(0);
        let _ = settings;
        bed.set(QUICK);
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
        running.signal(rustix::process::Signal::KILL);
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
        running.signal(rustix::process::Signal::INT);
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

/// Cuts a host off the network, or joins it again.
fn network(host: &LabHost, state: &str) {
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
    assert_eq!(
        host.sh("systemctl list-units --all --plain --no-legend 'ops-deploy-*'")
            .out(),
        ""
    );
}

#[test]
fn a_system_deployed_again_keeps_its_generation() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = host(lab, "again-1");
    let bed =
        Bed::new().settings("health_window: 500ms, rollback_after: 10s, health: [], units: [app]");
    bed.deployed("again-1", &System::new("1"));
    let two = System::new("2").hook("activate", "[ ! -e /etc/fail ]");
    let path = bed.deployed("again-1", &two);
    let generation = host
        .sh("readlink /nix/var/nix/profiles/system")
        .expect(0)
        .out();
    // It is current but not well, so it is deployed again, and this time its activation fails.
    host.sh("touch /etc/fail; systemctl kill --signal=KILL app")
        .expect(0);
    bed.switch("again-1", &two).expect(1).complains("status 2");
    assert_eq!(After::of(&host), After::settled(&path));
    assert_eq!(
        host.sh("readlink /nix/var/nix/profiles/system").out(),
        generation,
        "deploy-rs goes one too far here"
    );
    assert_eq!(
        host.sh("ls -d /nix/var/nix/profiles/system-*-link | wc -l")
            .out(),
        "3\n",
        "its own and the first one"
    );
}

#[test]
fn a_full_disk() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = lab.host(
        "full-1",
        ops_tests::Options::from(ops_tests::Kind::Plain).disk("48M"),
    );
    let bed = Bed::new();
    let old = bed.deployed("full-1", &System::new("1"));
    host.sh("dd if=/dev/zero of=/fill bs=64k status=none; sync; :")
        .expect(0);
    let ran = bed.switch("full-1", &System::new("2"));
    assert!([74, 69].contains(&ran.status), "{ran}");
    assert!(
        ran.err().contains("No space left") || ran.err().contains("space"),
        "{ran}"
    );
    assert_eq!(After::of(&host), After::settled(&old), "{ran}");
    host.sh("rm /fill").expect(0);
    bed.deployed("full-1", &System::new("3"));
}
