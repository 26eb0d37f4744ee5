//! The arguments of `backup`.

use std::path::{Path, PathBuf};

use clap::Args;
use ops_common::exit::{self, Failure, Status};
use ops_common::hosts::{self, HostArgs};
use ops_common::span::Span;
use ops_common::tool::Context;

use super::{RoleArgs, settings};
use crate::backup::{self, Options};
use crate::error::Error;
use crate::reach::Server;
use crate::settings::Settings;
use crate::source::Format;

/// Back up databases
///
/// Without -o, plain SQL (or with --custom a custom archive) goes to stdout, and the status is the truth about it. With -o
/// FILE the same goes to a file that appears only when it is whole. With -o DIR/ each database becomes a compressed archive
/// that proves itself: parsed while it is written, sealed with checksums, encrypted to --recipient, with a manifest beside.
/// The files' names are printed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-db backup mautrix_slack > backup.sql
  ops-db backup mautrix_slack -o backup.sql
  ops-db backup mautrix_slack forgejo -o /var/backups/postgresql/
  ops-db backup --all --exclude scratch -o backups/ --recipient age1... --count")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(super) struct BackupArgs {
    /// The databases
    #[arg(
        value_name = "DB",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    databases: Vec<String>,

    /// Back up every database
    #[arg(long, requires = "output")]
    all: bool,

    /// Leave this one out of --all (can be repeated)
    #[arg(long, value_name = "DB", requires = "all")]
    exclude: Vec<String>,

    /// Write to this file, or into this directory (which ends in / or exists)
    #[arg(short, long, value_name = "FILE|DIR/")]
    output: Option<PathBuf>,

    /// Write a custom archive to stdout instead of plain SQL
    #[arg(long, conflicts_with = "output")]
    custom: bool,

    /// Take each database in N streams at once, into a directory of its own with N + 2 archives
    #[arg(long, value_name = "N", requires = "output")]
    streams: Option<usize>,

    /// Encrypt to this age or SSH public key instead of those of ops.yaml (can be repeated)
    #[arg(long = "recipient", value_name = "KEY", requires = "output")]
    recipients: Vec<String>,

    /// Count the rows of each table under the same snapshot and compare
    #[arg(long, requires = "output")]
    count: bool,

    /// Sum the rows of each table under the same snapshot, for `drill` to compare
    #[arg(long, requires = "output")]
    checksum: bool,

    /// Give up when somebody's lock on a table lasts longer
    #[arg(long, value_name = "TIME", default_value = "60s")]
    lock_wait: Span,

    #[command(flatten)]
    role: RoleArgs,
    #[command(flatten)]
    hosts: HostArgs,
}

impl BackupArgs {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let settings = settings(context)?;
        let host = hosts::one(context, &self.hosts)?;
        let server = self.role.server(&host, &settings, context);
        let is_folder =
            |path: &PathBuf| path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/");
        match (&self.output, self.databases.as_slice()) {
            (Some(folder), _) if is_folder(folder) => {
                return self.to_folder(context, &server, folder, &settings);
            }
            (Some(_), _) if self.streams.is_some() => {
                return Err(Error::Usage(
                    "--streams needs a directory: -o DIR/".to_owned(),
                ));
            }
            (Some(file), [database]) => backup::to_file(&server, database, file, self.lock_wait)?,
            (None, [database]) => {
                let format = if self.custom {
                    Format::Archive
                } else {
                    Format::Plain
                };
                backup::to_stream(
                    &server,
                    database,
                    format,
                    self.lock_wait,
                    context.output()?.bytes(),
                )?;
            }
            _ => {
                return Err(Error::Usage(
                    "several databases need a directory: -o DIR/".to_owned(),
                ));
            }
        }
        Ok(Status::Done)
    }

    /// One that fails does not stop the others.
    fn to_folder(
        &self,
        context: &Context,
        server: &Server<'_>,
        folder: &Path,
        settings: &Settings,
    ) -> Result<Status, Error> {
        if !folder.is_dir() {
            return Err(Error::NoFolder(folder.to_owned()));
        }
        let recipients = if self.recipients.is_empty() {
            &settings.recipients
        } else {
            &self.recipients
        };
        let options = Options {
            recipients: recipients.clone(),
            count: self.count,
            checksum: self.checksum,
            lock_wait: self.lock_wait,
            streams: self.streams,
            hooks: settings.hooks.clone(),
        };
        let databases = if self.all {
            backup::all(server, &self.exclude)?
        } else {
            self.databases.clone()
        };
        let mut output = context.output()?;
        let mut statuses = Vec::new();
        for database in &databases {
            match backup::to_folder(server, database, folder, &options) {
                Ok(file) => {
                    output.line(&file.display().to_string())?;
                    statuses.push(Status::Done);
                }
                Err(error) if databases.len() == 1 => return Err(error),
                Err(error) => {
                    context
                        .report
                        .about(database)
                        .failure(&error, &exit::describe(&error));
                    statuses.push(error.status());
                }
            }
        }
        output.finish()?;
        Ok(Status::worst(statuses))
    }
}
