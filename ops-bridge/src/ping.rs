//! `ping`: a message, an edit, a reaction, a deletion and a file each way through the real rooms, timed, and cleaned up.

use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use ops_common::check::{Check, State};
use ops_common::host::Host;
use serde_json::{Value, json};

use crate::configuration::Secret;
use crate::connection::between;
use crate::error::Error;
use crate::known::{Direction, Operation};
use crate::matrix_api::MatrixApi;
use crate::probe;
use crate::settings::Settings;
use crate::slack_api::SlackApi;
use crate::tokens::Tokens;
use crate::verdict::{advise, words};

/// The name of the check.
pub(crate) const CHECK: &str = "bridge.ping";

/// Slack cannot be asked to wait, so it is asked again after this time.
const TURN: Duration = Duration::from_millis(200);

/// How long each thing may take, and when it is given up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) limit: Duration,
    pub(crate) patience: Duration,
}

/// Both ends of the bridge.
struct Ends {
    matrix: MatrixApi,
    slack: SlackApi,
    token: Secret,
    channel: String,
    word: String,
    limits: Limits,
    /// Messages of ours that are still there.
    in_matrix: Vec<String>,
    in_slack: Vec<String>,
}

/// What was measured of one thing: how long it took, nothing if it never came.
type Measured = Result<Option<Duration>, Error>;

/// Probes both ways. The tokens belong to people, not to the bridge: its own messages are echoes to it.
pub(crate) fn look(host: &Host, settings: &Settings, tokens: &Tokens, limits: Limits) -> Result<Vec<Check>, Error> {
    let answer = probe::ask(host, settings, "configuration")?;
    let unreadable = |reason| Error::Answer { host: host.name().to_owned(), what: "the bridge's configuration", reason };
    let configuration = answer.configuration.map_err(unreadable)?;
    let matrix = MatrixApi::connect(host, &configuration, tokens.get("matrix_token")?, tokens.get("matrix_room")?.reveal())?;
    let mut ends = Ends {
        matrix,
        slack: SlackApi::connect(host)?,
        token: tokens.get("slack_token")?.clone(),
        channel: tokens.get("slack_channel")?.reveal().to_owned(),
        word: format!("ops-bridge ping {:x}", Timestamp::now().as_microsecond()),
        limits,
        in_matrix: Vec::new(),
        in_slack: Vec::new(),
    };
    let mut checks = ends.way(Direction::ToSlack);
    checks.extend(ends.way(Direction::ToMatrix));
    ends.clean_up();
    Ok(checks)
}

impl Ends {
    /// Everything in one direction. Where the message does not arrive, nothing that follows it can.
    fn way(&mut self, direction: Direction) -> Vec<Check> {
        let mut checks = Vec::new();
        let mut message = None;
        for operation in Operation::ALL {
            let subject = format!("{direction} {operation}");
            if operation != Operation::Message && message.is_none() {
                checks.push(Check::unknown(CHECK, subject, "not tried: the message before did not arrive"));
                continue;
            }
            let measured = match direction {
                Direction::ToSlack => self.to_slack(operation, &mut message),
                Direction::ToMatrix => self.to_matrix(operation, &mut message),
            };
            checks.push(judge(subject, measured, self.limits));
        }
        checks
    }

    /// One thing from Matrix to Slack. `message` is the event's id and Slack's time stamp of the message in question.
    fn to_slack(&mut self, operation: Operation, message: &mut Option<(String, String)>) -> Measured {
        let sent = Timestamp::now();
        let word = self.word.clone();
        let edited = format!("{word} edited");
        let (event, ts) = message.clone().unwrap_or_default();
        match operation {
            Operation::Message => {
                let event = self.matrix.send("m.room.message", &json!({"msgtype": "m.text", "body": word}))?;
                self.in_matrix.push(event.clone());
                let found = self.in_history(|found| found["text"].as_str().is_some_and(|text| text.contains(&word)))?;
                Ok(found.map(|found| {
                    let ts = found["ts"].as_str().unwrap_or_default().to_owned();
                    let length = stamp(&ts).map(|at| between(sent, at));
                    *message = Some((event, ts));
                    length.unwrap_or_default()
                }))
            }
            Operation::Edit => {
                let new = json!({"msgtype": "m.text", "body": edited});
                let content = json!({"msgtype": "m.text", "body": edited, "m.new_content": new, "m.relates_to": {"rel_type": "m.replace", "event_id": event}});
                self.matrix.send("m.room.message", &content)?;
                let found = self.in_history(|found| found["ts"] == *ts && found["text"].as_str().is_some_and(|text| text.contains(&edited)))?;
                Ok(found.map(|found| found["edited"]["ts"].as_str().and_then(stamp).map_or_else(|| between(sent, Timestamp::now()), |at| between(sent, at))))
            }
            Operation::Reaction => {
                let relation = json!({"rel_type": "m.annotation", "event_id": event, "key": "👍"});
                self.matrix.send("m.reaction", &json!({"m.relates_to": relation}))?;
                let found = self.in_history(|found| found["ts"] == *ts && found["reactions"].as_array().is_some_and(|all| !all.is_empty()))?;
                Ok(found.map(|_| between(sent, Timestamp::now())))
            }
            Operation::Deletion => {
                self.matrix.redact(&event)?;
                self.in_matrix.retain(|kept| *kept != event);
                let gone = self.until(|ends| Ok((!ends.history()?.iter().any(|found| found["ts"] == *ts)).then_some(())))?;
                Ok(gone.map(|()| between(sent, Timestamp::now())))
            }
            Operation::File => {
                let name = format!("{}.txt", word.replace(' ', "-"));
                let event = self.matrix.send_file(&name, word.as_bytes())?;
                self.in_matrix.push(event);
                let has = |found: &Value| found["files"].as_array().is_some_and(|files| files.iter().any(|file| file["name"] == *name));
                let found = self.in_history(has)?;
                Ok(found.map(|found| found["ts"].as_str().and_then(stamp).map_or_else(|| between(sent, Timestamp::now()), |at| between(sent, at))))
            }
        }
    }

    /// One thing from Slack to Matrix.
    fn to_matrix(&mut self, operation: Operation, message: &mut Option<(String, String)>) -> Measured {
        let word = format!("{} back", self.word);
        let edited = format!("{word} edited");
        let (event, ts) = message.clone().unwrap_or_default();
        let started = Instant::now();
        let body = |found: &Value, text: &str| found["content"]["body"].as_str().is_some_and(|body| body.contains(text));
        let found = match operation {
            Operation::Message => {
                let posted = self.call("chat.postMessage", &[("text", &word)])?;
                let ts = posted["ts"].as_str().unwrap_or_default().to_owned();
                self.in_slack.push(ts.clone());
                let found = self.in_room(|found| found["type"] == "m.room.message" && body(found, &word))?;
                if let Some(found) = &found {
                    *message = Some((found["event_id"].as_str().unwrap_or_default().to_owned(), ts));
                }
                found
            }
            Operation::Edit => {
                self.call("chat.update", &[("ts", &ts), ("text", &edited)])?;
                self.in_room(|found| found["content"]["m.relates_to"]["rel_type"] == "m.replace" && found["content"]["m.relates_to"]["event_id"] == *event)?
            }
            Operation::Reaction => {
                self.call("reactions.add", &[("timestamp", &ts), ("name", "thumbsup")])?;
                self.in_room(|found| found["type"] == "m.reaction" && found["content"]["m.relates_to"]["event_id"] == *event)?
            }
            Operation::Deletion => {
                self.call("chat.delete", &[("ts", &ts)])?;
                self.in_slack.retain(|kept| *kept != ts);
                self.in_room(|found| found["type"] == "m.room.redaction" && (found["redacts"] == *event || found["content"]["redacts"] == *event))?
            }
            Operation::File => {
                let name = format!("{}.txt", word.replace(' ', "-"));
                self.share(&name, word.as_bytes())?;
                self.in_room(|found| body(found, &name) || found["content"]["filename"] == *name)?
            }
        };
        Ok(found.map(|_| started.elapsed()))
    }

    fn share(&mut self, name: &str, content: &[u8]) -> Result<(), Error> {
        let length = content.len().to_string();
        let wanted = self.call("files.getUploadURLExternal", &[("filename", name), ("length", &length)])?;
        let id = wanted["file_id"].as_str().unwrap_or_default();
        self.slack.upload(wanted["upload_url"].as_str().unwrap_or_default(), content)?;
        let files = json!([{"id": id, "title": name}]).to_string();
        self.call("files.completeUploadExternal", &[("files", &files), ("channel_id", &self.channel)])?;
        let has = |found: &Value| found["files"].as_array().is_some_and(|files| files.iter().any(|file| file["id"] == *id));
        if let Some(found) = self.history()?.into_iter().find(has) {
            self.in_slack.push(found["ts"].as_str().unwrap_or_default().to_owned());
        }
        Ok(())
    }

    fn call(&self, method: &str, fields: &[(&str, &str)]) -> Result<Value, Error> {
        let fields = [&[("channel", self.channel.as_str())], fields].concat();
        let answer = self.slack.call(method, &self.token, &fields)?;
        answer.map_err(|code| Error::Refused { whom: "Slack".to_owned(), what: method.to_owned(), reason: code })
    }

    fn history(&self) -> Result<Vec<Value>, Error> {
        let answer = self.call("conversations.history", &[("limit", "20")])?;
        Ok(answer["messages"].as_array().cloned().unwrap_or_default())
    }

    /// Looks into the channel until a message is there.
    fn in_history(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<Option<Value>, Error> {
        self.until(|ends| Ok(ends.history()?.into_iter().find(&wanted)))
    }

    fn until<T>(&mut self, mut look: impl FnMut(&mut Self) -> Result<Option<T>, Error>) -> Result<Option<T>, Error> {
        let until = Instant::now() + self.limits.patience;
        loop {
            let found = look(self)?;
            if found.is_some() || Instant::now() >= until {
                return Ok(found);
            }
            thread::sleep(TURN);
        }
    }

    /// Waits until an event comes into the room.
    fn in_room(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<Option<Value>, Error> {
        let until = Instant::now() + self.limits.patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let found = self.matrix.news(left)?.into_iter().find(&wanted);
            if found.is_some() || left.is_zero() {
                return Ok(found);
            }
        }
    }

    /// Removes what is left. That something cannot be removed does not change what was measured.
    fn clean_up(&mut self) {
        for event in std::mem::take(&mut self.in_matrix) {
            drop(self.matrix.redact(&event));
        }
        for ts in std::mem::take(&mut self.in_slack) {
            drop(self.call("chat.delete", &[("ts", &ts)]));
        }
    }
}

/// Slack's time stamps are seconds.
fn stamp(ts: &str) -> Option<Timestamp> {
    let seconds = Duration::try_from_secs_f64(ts.parse().ok()?).ok()?;
    Timestamp::from_microsecond(i64::try_from(seconds.as_micros()).ok()?).ok()
}

fn judge(subject: String, measured: Measured, limits: Limits) -> Check {
    let limit = limits.limit.as_secs_f64();
    match measured {
        Err(error) => Check::fail(CHECK, subject, ops_common::exit::describe(&error)).limit(limit).fix("ops-bridge errors --since 10m"),
        Ok(None) => Check::fail(CHECK, subject, format!("did not arrive within {}", words(limits.patience))).limit(limit).fix("ops-bridge errors --since 10m"),
        Ok(Some(length)) => {
            let status = if length > limits.limit { State::Fail } else { State::Ok };
            let seconds = (length.as_secs_f64() * 1000.0).round() / 1000.0;
            let check = Check::new(status, CHECK, subject, format!("arrived after {}", words(length))).value(seconds, "s").limit(limit);
            advise(check, "ops-bridge latency --since 1h")
        }
    }
}
