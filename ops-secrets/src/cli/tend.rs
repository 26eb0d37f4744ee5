//! The verbs that tend many files: rotate, updatekeys, verify.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use ops_common::check::Check;
use ops_common::exit::{Failure as _, Status};
use ops_common::input;
use ops_common::tool::Context;
use ops_common::watch::{self, WatchArgs};

use super::args::{Input, Rules, Target, Trust};
use crate::environment::Environment;
use crate::error::Error;
use crate::file::{self, Encrypted};
use crate::format::Format;
use crate::keys::identity::Identities;
use crate::keys::{prompt, recipient};
use crate::rotate::{self, Changes};
use crate::updatekeys;
use crate::verify;

/// Give a file a new data key
///
/// Every value is encrypted anew, in its place. Do this after taking a recipient away: whoever had the old key could keep it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ops-secrets rotate -i secrets/db.yaml
  ops-secrets rotate -i --rm-age age1old... --add-age age1new... secrets/db.yaml")]
pub(super) struct Rotate {
    /// The file
    file: OsString,

    /// Add this recipient (can be repeated)
    #[arg(long, value_name = "RECIPIENT")]
    add_age: Vec<String>,

    /// Take this recipient away (can be repeated)
    #[arg(long, value_name = "RECIPIENT")]
    rm_age: Vec<String>,

    /// Write no seal: only what sops itself writes
    #[arg(long)]
    no_seal: bool,

    #[command(flatten)]
    input: Input,

    #[command(flatten)]
    trust: Trust,

    #[command(flatten)]
    target: Target,
}

impl Rotate {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let environment = Environment::read();
        let mut unlocked =
            self.input
                .unlock(context, &environment, &self.file, self.trust.opening())?;
        let split = |texts: &[String]| {
            texts
                .iter()
                .flat_map(|text| recipient::list(text))
                .collect()
        };
        let changes = Changes {
            add: split(&self.add_age),
            remove: split(&self.rm_age),
        };
        let text = rotate::rotate(&mut unlocked.file, &unlocked.key, &changes, !self.no_seal)?;
        self.target.put(context, &self.file, text.as_bytes(), 0o644)
    }
}

/// Give files the recipients that .sops.yaml names for them
///
/// Folders are searched for encrypted files. Each file is written in one go; one that fails does not stop the others. The
/// data key stays: rotate after taking a recipient away.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ops-secrets updatekeys --dry-run secrets/
  ops-secrets updatekeys --yes secrets/
  ops-secrets updatekeys --check secrets/ || echo 'recipients differ'")]
pub(super) struct Updatekeys {
    /// Files and folders
    #[arg(required = true)]
    paths: Vec<OsString>,

    /// Print what would change, and change nothing
    #[arg(long)]
    dry_run: bool,

    /// As --dry-run, with status 1 if anything would change
    #[arg(long, conflicts_with_all = ["dry_run", "yes"])]
    check: bool,

    /// Do not ask
    #[arg(long, visible_short_alias = 'y')]
    yes: bool,

    #[command(flatten)]
    input: Input,

    #[command(flatten)]
    rules: Rules,
}

impl Updatekeys {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let environment = Environment::read();
        let mut identities = Identities::new(environment.clone());
        let paths: Vec<PathBuf> = input::names(&self.paths)?
            .into_iter()
            .map(PathBuf::from)
            .collect();
        let files = updatekeys::collect(&paths)?;
        let mut output = context.output()?;
        let host = ops_common::hosts::this_machine();
        let mut statuses = Vec::new();
        for path in &files {
            match self.one(context, &environment, &mut identities, path) {
                Ok((status, changes)) => {
                    changes
                        .iter()
                        .try_for_each(|change| output.record(&host, change))?;
                    statuses.push(status);
                }
                Err(error) if files.len() == 1 => return Err(error),
                Err(error) => {
                    context
                        .report
                        .failure(&error, &ops_common::exit::describe(&error));
                    statuses.push(error.status());
                }
            }
        }
        output.finish()?;
        Ok(Status::worst(statuses))
    }

    fn one(
        &self,
        context: &Context,
        environment: &Environment,
        identities: &mut Identities,
        path: &Path,
    ) -> Result<(Status, Vec<updatekeys::KeyChange>), Error> {
        let configuration = self.rules.find(context, environment, path)?;
        let rule = updatekeys::rule(configuration.as_ref(), path)?;
        let names = configuration
            .map(|configuration| configuration.names())
            .unwrap_or_default();
        let mut file = Encrypted::read(path.as_os_str(), self.input.format(path.as_os_str())?)?;
        let changes = updatekeys::differences(&file, &rule, &names)?;
        if changes.is_empty() || self.dry_run || self.check {
            let status = if self.check && !changes.is_empty() {
                Status::No
            } else {
                Status::Done
            };
            return Ok((status, changes));
        }
        if !self.yes && !confirmed(path, &changes) {
            context.report.note(format_args!(
                "'{}' is unchanged: nobody confirmed",
                path.display()
            ));
            return Ok((Status::No, changes));
        }
        let key = file.unlock(identities)?;
        let text = updatekeys::update(&mut file, &key, &rule)?;
        file::write(path, text.as_bytes(), 0o644)?;
        Ok((Status::Done, changes))
    }
}

fn confirmed(path: &Path, changes: &[updatekeys::KeyChange]) -> bool {
    let list: Vec<String> = changes
        .iter()
        .map(|change| {
            format!(
                "{} {}",
                change.change,
                change.name.as_ref().unwrap_or(&change.recipient)
            )
        })
        .collect();
    let answer = prompt::line(&format!(
        "'{}': {}. Change it? [y/N]",
        path.display(),
        list.join(", ")
    ));
    answer.is_some_and(|answer| matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Verify that files are what they were when they were written
///
/// Opens every value and checks the MAC of sops (check secrets.values) and the seal (secrets.seal), without printing any
/// value. Status 65 for a file that was tampered with, 3 for one without a seal.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ops-secrets verify secrets/
  ops-secrets verify --require-seal --json secrets/db.yaml")]
pub(super) struct Verify {
    /// Files and folders
    #[arg(required = true)]
    paths: Vec<OsString>,

    /// Take a missing seal for a failure
    #[arg(long)]
    require_seal: bool,

    #[command(flatten)]
    input: Input,

    #[command(flatten)]
    watch: WatchArgs,
}

impl Verify {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let environment = Environment::read();
        let paths: Vec<PathBuf> = input::names(&self.paths)?
            .into_iter()
            .map(PathBuf::from)
            .collect();
        let files = updatekeys::collect(&paths)?;
        let mut identities = Identities::new(environment);
        let status = watch::judge_here(context, "secrets.values", &self.watch, || {
            let mut checks = Vec::new();
            for path in &files {
                match self.look(path, &mut identities) {
                    Ok(found) => checks.extend(found),
                    Err(error) if files.len() == 1 => return Err(error),
                    Err(error) => checks.push(Check::unknown(
                        "secrets.values",
                        path.display().to_string(),
                        ops_common::exit::describe(&error),
                    )),
                }
            }
            Ok::<_, Error>(checks)
        })?;
        // This verb judges its input: a failure is bad input.
        Ok(if status == Status::No {
            Status::BadInput
        } else {
            status
        })
    }

    fn look(&self, path: &Path, identities: &mut Identities) -> Result<Vec<Check>, Error> {
        let format = self
            .input
            .input_type
            .map_or_else(|| Format::of_path(path), Into::into);
        let mut file = Encrypted::read(path.as_os_str(), format)?;
        let key = file.unlock(identities)?;
        Ok(verify::verify(&mut file, &key, self.require_seal))
    }
}
