//! `ping`: an event from one account to another through the homeserver, timed and taken back.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ops_common::check::{Check, State};
use ops_common::span::Span;
use serde_json::{Map, Value, json};
use url::Url;

use crate::answer::{self, AnswerFault};
use crate::discovery::Answer;
use crate::document;
use crate::error::Error;
use crate::http::Request;
use crate::probe::{self, ProbeFailure, seconds};
use crate::public::encoded;
use crate::tokens::{Token, Tokens};
use crate::versions::Base;
use crate::view::View;

/// The name of the check.
pub const CHECK: &str = "matrix.ping";

/// An event type that no client shows.
const EVENT: &str = "dev.ops.ping";

/// The most of a sync reply that is read: the filter leaves one kind of event of one room.
const SYNC_LIMIT: u64 = 4 << 20;

/// Sends, waits, and takes back.
pub fn look(view: &View<'_>, url: &Url, tokens: &Tokens, limit: Span) -> Result<Vec<Check>, Error> {
    let base = Base::of(url);
    let subject = tokens.room.as_str();
    let address = match view.endpoints(&base.host, base.port) {
        Answer::Found(endpoints) => endpoints
            .into_iter()
            .find(|address| view.dial(*address).is_ok()),
        _ => None,
    };
    let Some(address) = address else {
        return Ok(vec![Check::fail(
            CHECK,
            subject,
            format!("the homeserver does not answer at '{url}'"),
        )]);
    };
    let pinger = Pinger {
        view,
        base: &base,
        address,
        tokens,
    };
    Ok(vec![match pinger.ping(limit) {
        Ok(check) => check,
        Err(failure) => Check::new(failure.state(), CHECK, subject, failure.to_string())
            .data(json!({"fault": failure.word()})),
    }])
}

struct Pinger<'a> {
    view: &'a View<'a>,
    base: &'a Base,
    address: SocketAddr,
    tokens: &'a Tokens,
}

impl Pinger<'_> {
    fn ping(&self, limit: Span) -> Result<Check, ProbeFailure> {
        let room = encoded(&self.tokens.room);
        let receiver = self.tokens.receiver.as_ref().unwrap_or(&self.tokens.sender);
        let filter = json!({
            "presence": {"types": []}, "account_data": {"types": []},
            "room": {"rooms": [self.tokens.room], "timeline": {"types": [EVENT], "limit": 10},
                     "state": {"types": []}, "ephemeral": {"types": []}, "account_data": {"types": []}},
        });
        let filter = encoded(&filter.to_string());
        let start = self.ask(
            receiver,
            "GET",
            &format!("sync?timeout=0&filter={filter}"),
            None,
        )?;
        let mut since = text(&start, "next_batch");
        let id = format!("ops{}", jiff::Timestamp::now().as_nanosecond());
        let sent_at = Instant::now();
        let sent = self.ask(
            &self.tokens.sender,
            "PUT",
            &format!("rooms/{room}/send/{EVENT}/{id}"),
            Some(json!({"ping": id})),
        )?;
        let send_s = seconds(sent_at.elapsed());
        let event = text(&sent, "event_id");
        // Twice the limit: so a slow event is measured, and a lost one ends.
        let patience = limit.duration().saturating_mul(2);
        let mut seen_s = None;
        while seen_s.is_none() && sent_at.elapsed() < patience {
            let wait = patience
                .saturating_sub(sent_at.elapsed())
                .min(Duration::from_secs(10))
                .as_millis();
            let path = format!(
                "sync?timeout={wait}&since={}&filter={filter}",
                encoded(&since)
            );
            let reply = self.ask(receiver, "GET", &path, None)?;
            since = text(&reply, "next_batch");
            if Value::Object(reply).to_string().contains(&event) {
                seen_s = Some(seconds(sent_at.elapsed()));
            }
        }
        let redact = format!("rooms/{room}/redact/{}/{id}r", encoded(&event));
        let redacted = self.ask(
            &self.tokens.sender,
            "PUT",
            &redact,
            Some(json!({"reason": "ping"})),
        );
        Ok(self.judge(send_s, seen_s, limit, redacted.is_ok()))
    }

    fn judge(&self, send_s: f64, seen_s: Option<f64>, limit: Span, cleaned: bool) -> Check {
        let room = self.tokens.room.as_str();
        let (state, message) = match seen_s {
            None => (
                State::Fail,
                format!(
                    "the event did not arrive within {} s",
                    limit.as_seconds() * 2.0
                ),
            ),
            Some(took) if took >= limit.as_seconds() => {
                (State::Fail, format!("the event took {took:.3} s"))
            }
            Some(took) if !cleaned => (
                State::Warn,
                format!("the event took {took:.3} s, and could not be taken back"),
            ),
            Some(took) => (State::Ok, format!("the event took {took:.3} s")),
        };
        let check = Check::new(state, CHECK, room, message).limit(limit.as_seconds());
        let check = check.data(json!({"send_s": send_s, "receive_s": seen_s, "cleaned": cleaned, "accounts": if self.tokens.receiver.is_some() { 2 } else { 1 }}));
        match seen_s {
            Some(took) => check.value(took, "s"),
            None => check,
        }
    }

    fn ask(
        &self,
        token: &Token,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Result<Map<String, Value>, ProbeFailure> {
        let endpoint = self.base.at(self.address);
        let opened = probe::open(self.view, &endpoint)?;
        let path = format!("{}/_matrix/client/v3/{path}", self.base.prefix);
        let request = Request {
            method: Some(method),
            host: &endpoint.host_header,
            path: &path,
            headers: vec![
                ("authorization", token.header()),
                ("content-type", "application/json".to_owned()),
            ],
            body: body.map(|body| body.to_string().into_bytes()),
        };
        let reply = opened
            .session
            .ask(&request, SYNC_LIMIT, self.view.deadline())?;
        Ok(document::object(answer::body(&reply)?).map_err(AnswerFault::from)?)
    }
}

fn text(object: &Map<String, Value>, member: &str) -> String {
    object
        .get(member)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}
