//! Encrypting and decrypting a document: edits of its text, with the MAC of sops and the seal of ours.

mod batch;
mod close;
mod mac;
mod open;
mod rekey;
mod stash;

use zeroize::Zeroizing;

use crate::cipher::{self, Cipher, DataKey, Nonces};
use crate::format::{Format, Indent};
use crate::metadata::{self, Metadata};
use crate::patch::Patch;
use crate::tree::{Data, Scalar, Syntax, Tree, Value};
pub use close::{Closed, Counts, close};
pub use open::{Checks, Keep, Opened, Reading, SealState, open};
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

/// Stands in the place of a seal until that is known: as long, and written alike in every format.
const NO_SEAL_YET: &str = "v1:0000000000000000000000000000000000000000000000000000000000000000";

/// Puts values that were just encrypted into their source, with MAC, time and seal in the metadata. The text is decrypted
/// again for it: what could not be read back, or reads back as other values than went in, does not leave.
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
    let mut text = embedded(making, source, &tree, closed.patch, metadata);
    drop(tree);
    let opened = read_back(making, &text, metadata)?;
    if opened.mac != closed.mac {
        return Err(Fault::Changed);
    }
    put_seal(making, &mut text, &opened, metadata)?;
    Ok(text)
}

/// Puts other metadata into an encrypted text, with a fresh seal if it is to have one.
pub fn embed(
    making: Making<'_>,
    source: &str,
    tree: &Tree,
    metadata: &mut Metadata,
) -> Result<Zeroizing<String>, Fault> {
    let mut text = embedded(making, source, tree, Patch::default(), metadata);
    if making.sealed {
        let opened = read_back(making, &text, metadata)?;
        put_seal(making, &mut text, &opened, metadata)?;
    }
    Ok(text)
}

/// The source with its changes and the metadata, in which the seal is missing yet.
fn embedded(
    making: Making<'_>,
    source: &str,
    tree: &Tree,
    mut patch: Patch,
    metadata: &mut Metadata,
) -> Zeroizing<String> {
    metadata.remove(metadata::SEAL);
    if making.sealed {
        metadata.put(metadata::SEAL, Data::text(NO_SEAL_YET));
    }
    let fields = metadata.fields();
    patch.extend(making.format.embed(source, tree, fields, making.indent));
    patch.apply(source)
}

/// Opens a text that was just written.
fn read_back(making: Making<'_>, text: &str, metadata: &Metadata) -> Result<Opened, Fault> {
    let reading = Reading {
        format: making.format,
        source: text,
        metadata,
        key: making.key,
        indent: making.indent,
    };
    let tree = (making.format.parse_encrypted(text)).map_err(Fault::Syntax)?;
    open(reading, tree, Checks::NONE, Keep::Nothing)
}

/// Puts the seal into its place, in every document.
fn put_seal(
    making: Making<'_>,
    text: &mut String,
    opened: &Opened,
    metadata: &mut Metadata,
) -> Result<(), Fault> {
    if !making.sealed {
        return Ok(());
    }
    for document in &opened.tree.documents {
        let field = making.format.field(&document.root, metadata::SEAL);
        let place = field.ok_or(Fault::Changed)?.span();
        let inside = text[place.clone()].find(NO_SEAL_YET);
        let start = place.start + inside.ok_or(Fault::Changed)?;
        text.replace_range(start..start + NO_SEAL_YET.len(), &opened.fresh_seal);
    }
    metadata.put(metadata::SEAL, Data::text(opened.fresh_seal.as_str()));
    Ok(())
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
