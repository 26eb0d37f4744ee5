//! The arguments of `health`.

use clap::Args;
use ops_common::exit::Status;
use ops_common::hosts::HostArgs;
use ops_common::span::Span;
use ops_common::tool::Context;
use ops_common::watch::{self, WatchArgs};

use super::{RoleArgs, settings};
use crate::error::Error;
use crate::health::{self, limits::Limits};

/// Tell whether the server is well, and whether its backups are young and proven
///
/// The backups are those of db.backups of ops.yaml on this machine; how old they may be, the flags or db.limits say, and db.limits
/// every other threshold (docs/ops-db.md).
///
/// Checks: db.connections, db.oldest_transaction, db.idle_in_transaction, db.blocked, db.wraparound, db.cache_hit,
/// db.checksum_failures, db.slots, db.replication, db.archiver, db.disk (value: free bytes); of each database db.dead_rows,
/// db.invalid_indexes, db.backup_age and, if it has a backup, db.drill_age.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-db health
  ops-db health --host ops-jrz1 --max-backup-age 26h --max-drill-age 8d
  ops-db health --json | jq -r 'select(.status != \"ok\") | [.check, .subject, .message] | @tsv'
  ops-db health --format prom > /var/lib/prometheus/node-exporter/ops-db.prom")]
pub(super) struct HealthArgs {
    /// Fail if the newest backup of a database is older, or there is none
    #[arg(long, value_name = "TIME")]
    max_backup_age: Option<Span>,

    /// Fail if no backup of a database was restored by `drill` since then
    #[arg(long, value_name = "TIME")]
    max_drill_age: Option<Span>,

    #[command(flatten)]
    role: RoleArgs,
    #[command(flatten)]
    hosts: HostArgs,
    #[command(flatten)]
    watch: WatchArgs,
}

impl HealthArgs {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let settings = settings(context)?;
        let limits = Limits {
            backup_age: self.max_backup_age.or(settings.limits.backup_age),
            drill_age: self.max_drill_age.or(settings.limits.drill_age),
            ..settings.limits
        };
        watch::judge(context, health::CHECK, &self.hosts, &self.watch, |host| {
            health::look(&self.role.server(host, &settings, context), &limits)
        })
    }
}
