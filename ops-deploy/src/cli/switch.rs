//! `ops-deploy switch`.

use clap::{Args, ValueEnum};
use ops_common::exit::Status;
use ops_common::hosts;
use ops_common::tool::Context;

use super::Hosts;
use super::systems::{go, store_path};
use crate::error::Error;
use crate::settings::Settings;
use crate::switch::{self, Request};
use crate::{build_there, facts, nix};

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
pub(super) struct Switch {
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

impl Switch {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let config = context.config()?;
        let settings = Settings::read(config)?;
        let targets = self.hosts.targets(context)?;
        let flakes: Vec<_> = targets
            .iter()
            .map(|target| facts::installable(config, target))
            .collect();
        let built_from = flakes.first().filter(|_| self.store_path.is_none());
        let facts = facts::gather(
            config,
            &settings,
            built_from,
            self.allow_dirty,
            &context.report,
        )?;
        let here = self.build_on == BuildOn::Here;
        let (seen, paths) = std::thread::scope(|scope| {
            let seen = scope.spawn(|| switch::look(context, &targets, self.hosts.jobs));
            let paths = match &self.store_path {
                Some(path) => store_path(path).map(|path| vec![path; targets.len()]),
                None if here => nix::build(&flakes).map_err(Error::Nix),
                None => Ok(Vec::new()),
            };
            (seen.join(), paths)
        });
        let mut paths = paths?;
        let seen = seen.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        switch::check(&seen)?;
        if !here {
            let work: Vec<_> = seen.iter().zip(&flakes).collect();
            let built = hosts::fan_out(&work, self.hosts.jobs, |(seen, flake)| {
                build_there::build(&seen.line, flake)
            });
            paths = built.into_iter().collect::<Result<_, _>>()?;
        }
        let request = Request {
            substitute: self.substitute,
            all_or_nothing: self.all_or_nothing,
            ..Request::new(&settings, &facts, self.hosts.jobs)
        };
        let mut ready = Vec::with_capacity(seen.len());
        for ((seen, path), flake) in seen.into_iter().zip(paths).zip(&flakes) {
            let flake = if self.store_path.is_some() {
                String::new()
            } else {
                format!("{}#{}", flake.flake, flake.system)
            };
            ready.push(switch::prepare(context, &request, seen, path, flake)?);
        }
        go(context, &request, &ready, self.yes)
    }
}
