//! What only the level trace tells: a cut from a refresh, and a socket on which Slack never said hello. And a server that never
//! pings, which shows at debug.

use ops_tests::{Lab, skip};

use crate::bed::Bed;
use crate::failures::{count, is_told, prove};
use crate::slack::Link;

#[test]
fn a_cut_is_told_from_a_refresh_and_a_mute_socket_from_a_good_one() {
    let Some(lab) = Lab::get() else {
        return skip("bridge");
    };
    let bed = Bed::make(lab, "bridge-trace");
    bed.log_in();
    bed.set("min_level: debug", "min_level: trace");
    bed.restart();
    bed.slack.wait_for_socket();
    prove(&bed);

    bed.slack.refresh();
    bed.wait_for("socket --json", |record| record["data"]["refreshes"] == 1);
    prove(&bed);
    assert_eq!(count(&bed, "losses"), 0);

    // Cut and replaced at once: the states are the same as those of a refresh.
    bed.slack.cut();
    bed.wait_for("socket --json", |record| record["data"]["losses"] == 1);
    prove(&bed);
    assert_eq!(count(&bed, "refreshes"), 1);
    let told = bed.bridge("socket --json").expect(0).json().remove(0);
    let last = &told["data"]["last_disconnect"];
    assert!(
        last["kind"] == "loss"
            && last["reason"]
                .as_str()
                .is_some_and(|reason| reason.starts_with("websocket")),
        "{told:#?}"
    );
    let log = bed.bridge("log -n 300");
    assert!(crate::bed::is_clean(&log), "events are hidden at trace too");

    bed.slack.link(Link::Mute);
    bed.slack.cut();
    is_told(&bed, "no-hello", "no-hello", 1);
    bed.slack.link(Link::Good);
    bed.slack.cut();
    bed.slack.wait_for_socket();
    prove(&bed);
}

#[test]
fn a_server_that_never_pings_is_told_and_forgotten() {
    let Some(lab) = Lab::get() else {
        return skip("bridge");
    };
    let bed = Bed::make(lab, "bridge-pingless");
    bed.log_in();
    bed.slack.link(Link::Pingless);
    bed.restart();
    bed.wait_long_for("socket --json", |record| {
        record["data"]["verdict"] == "never-pinged"
    });
    is_told(&bed, "never-pinged", "never-pinged", 1);
    // It is pinged again: what was is no failure of now.
    bed.slack.link(Link::Good);
    bed.wait_long_for("status --json", |record| {
        record["check"] == "bridge.connection_status" && record["status"] == "ok"
    });
}
