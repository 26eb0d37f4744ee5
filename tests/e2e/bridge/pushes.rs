//! What the real bridge pushes, at the log level that hides everything.

use std::time::Duration;

use ops_tests::{Lab, skip};

use crate::bed::{Bed, is_clean};
use crate::slack::Fault;

#[test]
fn states_and_the_fate_of_each_message_are_received_at_any_log_level() {
    let Some(lab) = Lab::get() else {
        return skip("bridge");
    };
    let bed = Bed::make(lab, "bridge-pushes");
    bed.log_in();
    let room = bed.room("T1-C1");
    let endpoints = "s|(\\bstatus_endpoint):.*|\\1: http://127.0.0.1:29336/state|; \
        s|(message_send_checkpoint_endpoint):.*|\\1: http://127.0.0.1:29336/checkpoint|";
    let edit = format!(
        "f=/var/lib/mautrix-slack/config.yaml; sed -Ei '{endpoints}' $f; grep -c :29336/ $f"
    );
    assert_eq!(bed.host.sh(&edit).expect(0).out().trim(), "2");
    bed.set("min_level: debug", "min_level: info");
    bed.host.install_tools();
    let receive = bed
        .host
        .tool("ops-bridge")
        .args(["receive", "--json", "--for", "90s", "--registration"])
        .arg("/var/lib/mautrix-slack/registration.yaml")
        .timeout(Duration::from_mins(2))
        .spawn();
    bed.host
        .sh("until ss -ltnH 'sport = :29336' | grep -q .; do sleep 0.1; done")
        .expect(0);
    bed.restart();
    receive.wait_for(r#""status":"CONNECTED""#);

    let sent = bed.text(&room, "hello CANARY");
    receive.wait_for(&sent);
    receive.wait_for(r#""step":"REMOTE""#);
    bed.slack
        .fail("chat.postMessage", [Fault::Code("not_in_channel")]);
    let refused = bed.text(&room, "refused CANARY");
    receive.wait_for(r#""status":"PERM_FAILURE""#);

    let wrong = bed.host.sh("curl -s -o /dev/null -w '%{http_code}' -H 'Authorization: Bearer wrong' -d '{}' 'http://[::1]:29336/state'");
    assert_eq!(wrong.expect(0).out(), "401");
    receive.signal(rustix::process::Signal::TERM);
    let ran = receive.finish();
    assert!(is_clean(&ran));
    let records = ran.json();
    let fate = |event: &str| {
        let told = records
            .iter()
            .find(|record| record["subject"] == event && record["step"] == "REMOTE");
        let told = told.unwrap_or_else(|| panic!("nothing of {event} in {records:#?}"));
        (told["status"].clone(), told["error"].clone())
    };
    assert_eq!(fate(&sent), ("SUCCESS".into(), "".into()));
    assert_eq!(
        fate(&refused),
        ("PERM_FAILURE".into(), "not_in_channel".into())
    );
}
