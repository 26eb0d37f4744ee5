//! The verb that puts secrets onto a host: install.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use ops_common::check::Check;
use ops_common::exit::Status;
use ops_common::hosts::{self, HostArgs};
use ops_common::program::Program;
use ops_common::tool::Context;

use super::args::print;
use crate::environment::Environment;
use crate::error::Error;
use crate::file::Encrypted;
use crate::format::Format;
use crate::install::{self, Batch, Changes};
use crate::keys::identity::Identities;
use crate::manifest::Manifest;
use crate::metadata::MasterKey;
use crate::recipient;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CheckMode {
    /// Only the manifest
    Manifest,
    /// The manifest, and that every file and key is there, encrypted
    Sopsfile,
    /// Nothing: install
    Off,
}

/// Install the secrets of a sops-nix manifest
///
/// Takes the place of sops-install-secrets: a folder in memory for each generation, an atomic swap of the link, owners,
/// modes, templates, and lists of units to restart or reload. Each file is decrypted once. One secret that fails does not
/// take the others down: it is named, the rest is installed, and the status is 65.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ops-secrets install /etc/sops/manifest.json
  ops-secrets install --check-mode sopsfile manifest.json
  ops-secrets install --check-host ops-jrz1 manifest.json
  ops-secrets install --credentials /run/credstore manifest.json")]
pub(super) struct Install {
    /// The manifest (JSON)
    manifest: PathBuf,

    /// Check and install nothing
    #[arg(long, value_name = "MODE", default_value = "off")]
    check_mode: CheckMode,

    /// Check, from the recipients alone, that this host will be able to decrypt every file
    #[arg(long, value_name = "NAME", conflicts_with_all = ["check_mode", "credentials"])]
    check_host: Option<String>,

    /// Give every file to root: users may not be there yet
    #[arg(long)]
    ignore_passwd: bool,

    /// Write the secrets into this folder of credentials instead
    #[arg(long, value_name = "FOLDER")]
    credentials: Option<PathBuf>,
}

impl Install {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let environment = Environment::read();
        let manifest = Manifest::read(&self.manifest, environment.runtime.as_deref())?;
        match (&self.check_host, self.check_mode) {
            (Some(host), _) => return Self::check_host(context, &manifest, host),
            (None, CheckMode::Manifest) => return Ok(Status::Done),
            (None, CheckMode::Sopsfile) => return Ok(Self::check_files(context, &manifest)),
            (None, CheckMode::Off) => {}
        }
        let key_files: Vec<PathBuf> = manifest.age_key_file.iter().cloned().collect();
        let mut identities = Identities::of_files(&manifest.age_ssh_key_paths, &key_files);
        let mut batch = install::prepare(&manifest, &mut identities);
        let dry = environment.nixos_action.as_deref() == Some("dry-activate");
        let changes = install::changes(&manifest, &batch);
        match &self.credentials {
            Some(folder) => install::credentials(folder, &mut batch),
            None if dry => {}
            None => install::install(&manifest, &mut batch, self.ignore_passwd)?,
        }
        if self.credentials.is_none() {
            tell(context, &manifest, &changes, dry)?;
            // A user's own units are not those of the machine.
            if !manifest.user_mode {
                hand_on(context, &environment, &changes, dry)?;
            }
        }
        Ok(outcome(context, &batch))
    }

    /// Every file is there and encrypted, and has every key.
    fn check_files(context: &Context, manifest: &Manifest) -> Status {
        let mut status = Status::Done;
        for secret in &manifest.secrets {
            let format = secret.format().unwrap_or(Format::Binary);
            let found = Encrypted::read(secret.sops_file.as_os_str(), format).and_then(|file| {
                let tree = format
                    .parse(&file.text)
                    .map_err(|fault| crate::file::malformed(&file.name, &file.text, &fault))?;
                let has = secret.key.is_empty()
                    || !matches!(format, Format::Yaml | Format::Json)
                    || install::has_key(&tree, &secret.key);
                if has {
                    Ok(())
                } else {
                    Err(Error::NothingAt {
                        file: file.name.clone(),
                        path: secret.key.clone(),
                    })
                }
            });
            if let Err(error) = found {
                context.report.error(format_args!(
                    "secret '{}': {}",
                    secret.name,
                    ops_common::exit::describe(&error)
                ));
                status = Status::BadInput;
            }
        }
        status
    }

    fn check_host(context: &Context, manifest: &Manifest, name: &str) -> Result<Status, Error> {
        let args = HostArgs {
            names: vec![name.to_owned()],
            ..HostArgs::default()
        };
        let host = hosts::one(context, &args)?;
        let mut keys = recipient::of_host(&host, false)?;
        keys.extend(recipient::of_host(&host, true)?);
        let keys: Vec<String> = keys.into_iter().map(|key| key.recipient).collect();
        let mut files: Vec<(&Path, Format)> = Vec::new();
        for secret in &manifest.secrets {
            let file = (
                secret.sops_file.as_path(),
                secret.format().unwrap_or(Format::Binary),
            );
            if !files.contains(&file) {
                files.push(file);
            }
        }
        let mut checks = Vec::new();
        for (path, format) in files {
            checks.push(can_open(path, format, &keys, name)?);
        }
        let mut output = context.output()?;
        let status = output.checks(&checks)?;
        output.finish()?;
        Ok(status)
    }
}

/// Whether a host with these keys can open a file: a key of each needed group is its own.
fn can_open(path: &Path, format: Format, keys: &[String], host: &str) -> Result<Check, Error> {
    let file = Encrypted::read(path.as_os_str(), format)?;
    let groups = file.groups()?;
    let ours = |key: &MasterKey| matches!(key, MasterKey::Age { recipient, .. } if keys.iter().any(|ours| recipient == ours || recipient.starts_with(&format!("{ours} "))));
    let open = groups.iter().filter(|group| group.iter().any(ours)).count();
    let needed = file
        .metadata
        .threshold(groups.len())
        .min(groups.len())
        .max(1);
    let subject = path.display().to_string();
    let mut check = if open >= needed {
        Check::ok("secrets.host", subject, "the host can decrypt it")
    } else {
        Check::fail(
            "secrets.host",
            subject,
            "the host is no recipient: it will not be able to decrypt it",
        )
        .fix(format!(
            "add '{}' to .sops.yaml and run 'ops-secrets updatekeys'",
            keys.first().map_or("its key", String::as_str)
        ))
    };
    host.clone_into(&mut check.host);
    Ok(check)
}

/// Says what changes: on stdout if the manifest asks for it, as sops-install-secrets does, else to who asked for more.
fn tell(context: &Context, manifest: &Manifest, changes: &Changes, dry: bool) -> Result<(), Error> {
    let kinds = [
        ("adding", "would add", &changes.added),
        ("modifying", "would modify", &changes.modified),
        ("removing", "would remove", &changes.removed),
    ];
    let mut lines = String::new();
    for (noun, rendered) in [("secret", false), ("rendered secret", true)] {
        for (does, would, names) in kinds {
            let (folder, names): (Vec<_>, Vec<_>) = names
                .iter()
                .partition(|name| name.starts_with(install::RENDERED));
            let names = if rendered { folder } else { names };
            let names: Vec<&str> = names
                .iter()
                .map(|name| name.strip_prefix(install::RENDERED).unwrap_or(name))
                .collect();
            if let [_, more @ ..] = names.as_slice() {
                let plural = if more.is_empty() { "" } else { "s" };
                let verb = if dry { would } else { does };
                lines.push_str(&format!("{verb} {noun}{plural}: {}\n", names.join(", ")));
            }
        }
    }
    if manifest.logging.secret_changes && !manifest.user_mode && !changes.first {
        return print(context, lines.as_bytes());
    }
    lines.lines().for_each(|line| context.report.note(line));
    Ok(())
}

/// Hands the units on: in the lists that an activation reads, or through systemctl.
fn hand_on(
    context: &Context,
    environment: &Environment,
    changes: &Changes,
    dry: bool,
) -> Result<(), Error> {
    let lists = [
        ("restart", "try-restart", &changes.restart),
        ("reload", "try-reload-or-restart", &changes.reload),
    ];
    for (name, verb, units) in lists {
        if units.is_empty() {
            continue;
        }
        if !environment.restart_by_systemctl {
            list(name, units, dry)?;
        } else if dry {
            for unit in units {
                context.report.note(format_args!("would {name} {unit}"));
            }
        } else {
            Program::find("systemctl")?
                .args(["--no-block", verb])
                .args(units)
                .output()?;
        }
    }
    Ok(())
}

/// Adds units to the list of an activation. Without its folder nobody would read it.
fn list(name: &str, units: &BTreeSet<String>, dry: bool) -> Result<(), Error> {
    let folder = Path::new("/run/nixos");
    if !folder.is_dir() {
        return Ok(());
    }
    let prefix = if dry { "dry-activation" } else { "activation" };
    let path = folder.join(format!("{prefix}-{name}-list"));
    let lines = units.iter().flat_map(|unit| [unit.as_str(), "\n"]);
    let text: String = lines.collect();
    let written = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| Error::File {
        attempt: "write",
        path,
        source,
    })
}

fn outcome(context: &Context, batch: &Batch<'_>) -> Status {
    for (name, message) in &batch.failures {
        context
            .report
            .error(format_args!("secret '{name}': {message}"));
    }
    if batch.failures.is_empty() {
        Status::Done
    } else {
        Status::BadInput
    }
}
