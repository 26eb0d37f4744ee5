//! `federation`: everything that a peer checks before it believes a server, on every address of it, none hidden by another
//! that works.

use std::collections::BTreeSet;

use ops_common::check::Check;
use ops_common::hosts::fan_out;
use serde_json::json;

use crate::delegated;
use crate::discovery::Route;
use crate::error::Error;
use crate::explore::{Explored, explore};
use crate::name::ServerName;
use crate::notary;
use crate::peer::Peer;
use crate::trust::Trust;
use crate::view::View;

/// Whether discovery ends anywhere.
pub const DISCOVERY: &str = "matrix.discovery";
/// Whether all addresses lead to the same server.
pub const SAME: &str = "matrix.same_server";

/// Names at a time.
pub const NAMES_AT_A_TIME: usize = 16;

const ADDRESSES_AT_A_TIME: usize = 16;

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
        checks.extend(delegated::checks(server, answer));
    }
    let probed = fan_out(&route.targets, ADDRESSES_AT_A_TIME, |target| {
        Peer::look(view, trust, server, &route, target)
    });
    let probed: Vec<Peer> = probed.into_iter().collect::<Result<_, _>>()?;
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
