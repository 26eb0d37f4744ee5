//! `outbound`: whether our server reaches another and is believed there, without a login.
//!
//! Our server is asked for an alias of the other one. It has to find that server, send it a signed request, and the other
//! one has to fetch our keys to verify it: three things that fail apart, shown by one answer.

use std::net::SocketAddr;
use std::time::Duration;

use ops_common::check::Check;
use serde_json::{Value, json};
use url::Url;

use crate::answer::AnswerFault;
use crate::base::Base;
use crate::discovery::Answer;
use crate::document;
use crate::error::Error;
use crate::family::Family;
use crate::http::{BODY_LIMIT, HttpError, Reply, Request};
use crate::name::ServerName;
use crate::probe::{self, Endpoint, ProbeFailure};
use crate::public::{client_base, encoded};
use crate::socket::Deadline;
use crate::trust::Trust;
use crate::view::View;

/// The name of the check.
pub const CHECK: &str = "matrix.outbound";

/// A server whose resolver is dead does not answer for minutes: this is long enough for one that works.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is asked.
pub struct Wanted<'a> {
    /// Our server's client API.
    pub url: &'a Url,
    /// The other server.
    pub remote: &'a ServerName,
    /// An alias that is known to exist there, without `#` and server name.
    pub alias: Option<&'a str>,
}

/// Sends our server to another one.
pub fn look(view: &View<'_>, trust: &Trust, wanted: &Wanted<'_>) -> Result<Vec<Check>, Error> {
    let subject = wanted.remote.as_str();
    let base = Base::of(wanted.url);
    let Some(ours) = first_that_answers(view, &base) else {
        return Ok(vec![Check::unknown(
            CHECK,
            subject,
            format!("our own server does not answer at '{}'", wanted.url),
        )]);
    };
    let check = match wanted.alias {
        Some(alias) => known(view, trust, wanted, alias, &ours, &base)?,
        None => random(view, wanted, &ours, &base),
    };
    Ok(vec![check])
}

fn first_that_answers(view: &View<'_>, base: &Base) -> Option<SocketAddr> {
    let Answer::Found(endpoints) = view.endpoints(&base.host, base.port) else {
        return None;
    };
    endpoints
        .into_iter()
        .find(|address| view.dial(*address).is_ok())
}

/// The alias exists there, as the other server itself says: ours must find the same room.
fn known(
    view: &View<'_>,
    trust: &Trust,
    wanted: &Wanted<'_>,
    alias: &str,
    ours: &SocketAddr,
    base: &Base,
) -> Result<Check, Error> {
    let subject = wanted.remote.as_str();
    let Some(control) = control(view, trust, wanted.remote, alias)? else {
        let message = format!(
            "the alias '#{alias}:{subject}' cannot be found on its own server, so it proves nothing"
        );
        return Ok(Check::unknown(CHECK, subject, message)
            .fix("name an alias that exists there with --alias"));
    };
    let (found, took) = match ask(
        view,
        &base.at(*ours),
        &path(&base.prefix, alias, wanted.remote),
    ) {
        Ok(reply) => (room(&reply), Some(reply)),
        Err(failure) => return Ok(unanswered(subject, &failure)),
    };
    let check = match found {
        Some(room) if room == control => Check::ok(
            CHECK,
            subject,
            "our server reaches it, signs, and is believed",
        )
        .data(json!({"room_id": room})),
        Some(room) => Check::fail(
            CHECK,
            subject,
            "our server finds another room under the alias",
        )
        .data(json!({"room_id": room, "control": control})),
        None => broken(subject),
    };
    Ok(timed(check, took.as_ref()))
}

fn broken(subject: &str) -> Check {
    Check::fail(CHECK, subject, "our server does not find an alias that exists: it cannot reach the other one, is not believed, or waits after a failure")
        .fix("look for 'Unable to resolve remote room alias' in the journal; wait before asking again, since each failure makes the wait longer")
}

fn timed(check: Check, reply: Option<&Reply>) -> Check {
    match reply {
        Some(reply) => check.value(probe::seconds(reply.total), "s"),
        None => check,
    }
}

/// The room of the alias by the other server's own word.
fn control(
    view: &View<'_>,
    trust: &Trust,
    remote: &ServerName,
    alias: &str,
) -> Result<Option<String>, Error> {
    let Some(base) = client_base(view, trust, remote)? else {
        return Ok(None);
    };
    let Answer::Found(endpoints) = view.endpoints(&base.host, base.port) else {
        return Ok(None);
    };
    let path = path(&base.prefix, alias, remote);
    Ok(endpoints
        .into_iter()
        .find_map(|address| room(&ask(view, &base.at(address), &path).ok()?)))
}

/// No alias is known: only a server that tells a failed look-up from a missing alias can be judged.
fn random(view: &View<'_>, wanted: &Wanted<'_>, ours: &SocketAddr, base: &Base) -> Check {
    let subject = wanted.remote.as_str();
    let endpoint = base.at(*ours);
    let alias = format!(
        "ops-matrix-probe-{}",
        jiff::Timestamp::now().as_nanosecond()
    );
    let reply = match ask(view, &endpoint, &path(&base.prefix, &alias, wanted.remote)) {
        Ok(reply) => reply,
        Err(failure) => return unanswered(subject, &failure),
    };
    let code = document::error_code(&reply.body);
    let check = match (reply.status, code.as_deref()) {
        (404, Some("M_NOT_FOUND")) if tells_failures_apart(&reply) => Check::ok(
            CHECK,
            subject,
            "our server reaches it, signs, and is believed (there is no such alias)",
        ),
        (404, Some("M_NOT_FOUND")) => Check::unknown(
            CHECK,
            subject,
            "this homeserver answers 404 to every failure, so a made-up alias proves nothing",
        )
        .fix("name an alias that exists there with --alias"),
        (502 | 504, _) => Check::fail(
            CHECK,
            subject,
            "our server cannot fetch from it, or it cannot fetch our keys",
        )
        .fix("check the other server with 'ops-matrix federation', and ours with '--notary'"),
        (status, code) => {
            let message = format!(
                "our server answers HTTP {status} {}",
                code.unwrap_or("without an error code")
            );
            Check::unknown(CHECK, subject, message)
        }
    };
    timed(check, Some(&reply)).data(json!({"status": reply.status, "errcode": code}))
}

/// Synapse does; the conduwuit family turns every failure into a missing alias. It names itself in a header, they do not.
fn tells_failures_apart(reply: &Reply) -> bool {
    let software = reply.header("server").and_then(Family::of_software);
    software.is_some_and(|family| family.name == "Synapse")
}

fn path(prefix: &str, alias: &str, server: &ServerName) -> String {
    format!(
        "{prefix}/_matrix/client/v3/directory/room/%23{}%3A{}",
        encoded(alias),
        encoded(server.as_str())
    )
}

fn ask(view: &View<'_>, endpoint: &Endpoint, path: &str) -> Result<Reply, ProbeFailure> {
    let opened = probe::open(view, endpoint)?;
    let request = Request {
        host: &endpoint.host_header,
        path,
        ..Request::default()
    };
    let deadline: Deadline = view.deadline().or_after(PATIENCE);
    Ok(opened.session.ask(&request, BODY_LIMIT, deadline)?)
}

fn room(reply: &Reply) -> Option<String> {
    let object = document::object(crate::answer::body(reply).ok()?).ok()?;
    object
        .get("room_id")
        .and_then(Value::as_str)
        .map(str::to_owned)
}

fn unanswered(subject: &str, failure: &ProbeFailure) -> Check {
    match failure {
        ProbeFailure::Http(HttpError::Timeout) => Check::fail(
            CHECK,
            subject,
            format!(
                "our server did not answer within {} s: it waits for its resolver",
                PATIENCE.as_secs()
            ),
        )
        .fix("look at the name servers of the host: the homeserver hangs while they do not answer"),
        ProbeFailure::Answer(AnswerFault::RateLimited(_)) => {
            Check::unknown(CHECK, subject, failure.to_string())
        }
        _ => Check::unknown(
            CHECK,
            subject,
            format!("our own server does not answer: {failure}"),
        ),
    }
}
