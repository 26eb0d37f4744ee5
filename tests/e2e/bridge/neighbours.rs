//! Outages of those without whom the bridge loses messages under a good state: told in one look, and counted exactly.

use ops_tests::{Lab, skip};

use crate::bed::Bed;
use crate::failures::{is_told, prove};
use crate::slack::GENERAL;

#[test]
fn an_outage_of_the_database_loses_what_it_is_said_to_lose() {
    let Some(lab) = Lab::get() else {
        return skip("bridge");
    };
    let bed = Bed::make(lab, "bridge-database");
    bed.log_in();
    let room = bed.room("T1-C1");
    let [edited, deleted, reacted, plain] =
        ["one", "two", "three", "four"].map(|text| bed.slack.say(GENERAL, text));
    bed.slack.react(GENERAL, &reacted, "+1");
    bed.wait_for("log -n 300 --json", |line| {
        line["message"] == "Sent reaction to Matrix"
    });
    let mine = bed.text(&room, "mine");
    bed.wait_for("log -n 300 --json", |line| {
        line["fields"]["existing_mxid"] == mine.as_str()
    });
    assert_eq!(
        bed.lost(),
        [vec![], vec![]] as [Vec<String>; 2],
        "nothing so far"
    );

    bed.host.sh("systemctl stop postgresql").expect(0);
    bed.slack.say(GENERAL, "lost CANARY");
    bed.slack.say(GENERAL, "lost too CANARY");
    bed.slack.edit(&edited, "lost CANARY");
    bed.slack.delete(&deleted);
    bed.slack.react(GENERAL, &plain, "heart");
    bed.slack.unreact(GENERAL, &reacted, "+1");
    bed.text(&room, "lost CANARY");
    bed.text(&room, "lost too CANARY");
    bed.react(&room, &mine);
    bed.redact(&room, &mine);
    let wanted = [
        ["1 deletion", "1 edit", "2 message", "2 reaction"]
            .map(str::to_owned)
            .to_vec(),
        ["1 deletion", "1 reaction", "2 message"]
            .map(str::to_owned)
            .to_vec(),
    ];
    bed.wait_lost(&wanted);
    is_told(&bed, "database-away", "database-away", 1);

    bed.host.sh("systemctl start postgresql").expect(0);
    prove(&bed);
    bed.wait_for("status --json", |record| {
        record["check"] == "bridge.connection_status" && record["status"] == "ok"
    });
    assert_eq!(bed.lost(), wanted, "and nothing else");
}

#[test]
fn an_outage_of_the_homeserver_is_told_at_once_and_loses_what_waited_too_long() {
    let Some(lab) = Lab::get() else {
        return skip("bridge");
    };
    let bed = Bed::make(lab, "bridge-homeserver");
    bed.log_in();
    // One attempt more instead of four: 4 s instead of a minute.
    bed.set("retry_limit: 4", "retry_limit: 1");
    bed.restart();
    bed.slack.wait_for_socket();
    prove(&bed);

    bed.host.sh("systemctl stop matrix-continuwuity").expect(0);
    bed.slack.say(GENERAL, "lost CANARY");
    bed.slack.say(GENERAL, "lost too CANARY");
    is_told(&bed, "homeserver-away", "homeserver-away", 1);
    let wanted = [vec!["2 message".to_owned()], vec![]];
    bed.wait_lost(&wanted);
    bed.host.sh("systemctl start matrix-continuwuity").expect(0);
    prove(&bed);
    bed.wait_for("status --json", |record| {
        record["check"] == "bridge.connection_status" && record["status"] == "ok"
    });
    assert_eq!(bed.lost(), wanted, "and nothing else");
}
