//! The verbs that look at our own homeserver, from its host's point of view.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use ops_common::exit::Status;
use ops_common::hosts::{self, HostArgs};
use ops_common::input;
use ops_common::span::Span;
use ops_common::tool::Context;
use ops_common::watch::{self, WatchArgs};

use super::net::{LookArgs, from_host, parse_server, settings};
use crate::base;
use crate::error::Error;
use crate::limit::Limit;
use crate::outbound;
use crate::paths;
use crate::ping;
use crate::status;
use crate::tokens;
use crate::versions;
use crate::view::Exceptions;

/// Ask the client API on each address of a URL by itself
///
/// A name such as localhost may have two addresses of which one is dead, and every client hides that in another way. Here
/// each address is dialled by itself, from the host's point of view, with its times.
///
/// Check: matrix.versions, one for each address; value and limit are the total time.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-matrix versions
  ops-matrix versions http://localhost:8008 --host ops-jrz1
  ops-matrix versions https://matrix.chat.example --require v1.11 --limit total=500ms
  ops-matrix versions --json | jq .data.versions")]
pub(super) struct VersionsArgs {
    /// The base of the client API [default: matrix.url of ops.yaml, else http://127.0.0.1:8008]
    url: Option<String>,

    /// Fail unless this version of the specification is offered (can be repeated)
    #[arg(long, value_name = "VERSION")]
    require: Vec<String>,

    /// Fail if a phase takes this long: resolve, connect, tls, first_byte or total (can be repeated)
    #[arg(long, value_name = "PHASE=TIME")]
    limit: Vec<Limit>,

    #[command(flatten)]
    look: LookArgs,
}

impl VersionsArgs {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let url = match &self.url {
            Some(url) => url.clone(),
            None => settings(context)?.url,
        };
        let url = base::parse_url(&url)?;
        let wanted = versions::Wanted {
            url,
            require: self.require,
            limits: self.limit,
        };
        self.look.judge(context, versions::CHECK, |_, view, trust| {
            versions::look(view, trust, &wanted)
        })
    }
}

/// Show the homeserver's unit, what it really listens on, and whether it answers
///
/// The unit is found among matrix.unit of ops.yaml and the names that the known homeservers have. Its listeners come from
/// the kernel: a log that says "Listening on" proves nothing.
///
/// Checks: matrix.unit (value: seconds since its start), matrix.listeners, matrix.answer (one for each listener),
/// matrix.federation_enabled, matrix.disk (value: free bytes), matrix.backup (value: seconds since the newest), matrix.errors
/// (lines in the journal since its start).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-matrix status
  ops-matrix status --host ops-jrz1 --wait 2m
  ops-matrix status --json | jq 'select(.check == \"matrix.listeners\").data'")]
pub(super) struct StatusArgs {
    #[command(flatten)]
    hosts: HostArgs,
    #[command(flatten)]
    watch: WatchArgs,
}

impl StatusArgs {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let settings = settings(context)?;
        let exceptions = Exceptions::default();
        watch::judge(context, status::UNIT, &self.hosts, &self.watch, |host| {
            from_host(context, host, &exceptions, |view| {
                status::look(host, view, &settings)
            })
        })
    }
}

/// Follow the ways to the homeserver: proxy, names, addresses, and what browsers are told
///
/// Reads nginx's configuration on the host (matrix.nginx of ops.yaml, else what its unit names) and dials each address of
/// each upstream, and of each name in the configuration and the registration of a bridge. Where the server's name is known
/// (matrix.server_name), the public way is followed too.
///
/// Checks: matrix.local_url, matrix.upstream, matrix.proxy_uri, matrix.body_limit, matrix.listen, matrix.nginx,
/// matrix.bridge_url, matrix.path_encoding, matrix.cors, matrix.identity, matrix.wellknown_server, matrix.wellknown_client.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-matrix paths --host ops-jrz1
  ops-matrix paths --nginx-config /etc/nginx/nginx.conf
  nginx -T | ops-matrix paths --nginx-config -")]
pub(super) struct PathsArgs {
    /// Judge this configuration of nginx (- for stdin), and ask no host
    #[arg(long, value_name = "FILE")]
    nginx_config: Option<PathBuf>,

    #[command(flatten)]
    look: LookArgs,
}

impl PathsArgs {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        if let Some(file) = &self.nginx_config {
            return watch::judge_here(context, paths::NGINX, &self.look.watch, || {
                let text = input::read(file.as_os_str())?;
                paths::lint(&file.to_string_lossy(), &String::from_utf8_lossy(&text))
            });
        }
        let settings = settings(context)?;
        self.look.judge(context, paths::URL, |host, view, trust| {
            paths::look(host, view, trust, &settings)
        })
    }
}

/// Send our homeserver to another one: it is reached, our signature is believed, our keys can be fetched
///
/// Nobody logs in: our server is asked for an alias of the other one. The conduwuit family answers every failure with "no
/// such alias", so there an alias that exists is needed. Ask seldom: after a failure the server waits longer each time.
///
/// Check: matrix.outbound (value: seconds).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-matrix outbound matrix.example --alias lobby --host ops-jrz1
  ops-matrix outbound matrix.example --host ops-jrz1 --json")]
pub(super) struct OutboundArgs {
    /// The other server
    #[arg(value_name = "NAME")]
    server: String,

    /// An alias that exists there, without # and server name
    #[arg(long, value_name = "ALIAS")]
    alias: Option<String>,

    /// Our client API [default: matrix.url of ops.yaml]
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    #[command(flatten)]
    look: LookArgs,
}

impl OutboundArgs {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let remote = parse_server(&self.server)?;
        let url = match self.url {
            Some(url) => url,
            None => settings(context)?.url,
        };
        let url = base::parse_url(&url)?;
        let wanted = outbound::Wanted {
            url: &url,
            remote: &remote,
            alias: self.alias.as_deref(),
        };
        self.look.judge(context, outbound::CHECK, |_, view, trust| {
            outbound::look(view, trust, &wanted)
        })
    }
}

/// Send an event from one account to another, time it, and take it back
///
/// The tokens come from the sops file matrix.tokens (token_a, room, and token_b for a second account), which ops-secrets
/// decrypts. The event has a type that no client shows. The host must be named, since the room gets an event.
///
/// Check: matrix.ping (value: seconds until the event has arrived; limit: 5 s).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-matrix ping --host ops-jrz1
  ops-matrix ping --host localhost --limit 2s --every 5m --on-change 'logger changed'")]
pub(super) struct PingArgs {
    /// Fail if the event takes this long
    #[arg(long, value_name = "TIME", default_value = "5s")]
    limit: Span,

    /// The sops file with the tokens [default: matrix.tokens of ops.yaml]
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,

    #[command(flatten)]
    hosts: HostArgs,
    #[command(flatten)]
    watch: WatchArgs,
}

impl PingArgs {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        if self.hosts.names.is_empty() {
            return Err(hosts::Error::Unnamed.into());
        }
        let settings = settings(context)?;
        let file = match (self.tokens, settings.tokens) {
            (Some(file), _) => file,
            (None, Some(file)) => context.config()?.resolve(&file),
            (None, None) => return Err(Error::NoTokens),
        };
        let url = base::parse_url(&settings.url)?;
        let tokens = Arc::new(tokens::read(&file)?);
        let exceptions = Exceptions::default();
        watch::judge(context, ping::CHECK, &self.hosts, &self.watch, |host| {
            from_host(context, host, &exceptions, |view| {
                ping::look(host, view, &url, &tokens, self.limit)
            })
        })
    }
}
