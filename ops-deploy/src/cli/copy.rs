//! `ops-deploy copy`.

use clap::Args;
use ops_common::exit::Status;
use ops_common::hosts;
use ops_common::tool::Context;

use super::Hosts;
use super::systems::{Named, Which, print_systems};
use crate::error::Error;
use crate::switch::{self, System};
use crate::{copy, nix};

/// Bring systems to hosts, without activating them
///
/// Reads what `build` prints from stdin (PATH for one host, HOST TAB PATH, or JSON records) unless --store-path is given, and
/// prints it again. Copies only what is missing, over one connection, in a constant number of round trips.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ops-deploy build ops-jrz1 | ops-deploy copy ops-jrz1
  ops-deploy copy ops-jrz1 --store-path ./result")]
pub(super) struct Copy {
    #[command(flatten)]
    hosts: Hosts,

    #[command(flatten)]
    which: Which,

    /// Let the hosts take from their binary caches what those have
    #[arg(long)]
    substitute: bool,
}

impl Copy {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let targets = self.hosts.targets(context)?;
        let systems = self.which.systems(&targets)?;
        let mut named = Named::new(targets.len(), false);
        let looked = switch::look_at_each(context, &targets, self.hosts.jobs);
        let each = targets.iter().zip(looked).zip(&systems);
        let each = each.map(|((target, seen), system)| {
            let seen = seen.map(|seen| (seen, system));
            (target.name.clone(), seen)
        });
        let work = named.without_failed(context, each)?;
        let copied = hosts::fan_out(&work, self.hosts.jobs, |(seen, system)| {
            let closure =
                nix::closure(&system.path)?.ok_or_else(|| Error::NotHere(system.path.clone()))?;
            copy::copy(&seen.line, &closure, self.substitute)
        });
        let each = work.iter().zip(copied).map(|((seen, system), copied)| {
            let done = copied.map(|copied| {
                let report = &seen.line.report;
                report.note(format_args!(
                    "copied {} paths, {} bytes",
                    copied.paths, copied.bytes
                ));
                System::of(&seen.line.name(), system)
            });
            (seen.line.name(), done)
        });
        let done = named.without_failed(context, each)?;
        print_systems(context, &done, targets.len())?;
        Ok(named.status())
    }
}
