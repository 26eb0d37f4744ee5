//! The proof that a text that was just written reads as what went into it: every leaf stands in its place, and every
//! ciphertext is whole and under the path that it is bound to. What could not be read back does not leave.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::{Fault, text_of};
use crate::cipher;
use crate::format::Format;
use crate::rules::Rules;
use crate::tree::{Comment, Scalar, Value};
use crate::walk::{Spot, Visitor, walk};

/// What reading must meet, leaf by leaf: a digest of each.
#[derive(Default, PartialEq, Eq)]
pub struct Leaves {
    values: Vec<u64>,
    /// Comments of sequences, which read as elements. The order of these does not matter.
    comments: Vec<u64>,
}

impl Leaves {
    pub(super) fn with_capacity(count: usize) -> Self {
        Self {
            values: Vec::with_capacity(count),
            comments: Vec::new(),
        }
    }

    /// A ciphertext.
    pub(super) fn closed(&mut self, path: &str, sealed: &str) {
        let bytes = sealed.as_bytes();
        // A block has a line break at its end.
        let length = bytes.iter().rposition(|c| *c == b']').unwrap_or(0);
        // The end has its tag, which is that of no other.
        let end = &bytes[length.saturating_sub(64)..length];
        let leaf = digest(("closed", path, length, end));
        if end.ends_with(COMMENT) {
            self.comments.push(leaf);
        } else {
            self.values.push(leaf);
        }
    }

    /// A value that stays as it is.
    pub(super) fn plain(&mut self, path: &str, value: &Value) {
        let (null, kind) = (*value == Value::Null, cipher::kind(value));
        let leaf = digest(("plain", null, kind, path, &*cipher::encode(value)));
        self.values.push(leaf);
    }

    /// What stands elsewhere, and is reached through an alias.
    pub(super) fn shared(&mut self, path: &str) {
        self.values.push(digest(("shared", path)));
    }
}

/// How the ciphertext of a comment ends.
const COMMENT: &[u8] = b",type:comment";

fn digest(leaf: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    leaf.hash(&mut hasher);
    hasher.finish()
}

/// Parses a written text, and goes through it as decrypting would. Gives the number of its documents.
pub(super) fn prove(
    format: Format,
    text: &str,
    rules: &Rules,
    mut leaves: Leaves,
) -> Result<usize, Fault> {
    let mut tree = format.parse_encrypted(text).map_err(|_| Fault::Changed)?;
    let mut reader = Reader {
        source: text,
        leaves: Leaves::with_capacity(leaves.values.len()),
    };
    walk(&mut tree, rules, format == Format::Dotenv, &mut reader)?;
    leaves.comments.sort_unstable();
    reader.leaves.comments.sort_unstable();
    if reader.leaves == leaves {
        Ok(tree.documents.len())
    } else {
        Err(Fault::Changed)
    }
}

struct Reader<'r> {
    source: &'r str,
    leaves: Leaves,
}

impl Visitor for Reader<'_> {
    type Error = Fault;

    fn value(&mut self, scalar: &mut Scalar, spot: &Spot<'_>) -> Result<(), Fault> {
        let text = text_of(self.source, scalar).filter(|text| !text.is_empty());
        match text {
            // In a copy, comments were not met either.
            Some(text) if scalar.place.alias && text.contains(",type:comment]") => {}
            _ if scalar.place.alias => self.leaves.shared(spot.path),
            Some(text) if spot.selected => self.leaves.closed(spot.path, text),
            _ => {
                scalar.own(self.source);
                self.leaves.plain(spot.path, &scalar.value);
            }
        }
        Ok(())
    }

    fn comment(&mut self, _: &mut Comment, _: &Spot<'_>) -> Result<(), Fault> {
        Ok(())
    }
}
