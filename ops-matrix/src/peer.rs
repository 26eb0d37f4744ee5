//! One address of a server, as another server meets it: connection, TLS, keys, clock and version.

use ops_common::check::{Check, State};
use serde_json::{Value, json};

use crate::answer::{self, AnswerFault};
use crate::chain::{self, ChainReport, WARN_DAYS};
use crate::discovery::{Route, Target};
use crate::document;
use crate::error::Error;
use crate::fetch::http_date;
use crate::ground::DialFailure;
use crate::http::Reply;
use crate::keys::{self, KeyReply};
use crate::name::ServerName;
use crate::probe::{self, Endpoint, Opened, ProbeFailure, seconds};
use crate::tls::TlsFacts;
use crate::trust::Trust;
use crate::versions::now_s;
use crate::view::View;

/// Whether each address can be connected to.
pub const CONNECT: &str = "matrix.connect";
/// TLS and the certificate.
pub const TLS: &str = "matrix.tls";
/// The key response and its signatures.
pub const KEYS: &str = "matrix.keys";
/// What the server says it is.
pub const VERSION: &str = "matrix.server_version";
/// The clock of the server against ours.
pub const CLOCK: &str = "matrix.clock";

/// How far a clock may be off before it is worth a word, and before signatures are in danger.
const SKEW_WARN_S: i64 = 10;
const SKEW_FAIL_S: i64 = 600;

/// What one address showed.
pub struct Peer {
    /// Its checks.
    pub checks: Vec<Check>,
    /// The keys it signs with.
    pub identity: Option<Vec<(String, String)>>,
}

impl Peer {
    /// Connects to one target of a server and checks all that is seen there.
    pub fn look(
        view: &View<'_>,
        trust: &Trust,
        server: &ServerName,
        route: &Route,
        target: &Target,
    ) -> Result<Self, Error> {
        let endpoint = Endpoint {
            address: target.address,
            tls_name: Some(route.certificate_name.clone()),
            host_header: route.host_header.clone(),
        };
        let subject = format!("{server} {}", target.address);
        let mut opened = match probe::open(view, &endpoint) {
            Ok(opened) => opened,
            Err(failure) => {
                let checks = vec![no_connection(&subject, &failure)];
                return Ok(Self {
                    checks,
                    identity: None,
                });
            }
        };
        let took = opened.phases.connect_s.unwrap_or_default();
        let phases = json!({"phases": opened.phases});
        let mut checks = vec![
            Check::ok(CONNECT, &subject, "connected")
                .data(phases)
                .value(took, "s"),
        ];
        if let Some(facts) = &opened.tls {
            let roots = trust.roots()?;
            let judged = chain::judge(&facts.chain, &route.certificate_name, &roots, now_s());
            checks.push(tls_check(&subject, facts, judged));
        }
        let identity = keys_and_clock(view, &mut opened, &endpoint, server, &mut checks);
        let path = "/_matrix/federation/v1/version";
        let version = probe::get_again(view, &mut opened, &endpoint, path);
        checks.push(version_check(&subject, version, &opened));
        Ok(Self { checks, identity })
    }
}

/// The key response, and the clock in its `Date` header.
fn keys_and_clock(
    view: &View<'_>,
    opened: &mut Opened,
    endpoint: &Endpoint,
    server: &ServerName,
    checks: &mut Vec<Check>,
) -> Option<Vec<(String, String)>> {
    let subject = format!("{server} {}", endpoint.address);
    let before = now_s();
    let reply = probe::get_again(view, opened, endpoint, "/_matrix/key/v2/server");
    let date = |reply: &Reply| http_date(reply.header("date")?);
    if let Some(date) = reply.as_ref().ok().and_then(date) {
        checks.push(clock_check(&subject, date, before));
    }
    let keys = reply.and_then(|reply| Ok((key_reply(&reply, server)?, reply)));
    let identity = keys.as_ref().ok().map(|(keys, _)| keys.keys.clone());
    checks.push(key_check(&subject, keys));
    identity
}

fn no_connection(subject: &str, failure: &ProbeFailure) -> Check {
    let (name, state) = match failure {
        // Nothing is known about an address that this machine has no way to.
        ProbeFailure::Dial(DialFailure::Unreachable) => (CONNECT, State::Unknown),
        ProbeFailure::Tls(_) => (TLS, failure.state()),
        _ => (CONNECT, failure.state()),
    };
    let mut check = Check::new(state, name, subject, failure.to_string())
        .data(json!({"fault": failure.word()}));
    check.fix = failure.fix().map(str::to_owned);
    check
}

fn tls_check(
    subject: &str,
    facts: &TlsFacts,
    judged: Result<ChainReport, chain::ChainFault>,
) -> Check {
    let report = match judged {
        Ok(report) => report,
        Err(fault) => {
            let data = json!({"fault": fault.word(), "version": facts.version});
            return Check::fail(TLS, subject, fault.to_string())
                .fix(fault.fix())
                .data(data);
        }
    };
    let data = json!({
        "fault": report.faults.first().map(chain::ChainFault::word),
        "faults": report.faults.iter().map(chain::ChainFault::word).collect::<Vec<_>>(),
        "version": facts.version, "cipher": facts.cipher, "subject": report.subject, "issuer": report.issuer,
        "names": report.names, "not_after": report.not_after_s, "days_left": report.days_left, "sent": report.sent,
    });
    let days = report.days_left;
    let mut check = if let Some(first) = report.faults.first() {
        let all: Vec<_> = report.faults.iter().map(ToString::to_string).collect();
        Check::fail(TLS, subject, all.join("; ")).fix(first.fix())
    } else if days < WARN_DAYS {
        let fix = "renew it: automatic renewal should have happened by now";
        Check::warn(TLS, subject, format!("the certificate ends in {days} days")).fix(fix)
    } else {
        Check::ok(
            TLS,
            subject,
            format!(
                "{}, {} by {}, {days} days left",
                facts.version, report.subject, report.issuer
            ),
        )
    };
    check = check.identity(json!([report.not_after_s, report.issuer]));
    #[expect(clippy::cast_precision_loss, reason = "days are few")]
    let days = days as f64;
    check.value(days, "d").data(data)
}

fn clock_check(subject: &str, date: i64, before: i64) -> Check {
    let after = now_s();
    // The header has whole seconds and was written at some instant between question and answer.
    let skew = if date < before {
        date - before
    } else {
        (date - after).max(0)
    };
    let state = match skew.abs() {
        SKEW_FAIL_S.. => State::Fail,
        SKEW_WARN_S.. => State::Warn,
        _ => State::Ok,
    };
    let message = if state == State::Ok {
        "the clocks agree".to_owned()
    } else {
        format!("its clock is {skew} s from ours")
    };
    let mut check = Check::new(state, CLOCK, subject, message);
    if state != State::Ok {
        check = check.fix("keep time by NTP on both machines: key validity is judged by it");
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "a difference of clocks is small"
    )]
    let skew = skew as f64;
    check.value(skew, "s")
}

fn key_reply(reply: &Reply, server: &ServerName) -> Result<KeyReply, ProbeFailure> {
    let body = answer::body(reply)?;
    let now_ms = now_s() * 1000;
    Ok(keys::examine(body, server.as_str(), now_ms).map_err(AnswerFault::from)?)
}

fn key_check(subject: &str, keys: Result<(KeyReply, Reply), ProbeFailure>) -> Check {
    let (keys, reply) = match keys {
        Ok(found) => found,
        Err(failure) => return failed(KEYS, subject, &failure),
    };
    let mut faults: Vec<String> = keys.faults.iter().map(ToString::to_string).collect();
    let mut state = match () {
        () if keys.faults.iter().any(|fault| !fault.is_harmless()) => State::Fail,
        () if !keys.faults.is_empty() => State::Warn,
        () => State::Ok,
    };
    if reply.media_type().as_deref() != Some("application/json") {
        let told = reply.media_type().unwrap_or_else(|| "nothing".to_owned());
        faults.push(format!("Content-Type is {told}, not application/json"));
        state = state.max(State::Warn);
    }
    let data = json!({
        "fault": keys.faults.first().map(keys::KeyFault::word),
        "keys": keys.keys.iter().map(|(id, key)| (id.clone(), json!(key))).collect::<serde_json::Map<_, _>>(),
        "valid_until_ts": keys.valid_until_ms,
        "http_version": reply.version,
    });
    let ids: Vec<_> = keys.keys.iter().map(|(id, _)| id.as_str()).collect();
    let message = if faults.is_empty() {
        format!("signed by {}", ids.join(", "))
    } else {
        faults.join("; ")
    };
    let mut check = Check::new(state, KEYS, subject, message)
        .identity(json!(keys.keys))
        .data(data);
    check.fix = keys.faults.first().map(|fault| fault.fix().to_owned());
    check.value(seconds(reply.total), "s")
}

fn version_check(subject: &str, reply: Result<Reply, ProbeFailure>, opened: &Opened) -> Check {
    let parsed = reply.and_then(|reply| {
        Ok(document::federation_version(answer::body(&reply)?).map_err(AnswerFault::from)?)
    });
    match parsed {
        Ok(software) => {
            let data: Value = json!({"server": software, "phases": opened.phases});
            let message = format!("{} {}", software.name, software.version);
            Check::ok(VERSION, subject, message.trim_end())
                .identity(json!(software))
                .data(data)
        }
        Err(failure) => failed(VERSION, subject, &failure),
    }
}

fn failed(name: &str, subject: &str, failure: &ProbeFailure) -> Check {
    let mut check = Check::new(failure.state(), name, subject, failure.to_string())
        .data(json!({"fault": failure.word()}));
    check.fix = failure.fix().map(str::to_owned);
    check
}
