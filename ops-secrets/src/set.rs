//! `set` and `unset`: one value of a sops file changes; the ciphertexts of all others stay.

use zeroize::Zeroizing;

use crate::change::{self, Fault};
use crate::cipher::DataKey;
use crate::crypt::{Opened, Stash};
use crate::encrypt;
use crate::error::Error;
use crate::file::{self, Encrypted, Plan};
use crate::format::Format;
use crate::path::Path;
use crate::tree::Data;

/// Whether the value at a path is that one already.
#[must_use]
pub fn holds(file: &Encrypted, opened: &Opened, path: &Path, value: &Data) -> bool {
    let root = crate::decrypt::without_metadata(file.format, opened);
    path.find(&root)
        .is_some_and(|node| Data::from(node) == *value)
}

/// Gives the encrypted text with another value at a path, in its own format or another.
pub fn set(
    file: &Encrypted,
    key: DataKey,
    opened: Opened,
    path: &Path,
    value: Data,
    output: Format,
) -> Result<Zeroizing<String>, Error> {
    let plain = text(&opened);
    let changed = change::set(file.format, &plain, path, value, &file.indent)
        .map_err(|fault| told(file, &plain, fault))?;
    again(file, key, opened, &changed, output, false)
}

/// Gives the encrypted text without the value at a path; nothing if none is there.
pub fn unset(
    file: &Encrypted,
    key: DataKey,
    opened: Opened,
    path: &Path,
    output: Format,
) -> Result<Option<Zeroizing<String>>, Error> {
    let plain = text(&opened);
    match change::unset(file.format, &plain, path, &file.indent) {
        Ok(changed) => again(file, key, opened, &changed, output, true).map(Some),
        Err(Fault::Missing(_)) => Ok(None),
        Err(fault) => Err(told(file, &plain, fault)),
    }
}

/// Encrypts a changed plain text in the format asked for.
fn again(
    file: &Encrypted,
    key: DataKey,
    opened: Opened,
    plain: &Zeroizing<String>,
    output: Format,
    allow_plaintext: bool,
) -> Result<Zeroizing<String>, Error> {
    let plain = plain.as_bytes();
    if output == file.format {
        return reseal(file, key, opened, plain.to_vec(), allow_plaintext);
    }
    let plain = encrypt::converted(&file.name, plain, file.format, output, &file.indent)?;
    let mut plan = plan(file, key, allow_plaintext);
    file::encrypt(&file.name, output, plain, &mut plan, &mut Stash::of(opened))
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
    let mut plan = plan(file, key, allow_plaintext);
    file::encrypt(
        &file.name,
        file.format,
        plain,
        &mut plan,
        &mut Stash::of(opened),
    )
}

/// The keys and rules that the file has.
fn plan(file: &Encrypted, key: DataKey, allow_plaintext: bool) -> Plan {
    Plan {
        metadata: file.metadata.clone(),
        key,
        sealed: true,
        allow_plaintext,
        indent: file.indent.clone(),
    }
}
