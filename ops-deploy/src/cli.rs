//! The command line of `ops-deploy`.

use std::io::IsTerminal;
use std::path::Path;

use clap::{Args, Parser, Subcommand};
use ops_common::exit::{Failure, Status, describe};
use ops_common::host::{Command, Host};
use ops_common::hosts::{self, HostArgs, Target};
use ops_common::tool::{Context, House, Tool};
use ops_common::watch::{self, WatchArgs};

use crate::copy;
use crate::deployment::Way;
use crate::error::Error;
use crate::facts;
use crate::gate::{self, Rules};
use crate::handoff::{self, Handed};
use crate::log;
use crate::nix;
use crate::preview::Preview;
use crate::probe::{self, Surroundings};
use crate::promote;
use crate::rollback;
use crate::settings::Settings;
use crate::state::{self, State};
use crate::status;
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
    Copy(Copy),
    Activate(Activate),
    Plan(Plan),
    Rollback(Rollback),
    Promote(Promote),
    Status(StatusOf),
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
/// store paths: between those. Prints kind, action, name, old, new, delta_bytes, reason.
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
/// The newest record of FROM must be a healthy deployment of this very commit, without local changes, at least --soak old,
/// and still run there. Says whether the two systems are the same path, come from the same revision and lock (the differing
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
#[command(name = "status", after_help = "\
Examples:
  ops-deploy status ops-jrz1
  ops-deploy status ops-jrz1 --all
  ops-deploy status @all --json | jq -r 'select(.drift == \"differs\") | .host'")]
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
        let is_there = |one: &Ready<'_>| switch::is_there(&one.seen.state, &one.new, Way::Switch, &settings);
        if !self.yes && !ready.iter().all(is_there) {
            confirm(context, &ready)?;
        }
        let request = Request {
            substitute: self.substitute,
            all_or_nothing: self.all_or_nothing,
            ..Request::new(&settings, &facts, self.hosts.jobs)
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

impl Which {
    /// The systems of the hosts: the one that was named, or those that the step before has printed.
    fn systems(&self, targets: &[Target]) -> Result<Vec<Handed>, Error> {
        let names: Vec<_> = targets.iter().map(Target::record_name).collect();
        if let Some(path) = &self.store_path {
            let path = store_path(path)?;
            return Ok(names.into_iter().map(|host| Handed { host, path: path.clone(), ..Handed::default() }).collect());
        }
        let input = ops_common::input::open("-".as_ref())?;
        handoff::pick(&handoff::read(std::io::BufReader::new(input))?, &names)
    }
}

impl Copy {
    fn run(self, context: &Context) -> Result<Status, Error> {
        let targets = self.hosts.targets(context)?;
        let systems = self.which.systems(&targets)?;
        let seen = switch::look(context, &targets, self.hosts.jobs)?;
        let work: Vec<_> = seen.iter().zip(&systems).collect();
        let copied = hosts::fan_out(&work, self.hosts.jobs, |(seen, system)| {
            let closure = nix::closure(&system.path)?.ok_or_else(|| Error::NotHere(system.path.clone()))?;
            copy::copy(&seen.line, &closure, self.substitute)
        });
        let mut statuses = Vec::new();
        let mut done = Vec::new();
        for ((seen, system), copied) in work.into_iter().zip(copied) {
            match copied {
                Ok(copied) => {
                    let report = &seen.line.report;
                    report.note(format_args!("copied {} paths, {} bytes", copied.paths, copied.bytes));
                    done.push(System::of(&seen.line.name(), system));
                }
                Err(error) if targets.len() == 1 => return Err(error),
                Err(error) => {
                    seen.line.report.failure(&error, &describe(&error));
                    statuses.push(error.status());
                }
            }
        }
        print_systems(context, &done, targets.len())?;
        Ok(Status::worst(statuses))
    }
}

impl Activate {
    fn run(self, context: &Context) -> Result<Status, Error> {
        let config = context.config()?;
        let settings = Settings::read(config)?;
        let targets = self.hosts.targets(context)?;
        let systems = self.which.systems(&targets)?;
        let mut facts = facts::gather(config, &settings, None, true, &context.report)?;
        if let Some(first) = systems.first() {
            facts.revision = first.revision();
        }
        let request = Request {
            action: "activate",
            copy: false,
            way: match (self.test, self.boot, self.reboot) {
                (true, ..) => Way::Test,
                (_, true, _) => Way::Boot,
                (.., true) => Way::Reboot,
                _ => Way::Switch,
            },
            all_or_nothing: self.all_or_nothing,
            ..Request::new(&settings, &facts, self.hosts.jobs)
        };
        let paths = systems.into_iter().map(|system| system.path).collect();
        on_hosts(context, &targets, &request, paths)
    }
}

impl Rollback {
    fn run(self, context: &Context) -> Result<Status, Error> {
        let config = context.config()?;
        let settings = Settings::read(config)?;
        let targets = self.hosts.targets(context)?;
        let mut facts = facts::gather(config, &settings, None, true, &context.report)?;
        // What the repository has now is not what an old system was built from.
        facts.revision = crate::git::Revision::default();
        let seen = switch::look(context, &targets, self.hosts.jobs)?;
        let to = self.to.as_deref();
        let paths = seen.iter().map(|seen| rollback::destination(&seen.state, &seen.line.name(), to)).collect::<Result<_, _>>()?;
        drop(seen);
        let request = Request { action: "rollback", copy: false, ..Request::new(&settings, &facts, self.hosts.jobs) };
        on_hosts(context, &targets, &request, paths)
    }
}

impl Promote {
    fn run(self, context: &Context) -> Result<Status, Error> {
        let config = context.config()?;
        let settings = Settings::read(config)?;
        let froms = hosts::targets(context, std::slice::from_ref(&self.from))?;
        let tos = hosts::targets(context, std::slice::from_ref(&self.to))?;
        let (Some(from), Some(to)) = (froms.first(), tos.first()) else { return Ok(Status::Usage) };
        let flake = facts::installable(config, to);
        let facts = facts::gather(config, &settings, Some(&flake), false, &context.report)?;
        let seen = switch::look(context, &froms, 1)?;
        let proved = seen.first().map_or_else(
            || Err("it was not looked at".to_owned()),
            |seen| {
                let log = log::read(&seen.line.host(), &self.from).map_err(|error| describe(&error))?.0;
                promote::proof(&log, &seen.state, &facts.revision, self.soak.duration(), jiff::Timestamp::now())
            },
        );
        drop(seen);
        let proved = proved.map_err(|reason| Error::NotProved { host: from.name.clone(), reason })?;
        let new = nix::build(std::slice::from_ref(&flake))?.into_iter().next().unwrap_or_default();
        let likeness = promote::likeness(&proved.new, &new, &settings.units)?;
        likeness.differing.iter().for_each(|path| context.report.note(format_args!("differs: '{path}'")));
        let origin = format!("promoted from '{}' ({})", from.name, likeness.told);
        context.report.hint(&origin);
        let seen = switch::look(context, &tos, 1)?;
        switch::check(&seen)?;
        let named = format!("{}#{}", flake.flake, flake.system);
        let ready = seen.into_iter().map(|seen| switch::prepare(seen, new.clone(), named.clone())).collect::<Result<Vec<_>, _>>()?;
        if !self.yes && !ready.iter().all(|one| switch::is_there(&one.seen.state, &one.new, Way::Switch, &settings)) {
            confirm(context, &ready)?;
        }
        let request = Request { action: "promote", origin, substitute: self.substitute, ..Request::new(&settings, &facts, 1) };
        let (systems, status) = switch::deploy(context, &request, &ready);
        print_systems(context, &systems, 1)?;
        Ok(status)
    }
}

/// Activates systems that the hosts must have.
fn on_hosts(context: &Context, targets: &[Target], request: &Request<'_>, paths: Vec<String>) -> Result<Status, Error> {
    let seen = switch::look(context, targets, request.jobs)?;
    switch::check(&seen)?;
    let mut ready = Vec::with_capacity(seen.len());
    for (seen, path) in seen.into_iter().zip(paths) {
        switch::must_have(&seen, &path)?;
        ready.push(switch::prepare(seen, path, String::new())?);
    }
    let (systems, status) = switch::deploy(context, request, &ready);
    print_systems(context, &systems, targets.len())?;
    Ok(status)
}

impl Plan {
    fn run(self, context: &Context) -> Result<Status, Error> {
        let preview = match self.what.as_slice() {
            [old, new] => {
                let (old, new) = (store_path(old)?, store_path(new)?);
                let closure = nix::closure(&new)?.ok_or_else(|| Error::NotHere(new.clone()))?;
                Preview::between(&old, &new, &closure, None)?.ok_or(Error::NotHere(old))?
            }
            _ => self.for_host(context)?,
        };
        let mut output = context.output()?;
        let host = self.what.first().filter(|_| self.what.len() == 1).map_or_else(hosts::this_machine, Clone::clone);
        for line in preview.lines() {
            output.record(&host, &line)?;
        }
        output.finish()?;
        Ok(Status::Done)
    }

    fn for_host(&self, context: &Context) -> Result<Preview, Error> {
        let config = context.config()?;
        let targets = hosts::targets(context, &self.what)?;
        let [target] = targets.as_slice() else { return Err(hosts::Error::Several(targets.len()).into()) };
        let seen = switch::look(context, &targets, 1)?;
        let new = match &self.store_path {
            Some(path) => store_path(path)?,
            None => nix::build(&[facts::installable(config, target)])?.into_iter().next().unwrap_or_default(),
        };
        let Some(seen) = seen.into_iter().next() else { return Ok(Preview::default()) };
        let old = seen.state.old().unwrap_or("").to_owned();
        let ready = switch::prepare(seen, new, String::new())?;
        ready.preview.ok_or(Error::NotHere(old))
    }
}

impl StatusOf {
    fn run(self, context: &Context) -> Result<Status, Error> {
        let config = context.config()?;
        let settings = Settings::read(config)?;
        let head = facts::gather(config, &settings, None, true, &context.report)?.revision.commit;
        hosts::ask(context, &self.hosts.args(), |host| {
            let (records, _) = log::read(host, host.name())?;
            Ok::<_, Error>(status::describe(&state_of(host)?, &records, &head, self.all))
        })
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
