//! `ops-deploy log`.

use clap::Args;
use ops_common::exit::Status;
use ops_common::hosts;
use ops_common::tool::Context;

use super::Hosts;
use crate::error::Error;
use crate::log;

/// Print the records of deployments, newest first
///
/// Read from the host, so from anywhere. A deployment that nobody finished is among them.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ops-deploy log ops-jrz1
  ops-deploy log ops-jrz1 -n 1 --json | jq .steps_s")]
pub(super) struct Log {
    #[command(flatten)]
    hosts: Hosts,

    /// Print so many records of each host
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    lines: usize,
}

impl Log {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        hosts::ask(context, &self.hosts.args(), |host| {
            let (mut records, damaged) = log::read(host, host.name())?;
            if damaged > 0 {
                context.report.warn(format_args!(
                    "{damaged} lines of the log of '{}' are damaged",
                    host.name()
                ));
            }
            records.reverse();
            records.truncate(self.lines);
            Ok::<_, Error>(records)
        })
    }
}
