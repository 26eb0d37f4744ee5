//! Messages through the real bridge, both ways, and what the tool says of them.

use ops_tests::{Lab, skip};

use crate::bed::{Bed, is_clean};
use crate::slack::{Fault, GENERAL};

#[test]
fn messages_flow_and_losses_are_counted() {
    let Some(lab) = Lab::get() else {
        return skip("bridge");
    };
    let bed = Bed::make(lab, "bridge-flow");
    bed.log_in();
    let room = bed.room("T1-C1");

    let ts = bed.slack.say(GENERAL, "hello from slack CANARY");
    bed.wait_for("log -n 300 --json", |line| {
        line["message"] == "Sent message part to Matrix"
    });
    bed.slack.edit(&ts, "edited CANARY");
    bed.wait_for("log -n 300 --json", |line| {
        line["message"] == "Sent message part edit to Matrix"
    });
    bed.slack.react(GENERAL, &ts, "+1");
    bed.wait_for("log -n 300 --json", |line| {
        line["message"] == "Sent reaction to Matrix"
    });
    let event = bed.text(&room, "hello from matrix CANARY");
    bed.slack.wait_for_call("chat.postMessage", 0);
    bed.wait_for("log -n 300 --json", |line| {
        line["message"] == "Ignoring duplicate message"
            && line["fields"]["existing_mxid"] == event.as_str()
    });

    let status = bed.bridge("status --json").expect(0);
    assert!(is_clean(&status));
    let records = status.json();
    assert!(
        records.iter().all(|record| record["status"] == "ok"),
        "{records:#?}"
    );
    let last: Vec<_> = records
        .iter()
        .filter(|record| record["check"] == "bridge.last_successful_message")
        .collect();
    assert!(
        last.len() == 2
            && last
                .iter()
                .all(|record| record["value"].as_f64().is_some_and(|age| age < 30.0)),
        "{last:#?}"
    );
    assert_eq!(bed.verdicts(), ["connected", "connected"]);
    assert_eq!(
        bed.bridge("errors --json").expect(0).json().len(),
        0,
        "nothing is wrong"
    );

    bed.slack.fail(
        "chat.postMessage",
        [
            Fault::Code("not_in_channel"),
            Fault::Code("msg_too_long"),
            Fault::Status(503),
            Fault::Limited,
            Fault::Dropped,
        ],
    );
    for _ in 0..5 {
        bed.text(&room, "lost CANARY");
    }
    bed.slack.wait_for_call("chat.postMessage", 5);
    let sent = bed.text(&room, "after the trouble CANARY");
    bed.wait_for("log -n 300 --json", |line| {
        line["message"] == "Ignoring duplicate message"
            && line["fields"]["existing_mxid"] == sent.as_str()
    });
    let groups = bed.bridge("errors --json").expect(0);
    assert!(is_clean(&groups));
    let mut causes: Vec<_> = groups
        .json()
        .iter()
        .map(|group| {
            (
                group["error"].as_str().unwrap_or_default().to_owned(),
                group["count"].as_u64(),
            )
        })
        .collect();
    causes.sort();
    let wanted = [
        "Post \"https://slack.com/api/chat.postMessage\": EOF",
        "msg_too_long",
        "not_in_channel",
        "slack rate limit exceeded, retry after 30s",
        "slack server error: 503 Service Unavailable",
    ];
    assert_eq!(causes, wanted.map(|cause| (cause.to_owned(), Some(1))));
    let count = bed.wait_for("status --json", |record| {
        record["check"] == "bridge.error_count"
    });
    assert_eq!(count["data"]["lost"]["matrix->slack"], 5, "{count:#?}");

    let everything = bed.journal();
    crate::recorded::keep("flow", &everything);
    assert!(
        String::from_utf8_lossy(&everything).contains("CANARY"),
        "the journal holds what must be hidden"
    );
    for verb in ["log -", "errors -", "socket -", "log --json -"] {
        let read = Bed::read(verb, everything.clone());
        assert!(is_clean(&read), "{verb}");
    }
    assert!(
        Bed::read("log --bodies -", everything)
            .out()
            .contains("from slack CANARY")
    );
    assert!(is_clean(&bed.bridge("portals")) && is_clean(&bed.bridge("logins --json")));
}
