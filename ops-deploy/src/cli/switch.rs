//! `ops-deploy switch`.

use clap::{Args, ValueEnum};
use ops_common::exit::Status;
use ops_common::hosts::{self, Target};
use ops_common::tool::Context;

use super::Hosts;
use super::systems::{Named, store_path};
use crate::error::Error;
use crate::nix::Installable;
use crate::settings::Settings;
use crate::switch::{self, Request, Seen};
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
        let mut named = Named::new(targets.len(), self.all_or_nothing);
        let (seen, built) = self.look_and_build(context, &targets, &flakes, &mut named)?;
        let request = Request {
            substitute: self.substitute,
            all_or_nothing: self.all_or_nothing,
            ..Request::new(&settings, &facts, self.hosts.jobs)
        };
        let each = seen.into_iter().zip(built);
        let each = each.map(|(seen, (flake, path))| {
            let flake = if self.store_path.is_some() {
                String::new()
            } else {
                format!("{}#{}", flake.flake, flake.system)
            };
            let name = seen.line.name();
            let prepare = |path| switch::prepare(context, &request, seen, path, flake);
            (name, path.and_then(prepare))
        });
        let ready = named.without_failed(context, each)?;
        named.go(context, &request, &ready, self.yes)
    }

    /// Looks at the hosts while the systems are built here, or lets them build.
    fn look_and_build<'a, 'b>(
        &self,
        context: &'a Context,
        targets: &'a [Target],
        flakes: &'b [Installable],
        named: &mut Named,
    ) -> Result<(Vec<Seen<'a>>, Vec<Built<'b>>), Error> {
        let here = self.build_on == BuildOn::Here;
        let (seen, paths) = std::thread::scope(|scope| {
            let seen = scope.spawn(|| switch::look_at_each(context, targets, self.hosts.jobs));
            let paths = match &self.store_path {
                Some(path) => store_path(path).map(|path| vec![path; targets.len()]),
                None if here => nix::build(flakes).map_err(Error::Nix),
                None => Ok(Vec::new()),
            };
            (seen.join(), paths)
        });
        let paths = paths?;
        let looked = seen.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let each = targets.iter().zip(looked).zip(0..);
        let each = each.map(|((target, seen), place)| {
            let seen = seen.map(|seen| (seen, place));
            (target.name.clone(), seen)
        });
        let seen = named.without_failed(context, each)?;
        let (seen, places): (Vec<_>, Vec<usize>) = seen.into_iter().unzip();
        switch::check(&seen)?;
        let flakes: Vec<_> = places.iter().map(|place| &flakes[*place]).collect();
        let paths: Vec<Result<String, Error>> = if here {
            let paths = places.iter().map(|place| Ok(paths[*place].clone()));
            paths.collect()
        } else {
            let work: Vec<_> = seen.iter().zip(&flakes).collect();
            hosts::fan_out(&work, self.hosts.jobs, |(seen, flake)| {
                build_there::build(&seen.line, flake)
            })
        };
        Ok((seen, flakes.into_iter().zip(paths).collect()))
    }
}

/// What a host is to get: the flake output, and the path that it was built to.
type Built<'a> = (&'a Installable, Result<String, Error>);
