//! Where lines come from, for every verb that reads them.

use std::ffi::{OsStr, OsString};

use clap::Args;
use ops_common::check::Check;
use ops_common::exit::Status;
use ops_common::host::Host;
use ops_common::hosts::{self, HostArgs};
use ops_common::output::Record;
use ops_common::span::Moment;
use ops_common::tool::Context;
use ops_common::watch::{self, WatchArgs};

use crate::error::Error;
use crate::source::Window;

/// Where lines come from, and which.
#[derive(Debug, Args)]
pub(super) struct SourceArgs {
    /// Read this file, or stdin for `-`, instead of a host's journal: journald JSON or export, or the bridge's own forms
    #[arg(value_name = "FILE", conflicts_with = "names")]
    pub(super) file: Option<OsString>,

    /// From here on: a time before now, or an instant
    #[arg(long, value_name = "TIME")]
    pub(super) since: Option<Moment>,

    /// Up to here: a time before now, or an instant
    #[arg(long, value_name = "TIME")]
    pub(super) until: Option<Moment>,
}

impl SourceArgs {
    /// The window in time; for a host from `default` on where nothing is said.
    pub(super) fn window(&self, default: &str) -> Window {
        let since = self
            .since
            .or_else(|| self.file.is_none().then(|| default.parse().ok()).flatten());
        Window {
            since,
            until: self.until,
        }
    }
}

/// The lines of a file or of hosts, which are judged.
#[derive(Debug, Args)]
pub(super) struct JudgedLines {
    #[command(flatten)]
    pub(super) source: SourceArgs,
    #[command(flatten)]
    hosts: HostArgs,
    #[command(flatten)]
    watch: WatchArgs,
}

impl JudgedLines {
    /// Judges them.
    pub(super) fn judge(
        &self,
        context: &Context,
        check: &str,
        of_file: impl Fn(&OsStr) -> Result<Vec<Check>, Error>,
        of_host: impl Fn(&Host) -> Result<Vec<Check>, Error> + Sync,
    ) -> Result<Status, Error> {
        match &self.source.file {
            Some(file) => watch::judge_here(context, check, &self.watch, || of_file(file)),
            None => watch::judge(context, check, &self.hosts, &self.watch, of_host),
        }
    }
}

/// Lists the records of a file, or those of hosts.
pub(super) fn list<R: Record + Send>(
    context: &Context,
    (source, hosts): (&SourceArgs, &HostArgs),
    of_file: impl Fn(&OsStr) -> Result<Vec<R>, Error>,
    of_host: impl Fn(&Host) -> Result<Vec<R>, Error> + Sync,
) -> Result<Status, Error> {
    match &source.file {
        Some(file) => print(context, &of_file(file)?),
        None => hosts::ask(context, hosts, of_host),
    }
}

fn print<R: Record>(context: &Context, records: &[R]) -> Result<Status, Error> {
    let mut output = context.output()?;
    let host = hosts::this_machine();
    records
        .iter()
        .try_for_each(|record| output.record(&host, record))?;
    output.finish()?;
    Ok(Status::Done)
}
