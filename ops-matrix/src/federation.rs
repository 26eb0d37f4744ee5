//! `federation`: everything that a peer checks before it believes a server, on every address of it, none hidden by another
//! that works.

use std::collections::BTreeSet;

use ops_common::check::{Check, State};
use ops_common::hosts::fan_out;
use serde_json::{Value, json};

use crate::answer::{self, AnswerFault};
use crate::chain::{self, ChainReport, WARN_DAYS};
use crate::discovery::{Answer, Route, Target};
use crate::document;
use crate::error::Error;
use crate::explore::{Explored, delegation_of, explore};
use crate::fetch::{Fetched, http_date};
use crate::ground::DialFailure;
use crate::http::Reply;
use crate::keys::{self, KeyReply};
use crate::name::ServerName;
use crate::notary;
use crate::probe::{self, Endpoint, Opened, ProbeFailure, seconds};
use crate::tls::TlsFacts;
use crate::trust::Trust;
use crate::versions::now_s;
use crate::view::View;

/// Whether discovery ends anywhere.
pub const DISCOVERY: &str = "matrix.discovery";
/// The well-known as each address of the name serves it.
pub const WELL_KNOWN: &str = "matrix.wellknown";
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
/// Whether all addresses lead to the same server.
pub const SAME: &str = "matrix.same_server";

/// Names at a time.
pub const NAMES_AT_A_TIME: usize = 16;

const ADDRESSES_AT_A_TIME: usize = 16;

/// How far a clock may be off before it is worth a word, and before signatures are in danger.
const SKEW_WARN_S: i64 = 10;
const SKEW_FAIL_S: i64 = 600;

/// Checks names, several at a time.
pub fn look(
    view: &View<'_>,
    trust: &Trust,
    servers: &[ServerName],
    notary: Option<&ServerName>,
) -> Result<Vec<Check>, Error> {
    let checked = fan_out(servers, NAMES_AT_A_TIME, |server| {
        one(view, trust, server, notary)
    });
    let checked: Vec<Vec<Check>> = checked.into_iter().collect::<Result<_, _>>()?;
    Ok(checked.into_iter().flatten().collect())
}

/// All checks of one name.
fn one(
    view: &View<'_>,
    trust: &Trust,
    server: &ServerName,
    notary: Option<&ServerName>,
) -> Result<Vec<Check>, Error> {
    let Explored { route, well_known } = explore(view, trust, server)?;
    let mut checks = vec![discovered(server, &route)];
    if let Some(answer) = &well_known {
        checks.extend(well_known_checks(server, answer));
    }
    let probed = fan_out(&route.targets, ADDRESSES_AT_A_TIME, |target| {
        Probed::of(view, trust, server, &route, target)
    });
    let probed: Vec<Probed> = probed.into_iter().collect::<Result<_, _>>()?;
    let identities: BTreeSet<_> = probed
        .iter()
        .filter_map(|one| one.identity.clone())
        .collect();
    if identities.len() > 1 {
        let message = "its addresses lead to servers with different keys";
        let fix = "point every address that discovery ends at to the same homeserver";
        checks.push(
            Check::fail(SAME, server.as_str(), message)
                .fix(fix)
                .data(json!({"keys": identities})),
        );
    } else if probed.iter().filter(|one| one.identity.is_some()).count() > 1 {
        checks.push(Check::ok(
            SAME,
            server.as_str(),
            "all addresses have the same keys",
        ));
    }
    if let Some(notary) = notary {
        let ids = identities.iter().flatten().map(|(id, _)| id.clone());
        let ids: Vec<String> = ids.collect::<BTreeSet<_>>().into_iter().collect();
        checks.push(notary::look(view, trust, notary, server, &ids)?);
    }
    checks.extend(probed.into_iter().flat_map(|one| one.checks));
    Ok(checks)
}

fn discovered(server: &ServerName, route: &Route) -> Check {
    let addresses: Vec<_> = route
        .targets
        .iter()
        .map(|target| target.address.to_string())
        .collect();
    let data = json!({
        "steps": route.steps.iter().map(|step| json!([step.number, step.question, step.answer])).collect::<Vec<_>>(),
        "targets": addresses, "host_header": route.host_header, "sni": route.sni(), "certificate_name": route.certificate_name,
    });
    let check = match (route.targets.first(), route.doubtful) {
        (Some(first), false) => Check::ok(
            DISCOVERY,
            server.as_str(),
            format!("step {}: {}", first.step, addresses.join(" ")),
        ),
        (Some(first), true) => {
            let message = format!(
                "a look-up failed; without it step {}: {}",
                first.step,
                addresses.join(" ")
            );
            Check::unknown(DISCOVERY, server.as_str(), message)
        }
        (None, true) => Check::unknown(DISCOVERY, server.as_str(), last_answer(route)),
        (None, false) => Check::fail(
            DISCOVERY,
            server.as_str(),
            format!("no address to connect to: {}", last_answer(route)),
        )
        .fix("publish a well-known, an SRV record or an address for the name"),
    };
    check.data(data).identity(json!(route.host_header))
}

fn last_answer(route: &Route) -> String {
    route.steps.last().map_or_else(String::new, |step| {
        format!("{}: {}", step.question, step.answer)
    })
}

/// One record for each address of the name, and one for all together if they disagree.
fn well_known_checks(server: &ServerName, answer: &Answer<Vec<Fetched>>) -> Vec<Check> {
    let all = match answer {
        Answer::Found(all) => all,
        Answer::Absent => {
            return vec![Check::ok(
                WELL_KNOWN,
                server.as_str(),
                "none: the name has no address",
            )];
        }
        Answer::Failed(reason) => {
            return vec![Check::unknown(WELL_KNOWN, server.as_str(), reason.clone())];
        }
    };
    let told: Vec<_> = all
        .iter()
        .map(|fetched| delegation_of(fetched).ok())
        .collect();
    let distinct: BTreeSet<_> = told
        .iter()
        .flatten()
        .map(|delegation| delegation.name.as_str())
        .collect();
    let split = distinct.len() > 1 || (!distinct.is_empty() && told.iter().any(Option::is_none));
    let mut checks: Vec<Check> = all
        .iter()
        .map(|fetched| well_known_check(server, fetched, split))
        .collect();
    if split {
        let message = format!(
            "its addresses serve different well-knowns: {}",
            distinct.into_iter().collect::<Vec<_>>().join(", ")
        );
        let fix = "serve the same /.well-known/matrix/server on every address of the name";
        checks.push(Check::fail(WELL_KNOWN, server.as_str(), message).fix(fix));
    }
    checks
}

fn well_known_check(server: &ServerName, fetched: &Fetched, split: bool) -> Check {
    let subject = format!("{server} {}", fetched.address);
    let (state, message, fault, fix) = match (&fetched.reply, delegation_of(fetched)) {
        (_, Ok(delegation)) => (
            State::Ok,
            format!("m.server {}", delegation.name),
            None,
            None,
        ),
        (Err(fault), _) if fault.is_absence() && !split => (
            State::Ok,
            format!("none ({fault})"),
            Some(fault.word()),
            None,
        ),
        (Err(fault), _) => (
            fault.state(),
            fault.to_string(),
            Some(fault.word()),
            fault.fix(),
        ),
        (Ok(reply), Err(reason)) => match answer::body(reply) {
            Err(AnswerFault::NotFound(_)) if !split => (
                State::Ok,
                "none (HTTP 404)".to_owned(),
                Some("not_found"),
                None,
            ),
            Err(fault) => (fault.state(), reason, Some(fault.word()), fault.fix()),
            Ok(body) => {
                let word = document::delegation(body)
                    .err()
                    .map_or("document", |fault| AnswerFault::from(fault).word());
                (
                    State::Fail,
                    reason,
                    Some(word),
                    Some("serve {\"m.server\": \"NAME:PORT\"} as JSON at this URL"),
                )
            }
        },
    };
    let mut check = Check::new(state, WELL_KNOWN, subject, message).data(json!({
        "fault": fault,
        "hops": fetched.hops,
        "m.server": delegation_of(fetched).ok().map(|delegation| delegation.name.to_string()),
        "kept_s": fetched.lifetime().map(|kept| kept.as_secs()),
        "phases": fetched.phases,
    }));
    check.identity = check.data["m.server"].clone();
    check.fix = fix.map(str::to_owned);
    check
}

/// What one address showed.
struct Probed {
    checks: Vec<Check>,
    /// The keys it signs with.
    identity: Option<Vec<(String, String)>>,
}

impl Probed {
    fn of(
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
        let mut probed = Self {
            checks: Vec::new(),
            identity: None,
        };
        let mut opened = match probe::open(view, &endpoint) {
            Ok(opened) => opened,
            Err(failure) => {
                probed.checks.push(no_connection(&subject, &failure));
                return Ok(probed);
            }
        };
        let connect =
            Check::ok(CONNECT, &subject, "connected").data(json!({"phases": opened.phases}));
        probed
            .checks
            .push(connect.value(opened.phases.connect_s.unwrap_or_default(), "s"));
        if let Some(facts) = &opened.tls {
            let judged = chain::judge(
                &facts.chain,
                &route.certificate_name,
                &*trust.roots()?,
                now_s(),
            );
            probed.checks.push(tls_check(&subject, facts, judged));
        }
        let before = now_s();
        let keys = ask(view, &mut opened, &endpoint, "/_matrix/key/v2/server");
        if let Some(date) = keys
            .as_ref()
            .ok()
            .and_then(|reply| http_date(reply.header("date")?))
        {
            probed.checks.push(clock_check(&subject, date, before));
        }
        let keys = keys.and_then(|reply| Ok((key_reply(&reply, server)?, reply)));
        if let Ok((reply, _)) = &keys {
            probed.identity = Some(reply.keys.clone());
        }
        probed.checks.push(key_check(&subject, keys));
        let version = ask(
            view,
            &mut opened,
            &endpoint,
            "/_matrix/federation/v1/version",
        );
        probed
            .checks
            .push(version_check(&subject, version, &opened));
        Ok(probed)
    }
}

/// Asks on the open connection, or on a new one where the server closed it.
fn ask(
    view: &View<'_>,
    opened: &mut Opened,
    endpoint: &Endpoint,
    path: &str,
) -> Result<Reply, ProbeFailure> {
    match opened.get(view, endpoint, path) {
        Err(ProbeFailure::Http(crate::http::HttpError::Closed)) => {
            let (reply, anew) = probe::get(view, endpoint, path)?;
            *opened = anew;
            Ok(reply)
        }
        other => other,
    }
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
