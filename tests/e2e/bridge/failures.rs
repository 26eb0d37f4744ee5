//! The ways in which a bridge fails without a word, produced for real, and told apart in one look.

use ops_tests::{Lab, skip};

use crate::bed::{Bed, is_clean};
use crate::slack::{Fault, GENERAL, Link};

/// Waits until `status` has this verdict, and looks what `socket` and the statuses of both say in the one look after it.
pub(crate) fn is_told(bed: &Bed, verdict: &str, of_socket: &str, status: i32) {
    bed.wait_for("status --json", |record| {
        record["data"]["verdict"] == verdict
    });
    assert_eq!(bed.verdicts(), [verdict, of_socket]);
    let ran = bed.bridge("status --json").expect(status);
    assert!(is_clean(&ran));
}

/// Sends a message through, so that the connection is not only believed to be good.
pub(crate) fn prove(bed: &Bed) {
    let before = bed.slack.acknowledgements();
    bed.slack.say(GENERAL, "proof CANARY");
    bed.slack.wait_for_acknowledgements(before + 1);
    bed.wait_for("socket --json", |record| {
        record["data"]["verdict"] == "connected"
    });
}

pub(crate) fn count(bed: &Bed, what: &str) -> u64 {
    let record = bed.bridge("socket --json").json().remove(0);
    record["data"][what]
        .as_u64()
        .unwrap_or_else(|| panic!("no {what} in {record:#?}"))
}

#[test]
fn silent_failures_of_the_connection_are_told_apart() {
    let Some(lab) = Lab::get() else {
        return skip("bridge");
    };
    let bed = Bed::make(lab, "bridge-fails");
    bed.log_in();
    prove(&bed);

    // Healthy: Slack asks for a new socket.
    let (refreshes, losses) = (count(&bed, "refreshes"), count(&bed, "losses"));
    bed.slack.refresh();
    bed.wait_for("socket --json", |record| {
        record["data"]["refreshes"] == refreshes + 1
    });
    prove(&bed);
    assert_eq!(
        (count(&bed, "losses"), bed.bridge("status").status),
        (losses, 0)
    );

    // The app token is revoked: refused again and again, while sending works. It heals by itself.
    bed.slack.fail(
        "apps.connections.open",
        vec![Fault::Code("invalid_auth"); 50],
    );
    bed.slack.cut();
    is_told(&bed, "app-token-refused", "app-token-refused", 1);
    bed.slack.heal("apps.connections.open");
    bed.slack.wait_for_socket();
    prove(&bed);

    // Slack cannot be reached: the waiting time doubles, and the next attempt is known.
    bed.slack.link(Link::Refused);
    bed.slack.cut();
    is_told(&bed, "disconnected", "disconnected", 1);
    let lost = bed.bridge("socket --json").expect(1).json().remove(0);
    assert!(
        lost["data"]["next_attempt_at"].is_string()
            && lost["message"]
                .as_str()
                .is_some_and(|text| text.contains("attempts")),
        "{lost:#?}"
    );
    bed.slack.link(Link::Good);
    bed.slack.wait_for_socket();
    prove(&bed);
    let healed = bed.bridge("socket --json").expect(0).json().remove(0);
    assert_eq!(
        healed["data"]["last_disconnect"]["kind"], "loss",
        "{healed:#?}"
    );

    // Connected before Slack said hello, and nothing comes: not a failure yet, but never called proven.
    bed.slack.link(Link::Mute);
    bed.restart();
    is_told(&bed, "connected-silent", "connected-silent", 0);
    bed.slack.link(Link::Good);
    bed.slack.cut();
    bed.slack.wait_for_socket();
    prove(&bed);

    // The line is dead and open. The log says nothing; the kernel knows.
    bed.slack.link(Link::Dead);
    is_told(&bed, "half-open", "half-open", 1);
    bed.slack.link(Link::Good);
    bed.slack.cut();
    crate::recorded::keep("connection", &bed.journal());
}

#[test]
fn failures_of_start_login_and_neighbours_are_told_apart() {
    let Some(lab) = Lab::get() else {
        return skip("bridge");
    };
    let bed = Bed::make(lab, "bridge-starts");
    bed.log_in();
    prove(&bed);

    // Slack was away during the start: final, and nobody tries again.
    bed.slack.fail("team.info", [Fault::Status(503)]);
    bed.restart();
    is_told(&bed, "start-failed", "start-failed", 1);
    let groups = bed.bridge("errors --json").json();
    assert!(
        groups
            .iter()
            .any(|group| group["message"] == "Failed to fetch team info" && group["remedy"] != ""),
        "{groups:#?}"
    );
    bed.restart();
    bed.slack.wait_for_socket();
    prove(&bed);

    // A clean stop and start is an outage of known length, and no failure afterwards.
    bed.host.sh("systemctl stop mautrix-slack").expect(0);
    is_told(&bed, "stopped", "stopped", 1);
    bed.host
        .sh("systemctl reset-failed mautrix-slack; systemctl start mautrix-slack")
        .expect(0);
    bed.slack.wait_for_socket();
    prove(&bed);
    assert_eq!(bed.bridge("status").status, 0);
    let uptime = bed.bridge("uptime --json").json().remove(0);
    assert!(
        uptime["data"]["outages"]
            .as_array()
            .is_some_and(|outages| outages.iter().any(|outage| outage["cause"] == "stopped")),
        "{uptime:#?}"
    );

    // The states are hidden: the log alone is never called healthy, the process itself knows.
    bed.set("min_level: debug", "min_level: info");
    bed.restart();
    bed.slack.wait_for_socket();
    let hidden = bed.wait_for("status --json", |record| {
        record["check"] == "bridge.connection_status" && record["status"] == "ok"
    });
    assert_eq!(hidden["data"]["source"], "provisioning");
    assert!(
        bed.bridge("status --json")
            .json()
            .iter()
            .any(|record| record["check"] == "bridge.log_level" && record["status"] == "warn")
    );
    bed.set("min_level: info", "min_level: debug");
    bed.restart();
    bed.slack.wait_for_socket();
    prove(&bed);

    // The database is away: both directions lose, the state stays CONNECTED, and the answer is not yes.
    let room = bed.room("T1-C1");
    bed.host.sh("systemctl stop postgresql").expect(0);
    bed.slack.say(GENERAL, "lost on the way to Matrix CANARY");
    bed.text(&room, "lost on the way to Slack CANARY");
    let lines = [
        "Failed to send message part to Matrix",
        "Failed to get user login to handle Matrix event",
    ];
    for wanted in lines {
        bed.wait_for("log -n 300 --json", |line| line["message"] == wanted);
    }
    is_told(&bed, "database-away", "database-away", 1);
    let told = bed.bridge("status --json").json();
    let connection = told
        .iter()
        .find(|record| record["check"] == "bridge.connection_status")
        .expect("a connection");
    assert!(
        connection["data"]["sources"]["database"]
            .as_str()
            .is_some_and(|reason| reason != "ok"),
        "{connection:#?}"
    );
    bed.host.sh("systemctl start postgresql").expect(0);
    let one = vec!["1 message".to_owned()];
    bed.wait_lost(&[one.clone(), one]);

    crate::recorded::keep("neighbours", &bed.journal());

    // Slack does not know the bot any more: the token is blanked, and only a new login helps.
    bed.slack.fail("team.info", [Fault::Code("invalid_auth")]);
    bed.restart();
    is_told(&bed, "needs-login", "needs-login", 1);
    let login = bed.bridge("logins --json").expect(0).json().remove(0);
    assert_eq!(
        (
            login["has_token"].as_bool(),
            login["has_app_token"].as_bool()
        ),
        (Some(false), Some(true))
    );

    // The configuration is wrong: the unit loops, and its exit code is told in words.
    bed.host.sh("sed -i 's/^    permissions:.*/    permissions: {}/' /var/lib/mautrix-slack/config.yaml").expect(0);
    bed.host
        .sh("systemctl reset-failed mautrix-slack; systemctl restart mautrix-slack || :")
        .expect(0);
    let unit = bed.wait_for("status --json", |record| {
        record["check"] == "bridge.unit"
            && record["status"] == "fail"
            && record["data"]["exit_code"] == 11
    });
    assert!(
        unit["message"].as_str().is_some_and(
            |text| text.contains("configuration error") && text.contains("permissions")
        ),
        "{unit:#?}"
    );
}
