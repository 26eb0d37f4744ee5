//! What `doctor` finds in a set-up that is good, and in the same with one thing spoilt after the other.

use ops_tests::{Lab, skip};
use serde_json::Value;

use crate::bed::Bed;
use crate::slack::SCOPES;

/// Status and message of a check.
fn told(bed: &Bed, check: &str) -> (String, String) {
    let records = bed.bridge("doctor --tokens slack.yaml --json").json();
    let found: Vec<&Value> = records
        .iter()
        .filter(|record| record["check"] == check)
        .collect();
    assert_eq!(found.len(), 1, "{check}: {records:#?}");
    ["status", "message"]
        .map(|name| found[0][name].as_str().unwrap_or_default().to_owned())
        .into()
}

#[test]
fn scopes_that_slack_tells_are_compared_with_those_needed() {
    let Some(lab) = Lab::get() else {
        return skip("bridge");
    };
    let bed = Bed::make(lab, "bridge-doctor");
    assert_eq!(told(&bed, "bridge.scopes").0, "ok");
    bed.slack.grant(&SCOPES.replace(",files:write", ""));
    assert_eq!(
        told(&bed, "bridge.scopes"),
        ("warn".to_owned(), "missing: files:write".to_owned())
    );
    bed.slack.grant(&SCOPES.replace("chat:write,", ""));
    assert_eq!(
        told(&bed, "bridge.scopes"),
        ("fail".to_owned(), "missing: chat:write".to_owned())
    );
}
