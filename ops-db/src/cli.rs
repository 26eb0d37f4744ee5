//! The command line: the only file that knows clap. Its doc comments are the manual.

mod backup;
mod health;
mod prune;
mod restore;
mod verify;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use ops_common::exit::Status;
use ops_common::host::Host;
use ops_common::hosts::{self, HostArgs};
use ops_common::input;
use ops_common::output::Format;
use ops_common::tool::{Context, House, Tool};

use crate::error::Error;
use crate::parameters::{self, Parameter};
use crate::query::{self, Question};
use crate::reach::Server;
use crate::settings::Settings;
use crate::{list, tables};

/// Look at PostgreSQL, back it up, prove the backup, restore it
///
/// Nothing has to be installed on the host: over ssh a socket of systemd leads to the server as the system user that peer
/// authentication wants, and ends with the connection. Dumps are made by the host's own pg_dump, so versions always match.
/// No failure leaves a file that passes for a backup.
#[derive(Debug, Parser)]
#[command(name = "ops-db", version, about, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    house: House,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(ListArgs),
    Tables(TablesArgs),
    Query(QueryArgs),
    Health(health::HealthArgs),
    Backup(backup::BackupArgs),
    Verify(verify::VerifyArgs),
    Backups(prune::BackupsArgs),
    Prune(prune::PruneArgs),
    Restore(restore::RestoreArgs),
    Drill(restore::DrillArgs),
}

/// List the databases of a server
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-db list
  ops-db list --host ops-jrz1 --json | jq -r 'select(.backup_age_s > 86400).name'")]
struct ListArgs {
    #[command(flatten)]
    role: RoleArgs,
    #[command(flatten)]
    hosts: HostArgs,
}

/// List the tables of a database with their sizes
///
/// rows_estimate is the planner's, empty for a table that was never analyzed; count exactly with `ops-db query`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-db tables mautrix_slack
  ops-db tables mautrix_slack | sort -t \"$(printf '\\t')\" -k4 -rn | head -3")]
struct TablesArgs {
    /// The database
    #[arg(value_name = "DB")]
    database: String,
    #[command(flatten)]
    role: RoleArgs,
    #[command(flatten)]
    hosts: HostArgs,
}

/// Run a query and stream its rows
///
/// On a terminal they are a table, in a pipe TSV with \N for null; --format csv or json. The query runs in a transaction that
/// is read only unless --write is given. Ctrl-C cancels it on the server. Memory does not grow with the answer.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-db query mautrix_slack 'SELECT id, mxid FROM portal'
  ops-db query mautrix_slack -P name=general \"SELECT * FROM portal WHERE name = :'name'\" --json
  echo 'SHOW server_version' | ops-db query postgres -")]
struct QueryArgs {
    /// The database
    #[arg(value_name = "DB")]
    database: String,

    /// The query, or - to read it from stdin
    #[arg(value_name = "SQL")]
    sql: OsString,

    /// Put this value where the query says :'name', as a literal, or :"name", as a name (can be repeated)
    #[arg(short = 'P', long = "parameter", value_name = "NAME=VALUE")]
    parameters: Vec<Parameter>,

    /// Let the query change things; the host must then be named with --host
    #[arg(long)]
    write: bool,

    #[command(flatten)]
    role: RoleArgs,
    #[command(flatten)]
    hosts: HostArgs,
}

#[derive(Args, Clone, Debug)]
struct IdentityArgs {
    /// Decrypt with the age or SSH key in this file instead of those of ops.yaml (can be repeated)
    #[arg(long = "identity", value_name = "FILE")]
    identities: Vec<PathBuf>,
}

#[derive(Args, Clone, Debug)]
struct RoleArgs {
    /// Be this role, as the system user of the same name [default: the superuser of ops.yaml]
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
}

impl Tool for Cli {
    type Error = Error;
    const NAME: &'static str = "ops-db";

    fn house(&self) -> &House {
        &self.house
    }

    fn run(self, context: &Context) -> Result<Status, Error> {
        match self.verb {
            Verb::List(args) => args.run(context),
            Verb::Tables(args) => args.run(context),
            Verb::Query(args) => args.run(context),
            Verb::Health(args) => args.run(context),
            Verb::Backup(args) => args.run(context),
            Verb::Verify(args) => args.run(context),
            Verb::Backups(args) => args.run(context),
            Verb::Prune(args) => args.run(context),
            Verb::Restore(args) => args.run(context),
            Verb::Drill(args) => args.run(context),
        }
    }
}

fn settings(context: &Context) -> Result<Settings, Error> {
    let config = context.config()?;
    let mut settings: Settings = config.section("db")?;
    settings.backups = config.resolve(&settings.backups);
    settings.identities = settings
        .identities
        .iter()
        .map(|path| config.resolve(path))
        .collect();
    Ok(settings)
}

impl RoleArgs {
    fn server<'a>(&self, host: &'a Host, settings: &Settings, context: &Context) -> Server<'a> {
        Server::new(host, settings, self.role.as_deref(), &context.report)
    }
}

impl IdentityArgs {
    fn resolve(&self, context: &Context) -> Result<Vec<PathBuf>, Error> {
        if self.identities.is_empty() {
            Ok(settings(context)?.identities)
        } else {
            Ok(self.identities.clone())
        }
    }
}

impl ListArgs {
    fn run(self, context: &Context) -> Result<Status, Error> {
        let settings = settings(context)?;
        hosts::ask(context, &self.hosts, |host| {
            list::look(&self.role.server(host, &settings, context))
        })
    }
}

impl TablesArgs {
    fn run(self, context: &Context) -> Result<Status, Error> {
        let settings = settings(context)?;
        hosts::ask(context, &self.hosts, |host| {
            tables::look(&self.role.server(host, &settings, context), &self.database)
        })
    }
}

impl QueryArgs {
    fn run(self, context: &Context) -> Result<Status, Error> {
        let settings = settings(context)?;
        let text = if self.sql == "-" {
            input::read(&self.sql)?
        } else {
            self.sql.as_encoded_bytes().to_vec()
        };
        let sql = String::from_utf8(text)
            .map_err(|_| Error::Usage("the query is not UTF-8".to_owned()))?;
        let sql = parameters::fill(&sql, &self.parameters)?;
        let mut output = context.output()?;
        let format = output.format();
        if matches!(format, Format::Nagios | Format::Prom) {
            return Err(Error::Usage(
                "a query has no such form: text, tsv, csv or json".to_owned(),
            ));
        }
        let host = if self.write {
            hosts::named_one(context, &self.hosts)?
        } else {
            hosts::one(context, &self.hosts)?
        };
        let server = self.role.server(&host, &settings, context);
        query::ask(
            &server,
            &Question {
                database: &self.database,
                sql: &sql,
                format,
                write: self.write,
            },
            output.bytes(),
        )?;
        output.finish()?;
        Ok(Status::Done)
    }
}
