//! The command line: the only file that knows clap. Its doc comments are the manual.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use ops_common::check::Check;
use ops_common::exit::Status;
use ops_common::host::Host;
use ops_common::hosts::HostArgs;
use ops_common::span::Span;
use ops_common::tool::{Context, House, Tool};
use ops_common::watch::{self, WatchArgs};

use crate::dns;
use crate::error::Error;
use crate::ground;
use crate::settings::Settings;
use crate::socket::Deadline;
use crate::status;
use crate::trust::Trust;
use crate::versions::{self, Limit};
use crate::view::{ConnectTo, Exceptions, Resolve, View};

/// How long a verb may take where nobody says otherwise.
const QUESTION: Duration = Duration::from_secs(60);

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
/// matrix.federation_enabled, matrix.disk (value: free bytes), matrix.errors (lines in the journal since its start).
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

#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
struct NetArgs {
    /// Ask this name server, ADDRESS[:PORT], instead of the system's resolver
    #[arg(long, value_name = "SERVER", value_parser = dns::parse_server)]
    dns: Option<SocketAddr>,

    /// Take these addresses for a host and port, HOST:PORT:ADDRESS[,ADDRESS] (can be repeated)
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
        }
    }
}

fn settings(context: &Context) -> Result<Settings, Error> {
    Ok(context.config()?.section("matrix")?)
}

/// Looks from a host, until the verb's time is over.
fn from_host(
    context: &Context,
    host: &Host,
    exceptions: &Exceptions,
    look: impl FnOnce(&View<'_>) -> Result<Vec<Check>, Error>,
) -> Result<Vec<Check>, Error> {
    let ground = ground::of(host);
    let whole = context.house.timeout.map_or(QUESTION, Span::duration);
    let view = View::new(
        &*ground,
        exceptions,
        context.house.connect_timeout.duration(),
        Deadline::after(whole),
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
