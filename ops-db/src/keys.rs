//! age and SSH keys: who can read a backup, and the keys that open it.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use age::Recipient;

use crate::error::Error;

/// Reads public keys: `age1...`, `ssh-ed25519 ...`, `ssh-rsa ...`.
pub fn recipients(keys: &[String]) -> Result<Vec<Box<dyn Recipient + Send>>, Error> {
    keys.iter().map(|key| recipient(key)).collect()
}

fn recipient(key: &str) -> Result<Box<dyn Recipient + Send>, Error> {
    let unusable = |reason: String| Error::Key {
        key: key.to_owned(),
        reason,
    };
    if key.starts_with("age1") {
        let key: age::x25519::Recipient = key
            .parse()
            .map_err(|reason: &str| unusable(reason.to_owned()))?;
        return Ok(Box::new(key));
    }
    let key: age::ssh::Recipient = key.parse().map_err(|reason| {
        unusable(format!(
            "it is neither an age nor an SSH public key ({reason:?})"
        ))
    })?;
    Ok(Box::new(key))
}

/// Reads files of private keys: of age, or one SSH key without a passphrase.
pub fn identities(files: &[PathBuf]) -> Result<Vec<Box<dyn age::Identity + Send + Sync>>, Error> {
    let mut identities: Vec<Box<dyn age::Identity + Send + Sync>> = Vec::new();
    for path in files {
        identities.extend(identity(path)?);
    }
    Ok(identities)
}

fn identity(path: &Path) -> Result<Vec<Box<dyn age::Identity + Send + Sync>>, Error> {
    let unusable = |reason: String| Error::Key {
        key: path.display().to_string(),
        reason,
    };
    let text = std::fs::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    if text.starts_with(b"-----BEGIN") {
        let key = age::ssh::Identity::from_buffer(BufReader::new(&*text), None)
            .map_err(|error| unusable(error.to_string()))?;
        return match key {
            age::ssh::Identity::Encrypted(_) => Err(unusable("it has a passphrase".to_owned())),
            key => {
                let key: Box<dyn age::Identity + Send + Sync> = Box::new(key);
                Ok(vec![key])
            }
        };
    }
    let file = age::IdentityFile::from_buffer(BufReader::new(&*text))
        .map_err(|error| unusable(error.to_string()))?;
    file.into_identities()
        .map_err(|error| unusable(error.to_string()))
}
