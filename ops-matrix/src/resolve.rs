//! `resolve`: the steps of server discovery, and where they end.

use ops_common::hosts::fan_out;
use ops_common::output::Record;
use serde::Serialize;

use crate::error::Error;
use crate::explore::explore;
use crate::name::ServerName;
use crate::trust::Trust;
use crate::view::View;

/// Names at a time.
pub const AT_A_TIME: usize = 16;

/// One step of discovery, or one place where it ends.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The server name.
    pub server: String,
    /// `step` or `target`.
    pub kind: &'static str,
    /// The number of the step in the specification.
    pub step: &'static str,
    /// What was asked, or the host that the target belongs to.
    pub question: String,
    /// What the answer was; for a target its address and port.
    pub answer: String,
    /// What a peer sends as Host there.
    pub host_header: Option<String>,
    /// What a peer sends as SNI there; none for an address.
    pub sni: Option<String>,
    /// The name that the certificate must be for.
    pub certificate_name: Option<String>,
}

impl Record for Row {
    const COLUMNS: &'static [&'static str] = &[
        "server",
        "kind",
        "step",
        "question",
        "answer",
        "host_header",
        "sni",
    ];
}

/// The steps of several names.
pub struct Resolved {
    /// In the order of the names.
    pub rows: Vec<Row>,
    /// The names that lead nowhere.
    pub without_target: Vec<String>,
    /// The names of which a look-up failed.
    pub doubtful: Vec<String>,
}

/// Resolves names, several at a time.
pub fn look(view: &View<'_>, trust: &Trust, servers: &[ServerName]) -> Result<Resolved, Error> {
    let mut resolved = Resolved {
        rows: Vec::new(),
        without_target: Vec::new(),
        doubtful: Vec::new(),
    };
    let explored = fan_out(servers, AT_A_TIME, |server| explore(view, trust, server));
    for (server, explored) in servers.iter().zip(explored) {
        let route = explored?.route;
        let row = |kind, step, question, answer| Row {
            server: server.to_string(),
            kind,
            step,
            question,
            answer,
            host_header: None,
            sni: None,
            certificate_name: None,
        };
        resolved.rows.extend(route.steps.iter().map(|step| {
            row(
                "step",
                step.number,
                step.question.clone(),
                step.answer.clone(),
            )
        }));
        resolved.rows.extend(route.targets.iter().map(|target| Row {
            host_header: Some(route.host_header.clone()),
            sni: route.sni().map(str::to_owned),
            certificate_name: Some(route.certificate_name.clone()),
            ..row(
                "target",
                target.step,
                target.host.clone(),
                target.address.to_string(),
            )
        }));
        if route.targets.is_empty() {
            resolved.without_target.push(server.to_string());
        }
        if route.doubtful {
            resolved.doubtful.push(server.to_string());
        }
    }
    Ok(resolved)
}
