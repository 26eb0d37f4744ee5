//! The well-known of a server name, as each address of the name serves it.

use std::collections::BTreeSet;

use ops_common::check::{Check, State};
use serde_json::json;

use crate::answer::{self, AnswerFault};
use crate::discovery::Answer;
use crate::document;
use crate::explore::delegation_of;
use crate::fetch::Fetched;
use crate::name::ServerName;

/// The well-known as each address of the name serves it.
pub const CHECK: &str = "matrix.wellknown";

/// One record for each address of the name, and one for all together if they disagree.
#[must_use]
pub fn checks(server: &ServerName, answer: &Answer<Vec<Fetched>>) -> Vec<Check> {
    let all = match answer {
        Answer::Found(all) => all,
        Answer::Absent => {
            return vec![Check::ok(
                CHECK,
                server.as_str(),
                "none: the name has no address",
            )];
        }
        Answer::Failed(reason) => {
            return vec![Check::unknown(CHECK, server.as_str(), reason.clone())];
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
        .map(|fetched| one(server, fetched, split))
        .collect();
    if split {
        let message = format!(
            "its addresses serve different well-knowns: {}",
            distinct.into_iter().collect::<Vec<_>>().join(", ")
        );
        let fix = "serve the same /.well-known/matrix/server on every address of the name";
        checks.push(Check::fail(CHECK, server.as_str(), message).fix(fix));
    }
    checks
}

fn one(server: &ServerName, fetched: &Fetched, split: bool) -> Check {
    let subject = format!("{server} {}", fetched.address);
    let told = delegation_of(fetched).ok();
    let verdict = match &told {
        Some(delegation) => Verdict {
            state: State::Ok,
            message: format!("m.server {}", delegation.name),
            fault: None,
            fix: None,
        },
        None => undelegated(fetched, split),
    };
    let name = told.map(|delegation| delegation.name.to_string());
    let mut check = Check::new(verdict.state, CHECK, subject, verdict.message).data(json!({
        "fault": verdict.fault,
        "hops": fetched.hops,
        "m.server": name,
        "kept_s": fetched.lifetime().map(|kept| kept.as_secs()),
        "phases": fetched.phases,
    }));
    check.identity = json!(name);
    check.fix = verdict.fix.map(str::to_owned);
    check
}

/// What is to be said about one address.
struct Verdict {
    state: State,
    message: String,
    fault: Option<&'static str>,
    fix: Option<&'static str>,
}

/// Why there is no delegation: nobody has to have one, but what is there must be right, and the same everywhere.
fn undelegated(fetched: &Fetched, split: bool) -> Verdict {
    const FIX: &str = "serve {\"m.server\": \"NAME:PORT\"} as JSON at this URL";
    let verdict = |state, message: String, fault, fix| Verdict {
        state,
        message,
        fault: Some(fault),
        fix,
    };
    let none = |message, fault| verdict(State::Ok, message, fault, None);
    let reply = match &fetched.reply {
        Err(fault) if fault.is_absence() && !split => {
            return none(format!("none ({fault})"), fault.word());
        }
        Err(fault) => return verdict(fault.state(), fault.to_string(), fault.word(), fault.fix()),
        Ok(reply) => reply,
    };
    let fault = match answer::body(reply) {
        Err(AnswerFault::NotFound(_)) if !split => {
            return none("none (HTTP 404)".to_owned(), "not_found");
        }
        Err(fault) => fault,
        Ok(body) => match document::delegation(body) {
            Err(error) => AnswerFault::from(error),
            // Then there is a delegation, and nobody asks.
            Ok(name) => return none(format!("m.server {name}"), "none"),
        },
    };
    verdict(
        fault.state(),
        fault.to_string(),
        fault.word(),
        fault.fix().or(Some(FIX)),
    )
}
