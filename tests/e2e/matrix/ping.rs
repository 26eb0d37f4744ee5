//! An event from one account to another, and everything that can keep it from arriving.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use ops_tests::{Kind, Lab, LabHost, Options, Ran, Tool, skip, tool};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::fake::{Act, Asked, Fake, Start, json as json_reply, reply};
use crate::federating::room;

/// A folder with an ops.yaml and sealed tokens, that only ops-secrets sees in the clear.
struct Purse(tempfile::TempDir);

impl Purse {
    fn new(url: &str, tokens: &Value) -> Self {
        let purse = Self(tempfile::tempdir().unwrap());
        let folder = purse.0.path();
        let secrets = |args: &[&str]| {
            let run = tool("ops-secrets").args(args).dir(folder);
            run.env("SOPS_AGE_KEY_FILE", "key.txt")
        };
        secrets(&["keygen", "-o", "key.txt"]).run().expect(0);
        let key = std::fs::read_to_string(folder.join("key.txt")).unwrap();
        let recipient = key
            .lines()
            .find_map(|line| line.strip_prefix("# public key: "))
            .expect("a recipient");
        let types = ["--input-type", "json", "--output-type", "json", "-"];
        let sealed =
            secrets(&[["encrypt", "--age", recipient].as_slice(), types.as_slice()].concat())
                .stdin(tokens.to_string());
        std::fs::write(folder.join("ping.json"), sealed.run().expect(0).stdout).unwrap();
        let settings = format!("matrix: {{tokens: ping.json, url: \"{url}\"}}\n");
        std::fs::write(folder.join("ops.yaml"), settings).unwrap();
        purse
    }

    fn ping(&self, args: &[&str]) -> Ran {
        self.pinging(args).run()
    }

    fn pinging(&self, args: &[&str]) -> Tool {
        let run = tool("ops-matrix").args(["ping", "--json"]).args(args);
        run.dir(self.0.path()).env("SOPS_AGE_KEY_FILE", "key.txt")
    }
}

/// The token of a new account of a host's homeserver.
fn account(host: &LabHost, name: &str) -> String {
    let ran = host.sh(&format!(
        "/opt/synapse/bin/register_new_matrix_user -u {name} -p made-up --no-admin -c /etc/matrix/homeserver.yaml http://127.0.0.1:8008 >&2 &&
        curl -fsS http://127.0.0.1:8008/_matrix/client/v3/login -d '{{\"type\": \"m.login.password\",
            \"identifier\": {{\"type\": \"m.id.user\", \"user\": \"{name}\"}}, \"password\": \"made-up\"}}' | jq -r .access_token"
    ));
    ran.expect(0).out().trim().to_owned()
}

#[test]
fn an_event_goes_from_one_account_to_another_and_is_taken_back() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = lab.host(
        "matrix-ping",
        Options::from(Kind::Platform).without("mautrix-slack"),
    );
    let (sender, receiver, stranger) = (
        account(&host, "a"),
        account(&host, "b"),
        account(&host, "c"),
    );
    let room = room(
        &host,
        &sender,
        &json!({"preset": "private_chat", "invite": ["@b:chat.example"]}),
    );
    host.sh(&format!("curl -fsS -X POST http://127.0.0.1:8008/_matrix/client/v3/join/{room} -H 'Authorization: Bearer {receiver}' -d '{{}}'"))
        .expect(0);
    let url = "http://127.0.0.1:8008";
    let both = Purse::new(
        url,
        &json!({"token_a": sender, "token_b": receiver, "room": room}),
    );
    let one = Purse::new(url, &json!({"token_a": sender, "room": room}));
    for (purse, accounts) in [(&both, 2), (&one, 1)] {
        let ran = purse.ping(&["--host", host.name()]).expect(0);
        let found = &ran.json()[0];
        assert_eq!(
            (
                &found["status"],
                &found["limit"],
                &found["data"]["cleaned"],
                &found["data"]["accounts"]
            ),
            (&json!("ok"), &json!(5.0), &json!(true), &json!(accounts)),
            "{}",
            ran.out()
        );
        let took = found["value"].as_f64().unwrap();
        assert!(took >= found["data"]["send_s"].as_f64().unwrap(), "{found}");
        assert!(
            ![&sender, &receiver]
                .iter()
                .any(|token| ran.out().contains(*token) || ran.err().contains(*token))
        );
    }
    // Nothing is left in the room but that something was taken back.
    let kept = host.sh(&format!(
        "curl -fsS 'http://127.0.0.1:8008/_matrix/client/v3/rooms/{room}/messages?dir=b' -H 'Authorization: Bearer {sender}' |
            jq -c '.chunk[] | select(.type == \"dev.ops.ping\").content'"
    ));
    assert_eq!(kept.expect(0).out(), "{}\n{}\n");
    // Who is not in the room sees nothing of it, and the event is taken back all the same.
    let outside = Purse::new(
        url,
        &json!({"token_a": sender, "token_b": stranger, "room": room}),
    );
    let ran = outside
        .ping(&["--host", host.name(), "--limit", "500ms"])
        .expect(1);
    let found = &ran.json()[0];
    assert_eq!(
        (&found["message"], &found["data"]["cleaned"]),
        (&json!("the event did not arrive within 1 s"), &json!(true))
    );
    let ran = both
        .ping(&["--host", host.name(), "--limit", "1ms"])
        .expect(1);
    assert!(
        ran.json()[0]["message"]
            .as_str()
            .unwrap()
            .starts_with("the event took"),
        "{}",
        ran.out()
    );
    both.ping(&[]).expect(2).complains("--host localhost");
}

/// A homeserver that lets an event pass, but for what `spoil` says about the n-th request whose path has a word in it.
fn server(word: &'static str, spoil: fn(usize) -> Option<Act>) -> Fake {
    let asked_so_far = AtomicUsize::new(0);
    Fake::start("127.0.0.1", Start::Plain, move |asked: &Asked| {
        if asked.path.contains(word)
            && let Some(act) = spoil(asked_so_far.fetch_add(1, Ordering::SeqCst))
        {
            return act;
        }
        Act::Send(json_reply(match () {
            () if asked.path.contains("since=") => {
                r#"{"next_batch":"2","rooms":{"join":{"!r:chat.example":{"timeline":{"events":[{"event_id":"$sent"}]}}}}}"#
            }
            () if asked.path.contains("/sync?") => r#"{"next_batch":"1"}"#,
            () if asked.path.contains("/send/") => r#"{"event_id":"$sent"}"#,
            () => r#"{"event_id":"$redaction"}"#,
        }))
    })
}

struct Row {
    name: &'static str,
    /// The word in the path, and what is wrong with the n-th such request.
    word: &'static str,
    spoil: fn(usize) -> Option<Act>,
    status: i32,
    fault: Option<&'static str>,
    says: &'static str,
    fix: &'static str,
    /// How often that path is asked.
    asked: usize,
    redacted: bool,
}

fn limited(headers: &str, body: &str) -> Act {
    Act::Send(reply(429, headers, body))
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row { name: "limited for a moment", word: "/send/", spoil: |n| (n == 0).then(|| limited("Retry-After: 1", "")), status: 0, fault: None, says: "the event took", fix: "", asked: 2, redacted: true },
    Row { name: "limited for a moment, the old way", word: "/sync?", spoil: |n| (n == 0).then(|| limited("", r#"{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":100}"#)), status: 0, fault: None, says: "the event took", fix: "", asked: 3, redacted: true },
    Row { name: "limited for longer than we have", word: "/send/", spoil: |_| Some(limited("Retry-After: 3600", "")), status: 3, fault: Some("rate_limited"), says: "cannot send with token_a: rate limited, retry after 3600 s", fix: "ask again later", asked: 1, redacted: false },
    Row { name: "limited without a word", word: "/send/", spoil: |_| Some(limited("", "<html>")), status: 3, fault: Some("rate_limited"), says: "rate limited", fix: "ask again later", asked: 1, redacted: false },
    Row { name: "limited again", word: "/send/", spoil: |_| Some(limited("Retry-After: 0", "")), status: 3, fault: Some("rate_limited"), says: "rate limited", fix: "ask again later", asked: 2, redacted: false },
    Row { name: "a firewall", word: "/send/", spoil: |_| Some(Act::Send(reply(403, "Content-Type: text/html", "<html>error code: 1020"))), status: 1, fault: Some("blocked"), says: "blocked with HTTP 403", fix: "pass the firewall", asked: 1, redacted: false },
    Row { name: "not in the room", word: "/send/", spoil: |_| Some(Act::Send(reply(403, "", r#"{"errcode":"M_FORBIDDEN"}"#))), status: 1, fault: Some("status"), says: "cannot send with token_a: HTTP 403 M_FORBIDDEN", fix: "join the room", asked: 1, redacted: false },
    Row { name: "a token of the past", word: "/sync?", spoil: |_| Some(Act::Send(reply(401, "", r#"{"errcode":"M_UNKNOWN_TOKEN"}"#))), status: 1, fault: Some("status"), says: "cannot sync with token_b: HTTP 401 M_UNKNOWN_TOKEN", fix: "log the account in again", asked: 1, redacted: false },
    Row { name: "broken after the event was sent", word: "since=", spoil: |_| Some(Act::Send(reply(500, "", ""))), status: 1, fault: Some("status"), says: "cannot sync with token_b: HTTP 500", fix: "", asked: 1, redacted: true },
    Row { name: "silent after the event was sent", word: "since=", spoil: |_| Some(Act::Silence), status: 1, fault: Some("timeout"), says: "cannot sync with token_b: no complete answer in time", fix: "", asked: 1, redacted: true },
    Row { name: "not to be taken back", word: "/redact/", spoil: |_| Some(Act::Send(reply(500, "", ""))), status: 0, fault: None, says: "could not be taken back", fix: "", asked: 1, redacted: true },
    Row { name: "dead", word: "", spoil: |_| Some(Act::SendAndClose(Vec::new())), status: 1, fault: Some("closed"), says: "cannot sync with token_b", fix: "", asked: 1, redacted: false },
];

#[test]
fn what_stands_in_the_way_of_an_event_is_named_and_the_event_taken_back() {
    for row in ROWS {
        let fake = server(row.word, row.spoil);
        let tokens =
            json!({"token_a": "s3cr3t-a", "token_b": "s3cr3t-b", "room": "!r:chat.example"});
        let purse = Purse::new(&format!("http://{}", fake.address), &tokens);
        let ran = purse.ping(&["--host", "localhost", "--limit", "300ms", "--timeout", "4s"]);
        let told = format!("{}: {}\n{}{}", row.name, ran.status, ran.out(), ran.err());
        assert_eq!(ran.status, row.status, "{told}");
        let found = &ran.json()[0];
        assert_eq!(found["data"]["fault"].as_str(), row.fault, "{told}");
        assert!(
            found["message"].as_str().unwrap().contains(row.says),
            "{told}"
        );
        assert!(
            found["fix"].as_str().unwrap_or_default().contains(row.fix),
            "{told}"
        );
        let asked = |word: &str| {
            fake.asked()
                .iter()
                .filter(|asked| asked.path.contains(word))
                .count()
        };
        assert_eq!(
            (asked(row.word), asked("/redact/") > 0),
            (row.asked, row.redacted),
            "{told}"
        );
        assert!(!told.contains("s3cr3t"), "{told}");
    }
}

/// Neither the wait for an event that was sent nor a send without an answer leaves the event in the room.
#[test]
fn a_signal_takes_the_event_back() {
    for (word, signal, sends) in [
        ("since=", Signal::TERM, 2),
        ("since=", Signal::INT, 2),
        ("/send/", Signal::TERM, 2),
    ] {
        let (struck, strikes) = mpsc::channel();
        let struck = Mutex::new(Some(struck));
        let fake = Fake::start("127.0.0.1", Start::Plain, move |asked: &Asked| {
            // The first such request is never answered.
            if asked.path.contains(word)
                && let Some(struck) = struck.lock().unwrap().take()
            {
                struck.send(()).unwrap();
                return Act::Silence;
            }
            Act::Send(json_reply(match () {
                () if asked.path.contains("/sync?") => r#"{"next_batch":"1"}"#,
                () if asked.path.contains("/send/") => r#"{"event_id":"$sent"}"#,
                () => r#"{"event_id":"$redaction"}"#,
            }))
        });
        let tokens = json!({"token_a": "x", "room": "!r:chat.example"});
        let purse = Purse::new(&format!("http://{}", fake.address), &tokens);
        let running = purse.pinging(&["--host", "localhost"]).spawn();
        strikes.recv_timeout(Duration::from_mins(1)).unwrap();
        running.signal(signal);
        assert_eq!(running.finish().signal, Some(signal.as_raw()), "{word}");
        let asked = fake.asked();
        let paths = |part: &str| {
            let paths = asked.iter().map(|asked| asked.path.as_str());
            paths.filter(|path| path.contains(part)).collect::<Vec<_>>()
        };
        let sent = paths("/send/");
        // Under one id it is one event, however often it is sent.
        assert!(
            sent.len() == sends && sent.iter().all(|path| *path == sent[0]),
            "{word}: {sent:?}"
        );
        assert_eq!(paths("/redact/%24sent/").len(), 1, "{word}");
    }
}

#[test]
fn a_homeserver_that_is_not_there_is_told_by_its_url() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let purse = Purse::new(&url, &json!({"token_a": "x", "room": "!r:chat.example"}));
    let ran = purse.ping(&["--host", "localhost"]).expect(1);
    assert_eq!(
        ran.json()[0]["message"],
        format!("the homeserver does not answer at '{url}/'")
    );
}
