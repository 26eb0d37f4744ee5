//! Another data key.

use std::ops::Range;

use super::mac::Mac;
use super::proof::Leaves;
use super::{Closed, Counts, Fault, shown, text_of};
use crate::cipher::{self, Cipher, DataKey, Nonces};
use crate::format::Format;
use crate::metadata::Metadata;
use crate::patch::Patch;
use crate::tree::{Comment, Scalar, Tree, Value};
use crate::walk::{Spot, Visitor, walk};

/// Encrypts every value of an encrypted text anew, with another key, each in its place.
pub fn rekey(
    format: Format,
    source: &str,
    tree: &mut Tree,
    metadata: &Metadata,
    old: &DataKey,
    new: &DataKey,
) -> Result<Closed, Fault> {
    let rules = metadata.rules(format)?;
    let mut rekeyer = Rekeyer {
        source,
        old: Cipher::new(old),
        new: Cipher::new(new),
        nonces: Nonces::default(),
        mac: Mac::new(rules.mac_only_encrypted),
        patch: Patch::default(),
        leaves: Leaves::default(),
    };
    walk(tree, &rules, format == Format::Dotenv, &mut rekeyer)?;
    Ok(Closed {
        patch: rekeyer.patch,
        counts: Counts::default(),
        mac: rekeyer.mac.finish(),
        leaves: rekeyer.leaves,
    })
}

struct Rekeyer<'r> {
    source: &'r str,
    old: Cipher,
    new: Cipher,
    nonces: Nonces,
    mac: Mac,
    patch: Patch,
    leaves: Leaves,
}

impl Rekeyer<'_> {
    /// Replaces the ciphertext inside a span; gives the new one.
    fn replace(
        &mut self,
        span: &Range<usize>,
        old: &str,
        value: &Value,
        path: &str,
    ) -> Result<String, Fault> {
        let sealed = self
            .new
            .seal(&mut self.nonces, value, path)
            .map_err(|source| Fault::Close {
                path: shown(path),
                source,
            })?;
        let end = old.find(']').map_or(old.len(), |at| at + 1);
        let inside = self.source[span.clone()].find(&old[..end]);
        let Some(at) = inside else {
            return Err(Fault::Place {
                at: span.start,
                message: "the ciphertext is not written in one piece".to_owned(),
            });
        };
        let start = span.start + at;
        self.patch.put(start..start + end, sealed.as_str().into());
        Ok(sealed)
    }
}

impl Visitor for Rekeyer<'_> {
    type Error = Fault;

    fn value(&mut self, scalar: &mut Scalar, spot: &Spot<'_>) -> Result<(), Fault> {
        if spot.selected
            && let Some(text) = text_of(self.source, scalar)
            && !text.is_empty()
        {
            let value = (self.old.open(text, spot.path)).map_err(|source| Fault::Open {
                path: shown(spot.path),
                source,
            })?;
            if !scalar.place.alias {
                let text = text.to_owned();
                let sealed = self.replace(&scalar.place.span, &text, &value, spot.path)?;
                self.leaves.closed(spot.path, &sealed);
            } else if !matches!(value, Value::Comment(_)) {
                self.leaves.shared(spot.path);
            }
            scalar.place.lent = false;
            scalar.value = value;
        } else {
            scalar.own(self.source);
            if scalar.place.alias {
                self.leaves.shared(spot.path);
            } else {
                self.leaves.plain(spot.path, &scalar.value);
            }
        }
        self.mac.add(&scalar.value, spot.selected);
        Ok(())
    }

    fn comment(&mut self, comment: &mut Comment, spot: &Spot<'_>) -> Result<(), Fault> {
        if !spot.selected || comment.alias || !cipher::is_sealed(&comment.text) {
            return Ok(());
        }
        let mut paths = std::iter::once(spot.path).chain(spot.around.iter().copied());
        let opened = paths.find_map(|path| {
            self.old
                .open(&comment.text, path)
                .ok()
                .map(|value| (path.to_owned(), value))
        });
        match opened {
            Some((path, value)) => {
                self.replace(&comment.span, &comment.text, &value, &path)?;
                Ok(())
            }
            None => Ok(()),
        }
    }
}
