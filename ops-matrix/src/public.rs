//! What the public names show of the homeserver, compared with the server itself: paths, identity, CORS.

use ops_common::check::{Check, State};
use serde_json::json;

use crate::answer;
use crate::base::{self, Base};
use crate::discovery::Answer;
use crate::document;
use crate::error::Error;
use crate::explore::{explore, well_known_url};
use crate::fetch;
use crate::http::{BODY_LIMIT, Reply, Request};
use crate::name::ServerName;
use crate::probe::{self, Endpoint, ProbeFailure};
use crate::trust::Trust;
use crate::view::View;

/// Whether an encoded slash arrives as one.
pub const ENCODING: &str = "matrix.path_encoding";
/// Whether the public name leads to the local server.
pub const IDENTITY: &str = "matrix.identity";
/// Whether browsers may read the answers.
pub const CORS: &str = "matrix.cors";

/// What the public names show, compared with the local server.
pub fn look(
    view: &View<'_>,
    trust: &Trust,
    server: &ServerName,
    local: &Base,
) -> Result<Vec<Check>, Error> {
    let mut checks = Vec::new();
    let local_at = match view.endpoints(&local.host, local.port) {
        Answer::Found(endpoints) => endpoints
            .into_iter()
            .find(|address| view.dial(*address).is_ok()),
        _ => None,
    };
    if let Some(address) = local_at {
        checks.extend(client_paths(
            view,
            server,
            &local.at(address),
            &local.prefix,
        ));
    }
    if let Some(base) = client_base(view, trust, server)?
        && let Answer::Found(endpoints) = view.endpoints(&base.host, base.port)
    {
        for address in endpoints {
            checks.extend(client_paths(view, server, &base.at(address), &base.prefix));
        }
    }
    let route = explore(view, trust, server)?.route;
    for target in &route.targets {
        let endpoint = Endpoint {
            address: target.address,
            tls_name: Some(route.certificate_name.clone()),
            host_header: route.host_header.clone(),
        };
        checks.push(federation_encoding(view, &endpoint));
        if let Some(address) = local_at {
            checks.push(identity(view, &local.at(address), &endpoint));
        }
    }
    Ok(checks)
}

/// Where clients are sent: by the well-known, or the name itself.
pub(crate) fn client_base(
    view: &View<'_>,
    trust: &Trust,
    server: &ServerName,
) -> Result<Option<Base>, Error> {
    let url = well_known_url(&server.host_text(), "client")?;
    let Answer::Found(all) = fetch::from_each_address(view, trust, &url)? else {
        return Ok(None);
    };
    let document = all
        .iter()
        .filter_map(|fetched| fetched.reply.as_ref().ok())
        .find_map(|reply| {
            let body = answer::body(reply).ok()?;
            document::client_well_known(body).ok()
        });
    // Without a well-known, clients take the name itself.
    let base = document.map_or_else(
        || format!("https://{}", server.host_text()),
        |found| found.base_url,
    );
    Ok(Some(Base::of(&base::parse_url(&base)?)))
}

/// The encoded-slash probe and CORS on the client API of one address.
fn client_paths(
    view: &View<'_>,
    server: &ServerName,
    endpoint: &Endpoint,
    prefix: &str,
) -> Vec<Check> {
    let path = format!(
        "{prefix}/_matrix/client/v3/directory/room/%23ops-matrix%2Fprobe%3A{}",
        encoded(server.as_str())
    );
    let subject = format!("{} client", endpoint.address);
    let missing = probe::get(view, endpoint, &path);
    let encoding = match &missing {
        Ok((reply, _)) => encoding_check(&subject, reply, 404, "M_NOT_FOUND"),
        Err(failure) => unseen(ENCODING, &subject, failure),
    };
    let good = probe::get(view, endpoint, &format!("{prefix}/_matrix/client/versions"));
    let preflight = options(view, endpoint, &format!("{prefix}/_matrix/client/versions"));
    let replies = [
        ("answers", good.map(|(reply, _)| reply)),
        ("errors", missing.map(|(reply, _)| reply)),
        ("OPTIONS", preflight),
    ];
    vec![encoding, cors(&subject, &replies)]
}

/// A server name inside a path.
pub(crate) fn encoded(name: &str) -> String {
    url::form_urlencoded::byte_serialize(name.as_bytes()).collect()
}

fn options(view: &View<'_>, endpoint: &Endpoint, path: &str) -> Result<Reply, ProbeFailure> {
    let opened = probe::open(view, endpoint)?;
    let headers = vec![
        ("origin", "https://app.example".to_owned()),
        ("access-control-request-method", "GET".to_owned()),
    ];
    let request = Request {
        method: Some("OPTIONS"),
        host: &endpoint.host_header,
        path,
        headers,
        body: None,
    };
    Ok(opened.session.ask(&request, BODY_LIMIT, view.soon())?)
}

fn federation_encoding(view: &View<'_>, endpoint: &Endpoint) -> Check {
    let subject = format!("{} federation", endpoint.address);
    match probe::get(view, endpoint, "/_matrix/federation/v1/event/%24abc%2Fdef") {
        Ok((reply, _)) if document::federation_disabled(reply.status, &reply.body) => Check::ok(
            ENCODING,
            subject,
            "federation is disabled: nothing to look at",
        ),
        Ok((reply, _)) => encoding_check(&subject, &reply, 401, "M_UNAUTHORIZED"),
        Err(failure) => unseen(ENCODING, &subject, &failure),
    }
}

/// A server that gets `%2F` as it was sent knows the route, and says that the thing is not there or not allowed.
fn encoding_check(subject: &str, reply: &Reply, status: u16, code: &str) -> Check {
    let found = document::error_code(&reply.body);
    match (reply.status, found.as_deref()) {
        (got, Some(errcode)) if got == status && (errcode == code || status == 401) => {
            Check::ok(ENCODING, subject, "an encoded slash arrives as it was sent")
        }
        (404, Some("M_UNRECOGNIZED")) => {
            Check::fail(ENCODING, subject, "something on the way decodes the URI: an encoded slash arrives as a slash")
                .fix("take the path off proxy_pass (nginx), or add nocanon (Apache): the URI has to pass unchanged")
        }
        (got, errcode) => {
            let message = format!("HTTP {got} {}: not what a homeserver says here", errcode.unwrap_or("without an error code"));
            Check::fail(ENCODING, subject, message)
        }
    }
}

fn unseen(name: &str, subject: &str, failure: &ProbeFailure) -> Check {
    let mut check = Check::new(failure.state(), name, subject, failure.to_string())
        .data(json!({"fault": failure.word()}));
    check.fix = failure.fix().map(str::to_owned);
    check
}

fn cors(subject: &str, replies: &[(&str, Result<Reply, ProbeFailure>); 3]) -> Check {
    let mut faults = Vec::new();
    for (what, reply) in replies {
        let Ok(reply) = reply else { continue };
        let origins: Vec<_> = reply.headers("access-control-allow-origin").collect();
        match origins.as_slice() {
            ["*"] => (),
            [] => faults.push(format!("{what} have no Access-Control-Allow-Origin")),
            [other] => faults.push(format!(
                "Access-Control-Allow-Origin of {what} is '{other}'"
            )),
            several => faults.push(format!(
                "{what} have {} Access-Control-Allow-Origin headers",
                several.len()
            )),
        }
    }
    if replies.iter().all(|(_, reply)| reply.is_err()) {
        return Check::unknown(CORS, subject, "no answer to look at");
    }
    if faults.is_empty() {
        return Check::ok(CORS, subject, "browsers may read answers and errors");
    }
    Check::fail(CORS, subject, format!("browsers refuse: {}", faults.join("; ")))
        .fix("send 'Access-Control-Allow-Origin: *' exactly once, on errors too: not from the proxy if the server does it already")
}

/// The local server and the public name must be the same server.
fn identity(view: &View<'_>, local: &Endpoint, public: &Endpoint) -> Check {
    let subject = public.address.to_string();
    let of = |endpoint: &Endpoint| -> Result<(String, String), ProbeFailure> {
        let (keys, mut opened) = probe::get(view, endpoint, "/_matrix/key/v2/server")?;
        let keys = document::object(answer::body(&keys)?).map_err(answer::AnswerFault::from)?;
        let keys = keys
            .get("verify_keys")
            .map_or_else(String::new, ToString::to_string);
        let path = "/_matrix/federation/v1/version";
        let version = probe::get_again(view, &mut opened, endpoint, path)?;
        let version = document::federation_version(answer::body(&version)?)
            .map_err(answer::AnswerFault::from)?;
        Ok((keys, format!("{} {}", version.name, version.version)))
    };
    match (of(local), of(public)) {
        (Ok(one), Ok(other)) if one == other => Check::ok(
            IDENTITY,
            subject,
            "the same keys and version as the local server",
        ),
        (Ok((one_keys, one)), Ok((other_keys, other))) => {
            let what = if one_keys == other_keys {
                format!("version '{other}'")
            } else {
                "other keys".to_owned()
            };
            Check::fail(IDENTITY, subject, format!("the public address shows {what}, the local server is '{one}'"))
                .fix("the proxy passes requests to another server: look at its server blocks and upstreams")
        }
        // A listener for clients only has no keys: nothing can be compared.
        (Err(ProbeFailure::Answer(_)), _) => Check::new(
            State::Ok,
            IDENTITY,
            subject,
            "the local port serves no keys to compare",
        ),
        (Err(failure), _) | (_, Err(failure)) => unseen(IDENTITY, &subject, &failure),
    }
}
