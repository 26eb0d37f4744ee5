//! `updatekeys`: files get the recipients that `.sops.yaml` names for them. Data key, MAC and time stay.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ops_common::output::Record;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::cipher::DataKey;
use crate::creation::{Configuration, Rule};
use crate::crypt::{self, Making, SealState};
use crate::error::Error;
use crate::file::{self, Encrypted};
use crate::format::Format;
use crate::keys;
use crate::metadata::{Group, MasterKey};

/// One recipient of one file that comes, goes or moves.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct KeyChange {
    /// The file.
    pub file: String,
    /// `add` or `remove`.
    pub change: &'static str,
    /// The key group, from 1.
    pub group: usize,
    /// The recipient.
    pub recipient: String,
    /// Its name in `.sops.yaml`.
    pub name: Option<String>,
}

impl Record for KeyChange {
    const COLUMNS: &'static [&'static str] = &["file", "change", "group", "recipient", "name"];
}

/// What would change in a file.
pub fn differences(
    file: &Encrypted,
    rule: &Rule,
    names: &BTreeMap<String, String>,
) -> Result<Vec<KeyChange>, Error> {
    let present: Vec<Vec<String>> = file.groups()?.iter().map(shown).collect();
    let mut changes = Vec::new();
    let none = Vec::new();
    for index in 0..present.len().max(rule.groups.len()) {
        let (old, new) = (
            present.get(index).unwrap_or(&none),
            rule.groups.get(index).unwrap_or(&none),
        );
        let mut push = |change, recipient: &String| {
            let name = names.get(recipient).cloned();
            changes.push(KeyChange {
                file: file.name.display().to_string(),
                change,
                group: index + 1,
                recipient: recipient.clone(),
                name,
            });
        };
        old.iter()
            .filter(|recipient| !new.contains(recipient))
            .for_each(|recipient| push("remove", recipient));
        new.iter()
            .filter(|recipient| !old.contains(recipient))
            .for_each(|recipient| push("add", recipient));
    }
    Ok(changes)
}

fn shown(group: &Group) -> Vec<String> {
    group
        .iter()
        .map(|key| match key {
            MasterKey::Age { recipient, .. } => recipient.clone(),
            MasterKey::Foreign { kind, .. } => (*kind).to_owned(),
        })
        .collect()
}

/// Gives the file with the recipients of its rule.
pub fn update(
    file: &mut Encrypted,
    key: &DataKey,
    rule: &Rule,
) -> Result<Zeroizing<String>, Error> {
    let tree = file.tree()?;
    let file = &*file;
    if let Some(kind) = rule.foreign.first() {
        return Err(Error::ForeignRule {
            file: file.name.clone(),
            kind: kind.clone(),
        });
    }
    if rule.groups.iter().any(Vec::is_empty) {
        return Err(Error::EmptyGroup(file.name.clone()));
    }
    let wrap = |source| Error::Wrap {
        file: file.name.clone(),
        source,
    };
    let groups = file.groups()?;
    // Keys of other kinds are refused here: their wrapped parts would be lost.
    keys::recipients(&groups).map_err(wrap)?;
    let count = rule.groups.len();
    let threshold = if groups.len() == 1 {
        rule.threshold
    } else {
        file.metadata.threshold(groups.len())
    };
    let threshold = if threshold == 0 {
        count
    } else {
        threshold.min(count)
    };
    let mut metadata = file.metadata.clone();
    metadata.set_groups(
        &keys::wrap(&rule.groups, threshold, key).map_err(wrap)?,
        threshold,
    );
    // What was tampered with must not get a new seal.
    let sealed = file.check_seal(key)? == SealState::Fits;
    let making = Making {
        format: file.format,
        key,
        indent: &file.indent,
        sealed,
    };
    crypt::embed(making, &file.text, &tree, &mut metadata).map_err(|source| Error::Encrypt {
        file: file.name.clone(),
        source,
    })
}

/// The encrypted files among paths; folders are searched. Files named by themselves must be encrypted.
pub fn collect(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            found.extend(
                files_below(path)?
                    .into_iter()
                    .filter(|path| looks_encrypted(path)),
            );
        } else {
            found.push(path.clone());
        }
    }
    Ok(found)
}

/// All files below a folder, in order; hidden folders and links are left out.
pub fn files_below(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::File {
        attempt: "list",
        path: folder.to_owned(),
        source,
    };
    let mut entries: Vec<_> = std::fs::read_dir(folder)
        .map_err(failed)?
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    let mut files = Vec::new();
    for entry in entries {
        let kind = entry.file_type().map_err(failed)?;
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if kind.is_dir() && !hidden {
            files.extend(files_below(&entry.path())?);
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(files)
}

/// Whether a file is a sops file: of a size that one reads, and with metadata.
fn looks_encrypted(path: &Path) -> bool {
    let small = path
        .metadata()
        .is_ok_and(|metadata| metadata.len() < 64 * 1024 * 1024);
    small
        && std::fs::read(path).is_ok_and(|bytes| file::is_encrypted(Format::of_path(path), &bytes))
}

/// The rule for a file.
pub fn rule(configuration: Option<&Configuration>, path: &Path) -> Result<Rule, Error> {
    match configuration {
        Some(configuration) => Ok(configuration.rule_for(path)?),
        None => Err(Error::Usage(
            "there is no .sops.yaml here, nor above".to_owned(),
        )),
    }
}
