//! `receive`: the states and checkpoints that the bridge pushes, at any log level, one record each. The only way to learn what
//! became of every message where the log hides it.
//!
//! The bridge waits for an answer and holds its queue of states until it is a good one, so the answer comes before the record.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use ops_common::input;
use ops_common::output::Record;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::configuration::Secret;
use crate::error::Error;
use crate::mask;

/// The bridge sends at once what it has to send.
const TIMEOUT: Duration = Duration::from_secs(10);

/// No head or body of a push is longer.
const HEAD: u64 = 16 << 10;
const BODY: u64 = 1 << 20;

/// Records that wait for a slow reader; the bridge waits beyond that.
const WAITING: usize = 1024;

/// What the bridge pushed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Push {
    at: Option<Timestamp>,
    /// `state` or `checkpoint`.
    kind: &'static str,
    /// The login, or the event.
    subject: String,
    /// CONNECTED and the like; SUCCESS, PERM_FAILURE and the like.
    status: String,
    /// How far the event came: BRIDGE or REMOTE.
    step: String,
    error: String,
    message: String,
    room: String,
    event_type: String,
}

impl Record for Push {
    const COLUMNS: &'static [&'static str] = &[
        "at",
        "kind",
        "subject",
        "status",
        "step",
        "error",
        "message",
        "room",
        "event_type",
    ];
}

/// The token that the bridge proves itself with, from its registration or its configuration.
pub(crate) fn token(path: &Path) -> Result<Secret, Error> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct File {
        as_token: Secret,
        appservice: Section,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Section {
        as_token: Secret,
    }
    let text = input::read(path.as_os_str())?;
    let unusable = |reason: &str| Error::Tokens {
        file: path.display().to_string(),
        reason: reason.to_owned(),
    };
    // The error of the parser could quote the text, so it is not told.
    let file: File =
        serde_yaml::from_slice(&text).map_err(|_| unusable("it is no registration"))?;
    [file.as_token, file.appservice.as_token]
        .into_iter()
        .find(|token| !token.reveal().is_empty())
        .ok_or_else(|| unusable("it has no as_token"))
}

/// Where pushes come in.
#[derive(Debug)]
pub(crate) struct Pushes(Receiver<Push>);

/// Listens on both addresses of this machine that nobody else reaches.
pub(crate) fn listen(port: u16, token: Secret) -> Result<Pushes, Error> {
    let failed = |source| Error::Listen { port, source };
    let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(failed)?;
    let port = v4.local_addr().map_err(failed)?.port();
    // A machine may have no IPv6 at all.
    let v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).ok();
    let (sender, receiver) = sync_channel(WAITING);
    let token = Arc::new(token);
    for listener in [Some(v4), v6].into_iter().flatten() {
        let (sender, token) = (sender.clone(), Arc::clone(&token));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (sender, token) = (sender.clone(), Arc::clone(&token));
                thread::spawn(move || serve(&stream, &token, &sender));
            }
        });
    }
    Ok(Pushes(receiver))
}

impl Pushes {
    /// The next one; nothing when `until` has passed.
    pub(crate) fn next(&self, until: Option<Instant>) -> Option<Push> {
        let Some(until) = until else {
            return self.0.recv().ok();
        };
        let left = until.saturating_duration_since(Instant::now());
        self.0.recv_timeout(left).ok()
    }
}

/// Answers one request. Whoever breaks off is of no interest.
fn serve(stream: &TcpStream, token: &Secret, sender: &SyncSender<Push>) {
    let limits = [
        stream.set_read_timeout(Some(TIMEOUT)),
        stream.set_write_timeout(Some(TIMEOUT)),
    ];
    if limits.into_iter().any(|limit| limit.is_err()) {
        return;
    }
    let (answer, pushes) = match read(stream, token) {
        Ok(body) => ("200 OK", of_body(&body)),
        Err(refusal) => (refusal, Vec::new()),
    };
    let head = "Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close";
    let mut out = stream;
    let answered =
        write!(out, "HTTP/1.1 {answer}\r\n{head}\r\n\r\n{{}}").and_then(|()| out.flush());
    // What is left unread would take the answer away when the connection closes.
    if stream.shutdown(Shutdown::Write).is_ok() {
        drop(io::copy(&mut stream.take(BODY), &mut io::sink()));
    }
    // What was not answered is pushed again.
    if answered.is_ok() {
        for push in pushes {
            // Nobody reads any more: the program ends.
            if sender.send(push).is_err() {
                return;
            }
        }
    }
}

/// The body of a request that may be made, or what to answer instead.
fn read(stream: &TcpStream, token: &Secret) -> Result<Vec<u8>, &'static str> {
    const BAD: &str = "400 Bad Request";
    let mut reader = BufReader::new(stream);
    let mut head = reader.by_ref().take(HEAD);
    let mut line = String::new();
    head.read_line(&mut line).map_err(|_| BAD)?;
    let is_post = line.starts_with("POST ");
    let (mut length, mut bearer) = (None, None);
    loop {
        line.clear();
        if head.read_line(&mut line).map_err(|_| BAD)? == 0 {
            return Err(BAD);
        }
        if line.trim_end().is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else {
            return Err(BAD);
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse::<u64>().ok(),
            "authorization" => bearer = value.trim().strip_prefix("Bearer ").map(str::to_owned),
            _ => {}
        }
    }
    if !bearer.is_some_and(|bearer| is_same(bearer.as_bytes(), token.reveal().as_bytes())) {
        return Err("401 Unauthorized");
    }
    if !is_post {
        return Err("405 Method Not Allowed");
    }
    let length = length.ok_or("411 Length Required")?;
    if length > BODY {
        return Err("413 Content Too Large");
    }
    let mut body = Vec::new();
    let read = reader.take(length).read_to_end(&mut body);
    match read {
        Ok(read) if read as u64 == length => Ok(body),
        _ => Err(BAD),
    }
}

/// Compares without telling by its time where the difference is.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

/// The records of a body: one state, or checkpoints. One that is neither is answered all the same, so that the bridge goes on.
fn of_body(body: &[u8]) -> Vec<Push> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    match body["checkpoints"].as_array() {
        Some(checkpoints) => checkpoints.iter().map(checkpoint).collect(),
        None if body["state_event"].is_string() => vec![state(&body)],
        None => Vec::new(),
    }
}

fn text(value: &Value) -> String {
    mask::secrets(value.as_str().unwrap_or_default())
}

fn checkpoint(told: &Value) -> Push {
    let millis = told["timestamp"].as_i64();
    Push {
        at: millis.and_then(|millis| Timestamp::from_millisecond(millis).ok()),
        kind: "checkpoint",
        subject: text(&told["event_id"]),
        status: text(&told["status"]),
        step: text(&told["step"]),
        error: text(&told["info"]),
        message: String::new(),
        room: text(&told["room_id"]),
        event_type: text(&told["event_type"]),
    }
}

fn state(told: &Value) -> Push {
    let seconds = told["timestamp"].as_i64();
    Push {
        at: seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()),
        kind: "state",
        subject: text(&told["remote_id"]),
        status: text(&told["state_event"]),
        error: text(&told["error"]),
        message: text(&told["message"]),
        ..Push::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is answered to a request, and what came of it.
    fn ask(request: &str) -> (String, Option<Push>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        client.write_all(request.as_bytes()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let (sender, receiver) = sync_channel(9);
        serve(&server, &Secret::new("made-up".to_owned()), &sender);
        drop(server);
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap_or_default();
        (status.to_owned(), receiver.try_recv().ok())
    }

    fn post(token: &str, body: &str) -> (String, Option<Push>) {
        let length = body.len();
        ask(&format!(
            "POST /state HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
    }

    #[test]
    fn states_and_checkpoints_become_records() {
        let state = r#"{"state_event":"TRANSIENT_DISCONNECT","timestamp":1787130001,"error":"slack-socketmode-error","message":"invalid_auth xoxb-1-CANARY","remote_id":"T1-U1"}"#;
        let (status, push) = post("made-up", state);
        let push = push.unwrap();
        assert_eq!(
            (&*status, push.kind, &*push.subject),
            ("200", "state", "T1-U1")
        );
        assert_eq!(push.status, "TRANSIENT_DISCONNECT");
        assert!(!push.message.contains("CANARY"), "{push:?}");
        let checkpoint = r#"{"checkpoints":[{"event_id":"$1","room_id":"!r","step":"REMOTE","timestamp":1787130001500,"status":"PERM_FAILURE","event_type":"m.room.message","reported_by":"BRIDGE","retry_num":0,"info":"not_in_channel"}]}"#;
        let (_, push) = post("made-up", checkpoint);
        let push = push.unwrap();
        assert_eq!(
            (&*push.subject, &*push.step, &*push.error),
            ("$1", "REMOTE", "not_in_channel")
        );
    }

    #[test]
    fn nobody_else_is_listened_to_and_what_is_odd_is_answered() {
        let refused = |request: &str| {
            let (status, push) = ask(request);
            assert_eq!(push, None);
            status
        };
        assert_eq!(post("wrong", "{}"), ("401".to_owned(), None));
        assert_eq!(post("made-uq", "{}"), ("401".to_owned(), None));
        assert_eq!(post("made-up", "no JSON"), ("200".to_owned(), None));
        let allowed = "Authorization: Bearer made-up\r\n";
        assert_eq!(refused("POST / HTTP/1.1\r\n\r\n"), "401");
        assert_eq!(refused(&format!("GET / HTTP/1.1\r\n{allowed}\r\n")), "405");
        assert_eq!(refused(&format!("POST / HTTP/1.1\r\n{allowed}\r\n")), "411");
        let long = format!("POST / HTTP/1.1\r\n{allowed}Content-Length: 9999999\r\n\r\n");
        assert_eq!(refused(&long), "413");
        let half = format!("POST / HTTP/1.1\r\n{allowed}Content-Length: 9\r\n\r\n{{}}");
        assert_eq!(refused(&half), "400");
        assert_eq!(refused("\u{1}\u{2}\r\n"), "400");
        assert_eq!(
            refused(&format!("POST / HTTP/1.1\r\nx: {}", "y".repeat(20_000))),
            "400"
        );
    }
}
