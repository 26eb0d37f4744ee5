//! The active probe and the passive measurement, against delays that were made.

use std::thread;
use std::time::{Duration, Instant};

use ops_tests::{Lab, skip};
use rustix::process::Signal;
use serde_json::Value;

use crate::bed::{Bed, is_clean};
use crate::slack::{Fault, GENERAL, HUMAN_TOKEN};

fn value(records: &[Value], subject: &str) -> f64 {
    let record = records.iter().find(|record| record["subject"] == subject);
    record
        .and_then(|record| record["value"].as_f64())
        .unwrap_or_else(|| panic!("no {subject} in {records:#?}"))
}

/// What `ping` and the passive `latency` say a message takes, each way, with a delay in it.
fn measure(bed: &Bed, delay: Duration) -> [f64; 4] {
    let since = jiff::Timestamp::now();
    bed.slack.fail("chat.postMessage", [Fault::Late(delay)]);
    bed.slack.delay_human(delay);
    let too_long = delay > Duration::from_secs(5);
    let active = bed
        .bridge("ping --tokens ping.yaml --json --timeout 2m")
        .expect(i32::from(too_long))
        .json();
    let passive = bed.bridge(&format!("latency --json --since {since}"));
    let passive = passive.expect(i32::from(too_long)).json();
    [
        value(&active, "matrix->slack message"),
        value(&active, "slack->matrix message"),
        value(&passive, "matrix->slack p99"),
        value(&passive, "slack->matrix p99"),
    ]
}

/// The least of each of several measurements.
fn least(times: usize, mut measure: impl FnMut() -> [f64; 4]) -> [f64; 4] {
    let mut least = measure();
    for _ in 1..times {
        for (kept, new) in least.iter_mut().zip(measure()) {
            *kept = kept.min(new);
        }
    }
    least
}

fn write_tokens(bed: &Bed, room: &str) {
    bed.write_tokens("ping", &format!("slack_token: {HUMAN_TOKEN}\nslack_channel: C1\nmatrix_token: {}\nmatrix_room: \"{room}\"\n", bed.token()));
}

/// What is written in the room, less what was removed; the edits of it too, which go with it.
fn bodies(bed: &Bed, room: &str) -> Vec<String> {
    let path = format!("/_matrix/client/v3/rooms/{room}/messages?dir=b&limit=50");
    let found = bed.matrix("GET", &path, "");
    let events = found["chunk"].as_array().expect("events").iter().rev();
    let texts = events.filter(|event| event["content"]["m.relates_to"].is_null());
    let body = |event: &Value| Some(event["content"]["body"].as_str()?.to_owned());
    texts.filter_map(body).collect()
}

#[test]
fn a_probe_that_is_interrupted_leaves_nothing_and_is_no_loss() {
    let Some(lab) = Lab::get() else {
        return skip("bridge");
    };
    let bed = Bed::make(lab, "bridge-interrupted");
    bed.log_in();
    let room = bed.room("T1-C1");
    write_tokens(&bed, &room);
    let mut said = Vec::new();
    // The message is on its way to Slack, and then it is back in Matrix, or nearly.
    for to_slack in [true, false] {
        let calls = |method| bed.slack.calls(method);
        let (posted, deleted) = (calls("chat.postMessage"), calls("chat.delete"));
        if to_slack {
            let late = Fault::Late(Duration::from_secs(3));
            bed.slack.fail("chat.postMessage", [late]);
        }
        let ping = bed.command("ping --tokens ping.yaml --json").spawn();
        let ours = usize::from(!to_slack);
        bed.slack.wait_for_call("chat.postMessage", posted + ours);
        ping.signal(Signal::INT);
        assert_eq!(ping.finish().signal, Some(Signal::INT.as_raw()));
        bed.slack.wait_for_call("chat.delete", deleted);
        // What is said after it is in the room, so what was said before it was dealt with.
        said.push(format!("after {to_slack}"));
        bed.slack.say(GENERAL, said.last().expect("a word"));
        let until = Instant::now() + Duration::from_secs(40);
        loop {
            let found = [bodies(&bed, &room), bed.slack.texts("C1")];
            if found.iter().all(|found| *found == said) {
                break;
            }
            assert!(Instant::now() < until, "{found:?}, not {said:?}");
            thread::sleep(Duration::from_millis(200));
        }
        assert_eq!(bed.lost(), [Vec::<String>::new(), Vec::new()]);
    }
}

#[test]
fn a_probe_goes_both_ways_and_measures_what_was_delayed() {
    let Some(lab) = Lab::get() else {
        return skip("bridge");
    };
    let bed = Bed::make(lab, "bridge-ping");
    bed.log_in();
    write_tokens(&bed, &bed.room("T1-C1"));

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

    // Beside what each way takes by itself, the delay is told by both within a tenth of it.
    bed.slack.echo_after(Duration::ZERO);
    let alone = least(3, || measure(&bed, Duration::ZERO));
    for millis in [500, 2000, 6000] {
        let delay = Duration::from_millis(millis);
        let wanted = delay.as_secs_f64();
        let is_told = |measured: &[f64; 4]| {
            let added = measured
                .iter()
                .zip(&alone)
                .map(|(with, without)| with - without);
            added
                .into_iter()
                .all(|added| (added - wanted).abs() <= wanted / 10.0)
        };
        // What else the machine does can only make it longer.
        let mut measured = measure(&bed, delay);
        for _ in 0..4 {
            if !is_told(&measured) {
                measured = measure(&bed, delay);
            }
        }
        assert!(
            is_told(&measured),
            "{measured:?} less {alone:?} for {wanted}"
        );
    }

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
