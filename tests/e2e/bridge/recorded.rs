//! Journals recorded from the runs of these tests with the real bridge: what they tell is known, and needs no bridge to be read.
//!
//! `OPS_TEST_RECORD=1` with a run in the lab writes them anew, from mautrix-slack v0.2607.0, cut down to the fields that are
//! looked at. Names, tokens and texts in them are made up.

use std::fs;
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::bed::{Bed, is_clean};

/// What of a journal's line is kept.
const FIELDS: [&str; 7] = [
    "MESSAGE",
    "__REALTIME_TIMESTAMP",
    "__CURSOR",
    "PRIORITY",
    "_COMM",
    "_BOOT_ID",
    "_SYSTEMD_INVOCATION_ID",
];

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("e2e/bridge/recorded/{name}.json"))
}

/// Writes a journal down, if that is asked for.
#[expect(
    clippy::disallowed_methods,
    reason = "a switch for those who record anew"
)]
pub(crate) fn keep(name: &str, journal: &[u8]) {
    if std::env::var_os("OPS_TEST_RECORD").is_none() {
        return;
    }
    let mut kept = String::new();
    for line in String::from_utf8_lossy(journal).lines() {
        let line: Map<String, Value> = serde_json::from_str(line).expect("a line of journalctl");
        let line: Map<_, _> = FIELDS
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), line.get(*name)?.clone())))
            .collect();
        kept.push_str(&Value::Object(line).to_string());
        kept.push('\n');
    }
    fs::create_dir_all(path(name).parent().expect("a folder")).expect("a folder to write to");
    fs::write(path(name), kept).expect("a file to write to");
}

fn read(verb: &str, name: &str) -> Vec<Value> {
    let ran = Bed::read(
        &format!("{verb} --json {}", path(name).display()),
        Vec::new(),
    );
    assert!(is_clean(&ran), "{verb} {name}");
    ran.json()
}

fn find<'a>(records: &'a [Value], check: &str, subject: &str) -> &'a Value {
    let found = records
        .iter()
        .find(|record| record["check"] == check && record["subject"] == subject);
    found.unwrap_or_else(|| panic!("no {check} {subject} in {records:#?}"))
}

#[test]
fn messages_and_losses_of_a_recorded_run() {
    let health = read("health", "flow");
    assert_eq!(
        find(&health, "bridge.messages_lost", "matrix->slack")["value"],
        5.0
    );
    assert_eq!(
        find(&health, "bridge.messages_lost", "slack->matrix")["value"],
        0.0
    );
    assert_eq!(
        find(&health, "bridge.edits", "slack->matrix")["data"]["bridged"],
        1
    );
    assert_eq!(
        find(&health, "bridge.reactions", "slack->matrix")["data"]["bridged"],
        1
    );
    assert_eq!(
        find(&health, "bridge.connection_status", "T1-U1")["data"]["verdict"],
        "connected"
    );
    let latency = read("latency", "flow");
    assert_eq!(
        find(&latency, "bridge.latency", "matrix->slack p50")["data"]["count"],
        2
    );
    assert_eq!(read("errors", "flow").len(), 5);
}

#[test]
fn episodes_of_a_recorded_connection() {
    let socket = read("socket", "connection").remove(0);
    let data = &socket["data"];
    assert!(
        data["refreshes"].as_u64() >= Some(1) && data["losses"] == 2,
        "{data:#?}"
    );
    let reasons: Vec<_> = data["episodes"]
        .as_array()
        .expect("episodes")
        .iter()
        .filter(|episode| episode["kind"] == "loss")
        .map(|episode| episode["reason"].clone())
        .collect();
    assert_eq!(
        reasons,
        [
            "slack-socketmode-error: invalid_auth",
            "slack-socketmode-connection-error"
        ]
    );
    assert!(data["episodes"].as_array().is_some_and(|episodes| {
        episodes
            .iter()
            .all(|episode| episode["length_s"].as_f64() < Some(30.0))
    }));
}

#[test]
fn starts_and_neighbours_of_a_recorded_run() {
    let health = read("health", "neighbours");
    assert_eq!(
        find(&health, "bridge.messages_lost", "matrix->slack")["value"],
        1.0
    );
    assert_eq!(
        find(&health, "bridge.messages_lost", "slack->matrix")["value"],
        1.0
    );
    let errors = read("errors", "neighbours");
    assert!(
        errors
            .iter()
            .any(|group| group["message"] == "Failed to fetch team info" && group["count"] == 1),
        "{errors:#?}"
    );
    let uptime = read("uptime", "neighbours").remove(0);
    let causes: Vec<_> = uptime["data"]["outages"]
        .as_array()
        .expect("outages")
        .iter()
        .map(|outage| outage["cause"].as_str().unwrap_or_default())
        .collect();
    assert!(
        causes
            .iter()
            .any(|cause| cause.starts_with("slack-unknown-fetch-error"))
            && causes.contains(&"stopped"),
        "{causes:?}"
    );
}

/// The same journal over and over again: 80 MB of it, in an address space of 64 MB more than the program itself needs.
#[test]
fn a_long_journal_is_read_in_constant_memory() {
    let once = fs::read(path("flow")).expect("the recorded journal");
    let many = once.repeat(80_000_000 / once.len());
    let limited = ops_tests::tool("ops-bridge")
        .args(["health", "--json", "-"])
        .stdin(many)
        .through(r#"ulimit -v 131072; exec "$@""#)
        .run();
    let records = limited.json();
    assert!(
        find(&records, "bridge.messages_lost", "matrix->slack")["value"].as_f64() >= Some(5.0),
        "{}",
        limited.err()
    );
}
