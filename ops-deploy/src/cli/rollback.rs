//! `ops-deploy rollback`.

use clap::Args;
use ops_common::exit::Status;
use ops_common::tool::Context;

use super::Hosts;
use super::systems::on_hosts;
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
        let seen = switch::look(context, &targets, self.hosts.jobs)?;
        let to = self.to.as_deref();
        let paths = seen
            .iter()
            .map(|seen| rollback::destination(&seen.state, &seen.line.name(), to))
            .collect::<Result<_, _>>()?;
        let request = Request {
            action: "rollback",
            copy: false,
            ..Request::new(&settings, &facts, self.hosts.jobs)
        };
        on_hosts(context, seen, &request, paths)
    }
}
