//! The manifest that sops-nix writes: which secrets go where on a host.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::Error;
use crate::format::Format;

/// A manifest.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The secrets.
    #[serde(default)]
    pub secrets: Vec<Secret>,
    /// Files made of secrets.
    #[serde(default)]
    pub templates: Vec<Template>,
    /// What stands for a secret in a template, by the name of the secret.
    #[serde(default)]
    pub placeholder_by_secret_name: BTreeMap<String, String>,
    /// Where generations are kept.
    pub secrets_mount_point: PathBuf,
    /// The link to the present generation.
    pub symlink_path: PathBuf,
    /// How many generations stay; 0 for all.
    #[serde(default = "one")]
    pub keep_generations: usize,
    /// SSH private keys that decrypt.
    #[serde(default)]
    pub age_ssh_key_paths: Vec<PathBuf>,
    /// A file of age keys that decrypts.
    #[serde(default)]
    pub age_key_file: Option<PathBuf>,
    /// Whether tmpfs is mounted instead of ramfs.
    #[serde(default)]
    pub use_tmpfs: bool,
    /// Whether this is a user's manifest: nothing is mounted, owners are left alone.
    #[serde(default)]
    pub user_mode: bool,
    /// What is told.
    #[serde(default)]
    pub logging: Logging,
}

/// What an installation tells without being asked.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Logging {
    /// Which secrets are added, modified and removed.
    pub secret_changes: bool,
}

fn one() -> usize {
    1
}

/// Who owns a file, and what restarts when it changes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ownership {
    /// The owner by name.
    #[serde(default)]
    pub owner: Option<String>,
    /// The owner by number.
    #[serde(default)]
    pub uid: u32,
    /// The group by name.
    #[serde(default)]
    pub group: Option<String>,
    /// The group by number.
    #[serde(default)]
    pub gid: u32,
    /// The mode in octal digits.
    #[serde(default = "read_only")]
    pub mode: String,
    /// Units to restart.
    #[serde(default)]
    pub restart_units: Vec<String>,
    /// Units to reload.
    #[serde(default)]
    pub reload_units: Vec<String>,
}

fn read_only() -> String {
    "0400".to_owned()
}

/// A secret.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Secret {
    /// Its name, which is its file below the generation.
    pub name: String,
    /// Where its value stands in the sops file, levels parted by `/`; empty for the whole file.
    #[serde(default)]
    pub key: String,
    /// Where it is linked, if not at its name below the link of the generation.
    #[serde(default)]
    pub path: Option<PathBuf>,
    /// The sops file.
    pub sops_file: PathBuf,
    /// Its format.
    #[serde(default)]
    pub format: Option<String>,
    /// Owner, mode, units.
    #[serde(flatten)]
    pub ownership: Ownership,
}

/// A file made of secrets.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Template {
    /// Its name, below `rendered/`.
    pub name: String,
    /// Its text.
    #[serde(default)]
    pub content: Option<String>,
    /// A file with its text.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// Where it is linked.
    #[serde(default)]
    pub path: Option<PathBuf>,
    /// Owner, mode, units.
    #[serde(flatten)]
    pub ownership: Ownership,
}

impl Manifest {
    /// Reads and checks a manifest.
    pub fn read(path: &Path, runtime: Option<&Path>) -> Result<Self, Error> {
        let bytes = ops_common::input::read(path.as_os_str())?;
        Self::parse(path, &bytes, runtime)
    }

    /// Takes the bytes of a manifest and checks them.
    pub fn parse(path: &Path, bytes: &[u8], runtime: Option<&Path>) -> Result<Self, Error> {
        let failed = |message: String| Error::Manifest {
            path: path.to_owned(),
            message,
        };
        let mut manifest: Self =
            serde_json::from_slice(bytes).map_err(|error| failed(error.to_string()))?;
        if manifest.user_mode {
            let asked = || failed("'%r' needs XDG_RUNTIME_DIR, which is not set".to_owned());
            manifest.fill_runtime(runtime).ok_or_else(asked)?;
        }
        let names = manifest
            .secrets
            .iter()
            .map(|secret| &secret.name)
            .chain(manifest.templates.iter().map(|template| &template.name));
        for name in names {
            if !is_safe(name) {
                return Err(failed(format!("the name '{name}' leaves its folder")));
            }
        }
        for ownership in manifest
            .secrets
            .iter()
            .map(|secret| &secret.ownership)
            .chain(
                manifest
                    .templates
                    .iter()
                    .map(|template| &template.ownership),
            )
        {
            ownership
                .bits()
                .ok_or_else(|| failed(format!("the mode '{}' is not octal", ownership.mode)))?;
        }
        for secret in &manifest.secrets {
            secret
                .format()
                .ok_or_else(|| failed(format!("'{}' has an unknown format", secret.name)))?;
        }
        Ok(manifest)
    }

    /// The names of all files below a generation.
    pub fn names(&self) -> impl Iterator<Item = String> {
        let secrets = self.secrets.iter().map(|secret| secret.name.clone());
        let rendered =
            |template: &Template| format!("{}{}", crate::install::RENDERED, template.name);
        secrets.chain(self.templates.iter().map(rendered))
    }

    /// `%r` in the paths of a user's manifest is the user's runtime folder, `%%` a percent sign.
    fn fill_runtime(&mut self, runtime: Option<&Path>) -> Option<()> {
        let secrets = self
            .secrets
            .iter_mut()
            .filter_map(|secret| secret.path.as_mut());
        let templates = self
            .templates
            .iter_mut()
            .filter_map(|template| template.path.as_mut());
        [&mut self.secrets_mount_point, &mut self.symlink_path]
            .into_iter()
            .chain(secrets)
            .chain(templates)
            .try_for_each(|path| {
                *path = PathBuf::from(filled(&path.to_string_lossy(), runtime)?);
                Some(())
            })
    }
}

/// A path with its signs filled in; nothing if it needs a folder that is not there.
fn filled(path: &str, runtime: Option<&Path>) -> Option<String> {
    let parts = path.split("%%").map(|part| {
        if part.contains("%r") {
            Some(part.replace("%r", &runtime?.to_string_lossy()))
        } else {
            Some(part.to_owned())
        }
    });
    Some(parts.collect::<Option<Vec<_>>>()?.join("%"))
}

fn is_safe(name: &str) -> bool {
    !name.is_empty()
        && Path::new(name)
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)))
}

impl Ownership {
    /// The mode as bits.
    #[must_use]
    pub fn bits(&self) -> Option<u32> {
        u32::from_str_radix(&self.mode, 8)
            .ok()
            .filter(|bits| *bits <= 0o7777)
    }
}

impl Secret {
    /// The format of the file: as named, else by its name.
    #[must_use]
    pub fn format(&self) -> Option<Format> {
        match self.format.as_deref() {
            None | Some("") => Some(match Format::of_path(&self.sops_file) {
                Format::Binary => Format::Yaml,
                told => told,
            }),
            Some("yaml") => Some(Format::Yaml),
            Some("json") => Some(Format::Json),
            Some("dotenv") => Some(Format::Dotenv),
            Some("ini") => Some(Format::Ini),
            Some("binary") => Some(Format::Binary),
            Some(_) => None,
        }
    }
}
