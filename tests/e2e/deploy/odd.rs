//! Hosts that are not as one would wish: logs that are torn, disks that take nothing, doors that are narrow, passwords, caches.

use ops_tests::relay::{Link, Relay};
use ops_tests::{Lab, LabHost, command, skip};
use serde_json::Value;

use crate::bed::{After, Bed, System, host};

const FOLDER: &str = "/var/lib/ops-deploy";

#[test]
fn a_log_that_a_power_cut_has_torn() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let (host, bed) = (host(lab, "torn-1"), Bed::new());
    bed.deployed("torn-1", &System::new("1"));
    let torn = r#"{"id":"d7","host":"torn-1","action":"swi"#;
    host.sh_with(
        &format!(
            "printf '\\0\\377garbage\\n[1]\\n' >>{FOLDER}/log.jsonl; cat >>{FOLDER}/log.jsonl"
        ),
        torn.as_bytes(),
    )
    .expect(0);
    // Beside the torn line there is a deployment that nobody has finished: it is not lost with it.
    host.sh(&format!(
        "head -n 1 {FOLDER}/log.jsonl | sed 's/\"outcome\":\"deployed\",\"reason\":\"[^\"]*\"/\"outcome\":\"unfinished\",\"reason\":\"\"/; s/\"id\":\"/&x/' >{FOLDER}/pending.json"
    ))
    .expect(0);
    let ran = bed.ops(&["log", "torn-1", "--json"]).run().expect(0);
    let outcomes: Vec<_> = ran
        .json()
        .iter()
        .map(|record| record["outcome"].clone())
        .collect();
    assert_eq!(outcomes, ["unfinished", "deployed"], "{ran}");
    assert!(ran.err().contains("3 lines of the log"), "{ran}");
    let two = bed.deployed("torn-1", &System::new("2"));
    assert_eq!(After::of(&host), After::settled(&two));
    let outcomes: Vec<_> = bed
        .records("torn-1")
        .iter()
        .map(|record| record["outcome"].clone())
        .collect();
    assert_eq!(outcomes, ["deployed", "interrupted", "deployed"]);
    assert_eq!(bed.record("torn-1")["new"], two);
}

/// Nothing that cannot be written down is begun; what can no longer be written down is said.
#[test]
fn records_that_cannot_be_written() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let (host, bed) = (host(lab, "dumb-1"), Bed::new());
    let old = bed.deployed("dumb-1", &System::new("1"));
    let over = "umount /var/lib/ops-deploy";
    for mount in [
        "mount -t tmpfs -o ro tmpfs /var/lib/ops-deploy",
        "mount -t tmpfs -o size=4k tmpfs /var/lib/ops-deploy; echo x >/var/lib/ops-deploy/fill",
    ] {
        host.sh(mount).expect(0);
        let ran = bed.switch("dumb-1", &System::new("2"));
        assert_eq!(ran.status, 74, "{mount}\n{ran}");
        assert!(ran.err().contains("dumb-1"), "{ran}");
        assert_eq!(After::of(&host), After::settled(&old), "{mount}\n{ran}");
        host.sh(over).expect(0);
    }
    let full = System::new("3").hook(
        "settled",
        "mount -t tmpfs -o size=4k tmpfs /mnt; cp /var/lib/ops-deploy/pending.json /mnt; mount --bind /mnt /var/lib/ops-deploy; dd if=/dev/zero of=/var/lib/ops-deploy/fill bs=1k status=none; :",
    );
    let ran = bed.switch("dumb-1", &full);
    host.sh(over).expect(0);
    let after = After::of(&host);
    assert_eq!(
        (&after.current, &after.boots),
        (&after.profile, &after.profile),
        "{ran}"
    );
    assert!(
        !after.left.contains("ops-deploy-"),
        "neither lock nor timer: {after:?}\n{ran}"
    );
    assert!(
        ran.err().contains("could not be written") || ran.status != 0,
        "{ran}"
    );
    let three = bed.deployed("dumb-1", &System::new("4"));
    assert_eq!(After::of(&host), After::settled(&three));
}

#[test]
fn a_worklog_that_cannot_be_written() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let (host, bed) = (host(lab, "mute-1"), Bed::new());
    bed.write("docs/worklogs", "no folder\n");
    bed.systems(&[("mute-1", &System::new("1"))]);
    let ran = bed
        .ops(&["switch", "mute-1"])
        .run()
        .expect(0)
        .complains("no worklog entry")
        .complains("docs/worklogs");
    assert_eq!(After::of(&host), After::settled(ran.out().trim()));
    assert_eq!(bed.record("mute-1")["outcome"], "deployed");
}

/// sshd may let few sessions into a connection, and few logins be under way: so many are enough.
#[test]
fn a_door_that_is_narrow() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let (host, bed) = (host(lab, "narrow-1"), Bed::new());
    let settings = "MaxSessions 4\nMaxStartups 3:100:3\n";
    host.write("/etc/ssh/sshd_config.d/10-narrow.conf", settings);
    host.sh("systemctl restart ssh").expect(0);
    let paths = ["1", "2"].map(|version| bed.deployed("narrow-1", &System::new(version)));
    assert_eq!(After::of(&host), After::settled(&paths[1]));
    let bad = System::new("3").service("bad", "exit 1");
    bed.switch("narrow-1", &bad)
        .expect(1)
        .complains("bad.service");
    assert_eq!(After::of(&host), After::settled(&paths[1]));
}

#[test]
fn a_password_for_a_whole_deployment() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let (host, bed) = (host(lab, "asked-1"), Bed::new());
    bed.systems(&[("asked-1", &System::new("1"))]);
    bed.write("pw", "made-up\n");
    let args = ["switch", "asker@asked-1", "--sudo", "--yes", "--store-path"];
    let path = bed.build("asked-1", &System::new("1"));
    bed.ops(&args).args([&path]).run().expect(77);
    let mut tool = bed.ops(&args).args([&path]).terminal(200, 50).spawn();
    tool.wait_for("password");
    tool.type_in("made-up\n");
    let ran = tool.finish().expect(0);
    assert_eq!(ran.out().matches("assword").count(), 1, "asked once\n{ran}");
    assert!(!ran.out().contains("made-up"), "{ran}");
    assert_eq!(After::of(&host), After::settled(&path), "{ran}");
    // From a descriptor, and back from a system that is not well.
    let bad = bed.build("asked-1", &System::new("2").service("bad", "exit 1"));
    let ran = bed
        .ops(&[
            "switch",
            "asker@asked-1",
            "--sudo",
            "--sudo-password-fd",
            "3",
            "--store-path",
            &bad,
        ])
        .through(&format!(
            "exec \"$@\" 3<{}",
            bed.folder.path().join("pw").display()
        ))
        .run()
        .expect(1)
        .complains("bad.service");
    assert_eq!(After::of(&host), After::settled(&path), "{ran}");
}

/// A binary cache on the host's side of a line: what it has does not go over the line.
#[test]
fn what_a_binary_cache_has_is_not_sent() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let (host, bed) = (host(lab, "cache-1"), Bed::new());
    bed.deployed("cache-1", &System::new("1"));
    let blob = "/usr/bin/head -c 3000000 /dev/urandom >$out/blob";
    let two = bed.build("cache-1", &System::new("2").extra(blob));
    let cache = format!(
        "file://{}/srv/cache?compression=none",
        host.path("/").display()
    );
    command("nix")
        .args([
            "--extra-experimental-features",
            "nix-command",
            "copy",
            "--to",
            &cache,
            &two,
        ])
        .run()
        .expect(0);
    host.sh("systemd-run --quiet --unit=cache python3 -m http.server --directory /srv/cache --bind 127.0.0.1 8111").expect(0);
    host.sh("until nc -z 127.0.0.1 8111; do sleep 0.02; done")
        .expect(0);
    host.sh("printf 'substituters = http://127.0.0.1:8111\\nrequire-sigs = false\\n' >>/etc/nix/nix.conf").expect(0);
    let relay = Relay::before(&host, "cache-link", Link::new());
    let args = ["switch", "cache-link", "--store-path", &two, "--substitute"];
    let ran = bed.ops(&args).run().expect(0);
    assert_eq!(After::of(&host), After::settled(&two), "{ran}");
    assert!(
        relay.count().to_host < 1_000_000,
        "{:?}\n{ran}",
        relay.count()
    );
    host.wait_for_log("cache", "GET /nar/");
    // What the cache does not have is sent, and a cache that is down stands in nobody's way.
    let three = bed.build("cache-1", &System::new("3").extra(blob));
    host.sh("systemctl stop cache").expect(0);
    let args = [
        "switch",
        "cache-link",
        "--store-path",
        &three,
        "--substitute",
    ];
    let ran = bed.ops(&args).run().expect(0);
    assert_eq!(After::of(&host), After::settled(&three), "{ran}");
    assert!(
        relay.count().to_host > 3_000_000,
        "{:?}\n{ran}",
        relay.count()
    );
}

#[test]
fn steps_that_are_handed_all_kinds_of_lines() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let (one, two, bed) = (host(lab, "hand-1"), host(lab, "hand-2"), Bed::new());
    let system = System::new("1");
    bed.systems(&[("hand-1", &system), ("hand-2", &system)]);
    let built = bed.ops(&["build", "hand-1", "hand-2"]).run().expect(0);
    let paths: Vec<_> = built.tsv().iter().map(|line| line[1].clone()).collect();
    let json = |host: &str, path: &str| {
        format!(
            "{{\"host\":\"{host}\",\"path\":\"{path}\",\"commit\":\"c\",\"dirty\":false,\"more\":[1]}}"
        )
    };
    let mixed = format!(
        "\r\nhand-2\t{}\r\n\n{}\n",
        paths[1],
        json("hand-1", &paths[0])
    );
    let copy = |hosts: &[&str], input: &str| {
        let args = [&["copy"], hosts].concat();
        bed.ops(&args).stdin(input).run()
    };
    let copied = copy(&["hand-1", "hand-2"], &mixed).expect(0);
    assert_eq!(copied.out(), built.out());
    for (hosts, input, told) in [
        (
            vec!["hand-1"],
            String::new(),
            "no line names a system for 'hand-1'",
        ),
        (
            vec!["hand-1", "hand-2"],
            format!("{}\n", paths[0]),
            "no line names a system",
        ),
        (
            vec!["hand-1"],
            format!("hand-1\t{}\nhand-1\t{}\n", paths[0], paths[1]),
            "line 2",
        ),
        (vec!["hand-1"], format!("hand-1 {}\n", paths[0]), "line 1"),
        (
            vec!["hand-1"],
            "{\"host\":\"hand-1\"\n".to_owned(),
            "line 1",
        ),
        (vec!["hand-1"], "hand-1\t/etc/passwd\n".to_owned(), "line 1"),
    ] {
        copy(&hosts, &input).expect(65).complains(told);
    }
    // A host named twice is one host.
    let twice = copy(&["hand-1", "hand-1"], &format!("{}\n", paths[0])).expect(0);
    assert_eq!(twice.out().trim(), paths[0]);
    // One host is away: the others go on, and the status is that of the one.
    two.unplug();
    let args = ["activate", "hand-1", "hand-2", "--connect-timeout", "2s"];
    let ran = bed.ops(&args).stdin(mixed.as_str()).run().expect(69);
    assert!(ran.err().contains("hand-2"), "{ran}");
    assert_eq!(
        ran.tsv(),
        [["hand-1".to_owned(), paths[0].clone()]],
        "{ran}"
    );
    assert_eq!(After::of(&one), After::settled(&paths[0]), "{ran}");
    let args = [
        "activate",
        "hand-1",
        "hand-2",
        "--all-or-nothing",
        "--connect-timeout",
        "2s",
    ];
    let next = bed.build("hand-1", &System::new("2"));
    bed.ops(&["copy", "hand-1", "--store-path", &next])
        .run()
        .expect(0);
    let input = format!("hand-1\t{next}\nhand-2\t{}\n", paths[1]);
    let ran = bed.ops(&args).stdin(input).run().expect(69);
    assert_eq!(After::of(&one), After::settled(&paths[0]), "{ran}");
    two.plug();
}

#[test]
fn histories_with_holes() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let (host, bed) = (host(lab, "past-1"), Bed::new());
    let paths = ["1", "2", "3"].map(|version| bed.deployed("past-1", &System::new(version)));
    let lines = |host: &LabHost| -> Vec<Value> {
        let args = ["status", host.name(), "--all", "--json"];
        bed.ops(&args).run().expect(0).json()
    };
    let generation = lines(&host)[1]["generation"].clone();
    host.sh(&format!(
        "nix-env -p /nix/var/nix/profiles/system --delete-generations {generation}"
    ))
    .expect(0);
    assert!(
        lines(&host)
            .iter()
            .all(|line| line["path"] != paths[1].as_str())
    );
    bed.ops(&["rollback", "past-1", "--to", &generation.to_string()])
        .run()
        .expect(1)
        .complains(&format!("generation {generation}"));
    let nowhere = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-nixos-system-no";
    bed.ops(&["rollback", "past-1", "--to", nowhere])
        .run()
        .expect(65)
        .complains(nowhere);
    // Many generations, as many as a host has after a year.
    host.sh("cd /nix/var/nix/profiles; for n in $(seq 1000 1400); do ln -s $(readlink system-*-link | tail -n 1) system-$n-link; done").expect(0);
    assert!(lines(&host).len() > 400);
    let ran = bed.ops(&["rollback", "past-1"]).run().expect(0);
    assert_eq!(ran.out().trim(), paths[0], "the one between is gone\n{ran}");
    assert_eq!(After::of(&host), After::settled(&paths[0]));
    // A profile that is a plain path, without generations; a system that does not say its version.
    host.sh("rm /nix/var/nix/profiles/system*; ln -s $(readlink -e /run/current-system) /nix/var/nix/profiles/system").expect(0);
    let live = lines(&host);
    assert_eq!(live.len(), 1, "{live:?}");
    assert_eq!(
        (&live[0]["generation"], &live[0]["state"]),
        (&Value::Null, &"running, default".into())
    );
    bed.ops(&["rollback", "past-1"])
        .run()
        .expect(1)
        .complains("older generation");
    let bare = System::new("4").extra("/bin/rm $out/nixos-version");
    let bad = System::new("5").service("bad", "exit 1");
    bed.switch("past-1", &bad).expect(1);
    let profile = || host.sh("readlink /nix/var/nix/profiles/system").out();
    assert_eq!(
        After::of(&host),
        After::settled(&paths[0]),
        "profile {}",
        profile()
    );
    let four = bed.deployed("past-1", &bare);
    assert_eq!(After::of(&host), After::settled(&four));
}
