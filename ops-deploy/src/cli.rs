//! The command line of `ops-deploy`.

mod confirm;
mod deploy;
mod look;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ops_common::exit::Status;
use ops_common::hosts::{self, HostArgs, Target};
use ops_common::tool::{Context, House, Tool};
use ops_common::watch::WatchArgs;

use crate::error::Error;

/// Put a NixOS system on a host, prove that it is healthy, or put the old one back
///
/// `switch` is the whole way; `build`, `copy`, `activate`, `verify` and `gate` are its steps, to be joined by pipes. On the
/// way a timer is armed on the host that puts the exact old system back unless health is confirmed, whatever happens to the
/// connection or to this program. Every deployment leaves a record on the host and an entry in the worklog.
#[derive(Debug, Parser)]
#[command(
    name = "ops-deploy",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  ops-deploy switch ops-jrz1                     deploy, watch, keep or put back
  ops-deploy build ops-jrz1 | ops-deploy copy ops-jrz1 | ops-deploy activate ops-jrz1
  ops-deploy verify ops-jrz1 --every 1m --for 7d --json
  { ops-matrix versions --json; ops-db health --json; } | ops-deploy gate

Statuses: 0 done, 1 rolled back or not well, 2 usage, 3 unknown, 65 bad input, 69 unreachable,
  74 input or output, 75 try again, 77 not allowed, 78 configuration."
)]
pub struct Cli {
    #[command(flatten)]
    house: House,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Switch(Switch),
    Build(Build),
    Copy(Copy),
    Activate(Activate),
    Plan(Plan),
    Rollback(Rollback),
    Promote(Promote),
    Status(StatusOf),
    Verify(Verify),
    Lint(Lint),
    Gate(Gate),
    Log(Log),
}

/// The hosts of a verb.
#[derive(Args, Debug)]
struct Hosts {
    /// Names of ops.yaml, ssh aliases, `user@address[:port]`, @group, or localhost
    #[arg(required = true, value_name = "HOST")]
    hosts: Vec<String>,

    /// Go to so many hosts at a time
    #[arg(short, long, value_name = "N", default_value_t = 8)]
    jobs: usize,
}

/// Build, copy, activate, watch, and keep the new system or put the old one back
///
/// The order is safe against power cuts and lost connections: the new system is tried first, and becomes the one that boots
/// only after the health window. Failed units, restart counters, listeners and the health commands of ops.yaml are compared
/// with what they were before; only what has become worse counts. Prints the store path.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ops-deploy switch ops-jrz1
  ops-deploy switch @staging --all-or-nothing --yes
  ops-deploy switch ops-jrz1 --store-path $(ops-deploy build ops-jrz1)")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
struct Switch {
    #[command(flatten)]
    hosts: Hosts,

    /// Deploy this system instead of building one
    #[arg(long, value_name = "PATH")]
    store_path: Option<String>,

    /// Build here, or on the host itself from derivations that are copied to it
    #[arg(
        long,
        value_name = "WHERE",
        default_value = "here",
        conflicts_with = "store_path"
    )]
    build_on: BuildOn,

    /// Deploy although tracked files differ from the commit
    #[arg(long)]
    allow_dirty: bool,

    /// Let the hosts take from their binary caches what those have
    #[arg(long)]
    substitute: bool,

    /// Put all hosts back when one is not well
    #[arg(long)]
    all_or_nothing: bool,

    /// Do not ask, on a terminal, whether the plan is wanted
    #[arg(long)]
    yes: bool,
}

/// Where a system is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BuildOn {
    /// On this machine
    Here,
    /// On the host that gets it
    Host,
}

/// Build the systems of hosts, with one evaluation, and print their store paths
///
/// One host: PATH. Several: HOST, TAB, PATH. With --json also the commit and whether the working tree differs from it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ops-deploy build ops-jrz1
  ops-deploy build ops-jrz1 ops-jrz1-staging --json")]
struct Build {
    #[command(flatten)]
    hosts: Hosts,

    /// Build although tracked files differ from the commit
    #[arg(long)]
    allow_dirty: bool,
}

/// Bring systems to hosts, without activating them
///
/// Reads what `build` prints from stdin (PATH for one host, HOST TAB PATH, or JSON records) unless --store-path is given, and
/// prints it again. Copies only what is missing, over one connection, in a constant number of round trips.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ops-deploy build ops-jrz1 | ops-deploy copy ops-jrz1
  ops-deploy copy ops-jrz1 --store-path ./result")]
struct Copy {
    #[command(flatten)]
    hosts: Hosts,

    #[command(flatten)]
    which: Which,

    /// Let the hosts take from their binary caches what those have
    #[arg(long)]
    substitute: bool,
}

/// Which system a step works on.
#[derive(Args, Debug)]
struct Which {
    /// Take this system instead of those that stdin names
    #[arg(long, value_name = "PATH")]
    store_path: Option<String>,
}

/// Activate systems that are on the hosts already: the last step of a switch, as safe as the whole
///
/// Reads what `build` and `copy` print from stdin unless --store-path is given.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ops-deploy build ops-jrz1 | ops-deploy copy ops-jrz1 | ops-deploy activate ops-jrz1
  ops-deploy activate ops-jrz1 --store-path ./result --test")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
struct Activate {
    #[command(flatten)]
    hosts: Hosts,

    #[command(flatten)]
    which: Which,

    /// Do not make it the system that boots: a reboot takes it back
    #[arg(long, conflicts_with_all = ["boot", "reboot"])]
    test: bool,

    /// Only make it the system that boots: it runs after the next reboot, unproven
    #[arg(long, conflicts_with = "reboot")]
    boot: bool,

    /// Make it the system that boots, reboot, and watch it: the one way in which an unproven system boots. Sick: the old one
    /// is made the default again and rebooted into
    #[arg(long)]
    reboot: bool,

    /// Put all hosts back when one is not well
    #[arg(long)]
    all_or_nothing: bool,
}

/// Tell what a switch would change: packages and units, without copying a byte
///
/// With one host: from the system that runs there to the one that would be built, for the units that run there. With two
/// store paths: between those. Prints kind (package, unit, lint), action, name, old, new, delta_bytes, reason; a `lint` is a
/// trap in the new system or on the way to it, or a secret that the host could not decrypt, and its action is `warn` or `fail`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ops-deploy plan ops-jrz1
  ops-deploy plan /run/current-system ./result
  ops-deploy plan ops-jrz1 --json | jq -r 'select(.kind == \"unit\") | .name'")]
struct Plan {
    /// A host, or an old and a new system
    #[arg(required = true, num_args = 1..=2, value_names = ["HOST", "NEW"])]
    what: Vec<String>,

    /// Plan for this system instead of building one
    #[arg(long, value_name = "PATH")]
    store_path: Option<String>,

    /// Copy the system and let the host say what it would do to its units (dry-activate)
    #[arg(long)]
    ask_host: bool,
}

/// Go back to an older system, in the safe order of a switch
///
/// Without --to: to the newest older generation that holds another system.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ops-deploy rollback ops-jrz1
  ops-deploy rollback ops-jrz1 --to 41")]
struct Rollback {
    #[command(flatten)]
    hosts: Hosts,

    /// Go to this generation, or this store path of the host
    #[arg(long, value_name = "GENERATION|PATH")]
    to: Option<String>,
}

/// Switch one host to what another has proved
///
/// The newest healthy deployment of FROM must be at least --soak old, still run there, and be of this very commit without local
/// changes; or this commit must give FROM the very system that it runs, so that it proves this commit too. Says whether the two systems are the same path, come from the same revision and lock (the differing
/// paths with -v), and whether the units of `deploy.units` are the same. Then as `switch`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ops-deploy promote ops-jrz1-staging ops-jrz1 --soak 1d
  ops-deploy promote ops-jrz1-staging ops-jrz1 --soak 1h --yes")]
struct Promote {
    /// The host that has proved the commit
    #[arg(value_name = "FROM")]
    from: String,

    /// The host that gets it
    #[arg(value_name = "TO")]
    to: String,

    /// How long it must have run there
    #[arg(long, value_name = "TIME", default_value = "0s")]
    soak: ops_common::span::Span,

    /// Let the host take from its binary caches what those have
    #[arg(long)]
    substitute: bool,

    /// Do not ask, on a terminal, whether the plan is wanted
    #[arg(long)]
    yes: bool,
}

/// Tell which system and commit is live on hosts, and whether the repository differs
#[derive(Args, Debug)]
#[command(
    name = "status",
    after_help = "\
Examples:
  ops-deploy status ops-jrz1
  ops-deploy status ops-jrz1 --all
  ops-deploy status @all --json | jq -r 'select(.drift == \"differs\") | .host'"
)]
struct StatusOf {
    #[command(flatten)]
    hosts: Hosts,

    /// List all generations, newest first
    #[arg(long)]
    all: bool,
}

/// Tell whether hosts are healthy: units, health commands of ops.yaml, system, space
///
/// Checks: deploy.units, deploy.system, deploy.store_space, deploy.boot_space, deploy.health, and the names that the health
/// commands use.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ops-deploy verify ops-jrz1
  ops-deploy verify ops-jrz1 --wait 2m
  ops-deploy verify ops-jrz1 --every 1m --for 7d --json >>week.jsonl")]
struct Verify {
    #[command(flatten)]
    hosts: Hosts,

    #[command(flatten)]
    watch: WatchArgs,
}

/// Look for traps in a system, or on a running host
///
/// Of a store path: nginx upstreams called `localhost` (several addresses, of which the service may answer only one), the
/// same in bridge registrations and database URLs, secrets in plain text, debug logging, units that may take longer to start
/// than a deployment is watched. Of a host: the same for the system that runs there, joined with what listens there.
///
/// Checks: deploy.lint.localhost, deploy.lint.secrets, deploy.lint.secret_modes, deploy.lint.logging, deploy.lint.start_limit,
/// deploy.lint.insecure, deploy.lint.boot_space. Only `plan` and `switch` can tell what is wrong with a step from one system to
/// another: deploy.lint.sshd, deploy.lint.postgresql, deploy.lint.state_version, deploy.lint.inhibitors.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ops-deploy lint ./result
  ops-deploy lint ops-jrz1
  ops-deploy lint $(ops-deploy build ops-jrz1) --json | ops-deploy gate")]
struct Lint {
    /// A store path, a link to one, or hosts
    #[arg(required = true, value_name = "PATH|HOST")]
    what: Vec<String>,

    /// Go to so many hosts at a time
    #[arg(short, long, value_name = "N", default_value_t = 8)]
    jobs: usize,

    #[command(flatten)]
    watch: WatchArgs,
}

/// Let pass only what is known to be well: check records from stdin, or from commands
///
/// Fails (1) on a record with `fail`, on `unknown`, on a name that was expected and never came, and on no record at all. With
/// commands their statuses count too: 0 ok, 1 fail, other unknown. A line that is no check record is 65.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  { ops-matrix versions --json; ops-bridge health --json; } | ops-deploy gate
  ops-deploy gate 'ops-matrix versions --json' 'ops-db health --json'
  ops-bridge health --json | ops-deploy gate --expect bridge.socket && echo go")]
struct Gate {
    /// Run these commands instead of reading stdin
    #[arg(value_name = "COMMAND")]
    commands: Vec<String>,

    /// Fail unless records of these checks came
    #[arg(long, value_name = "CHECK", value_delimiter = ',')]
    expect: Vec<String>,

    /// Let pass what could not be looked at
    #[arg(long)]
    allow_unknown: bool,
}

/// Print the records of deployments, newest first
///
/// Read from the host, so from anywhere. A deployment that nobody finished is among them.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ops-deploy log ops-jrz1
  ops-deploy log ops-jrz1 -n 1 --json | jq .steps_s")]
struct Log {
    #[command(flatten)]
    hosts: Hosts,

    /// Print so many records of each host
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    lines: usize,
}

impl Tool for Cli {
    type Error = Error;
    const NAME: &'static str = "ops-deploy";

    fn house(&self) -> &House {
        &self.house
    }

    fn run(self, context: &Context) -> Result<Status, Error> {
        match self.verb {
            Verb::Switch(args) => args.run(context),
            Verb::Build(args) => args.run(context),
            Verb::Copy(args) => args.run(context),
            Verb::Activate(args) => args.run(context),
            Verb::Plan(args) => args.run(context),
            Verb::Rollback(args) => args.run(context),
            Verb::Promote(args) => args.run(context),
            Verb::Status(args) => args.run(context),
            Verb::Verify(args) => args.run(context),
            Verb::Lint(args) => args.run(context),
            Verb::Gate(args) => args.run(context),
            Verb::Log(args) => args.run(context),
        }
    }
}

impl Hosts {
    fn targets(&self, context: &Context) -> Result<Vec<Target>, Error> {
        Ok(hosts::targets(context, &self.hosts)?)
    }

    fn args(&self) -> HostArgs {
        HostArgs {
            names: self.hosts.clone(),
            jobs: self.jobs,
        }
    }
}

/// Takes a system by its path, or by a link to it such as `./result`.
fn store_path(text: &str) -> Result<String, Error> {
    let real = std::fs::canonicalize(text)
        .map_or_else(|_| text.to_owned(), |path| path.display().to_string());
    if crate::closure::is_store_path(&real) {
        Ok(real)
    } else {
        Err(Error::NotAStorePath(text.to_owned()))
    }
}
