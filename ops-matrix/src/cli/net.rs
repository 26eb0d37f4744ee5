//! What the verbs have in common: names, exceptions of the network, and the machine that is looked from.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ops_common::check::Check;
use ops_common::exit::Status;
use ops_common::host::Host;
use ops_common::hosts::HostArgs;
use ops_common::input;
use ops_common::span::Span;
use ops_common::tool::Context;
use ops_common::watch::{self, WatchArgs};

use crate::dns;
use crate::error::Error;
use crate::ground;
use crate::name::ServerName;
use crate::settings::Settings;
use crate::trust::Trust;
use crate::view::{ConnectTo, Exceptions, Resolve, View};

/// How long a verb may take where nobody says otherwise.
const QUESTION: Duration = Duration::from_mins(1);

#[derive(Debug, Args)]
pub(super) struct NameArgs {
    /// The server names, or - to read them from stdin, one on a line [default: matrix.server_name of ops.yaml]
    #[arg(value_name = "NAME")]
    servers: Vec<String>,
}

impl NameArgs {
    pub(super) fn parse(&self, context: &Context) -> Result<Vec<ServerName>, Error> {
        let mut texts = Vec::new();
        for name in &self.servers {
            if name == "-" {
                let lines = input::read(OsStr::new("-"))?;
                let lines = String::from_utf8_lossy(&lines).into_owned();
                texts.extend(
                    lines
                        .lines()
                        .map(str::trim)
                        .filter(|line| !line.is_empty())
                        .map(str::to_owned),
                );
            } else {
                texts.push(name.clone());
            }
        }
        if self.servers.is_empty() {
            texts.push(settings(context)?.server_name.ok_or(Error::NoServerName)?);
        }
        if texts.is_empty() {
            return Err(Error::NoNames);
        }
        texts.into_iter().map(|text| parse_server(&text)).collect()
    }
}

pub(super) fn parse_server(text: &str) -> Result<ServerName, Error> {
    text.parse().map_err(|source| Error::ServerName {
        text: text.to_owned(),
        source,
    })
}

/// Verbs that look from here unless a host is named.
pub(super) fn from_here(hosts: &HostArgs) -> HostArgs {
    let names = if hosts.names.is_empty() {
        vec!["localhost".to_owned()]
    } else {
        hosts.names.clone()
    };
    HostArgs {
        names,
        jobs: hosts.jobs,
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
pub(super) struct NetArgs {
    /// Ask this name server, `ADDRESS[:PORT]`, instead of the system's resolver
    #[arg(long, value_name = "SERVER", value_parser = dns::parse_server)]
    dns: Option<SocketAddr>,

    /// Take these addresses for a host and port, `HOST:PORT:ADDRESS[,ADDRESS]` (can be repeated)
    #[arg(long, value_name = "RULE")]
    resolve: Vec<Resolve>,

    /// Connect to another host and port, HOST1:PORT1:HOST2:PORT2 (can be repeated)
    #[arg(long, value_name = "RULE")]
    connect_to: Vec<ConnectTo>,

    /// Trust the certificates of this file instead of the machine's
    #[arg(long, value_name = "FILE")]
    cafile: Option<PathBuf>,
}

impl NetArgs {
    pub(super) fn exceptions(&self) -> Exceptions {
        Exceptions {
            dns: self.dns,
            resolve: self.resolve.clone(),
            connect_to: self.connect_to.clone(),
        }
    }

    pub(super) fn trust(&self) -> Trust {
        Trust::new(self.cafile.clone())
    }
}

// What a verb that judges is told besides its subject. (No doc comment: clap would take it for the verb's own.)
#[derive(Debug, Args)]
pub(super) struct LookArgs {
    #[command(flatten)]
    net: NetArgs,
    #[command(flatten)]
    hosts: HostArgs,
    #[command(flatten)]
    pub(super) watch: WatchArgs,
}

impl LookArgs {
    /// Judges our own homeserver, on its hosts.
    pub(super) fn judge(
        &self,
        context: &Context,
        check: &'static str,
        look: impl Fn(&Host, &View<'_>, &Trust) -> Result<Vec<Check>, Error> + Sync,
    ) -> Result<Status, Error> {
        self.judge_on(&self.hosts, context, check, look)
    }

    /// Judges names, from here unless a host is named.
    pub(super) fn judge_from_here(
        &self,
        context: &Context,
        check: &'static str,
        look: impl Fn(&Host, &View<'_>, &Trust) -> Result<Vec<Check>, Error> + Sync,
    ) -> Result<Status, Error> {
        self.judge_on(&from_here(&self.hosts), context, check, look)
    }

    fn judge_on(
        &self,
        hosts: &HostArgs,
        context: &Context,
        check: &'static str,
        look: impl Fn(&Host, &View<'_>, &Trust) -> Result<Vec<Check>, Error> + Sync,
    ) -> Result<Status, Error> {
        let (exceptions, trust) = (self.net.exceptions(), self.net.trust());
        watch::judge(context, check, hosts, &self.watch, |host| {
            from_host(context, host, &exceptions, |view| look(host, view, &trust))
        })
    }
}

pub(super) fn settings(context: &Context) -> Result<Settings, Error> {
    Ok(context.config()?.section("matrix")?)
}

/// Looks from a host, until the verb's time is over.
pub(super) fn from_host<T>(
    context: &Context,
    host: &Host,
    exceptions: &Exceptions,
    look: impl FnOnce(&View<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let ground = ground::of(host);
    let whole = context.house.timeout.map_or(QUESTION, Span::duration);
    let view = View::new(
        &*ground,
        exceptions,
        context.house.connect_timeout.duration(),
        whole,
    );
    look(&view)
}
