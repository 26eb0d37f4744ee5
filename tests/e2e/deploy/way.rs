//! The way of a deployment that goes well, and what it leaves.

use ops_tests::{Lab, command, skip};

use crate::bed::{After, Bed, System, host};

#[test]
fn first_deployment_and_next() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let (host, bed) = (host(lab, "way-1"), Bed::new());
    host.sh("rm /run/current-system /nix/var/nix/profiles/system*")
        .expect(0);
    let first = bed
        .switch("way-1", &System::new("1").first())
        .expect(0)
        .complains("no system yet");
    let one = first.out().trim().to_owned();
    assert_eq!(After::of(&host), After::settled(&one));
    assert_eq!(bed.record("way-1")["outcome"], "deployed");
    let again = bed
        .switch("way-1", &System::new("1").first())
        .expect(0)
        .complains("nothing to do");
    assert_eq!(again.out().trim(), one);
    assert_eq!(
        bed.records("way-1").len(),
        1,
        "nothing to do is no deployment"
    );
    let two = bed.deployed("way-1", &System::new("2"));
    assert_eq!(After::of(&host), After::settled(&two));
    let record = bed.record("way-1");
    assert_eq!(
        (&record["old"], &record["new"]),
        (&one.into(), &two.clone().into())
    );
    assert_eq!(record["units"][0]["action"], "restart", "{record}");
    assert_eq!(
        record["packages"][0]["name"], "nixos-system-way",
        "{record}"
    );
    assert_eq!(bed.worklogs().len(), 2);
    host.reboot();
    assert_eq!(After::of(&host), After::settled(&two));
    bed.ops(&["verify", "way-1", "--json"]).run().expect(0);
}

#[test]
fn three_filters_are_a_switch() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let (host, bed) = (host(lab, "pipe-1"), Bed::new());
    let one = bed.deployed("pipe-1", &System::new("1"));
    bed.systems(&[("pipe-1", &System::new("2"))]);
    let built = bed.ops(&["build", "pipe-1"]).run().expect(0);
    let early = bed
        .ops(&["activate", "pipe-1"])
        .stdin(built.stdout.clone())
        .run()
        .expect(65);
    assert!(early.err().contains("does not have"), "{early}");
    let plan = bed.ops(&["plan", "pipe-1"]).run().expect(0);
    assert!(
        plan.tsv()
            .iter()
            .any(|line| line[..3] == ["unit", "restart", "app.service"]),
        "{plan}"
    );
    assert_eq!(
        After::of(&host),
        After::settled(&one),
        "a plan changes nothing"
    );
    let copied = bed
        .ops(&["copy", "pipe-1"])
        .stdin(built.stdout.clone())
        .run()
        .expect(0);
    assert_eq!(copied.out(), built.out());
    assert_eq!(
        After::of(&host),
        After::settled(&one),
        "a copy activates nothing"
    );
    let active = bed
        .ops(&["activate", "pipe-1"])
        .stdin(copied.stdout)
        .run()
        .expect(0);
    assert_eq!(active.out(), built.out());
    let two = built.out().trim().to_owned();
    assert_eq!(After::of(&host), After::settled(&two));
    let live = bed
        .ops(&["status", "pipe-1", "--json"])
        .run()
        .expect(0)
        .json();
    assert_eq!(
        (&live[0]["path"], &live[0]["state"]),
        (&two.clone().into(), &"running, default".into())
    );
    assert_eq!(
        bed.ops(&["rollback", "pipe-1"])
            .run()
            .expect(0)
            .out()
            .trim(),
        one
    );
    assert_eq!(After::of(&host), After::settled(&one));
    let generations = bed
        .ops(&["status", "pipe-1", "--all"])
        .run()
        .expect(0)
        .tsv();
    assert!(generations.len() >= 3, "{generations:?}");
    bed.ops(&["rollback", "pipe-1", "--to", "999"])
        .run()
        .expect(1)
        .complains("generation 999");
    // Tried only: it runs, but the other boots.
    bed.ops(&["activate", "pipe-1", "--test", "--store-path", &two])
        .run()
        .expect(0);
    let after = After::of(&host);
    assert_eq!(
        (
            after.current,
            after.profile,
            after.boots,
            after.left.as_str()
        ),
        (two, one.clone(), one, "")
    );
}

#[test]
fn an_activation_with_a_reboot() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let (host, bed) = (host(lab, "boot-1"), Bed::new());
    let old = bed.deployed("boot-1", &System::new("1"));
    // What cannot be switched to can be booted.
    let next = System::new("2").extra("echo systemd 999 >$out/init-interface-version");
    bed.switch("boot-1", &next)
        .expect(1)
        .complains("activate --reboot");
    assert_eq!(After::of(&host), After::settled(&old));
    let boots = host.boots();
    let path = bed.build("boot-1", &next);
    bed.ops(&["activate", "boot-1", "--reboot", "--store-path", &path])
        .run()
        .expect(0);
    assert_eq!(After::of(&host), After::settled(&path));
    assert_eq!(host.boots(), boots + 1);
    // One that is sick once it has booted: back to the old one, with another reboot.
    let sick = System::new("3")
        .service("bad", "exit 1")
        .extra("echo systemd 999 >$out/init-interface-version");
    let bad = bed.build("boot-1", &sick);
    bed.ops(&["copy", "boot-1", "--store-path", &bad])
        .run()
        .expect(0);
    let ran = bed
        .ops(&["activate", "boot-1", "--reboot", "--store-path", &bad])
        .run()
        .expect(1)
        .complains("bad.service");
    assert_eq!(After::of(&host), After::settled(&path), "{ran}");
    assert_eq!(host.boots(), boots + 3);
    assert_eq!(bed.record("boot-1")["outcome"], "rolled-back");
}

#[test]
fn the_next_boot_only() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let (host, bed) = (host(lab, "next-1"), Bed::new());
    let old = bed.deployed("next-1", &System::new("1"));
    let running = || {
        let ran = host.sh("systemctl show -P InvocationID app; readlink /etc/static; cat /proc/sys/kernel/random/boot_id");
        ran.expect(0).out()
    };
    let before = running();
    let new = System::new("2").hook("before", "touch /run/tried");
    let path = bed.build("next-1", &new);
    bed.ops(&["copy", "next-1", "--store-path", &path])
        .run()
        .expect(0);
    let activate = ["activate", "next-1", "--boot", "--store-path", &path];
    let ran = bed.ops(&activate).run().expect(0);
    assert_eq!(ran.out().trim(), path);
    assert_eq!(
        After::of(&host),
        After {
            current: old.clone(),
            ..After::settled(&path)
        },
        "{ran}"
    );
    assert_eq!(running(), before, "nothing live has changed\n{ran}");
    host.sh("[ ! -e /run/tried ]").expect(0);
    let record = bed.record("next-1");
    assert_eq!(
        (&record["outcome"], &record["reason"]),
        (
            &"deployed".into(),
            &"the default for booting, not tried".into()
        ),
        "{record}"
    );
    let generations = bed
        .ops(&["status", "next-1", "--all", "--json"])
        .run()
        .expect(0)
        .json();
    let states: Vec<_> = generations
        .iter()
        .map(|live| (live["path"].as_str(), live["state"].as_str()))
        .collect();
    let expected = [
        (Some(path.as_str()), Some("default")),
        (Some(old.as_str()), Some("running")),
    ];
    assert_eq!(states[..2], expected);
    // Once more there is nothing to do; then the boot makes it the one that runs.
    bed.ops(&activate)
        .run()
        .expect(0)
        .complains("nothing to do");
    host.reboot();
    assert_eq!(After::of(&host), After::settled(&path));
}

#[test]
fn all_or_nothing() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let (one, two, bed) = (host(lab, "fleet-1"), host(lab, "fleet-2"), Bed::new());
    bed.systems(&[
        ("fleet-1", &System::new("1")),
        ("fleet-2", &System::new("1")),
    ]);
    let first = bed.ops(&["switch", "@all"]).run().expect(0).tsv();
    let path = |lines: &[Vec<String>], place: usize| lines[place][1].clone();
    assert_eq!(
        (first[0][0].as_str(), first[1][0].as_str()),
        ("fleet-1", "fleet-2")
    );
    let bad = System::new("2").service("bad", "exit 1");
    bed.systems(&[("fleet-1", &System::new("2")), ("fleet-2", &bad)]);
    let ran = bed
        .ops(&["switch", "@all", "--all-or-nothing"])
        .run()
        .expect(1)
        .complains("another host of this run");
    assert_eq!(After::of(&one), After::settled(&path(&first, 0)), "{ran}");
    assert_eq!(After::of(&two), After::settled(&path(&first, 1)), "{ran}");
    let ran = bed.ops(&["switch", "@all"]).run().expect(1);
    assert_eq!(
        ran.tsv().len(),
        1,
        "only the one that is kept is printed\n{ran}"
    );
    assert_eq!(After::of(&one), After::settled(&ran.tsv()[0][1]), "{ran}");
    assert_eq!(After::of(&two), After::settled(&path(&first, 1)), "{ran}");
}

#[test]
fn commits_and_promotion() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let (staging, _production, bed) = (host(lab, "stage-1"), host(lab, "prod-1"), Bed::new());
    let git = |args: &[&str]| {
        command("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@b"])
            .args(args)
            .dir(bed.folder.path())
            .run()
    };
    bed.systems(&[
        ("stage-1", &System::new("1")),
        ("prod-1", &System::new("1")),
    ]);
    git(&["init", "-q"]).expect(0);
    git(&["add", "-A"]).expect(0);
    git(&["commit", "-qm", "one"]).expect(0);
    bed.ops(&["promote", "stage-1", "prod-1"])
        .run()
        .expect(1)
        .complains("no record of a healthy deployment");
    bed.ops(&["switch", "stage-1"]).run().expect(0);
    let commit = git(&["rev-parse", "HEAD"]).expect(0).out();
    assert_eq!(bed.record("stage-1")["commit"], commit.trim());
    assert_eq!(bed.worklogs().len(), 1);
    assert!(
        bed.worklogs()[0].contains(&commit[..8]),
        "{:?}",
        bed.worklogs()
    );
    // The worklog entry does not stand in the way of the next deployment; another change does.
    bed.ops(&["promote", "stage-1", "prod-1", "--soak", "1h"])
        .run()
        .expect(1)
        .complains("not for 3600s");
    // A commit that changes nothing of it is not deployed again, and yet proved.
    bed.write("README", "more words\n");
    git(&["add", "README"]).expect(0);
    git(&["commit", "-qm", "two"]).expect(0);
    bed.ops(&["switch", "stage-1"])
        .run()
        .expect(0)
        .complains("nothing to do");
    assert_eq!(bed.records("stage-1").len(), 1);
    bed.ops(&["promote", "stage-1", "prod-1"])
        .run()
        .expect(0)
        .complains("the same revision and lock");
    let record = bed.record("prod-1");
    let head = git(&["rev-parse", "HEAD"]).expect(0).out();
    assert_eq!(
        (&record["action"], &record["commit"]),
        (&"promote".into(), &head.trim().into())
    );
    let live = bed
        .ops(&["status", "@all", "--json"])
        .run()
        .expect(0)
        .json();
    // Staging was not deployed again, so for it the repository has moved on.
    let drift: Vec<_> = live
        .iter()
        .map(|line| (line["host"].as_str(), line["drift"].as_str()))
        .collect();
    let expected = [
        (Some("prod-1"), Some("same")),
        (Some("stage-1"), Some("differs")),
    ];
    assert_eq!(drift, expected, "{live:?}");
    bed.systems(&[
        ("stage-1", &System::new("2")),
        ("prod-1", &System::new("2")),
    ]);
    bed.ops(&["switch", "stage-1"])
        .run()
        .expect(1)
        .complains("flake.nix");
    let live = bed
        .ops(&["switch", "stage-1", "--allow-dirty"])
        .run()
        .expect(0);
    let lines = bed
        .ops(&["status", "stage-1", "--json"])
        .run()
        .expect(0)
        .json();
    assert_eq!(
        (&lines[0]["dirty"], &lines[0]["drift"], &lines[0]["commit"]),
        (&true.into(), &"differs".into(), &head.trim().into()),
        "{lines:?}"
    );
    assert_eq!(
        staging.sh("readlink -e /run/current-system").out(),
        live.out()
    );
}

#[test]
fn what_was_only_booted_is_not_promoted() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let (staging, _production, bed) = (host(lab, "stage-2"), host(lab, "prod-2"), Bed::new());
    let commit = |version: &str| {
        let system = System::new(version);
        bed.systems(&[("stage-2", &system), ("prod-2", &system)]);
        let git =
            "git init -q && git add -A && git -c user.name=a -c user.email=a@b commit -qm more";
        let git = command("sh").args(["-c", git]).dir(bed.folder.path());
        git.run().expect(0);
    };
    commit("1");
    bed.ops(&["switch", "stage-2"]).run().expect(0);
    commit("2");
    let built = bed.ops(&["build", "stage-2", "--json"]).run().expect(0);
    bed.ops(&["copy", "stage-2"])
        .stdin(built.out())
        .run()
        .expect(0);
    bed.ops(&["activate", "stage-2", "--boot"])
        .stdin(built.out())
        .run()
        .expect(0);
    staging.reboot();
    let promote = ["promote", "stage-2", "prod-2"];
    bed.ops(&promote)
        .run()
        .expect(1)
        .complains("never tried: ops-deploy rollback stage-2, then ops-deploy switch stage-2");
    let record = bed.record("stage-2");
    assert_eq!(record["way"], "boot", "{record}");
    // What it says to do is what helps.
    bed.ops(&["rollback", "stage-2"]).run().expect(0);
    bed.ops(&["switch", "stage-2"]).run().expect(0);
    let ran = bed.ops(&promote).run().expect(0);
    assert_eq!(bed.record("prod-2")["new"], ran.out().trim(), "{ran}");
}

#[test]
fn slices_and_automounts_that_go_are_in_the_plan() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let (host, bed) = (host(lab, "kinds-1"), Bed::new());
    let wanted = "[Install]\nWantedBy=multi-user.target\n";
    let units = [
        ("more.slice", format!("[Slice]\nTasksMax=100\n{wanted}")),
        (
            "mnt.automount",
            format!("[Automount]\nWhere=/mnt\n{wanted}"),
        ),
        (
            "mnt.mount",
            "[Mount]\nWhat=none\nWhere=/mnt\nType=tmpfs\n".to_owned(),
        ),
    ];
    let with = units.iter().fold(System::new("1"), |system, (name, text)| {
        system.unit(name, text)
    });
    bed.deployed("kinds-1", &with);
    // A host of the lab lacks the door to the kernel's automounts until it is given one.
    host.sh("mknod /dev/autofs c 10 235; systemctl daemon-reexec; systemctl start mnt.automount")
        .expect(0);
    for unit in ["more.slice", "mnt.automount"] {
        let ran = host.sh(&format!("systemctl status {unit}"));
        assert_eq!(ran.status, 0, "{ran}");
    }
    bed.systems(&[("kinds-1", &System::new("1"))]);
    let plan = bed.ops(&["plan", "kinds-1"]).run().expect(0);
    for unit in ["more.slice", "mnt.automount"] {
        let told = |line: &Vec<String>| line[1] == "stop" && line[2] == unit;
        assert!(plan.tsv().iter().any(told), "{unit}\n{plan}");
    }
    bed.ops(&["switch", "kinds-1"]).run().expect(0);
    host.sh("systemctl is-active more.slice mnt.automount")
        .expect(3);
}

#[test]
fn what_cannot_be_built_is_bad_input() {
    let Some(_lab) = Lab::get() else {
        return skip("lab");
    };
    let bed = Bed::new();
    bed.systems(&[("build-1", &System::new("1").extra("exit 1"))]);
    bed.ops(&["build", "build-1"])
        .run()
        .expect(65)
        .complains("cannot build");
    bed.write(
        "flake.nix",
        "{ outputs = _: { nixosConfigurations = throw \"no\"; }; }",
    );
    bed.ops(&["build", "build-1"])
        .run()
        .expect(65)
        .complains("no");
}
