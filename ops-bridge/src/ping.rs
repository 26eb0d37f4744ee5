//! `ping`: a message, an edit, a reaction, a deletion and a file each way through the real rooms, timed, and cleaned up.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use ops_common::check::{Check, State};
use ops_common::host::Host;
use ops_common::interrupt;
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

/// How long a signal waits for what was sent to be removed.
const CLEAN_UP: Duration = Duration::from_secs(15);

/// How long the homeserver is asked to wait, so that a signal is not.
const SLICE: Duration = Duration::from_secs(1);

/// How every text and the name of every file of a probe begins; the time of the probe follows.
const WORD: &str = "ops-bridge ping ";

/// What a probe left that is older than this was ended by force. A younger one may still be on its way.
const STALE: Duration = Duration::from_mins(10);

/// How long each thing may take, and when it is given up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) limit: Duration,
    pub(crate) patience: Duration,
}

/// A probe is never left half-way: a signal waits, for a while, until what was sent has been removed.
#[derive(Clone, Default)]
struct Work(Arc<(Mutex<(bool, bool)>, Condvar)>);

impl Work {
    /// Asks for the end, and waits for it.
    fn stop(&self) {
        let (state, ended) = &*self.0;
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = true;
        drop(ended.wait_timeout_while(state, CLEAN_UP, |(_, is_over)| !*is_over));
    }

    fn is_stopped(&self) -> bool {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn end(&self) {
        let (state, ended) = &*self.0;
        state.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        ended.notify_all();
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.work.end();
    }
}

/// Both ends of the bridge.
struct Ends {
    work: Work,
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
pub(crate) fn look(
    host: &Host,
    settings: &Settings,
    tokens: &Tokens,
    limits: Limits,
) -> Result<Vec<Check>, Error> {
    let answer = probe::ask(host, settings, "configuration")?;
    let unreadable = |reason| Error::Answer {
        host: host.name().to_owned(),
        what: "the bridge's configuration",
        reason,
    };
    let configuration = answer.configuration.map_err(unreadable)?;
    let (matrix, earlier) = MatrixApi::connect(
        host,
        &configuration,
        tokens.get("matrix_token")?,
        tokens.get("matrix_room")?.reveal(),
    )?;
    let work = Work::default();
    let _told = {
        let work = work.clone();
        interrupt::guard(move || work.stop())
    };
    let mut ends = Ends {
        work,
        matrix,
        slack: SlackApi::connect(host)?,
        token: tokens.get("slack_token")?.clone(),
        channel: tokens.get("slack_channel")?.reveal().to_owned(),
        word: format!("{WORD}{:x}", Timestamp::now().as_microsecond()),
        limits,
        in_matrix: Vec::new(),
        in_slack: Vec::new(),
    };
    ends.clear_leftovers(&earlier);
    let mut checks = ends.way(Direction::ToSlack);
    checks.extend(ends.way(Direction::ToMatrix));
    ends.clean_up();
    ends.work.end();
    Ok(checks)
}

impl Ends {
    /// Everything in one direction. Where the message does not arrive, nothing that follows it can.
    fn way(&mut self, direction: Direction) -> Vec<Check> {
        let mut checks = Vec::new();
        let mut message = None;
        for operation in Operation::ALL {
            if self.work.is_stopped() {
                break;
            }
            let subject = format!("{direction} {operation}");
            if operation != Operation::Message && message.is_none() {
                checks.push(Check::unknown(
                    CHECK,
                    subject,
                    "not tried: the message before did not arrive",
                ));
                continue;
            }
            let measured = match direction {
                Direction::ToSlack => self.matrix_to_slack(operation, &mut message),
                Direction::ToMatrix => self.slack_to_matrix(operation, &mut message),
            };
            checks.push(judge(subject, measured, self.limits));
        }
        checks
    }

    /// One thing from Matrix to Slack. `message` is the event's id and Slack's time stamp of the message in question.
    fn matrix_to_slack(
        &mut self,
        operation: Operation,
        message: &mut Option<(String, String)>,
    ) -> Measured {
        let sent = Timestamp::now();
        let (event, ts) = message.clone().unwrap_or_default();
        match operation {
            Operation::Message => self.send_text(sent, message),
            Operation::Edit => self.send_edit(sent, &event, &ts),
            Operation::File => self.send_file(sent),
            Operation::Reaction => {
                let relation = json!({"rel_type": "m.annotation", "event_id": event, "key": "👍"});
                self.matrix
                    .send("m.reaction", &json!({"m.relates_to": relation}))?;
                let reacted = |found: &Value| {
                    found["reactions"]
                        .as_array()
                        .is_some_and(|all| !all.is_empty())
                };
                let found = self.in_history(|found| found["ts"] == *ts && reacted(found))?;
                Ok(found.map(|_| between(sent, Timestamp::now())))
            }
            Operation::Deletion => {
                self.matrix.redact(&event)?;
                self.in_matrix.retain(|kept| *kept != event);
                let gone = |ends: &mut Self| {
                    Ok((!ends.history()?.iter().any(|found| found["ts"] == *ts)).then_some(()))
                };
                Ok(self.until(gone)?.map(|()| between(sent, Timestamp::now())))
            }
        }
    }

    fn send_text(&mut self, sent: Timestamp, message: &mut Option<(String, String)>) -> Measured {
        let word = self.word.clone();
        let event = self.matrix.send(
            "m.room.message",
            &json!({"msgtype": "m.text", "body": word}),
        )?;
        self.in_matrix.push(event.clone());
        let found = self.in_history(|found| contains(&found["text"], &word))?;
        Ok(found.map(|found| {
            *message = Some((event, found["ts"].as_str().unwrap_or_default().to_owned()));
            since(sent, &found["ts"])
        }))
    }

    fn send_edit(&mut self, sent: Timestamp, event: &str, ts: &str) -> Measured {
        let edited = format!("{} edited", self.word);
        let new = json!({"msgtype": "m.text", "body": edited});
        let relation = json!({"rel_type": "m.replace", "event_id": event});
        let content = json!({"msgtype": "m.text", "body": edited, "m.new_content": new, "m.relates_to": relation});
        self.matrix.send("m.room.message", &content)?;
        let found =
            self.in_history(|found| found["ts"] == *ts && contains(&found["text"], &edited))?;
        Ok(found.map(|found| since(sent, &found["edited"]["ts"])))
    }

    fn send_file(&mut self, sent: Timestamp) -> Measured {
        let name = format!("{}.txt", self.word.replace(' ', "-"));
        let event = self.matrix.send_file(&name, self.word.as_bytes())?;
        self.in_matrix.push(event);
        let found = self.in_history(|found| has_file(found, "name", &name))?;
        Ok(found.map(|found| since(sent, &found["ts"])))
    }

    /// One thing from Slack to Matrix.
    fn slack_to_matrix(
        &mut self,
        operation: Operation,
        message: &mut Option<(String, String)>,
    ) -> Measured {
        let started = Instant::now();
        let word = format!("{} back", self.word);
        let (event, ts) = message.clone().unwrap_or_default();
        let found = match operation {
            Operation::Message => self.post(&word, message)?,
            Operation::Edit => {
                self.call(
                    "chat.update",
                    &[("ts", &ts), ("text", &format!("{word} edited"))],
                )?;
                self.in_room(|found| {
                    relates(found, &event)
                        && found["content"]["m.relates_to"]["rel_type"] == "m.replace"
                })?
            }
            Operation::Reaction => {
                self.call("reactions.add", &[("timestamp", &ts), ("name", "thumbsup")])?;
                self.in_room(|found| found["type"] == "m.reaction" && relates(found, &event))?
            }
            Operation::Deletion => {
                self.call("chat.delete", &[("ts", &ts)])?;
                self.in_slack.retain(|kept| *kept != ts);
                let redacts = |found: &Value| {
                    found["redacts"] == *event || found["content"]["redacts"] == *event
                };
                self.in_room(|found| found["type"] == "m.room.redaction" && redacts(found))?
            }
            Operation::File => {
                let name = format!("{}.txt", word.replace(' ', "-"));
                self.share(&name, word.as_bytes())?;
                let content =
                    |found: &Value, field: &str| contains(&found["content"][field], &name);
                self.in_room(|found| content(found, "body") || content(found, "filename"))?
            }
        };
        Ok(found.map(|_| started.elapsed()))
    }

    fn post(
        &mut self,
        text: &str,
        message: &mut Option<(String, String)>,
    ) -> Result<Option<Value>, Error> {
        let posted = self.call("chat.postMessage", &[("text", text)])?;
        let ts = posted["ts"].as_str().unwrap_or_default().to_owned();
        self.in_slack.push(ts.clone());
        let found = self.in_room(|found| {
            found["type"] == "m.room.message" && contains(&found["content"]["body"], text)
        })?;
        *message = found.as_ref().map(|found| {
            (
                found["event_id"].as_str().unwrap_or_default().to_owned(),
                ts,
            )
        });
        Ok(found)
    }

    fn share(&mut self, name: &str, content: &[u8]) -> Result<(), Error> {
        let length = content.len().to_string();
        let wanted = self.call(
            "files.getUploadURLExternal",
            &[("filename", name), ("length", &length)],
        )?;
        let id = wanted["file_id"].as_str().unwrap_or_default();
        self.slack
            .upload(wanted["upload_url"].as_str().unwrap_or_default(), content)?;
        let files = json!([{"id": id, "title": name}]).to_string();
        self.call(
            "files.completeUploadExternal",
            &[("files", &files), ("channel_id", &self.channel)],
        )?;
        let is_it = |found: &Value| has_file(found, "id", id);
        if let Some(found) = self.history()?.into_iter().find(is_it) {
            self.in_slack
                .push(found["ts"].as_str().unwrap_or_default().to_owned());
        }
        Ok(())
    }

    fn call(&self, method: &str, fields: &[(&str, &str)]) -> Result<Value, Error> {
        let fields = [&[("channel", self.channel.as_str())], fields].concat();
        let answer = self.slack.call(method, &self.token, &fields)?;
        answer.map_err(|code| Error::Refused {
            whom: "Slack".to_owned(),
            what: method.to_owned(),
            reason: code,
        })
    }

    fn history(&self) -> Result<Vec<Value>, Error> {
        let answer = self.call("conversations.history", &[("limit", "20")])?;
        Ok(answer["messages"].as_array().cloned().unwrap_or_default())
    }

    /// Looks into the channel until a message is there.
    fn in_history(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<Option<Value>, Error> {
        self.until(|ends| Ok(ends.history()?.into_iter().find(&wanted)))
    }

    fn until<T>(
        &mut self,
        mut look: impl FnMut(&mut Self) -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Error> {
        let until = Instant::now() + self.limits.patience;
        loop {
            let found = look(self)?;
            if found.is_some() || Instant::now() >= until || self.work.is_stopped() {
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
            let news = self.matrix.news(left.min(SLICE))?;
            let found = news.into_iter().find(&wanted);
            if found.is_some() || left.is_zero() || self.work.is_stopped() {
                return Ok(found);
            }
        }
    }

    /// Removes what an earlier probe left that was ended by force, as far as it is among the newest.
    fn clear_leftovers(&mut self, earlier: &[Value]) {
        let now = Timestamp::now();
        let text = |found: &Value, fields: &[&str]| {
            let value = fields.iter().fold(found, |value, field| &value[*field]);
            value.as_str().is_some_and(|text| is_leftover(text, now))
        };
        let events = earlier
            .iter()
            .filter(|found| text(found, &["content", "body"]));
        self.in_matrix
            .extend(events.filter_map(|found| found["event_id"].as_str().map(str::to_owned)));
        let messages = self.history().unwrap_or_default();
        let is_ours = |found: &&Value| {
            let name = &found["files"][0];
            text(found, &["text"]) || text(name, &["name"])
        };
        self.in_slack.extend(
            messages
                .iter()
                .filter(is_ours)
                .filter_map(|found| found["ts"].as_str().map(str::to_owned)),
        );
        self.clean_up();
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

/// Whether a text or the name of a file is of a probe that was ended by force.
fn is_leftover(text: &str, now: Timestamp) -> bool {
    let text = text.replace('-', " ");
    let of_probe = text
        .strip_prefix(&WORD.replace('-', " "))
        .and_then(|rest| i64::from_str_radix(rest.split([' ', '.']).next()?, 16).ok())
        .and_then(|at| Timestamp::from_microsecond(at).ok());
    of_probe.is_some_and(|at| between(at, now) > STALE)
}

fn contains(value: &Value, text: &str) -> bool {
    value.as_str().is_some_and(|value| value.contains(text))
}

fn relates(found: &Value, event: &str) -> bool {
    found["content"]["m.relates_to"]["event_id"] == *event
}

fn has_file(found: &Value, field: &str, wanted: &str) -> bool {
    let files = found["files"].as_array();
    files.is_some_and(|files| files.iter().any(|file| file[field] == *wanted))
}

/// The time up to when Slack says that it happened, else up to now.
fn since(sent: Timestamp, ts: &Value) -> Duration {
    between(
        sent,
        ts.as_str().and_then(stamp).unwrap_or_else(Timestamp::now),
    )
}

/// Slack's time stamps are seconds.
fn stamp(ts: &str) -> Option<Timestamp> {
    let seconds = Duration::try_from_secs_f64(ts.parse().ok()?).ok()?;
    Timestamp::from_microsecond(i64::try_from(seconds.as_micros()).ok()?).ok()
}

fn judge(subject: String, measured: Measured, limits: Limits) -> Check {
    let limit = limits.limit.as_secs_f64();
    match measured {
        Err(error) => Check::fail(CHECK, subject, ops_common::exit::describe(&error))
            .limit(limit)
            .fix("ops-bridge errors --since 10m"),
        Ok(None) => Check::fail(
            CHECK,
            subject,
            format!("did not arrive within {}", words(limits.patience)),
        )
        .limit(limit)
        .fix("ops-bridge errors --since 10m"),
        Ok(Some(length)) => {
            let status = if length > limits.limit {
                State::Fail
            } else {
                State::Ok
            };
            let seconds = (length.as_secs_f64() * 1000.0).round() / 1000.0;
            let check = Check::new(
                status,
                CHECK,
                subject,
                format!("arrived after {}", words(length)),
            )
            .value(seconds, "s")
            .limit(limit);
            advise(check, "ops-bridge latency --since 1h")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_old_probe_left_is_removed() {
        let now = Timestamp::from_second(1_787_130_000).unwrap();
        let ago = |seconds: i64| now.as_microsecond() - seconds * 1_000_000;
        for text in [
            format!("ops-bridge ping {:x}", ago(700)),
            format!("ops-bridge ping {:x} back edited", ago(700)),
            format!("ops-bridge-ping-{:x}-back.txt", ago(700)),
        ] {
            assert!(is_leftover(&text, now), "{text}");
        }
        for text in [
            format!("ops-bridge ping {:x}", ago(60)),
            format!("look: ops-bridge ping {:x}", ago(700)),
            "ops-bridge ping --tokens FILE".to_owned(),
            String::new(),
        ] {
            assert!(!is_leftover(&text, now), "{text}");
        }
    }
}
