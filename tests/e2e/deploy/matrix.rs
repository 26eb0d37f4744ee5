//! The fault matrix. Each row is a deployment that meets a fault; afterwards the host must run the system that it ran before,
//! boot it, have neither lock nor timer, and its record must say what happened.

use ops_tests::{Lab, LabHost, skip};

use crate::bed::{After, Bed, System, host, long_run};
use crate::rows::{self, QUICK, Row};

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
    assert_eq!(ran.status, status, "{fault}\n{ran}");
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

#[test]
fn activation_that_fails() {
    check(rows::activation(), "activation-1", &System::new("1"));
}

#[test]
fn units_that_fail() {
    let web = "exec python3 -m http.server --bind 127.0.0.1 8100";
    let good = System::new("1")
        .service("web", web)
        .hook("settled", "until nc -z 127.0.0.1 8100; do sleep 0.02; done");
    check(rows::units(), "units-1", &good);
}

#[test]
fn logins_that_break() {
    // The old system starts sshd with its own configuration when it is put back, as the units of a real one would.
    check(
        rows::logins(),
        "logins-1",
        &System::new("1").hook("settled", "systemctl restart ssh"),
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
