//! The verbs that hand secrets to a program: exec-env, exec-file.

use std::ffi::OsString;

use clap::Args;
use ops_common::exit::Status;
use ops_common::tool::Context;

use super::args::{Input, Trust, Type};
use crate::decrypt;
use crate::environment::Environment;
use crate::error::Error;
use crate::exec::{self, Job, Setting};
use crate::private::Folder;
use crate::tree::Data;

/// What to run: a line for the shell, or an argument vector after `--`.
#[derive(Debug, Args)]
struct Run {
    /// A line for /bin/sh -c
    #[arg(required_unless_present = "argv", conflicts_with = "argv")]
    shell: Option<OsString>,

    /// A program and its arguments
    #[arg(last = true)]
    argv: Vec<OsString>,

    /// Run it without the variables of this process
    #[arg(long)]
    pristine: bool,

    /// Run it as this user
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
}

impl Run {
    fn split(self) -> (Job, Setting) {
        let setting = Setting {
            pristine: self.pristine,
            user: self.user,
            background: false,
        };
        let job = match self.shell {
            Some(line) => Job::Shell(line),
            None => Job::Argv(self.argv),
        };
        (job, setting)
    }
}

/// Run a program with the secrets in its environment
///
/// Nested keys are joined with an underscore: db.user becomes db_user, the first of hosts hosts_0. The program takes the
/// place of this one, so signals and its status are its own; 127 if it is not there, 126 if it cannot run.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ops-secrets exec-env secrets/app.env -- ./app --port 80
  ops-secrets exec-env secrets/db.yaml 'psql \"postgres://$db_user:$db_password@localhost\"'")]
pub(super) struct ExecEnv {
    /// The file
    file: OsString,

    #[command(flatten)]
    run: Run,

    /// Accepted for scripts written for sops: it is always so
    #[arg(long, hide = true, conflicts_with = "background")]
    same_process: bool,

    /// Start it, and do not wait for it
    #[arg(long)]
    background: bool,

    #[command(flatten)]
    input: Input,

    #[command(flatten)]
    trust: Trust,
}

impl ExecEnv {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let environment = Environment::read();
        let unlocked =
            self.input
                .unlock(context, &environment, &self.file, self.trust.opening())?;
        let data = Data::from(&decrypt::without_metadata(
            unlocked.file.format,
            &unlocked.opened,
        ));
        let variables = exec::variables(&data)?;
        let (job, mut setting) = self.run.split();
        setting.background = self.background;
        Ok(exec::env(&job, &setting, &variables, &|message| {
            context.report.error(message);
        }))
    }
}

/// Run a program with the secrets in a file
///
/// {} stands for the path: a fifo that can be read once, or with --no-fifo a file, in a private folder in memory that is
/// wiped afterwards. Hands on the status of the program, 128+n after signal n; 127 if it is not there, 126 if it cannot run.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ops-secrets exec-file secrets/app.json -- ./app --config {}
  ops-secrets exec-file --no-fifo --filename app.env secrets/app.env 'docker run --env-file {} app'")]
pub(super) struct ExecFile {
    /// The file
    file: OsString,

    #[command(flatten)]
    run: Run,

    /// Use a file that can be read several times instead of a fifo
    #[arg(long)]
    no_fifo: bool,

    /// Give the file this name
    #[arg(long, value_name = "NAME", default_value = "tmp-file")]
    filename: String,

    /// Write this format
    #[arg(long, value_name = "TYPE")]
    output_type: Option<Type>,

    #[command(flatten)]
    input: Input,

    #[command(flatten)]
    trust: Trust,
}

impl ExecFile {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        if self.filename.contains('/') || self.filename == ".." {
            return Err(Error::Usage(format!("'{}' is no file name", self.filename)));
        }
        let environment = Environment::read();
        let unlocked =
            self.input
                .unlock(context, &environment, &self.file, self.trust.opening())?;
        let output = self.output_type.map_or(unlocked.file.format, Into::into);
        let text = decrypt::whole(&unlocked.file, unlocked.opened, output)?;
        let folder = Folder::new(&environment)?;
        let (job, setting) = self.run.split();
        exec::file(
            &job,
            &setting,
            &folder,
            &self.filename,
            &text,
            !self.no_fifo,
            &|message| context.report.error(message),
        )
    }
}
