//! What another server sees of ours: the key it fetches when it is asked for one that it cannot have kept.

use ops_common::check::Check;
use serde_json::{Map, Value, json};

use crate::answer::{self, AnswerFault};
use crate::document;
use crate::error::Error;
use crate::explore::explore;
use crate::http::{BODY_LIMIT, Request};
use crate::name::ServerName;
use crate::probe::{self, Endpoint, ProbeFailure};
use crate::trust::Trust;
use crate::versions::now_s;
use crate::view::View;

/// The name of the check.
pub const CHECK: &str = "matrix.notary";

/// Servers give their keys up to seven days; with a day more, no notary can answer from what it has kept.
const BEYOND_EVERY_CACHE_S: i64 = 8 * 86400;

/// Asks a notary for the keys of a server, of which we know the ids.
pub fn look(
    view: &View<'_>,
    trust: &Trust,
    notary: &ServerName,
    server: &ServerName,
    ids: &[String],
) -> Result<Check, Error> {
    let subject = format!("{server} by {notary}");
    if ids.is_empty() {
        let message = "its key ids are not known, so the notary cannot be asked for them";
        return Ok(Check::unknown(CHECK, subject, message));
    }
    let route = explore(view, trust, notary)?.route;
    let Some(target) = route.targets.first() else {
        return Ok(Check::unknown(
            CHECK,
            subject,
            "the notary's name leads to no address",
        ));
    };
    let endpoint = Endpoint {
        address: target.address,
        tls_name: Some(route.certificate_name.clone()),
        host_header: route.host_header.clone(),
    };
    Ok(match ask(view, &endpoint, server, ids) {
        Ok(Some(found)) => {
            let until = found.get("valid_until_ts").cloned().unwrap_or(Value::Null);
            Check::ok(CHECK, subject, "the notary reaches the server and has its key").data(json!({"valid_until_ts": until}))
        }
        Ok(None) => Check::fail(CHECK, subject, "the notary cannot fetch the server's key")
            .fix("the server is not reachable from there, or its answer is not believed: look at the other checks of it"),
        Err(ProbeFailure::Answer(AnswerFault::NotFound(_))) => {
            Check::unknown(CHECK, subject, "this server is no notary").fix("ask a Synapse: the conduwuit family has no notary")
        }
        // The notary is another's server: that it fails says nothing about ours.
        Err(failure) => Check::unknown(CHECK, subject, format!("the notary does not answer: {failure}")),
    })
}

fn ask(
    view: &View<'_>,
    endpoint: &Endpoint,
    server: &ServerName,
    ids: &[String],
) -> Result<Option<Map<String, Value>>, ProbeFailure> {
    let until = (now_s() + BEYOND_EVERY_CACHE_S) * 1000;
    let wanted: Map<String, Value> = ids
        .iter()
        .map(|id| (id.clone(), json!({"minimum_valid_until_ts": until})))
        .collect();
    let body = json!({"server_keys": {(server.as_str()): wanted}})
        .to_string()
        .into_bytes();
    let opened = probe::open(view, endpoint)?;
    let request = Request {
        method: Some("POST"),
        host: &endpoint.host_header,
        path: "/_matrix/key/v2/query",
        headers: vec![("content-type", "application/json".to_owned())],
        body: Some(body),
    };
    let reply = opened.session.ask(&request, BODY_LIMIT, view.soon())?;
    let answer = document::object(answer::body(&reply)?).map_err(AnswerFault::from)?;
    let found = answer
        .get("server_keys")
        .and_then(Value::as_array)
        .and_then(|all| all.first())
        .and_then(Value::as_object);
    Ok(found.cloned())
}
