//! `ops-deploy build`.

use clap::Args;
use ops_common::exit::Status;
use ops_common::tool::Context;

use super::Hosts;
use super::systems::print_systems;
use crate::error::Error;
use crate::settings::Settings;
use crate::switch::System;
use crate::{facts, nix};

/// Build the systems of hosts, with one evaluation, and print their store paths
///
/// One host: PATH. Several: HOST, TAB, PATH. With --json also the commit and whether the working tree differs from it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ops-deploy build ops-jrz1
  ops-deploy build ops-jrz1 ops-jrz1-staging --json")]
pub(super) struct Build {
    #[command(flatten)]
    hosts: Hosts,

    /// Build although tracked files differ from the commit
    #[arg(long)]
    allow_dirty: bool,
}

impl Build {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let config = context.config()?;
        let settings = Settings::read(config)?;
        let targets = self.hosts.targets(context)?;
        let flakes: Vec<_> = targets
            .iter()
            .map(|target| facts::installable(config, target))
            .collect();
        let facts = facts::gather(
            config,
            &settings,
            flakes.first(),
            self.allow_dirty,
            &context.report,
        )?;
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
