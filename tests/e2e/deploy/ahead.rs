//! What is told before a byte is copied, and other ways to a system: plan, traps, secrets, the question, builds on the host.

use ops_tests::{Lab, Tool, skip, tool};

use crate::bed::{After, Bed, System, host};

/// Adds to a system's activation what calls the installer of secrets with this manifest.
fn with_manifest(system: System, sops_file: &str, mode: &str) -> System {
    let manifest = format!(
        "{{\"secrets\":[{{\"name\":\"token\",\"key\":\"token\",\"sopsFile\":\"%s/etc/secrets.yaml\",\"format\":\"yaml\",\"mode\":\"{mode}\"}}],\"secretsMountPoint\":\"/run/secrets.d\",\"symlinkPath\":\"/run/secrets\"}}"
    );
    system.file("secrets.yaml", sops_file).extra(&format!(
        "printf '{manifest}' \"$out\" >$out/etc/manifest.json\necho \"true /x/bin/sops-install-secrets $out/etc/manifest.json\" >>$out/activate\n"
    ))
}

#[test]
fn a_plan_tells_the_traps_of_the_way() {
    let Some(_lab) = Lab::get() else {
        return skip("lab");
    };
    let bed = Bed::new();
    let keys = "etc/ssh/authorized_keys.d/root";
    let keys = keys.strip_prefix("etc/").unwrap_or_default();
    let postgresql = |version: &str, data: &str| {
        format!(
            "[Service]\nEnvironment=PGDATA={data}\nExecStart=/nix/store/x-postgresql-{version}/bin/postgres\n"
        )
    };
    let old = System::new("1")
        .unit("sshd.service", "[Service]\nExecStart=/x\n")
        .file("ssh/sshd_config", "Port 22\n")
        .file(
            keys,
            "ssh-ed25519 AAAA ana@laptop\nssh-ed25519 BBBB ben@laptop\n",
        )
        .unit(
            "postgresql.service",
            &postgresql("16.4", "/var/lib/postgresql/16"),
        )
        .extra("printf '{\"dbus\": \"dbus\"}' >$out/switch-inhibitors");
    let new = System::new("2")
        .unit("sshd.service", "[Service]\nExecStart=/x\n")
        .file("ssh/sshd_config", "Port 2222\n")
        .file(keys, "ssh-ed25519 BBBB ben@laptop\n")
        .unit(
            "postgresql.service",
            &postgresql("17.2", "/var/lib/postgresql/17"),
        )
        .extra("printf '{\"dbus\": \"broker\"}' >$out/switch-inhibitors");
    let (old, new) = (bed.build("plan-1", &old), bed.build("plan-1", &new));
    let plan = bed.ops(&["plan", &old, &new]).run().expect(0).tsv();
    let traps: Vec<_> = plan
        .iter()
        .filter(|line| line[0] == "lint")
        .map(|line| format!("{} {}", line[1], line[2]))
        .collect();
    assert_eq!(
        traps,
        [
            "fail deploy.lint.sshd",
            "warn deploy.lint.sshd",
            "fail deploy.lint.postgresql",
            "fail deploy.lint.state_version",
            "warn deploy.lint.inhibitors",
        ],
        "{plan:?}"
    );
    let same = bed.ops(&["plan", &old, &old]).run().expect(0);
    assert_eq!(same.out(), "", "from a system to itself nothing happens");
}

#[test]
fn secrets_that_the_host_cannot_decrypt_stop_it_before() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let (host, bed) = (host(lab, "secret-1"), Bed::new());
    let old = bed.deployed("secret-1", &System::new("1"));
    let here = |args: &[&str]| -> Tool { tool("ops-secrets").args(args).dir(bed.folder.path()) };
    let own = here(&["recipient", "--host", "secret-1"]).run().expect(0);
    let own = own.tsv()[0][0].clone();
    let other = here(&["keygen", "-o", "other.txt"]).run().expect(0).out();
    bed.write("plain.yaml", "token: hunter2hunter2\n");
    let sealed = |recipient: &str| {
        let sealed = here(&["encrypt", "--age", recipient, "plain.yaml"]).run();
        sealed.expect(0).out()
    };
    let foreign = with_manifest(System::new("2"), &sealed(other.trim()), "0400");
    bed.systems(&[("secret-1", &foreign)]);
    let plan = bed.ops(&["plan", "secret-1"]).run().expect(0);
    let told = plan.tsv();
    assert!(
        told.iter().any(|line| line[..2] == ["lint", "fail"]),
        "{plan}"
    );
    let ran = bed.ops(&["switch", "secret-1"]).run().expect(1);
    assert!(ran.err().contains("cannot decrypt the secrets"), "{ran}");
    assert_eq!(After::of(&host), After::settled(&old), "{ran}");
    assert_eq!(bed.records("secret-1").len(), 1, "nothing was begun");
    // With its own key it goes ahead; a mode that is open to everybody is told.
    let open = with_manifest(System::new("3"), &sealed(&own), "0444");
    let ran = bed.switch("secret-1", &open).expect(0);
    assert!(
        ran.err().contains("deploy.lint.secret_modes 'token'"),
        "{ran}"
    );
    assert!(!ran.err().contains("hunter2"), "{ran}");
}

#[test]
fn the_question_is_asked_on_a_terminal_only() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let (host, bed) = (host(lab, "ask-1"), Bed::new());
    let old = bed.deployed("ask-1", &System::new("1"));
    bed.systems(&[("ask-1", &System::new("2"))]);
    let ask = |args: &[&str]| bed.ops(args).terminal(80, 24).spawn();
    let mut tool = ask(&["switch", "ask-1"]);
    tool.wait_for("deploy to ask-1? [y/N] ");
    tool.type_in("n\n");
    let ran = tool.finish().expect(1);
    assert!(
        ran.out().contains("restart  app.service"),
        "the plan is shown\n{ran}"
    );
    assert!(ran.out().contains("not confirmed"), "{ran}");
    assert_eq!(After::of(&host), After::settled(&old), "{ran}");
    let mut tool = ask(&["switch", "ask-1"]);
    tool.wait_for("[y/N] ");
    tool.type_in("y\n");
    let ran = tool.finish().expect(0);
    assert_ne!(After::of(&host).current, old, "{ran}");
    bed.systems(&[("ask-1", &System::new("3"))]);
    let ran = ask(&["switch", "ask-1", "--yes"]).finish().expect(0);
    assert!(!ran.out().contains("[y/N]"), "{ran}");
}

#[test]
fn builds_plans_and_sudo_on_the_host() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let (host, bed) = (host(lab, "there-1"), Bed::new());
    bed.deployed("there-1", &System::new("1"));
    // Built there: what can be seen only there is in it.
    let new = System::new("2").extra("/bin/cat /etc/hostname >$out/built-on");
    bed.systems(&[("there-1", &new)]);
    let ran = bed
        .ops(&["switch", "there-1", "--build-on", "host"])
        .run()
        .expect(0);
    let path = ran.out().trim().to_owned();
    assert_eq!(After::of(&host), After::settled(&path), "{ran}");
    assert_eq!(host.sh(&format!("cat {path}/built-on")).out(), "there-1\n");
    bed.systems(&[("there-1", &System::new("3").extra("exit 1"))]);
    bed.ops(&["switch", "there-1", "--build-on", "host"])
        .run()
        .expect(65)
        .complains("cannot build");
    // Planned there, by its own dry activation.
    let four = System::new("4").service("more", "exec sleep 1000");
    bed.systems(&[("there-1", &four)]);
    let plan = bed.ops(&["plan", "there-1", "--ask-host"]).run().expect(0);
    let told = plan.tsv();
    for wanted in [
        ["unit", "restart", "app.service"],
        ["unit", "start", "more.service"],
    ] {
        assert!(told.iter().any(|line| line[..3] == wanted), "{plan}");
    }
    assert_eq!(
        After::of(&host),
        After::settled(&path),
        "a plan changes nothing"
    );
    // As somebody who has to become root first.
    let path = bed.build("there-1", &four);
    let as_op = ["switch", "op@there-1", "--store-path", path.as_str()];
    bed.ops(&as_op).run().expect(77).complains("not root");
    let ran = bed.ops(&as_op).args(["--sudo"]).run().expect(0);
    assert_eq!(After::of(&host), After::settled(ran.out().trim()), "{ran}");
}

#[test]
fn one_machine_has_one_name_in_a_run() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let (host, bed) = (host(lab, "twin-1"), Bed::new());
    bed.systems(&[("twin-1", &System::new("1"))]);
    let before = After::of(&host);
    let other = format!("root@{}", host.v4());
    bed.ops(&["build", "twin-1"]).run().expect(0);
    let path = bed.build("twin-1", &System::new("1"));
    bed.ops(&["switch", "twin-1", &other, "--store-path", &path])
        .run()
        .expect(2)
        .complains("are the same machine");
    assert_eq!(After::of(&host), before);
    // JSON records of one step are the input of the next, with the commit in them.
    let built =
        format!("{{\"host\":\"twin-1\",\"path\":\"{path}\",\"commit\":\"abc\",\"dirty\":true}}\n");
    let copied = bed
        .ops(&["copy", "twin-1", "--json"])
        .stdin(built)
        .run()
        .expect(0);
    bed.ops(&["activate", "twin-1"])
        .stdin(copied.stdout)
        .run()
        .expect(0);
    let record = bed.record("twin-1");
    assert_eq!(
        (&record["commit"], &record["dirty"]),
        (&"abc".into(), &true.into()),
        "{record}"
    );
}
