//! The arguments of `verify`.

use std::ffi::OsString;

use clap::Args;
use ops_common::check::Check;
use ops_common::exit::{self, Status};
use ops_common::tool::Context;
use ops_common::watch::{self, WatchArgs};

use super::IdentityArgs;
use crate::error::Error;
use crate::verify;

/// Read backups to their end and judge them
///
/// Every block is read, every checksum compared, rows counted against the manifest. Damage is status 65, with its place. What
/// has no checksum (plain SQL, a bare archive) can at best be unknown, status 3. The judgement is noted in the manifest beside.
///
/// Check: db.backup, one for each file; value: rows.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-db verify backups/*.zst
  ops-db verify backups/*.age --identity ~/.ssh/id_ed25519 --json
  ssh ops-jrz1 cat backup.dump.zst | ops-db verify -")]
pub(super) struct VerifyArgs {
    /// The backups, or - for stdin
    #[arg(value_name = "FILE", required = true)]
    files: Vec<OsString>,
    #[command(flatten)]
    identity: IdentityArgs,
    #[command(flatten)]
    watch: WatchArgs,
}

impl VerifyArgs {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let identities = self.identity.resolve(context)?;
        let status = watch::judge_here(context, verify::CHECK, &self.watch, || {
            let judge = |file: &OsString| match verify::file(file, &identities) {
                Err(error) if self.files.len() > 1 => Ok(Check::unknown(
                    verify::CHECK,
                    file.to_string_lossy(),
                    exit::describe(&error),
                )),
                judged => judged,
            };
            self.files.iter().map(judge).collect()
        })?;
        // The input itself is what is judged here.
        Ok(if status == Status::No {
            Status::BadInput
        } else {
            status
        })
    }
}
