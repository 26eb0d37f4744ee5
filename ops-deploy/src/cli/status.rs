//! `ops-deploy status`.

use clap::Args;
use ops_common::exit::Status;
use ops_common::hosts;
use ops_common::tool::Context;

use super::{Hosts, state_of};
use crate::error::Error;
use crate::settings::Settings;
use crate::{facts, log, status};

/// Tell which system and commit is live on hosts, and whether the repository differs
#[derive(Args, Debug)]
#[command(
    name = "status",
    after_help = "\
Examples:
  ops-deploy status ops-jrz1
  ops-deploy status ops-jrz1 --all
  ops-deploy status @all --json | jq -r 'select(.drift == \"differs\") | .host'"
)]
pub(super) struct StatusOf {
    #[command(flatten)]
    hosts: Hosts,

    /// List all generations, newest first
    #[arg(long)]
    all: bool,
}

impl StatusOf {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let config = context.config()?;
        let settings = Settings::read(config)?;
        let head = facts::gather(config, &settings, None, true, &context.report)?
            .revision
            .commit;
        hosts::ask(context, &self.hosts.args(), |host| {
            let (records, _) = log::read(host, host.name())?;
            Ok::<_, Error>(status::describe(
                &state_of(host, &settings)?,
                &records,
                &head,
                self.all,
            ))
        })
    }
}
