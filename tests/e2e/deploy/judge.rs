//! The verbs that judge: verify, lint and gate.

use ops_tests::{Kind, Lab, Options, skip};

use crate::bed::{Bed, System, host};

#[test]
fn verify_says_what_is_wrong_with_a_host() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let (host, bed) = (host(lab, "judge-1"), Bed::new());
    let settings = "health: ['test $OPS_HOST = judge-1'], units: [app, ghost]";
    let bed = bed.settings(settings);
    bed.systems(&[("judge-1", &System::new("1"))]);
    bed.ops(&["verify", "judge-1"]).run().expect(0);
    host.sh("systemd-run --unit=broken false; systemd-run --wait --unit=broken-2 false; :")
        .expect(0);
    let checks = bed
        .ops(&["verify", "judge-1", "--json"])
        .run()
        .expect(1)
        .json();
    let failed = |name: &str| {
        checks.iter().any(|check| {
            check["check"] == "deploy.units"
                && check["subject"] == name
                && check["status"] == "fail"
        })
    };
    assert!(
        failed("broken.service") && failed("broken-2.service"),
        "{checks:?}"
    );
    host.sh("systemctl reset-failed").expect(0);
    bed.ops(&["verify", "judge-1", "--wait", "10s"])
        .run()
        .expect(0);
    let bed = bed.settings("health: ['exit 1']");
    bed.systems(&[("judge-1", &System::new("1"))]);
    let ran = bed
        .ops(&["verify", "judge-1", "--format", "nagios"])
        .run()
        .expect(2);
    assert!(ran.out().starts_with("OPS-DEPLOY CRITICAL"), "{ran}");
}

#[test]
fn verify_counts_a_unit_that_was_stopped() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let (host, bed) = (host(lab, "judge-2"), Bed::new());
    let bed = bed.settings("health_window: 500ms, rollback_after: 12s, health: [], units: [app]");
    bed.deployed("judge-2", &System::new("1"));
    bed.ops(&["verify", "judge-2"]).run().expect(0);
    host.sh("systemctl stop app").expect(0);
    let ran = bed.ops(&["verify", "judge-2"]).run().expect(1);
    assert!(
        ran.tsv()
            .iter()
            .any(|line| line[0] == "fail" && line[3] == "app.service"),
        "{ran}"
    );
}

#[test]
fn lint_finds_the_localhost_of_nginx_and_who_does_not_listen() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = lab.host(
        "lint-1",
        Options::from(Kind::Platform).without("mautrix-slack"),
    );
    let trap = "server { listen 8099; location / { proxy_pass http://localhost:8008; } }\n";
    host.write("/etc/nginx/conf.d/trap.conf", trap);
    let bed = Bed::new();
    bed.systems(&[("lint-1", &System::new("1"))]);
    let ran = bed.ops(&["lint", "lint-1", "--json"]).run().expect(1);
    let found = ran.json();
    let found = found
        .iter()
        .find(|check| check["subject"] == "/etc/nginx/conf.d/trap.conf");
    let found = found.unwrap_or_else(|| panic!("not found\n{ran}"));
    assert_eq!(
        (&found["check"], &found["status"]),
        (&"deploy.lint.localhost".into(), &"fail".into()),
        "{ran}"
    );
    assert!(
        found["fix"]
            .as_str()
            .unwrap_or_default()
            .contains("127.0.0.1:8008"),
        "{ran}"
    );
    // The trap is real: the homeserver answers on one address only.
    host.sh("curl -sf http://127.0.0.1:8008/_matrix/client/versions")
        .expect(0);
    assert_ne!(
        host.sh("curl -sf http://[::1]:8008/_matrix/client/versions")
            .status,
        0
    );
}

#[test]
fn lint_reads_a_system_before_it_is_anywhere() {
    let Some(_lab) = Lab::get() else {
        return skip("lab");
    };
    let bed = Bed::new();
    let clean = bed.build("lint-2", &System::new("1"));
    bed.ops(&["lint", &clean]).run().expect(0);
    let trap = System::new("2")
        .service_with("matrix", "exec sleep 1000", "Environment=RUST_LOG=debug\n")
        .file(
            "nginx.conf",
            "http { upstream a { server localhost:3000; } }",
        )
        .unit(
            "proxy.service",
            "[Service]\nExecStart=/x -c /etc/nginx.conf\n",
        );
    let path = bed.build("lint-2", &trap);
    let ran = bed.ops(&["lint", &path]).run().expect(0);
    assert!(ran.out().contains("debug logging"), "{ran}");
}

#[test]
fn the_gate_lets_pass_only_what_is_known_to_be_well() {
    let bed = Bed::new();
    let record = |status: &str| {
        format!("{{\"check\":\"a.b\",\"status\":\"{status}\",\"at\":\"2026-01-31T12:00:00Z\"}}\n")
    };
    for (input, args, status) in [
        (record("ok") + &record("warn"), vec!["gate"], 0),
        (record("ok") + &record("fail"), vec!["gate"], 1),
        (record("unknown"), vec!["gate"], 1),
        (record("unknown"), vec!["gate", "--allow-unknown"], 0),
        (String::new(), vec!["gate"], 1),
        (record("ok"), vec!["gate", "--expect", "a.b"], 0),
        (record("ok"), vec!["gate", "--expect", "a.b,c.d"], 1),
        (record("ok") + "hello\n", vec!["gate"], 65),
        (String::new(), vec!["gate", "true"], 0),
        (String::new(), vec!["gate", "true", "false"], 1),
        (String::new(), vec!["gate", "exit 7"], 1),
        (String::new(), vec!["gate", "exit 7", "--allow-unknown"], 0),
        (
            String::new(),
            vec!["gate", &format!("printf '{}'", record("fail").trim())],
            1,
        ),
    ] {
        let ran = bed.ops(&args).stdin(input.clone()).run();
        assert_eq!(ran.status, status, "{args:?} with {input}\n{ran}");
    }
}
