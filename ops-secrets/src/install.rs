//! `install`: the secrets of a manifest, put where the services of a host find them, at boot and on activation.
//!
//! Each sops file is decrypted once. One that fails does not take the others down: the rest is installed, each failure is
//! named, and the status is 65.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use zeroize::Zeroizing;

use crate::crypt::{Checks, Keep, Opened};
use crate::error::Error;
use crate::file::{self, Encrypted, Opening};
use crate::format::Format;
use crate::generation::{self, Accounts, Generation};
use crate::json;
use crate::keys::identity::Identities;
use crate::manifest::{Manifest, Ownership, Secret};
use crate::tree::{Data, Map, Node, Value};

/// A file to be installed.
pub struct Prepared<'m> {
    /// Its name below the generation.
    pub name: String,
    /// Its bytes.
    pub content: Zeroizing<Vec<u8>>,
    /// Where else it is linked.
    pub path: Option<&'m Path>,
    /// Owner, mode, units.
    pub ownership: &'m Ownership,
}

/// What was prepared, and what could not be.
pub struct Batch<'m> {
    /// The files.
    pub files: Vec<Prepared<'m>>,
    /// Secrets and templates that failed, with the reason.
    pub failures: Vec<(String, String)>,
}

/// A file that was decrypted, or why it was not.
type Found = Result<(Encrypted, Opened), String>;

/// Decrypts everything that a manifest names.
pub fn prepare<'m>(manifest: &'m Manifest, identities: &mut Identities) -> Batch<'m> {
    let mut opened: BTreeMap<(&Path, &str), Found> = BTreeMap::new();
    let mut batch = Batch {
        files: Vec::new(),
        failures: Vec::new(),
    };
    let mut values = BTreeMap::new();
    for secret in &manifest.secrets {
        let format = secret.format().unwrap_or(Format::Binary);
        let found = opened
            .entry((secret.sops_file.as_path(), format.name()))
            .or_insert_with(|| open(&secret.sops_file, format, identities));
        let content = match found {
            Ok((file, opened)) => value(file, opened, secret),
            Err(message) => Err(message.clone()),
        };
        match content {
            Ok(content) => {
                values.insert(secret.name.as_str(), content.clone());
                batch.files.push(Prepared {
                    name: secret.name.clone(),
                    content,
                    path: secret.path.as_deref(),
                    ownership: &secret.ownership,
                });
            }
            Err(message) => batch.failures.push((secret.name.clone(), message)),
        }
    }
    render_all(manifest, &values, &mut batch);
    batch
}

fn open(path: &Path, format: Format, identities: &mut Identities) -> Found {
    let opening = Opening {
        checks: Checks::ALL,
        require_seal: false,
        keep: Keep::Nothing,
        only: None,
    };
    let opened = Encrypted::read(path.as_os_str(), format).and_then(|mut file| {
        let (_, opened) = file::open(&mut file, identities, opening)?;
        Ok((file, opened))
    });
    opened.map_err(|error| ops_common::exit::describe(&error))
}

/// The bytes of a secret: a text as it is, other leaves as text, a subtree as JSON.
fn value(file: &Encrypted, opened: &Opened, secret: &Secret) -> Result<Zeroizing<Vec<u8>>, String> {
    let whole = secret.key.is_empty() || !matches!(file.format, Format::Yaml | Format::Json);
    if whole {
        return Ok(opened.text.clone());
    }
    let node = lookup(&opened.tree.documents[0].root, &secret.key)
        .ok_or_else(|| format!("'{}' has no key '{}'", file.name.display(), secret.key))?;
    Ok(match Data::from(node) {
        Data::Scalar(Value::Text(text)) => Zeroizing::new(text.as_bytes().to_vec()),
        Data::Scalar(Value::Bytes(bytes)) => bytes,
        Data::Scalar(Value::Null) => return Err(format!("the key '{}' has no value", secret.key)),
        Data::Scalar(Value::Time(text)) => Zeroizing::new(text.into_bytes()),
        data => Zeroizing::new(json::write(&data, None).into_bytes()),
    })
}

/// A key whose levels are parted by `/`; a level that is a number names an element of a sequence. Metadata are no secrets.
fn lookup<'n>(root: &'n Map, key: &str) -> Option<&'n Node> {
    let mut parts = key.split('/');
    let first = parts.next().filter(|part| *part != "sops")?;
    parts.try_fold(&root.pair(first)?.node, |node, part| match node {
        Node::Map(map) => map.pair(part).map(|pair| &pair.node),
        Node::List(list) => list
            .elements()
            .nth(part.parse().ok()?)
            .map(|(_, node)| node),
        Node::Scalar(_) => None,
    })
}

fn render_all<'m>(
    manifest: &'m Manifest,
    values: &BTreeMap<&str, Zeroizing<Vec<u8>>>,
    batch: &mut Batch<'m>,
) {
    for template in &manifest.templates {
        let text = match (&template.content, &template.file) {
            (Some(content), _) if !content.is_empty() => Ok(content.clone()),
            (_, Some(file)) => std::fs::read_to_string(file)
                .map_err(|error| format!("cannot read '{}': {error}", file.display())),
            _ => Ok(String::new()),
        };
        match text.and_then(|text| render(&text, manifest, values)) {
            Ok(content) => batch.files.push(Prepared {
                name: format!("{RENDERED}{}", template.name),
                content,
                path: template.path.as_deref(),
                ownership: &template.ownership,
            }),
            Err(message) => batch.failures.push((template.name.clone(), message)),
        }
    }
}

/// Fills a template, from left to right: what a secret brings in is never searched for placeholders again.
fn render(
    text: &str,
    manifest: &Manifest,
    values: &BTreeMap<&str, Zeroizing<Vec<u8>>>,
) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut out = Zeroizing::new(Vec::new());
    let mut rest = text;
    while !rest.is_empty() {
        let found = (manifest.placeholder_by_secret_name.iter())
            .filter(|(_, placeholder)| !placeholder.is_empty())
            .filter_map(|(name, placeholder)| {
                rest.find(placeholder.as_str())
                    .map(|at| (at, name, placeholder))
            })
            .min_by_key(|(at, ..)| *at);
        let Some((at, name, placeholder)) = found else {
            break;
        };
        let value = values
            .get(name.as_str())
            .ok_or_else(|| format!("it needs the secret '{name}', which failed"))?;
        out.extend_from_slice(&rest.as_bytes()[..at]);
        out.extend_from_slice(value);
        rest = &rest[at + placeholder.len()..];
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

/// The folder of templates below a generation.
pub const RENDERED: &str = "rendered/";

/// What an installation changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Whether nothing was installed before: then nothing runs that would have to restart.
    pub first: bool,
    /// Files that were not there.
    pub added: Vec<String>,
    /// Files with other bytes.
    pub modified: Vec<String>,
    /// Files that are no more.
    pub removed: Vec<String>,
    /// Units to restart.
    pub restart: BTreeSet<String>,
    /// Units to reload.
    pub reload: BTreeSet<String>,
}

/// Compares the files with those of the present generation, byte by byte.
pub fn changes(manifest: &Manifest, batch: &Batch<'_>) -> Changes {
    let mut changes = Changes {
        first: !manifest.symlink_path.exists(),
        ..Changes::default()
    };
    for file in &batch.files {
        let old = std::fs::read(manifest.symlink_path.join(&file.name))
            .ok()
            .map(Zeroizing::new);
        match old {
            Some(old) if old == file.content => continue,
            Some(_) => changes.modified.push(file.name.clone()),
            None => changes.added.push(file.name.clone()),
        }
        if !changes.first {
            changes
                .restart
                .extend(file.ownership.restart_units.iter().cloned());
            changes
                .reload
                .extend(file.ownership.reload_units.iter().cloned());
        }
    }
    let names: BTreeSet<String> = manifest.names().collect();
    changes.removed = generation::files(&manifest.symlink_path)
        .into_iter()
        .filter(|name| !names.contains(name))
        .collect();
    changes
}

/// Installs the files as a new generation.
pub fn install(
    manifest: &Manifest,
    batch: &mut Batch<'_>,
    without_owners: bool,
) -> Result<(), Error> {
    let accounts = Accounts::read();
    generation::prepare(manifest, &accounts)?;
    let generation = Generation::next(manifest, &accounts)?;
    let mut failures = Vec::new();
    let mut links = Vec::new();
    for file in &batch.files {
        let owner = match (manifest.user_mode, without_owners) {
            (true, _) => Ok(None),
            (false, true) => Ok(Some((0, 0))),
            (false, false) => accounts.of(file.ownership).map(Some),
        };
        let written = owner.and_then(|owner| {
            generation
                .write(&file.name, &file.content, file.ownership, owner)
                .map_err(|error| ops_common::exit::describe(&error))?;
            Ok(owner)
        });
        let target = manifest.symlink_path.join(&file.name);
        match (written, file.path) {
            (Err(message), _) => failures.push((file.name.clone(), message)),
            (Ok(owner), Some(path)) if path != target => {
                links.push((&file.name, target, path, owner));
            }
            (Ok(_), _) => {}
        }
    }
    generation.put_in_place(manifest)?;
    for (name, target, at, owner) in links {
        if let Err(error) = generation::link(&target, at, owner) {
            failures.push((name.clone(), ops_common::exit::describe(&error)));
        }
    }
    batch.failures.extend(failures);
    Ok(())
}

/// Writes the files into a folder of credentials, as systemd's `LoadCredential=` takes it: flat names, mode 0400.
pub fn credentials(folder: &Path, batch: &mut Batch<'_>) {
    for file in &batch.files {
        let path = folder.join(file.name.replace('/', "-"));
        if let Err(error) = file::write(&path, &file.content, 0o400) {
            let told = ops_common::exit::describe(&error);
            batch.failures.push((file.name.clone(), told));
        }
    }
}

/// Whether an encrypted tree has a key whose levels are parted by `/`.
#[must_use]
pub fn has_key(tree: &crate::tree::Tree, key: &str) -> bool {
    lookup(&tree.documents[0].root, key).is_some()
}
