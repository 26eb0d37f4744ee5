//! The verbs for git and for a look over a tree: diff, merge, git-setup, lint.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use ops_common::check::Check;
use ops_common::exit::Status;
use ops_common::input;
use ops_common::tool::Context;
use ops_common::watch::{self, WatchArgs};
use zeroize::Zeroizing;

use super::args::{Rules, Unlocked, print, unlock};
use crate::crypt::{Checks, Keep};
use crate::environment::Environment;
use crate::error::Error;
use crate::file::{self, Opening};
use crate::format::Format;
use crate::keys::identity::Identities;
use crate::private::Folder;
use crate::{lint, merge, set, updatekeys};

/// How files are opened whose history is not ours to judge.
const LENIENT: Opening<'static> = Opening {
    checks: Checks::ALL,
    require_seal: false,
    keep: Keep::Nothing,
    only: None,
};

/// Show sops files, or their differences, in plain text
///
/// One file: its plain text, or the file as it is if no key opens it, as git's textconv wants it. Two files: their
/// differences; status 1 if there are any.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ops-secrets diff secrets/staging.yaml secrets/production.yaml
  git config diff.sops.textconv 'ops-secrets diff'")]
pub(super) struct Diff {
    /// The file
    old: OsString,

    /// Another file to compare with
    new: Option<OsString>,
}

impl Diff {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let environment = Environment::read();
        let plain = |name: &OsString| {
            unlock(context, &environment, name, format_of(name), LENIENT)
                .map(|unlocked| unlocked.opened.text)
        };
        let Some(new) = &self.new else {
            let text = plain(&self.old).or_else(|_| input::read(&self.old).map(Zeroizing::new))?;
            print(context, &text)?;
            return Ok(Status::Done);
        };
        let (a, b) = (plain(&self.old)?, plain(new)?);
        let folder = Folder::new(&environment)?;
        let found = merge::diff(
            &folder,
            (&self.old.to_string_lossy(), &a),
            (&new.to_string_lossy(), &b),
        )?;
        let Some(found) = found else {
            return Ok(Status::Done);
        };
        print(context, &found)?;
        Ok(Status::No)
    }
}

/// The format by the name of a file; git's temporary files keep the end of the name.
fn format_of(name: &OsString) -> Format {
    Format::of_path(Path::new(name))
}

/// Merge sops files by their plain text, as a merge driver of git
///
/// Writes the merged file, encrypted with the keys of OURS, in the place of OURS. Status 1 if both sides changed the same
/// lines: then OURS stays as it is.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ops-secrets merge base.yaml ours.yaml theirs.yaml
  git config merge.sops.driver 'ops-secrets merge %O %A %B %P'")]
pub(super) struct Merge {
    /// The common ancestor
    base: PathBuf,

    /// Our side, which is written
    ours: PathBuf,

    /// Their side
    theirs: PathBuf,

    /// The name of the file in the tree, which tells the format
    name: Option<PathBuf>,
}

impl Merge {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let environment = Environment::read();
        let format = Format::of_path(self.name.as_ref().unwrap_or(&self.ours));
        let open =
            |path: &PathBuf| unlock(context, &environment, path.as_os_str(), format, LENIENT);
        let base = open(&self.base)?.opened.text;
        let theirs = open(&self.theirs)?.opened.text;
        let Unlocked { file, key, opened } = unlock(
            context,
            &environment,
            self.ours.as_os_str(),
            format,
            Opening {
                keep: Keep::Ciphertexts,
                ..LENIENT
            },
        )?;
        let folder = Folder::new(&environment)?;
        let Some(merged) = merge::merge(&folder, &base, &opened.text, &theirs)? else {
            let name = self.name.as_ref().unwrap_or(&self.ours);
            context.report.error(format_args!(
                "'{}' was changed on both sides: merge it by hand",
                name.display()
            ));
            context.report.hint(
                "show both with 'ops-secrets diff', and set the values with 'ops-secrets set'",
            );
            return Ok(Status::No);
        };
        let text = set::reseal(&file, key, opened, merged.to_vec(), true)?;
        file::write(&self.ours, text.as_bytes(), 0o644)?;
        Ok(Status::Done)
    }
}

/// Tell git to show and merge sops files by their plain text
///
/// Writes the settings of this repository, and lines for the patterns into .gitattributes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ops-secrets git-setup
  ops-secrets git-setup 'secrets/**' '*.enc.yaml'")]
pub(super) struct GitSetup {
    /// Which files, as .gitattributes has it
    #[arg(default_value = "secrets/**")]
    patterns: Vec<String>,
}

impl GitSetup {
    pub(super) fn run(self, _context: &Context) -> Result<Status, Error> {
        merge::set_up(Path::new("."), &self.patterns)?;
        Ok(Status::Done)
    }
}

/// Look for what is wrong with the secrets of a tree
///
/// Files that a rule of .sops.yaml names but that are not encrypted (secrets.plaintext), recipients that differ from the
/// rule (secrets.recipients), files that no key at hand opens (secrets.key), rules that are not valid (secrets.rules),
/// private keys that others can read (secrets.mode) and what a killed run left behind (secrets.leftover). Decrypts no value.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ops-secrets lint
  ops-secrets lint --json secrets/ | jq -r 'select(.status == \"fail\") | .subject'")]
pub(super) struct Lint {
    /// Files and folders
    #[arg(default_value = ".")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    rules: Rules,

    #[command(flatten)]
    watch: WatchArgs,
}

impl Lint {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let environment = Environment::read();
        watch::judge_here(context, "secrets.rules", &self.watch, || {
            self.look(context, &environment)
        })
    }

    fn look(&self, context: &Context, environment: &Environment) -> Result<Vec<Check>, Error> {
        let mut identities = Identities::new(environment.clone());
        let mut checks = Vec::new();
        for path in &self.paths {
            // The rules of a folder are looked up from a file in it.
            let inside = if path.is_dir() {
                path.join("file")
            } else {
                path.clone()
            };
            let configuration = self.rules.find(context, environment, &inside)?;
            let Some(configuration) = configuration else {
                return Err(Error::Usage(
                    "there is no .sops.yaml here, nor above".to_owned(),
                ));
            };
            checks.extend(lint::rules(&configuration));
            let names = configuration.names();
            let files = if path.is_dir() {
                updatekeys::files_below(path)?
            } else {
                vec![path.clone()]
            };
            for file in files {
                checks.extend(lint::file(&file, &configuration, &names, &mut identities)?);
            }
        }
        Ok(checks)
    }
}
