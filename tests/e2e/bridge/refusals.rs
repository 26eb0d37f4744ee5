//! Failures of sending, of waiting and of starting, produced with the real bridge, and told apart in one look.

use std::time::Duration;

use ops_tests::{Lab, skip};

use crate::bed::Bed;
use crate::failures::{is_told, prove};
use crate::slack::{Fault, GENERAL, Link};

/// Sends a text that Slack takes, and waits until the bridge knows.
fn send(bed: &Bed, room: &str) {
    let sent = bed.text(room, "it goes again");
    bed.wait_for("log -n 300 --json", |line| {
        line["message"] == "Ignoring duplicate message"
            && line["fields"]["existing_mxid"] == sent.as_str()
    });
}

fn is_well(bed: &Bed) {
    assert_eq!(bed.verdicts(), ["connected", "connected"]);
    bed.bridge("status").expect(0);
}

#[test]
fn what_slack_refuses_while_the_state_is_good_is_told() {
    let Some(lab) = Lab::get() else {
        return skip("bridge");
    };
    let bed = Bed::make(lab, "bridge-refused");
    bed.log_in();
    let room = bed.room("T1-C1");
    prove(&bed);
    send(&bed, &room);
    is_well(&bed);

    // The bot's token is revoked: no state changes, the sender is told nothing, and receiving works.
    for code in ["token_revoked", "invalid_auth", "account_inactive"] {
        bed.slack.fail("chat.postMessage", [Fault::Code(code)]);
        bed.text(&room, "lost CANARY");
        is_told(&bed, "bot-token-refused", "bot-token-refused", 1);
        send(&bed, &room);
        is_well(&bed);
    }

    // One message, or one room, is refused: a warning.
    for fault in [
        Fault::Code("is_archived"),
        Fault::Code("not_in_channel"),
        Fault::Limited,
        Fault::Status(503),
        Fault::Dropped,
    ] {
        bed.slack.fail("chat.postMessage", [fault]);
        bed.text(&room, "lost CANARY");
        is_told(&bed, "sending-refused", "sending-refused", 0);
        send(&bed, &room);
        is_well(&bed);
    }

    // Slack answers, and opens no socket, for another reason than a token.
    bed.slack
        .fail("apps.connections.open", vec![Fault::Status(404); 50]);
    bed.slack.cut();
    is_told(&bed, "socket-refused", "socket-refused", 1);
    bed.slack.heal("apps.connections.open");
    bed.slack.wait_for_socket();
    prove(&bed);

    // A message holds its room: what follows waits, and the state is CONNECTED.
    bed.slack
        .fail("chat.postMessage", [Fault::Late(Duration::from_secs(45))]);
    bed.text(&room, "slow");
    is_told(&bed, "back-pressure", "back-pressure", 0);
    bed.wait_long_for("log -n 300 --json", |line| {
        line["message"] == "Event that took long finished handling"
    });
    prove(&bed);
    is_well(&bed);
}

#[test]
fn a_long_loss_is_told_with_the_time_of_the_next_attempt() {
    let Some(lab) = Lab::get() else {
        return skip("bridge");
    };
    let bed = Bed::make(lab, "bridge-backoff");
    bed.log_in();
    prove(&bed);
    bed.slack.link(Link::Refused);
    bed.slack.cut();
    bed.wait_long_for("socket --json", |record| {
        record["data"]["verdict"] == "backoff"
    });
    is_told(&bed, "backoff", "backoff", 1);
    let told = bed.bridge("socket --json").json().remove(0);
    let next = told["data"]["next_attempt_at"].as_str().expect("a time");
    let next: jiff::Timestamp = next.parse().expect("a time");
    let (wait, now) = (next.duration_since(jiff::Timestamp::now()), &told["at"]);
    assert!(
        wait.as_secs() > 0 && wait.as_secs() < 240,
        "{next} seen from {now}"
    );
    // Slack is back, and the bridge does not know: a restart is the remedy that is named.
    bed.slack.link(Link::Good);
    assert!(
        told["fix"]
            .as_str()
            .is_some_and(|fix| fix.contains("restart the unit")),
        "{told:#?}"
    );
    bed.restart();
    bed.slack.wait_for_socket();
    prove(&bed);
}

#[test]
fn a_failed_start_that_is_tried_again_heals() {
    let Some(lab) = Lab::get() else {
        return skip("bridge");
    };
    let bed = Bed::make(lab, "bridge-retries");
    bed.log_in();
    bed.host
        .sh("f=/var/lib/mautrix-slack/config.yaml; sed -i 's/^\\( *\\)unknown_error_auto_reconnect:.*/\\1unknown_error_auto_reconnect: 1m/' $f && grep -q auto_reconnect:.1m $f")
        .expect(0);
    bed.slack.fail("team.info", [Fault::Status(503)]);
    bed.restart();
    // The setting is in the configuration, which the log alone does not tell.
    is_told(&bed, "start-failed-retrying", "start-failed", 1);
    bed.wait_long_for("socket --json", |record| {
        record["data"]["state"] == "CONNECTED"
    });
    prove(&bed);
    is_well(&bed);
}

#[test]
fn exits_are_told_in_words_with_what_the_bridge_said_last() {
    let Some(lab) = Lab::get() else {
        return skip("bridge");
    };
    let bed = Bed::make(lab, "bridge-exits");
    let config = "/var/lib/mautrix-slack/config.yaml";
    bed.host
        .sh(&format!("cp -a {config} /root/good.yaml"))
        .expect(0);
    for (change, code, words, last) in [
        (
            format!("echo '  - [' >> {config}"),
            10,
            "configuration",
            "Error updating config",
        ),
        (
            format!("sed -i 's/^\\(logging:.*format: \\)json/\\1nonsense/' {config}"),
            12,
            "log",
            "Failed to initialize logger",
        ),
        (
            format!("sed -i 's/^\\( *uri:\\).*/\\1 postgres:\\/\\/127.0.0.1:1\\/none/' {config}"),
            15,
            "database",
            "Failed to initialize database",
        ),
        (
            format!("sed -i 's/^\\( *as_token:\\).*/\\1 spoilt-by-hand-0123456789/' {config}"),
            16,
            "as_token",
            "as_token was not accepted",
        ),
    ] {
        bed.host
            .sh(&format!("{change}; systemctl reset-failed mautrix-slack; systemctl restart mautrix-slack || :"))
            .expect(0);
        let unit = bed.wait_for("status --json", |record| {
            record["check"] == "bridge.unit" && record["data"]["exit_code"] == code
        });
        let message = unit["message"].as_str().unwrap_or_default();
        assert!(
            unit["status"] == "fail" && message.contains(words) && message.contains(last),
            "{code}: {unit:#?}"
        );
        let errors = bed.bridge("errors --json --since 10m").expect(0).json();
        assert!(
            errors.iter().any(|group| {
                let told = |name: &str| group[name].as_str().unwrap_or_default().to_owned();
                told("message").contains(last) && told("meaning").contains(&format!("exit {code}"))
            }),
            "{code}: {errors:#?}"
        );
        bed.host
            .sh(&format!(
                "systemctl stop mautrix-slack; cp -a /root/good.yaml {config}"
            ))
            .expect(0);
    }
    bed.host
        .sh("systemctl reset-failed mautrix-slack; systemctl start mautrix-slack")
        .expect(0);
    bed.wait_for("status --json", |record| {
        record["check"] == "bridge.unit" && record["status"] == "ok"
    });
    // Messages flow to nobody yet, but nothing of what was is told of now.
    bed.slack.say(GENERAL, "nobody listens");
}
