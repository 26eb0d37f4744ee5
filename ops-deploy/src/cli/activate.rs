//! `ops-deploy activate`.

use clap::Args;
use ops_common::exit::Status;
use ops_common::tool::Context;

use super::Hosts;
use super::systems::{Named, Which};
use crate::deployment::Way;
use crate::error::Error;
use crate::facts;
use crate::settings::Settings;
use crate::switch::{self, Request};

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
pub(super) struct Activate {
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

impl Activate {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
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
        let mut named = Named::new(targets.len(), self.all_or_nothing);
        let looked = switch::look_at_each(context, &targets, self.hosts.jobs);
        let each = targets.iter().zip(looked).zip(systems);
        let each = each.map(|((target, seen), system)| {
            let seen = seen.map(|seen| (seen, system.path));
            (target.name.clone(), seen)
        });
        let seen = named.without_failed(context, each)?;
        named.on_hosts(context, seen, &request)
    }
}
