//! `set` and `unset`: one value of a sops file changes; the ciphertexts of all others stay.

use zeroize::Zeroizing;

use crate::change::{self, Fault};
use crate::cipher::DataKey;
use crate::crypt::{Opened, Stash};
use crate::error::Error;
use crate::file::{self, Encrypted, Plan};
use crate::path::Path;
use crate::tree::Data;

/// Gives the encrypted text with another value at a path; nothing if it has that value already.
pub fn set(
    file: &Encrypted,
    key: DataKey,
    opened: Opened,
    path: &Path,
    value: Data,
) -> Result<Option<Zeroizing<String>>, Error> {
    let root = crate::decrypt::without_metadata(file.format, &opened);
    if path
        .find(&root)
        .is_some_and(|node| Data::from(node) == value)
    {
        return Ok(None);
    }
    let plain = text(&opened);
    let changed = change::set(file.format, &plain, path, value, &file.indent)
        .map_err(|fault| told(file, &plain, fault))?;
    reseal(file, key, opened, changed.as_bytes().to_vec(), false).map(Some)
}

/// Gives the encrypted text without the value at a path; nothing if none is there.
pub fn unset(
    file: &Encrypted,
    key: DataKey,
    opened: Opened,
    path: &Path,
) -> Result<Option<Zeroizing<String>>, Error> {
    let plain = text(&opened);
    match change::unset(file.format, &plain, path, &file.indent) {
        Ok(changed) => reseal(file, key, opened, changed.as_bytes().to_vec(), true).map(Some),
        Err(Fault::Missing(_)) => Ok(None),
        Err(fault) => Err(told(file, &plain, fault)),
    }
}

fn text(opened: &Opened) -> Zeroizing<String> {
    Zeroizing::new(String::from_utf8_lossy(&opened.text).into_owned())
}

fn told(file: &Encrypted, plain: &str, fault: Fault) -> Error {
    match fault {
        Fault::Syntax(fault) => file::malformed(&file.name, plain, &fault),
        source => Error::Change {
            file: file.name.clone(),
            source,
        },
    }
}

/// Encrypts a changed plain text again: same keys and rules, same ciphertext for what did not change. The seal stays on if
/// it was, and comes on if the file has none.
pub fn reseal(
    file: &Encrypted,
    key: DataKey,
    opened: Opened,
    plain: Vec<u8>,
    allow_plaintext: bool,
) -> Result<Zeroizing<String>, Error> {
    let sealed = true;
    let mut plan = Plan {
        metadata: file.metadata.clone(),
        key,
        sealed,
        allow_plaintext,
        indent: file.indent.clone(),
    };
    file::encrypt(
        &file.name,
        file.format,
        plain,
        &mut plan,
        &mut Stash::of(opened),
    )
}
