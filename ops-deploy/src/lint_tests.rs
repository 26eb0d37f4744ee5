//! Each trap, and what looks like one and is none.

use super::localhost::urls;
use super::*;
use crate::listeners::Listener;

const NGINX: &str = "events {}\nhttp {\n  upstream matrix { server localhost:8008; }\n  server { location / { proxy_pass http://localhost:3000; } }\n}\n";

fn told(checks: &[Check]) -> Vec<String> {
    checks
        .iter()
        .map(|check| format!("{} {} {}", check.status.word(), check.check, check.message))
        .collect()
}

fn listener(address: &str, port: u16) -> Listener {
    Listener {
        address: address.parse().unwrap(),
        port,
        unit: String::new(),
    }
}

#[test]
fn localhost_is_judged_by_who_listens() {
    let system = System::default().with_file("/nix/store/x-nginx.conf", NGINX);
    let with = |listeners: Vec<Listener>| {
        let state = State {
            listeners: Some(listeners),
            ..State::default()
        };
        checks(&system, Some(&state), &Settings::default())
            .iter()
            .map(|check| check.status.word())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        with(vec![
            listener("127.0.0.1", 8008),
            listener("127.0.0.1", 3000)
        ]),
        ["fail", "fail"]
    );
    assert_eq!(
        with(vec![listener("::", 8008), listener("::1", 3000)]),
        ["fail"]
    );
    assert_eq!(
        with(vec![listener("::", 8008), listener("::", 3000)]),
        ["ok"]
    );
    assert_eq!(with(vec![listener("::", 8008)]), ["warn"]);
    let unknown = checks(&system, None, &Settings::default());
    assert_eq!(unknown.len(), 2, "{unknown:?}");
    assert!(
        unknown[0]
            .fix
            .as_deref()
            .unwrap()
            .contains("127.0.0.1:3000"),
        "{unknown:?}"
    );
}

#[test]
fn urls_of_registrations_and_databases_are_looked_at_too() {
    let text = "url: http://localhost:29335\n# url: http://localhost:1\nuri: postgres://u:p@localhost/db?sslmode=disable\n";
    assert_eq!(
        urls(text),
        [
            ("localhost".to_owned(), Some(29335)),
            ("localhost".to_owned(), None)
        ]
    );
}

#[test]
fn secrets_are_named_and_never_shown() {
    let secret = "hunter2hunter2";
    let text = format!(
        "as_token: {secret}\npassword = \"/run/secrets/x\"\nhs_token: $TOKEN\n# password: abcdefgh\n"
    );
    let system = System::default()
        .with_file("/nix/store/x-config.yaml", &text)
        .with_file("/etc/own.yaml", &text);
    let found = checks(&system, None, &Settings::default());
    assert_eq!(
        told(&found),
        ["fail deploy.lint.secrets line 1: a secret in the store, where everyone can read it"]
    );
    assert!(!format!("{found:?}").contains(secret));
    for line in [
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "key AGE-SECRET-KEY-1ABC",
        "token: xoxb-1-2",
    ] {
        assert!(secret_kind(line).is_some(), "{line}");
    }
}

#[test]
fn debug_logging_and_slow_starts_are_warnings() {
    let unit = "[Service]\nEnvironment=RUST_LOG=debug\nTimeoutStartSec=10m\nExecStart=/x\n";
    let system = System::default()
        .with_unit("nginx.service", unit)
        .with_unit("other.service", "[Service]\nTimeoutStartSec=10m\n");
    let settings = Settings {
        units: vec!["nginx.service".to_owned()],
        ..Settings::default()
    };
    let found = told(&checks(&system, None, &settings));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].starts_with("warn deploy.lint.logging")
            && found[1].starts_with("warn deploy.lint.start_limit"),
        "{found:?}"
    );
}

#[test]
fn a_system_without_traps_is_ok() {
    assert_eq!(
        checks(&System::default(), None, &Settings::default())[0]
            .status
            .word(),
        "ok"
    );
}

#[test]
fn configuration_is_what_units_and_other_files_mention() {
    let texts = [
        "ExecStart=/nix/store/a-nginx/bin/nginx -c '/nix/store/b-nginx.conf'\nEnvironmentFile=/etc/x.env\n",
    ];
    assert_eq!(mentioned(texts), ["/nix/store/b-nginx.conf", "/etc/x.env"]);
}

#[test]
fn insecure_packages_are_found_by_their_names() {
    let system = |name: &str| System {
        packages: vec![name.to_owned()],
        ..System::default()
    };
    let found = |name| told(&checks(&system(name), None, &Settings::default()));
    assert!(found("olm-3.2.16")[0].starts_with("warn deploy.lint.insecure"));
    assert!(found("polm-3.2.16")[0].starts_with("ok "));
    assert!(found("openssl-3.4.1")[0].starts_with("ok "));
}

#[test]
fn a_full_boot_partition_is_told() {
    let state = State {
        boot_free_bytes: Some(1 << 20),
        ..State::default()
    };
    let found = told(&checks(
        &System::default(),
        Some(&state),
        &Settings::default(),
    ));
    assert_eq!(found, ["warn deploy.lint.boot_space nearly full"]);
}
