//! Whom a data key is wrapped for.

use std::io::Write as _;

use age::armor::{ArmoredWriter, Format};

use super::prompt::Terminal;

/// A recipient that can be used.
pub struct Recipient(Box<dyn age::Recipient>);

/// Why a recipient cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Fault {
    /// Hybrid post-quantum recipients are not in the age library.
    #[error(
        "the recipient '{0}' is a post-quantum one, which this tool cannot wrap for yet: use sops or age for it"
    )]
    PostQuantum(String),
    /// The text is no recipient.
    #[error("'{0}' is no age or SSH recipient")]
    Malformed(String),
    /// The plugin is not there.
    #[error("the plugin 'age-plugin-{name}' cannot be used: {why}")]
    Plugin {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// Wrapping failed.
    #[error("cannot wrap the data key: {0}")]
    Wrap(String),
}

impl Recipient {
    /// Reads a recipient: `age1...`, a plugin's, or an SSH public key.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let malformed = || Fault::Malformed(text.to_owned());
        if text.starts_with("age1pq1") {
            return Err(Fault::PostQuantum(text.to_owned()));
        }
        if text.starts_with("ssh-") {
            let recipient: age::ssh::Recipient = text.parse().map_err(|_| malformed())?;
            return Ok(Self(Box::new(recipient)));
        }
        if text.starts_with("age1")
            && text.matches('1').count() > 1
            && text.parse::<age::x25519::Recipient>().is_err()
        {
            let recipient: age::plugin::Recipient = text.parse().map_err(|_| malformed())?;
            let name = recipient.plugin().to_owned();
            let plugin = age::plugin::RecipientPluginV1::new(&name, &[recipient], &[], Terminal)
                .map_err(|error| Fault::Plugin {
                    name,
                    why: error.to_string(),
                })?;
            return Ok(Self(Box::new(plugin)));
        }
        let recipient: age::x25519::Recipient = text.parse().map_err(|_| malformed())?;
        Ok(Self(Box::new(recipient)))
    }

    /// Wraps bytes: an armored age file.
    pub fn wrap(&self, bytes: &[u8]) -> Result<String, Fault> {
        let failed = |error: &dyn std::fmt::Display| Fault::Wrap(error.to_string());
        let encryptor = age::Encryptor::with_recipients(std::iter::once(&*self.0))
            .map_err(|error| failed(&error))?;
        let io = |error: std::io::Error| failed(&error);
        let armor = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor).map_err(io)?;
        let mut writer = encryptor.wrap_output(armor).map_err(io)?;
        writer.write_all(bytes).map_err(io)?;
        let text = writer
            .finish()
            .and_then(ArmoredWriter::finish)
            .map_err(io)?;
        String::from_utf8(text).map_err(|error| failed(&error))
    }
}

/// Splits a list as sops takes it: with commas; blanks around do not count.
pub fn list(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
        .collect()
}
