//! Tokens from a sops file, read by running `ops-secrets`: never from an argument, never shown.

use std::collections::BTreeMap;
use std::path::Path;

use ops_common::program::Program;
use serde_json::Value;

use crate::configuration::Secret;
use crate::error::Error;

/// The tokens of one file.
#[derive(Debug)]
pub(crate) struct Tokens {
    file: String,
    values: BTreeMap<String, Secret>,
}

impl Tokens {
    /// Decrypts a file.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let file = path.display().to_string();
        let decrypt = Program::find("ops-secrets")?
            .args(["decrypt", "--output-type", "json"])
            .arg(path);
        let text = decrypt.output()?;
        let parsed: Result<BTreeMap<String, Value>, _> = serde_json::from_slice(&text);
        // The error of the parser could quote the text, so it is not told.
        let fields = parsed.map_err(|_| Error::Tokens {
            file: file.clone(),
            reason: "it is no mapping".to_owned(),
        })?;
        let values = fields.into_iter().filter_map(|(name, value)| match value {
            Value::String(text) => Some((name, Secret::new(text))),
            _ => None,
        });
        Ok(Self {
            values: values.collect(),
            file,
        })
    }

    /// The token of that name.
    pub(crate) fn get(&self, name: &str) -> Result<&Secret, Error> {
        let found = self
            .values
            .get(name)
            .filter(|secret| !secret.reveal().is_empty());
        found.ok_or_else(|| Error::Tokens {
            file: self.file.clone(),
            reason: format!("it has no '{name}'"),
        })
    }
}
