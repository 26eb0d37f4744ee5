//! The database of a bridge from before bridgev2: the same questions, asked of a real server.

use ops_tests::{Kind, Lab, LabHost, Ran, skip, tool};
use serde_json::{Value, json};

/// The tables of version 16 that are asked about.
const TABLES: &str = r#"
CREATE TABLE database_owner (key INTEGER PRIMARY KEY DEFAULT 0, owner TEXT NOT NULL);
CREATE TABLE version (version INTEGER PRIMARY KEY);
CREATE TABLE portal (
    team_id TEXT, channel_id TEXT, mxid TEXT UNIQUE, type INT DEFAULT 0, dm_user_id TEXT, plain_name TEXT NOT NULL,
    name TEXT NOT NULL, topic TEXT NOT NULL DEFAULT '', encrypted BOOLEAN NOT NULL DEFAULT false, first_event_id TEXT,
    next_batch_id TEXT, in_space BOOLEAN DEFAULT false, PRIMARY KEY (team_id, channel_id));
CREATE TABLE "user" (mxid TEXT PRIMARY KEY, management_room TEXT, space_room TEXT);
CREATE TABLE user_team (
    mxid TEXT NOT NULL, slack_email TEXT NOT NULL, slack_id TEXT NOT NULL, team_name TEXT NOT NULL, team_id TEXT NOT NULL,
    token TEXT, cookie_token TEXT, PRIMARY KEY (mxid, slack_id, team_id));
CREATE TABLE message (
    team_id TEXT NOT NULL, channel_id TEXT NOT NULL, slack_message_id TEXT NOT NULL, slack_thread_id TEXT,
    matrix_message_id TEXT NOT NULL UNIQUE, author_id TEXT NOT NULL, PRIMARY KEY (slack_message_id, team_id, channel_id),
    FOREIGN KEY (team_id, channel_id) REFERENCES portal (team_id, channel_id) ON DELETE CASCADE);
"#;

/// What stands in them. The nulls are those that the schema allows.
const ROWS: &str = r#"
INSERT INTO database_owner (owner) VALUES ('mautrix-slack');
INSERT INTO version VALUES (16);
INSERT INTO portal (team_id, channel_id, mxid, type, plain_name, name, in_space) VALUES
    ('T1', 'C1', '!a:chat.example', 1, 'general', '#general', true),
    ('T1', 'C2', NULL, 1, 'random', '#random', true),
    ('T1', 'C3', '!c:chat.example', NULL, 'outside', '', NULL),
    ('T1', 'D1', '!d:chat.example', 2, 'Ann "A" O''Hara', '', false),
    ('T1', 'G1', '!g:chat.example', 3, E'two\nlines', E'two\nlines', false),
    ('T2', 'C1', '!e:chat.example', 1, 'general', '#general', true);
INSERT INTO user_team VALUES
    ('@op:chat.example', 'op@chat.example', 'U1', 'Acme', 'T1', 'xoxc-CANARY', 'xoxd-CANARY'),
    ('@old:chat.example', 'old@chat.example', 'U2', 'Acme', 'T1', NULL, NULL);
INSERT INTO message (team_id, channel_id, slack_message_id, matrix_message_id, author_id)
SELECT 'T1', 'C1', to_char(extract(epoch FROM now()) - age, 'FM9999999999.000000'), '$' || age, author
  FROM (VALUES (120, 'U9'), (300, 'U9'), (600, 'U1')) AS sent (age, author);
"#;

fn sql(host: &LabHost, text: &str) {
    let psql = "runuser -u mautrix_slack -- psql -XAtq -v ON_ERROR_STOP=1 -d mautrix_slack";
    assert_eq!(host.sh_with(psql, text.as_bytes()).expect(0).out(), "");
}

fn bridge(host: &LabHost, arguments: &str) -> Ran {
    let ran = tool("ops-bridge")
        .args(arguments.split(' '))
        .args(["--host", host.name()])
        .run();
    assert!(
        !ran.out().contains("CANARY") && !ran.err().contains("CANARY"),
        "{arguments}"
    );
    ran
}

fn column(records: &[Value], names: &[&str]) -> Vec<Value> {
    let of = |record: &Value| names.iter().map(|name| record[*name].clone()).collect();
    records.iter().map(of).collect()
}

#[test]
fn a_database_from_before_bridgev2_answers_too() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = lab.host("bridge-legacy", Kind::Postgres);
    sql(&host, TABLES);
    sql(&host, ROWS);

    let portals = bridge(&host, "portals --json").expect(0).json();
    assert_eq!(
        column(
            &portals,
            &["id", "name", "type", "mxid", "in_space", "trouble"]
        ),
        [
            json!(["T1-C1", "#general", "channel", "!a:chat.example", true, ""]),
            json!(["T2-C1", "#general", "channel", "!e:chat.example", true, ""]),
            json!(["T1-C2", "#random", "channel", null, true, "no room"]),
            json!([
                "T1-D1",
                "Ann \"A\" O'Hara",
                "dm",
                "!d:chat.example",
                false,
                ""
            ]),
            json!([
                "T1-C3",
                "outside",
                "channel",
                "!c:chat.example",
                false,
                "not in space"
            ]),
            json!([
                "T1-G1",
                "two\nlines",
                "group_dm",
                "!g:chat.example",
                false,
                ""
            ]),
        ]
    );
    let only = bridge(&host, "portals T2 --json").expect(0).json();
    assert_eq!(column(&only, &["id"]), [json!(["T2-C1"])]);

    let logins = bridge(&host, "logins --json").expect(0).json();
    let names = [
        "id",
        "user",
        "name",
        "token_kind",
        "has_token",
        "has_app_token",
    ];
    assert_eq!(
        column(&logins, &names),
        [
            json!(["T1-U1", "@op:chat.example", "Acme", "xoxc-", true, false]),
            json!(["T1-U2", "@old:chat.example", "Acme", null, false, false]),
        ]
    );

    let status = bridge(&host, "status --json").json();
    for (direction, age) in [("slack->matrix", 120.0), ("matrix->slack", 600.0)] {
        let last = status.iter().find(|record| {
            record["check"] == "bridge.last_successful_message" && record["subject"] == direction
        });
        let seen = last.and_then(|record| record["value"].as_f64());
        assert!(
            seen.is_some_and(|seen| (age..age + 100.0).contains(&seen)),
            "{direction}: {status:#?}"
        );
    }
    let doctor = bridge(&host, "doctor --json").json();
    let schema = doctor
        .iter()
        .find(|record| record["check"] == "bridge.schema");
    assert!(
        schema.is_some_and(
            |schema| schema["status"] == "warn" && schema["message"] == "legacy version 16"
        ),
        "{doctor:#?}"
    );

    // What is not known is refused, and no list is shown that could be wrong.
    for (change, reason) in [
        ("UPDATE version SET version = 17", "schema version 17"),
        (
            "UPDATE database_owner SET owner = 'mautrix-signal'",
            "it belongs to mautrix-signal",
        ),
        (
            "ALTER TABLE user_team RENAME TO other",
            "its tables are not there",
        ),
    ] {
        sql(&host, change);
        for verb in ["portals", "logins"] {
            let refused = bridge(&host, verb).expect(65);
            assert_eq!(refused.out(), "", "{change}");
            assert!(
                refused.err().contains(reason),
                "{change}: {}",
                refused.err()
            );
        }
    }
}
