//! The command line of `ops-deploy`.

use std::io::IsTerminal;
use std::path::Path;

use clap::{Args, Parser, Subcommand};
use ops_common::exit::Status;
use ops_common::host::{Command, Host};
use ops_common::hosts::{self, HostArgs, Target};
use ops_common::tool::{Context, House, Tool};
use ops_common::watch::{self, WatchArgs};

use crate::error::Error;
use crate::facts;
use crate::gate::{self, Rules};
use crate::log;
use crate::nix;
use crate::probe::{self, Surroundings};
use crate::settings::Settings;
use crate::state::{self, State};
use crate::switch::{self, Ready, Request, System};
use crate::units;
use crate::verify;

/// Put a NixOS system on a host, prove that it is healthy, or put the old one back
///
/// `switch` is the whole way; `build`, `copy`, `activate`, `verify` and `gate` are its steps, to be joined by pipes. On the
/// way a timer is armed on the host that puts the exact old system back unless health is confirmed, whatever happens to the
/// connection or to this program. Every deployment leaves a record on the host and an entry in the worklog.
#[derive(Debug, Parser)]
#[command(name = "ops-deploy", version, max_term_width = 100, after_help = "\
Examples:
  ops-deploy switch ops-jrz1                     deploy, watch, keep or put back
  ops-deploy build ops-jrz1 | ops-deploy copy ops-jrz1 | ops-deploy activate ops-jrz1
  ops-deploy verify ops-jrz1 --every 1m --for 7d --json
  { ops-matrix versions --json; ops-db health --json; } | ops-deploy gate

Statuses: 0 done, 1 rolled back or not well, 2 usage, 3 unknown, 65 bad input, 69 unreachable,
  74 input or output, 75 try again, 77 not allowed, 78 configuration.")]
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
    Verify(Verify),
    Gate(Gate),
    Log(Log),
}

/// The hosts of a verb.
#[derive(Args, Debug)]
struct Hosts {
    /// Names of ops.yaml, ssh aliases, user@address[:port], @group, or localhost
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
struct Switch {
    #[command(flatten)]
    hosts: Hosts,

    /// Deploy this system instead of building one
    #[arg(long, value_name = "PATH")]
    store_path: Option<String>,

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
            Verb::Verify(args) => args.run(context),
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
        HostArgs { names: self.hosts.clone(), jobs: self.jobs }
    }
}

impl Switch {
    fn run(self, context: &Context) -> Result<Status, Error> {
        let config = context.config()?;
        let settings = Settings::read(config)?;
        let targets = self.hosts.targets(context)?;
        let flakes: Vec<_> = targets.iter().map(|target| facts::installable(config, target)).collect();
        let built_from = flakes.first().filter(|_| self.store_path.is_none());
        let facts = facts::gather(config, &settings, built_from, self.allow_dirty, &context.report)?;
        let (seen, paths) = std::thread::scope(|scope| {
            let seen = scope.spawn(|| switch::look(context, &targets, self.hosts.jobs));
            let paths = match &self.store_path {
                Some(path) => store_path(path).map(|path| vec![path; targets.len()]),
                None => nix::build(&flakes).map_err(Error::Nix),
            };
            (seen.join(), paths)
        });
        let paths = paths?;
        let seen = seen.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        switch::check(&seen)?;
        let mut ready = Vec::with_capacity(seen.len());
        for ((seen, path), flake) in seen.into_iter().zip(paths).zip(&flakes) {
            let flake = if self.store_path.is_some() { String::new() } else { format!("{}#{}", flake.flake, flake.system) };
            ready.push(switch::prepare(seen, path, flake)?);
        }
        let is_there = |one: &Ready<'_>| switch::is_there(&one.seen.state, &one.new, true, &settings);
        if !self.yes && !ready.iter().all(is_there) {
            confirm(context, &ready)?;
        }
        let request = Request {
            targets: &targets,
            action: "switch",
            copy: true,
            substitute: self.substitute,
            make_default: true,
            all_or_nothing: self.all_or_nothing,
            jobs: self.hosts.jobs,
            settings: &settings,
            facts: &facts,
        };
        let (systems, status) = switch::deploy(context, &request, &ready);
        print_systems(context, &systems, targets.len())?;
        Ok(status)
    }
}

impl Build {
    fn run(self, context: &Context) -> Result<Status, Error> {
        let config = context.config()?;
        let settings = Settings::read(config)?;
        let targets = self.hosts.targets(context)?;
        let flakes: Vec<_> = targets.iter().map(|target| facts::installable(config, target)).collect();
        let facts = facts::gather(config, &settings, flakes.first(), self.allow_dirty, &context.report)?;
        let paths = nix::build(&flakes)?;
        let systems: Vec<_> = targets
            .iter()
            .zip(paths)
            .map(|(target, path)| System {
                host: target.record_name(),
                path,
                commit: facts.revision.commit.clone(),
                dirty: facts.revision.dirty,
            })
            .collect();
        print_systems(context, &systems, targets.len())?;
        Ok(Status::Done)
    }
}

impl Verify {
    fn run(self, context: &Context) -> Result<Status, Error> {
        let config = context.config()?;
        let settings = Settings::read(config)?;
        let window = settings.health_window.duration().max(std::time::Duration::from_secs(2));
        watch::judge(context, "deploy.units", &self.hosts.args(), &self.watch, |host| {
            let state = state_of(host)?;
            let mut checks = verify::checks(&state, &settings);
            let surroundings = Surroundings { host: Some(host.name()), config: config.path(), limit: window };
            checks.extend(probe::run(&settings.health, surroundings));
            Ok(checks)
        })
    }
}

impl Gate {
    fn run(self, context: &Context) -> Result<Status, Error> {
        let rules = Rules { expect: self.expect, allow_unknown: self.allow_unknown };
        let checks = if self.commands.is_empty() {
            let input = ops_common::input::open("-".as_ref())?;
            gate::read(std::io::BufReader::new(input))?
        } else {
            let limit = context.house.timeout.map_or(std::time::Duration::from_mins(5), ops_common::span::Span::duration);
            let config = context.config()?.path().map(Path::to_owned);
            probe::run(&self.commands, Surroundings { host: None, config: config.as_deref(), limit })
        };
        let (shut, status) = gate::judge(&checks, &rules);
        let mut output = context.output()?;
        let nagios = output.checks(&shut_or_all(shut, &checks))?;
        output.finish()?;
        Ok(if matches!(nagios, Status::Foreign(_)) { nagios } else { status })
    }
}

/// What holds the gate shut is what a person wants to see; an open gate shows what it let pass only when asked for a form.
fn shut_or_all(shut: Vec<ops_common::check::Check>, all: &[ops_common::check::Check]) -> Vec<ops_common::check::Check> {
    if shut.is_empty() { all.to_vec() } else { shut }
}

impl Log {
    fn run(self, context: &Context) -> Result<Status, Error> {
        hosts::ask(context, &self.hosts.args(), |host| {
            let (mut records, damaged) = log::read(host, host.name())?;
            if damaged > 0 {
                context.report.warn(format_args!("{damaged} lines of the log of '{}' are damaged", host.name()));
            }
            records.reverse();
            records.truncate(self.lines);
            Ok::<_, Error>(records)
        })
    }
}

fn state_of(host: &Host) -> Result<State, Error> {
    let script = Command::script(state::SCRIPT, &[units::PROPERTIES]);
    let answer = host.output(&script).map_err(Error::Host)?;
    State::parse(&String::from_utf8_lossy(&answer)).ok_or_else(|| Error::State { host: host.name().to_owned() })
}

/// Takes a system by its path, or by a link to it such as `./result`.
fn store_path(text: &str) -> Result<String, Error> {
    let real = std::fs::canonicalize(text).map_or_else(|_| text.to_owned(), |path| path.display().to_string());
    if crate::closure::is_store_path(&real) { Ok(real) } else { Err(Error::NotAStorePath(text.to_owned())) }
}

fn print_systems(context: &Context, systems: &[System], hosts: usize) -> Result<(), Error> {
    let mut output = context.output()?;
    if hosts > 1 {
        output.several_hosts();
    }
    for system in systems {
        output.record(&system.host, system)?;
    }
    Ok(output.finish()?)
}

/// Shows the plan and asks, if there is somebody to ask. Without a terminal it goes ahead.
fn confirm(context: &Context, ready: &[Ready<'_>]) -> Result<(), Error> {
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Ok(());
    }
    for one in ready {
        let Some(preview) = &one.preview else { continue };
        for line in preview.lines() {
            let versions = [line.old.as_str(), line.new.as_str()].join(" ");
            context.report.warn(format_args!("{}: {} {} {} {}", one.seen.line.name(), line.action, line.name, versions.trim(), line.reason));
        }
    }
    let names = ready.iter().map(|one| one.seen.line.name()).collect::<Vec<_>>().join(", ");
    context.report.warn(format_args!("deploy to {names}? [y/N]"));
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    match read {
        Ok(_) if matches!(answer.trim(), "y" | "yes") => Ok(()),
        _ => Err(Error::NotConfirmed),
    }
}
