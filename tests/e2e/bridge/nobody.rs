//! A bridge as it was installed: it runs, and nobody is logged in to Slack.

use ops_tests::{Kind, Lab, Ran, skip, tool};
use serde_json::Value;

/// `ops-bridge ARGUMENTS --host HOST`.
fn bridge(host: &str, arguments: &str) -> Ran {
    tool("ops-bridge")
        .args(arguments.split(' '))
        .args(["--host", host])
        .run()
}

fn find<'a>(records: &'a [Value], check: &str) -> &'a Value {
    let found = records.iter().find(|record| record["check"] == check);
    found.unwrap_or_else(|| panic!("no {check} in {records:#?}"))
}

#[test]
fn every_verb_of_the_runbook_says_what_is_so() {
    let Some(lab) = Lab::get() else {
        return skip("bridge");
    };
    let host = lab.host("bridge-new", Kind::Platform);
    host.wait_for_log("mautrix-slack", "No user logins found");

    let status = bridge("bridge-new", "status --json").expect(1);
    let records = status.json();
    let connection = find(&records, "bridge.connection_status");
    assert_eq!(
        (
            connection["status"].as_str(),
            connection["message"].as_str()
        ),
        (Some("fail"), Some("nobody is logged in to Slack"))
    );
    let sources = connection["data"]["sources"].as_object().expect("sources");
    assert!(
        sources.len() == 6 && sources.values().all(|source| source == "ok"),
        "{sources:?}"
    );
    let failing: Vec<_> = records
        .iter()
        .filter(|record| record["status"] != "ok")
        .collect();
    assert_eq!(failing.len(), 1, "only that is wrong: {failing:#?}");
    assert!(
        find(&records, "bridge.unit")["data"]["version"]
            .as_str()
            .is_some_and(|version| version.starts_with("v26.07"))
    );

    let socket = bridge("bridge-new", "socket --json").expect(1).json();
    assert_eq!(socket[0]["data"]["verdict"], "nobody-logged-in");
    let log = bridge("bridge-new", "log -n 20 --json").expect(0).json();
    assert_eq!(log.len(), 20);
    assert!(
        log.iter()
            .any(|line| line["message"] == "No user logins found" && line["level"] == "info")
    );
    assert_eq!(bridge("bridge-new", "portals").expect(0).out(), "");
    assert_eq!(bridge("bridge-new", "logins").expect(0).out(), "");
    assert_eq!(bridge("bridge-new", "errors").expect(0).out(), "");

    let doctor = bridge("bridge-new", "doctor --json").expect(0).json();
    assert_eq!(
        find(&doctor, "bridge.from_homeserver")["status"],
        "ok",
        "{doctor:#?}"
    );
    assert_eq!(
        find(&doctor, "bridge.to_homeserver")["status"],
        "ok",
        "{doctor:#?}"
    );
    let warned: Vec<_> = doctor
        .iter()
        .filter(|record| record["status"] != "ok")
        .map(|record| record["check"].as_str())
        .collect();
    assert_eq!(warned, [Some("bridge.auto_reconnect")], "{doctor:#?}");

    host.install_tools();
    let here = host
        .tool("ops-bridge")
        .args(["status", "--json"])
        .run()
        .expect(1)
        .json();
    let same = |records: &[Value]| {
        records
            .iter()
            .map(|record| (record["check"].clone(), record["status"].clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(same(&here), same(&records), "on the host itself");
}
