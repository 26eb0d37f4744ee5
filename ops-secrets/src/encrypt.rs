//! `encrypt`: a plain file becomes a sops file.

use std::path::Path;

use zeroize::Zeroizing;

use crate::creation::{Configuration, Rule};
use crate::crypt::Stash;
use crate::error::Error;
use crate::file::{self, Plan};
use crate::format::{Format, Indent};
use crate::rules::Rules;
use crate::tree::Data;

/// What the command line says about a new file; the rest comes from `.sops.yaml`.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// Recipients in place of the rule's.
    pub recipients: Vec<String>,
    /// The variable that asks for keys of a kind that this tool does not hold.
    pub foreign_keys: Option<&'static str>,
    /// Selectors in place of the rule's, by name.
    pub selectors: Vec<(&'static str, String)>,
    /// Whether the MAC covers encrypted values only.
    pub mac_only_encrypted: bool,
    /// How many key groups are needed.
    pub threshold: Option<usize>,
    /// Whether to leave the seal out.
    pub no_seal: bool,
    /// Whether a file without any encrypted value is fine.
    pub allow_plaintext: bool,
    /// The indentation in place of the configuration's.
    pub indent: Option<Indent>,
}

/// How a file is to be encrypted: the wishes of the command line over the rule for its name.
pub fn plan(
    name: &Path,
    format: Format,
    wishes: &Wishes,
    configuration: Option<&Configuration>,
) -> Result<Plan, Error> {
    let rule = match configuration {
        Some(configuration) => match configuration.rule_for(name) {
            Ok(rule) => Some(rule),
            Err(_) if !wishes.recipients.is_empty() => None,
            Err(fault) => return Err(fault.into()),
        },
        None => None,
    };
    let groups = groups(name, wishes, rule.as_ref())?;
    let rules = rules(wishes, rule.as_ref())?;
    let threshold = wishes
        .threshold
        .or(rule.map(|rule| rule.threshold))
        .unwrap_or(0);
    let indent = wishes.indent.clone();
    let indent =
        indent.unwrap_or_else(|| configuration.map(Configuration::indent).unwrap_or_default());
    let mut plan = file::plan(name, format, &rules, &groups, threshold, indent)?;
    plan.sealed = !wishes.no_seal;
    plan.allow_plaintext = wishes.allow_plaintext;
    Ok(plan)
}

fn groups(name: &Path, wishes: &Wishes, rule: Option<&Rule>) -> Result<Vec<Vec<String>>, Error> {
    if let Some(variable) = wishes.foreign_keys {
        return Err(Error::ForeignVariable(variable));
    }
    if !wishes.recipients.is_empty() {
        return Ok(vec![wishes.recipients.clone()]);
    }
    let Some(rule) = rule else {
        return Err(Error::NoRecipients(name.to_owned()));
    };
    if let Some(kind) = rule.foreign.first() {
        return Err(Error::ForeignRule {
            file: name.to_owned(),
            kind: kind.clone(),
        });
    }
    if rule.groups.iter().any(Vec::is_empty) {
        return Err(Error::EmptyGroup(name.to_owned()));
    }
    Ok(rule.groups.clone())
}

fn rules(wishes: &Wishes, rule: Option<&Rule>) -> Result<Rules, Error> {
    let mac_only =
        wishes.mac_only_encrypted || rule.is_some_and(|rule| rule.rules.mac_only_encrypted);
    if wishes.selectors.is_empty()
        && let Some(rule) = rule
    {
        return Ok(rule.rules.clone().mac_only_encrypted(mac_only));
    }
    let found = |name: &str| {
        wishes
            .selectors
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, text)| text.clone())
    };
    Ok(Rules::new(found, mac_only)?)
}

/// Encrypts a plain text.
pub fn encrypt(
    name: &Path,
    format: Format,
    plain: Vec<u8>,
    mut plan: Plan,
) -> Result<Zeroizing<String>, Error> {
    file::encrypt(name, format, plain, &mut plan, &mut Stash::default())
}

/// A plain text in another format.
pub fn converted(
    name: &Path,
    plain: &[u8],
    input: Format,
    output: Format,
    indent: &Indent,
) -> Result<Vec<u8>, Error> {
    let text = std::str::from_utf8(plain)
        .map_err(|error| file::no_text(name, plain, error.valid_up_to()))?;
    let data = match (input, output) {
        (Format::Binary, _) | (_, Format::Binary) => return Ok(plain.to_vec()),
        _ => {
            let tree = input
                .parse(text)
                .map_err(|fault| file::malformed(name, text, &fault))?;
            Data::from(&tree.documents[0].root)
        }
    };
    let written = output.write(&data, indent);
    let written = written.map_err(|key| Error::Convert {
        file: name.to_owned(),
        format: output.name(),
        key,
    })?;
    Ok(written.as_bytes().to_vec())
}
