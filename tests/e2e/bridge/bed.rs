//! A platform host whose bridge is logged in to the stand-in for Slack, and the Matrix side of its user.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use ops_tests::{Kind, Lab, LabHost, Ran, Tool, tool, tree};
use serde_json::Value;
use tempfile::TempDir;

use crate::slack::{APP_TOKEN, BOT_TOKEN, Slack};

/// How long anything may take to show.
const PATIENCE: Duration = Duration::from_secs(40);

/// Bridge, stand-in and tokens.
pub(crate) struct Bed {
    pub(crate) host: LabHost,
    pub(crate) slack: Slack,
    folder: TempDir,
    token: String,
}

impl Bed {
    /// Boots a host and logs its bridge in.
    pub(crate) fn make(lab: Lab, name: &str) -> Self {
        let host = lab.host(name, Kind::Platform);
        let slack = Slack::start(lab);
        slack.become_slack_of(&host);
        host.wait_for_log("mautrix-slack", "Bridge started");
        let login: Value =
            serde_json::from_slice(&host.read("/etc/ops-lab/op.json")).expect("the user's login");
        let token = login["access_token"].as_str().expect("a token").to_owned();
        let bed = Self {
            host,
            slack,
            folder: tempfile::tempdir().expect("a folder"),
            token,
        };
        bed.write_tokens(
            "slack",
            &format!("bot_token: {BOT_TOKEN}\napp_token: {APP_TOKEN}\n"),
        );
        bed
    }

    /// Logs the bridge in, waits for its socket, and joins the user to the rooms.
    pub(crate) fn log_in(&self) {
        let made = self
            .bridge("login --user @op:chat.example --tokens slack.yaml")
            .expect(0);
        assert_eq!(made.tsv(), [["T1-U1", "@op:chat.example"]]);
        self.slack.wait_for_socket();
        for channel in ["T1-C1", "T1-C2"] {
            let room = self.room(channel);
            self.join(&room);
        }
    }

    /// Encrypts a file of tokens under NAME.yaml, in the folder that the tool runs in.
    pub(crate) fn write_tokens(&self, name: &str, text: &str) {
        let folder = self.folder.path();
        let key = folder.join("key.txt");
        if !key.exists() {
            tool("ops-secrets")
                .args(["keygen", "-o"])
                .arg(&key)
                .run()
                .expect(0);
        }
        let public = fs::read_to_string(&key).expect("a key");
        let public = public
            .lines()
            .find_map(|line| line.split("public key: ").nth(1))
            .expect("its public half")
            .to_owned();
        let path = format!("{name}.yaml");
        let encrypted = tool("ops-secrets")
            .args(["encrypt", "-a", &public, "--filename-override", &path, "-"])
            .stdin(text)
            .dir(folder)
            .run()
            .expect(0);
        #[expect(clippy::disallowed_methods, reason = "a test may leave half a file")]
        fs::write(folder.join(path), encrypted.stdout).expect("a folder to write to");
    }

    /// `ops-bridge ARGUMENTS --host HOST`.
    pub(crate) fn bridge(&self, arguments: &str) -> Ran {
        self.command(arguments).run()
    }

    /// The same, not yet run.
    pub(crate) fn command(&self, arguments: &str) -> Tool {
        let key = self.folder.path().join("key.txt");
        let words = arguments.split_whitespace().filter(|word| !word.is_empty());
        tool("ops-bridge")
            .args(words)
            .args(["--host", self.host.name()])
            .env("SOPS_AGE_KEY_FILE", key)
            .env("SSL_CERT_FILE", tree::authority().join("ca.pem"))
            .dir(self.folder.path())
    }

    /// The record of a check, looked at until it is as wanted.
    pub(crate) fn wait_for(&self, verb: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.wait(PATIENCE, verb, wanted)
    }

    /// The same for what shows only after several of the bridge's own timeouts of 30 s.
    pub(crate) fn wait_long_for(&self, verb: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.wait(3 * PATIENCE, verb, wanted)
    }

    fn wait(&self, patience: Duration, verb: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + patience;
        loop {
            let records = self.bridge(verb).json();
            if let Some(found) = records.iter().find(|record| wanted(record)) {
                return found.clone();
            }
            assert!(
                Instant::now() < until,
                "'{verb}' never said so: {records:#?}"
            );
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// The verdict of `status` and of `socket` about the login, each in one look.
    pub(crate) fn verdicts(&self) -> [String; 2] {
        ["status --json", "socket --json"].map(|verb| {
            let records = self.bridge(verb).json();
            let found = records.iter().find(|record| {
                ["bridge.connection_status", "bridge.socket"]
                    .contains(&record["check"].as_str().unwrap_or_default())
            });
            found
                .and_then(|record| record["data"]["verdict"].as_str())
                .unwrap_or_else(|| panic!("no verdict in {records:#?}"))
                .to_owned()
        })
    }

    /// What was lost from Slack and from Matrix, as `health` counts it: `2 message`.
    pub(crate) fn lost(&self) -> [Vec<String>; 2] {
        let records = self.bridge("health --json").json();
        ["slack->matrix", "matrix->slack"].map(|direction| {
            let record = records.iter().find(|record| {
                record["check"] == "bridge.messages_lost" && record["subject"] == direction
            });
            let record = record.unwrap_or_else(|| panic!("no losses in {records:#?}"));
            let mut counts = std::collections::BTreeMap::<_, u64>::new();
            for cause in record["data"]["causes"].as_array().into_iter().flatten() {
                let operation = cause["operation"].as_str().unwrap_or_default();
                *counts.entry(operation).or_default() += cause["count"].as_u64().unwrap_or(0);
            }
            let mut lost: Vec<_> = counts
                .into_iter()
                .map(|(operation, count)| format!("{count} {operation}"))
                .collect();
            lost.sort();
            lost
        })
    }

    /// Looks until exactly this is lost.
    pub(crate) fn wait_lost(&self, wanted: &[Vec<String>; 2]) {
        let until = Instant::now() + PATIENCE;
        loop {
            let lost = self.lost();
            if lost == *wanted {
                return;
            }
            assert!(Instant::now() < until, "lost is {lost:?}, not {wanted:?}");
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// The room of a portal, once it is there.
    pub(crate) fn room(&self, portal: &str) -> String {
        let found = self.wait_for("portals --json", |record| {
            record["id"] == portal && record["mxid"].is_string()
        });
        found["mxid"].as_str().expect("a room").to_owned()
    }

    /// Joins the user to a room. The portal is there a little before its invitation.
    fn join(&self, room: &str) {
        let until = Instant::now() + PATIENCE;
        while self
            .call("POST", &format!("/_matrix/client/v3/join/{room}"), "{}")
            .status
            != 0
        {
            assert!(
                Instant::now() < until,
                "the user is never invited to {room}"
            );
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Calls the homeserver as the user.
    pub(crate) fn matrix(&self, method: &str, path: &str, body: &str) -> Value {
        let called = self.call(method, path, body).expect(0);
        serde_json::from_slice(&called.stdout).expect("JSON of the homeserver")
    }

    fn call(&self, method: &str, path: &str, body: &str) -> Ran {
        let header = format!("Authorization: Bearer {}", self.token);
        let call = format!(
            "curl -sS --fail-with-body -X {method} -H @- -d '{body}' 'http://127.0.0.1:8008{path}'"
        );
        self.host.sh_with(&call, header.as_bytes())
    }

    /// The user's token.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Sends an event into a room, and returns its id.
    pub(crate) fn send(&self, room: &str, kind: &str, content: &str) -> String {
        static NUMBER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let sent = self.matrix(
            "PUT",
            &format!("/_matrix/client/v3/rooms/{room}/send/{kind}/{number}"),
            content,
        );
        sent["event_id"].as_str().expect("an event").to_owned()
    }

    /// Sends a text.
    pub(crate) fn text(&self, room: &str, text: &str) -> String {
        self.send(
            room,
            "m.room.message",
            &format!(r#"{{"msgtype":"m.text","body":"{text}"}}"#),
        )
    }

    /// Edits an own text.
    pub(crate) fn edit(&self, room: &str, event: &str) -> String {
        let content = format!(
            r#"{{"msgtype":"m.text","body":"edited","m.new_content":{{"msgtype":"m.text","body":"edited"}},"m.relates_to":{{"rel_type":"m.replace","event_id":"{event}"}}}}"#
        );
        self.send(room, "m.room.message", &content)
    }

    /// Reacts to an event.
    pub(crate) fn react(&self, room: &str, event: &str) -> String {
        let content = format!(
            r#"{{"m.relates_to":{{"rel_type":"m.annotation","event_id":"{event}","key":"👍"}}}}"#
        );
        self.send(room, "m.reaction", &content)
    }

    /// Deletes an own event.
    pub(crate) fn redact(&self, room: &str, event: &str) {
        let path = format!("/_matrix/client/v3/rooms/{room}/redact/{event}/redact-{event}");
        self.matrix("PUT", &path, "{}");
    }

    /// Sends a small file.
    pub(crate) fn file(&self, room: &str, name: &str) -> String {
        let path = format!("/_matrix/media/v3/upload?filename={name}");
        let uploaded = self.matrix("POST", &path, "a small file");
        let uri = uploaded["content_uri"].as_str().expect("its address");
        let content = format!(
            r#"{{"msgtype":"m.file","body":"{name}","url":"{uri}","info":{{"size":12,"mimetype":"text/plain"}}}}"#
        );
        self.send(room, "m.room.message", &content)
    }

    /// Replaces a text in the bridge's configuration, which is read at its next start.
    pub(crate) fn set(&self, from: &str, to: &str) {
        let edit = format!(
            "f=/var/lib/mautrix-slack/config.yaml; grep -q '{from}' $f && sed -i 's/{from}/{to}/' $f"
        );
        self.host.sh(&edit).expect(0);
    }

    /// Restarts the bridge and waits for its start.
    pub(crate) fn restart(&self) {
        // The tests restart more often than systemd lets a unit start.
        self.host
            .sh("systemctl reset-failed mautrix-slack; systemctl restart mautrix-slack")
            .expect(0);
    }

    /// The whole journal of the bridge, as journald writes it.
    pub(crate) fn journal(&self) -> Vec<u8> {
        self.host
            .sh("journalctl -u mautrix-slack -o json --all")
            .expect(0)
            .stdout
    }

    /// `ops-bridge ARGUMENTS` with `input` on stdin.
    pub(crate) fn read(arguments: &str, input: Vec<u8>) -> Ran {
        tool("ops-bridge")
            .args(arguments.split_whitespace())
            .stdin(input)
            .run()
    }
}

/// Nothing that must not be seen is in an output.
pub(crate) fn is_clean(ran: &Ran) -> bool {
    !format!("{}{}", ran.out(), ran.err()).contains("CANARY")
}
