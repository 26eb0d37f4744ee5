//! The command line: the only file that knows clap. Its doc comments are the manual.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ops_common::exit::Status;
use ops_common::host::Host;
use ops_common::hosts::{self, HostArgs};
use ops_common::input;
use ops_common::span::Span;
use ops_common::tool::{Context, House, Tool};
use ops_common::watch::{self, WatchArgs};

use crate::dns;
use crate::error::Error;
use crate::federation;
use crate::ground;
use crate::name::ServerName;
use crate::outbound;
use crate::paths;
use crate::ping;
use crate::resolve;
use crate::settings::Settings;
use crate::status;
use crate::tokens;
use crate::trust::Trust;
use crate::versions::{self, Limit};
use crate::view::{ConnectTo, Exceptions, Resolve, View};
use crate::wellknown::{self, Kind};

/// How long a verb may take where nobody says otherwise.
const QUESTION: Duration = Duration::from_mins(1);

/// Tell whether the homeserver answers, on every address, and whether the federation can reach it
///
/// Each verb that judges prints check records, one for each finding; the names of its checks stand in its help. Its
/// status is 0 when all is well, 1 when something is wrong, 3 when something could not be looked at.
#[derive(Debug, Parser)]
#[command(name = "ops-matrix", version, about, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    house: House,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Versions(VersionsArgs),
    Status(StatusArgs),
    Resolve(ResolveArgs),
    #[command(name = "wellknown")]
    WellKnown(WellKnownArgs),
    Federation(FederationArgs),
    Paths(PathsArgs),
    Outbound(OutboundArgs),
    Ping(PingArgs),
}

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
struct VersionsArgs {
    /// The base of the client API [default: matrix.url of ops.yaml, else http://127.0.0.1:8008]
    url: Option<String>,

    /// Fail unless this version of the specification is offered (can be repeated)
    #[arg(long, value_name = "VERSION")]
    require: Vec<String>,

    /// Fail if a phase takes this long: resolve, connect, tls, first_byte or total (can be repeated)
    #[arg(long, value_name = "PHASE=TIME")]
    limit: Vec<Limit>,

    #[command(flatten)]
    net: NetArgs,
    #[command(flatten)]
    hosts: HostArgs,
    #[command(flatten)]
    watch: WatchArgs,
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
struct StatusArgs {
    #[command(flatten)]
    hosts: HostArgs,
    #[command(flatten)]
    watch: WatchArgs,
}

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
struct ResolveArgs {
    #[command(flatten)]
    names: NameArgs,
    #[command(flatten)]
    net: NetArgs,
    #[command(flatten)]
    hosts: HostArgs,
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
struct WellKnownArgs {
    /// Which document
    kind: KindArg,

    #[command(flatten)]
    names: NameArgs,
    #[command(flatten)]
    net: NetArgs,
    #[command(flatten)]
    hosts: HostArgs,
    #[command(flatten)]
    watch: WatchArgs,
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
struct FederationArgs {
    #[command(flatten)]
    names: NameArgs,

    /// Ask this server what it sees of the names: a view from outside
    #[arg(long, value_name = "SERVER")]
    notary: Option<String>,

    #[command(flatten)]
    net: NetArgs,
    #[command(flatten)]
    hosts: HostArgs,
    #[command(flatten)]
    watch: WatchArgs,
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
struct PathsArgs {
    /// Judge this configuration of nginx (- for stdin), and ask no host
    #[arg(long, value_name = "FILE")]
    nginx_config: Option<PathBuf>,

    #[command(flatten)]
    net: NetArgs,
    #[command(flatten)]
    hosts: HostArgs,
    #[command(flatten)]
    watch: WatchArgs,
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
struct OutboundArgs {
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
    net: NetArgs,
    #[command(flatten)]
    hosts: HostArgs,
    #[command(flatten)]
    watch: WatchArgs,
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
struct PingArgs {
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

#[derive(Debug, Args)]
struct NameArgs {
    /// The server names, or - to read them from stdin, one on a line [default: matrix.server_name of ops.yaml]
    #[arg(value_name = "NAME")]
    servers: Vec<String>,
}

impl NameArgs {
    fn parse(&self, context: &Context) -> Result<Vec<ServerName>, Error> {
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

fn parse_server(text: &str) -> Result<ServerName, Error> {
    text.parse().map_err(|source| Error::ServerName {
        text: text.to_owned(),
        source,
    })
}

/// Verbs that look from here unless a host is named.
fn from_here(hosts: &HostArgs) -> HostArgs {
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
struct NetArgs {
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
    fn exceptions(&self) -> Exceptions {
        Exceptions {
            dns: self.dns,
            resolve: self.resolve.clone(),
            connect_to: self.connect_to.clone(),
        }
    }

    fn trust(&self) -> Trust {
        Trust::new(self.cafile.clone())
    }
}

impl Tool for Cli {
    type Error = Error;

    const NAME: &'static str = "ops-matrix";

    fn house(&self) -> &House {
        &self.house
    }

    fn run(self, context: &Context) -> Result<Status, Error> {
        match self.verb {
            Verb::Versions(args) => args.run(context),
            Verb::Status(args) => args.run(context),
            Verb::Resolve(args) => args.run(context),
            Verb::WellKnown(args) => args.run(context),
            Verb::Federation(args) => args.run(context),
            Verb::Paths(args) => args.run(context),
            Verb::Outbound(args) => args.run(context),
            Verb::Ping(args) => args.run(context),
        }
    }
}

fn settings(context: &Context) -> Result<Settings, Error> {
    Ok(context.config()?.section("matrix")?)
}

/// Looks from a host, until the verb's time is over.
fn from_host<T>(
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

impl VersionsArgs {
    fn run(self, context: &Context) -> Result<Status, Error> {
        let url = match &self.url {
            Some(url) => url.clone(),
            None => settings(context)?.url,
        };
        let url = versions::parse_url(&url)?;
        let wanted = versions::Wanted {
            url,
            require: self.require,
            limits: self.limit,
        };
        let (exceptions, trust) = (self.net.exceptions(), self.net.trust());
        watch::judge(context, versions::CHECK, &self.hosts, &self.watch, |host| {
            from_host(context, host, &exceptions, |view| {
                versions::look(view, &trust, &wanted)
            })
        })
    }
}

impl ResolveArgs {
    fn run(self, context: &Context) -> Result<Status, Error> {
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

impl WellKnownArgs {
    fn run(self, context: &Context) -> Result<Status, Error> {
        let servers = self.names.parse(context)?;
        let kind = match self.kind {
            KindArg::Server => Kind::Server,
            KindArg::Client => Kind::Client,
            KindArg::Support => Kind::Support,
        };
        let (exceptions, trust) = (self.net.exceptions(), self.net.trust());
        watch::judge(
            context,
            kind.check(),
            &from_here(&self.hosts),
            &self.watch,
            |host| {
                from_host(context, host, &exceptions, |view| {
                    wellknown::look(view, &trust, kind, &servers)
                })
            },
        )
    }
}

impl FederationArgs {
    fn run(self, context: &Context) -> Result<Status, Error> {
        let servers = self.names.parse(context)?;
        let notary = self.notary.as_deref().map(parse_server).transpose()?;
        let (exceptions, trust) = (self.net.exceptions(), self.net.trust());
        watch::judge(
            context,
            federation::DISCOVERY,
            &from_here(&self.hosts),
            &self.watch,
            |host| {
                from_host(context, host, &exceptions, |view| {
                    federation::look(view, &trust, &servers, notary.as_ref())
                })
            },
        )
    }
}

impl PathsArgs {
    fn run(self, context: &Context) -> Result<Status, Error> {
        let (exceptions, trust) = (self.net.exceptions(), self.net.trust());
        if let Some(file) = &self.nginx_config {
            return watch::judge_here(context, paths::NGINX, &self.watch, || {
                let text = input::read(file.as_os_str())?;
                paths::lint(&file.to_string_lossy(), &String::from_utf8_lossy(&text))
            });
        }
        let settings = settings(context)?;
        watch::judge(context, paths::URL, &self.hosts, &self.watch, |host| {
            from_host(context, host, &exceptions, |view| {
                paths::look(host, view, &trust, &settings)
            })
        })
    }
}

impl OutboundArgs {
    fn run(self, context: &Context) -> Result<Status, Error> {
        let remote = parse_server(&self.server)?;
        let url = match self.url {
            Some(url) => url,
            None => settings(context)?.url,
        };
        let url = versions::parse_url(&url)?;
        let wanted = outbound::Wanted {
            url: &url,
            remote: &remote,
            alias: self.alias.as_deref(),
        };
        let (exceptions, trust) = (self.net.exceptions(), self.net.trust());
        watch::judge(context, outbound::CHECK, &self.hosts, &self.watch, |host| {
            from_host(context, host, &exceptions, |view| {
                outbound::look(view, &trust, &wanted)
            })
        })
    }
}

impl PingArgs {
    fn run(self, context: &Context) -> Result<Status, Error> {
        if self.hosts.names.is_empty() {
            return Err(hosts::Error::Unnamed.into());
        }
        let settings = settings(context)?;
        let file = match (self.tokens, settings.tokens) {
            (Some(file), _) => file,
            (None, Some(file)) => context.config()?.resolve(&file),
            (None, None) => return Err(Error::NoTokens),
        };
        let url = versions::parse_url(&settings.url)?;
        let tokens = tokens::read(&file)?;
        let exceptions = Exceptions::default();
        watch::judge(context, ping::CHECK, &self.hosts, &self.watch, |host| {
            from_host(context, host, &exceptions, |view| {
                ping::look(view, &url, &tokens, self.limit)
            })
        })
    }
}

impl StatusArgs {
    fn run(self, context: &Context) -> Result<Status, Error> {
        let settings = settings(context)?;
        let exceptions = Exceptions::default();
        watch::judge(context, status::UNIT, &self.hosts, &self.watch, |host| {
            from_host(context, host, &exceptions, |view| {
                status::look(host, view, &settings)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent_and_each_verb_has_examples() {
        let command = Cli::command();
        command.clone().debug_assert();
        for verb in command.get_subcommands() {
            let help = verb
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(help.starts_with("Examples:"), "{}", verb.get_name());
            let about = verb
                .get_long_about()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(
                verb.get_name() == "resolve" || about.contains("matrix."),
                "{} names no check",
                verb.get_name()
            );
        }
    }
}
