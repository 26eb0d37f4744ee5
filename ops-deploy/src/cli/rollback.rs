//! `ops-deploy rollback`.

use clap::Args;
use ops_common::exit::Status;
use ops_common::tool::Context;

use super::Hosts;
use super::systems::Named;
use crate::error::Error;
use crate::settings::Settings;
use crate::switch::{self, Request};
use crate::{facts, git, rollback};

/// Go back to an older system, in the safe order of a switch
///
/// Without --to: to the newest older generation that holds another system.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ops-deploy rollback ops-jrz1
  ops-deploy rollback ops-jrz1 --to 41")]
pub(super) struct Rollback {
    #[command(flatten)]
    hosts: Hosts,

    /// Go to this generation, or this store path of the host
    #[arg(long, value_name = "GENERATION|PATH")]
    to: Option<String>,
}

impl Rollback {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let config = context.config()?;
        let settings = Settings::read(config)?;
        let targets = self.hosts.targets(context)?;
        let mut facts = facts::gather(config, &settings, None, true, &context.report)?;
        // What the repository has now is not what an old system was built from.
        facts.revision = git::Revision::default();
        let to = self.to.as_deref();
        let mut named = Named::new(targets.len(), false);
        let looked = switch::look_at_each(context, &targets, self.hosts.jobs);
        let each = targets.iter().zip(looked).map(|(target, seen)| {
            let going = seen.and_then(|seen| {
                let path = rollback::destination(&seen.state, &seen.line.name(), to)?;
                Ok((seen, path))
            });
            (target.name.clone(), going)
        });
        let seen = named.without_failed(context, each)?;
        let request = Request {
            action: "rollback",
            copy: false,
            ..Request::new(&settings, &facts, self.hosts.jobs)
        };
        named.on_hosts(context, seen, &request)
    }
}
