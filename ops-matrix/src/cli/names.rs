//! The verbs that look at server names, from here unless a host is named.

use std::sync::{Mutex, PoisonError};

use clap::{Args, ValueEnum};
use ops_common::exit::Status;
use ops_common::hosts::{self, HostArgs};
use ops_common::tool::Context;

use super::net::{LookArgs, NameArgs, NetArgs, from_here, from_host, parse_server};
use crate::error::Error;
use crate::federation;
use crate::resolve;
use crate::wellknown::{self, Kind};

/// Show, step by step, where other servers connect to
///
/// Server discovery as the specification has it: addresses and ports in the name, the well-known with its redirects and how
/// long peers may keep it, both SRV records in their order. The last rows (kind target) are what a peer uses: address,
/// Host header and SNI. Status 1 if a name leads nowhere, 3 if a look-up failed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-matrix resolve chat.example
  ops-matrix resolve chat.example --dns 203.0.113.53 --host ops-jrz1
  ops-matrix resolve chat.example --json | jq -r 'select(.kind == \"target\").answer'")]
pub(super) struct ResolveArgs {
    #[command(flatten)]
    names: NameArgs,
    #[command(flatten)]
    net: NetArgs,
    #[command(flatten)]
    hosts: HostArgs,
}

impl ResolveArgs {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let servers = self.names.parse(context)?;
        let (exceptions, trust) = (self.net.exceptions(), self.net.trust());
        let worst = Mutex::new(Status::Done);
        let asked = hosts::ask(context, &from_here(&self.hosts), |host| {
            let resolved = from_host(context, host, &exceptions, |view| {
                resolve::look(view, &trust, &servers)
            })?;
            let report = context.report.about(host.name());
            let status = match (
                resolved.without_target.as_slice(),
                resolved.doubtful.as_slice(),
            ) {
                ([], []) => Status::Done,
                (_, [_, ..]) => Status::Unknown,
                ([_, ..], []) => Status::No,
            };
            for name in &resolved.without_target {
                report.warn(format_args!("'{name}' leads to no address"));
            }
            let mut worst = worst.lock().unwrap_or_else(PoisonError::into_inner);
            *worst = Status::worst([*worst, status]);
            Ok::<_, Error>(resolved.rows)
        })?;
        Ok(Status::worst([
            asked,
            *worst.lock().unwrap_or_else(PoisonError::into_inner),
        ]))
    }
}

/// Fetch, check and show one of the well-known documents
///
/// Each address of the name is asked by itself; redirects are followed, on each of which browsers want CORS. A document for
/// clients must lead to an API that answers.
///
/// Checks: matrix.wellknown_server, matrix.wellknown_client, matrix.wellknown_support; data.body is the document.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-matrix wellknown server chat.example
  ops-matrix wellknown client
  ops-matrix wellknown support chat.example --json | jq .data.body")]
pub(super) struct WellKnownArgs {
    /// Which document
    kind: KindArg,

    #[command(flatten)]
    names: NameArgs,
    #[command(flatten)]
    look: LookArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KindArg {
    /// Where other servers connect
    Server,
    /// Where clients connect
    Client,
    /// Whom to ask for help
    Support,
}

impl WellKnownArgs {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let servers = self.names.parse(context)?;
        let kind = match self.kind {
            KindArg::Server => Kind::Server,
            KindArg::Client => Kind::Client,
            KindArg::Support => Kind::Support,
        };
        self.look
            .judge_from_here(context, kind.check(), |_, view, trust| {
                wellknown::look(view, trust, kind, &servers)
            })
    }
}

/// Check a server as its peers do before they believe it, on each of its addresses
///
/// Nothing is hidden by another address that works. A rate limit or a block is told apart from a fault; an address that
/// this machine has no way to is unknown. Looked at from here, or with --host from there.
///
/// Checks: matrix.discovery, matrix.wellknown, matrix.connect, matrix.tls (value: days left), matrix.keys,
/// matrix.server_version, matrix.clock (value: seconds ahead of ours), matrix.same_server, with --notary matrix.notary.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-matrix federation chat.example
  ops-matrix federation chat.example --notary matrix.example
  ops-matrix federation - --json < servers | jq -r 'select(.status == \"fail\") | [.subject, .message] | @tsv'
  ops-matrix federation chat.example --every 1h --on-change 'mail -s changed root'")]
pub(super) struct FederationArgs {
    #[command(flatten)]
    names: NameArgs,

    /// Ask this server what it sees of the names: a view from outside
    #[arg(long, value_name = "SERVER")]
    notary: Option<String>,

    #[command(flatten)]
    look: LookArgs,
}

impl FederationArgs {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let servers = self.names.parse(context)?;
        let notary = self.notary.as_deref().map(parse_server).transpose()?;
        self.look
            .judge_from_here(context, federation::DISCOVERY, |_, view, trust| {
                federation::look(view, trust, &servers, notary.as_ref())
            })
    }
}
