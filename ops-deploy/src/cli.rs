//! The command line of `ops-deploy`.

mod activate;
mod build;
mod confirm;
mod copy;
mod gate;
mod lint;
mod log;
mod plan;
mod promote;
mod rollback;
mod status;
mod switch;
mod systems;
mod verify;

use clap::{Args, Parser, Subcommand};
use ops_common::exit::Status;
use ops_common::host::Host;
use ops_common::hosts::{self, HostArgs, Target};
use ops_common::tool::{Context, House, Tool};

use self::activate::Activate;
use self::build::Build;
use self::copy::Copy;
use self::gate::Gate;
use self::lint::Lint;
use self::log::Log;
use self::plan::Plan;
use self::promote::Promote;
use self::rollback::Rollback;
use self::status::StatusOf;
use self::switch::Switch;
use self::verify::Verify;
use crate::error::Error;
use crate::settings::Settings;
use crate::state::{self, State};

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

fn state_of(host: &Host, settings: &Settings) -> Result<State, Error> {
    let answer = host
        .output(&state::question(&settings.units))
        .map_err(Error::from)?;
    State::parse(&String::from_utf8_lossy(&answer)).ok_or_else(|| Error::State {
        host: host.name().to_owned(),
    })
}
