//! `wellknown`: one of the three documents, from each address of the name, checked and shown.

use ops_common::check::{Check, State};
use ops_common::hosts::fan_out;
use serde_json::{Value, json};

use crate::answer::{self, AnswerFault};
use crate::base;
use crate::discovery::Answer;
use crate::document;
use crate::error::Error;
use crate::explore::well_known_url;
use crate::fetch::{self, Fetched};
use crate::http::Reply;
use crate::name::{HostPart, ServerName};
use crate::trust::Trust;
use crate::versions;
use crate::view::View;

/// Which document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Where other servers connect.
    Server,
    /// Where clients connect.
    Client,
    /// Whom to ask for help.
    Support,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Support => "support",
        }
    }

    /// The name of its check.
    #[must_use]
    pub fn check(self) -> &'static str {
        match self {
            Self::Server => "matrix.wellknown_server",
            Self::Client => "matrix.wellknown_client",
            Self::Support => "matrix.wellknown_support",
        }
    }

    /// Whether browsers read it, so that it needs CORS.
    fn is_for_browsers(self) -> bool {
        self != Self::Server
    }
}

/// Fetches the document of several names, each from each address.
pub fn look(
    view: &View<'_>,
    trust: &Trust,
    kind: Kind,
    servers: &[ServerName],
) -> Result<Vec<Check>, Error> {
    let checked = fan_out(servers, crate::resolve::AT_A_TIME, |server| {
        one(view, trust, kind, server)
    });
    let checked: Vec<Vec<Check>> = checked.into_iter().collect::<Result<_, _>>()?;
    Ok(checked.into_iter().flatten().collect())
}

fn one(
    view: &View<'_>,
    trust: &Trust,
    kind: Kind,
    server: &ServerName,
) -> Result<Vec<Check>, Error> {
    let HostPart::Dns(host) = &server.host else {
        let message = "an address has no well-known: peers and clients connect to it";
        return Ok(vec![Check::ok(kind.check(), server.as_str(), message)]);
    };
    let url = well_known_url(host, kind.word())?;
    let all = match fetch::from_each_address(view, trust, &url)? {
        Answer::Found(all) => all,
        Answer::Absent => {
            return Ok(vec![Check::fail(
                kind.check(),
                server.as_str(),
                "the name has no address",
            )]);
        }
        Answer::Failed(reason) => {
            return Ok(vec![Check::unknown(kind.check(), server.as_str(), reason)]);
        }
    };
    let checks = all
        .iter()
        .map(|fetched| document_check(view, trust, kind, server, fetched));
    checks.collect()
}

/// What was found wrong, gathered while looking.
#[derive(Default)]
struct Findings {
    failures: Vec<String>,
    warnings: Vec<String>,
    fix: Option<String>,
}

impl Findings {
    fn fail(&mut self, what: impl Into<String>, fix: Option<&str>) {
        self.failures.push(what.into());
        self.fix = self.fix.take().or_else(|| fix.map(str::to_owned));
    }
}

fn document_check(
    view: &View<'_>,
    trust: &Trust,
    kind: Kind,
    server: &ServerName,
    fetched: &Fetched,
) -> Result<Check, Error> {
    let subject = format!("{server} {}", fetched.address);
    let reply = match &fetched.reply {
        Ok(reply) => reply,
        Err(fault) => {
            let mut check = Check::new(fault.state(), kind.check(), subject, fault.to_string());
            check.fix = fault.fix().map(str::to_owned);
            return Ok(check.data(json!({"fault": fault.word(), "hops": fetched.hops})));
        }
    };
    let mut findings = Findings::default();
    let mut told = String::new();
    let mut fault = None;
    match content(kind, reply) {
        Ok(text) => told = text,
        Err(AnswerFault::NotFound(_)) => return Ok(absent(kind, subject, fetched)),
        Err(found) if found.state() == State::Unknown => {
            return Ok(unseen(kind, subject, &found, fetched));
        }
        Err(found) => {
            fault = Some(found.word());
            findings.fail(found.to_string(), found.fix());
        }
    }
    if kind == Kind::Client && fault.is_none() {
        client_api(view, trust, &told, &mut findings)?;
    }
    if kind.is_for_browsers() {
        cors(fetched, &mut findings);
    }
    // Peers do not mind, but browsers and the public testers do.
    if fault.is_none() && reply.media_type().as_deref() != Some("application/json") {
        let what = "its Content-Type is not application/json".to_owned();
        findings.warnings.push(what);
    }
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
    let state = match (findings.failures.is_empty(), findings.warnings.is_empty()) {
        (false, _) => State::Fail,
        (true, false) => State::Warn,
        (true, true) => State::Ok,
    };
    let all: Vec<String> = findings
        .failures
        .into_iter()
        .chain(findings.warnings)
        .collect();
    let message = if all.is_empty() { told } else { all.join("; ") };
    let mut check = Check::new(state, kind.check(), subject, message).identity(body.clone());
    check.fix = findings.fix;
    let kept = fetched.lifetime().map(|kept| kept.as_secs());
    Ok(check.data(json!({"fault": fault, "hops": fetched.hops, "kept_s": kept, "phases": fetched.phases, "body": body})))
}

/// The document in one line.
fn content(kind: Kind, reply: &Reply) -> Result<String, AnswerFault> {
    let body = answer::body(reply)?;
    Ok(match kind {
        Kind::Server => document::delegation(body)?.to_string(),
        Kind::Client => document::client_well_known(body)?.base_url,
        Kind::Support => document::support(body)?.join(", "),
    })
}

/// Whoever shall come back later has seen nothing to judge.
fn unseen(kind: Kind, subject: String, fault: &AnswerFault, fetched: &Fetched) -> Check {
    let mut check = Check::unknown(kind.check(), subject, fault.to_string());
    check.fix = fault.fix().map(str::to_owned);
    check.data(json!({"fault": fault.word(), "hops": fetched.hops}))
}

/// No such document: what that means differs.
fn absent(kind: Kind, subject: String, fetched: &Fetched) -> Check {
    let check = match kind {
        Kind::Server => Check::ok(kind.check(), subject, "none (HTTP 404): peers use SRV records, or port 8448 of the name"),
        Kind::Client => Check::warn(kind.check(), subject, "none (HTTP 404): clients take the name itself as the server's address")
            .fix("serve {\"m.homeserver\": {\"base_url\": \"https://...\"}} at /.well-known/matrix/client"),
        Kind::Support => Check::warn(kind.check(), subject, "none (HTTP 404): nobody can find out whom to write to"),
    };
    check.data(json!({"fault": "not_found", "hops": fetched.hops}))
}

/// A client that follows the document must find its API there.
fn client_api(
    view: &View<'_>,
    trust: &Trust,
    base_url: &str,
    findings: &mut Findings,
) -> Result<(), Error> {
    let url = base::parse_url(base_url)?;
    let wanted = versions::Wanted {
        url,
        require: Vec::new(),
        limits: Vec::new(),
    };
    for check in versions::look(view, trust, &wanted)? {
        if check.status == State::Fail {
            let what = format!(
                "the client API at '{base_url}' does not answer: {}: {}",
                check.subject, check.message
            );
            findings.fail(what, check.fix.as_deref());
        }
    }
    Ok(())
}

/// Browsers read nothing without exactly one `*`, on redirects as well as at their end.
fn cors(fetched: &Fetched, findings: &mut Findings) {
    const FIX: &str = "send 'Access-Control-Allow-Origin: *' once, from the proxy or from the server, on redirects too";
    for hop in &fetched.hops {
        match hop.cors.as_slice() {
            [one] if one == "*" => (),
            [] => findings.fail(
                format!(
                    "no Access-Control-Allow-Origin at '{}': browsers cannot read it",
                    hop.url
                ),
                Some(FIX),
            ),
            [other] => findings.fail(
                format!("Access-Control-Allow-Origin is '{other}' at '{}'", hop.url),
                Some(FIX),
            ),
            several => {
                let what = format!(
                    "{} Access-Control-Allow-Origin headers at '{}': browsers accept one",
                    several.len(),
                    hop.url
                );
                findings.fail(what, Some(FIX));
            }
        }
    }
}
