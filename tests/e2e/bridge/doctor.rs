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

/// The statuses, files and words of the check of the registration.
fn registrations(host: &str) -> Vec<[String; 3]> {
    let doctor = tool("ops-bridge")
        .args(["doctor", "--json", "--host", host])
        .run();
    assert!(!doctor.out().contains(TOKEN), "a token is shown: {doctor}");
    let records = doctor.json();
    let found = records
        .iter()
        .filter(|record| record["check"] == "bridge.registration");
    found
        .map(|record| {
            ["status", "subject", "message"]
                .map(|name| record[name].as_str().unwrap_or_default().to_owned())
        })
        .collect()
}

/// What the tokens are spoilt with.
const TOKEN: &str = "spoilt-by-hand-0123456789";

#[test]
fn a_registration_that_differs_from_the_configuration_is_told() {
    let Some(lab) = Lab::get() else {
        return skip("bridge");
    };
    let host = lab.host("bridge-registered", Kind::Platform);
    host.wait_for_log("mautrix-slack", "Bridge started");
    let own = "/var/lib/mautrix-slack/registration.yaml";
    let given = "/etc/matrix/slack.yaml";
    let good = registrations(host.name());
    let told = |found: &[[String; 3]]| -> Vec<(String, String)> {
        found
            .iter()
            .map(|[status, path, _]| (status.clone(), path.clone()))
            .collect()
    };
    let as_said = |statuses: [&str; 2]| {
        [own, given]
            .iter()
            .zip(statuses)
            .map(|(path, status)| (status.to_owned(), (*path).to_owned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&good), as_said(["ok", "ok"]), "{good:?}");
    for (change, statuses, words) in [
        (
            format!("sed -i 's/^as_token: .*/as_token: {TOKEN}/' {own}"),
            ["fail", "ok"],
            "its as_token is not that of the configuration",
        ),
        (
            format!("sed -i 's/^hs_token: .*/hs_token: {TOKEN}/' {given}"),
            ["ok", "fail"],
            "its hs_token is not that of the configuration",
        ),
        (
            format!("sed -i 's/^url: .*/url: http:\\/\\/127.0.0.1:29336/' {given}"),
            ["ok", "fail"],
            "the bridge listens on port 29335",
        ),
        (
            format!("sed -i 's/slack_/chat_/' {own}"),
            ["fail", "ok"],
            "no namespace of users has @slack_t1-u1",
        ),
        (
            format!("sed -i '/^rate_limited/d' {own}"),
            ["warn", "ok"],
            "rate_limited",
        ),
        (
"printf 'app_service_config_files:\\n  - /etc/matrix/other.yaml # another\\n' > /tmp/list; sed -e 's/^id: .*/id: other/' \
            -e 's/_token: .*/_token: other/' /etc/matrix/slack.yaml > /etc/matrix/other.yaml; sed -i '/^app_service_config_files/d' \
            /etc/matrix/homeserver.yaml; cat /tmp/list >> /etc/matrix/homeserver.yaml"
                .to_owned(),
            ["ok", "fail"],
            "the homeserver was given no registration of this bridge",
        ),
        (
            "sed -i '/^app_service_config_files/,$ d' /etc/matrix/homeserver.yaml".to_owned(),
            ["ok", "fail"],
            "the homeserver was given no registration of this bridge",
        ),
    ] {
        let restore = format!("cp -a {own} /root/own; cp -a {given} /root/given");
        host.sh(&format!("{restore}; {change}")).expect(0);
        let found = registrations(host.name());
        let only: Vec<_> = found.iter().map(|[status, ..]| status.as_str()).collect();
        assert_eq!(only, statuses, "{change}: {found:?}");
        assert!(
            found.iter().any(|[.., message]| message.contains(words)),
            "{change}: {found:?}"
        );
        host.sh(&format!("cp -a /root/own {own}; cp -a /root/given {given}"))
            .expect(0);
    }
}
