//! The arguments of `restore` and `drill`.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;

use clap::Args;
use ops_common::exit::Status;
use ops_common::hosts::{self, HostArgs};
use ops_common::input;
use ops_common::span::Span;
use ops_common::tool::Context;
use ops_common::watch::{self, WatchArgs};

use super::{IdentityArgs, RoleArgs, settings};
use crate::drill;
use crate::error::Error;
use crate::restore::{self, Options};
use crate::source::Opened;

/// Restore a backup as a database
///
/// It goes into a new database, is checked there (end mark, checksums, rows), and only then gets its name. A database that has
/// the name is replaced only with --replace DB or when its name is typed on the terminal, and is kept under another name.
/// psql is never used. The host must be named.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-db restore backups/forgejo.20260131T120000Z.dump.zst forgejo --host localhost
  ops-db backup forgejo --custom --host ops-jrz1 | ops-db restore - forgejo --host ops-jrz1-staging --replace forgejo --before-swap scrub.sql
  ops-db restore backup.dump.zst scratch --table portal --host localhost")]
pub(super) struct RestoreArgs {
    /// The backup, or - for stdin
    #[arg(value_name = "FILE")]
    file: OsString,

    /// The name that the database will have
    #[arg(value_name = "DB")]
    database: String,

    /// Replace this database, which must be DB
    #[arg(long, value_name = "DB")]
    replace: Option<String>,

    /// Restore this table only (can be repeated)
    #[arg(long = "table", value_name = "TABLE")]
    tables: Vec<String>,

    /// Restore this schema only (can be repeated)
    #[arg(long = "schema", value_name = "SCHEMA")]
    schemas: Vec<String>,

    /// Restore in this many processes; one file is then first written to a temporary file on the host, uncompressed
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: usize,

    /// Run this file of SQL in the new database before anybody can use it
    #[arg(long, value_name = "FILE")]
    before_swap: Option<OsString>,

    #[command(flatten)]
    identity: IdentityArgs,
    #[command(flatten)]
    role: RoleArgs,
    /// Restore on this host, which must be named: an entry of ops.yaml, an ssh alias, `user@address[:port]`, or localhost
    #[arg(long = "host", value_name = "NAME")]
    host: Option<String>,
}

/// Prove backups by restoring them into a cluster made for it
///
/// initdb makes a cluster without a port in a private directory, here or on a host; roles are stubs; the backup is restored,
/// tables are counted and summed and compared with the manifest, and the result is noted in the manifest beside. Nothing is
/// left. A difference is status 1.
///
/// Check: db.drill, one for each file; value: rows.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-db drill backups/forgejo.20260131T120000Z.dump.zst
  ops-db drill backups/*.age --identity key.txt --host ops-jrz1-staging --json")]
pub(super) struct DrillArgs {
    /// The backups
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Make the cluster on this host [default: here]
    #[arg(long = "host", value_name = "NAME")]
    host: Option<String>,

    #[command(flatten)]
    identity: IdentityArgs,
    #[command(flatten)]
    watch: WatchArgs,
}

impl RestoreArgs {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let settings = settings(context)?;
        let identities = self.identity.resolve(context)?;
        if self
            .replace
            .as_ref()
            .is_some_and(|replace| *replace != self.database)
        {
            return Err(Error::Usage(format!(
                "--replace must name the database that is restored, '{}'",
                self.database
            )));
        }
        let before_swap = self.before_swap.as_deref().map(input::read).transpose()?;
        let before_swap = before_swap
            .map(String::from_utf8)
            .transpose()
            .map_err(|_| Error::Usage("the file of --before-swap is not UTF-8".to_owned()))?;
        let named = HostArgs {
            names: self.host.into_iter().collect(),
            ..HostArgs::default()
        };
        let host = hosts::named_one(context, &named)?;
        let server = self.role.server(&host, &settings, context);
        let replace = self.replace.is_some()
            || (restore::exists(&server, &self.database)? && confirmed(&self.database));
        let options = Options {
            tables: self.tables,
            schemas: self.schemas,
            before_swap,
            replace,
            without_tablespaces: false,
            jobs: self.jobs,
        };
        let backup = Opened::open(&self.file, &identities)?;
        let restored = restore::run(&server, backup, &self.database, &options)?;
        let mut output = context.output()?;
        output.record(host.name(), &restored)?;
        output.finish()?;
        Ok(Status::Done)
    }
}

/// Whether a person types the name of the database on the terminal of the process.
fn confirmed(database: &str) -> bool {
    let Ok(mut terminal) = OpenOptions::new().read(true).write(true).open("/dev/tty") else {
        return false;
    };
    let asked = write!(
        terminal,
        "'{database}' exists. Type its name to replace it: "
    )
    .and_then(|()| terminal.flush());
    let mut typed = String::new();
    asked.is_ok()
        && BufReader::new(terminal).read_line(&mut typed).is_ok()
        && typed.trim_end_matches(['\r', '\n']) == database
}

impl DrillArgs {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let settings = settings(context)?;
        let identities = self.identity.resolve(context)?;
        // Without --host it is this machine, whatever OPS_HOST says: the files are here.
        let names = HostArgs {
            names: vec![self.host.clone().unwrap_or_else(|| "localhost".to_owned())],
            ..HostArgs::default()
        };
        watch::judge(context, drill::CHECK, &names, &self.watch, |host| {
            // A restore takes as long as it takes.
            let host = host.with_timeout(context.house.timeout.map(Span::duration));
            let prove = |file: &PathBuf| {
                let backup = Opened::open(file.as_os_str(), &identities)?;
                drill::file(&host, &settings, &context.report, file, backup)
            };
            self.files.iter().map(prove).collect()
        })
    }
}
