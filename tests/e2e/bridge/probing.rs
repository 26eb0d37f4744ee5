//! The active probe and the passive measurement, against delays that were made.

use std::time::Duration;

use ops_tests::{Lab, skip};
use serde_json::Value;

use crate::bed::{Bed, is_clean};
use crate::slack::{Fault, HUMAN_TOKEN};

fn value(records: &[Value], subject: &str) -> f64 {
    let record = records.iter().find(|record| record["subject"] == subject);
    record
        .and_then(|record| record["value"].as_f64())
        .unwrap_or_else(|| panic!("no {subject} in {records:#?}"))
}

#[test]
fn a_probe_goes_both_ways_and_measures_what_was_delayed() {
    let Some(lab) = Lab::get() else {
        return skip("bridge");
    };
    let bed = Bed::make(lab, "bridge-ping");
    bed.log_in();
    let room = bed.room("T1-C1");
    bed.write_tokens("ping", &format!("slack_token: {HUMAN_TOKEN}\nslack_channel: C1\nmatrix_token: {}\nmatrix_room: \"{room}\"\n", bed.token()));

    let first = bed.bridge("ping --tokens ping.yaml --json").expect(0);
    assert!(is_clean(&first) && !first.out().contains(bed.token()));
    let records = first.json();
    assert_eq!(records.len(), 10, "{records:#?}");
    assert!(
        records.iter().all(|record| record["status"] == "ok"
            && record["value"].as_f64().is_some_and(|value| value < 5.0)),
        "{records:#?}"
    );
    bed.slack.wait_until_empty("C1");

    for delay in [500, 2000, 6000] {
        bed.slack.fail(
            "chat.postMessage",
            [Fault::Late(Duration::from_millis(delay))],
        );
        let wanted = Duration::from_millis(delay).as_secs_f64();
        let ran = bed
            .bridge("ping --tokens ping.yaml --json --timeout 2m")
            .expect(i32::from(delay > 5000));
        let measured = value(&ran.json(), "matrix->slack message");
        assert!(
            measured >= wanted && measured <= wanted * 1.1 + 0.2,
            "{measured} for {wanted}"
        );
    }
    let passive = bed.bridge("latency --json").expect(1).json();
    let p99 = value(&passive, "matrix->slack p99");
    assert!((5.8..=6.8).contains(&p99), "{p99}");

    bed.slack
        .fail("chat.postMessage", [Fault::Code("restricted_action")]);
    let refused = bed
        .bridge("ping --tokens ping.yaml --json --patience 3s")
        .expect(1);
    assert!(is_clean(&refused));
    let unknown = refused
        .json()
        .iter()
        .filter(|record| record["status"] == "unknown")
        .count();
    assert_eq!(unknown, 4, "what cannot be tried is not called failed");
    let missing = bed.bridge("ping --tokens slack.yaml");
    missing.expect(78).complains("it has no");
    ops_tests::tool("ops-bridge")
        .args(["ping"])
        .run()
        .expect(2)
        .complains("--host");
}
