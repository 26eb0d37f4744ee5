//! What `doctor` finds in a set-up that is good, and in the same with one thing spoilt after the other.

use ops_tests::{Kind, Lab, skip, tool};
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

/// The statuses and files of the check of the files.
fn files(records: &[Value]) -> Vec<[&str; 2]> {
    let found = records
        .iter()
        .filter(|record| record["check"] == "bridge.permissions");
    found
        .map(|record| ["status", "subject"].map(|name| record[name].as_str().unwrap_or_default()))
        .collect()
}

#[test]
fn files_that_everybody_may_read_are_told() {
    let Some(lab) = Lab::get() else {
        return skip("bridge");
    };
    let host = lab.host("bridge-files", Kind::Platform);
    let (config, registration) = (
        "/var/lib/mautrix-slack/config.yaml",
        "/var/lib/mautrix-slack/registration.yaml",
    );
    for (change, wanted) in [
        ("chmod o= /var/lib/mautrix-slack/*.yaml", ["ok", "ok"]),
        (
            "cd /var/lib/mautrix-slack && chmod o-x . && chmod o+r *.yaml",
            ["ok", "ok"],
        ),
        ("chmod o+x /var/lib/mautrix-slack", ["warn", "warn"]),
        (
            "chmod o+w /var/lib/mautrix-slack/registration.yaml",
            ["warn", "fail"],
        ),
        (
            "chmod o= /var/lib/mautrix-slack/config.yaml",
            ["ok", "fail"],
        ),
    ] {
        host.sh(change).expect(0);
        let doctor = tool("ops-bridge")
            .args(["doctor", "--json", "--host", host.name()])
            .run()
            .json();
        let [of_config, of_registration] = wanted;
        assert_eq!(
            files(&doctor),
            [[of_config, config], [of_registration, registration]],
            "{change}"
        );
    }
}
