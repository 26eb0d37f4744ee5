//! Every way in which Slack or the homeserver refuses one thing, counted exactly.

use ops_tests::{Lab, skip};

use crate::bed::Bed;
use crate::slack::{Fault, GENERAL};

#[test]
fn each_thing_that_is_refused_is_counted_once() {
    let Some(lab) = Lab::get() else {
        return skip("bridge");
    };
    let bed = Bed::make(lab, "bridge-losses");
    bed.log_in();
    let room = bed.room("T1-C1");
    let mine = bed.text(&room, "mine");
    bed.wait_for("log -n 300 --json", |line| {
        line["fields"]["existing_mxid"] == mine.as_str()
    });

    let codes = [
        "not_in_channel",
        "is_archived",
        "msg_too_long",
        "invalid_auth",
        "token_revoked",
    ];
    bed.slack.fail("chat.postMessage", codes.map(Fault::Code));
    for code in codes {
        bed.text(&room, &format!("{code} CANARY"));
    }
    bed.slack.fail("chat.update", [Fault::Status(503)]);
    bed.edit(&room, &mine);
    bed.slack
        .fail("reactions.add", [Fault::Code("invalid_name")]);
    bed.react(&room, &mine);
    bed.slack.fail("chat.delete", [Fault::Dropped]);
    bed.redact(&room, &mine);
    bed.slack
        .fail("files.getUploadURLExternal", [Fault::Code("missing_scope")]);
    bed.file(&room, "refused.txt");
    bed.slack.fail("download", [Fault::Status(404)]);
    bed.slack.say_file(GENERAL, "gone.txt", b"CANARY");

    let wanted = [
        vec!["1 file".to_owned()],
        ["1 deletion", "1 edit", "1 file", "1 reaction", "5 message"]
            .map(str::to_owned)
            .to_vec(),
    ];
    bed.wait_lost(&wanted);
    // Slack takes the next one: what was refused before is no failure of now.
    let sent = bed.text(&room, "after the trouble");
    bed.wait_for("log -n 300 --json", |line| {
        line["fields"]["existing_mxid"] == sent.as_str()
    });
    assert_eq!(bed.lost(), wanted, "and nothing else");
    let causes = bed.bridge("errors --json").json();
    for code in codes {
        assert!(
            causes
                .iter()
                .any(|group| group["error"] == code && group["count"] == 1),
            "{code}: {causes:#?}"
        );
    }
}
