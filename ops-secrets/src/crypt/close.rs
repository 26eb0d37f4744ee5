//! Encrypting a document.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use super::batch::{BIG, Closing, Sealed};
use super::mac::Mac;
use super::proof::Leaves;
use super::{Fault, Making, Stash, shown};
use crate::cipher::{self, Cipher, Nonces};
use crate::format::Format;
use crate::patch::Patch;
use crate::rules::Rules;
use crate::tree::{Comment, Place, Scalar, Style, Tree, Value};
use crate::walk::{Spot, Visitor, walk};
use crate::{ini, yaml};

/// What encrypting a text found out.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    /// Values that were encrypted.
    pub sealed: usize,
    /// Values that are left in plain text, though there is something to hide in them.
    pub plain: usize,
}

/// The encrypted values of a text.
pub struct Closed {
    /// What puts them into the source.
    pub patch: Patch,
    /// What was encrypted.
    pub counts: Counts,
    /// The MAC of the values that went in.
    pub mac: String,
    /// What the text must read back as.
    pub leaves: Leaves,
}

/// Encrypts a plain tree of `source`.
pub fn close(
    making: Making<'_>,
    source: &str,
    tree: &mut Tree,
    rules: &Rules,
    stash: &mut Stash,
) -> Result<Closed, Fault> {
    let Making {
        format,
        key,
        indent,
        ..
    } = making;
    let step = yaml::step(tree, indent.yaml);
    let cipher = Cipher::new(key);
    let flat = format == Format::Dotenv;
    let Sealed { texts, places } =
        if stash.is_empty() && format != Format::Binary && source.len() >= BIG {
            let mut ahead = Closing::new(&cipher);
            walk(tree, rules, flat, &mut ahead)?;
            ahead.finish()?
        } else {
            Sealed::default()
        };
    let leaves = Leaves::of(format, source, tree, places.len());
    let mut patch = Patch::with_capacity(places.len() + 1, 0);
    patch.store(texts);
    let mut closer = Closer {
        format,
        source,
        step,
        rules,
        cipher,
        nonces: Nonces::default(),
        ready: places.into_iter(),
        mac: Mac::new(rules.mac_only_encrypted),
        // No star, no alias.
        bound: (format == Format::Yaml && source.contains('*')).then(HashMap::new),
        stash,
        patch,
        counts: Counts::default(),
        leaves,
    };
    walk(tree, rules, flat, &mut closer)?;
    let Closer {
        patch,
        counts,
        mac,
        leaves,
        ..
    } = closer;
    Ok(Closed {
        patch,
        counts,
        mac: mac.finish(),
        leaves,
    })
}

struct Closer<'c> {
    format: Format,
    source: &'c str,
    step: usize,
    rules: &'c Rules,
    cipher: Cipher,
    nonces: Nonces,
    /// What was encrypted ahead: its places in the stores of the patch.
    ready: std::vec::IntoIter<(usize, Range<usize>)>,
    mac: Mac,
    /// The paths that ciphertexts are bound to, by the places of their scalars, where an alias may ask for them.
    bound: Option<HashMap<usize, String>>,
    stash: &'c mut Stash,
    patch: Patch,
    counts: Counts,
    leaves: Leaves,
}

impl Closer<'_> {
    fn sealed(&mut self, value: &Value, path: &str) -> Result<String, Fault> {
        if let Some(sealed) = self.stash.take(path, value) {
            return Ok(sealed);
        }
        let sealed = self.cipher.seal(&mut self.nonces, value, path);
        sealed.map_err(|source| Self::failed(path, source))
    }

    /// The one value of a binary file, encrypted where it stands in memory.
    fn sealed_own(&mut self, value: Value, path: &str) -> Result<String, Fault> {
        let sealed = self.cipher.seal_own(&mut self.nonces, value, path);
        sealed.map_err(|source| Self::failed(path, source))
    }

    /// Puts a ciphertext that was made ahead into the place of its value.
    fn put_ready(&mut self, scalar: &Scalar, spot: &Spot<'_>, number: usize, part: Range<usize>) {
        let sealed = self.patch.stored(number, part.clone());
        self.leaves.closed(spot.path, sealed);
        let place = &scalar.place;
        if self.format == Format::Json && place.style == Style::Double {
            // The quotes are there already.
            return self.patch.put_stored(place.inside(), number, part);
        }
        let span = place.span.clone();
        match (self.format).conceal(sealed, scalar, self.source, self.step) {
            Cow::Borrowed(_) => self.patch.put_stored(span, number, part),
            Cow::Owned(spelled) => self.patch.put(span, spelled.into()),
        }
    }

    /// A copy reads as what stands at its anchor: plain text stays plain text, and ciphertext opens under its own path only,
    /// which is that of the elements of one list.
    fn shared(&mut self, place: &Place, spot: &Spot<'_>) -> Result<(), Fault> {
        let bound = (self.bound.as_ref()).and_then(|bound| bound.get(&place.anchor));
        match bound {
            None if !spot.selected => self.counts.plain += 1,
            Some(path) if spot.selected && path == spot.path => self.counts.sealed += 1,
            _ => {
                return Err(Self::refuse(
                    &place.span,
                    "an alias and its anchor share a value if both are plain or both are encrypted under one path: write it out here",
                ));
            }
        }
        Ok(())
    }

    /// A block at the very end gets the sign that it needs there, where no ciphertext brings it.
    fn close_block(&mut self, scalar: &Scalar, covered: bool) {
        let (place, sign) = (&scalar.place, scalar.place.sign);
        if self.format != Format::Yaml || (covered && sign == place.span.start) {
            return;
        }
        if let Some((old, signs)) = yaml::emit::unbroken(&scalar.value, place, self.source) {
            self.patch.put(old, signs.into());
        }
    }

    fn failed(path: &str, source: cipher::Fault) -> Fault {
        Fault::Close {
            path: shown(path),
            source,
        }
    }

    fn refuse(at: &Range<usize>, message: impl Into<String>) -> Fault {
        Fault::Place {
            at: at.start,
            message: message.into(),
        }
    }
}

impl Visitor for Closer<'_> {
    type Error = Fault;

    fn value(&mut self, scalar: &mut Scalar, spot: &Spot<'_>) -> Result<(), Fault> {
        self.mac.add(&scalar.value, spot.selected);
        let empty = scalar.value.is_empty();
        if scalar.place.alias {
            self.leaves.shared(spot.path);
            return if empty {
                Ok(())
            } else {
                self.shared(&scalar.place, spot)
            };
        }
        self.close_block(scalar, spot.selected && !empty);
        if empty || !spot.selected {
            self.counts.plain += usize::from(!empty);
            self.leaves.plain(spot.path, &scalar.value);
            return Ok(());
        }
        let span = scalar.place.span.clone();
        if scalar.place.typed {
            return Err(Self::refuse(
                &span,
                "the tag of this value does not fit ciphertext: take it away or quote the value",
            ));
        }
        self.counts.sealed += 1;
        if let Some(bound) = &mut self.bound {
            bound.insert(span.start, spot.path.to_owned());
        }
        if self.format == Format::Binary {
            let sealed = self.sealed_own(std::mem::take(&mut scalar.value), spot.path)?;
            self.leaves.closed(spot.path, &sealed);
            self.patch.put(span.start + 1..span.end - 1, sealed.into());
            return Ok(());
        }
        if let Some((number, part)) = self.ready.next() {
            self.put_ready(scalar, spot, number, part);
            return Ok(());
        }
        let sealed = self.sealed(&scalar.value, spot.path)?;
        self.leaves.closed(spot.path, &sealed);
        let spelled = (self.format).conceal(&sealed, scalar, self.source, self.step);
        self.patch.put(span, spelled);
        Ok(())
    }

    fn comment(&mut self, comment: &mut Comment, spot: &Spot<'_>) -> Result<(), Fault> {
        if !spot.selected
            || comment.text.is_empty()
            || comment.alias
            || cipher::is_sealed(&comment.text)
        {
            return Ok(());
        }
        let value = Value::Comment(comment.text.clone());
        let sealed = self.sealed(&value, spot.path)?;
        if self.rules.marks_plain(&sealed) {
            return Err(Self::refuse(
                &comment.span,
                "'unencrypted_comment_regex' matches the ciphertext of this comment",
            ));
        }
        let dashed = !self.rules.by_comments()
            && comment.alone
            && spot.list.is_some_and(|(column, flow)| {
                !flow && column == comment.column && self.format == Format::Yaml
            });
        let spelled = match self.format {
            Format::Ini => ini::comment_text(&self.source[comment.span.clone()], &sealed),
            _ if dashed => {
                // It reads as an element.
                self.leaves.closed(spot.path, &sealed);
                format!("- {sealed}")
            }
            _ => format!("#{sealed}"),
        };
        self.patch.put(comment.span.clone(), spelled.into());
        Ok(())
    }
}
