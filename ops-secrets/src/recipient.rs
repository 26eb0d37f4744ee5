//! `recipient`: the age recipient of an SSH public key, of a key file, or of a live host.

use std::path::PathBuf;

use ops_common::host::{Command, Host};
use ops_common::output::Record;
use serde::Serialize;

use crate::error::Error;
use crate::keys::ssh::{self, Fault};

/// A recipient, and where it comes from.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct RecipientOf {
    /// The recipient.
    pub recipient: String,
    /// `x25519`, `converted` (from SSH, as ssh-to-age does) or `ssh`.
    pub form: &'static str,
    /// The file, key or host.
    pub source: String,
}

impl Record for RecipientOf {
    const COLUMNS: &'static [&'static str] = &["recipient", "form", "source"];
}

/// The recipients of a text: SSH public keys by line, an SSH private key, or age identities.
pub fn of_text(text: &str, source: &str, native: bool) -> Result<Vec<RecipientOf>, Error> {
    let failed = |fault| Error::Recipient {
        name: source.to_owned(),
        source: fault,
    };
    if text.contains("-----BEGIN OPENSSH PRIVATE KEY-----") {
        let line = ssh::public_line(text).ok_or_else(|| failed(Fault::NoPublicKey))?;
        return Ok(vec![of_line(&line, source, native).map_err(failed)?]);
    }
    let mut found = Vec::new();
    for line in text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        if let Ok(identity) = line.parse::<age::x25519::Identity>() {
            found.push(RecipientOf {
                recipient: identity.to_public().to_string(),
                form: "x25519",
                source: source.to_owned(),
            });
        } else {
            found.push(of_line(line, source, native).map_err(failed)?);
        }
    }
    if found.is_empty() {
        Err(failed(Fault::NoPublicKey))
    } else {
        Ok(found)
    }
}

fn of_line(line: &str, source: &str, native: bool) -> Result<RecipientOf, Fault> {
    if native && line.starts_with("ssh-") {
        let words: Vec<&str> = line.split_whitespace().take(2).collect();
        return Ok(RecipientOf {
            recipient: words.join(" "),
            form: "ssh",
            source: source.to_owned(),
        });
    }
    Ok(RecipientOf {
        recipient: ssh::converted_recipient(line)?,
        form: "converted",
        source: source.to_owned(),
    })
}

/// The recipients of a host: from the public key files of its ssh server. The connection has checked the host's key.
pub fn of_host(host: &Host, native: bool) -> Result<Vec<RecipientOf>, Error> {
    let output = host.output(&Command::new("cat").arg("/etc/ssh/ssh_host_ed25519_key.pub"))?;
    of_text(&String::from_utf8_lossy(&output), host.name(), native)
}

/// The recipients of files.
pub fn of_files(files: &[PathBuf], native: bool) -> Result<Vec<RecipientOf>, Error> {
    let mut found = Vec::new();
    for file in files {
        let bytes = zeroize::Zeroizing::new(ops_common::input::read(file.as_os_str())?);
        found.extend(of_text(
            &String::from_utf8_lossy(&bytes),
            &file.display().to_string(),
            native,
        )?);
    }
    Ok(found)
}
