//! `ops-deploy verify`.

use clap::Args;
use ops_common::exit::Status;
use ops_common::tool::Context;
use ops_common::watch::{self, WatchArgs};

use super::{Hosts, state_of};
use crate::error::Error;
use crate::probe::{self, Surroundings};
use crate::settings::Settings;
use crate::verify;

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
pub(super) struct Verify {
    #[command(flatten)]
    hosts: Hosts,

    #[command(flatten)]
    watch: WatchArgs,
}

impl Verify {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let config = context.config()?;
        let settings = Settings::read(config)?;
        let window = settings
            .health_window
            .duration()
            .max(std::time::Duration::from_secs(2));
        watch::judge(
            context,
            "deploy.units",
            &self.hosts.args(),
            &self.watch,
            |host| {
                let state = state_of(host, &settings)?;
                let mut checks = verify::checks(&state, &settings);
                let surroundings = Surroundings {
                    host: Some(host.name()),
                    config: config.path(),
                    limit: window,
                };
                checks.extend(probe::run(&settings.health, surroundings));
                Ok(checks)
            },
        )
    }
}
