//! `versions`: the client API on each address of a URL, by itself.

use std::net::SocketAddr;
use std::time::Instant;

use ops_common::check::Check;
use ops_common::hosts::fan_out;
use serde_json::{Value, json};
use url::Url;

use crate::answer;
use crate::base::Base;
use crate::chain::{self, ChainFault, ChainReport};
use crate::discovery::Answer;
use crate::document::{self, Software, Versions};
use crate::error::Error;
use crate::family::{FAMILIES, Family};
use crate::http::Reply;
use crate::limit::Limit;
use crate::probe::{self, Endpoint, Opened, Phases, ProbeFailure, seconds};
use crate::tls::TlsFacts;
use crate::trust::Trust;
use crate::view::View;

/// The name of the check.
pub const CHECK: &str = "matrix.versions";

const PATH: &str = "/_matrix/client/versions";

/// Addresses asked at a time.
const AT_A_TIME: usize = 16;

/// What is asked, and what is expected.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The base of the client API.
    pub url: Url,
    /// Versions of the specification that must be offered.
    pub require: Vec<String>,
    /// How long the phases may take.
    pub limits: Vec<Limit>,
}

/// One record for each address of the URL.
pub fn look(view: &View<'_>, trust: &Trust, wanted: &Wanted) -> Result<Vec<Check>, Error> {
    let base = Base::of(&wanted.url);
    let started = Instant::now();
    let endpoints = match view.endpoints(&base.host, base.port) {
        Answer::Found(endpoints) => endpoints,
        Answer::Absent => {
            let message = format!("'{}' has no address", base.host);
            return Ok(vec![Check::fail(CHECK, wanted.url.as_str(), message)]);
        }
        Answer::Failed(reason) => {
            let message = format!("cannot look up '{}': {reason}", base.host);
            return Ok(vec![Check::unknown(CHECK, wanted.url.as_str(), message)]);
        }
    };
    let is_name = wanted.url.domain().is_some();
    let resolve_s = is_name.then(|| seconds(started.elapsed()));
    let at = |address: &SocketAddr| address_check(view, trust, wanted, &base, *address, resolve_s);
    fan_out(&endpoints, AT_A_TIME, at).into_iter().collect()
}

fn address_check(
    view: &View<'_>,
    trust: &Trust,
    wanted: &Wanted,
    base: &Base,
    address: SocketAddr,
    resolve_s: Option<f64>,
) -> Result<Check, Error> {
    let subject = address.to_string();
    let seen = match ask(view, base, address, resolve_s) {
        Ok(seen) => seen,
        Err(failure) => return Ok(failed(&subject, &failure, base)),
    };
    let chain = match &seen.tls {
        Some(facts) => {
            let roots = trust.roots()?;
            Some(chain::judge(&facts.chain, &base.host, &roots, now_s()))
        }
        None => None,
    };
    let (faults, fix) = faults(wanted, &seen, chain.as_ref());
    let mut check = match faults.as_slice() {
        [] => Check::ok(CHECK, subject, summary(&seen)),
        faults => Check::fail(CHECK, subject, faults.join("; ")),
    };
    check = check
        .data(data(&seen, chain.and_then(Result::ok).as_ref()))
        .identity(json!([seen.software, seen.versions.versions]));
    check.value = seen.phases.total_s;
    check.unit = check.value.map(|_| "s".to_owned());
    check.limit = wanted.limits.iter().find_map(|limit| limit.of_total());
    check.fix = fix.map(str::to_owned);
    Ok(check)
}

/// Everything wrong with an answer that came, and what to do about its certificate.
fn faults(
    wanted: &Wanted,
    seen: &Seen,
    chain: Option<&Result<ChainReport, ChainFault>>,
) -> (Vec<String>, Option<&'static str>) {
    let limits = wanted.limits.iter();
    let mut faults: Vec<String> = limits
        .filter_map(|limit| limit.broken(&seen.phases))
        .collect();
    faults.extend(missing(&wanted.require, &seen.versions));
    let of_chain = match chain {
        Some(Ok(report)) => report.faults.as_slice(),
        Some(Err(fault)) => std::slice::from_ref(fault),
        None => &[],
    };
    faults.extend(of_chain.iter().map(ToString::to_string));
    (faults, of_chain.first().map(ChainFault::fix))
}

/// Seconds since 1970.
#[must_use]
pub fn now_s() -> i64 {
    jiff::Timestamp::now().as_second()
}

struct Seen {
    phases: Phases,
    tls: Option<TlsFacts>,
    versions: Versions,
    software: Option<Software>,
}

fn ask(
    view: &View<'_>,
    base: &Base,
    address: SocketAddr,
    resolve_s: Option<f64>,
) -> Result<Seen, ProbeFailure> {
    let endpoint = base.at(address);
    let mut opened = probe::open(view, &endpoint)?;
    opened.phases.resolve_s = resolve_s;
    let reply = opened.get(view, &endpoint, &format!("{}{PATH}", base.prefix))?;
    let versions = document::versions(answer::body(&reply)?).map_err(answer::AnswerFault::from)?;
    // The time of the further questions is not that of the probe, and neither is a connection that they need.
    let (phases, tls) = (opened.phases, opened.tls.clone());
    let software = software(view, &mut opened, &endpoint, base, &versions, &reply);
    Ok(Seen {
        phases,
        tls,
        versions,
        software,
    })
}

/// What the server is: from the reply itself, else from the routes that tell, on the same connection.
fn software(
    view: &View<'_>,
    opened: &mut Opened,
    endpoint: &Endpoint,
    base: &Base,
    versions: &Versions,
    reply: &Reply,
) -> Option<Software> {
    if let Some(told) = &versions.server {
        return Some(told.clone());
    }
    if let Some(told) = reply.header("server").and_then(of_header) {
        return Some(told);
    }
    let mut get = |path: &str| {
        let path = format!("{}{path}", base.prefix);
        probe::get_again(view, opened, endpoint, &path).ok()
    };
    let federation = get("/_matrix/federation/v1/version")?;
    if let Some(told) = answer::body(&federation)
        .ok()
        .and_then(|body| document::federation_version(body).ok())
    {
        return Some(told);
    }
    FAMILIES
        .iter()
        .filter_map(|family| family.prefix)
        .find_map(|prefix| {
            let reply = get(&format!("{prefix}/server_version"))?;
            document::server_version(answer::body(&reply).ok()?).ok()
        })
}

/// `Synapse/1.163.2`; what a proxy writes there is not the homeserver.
fn of_header(text: &str) -> Option<Software> {
    let (name, version) = text.split_once('/')?;
    Family::of_software(name)?;
    Some(Software {
        name: name.to_owned(),
        version: version.to_owned(),
    })
}

fn missing(require: &[String], versions: &Versions) -> Option<String> {
    let missing: Vec<_> = require
        .iter()
        .filter(|one| !versions.versions.contains(one))
        .map(String::as_str)
        .collect();
    (!missing.is_empty()).then(|| format!("does not offer {}", missing.join(", ")))
}

fn failed(subject: &str, failure: &ProbeFailure, base: &Base) -> Check {
    let mut check = Check::new(failure.state(), CHECK, subject, failure.to_string());
    check.fix = failure.fix().map(str::to_owned);
    if failure.word() == "refused" && check.fix.is_none() {
        let name = if base.host.parse::<std::net::IpAddr>().is_ok() {
            String::new()
        } else {
            format!(" of '{}'", base.host)
        };
        check.fix = Some(format!(
            "nothing listens at {subject}{name}: 'ops-matrix status' shows where the server really listens, 'ops-matrix paths' who is hit"
        ));
    }
    check.data(json!({"fault": failure.word()}))
}

fn summary(seen: &Seen) -> String {
    let software = seen.software.as_ref().map_or_else(
        || "a homeserver that does not tell its name".to_owned(),
        |software| {
            format!("{} {}", software.name, software.version)
                .trim_end()
                .to_owned()
        },
    );
    let newest = seen.versions.versions.last().map_or("", String::as_str);
    format!(
        "{software}, up to {newest}, {} features",
        seen.versions.features.len()
    )
}

fn data(seen: &Seen, chain: Option<&ChainReport>) -> Value {
    let mut data = json!({
        "phases": seen.phases,
        "versions": seen.versions.versions,
        "features": seen.versions.features,
        "server": seen.software,
    });
    if let (Some(facts), Some(chain)) = (&seen.tls, chain) {
        data["tls"] = json!({"version": facts.version, "cipher": facts.cipher, "days_left": chain.days_left, "issuer": chain.issuer});
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_homeserver_is_believed_to_tell_its_name_in_a_header() {
        assert_eq!(
            of_header("Synapse/1.163.2")
                .map(|software| software.version)
                .as_deref(),
            Some("1.163.2")
        );
        assert_eq!(of_header("nginx/1.22.1"), None);
        assert_eq!(of_header("nginx"), None);
    }
}
