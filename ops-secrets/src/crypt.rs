//! Encrypting and decrypting a document: edits of its text, with the MAC of sops and the seal of ours.

mod batch;
mod close;
mod mac;
mod open;
mod part;
mod proof;
mod rekey;
mod stash;

use zeroize::Zeroizing;

use crate::cipher::{self, Cipher, DataKey, Nonces};
use crate::format::{Format, Indent};
use crate::metadata::{self, Metadata};
use crate::patch::Patch;
use crate::seal;
use crate::tree::{Data, Scalar, Syntax, Tree, Value};
pub use close::{Closed, Counts, close};
pub use open::{Checks, Keep, Opened, Reading, SealState, check_seal, open};
pub use part::open_at;
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
    /// The seal is not of our time.
    #[error(
        "the seal has the version '{0}', which this program does not know: it cannot be checked"
    )]
    SealVersion(String),
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

/// Puts values that were just encrypted into their source, with MAC, time and seal in the metadata. What was written is
/// parsed again: what would read back as something else than went in does not leave.
pub fn finish(
    making: Making<'_>,
    source: &str,
    tree: Tree,
    closed: Closed,
    metadata: &mut Metadata,
    now: &str,
) -> Result<Zeroizing<String>, Fault> {
    let mac = Cipher::new(making.key)
        .seal(
            &mut Nonces::default(),
            &Value::text(closed.mac.as_str()),
            now,
        )
        .map_err(|source| Fault::Close {
            path: "mac".to_owned(),
            source,
        })?;
    metadata.put("lastmodified", Data::text(now));
    metadata.put("mac", Data::text(mac));
    let text = embedded(making, source, &tree, closed.patch, metadata)?;
    drop(tree);
    let rules = metadata.rules(making.format)?;
    proof::prove(making.format, &text, &rules, closed.leaves)?;
    Ok(text)
}

/// Puts other metadata into an encrypted text, with a fresh seal if it is to have one.
pub fn embed(
    making: Making<'_>,
    source: &str,
    tree: &Tree,
    metadata: &mut Metadata,
) -> Result<Zeroizing<String>, Fault> {
    embedded(making, source, tree, Patch::default(), metadata)
}

/// The source with its changes and the metadata, sealed.
fn embedded(
    making: Making<'_>,
    source: &str,
    tree: &Tree,
    mut patch: Patch,
    metadata: &mut Metadata,
) -> Result<Zeroizing<String>, Fault> {
    metadata.remove(metadata::SEAL);
    if !making.sealed {
        let fields = metadata.fields();
        patch.extend(making.format.embed(source, tree, fields, making.indent));
        return Ok(patch.apply(source));
    }
    let blank = seal::blank().map_err(|source| Fault::Close {
        path: metadata::SEAL.to_owned(),
        source,
    })?;
    metadata.put(metadata::SEAL, Data::text(blank.as_str()));
    let fields = metadata.fields();
    patch.extend(making.format.embed(source, tree, fields, making.indent));
    let mut text = patch.apply(source);
    let seal = seal::of(making.key, making.format, &text, &blank);
    let places: Vec<usize> = text.match_indices(&blank).map(|(at, _)| at).collect();
    if places.len() != tree.documents.len() {
        return Err(Fault::Changed);
    }
    for at in places {
        text.replace_range(at..at + blank.len(), &seal);
    }
    metadata.put(metadata::SEAL, Data::text(seal));
    Ok(text)
}

/// A path as people read it.
fn shown(path: &str) -> String {
    path.trim_end_matches(':').replace(':', ".")
}

/// The text of a scalar, if it is one, in the tree or lent by the source.
fn text_of<'t>(source: &'t str, scalar: &'t Scalar) -> Option<&'t str> {
    match &scalar.value {
        _ if scalar.place.lent => Some(&source[scalar.place.inside()]),
        Value::Text(text) => Some(text),
        _ => None,
    }
}
