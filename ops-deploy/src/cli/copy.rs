//! `ops-deploy copy`.

use clap::Args;
use ops_common::exit::{Failure, Status, describe};
use ops_common::hosts;
use ops_common::tool::Context;

use super::Hosts;
use super::systems::{Which, print_systems};
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
        let seen = switch::look(context, &targets, self.hosts.jobs)?;
        let work: Vec<_> = seen.iter().zip(&systems).collect();
        let copied = hosts::fan_out(&work, self.hosts.jobs, |(seen, system)| {
            let closure =
                nix::closure(&system.path)?.ok_or_else(|| Error::NotHere(system.path.clone()))?;
            copy::copy(&seen.line, &closure, self.substitute)
        });
        let mut statuses = Vec::new();
        let mut done = Vec::new();
        for ((seen, system), copied) in work.into_iter().zip(copied) {
            match copied {
                Ok(copied) => {
                    let report = &seen.line.report;
                    report.note(format_args!(
                        "copied {} paths, {} bytes",
                        copied.paths, copied.bytes
                    ));
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
