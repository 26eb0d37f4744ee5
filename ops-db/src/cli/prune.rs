//! The arguments of `backups` and `prune`.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use ops_common::exit::Status;
use ops_common::hosts;
use ops_common::span::Span;
use ops_common::tool::Context;

use super::settings;
use crate::catalogue;
use crate::error::Error;
use crate::prune::{self, Plan};
use crate::retention::Policy;

/// List the backups in a directory of this machine
///
/// The files are the catalogue. state is ok (whole, by its manifest), unverified (no manifest), partial (no end mark, or left
/// by a dead run) or damaged (the last look at it found damage, or manifest and file are not of one backup).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-db backups
  ops-db backups backups/ --json | jq -r 'select(.state != \"ok\").file'")]
pub(super) struct BackupsArgs {
    /// The directory [default: the one of ops.yaml]
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// Remove backups that need not be kept
///
/// Only whole, verified backups are counted or removed, by database and machine. Without --yes it only shows what it would
/// do. A database whose last backup failed or was killed is left alone, with status 1. Hours and days are those of UTC.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-db prune --daily 7 --weekly 4 --monthly 12
  ops-db prune backups/ --last 3 --within 7d --yes")]
pub(super) struct PruneArgs {
    /// The directory [default: the one of ops.yaml]
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Keep the newest N
    #[arg(long, value_name = "N", default_value_t = 0)]
    last: usize,
    /// Keep one of each of the newest N hours that have any
    #[arg(long, value_name = "N", default_value_t = 0)]
    hourly: usize,
    /// Keep one of each of N days
    #[arg(long, value_name = "N", default_value_t = 0)]
    daily: usize,
    /// Keep one of each of N weeks
    #[arg(long, value_name = "N", default_value_t = 0)]
    weekly: usize,
    /// Keep one of each of N months
    #[arg(long, value_name = "N", default_value_t = 0)]
    monthly: usize,
    /// Keep one of each of N years
    #[arg(long, value_name = "N", default_value_t = 0)]
    yearly: usize,
    /// Keep all that are younger
    #[arg(long, value_name = "TIME", default_value = "0s")]
    within: Span,
    /// Really remove them
    #[arg(long)]
    yes: bool,
}

impl BackupsArgs {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let folder = match self.folder {
            Some(folder) => folder,
            None => settings(context)?.backups,
        };
        let mut output = context.output()?;
        for backup in catalogue::read(&folder)? {
            output.record(&hosts::this_machine(), &backup)?;
        }
        output.finish()?;
        Ok(Status::Done)
    }
}

impl PruneArgs {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let Self {
            last,
            hourly,
            daily,
            weekly,
            monthly,
            yearly,
            ..
        } = self;
        let policy = Policy {
            last,
            hourly,
            daily,
            weekly,
            monthly,
            yearly,
            within: self.within.duration(),
        };
        if policy.is_empty() {
            return Err(Error::Usage(
                "prune needs to know what to keep, for example --daily 7".to_owned(),
            ));
        }
        let folder = match self.folder {
            Some(folder) => folder,
            None => settings(context)?.backups,
        };
        let plan = prune::plan(&folder, policy, Timestamp::now())?;
        if self.yes {
            prune::carry_out(&plan.decisions)?;
        }
        let mut output = context.output()?;
        for decision in &plan.decisions {
            output.record(&hosts::this_machine(), decision)?;
        }
        output.finish()?;
        plan.tell(context);
        if !self.yes
            && plan
                .decisions
                .iter()
                .any(|decision| decision.action == "remove")
        {
            context.report.hint("nothing was removed: --yes does");
        }
        Ok(if plan.failed.is_empty() {
            Status::Done
        } else {
            Status::No
        })
    }
}

impl Plan {
    /// What it says nothing about, and why.
    fn tell(&self, context: &Context) {
        for file in &self.astray {
            context.report.warn(format_args!(
                "'{}' was taken by a clock that was ahead of this one, so it neither counts nor goes",
                file.display()
            ));
        }
        for database in &self.failed {
            context.report.warn(format_args!(
                "the last backup of '{database}' failed, so none of its backups is removed"
            ));
        }
    }
}
