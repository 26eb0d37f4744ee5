//! Encrypting and decrypting a document: edits of its text, with the MAC of sops and the seal of ours.

mod close;
mod mac;
mod open;
mod rekey;
mod stash;

use zeroize::Zeroizing;

use crate::cipher::{self, Cipher, DataKey};
use crate::format::{Format, Indent};
use crate::metadata::{self, Metadata};
use crate::patch;
use crate::tree::{Data, Scalar, Syntax, Value};
pub use close::{Closed, Counts, close};
pub use open::{Checks, Opened, SealState, open};
pub use rekey::rekey;
pub use stash::Stash;

/// Why a document could not be encrypted or decrypted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Fault {
    /// A value could not be opened.
    #[error("cannot decrypt '{path}': {source}")]
    Open {
        /// Its path.
        path: String,
        /// Why.
        source: cipher::Fault,
    },
    /// A value could not be sealed.
    #[error("cannot encrypt '{path}': {source}")]
    Close {
        /// Its path.
        path: String,
        /// Why.
        source: cipher::Fault,
    },
    /// A value that should be encrypted is not.
    #[error("'{0}' should be encrypted, but is not")]
    Plain(String),
    /// The text is not in its format.
    #[error("malformed")]
    Syntax(Syntax),
    /// A value that cannot be encrypted where it stands.
    #[error("{message}")]
    Place {
        /// Where.
        at: usize,
        /// Why.
        message: String,
    },
    /// The format cannot hold a value.
    #[error("the format cannot hold the value of '{0}'")]
    Unwritable(String),
    /// What was written would read back as something else.
    #[error("the encrypted text would read back as other values: this is a fault of the tool")]
    Changed,
    /// The MAC does not fit.
    #[error("the MAC does not fit: values were changed, added, moved or taken away")]
    Mac,
    /// The MAC cannot be read.
    #[error("the MAC cannot be read: {0}")]
    MacUnreadable(cipher::Fault),
    /// The seal does not fit.
    #[error("the seal does not fit: keys, structure, comments, layout or recipients were changed")]
    Seal,
    /// Metadata cannot be used.
    #[error(transparent)]
    Metadata(#[from] metadata::Fault),
}

/// How an encrypted text is made.
#[derive(Clone, Copy)]
pub struct Making<'m> {
    /// Its format.
    pub format: Format,
    /// The data key.
    pub key: &'m DataKey,
    /// The indentation where the text shows none.
    pub indent: &'m Indent,
    /// Whether it gets a seal.
    pub sealed: bool,
}

/// Writes MAC, time and seal of an encrypted text into its metadata, and puts that in. The text is decrypted again for
/// it: what could not be read back, or reads back as other values than went in (`expected`), does not leave.
pub fn finish(
    making: Making<'_>,
    body: &str,
    metadata: &mut Metadata,
    now: &str,
    expected: Option<&str>,
) -> Result<Zeroizing<String>, Fault> {
    let Making {
        format,
        key,
        indent,
        ..
    } = making;
    metadata.remove(metadata::SEAL);
    let opened = open(format, body, metadata, key, Checks::NONE, indent)?;
    if expected.is_some_and(|expected| expected != opened.mac) {
        return Err(Fault::Changed);
    }
    metadata.put("lastmodified", Data::text(now));
    let mac = Cipher::new(key)
        .seal(&Value::text(opened.mac.clone()), now)
        .map_err(|source| Fault::Close {
            path: "mac".to_owned(),
            source,
        })?;
    metadata.put("mac", Data::text(mac));
    if format == Format::Binary && making.sealed {
        // Metadata change nothing of a binary text: its seal is known, and a second copy is not needed.
        metadata.put(metadata::SEAL, Data::text(opened.fresh_seal));
        drop(opened.text);
        let tree = format.parse(body).map_err(Fault::Syntax)?;
        let edits = format.embed(body, &tree, metadata.fields(), indent);
        return Ok(patch::apply(body, edits));
    }
    embed(making, body, metadata)
}

/// Puts metadata into an encrypted text, with a fresh seal if it is to have one.
pub fn embed(
    making: Making<'_>,
    body: &str,
    metadata: &mut Metadata,
) -> Result<Zeroizing<String>, Fault> {
    let Making {
        format,
        key,
        indent,
        sealed,
    } = making;
    metadata.remove(metadata::SEAL);
    let tree = format.parse(body).map_err(Fault::Syntax)?;
    let place = |metadata: &Metadata| {
        patch::apply(body, format.embed(body, &tree, metadata.fields(), indent))
    };
    let text = place(metadata);
    if !sealed {
        return Ok(text);
    }
    let opened = open(format, &text, metadata, key, Checks::NONE, indent)?;
    metadata.put(metadata::SEAL, Data::text(opened.fresh_seal));
    Ok(place(metadata))
}

/// A path as people read it.
fn shown(path: &str) -> String {
    path.trim_end_matches(':').replace(':', ".")
}

/// The text of a scalar, if it is one. Of a binary file it stands in the source only.
fn text_of<'t>(format: Format, source: &'t str, scalar: &'t Scalar) -> Option<&'t str> {
    let Value::Text(text) = &scalar.value else {
        return None;
    };
    if format == Format::Binary && text.is_empty() {
        let span = &scalar.place.span;
        return source.get(span.start + 1..span.end - 1);
    }
    Some(text)
}
