//! The fault matrix. Each row is a deployment that meets a fault; afterwards the host must run the system that it ran before,
//! boot it, have neither lock nor timer, and its record must say what happened.

use ops_tests::{Lab, LabHost, skip};

use crate::bed::{After, Bed, System, host, long_run};

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
            "could not start the activation",
        ),
        Row::rolled_back(
            "a program that cannot be run",
            new().extra("echo \"#!/no/such/shell\" >$out/bin/switch-to-configuration"),
            "status 203",
        )
        .long(),
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
