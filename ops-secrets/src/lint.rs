//! `lint`: what is wrong with the secrets of a tree, seen without decrypting a value.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use ops_common::check::Check;
use ops_common::exit::describe;

use crate::creation::{Configuration, Fault, Rule};
use crate::error::Error;
use crate::file::{self, Encrypted};
use crate::format::Format;
use crate::keys::identity::Identities;
use crate::updatekeys;

/// Files larger than this are no secrets that anybody keeps in a tree.
const LARGE: u64 = 16 * 1024 * 1024;

/// The findings about the rules.
#[must_use]
pub fn rules(configuration: &Configuration) -> Vec<Check> {
    let name = configuration.path.display().to_string();
    let faults = configuration.check();
    if faults.is_empty() {
        return vec![Check::ok(
            "secrets.rules",
            name,
            "every creation rule is valid",
        )];
    }
    faults
        .iter()
        .map(|fault| {
            Check::fail("secrets.rules", &name, describe(fault))
                .fix("correct the rule: sops takes such a rule in silence")
        })
        .collect()
}

/// The findings about one file; none for a file that no rule is for and that is not encrypted.
pub fn file(
    path: &Path,
    configuration: &Configuration,
    names: &BTreeMap<String, String>,
    identities: &mut Identities,
) -> Result<Vec<Check>, Error> {
    let failed = |source| Error::File {
        attempt: "read",
        path: path.to_owned(),
        source,
    };
    let metadata = path.metadata().map_err(failed)?;
    if metadata.len() > LARGE || path.file_name().is_some_and(|name| name == ".sops.yaml") {
        return Ok(Vec::new());
    }
    let subject = path.display().to_string();
    if is_leftover(path) {
        let message = "a run that was killed left it behind: it may hold plain text";
        return Ok(vec![
            Check::fail("secrets.leftover", subject, message).fix("remove it"),
        ]);
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    if is_key_file(&bytes) && metadata.permissions().mode() & 0o077 != 0 {
        let message = format!(
            "it holds a private key, and its mode is {:o}",
            metadata.permissions().mode() & 0o777
        );
        return Ok(vec![
            Check::fail("secrets.mode", subject, message).fix("chmod 600 it"),
        ]);
    }
    let format = Format::of_path(path);
    let rule = match configuration.rule_for(path) {
        Ok(rule) => Some(rule),
        Err(Fault::NoRule { .. }) => None,
        // Told as a finding about the rules.
        Err(_) => return Ok(Vec::new()),
    };
    if !file::is_encrypted(format, &bytes) {
        let named = rule
            .as_ref()
            .is_some_and(|rule| configuration.names_paths(rule.number));
        let message = "a creation rule is for it, but it is not encrypted";
        let found = named.then(|| {
            Check::fail("secrets.plaintext", subject, message)
                .fix("run 'ops-secrets encrypt -i' on it, and change the secrets")
        });
        return Ok(found.into_iter().collect());
    }
    // A file that cannot be read says nothing about the others.
    let looked = Encrypted::parse(path.to_owned(), bytes, format)
        .and_then(|file| encrypted(&file, rule.as_ref(), names, identities));
    Ok(looked.unwrap_or_else(|error| vec![Check::fail("secrets.key", subject, describe(&error))]))
}

/// Whether a file has the name of one that is being written, or was when the writer died.
fn is_leftover(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.starts_with(b".ops-") && name.ends_with(b".tmp")
}

/// The findings about an encrypted file.
fn encrypted(
    file: &Encrypted,
    rule: Option<&Rule>,
    names: &BTreeMap<String, String>,
    identities: &mut Identities,
) -> Result<Vec<Check>, Error> {
    let subject = file.name.display().to_string();
    let mut checks = Vec::new();
    if let Some(rule) = rule {
        let changes = updatekeys::differences(file, rule, names)?;
        checks.push(if changes.is_empty() {
            Check::ok(
                "secrets.recipients",
                &subject,
                "the recipients are those of its rule",
            )
        } else {
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
            Check::fail(
                "secrets.recipients",
                &subject,
                format!("the recipients differ from its rule: {}", list.join(", ")),
            )
            .fix("run 'ops-secrets updatekeys' on it")
        });
    }
    checks.push(match file.unlock(identities) {
        Ok(_) => Check::ok("secrets.key", &subject, "a key at hand opens it"),
        Err(error) => Check::warn("secrets.key", &subject, describe(&error)),
    });
    Ok(checks)
}

fn is_key_file(bytes: &[u8]) -> bool {
    let marks: [&[u8]; 3] = [
        b"AGE-SECRET-KEY-1",
        b"-----BEGIN OPENSSH PRIVATE KEY-----",
        b"-----BEGIN PRIVATE KEY-----",
    ];
    marks
        .iter()
        .any(|mark| bytes.windows(mark.len()).any(|found| found == *mark))
}
