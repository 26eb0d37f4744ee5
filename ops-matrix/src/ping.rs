//! `ping`: an event from one account to another through the homeserver, timed and taken back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ops_common::check::{Check, State};
use ops_common::host::Host;
use ops_common::interrupt;
use ops_common::span::Span;
use serde_json::{Map, Value, json};
use url::Url;

use crate::answer::{self, AnswerFault};
use crate::base::Base;
use crate::discovery::Answer;
use crate::document;
use crate::error::Error;
use crate::ground;
use crate::http::Request;
use crate::probe::{self, ProbeFailure, seconds};
use crate::public::encoded;
use crate::tokens::{Token, Tokens};
use crate::view::{Exceptions, View};

/// The name of the check.
pub const CHECK: &str = "matrix.ping";

/// An event type that no client shows.
const EVENT: &str = "dev.ops.ping";

/// Even with a limit of nothing an event is waited for this long.
const SHORTEST_PATIENCE: Duration = Duration::from_secs(1);

/// How long a run that a signal ends may take to take its event back.
const FAREWELL: Duration = Duration::from_secs(5);

/// The most of a sync reply that is read: the filter leaves one kind of event of one room.
const SYNC_LIMIT: u64 = 4 << 20;

/// Sends, waits, and takes back.
pub fn look(
    host: &Host,
    view: &View<'_>,
    url: &Url,
    tokens: &Arc<Tokens>,
    limit: Span,
) -> Result<Vec<Check>, Error> {
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
    Ok(vec![pinger.ping(host, limit).unwrap_or_else(|failed| {
        let (failure, fix) = (&failed.failure, failed.fix());
        let mut check = Check::new(failure.state(), CHECK, subject, failed.to_string())
            .data(json!({"fault": failure.word()}));
        check.fix = fix.map(str::to_owned);
        check
    })])
}

/// What could not be done, and by which account.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} with {token}: {failure}")]
struct Failed {
    what: &'static str,
    token: &'static str,
    failure: ProbeFailure,
}

impl Failed {
    fn fix(&self) -> Option<&'static str> {
        match &self.failure {
            ProbeFailure::Answer(AnswerFault::Status { status: 401, .. }) => {
                Some("log the account in again, and put its new token into matrix.tokens")
            }
            ProbeFailure::Answer(AnswerFault::Status { status: 403, .. }) => {
                Some("let the account join the room, with the right to send and redact")
            }
            other => other.fix(),
        }
    }
}

struct Pinger<'a> {
    view: &'a View<'a>,
    base: &'a Base,
    address: SocketAddr,
    tokens: &'a Arc<Tokens>,
}

/// An answer, and when its question was asked.
struct Answered {
    object: Map<String, Value>,
    asked_at: Instant,
}

impl Pinger<'_> {
    fn ping(&self, host: &Host, limit: Span) -> Result<Check, Failed> {
        let start = text(&self.sync("", Duration::ZERO)?, "next_batch");
        let id = format!("ops{}", jiff::Timestamp::now().as_nanosecond());
        let taken_back = self.taken_back_by_signals(host, &id);
        let sent = self.send(&id).map_err(|failure| Failed {
            what: "send",
            token: "token_a",
            failure,
        })?;
        let send_s = seconds(sent.asked_at.elapsed());
        let event = text(&sent.object, "event_id");
        let seen_s = self.wait_for(&event, &start, sent.asked_at, limit);
        // Whatever came of it, the event is taken back.
        let redacted = self.redact(&id, &event);
        drop(taken_back);
        Ok(self.judge(send_s, seen_s?, limit, redacted.is_ok()))
    }

    fn send(&self, id: &str) -> Result<Answered, ProbeFailure> {
        let room = encoded(&self.tokens.room);
        let path = format!("rooms/{room}/send/{EVENT}/{id}");
        let content = Some(json!({"ping": id}));
        self.ask(&self.tokens.sender, Duration::ZERO, "PUT", &path, content)
    }

    fn redact(&self, id: &str, event: &str) -> Result<Answered, ProbeFailure> {
        let room = encoded(&self.tokens.room);
        let path = format!("rooms/{room}/redact/{}/{id}r", encoded(event));
        let reason = Some(json!({"reason": "ping"}));
        self.ask(&self.tokens.sender, Duration::ZERO, "PUT", &path, reason)
    }

    /// While this lives, a signal takes the event back before it ends the run. Whether the event is there already is not
    /// known then: it is sent once more, which under the same id is the same event, whose name comes with the answer.
    fn taken_back_by_signals(&self, host: &Host, id: &str) -> interrupt::Guard {
        let (host, base, tokens) = (host.clone(), self.base.clone(), Arc::clone(self.tokens));
        let (address, id) = (self.address, id.to_owned());
        interrupt::guard(move || {
            let (ground, exceptions) = (ground::of(&host), Exceptions::default());
            let pinger = Pinger {
                view: &View::new(&*ground, &exceptions, FAREWELL, FAREWELL),
                base: &base,
                address,
                tokens: &tokens,
            };
            if let Ok(sent) = pinger.send(&id) {
                // Nobody is left to be told that it failed.
                drop(pinger.redact(&id, &text(&sent.object, "event_id")));
            }
        })
    }

    /// Seconds until the receiver has the event, if it comes in time.
    fn wait_for(
        &self,
        event: &str,
        since: &str,
        sent_at: Instant,
        limit: Span,
    ) -> Result<Option<f64>, Failed> {
        let patience = patience(limit);
        let mut since = since.to_owned();
        while sent_at.elapsed() < patience {
            let left = patience.saturating_sub(sent_at.elapsed());
            let reply = self.sync(&since, left.min(Duration::from_secs(10)))?;
            since = text(&reply, "next_batch");
            if Value::Object(reply).to_string().contains(event) {
                return Ok(Some(seconds(sent_at.elapsed())));
            }
        }
        Ok(None)
    }

    /// What is new for the receiver, which nothing but an event of ours in the room is.
    fn sync(&self, since: &str, wait: Duration) -> Result<Map<String, Value>, Failed> {
        let (receiver, token) = match &self.tokens.receiver {
            Some(receiver) => (receiver, "token_b"),
            None => (&self.tokens.sender, "token_a"),
        };
        let filter = json!({
            "presence": {"types": []}, "account_data": {"types": []},
            "room": {"rooms": [self.tokens.room], "timeline": {"types": [EVENT], "limit": 10},
                     "state": {"types": []}, "ephemeral": {"types": []}, "account_data": {"types": []}},
        });
        let mut path = format!(
            "sync?timeout={}&filter={}",
            wait.as_millis(),
            encoded(&filter.to_string())
        );
        if !since.is_empty() {
            path = format!("{path}&since={}", encoded(since));
        }
        self.ask(receiver, wait, "GET", &path, None)
            .map(|answered| answered.object)
            .map_err(|failure| Failed {
                what: "sync",
                token,
                failure,
            })
    }

    fn judge(&self, send_s: f64, seen_s: Option<f64>, limit: Span, cleaned: bool) -> Check {
        let room = self.tokens.room.as_str();
        let (state, message) = match seen_s {
            None => (
                State::Fail,
                format!(
                    "the event did not arrive within {} s",
                    patience(limit).as_secs_f64()
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

    /// Asks what may be answered only after `wait`, and where the server says "later" once more then, if that is in time: a limit is no fault of the server, and
    /// sends and redactions of one id count once.
    fn ask(
        &self,
        token: &Token,
        wait: Duration,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Result<Answered, ProbeFailure> {
        let body = body.map(|body| body.to_string().into_bytes());
        let first = self.ask_once(token, wait, method, path, body.clone());
        let Err(ProbeFailure::Answer(fault)) = &first else {
            return first;
        };
        match (fault.retry_after(), self.view.deadline().left()) {
            (Some(later), Ok(left)) if later < left => {
                std::thread::sleep(later);
                self.ask_once(token, wait, method, path, body)
            }
            _ => first,
        }
    }

    fn ask_once(
        &self,
        token: &Token,
        wait: Duration,
        method: &str,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Answered, ProbeFailure> {
        let endpoint = self.base.at(self.address);
        let asked_at = Instant::now();
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
            body,
        };
        // A question that the server may sit on for a while has that much longer.
        let deadline = self.view.deadline().or_after(wait + self.view.patience());
        let reply = opened.session.ask(&request, SYNC_LIMIT, deadline)?;
        let object = document::object(answer::body(&reply)?).map_err(AnswerFault::from)?;
        Ok(Answered { object, asked_at })
    }
}

/// How long an event is waited for: beyond the limit, so that a slow one is measured, and not for ever.
fn patience(limit: Span) -> Duration {
    limit.duration().saturating_mul(2).max(SHORTEST_PATIENCE)
}

fn text(object: &Map<String, Value>, member: &str) -> String {
    object
        .get(member)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}
