//! Decrypting a document.

use std::borrow::Cow;

use zeroize::Zeroizing;

use super::batch::{BIG, Opening};
use super::mac::Mac;
use super::{Fault, shown, text_of};
use crate::cipher::{self, Cipher, DataKey};
use crate::format::{Format, Indent};
use crate::metadata::{self, Metadata};
use crate::patch::Patch;
use crate::rules::Rules;
use crate::tree::{Comment, Scalar, Style, Tree, Value};
use crate::walk::{Spot, Visitor, walk};
use crate::{ini, json, seal, yaml};

/// Whether a file carries a seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealState {
    /// It does, and it fits.
    Fits,
    /// It does not.
    Absent,
}

/// A decrypted document.
pub struct Opened {
    /// The plain text, as the author wrote it, without metadata. Nothing, if one value only was asked for.
    pub text: Zeroizing<Vec<u8>>,
    /// The tree of the encrypted text, its values decrypted.
    pub tree: Tree,
    /// Whether it is sealed.
    pub seal: SealState,
    /// Comments that could not be decrypted.
    pub odd_comments: usize,
    /// How many values are encrypted.
    pub sealed_values: usize,
    /// Path, value and ciphertext of each.
    pub(super) sealed: Vec<(String, Value, String)>,
}

impl Opened {
    /// A part of a document whose seal fits.
    pub(crate) fn part(tree: Tree) -> Self {
        Self {
            text: Zeroizing::default(),
            tree,
            seal: SealState::Fits,
            odd_comments: 0,
            sealed_values: 0,
            sealed: Vec::new(),
        }
    }
}

/// What to check when opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checks {
    /// The MAC of sops.
    pub mac: bool,
    /// Our seal, where there is one.
    pub seal: bool,
}

impl Checks {
    /// Everything.
    pub const ALL: Self = Self {
        mac: true,
        seal: true,
    };
    /// Nothing.
    pub const NONE: Self = Self {
        mac: false,
        seal: false,
    };
}

/// What to remember of an opened document beside its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Nothing more.
    Nothing,
    /// The ciphertexts, so that those of values that stay can be used again.
    Ciphertexts,
}

/// An encrypted text, and what it takes to read it.
#[derive(Clone, Copy)]
pub struct Reading<'r> {
    /// Its format.
    pub format: Format,
    /// The text.
    pub source: &'r str,
    /// Its metadata.
    pub metadata: &'r Metadata,
    /// The data key.
    pub key: &'r DataKey,
    /// The indentation where the text shows none.
    pub indent: &'r Indent,
}

/// Decrypts an encrypted text that has been parsed into a tree.
pub fn open(
    reading: Reading<'_>,
    mut tree: Tree,
    checks: Checks,
    keep: Keep,
) -> Result<Opened, Fault> {
    let (format, source, metadata) = (reading.format, reading.source, reading.metadata);
    let rules = metadata.rules(format)?;
    let cipher = Cipher::new(reading.key);
    let ready = ahead(&cipher, reading, &mut tree, &rules)?;
    let patch = Patch::with_capacity(ready.len() + 1, ready.as_slice().iter().map(size).sum());
    let mut opener = Opener {
        format,
        source,
        step: yaml::step(&tree, reading.indent.yaml),
        cipher: &cipher,
        ready,
        mac: Mac::new(rules.mac_only_encrypted),
        patch,
        odd_comments: 0,
        sealed_values: 0,
        keep: keep == Keep::Ciphertexts && format != Format::Binary,
        sealed: Vec::new(),
    };
    walk(&mut tree, &rules, format == Format::Dotenv, &mut opener)?;
    let Opener {
        mut patch,
        mac,
        odd_comments,
        sealed_values,
        sealed,
        ..
    } = opener;
    patch.extend(format.strip(source, &tree));
    let text = plain_text(format, source, &mut tree, patch)?;
    if checks.mac {
        check_mac(&cipher, metadata, &mac.finish())?;
    }
    let seal = match metadata.text(metadata::SEAL) {
        Some(_) if checks.seal => check_seal(reading)?,
        Some(_) => SealState::Fits,
        None => SealState::Absent,
    };
    Ok(Opened {
        text,
        tree,
        seal,
        odd_comments,
        sealed_values,
        sealed,
    })
}

fn plain_text(
    format: Format,
    source: &str,
    tree: &mut Tree,
    patch: Patch,
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    if format != Format::Binary {
        return Ok(Zeroizing::new(
            std::mem::take(&mut *patch.apply(source)).into_bytes(),
        ));
    }
    // The bytes move from the tree into the text: there is one copy of them.
    match tree.documents[0].root.leaf_mut("data").map(std::mem::take) {
        Some(Value::Text(mut text)) => Ok(Zeroizing::new(std::mem::take(&mut *text).into_bytes())),
        Some(Value::Bytes(bytes)) => Ok(bytes),
        _ => Err(Fault::Unwritable("data".to_owned())),
    }
}

/// The values of a big document, decrypted ahead of the walk that needs them.
fn ahead(
    cipher: &Cipher,
    reading: Reading<'_>,
    tree: &mut Tree,
    rules: &Rules,
) -> Result<std::vec::IntoIter<Result<Value, cipher::Fault>>, Fault> {
    let mut opening = Opening::new(cipher, reading.source);
    if reading.format != Format::Binary && reading.source.len() >= BIG {
        walk(tree, rules, reading.format == Format::Dotenv, &mut opening)?;
    }
    Ok(opening.finish())
}

/// How long a text is; other values are written without being kept.
fn size(value: &Result<Value, cipher::Fault>) -> usize {
    match value {
        Ok(Value::Text(text)) => text.len(),
        _ => 0,
    }
}

/// Checks the seal, if there is one.
pub fn check_seal(reading: Reading<'_>) -> Result<SealState, Fault> {
    let Some(found) = reading.metadata.text(metadata::SEAL) else {
        return Ok(SealState::Absent);
    };
    if let Some(version) = seal::unknown_version(&found) {
        return Err(Fault::SealVersion(version.to_owned()));
    }
    if seal::fits(reading.key, reading.format, reading.source, &found) {
        Ok(SealState::Fits)
    } else {
        Err(Fault::Seal)
    }
}

fn check_mac(cipher: &Cipher, metadata: &Metadata, computed: &str) -> Result<(), Fault> {
    let stored = metadata.text("mac").ok_or(metadata::Fault::Field("mac"))?;
    match cipher.open(&stored, &metadata.last_modified()?) {
        Ok(Value::Text(stored)) if stored.as_str() == computed => Ok(()),
        Ok(_) => Err(Fault::Mac),
        Err(fault) => Err(Fault::MacUnreadable(fault)),
    }
}

/// The ciphertext of a value, if it must be one; the empty text and null are never encrypted.
pub(super) fn ciphertext<'t>(
    source: &'t str,
    scalar: &'t Scalar,
    spot: &Spot<'_>,
) -> Result<Option<&'t str>, Fault> {
    if !spot.selected || (!scalar.place.lent && scalar.value == Value::Null) {
        return Ok(None);
    }
    let text = text_of(source, scalar).ok_or_else(|| Fault::Plain(shown(spot.path)))?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// Why a value did not open.
pub(super) fn failed(source: cipher::Fault, path: &str) -> Fault {
    let path = shown(path);
    match source {
        cipher::Fault::NotSealed => Fault::Plain(path),
        source => Fault::Open { path, source },
    }
}

struct Opener<'o> {
    format: Format,
    source: &'o str,
    step: usize,
    cipher: &'o Cipher,
    /// What was decrypted ahead.
    ready: std::vec::IntoIter<Result<Value, cipher::Fault>>,
    mac: Mac,
    patch: Patch,
    odd_comments: usize,
    sealed_values: usize,
    /// Whether ciphertexts are remembered. A binary file is one value: nothing could stay when it changes.
    keep: bool,
    sealed: Vec<(String, Value, String)>,
}

impl Visitor for Opener<'_> {
    type Error = Fault;

    fn value(&mut self, scalar: &mut Scalar, spot: &Spot<'_>) -> Result<(), Fault> {
        if let Some(text) = ciphertext(self.source, scalar, spot)? {
            let ahead = scalar.place.lent.then(|| self.ready.next()).flatten();
            let value = ahead.unwrap_or_else(|| self.cipher.open(text, spot.path));
            let value = value.map_err(|source| failed(source, spot.path))?;
            self.sealed_values += 1;
            if self.keep {
                let (path, sealed) = (spot.path.to_owned(), text.to_owned());
                self.sealed.push((path, value.clone(), sealed));
            }
            scalar.value = value;
            scalar.place.lent = false;
            self.write(scalar, spot)?;
        }
        scalar.own(self.source);
        self.mac.add(&scalar.value, spot.selected);
        Ok(())
    }

    fn comment(&mut self, comment: &mut Comment, spot: &Spot<'_>) -> Result<(), Fault> {
        if comment.alias || !spot.selected || !cipher::is_sealed(&comment.text) {
            return Ok(());
        }
        let mut paths = std::iter::once(spot.path).chain(spot.around.iter().copied());
        let opened = paths.find_map(|path| {
            self.cipher
                .open(&comment.text, path)
                .ok()
                .map(|value| (path, value))
        });
        let Some((path, Value::Comment(text))) = opened else {
            self.odd_comments += 1;
            return Ok(());
        };
        self.sealed_values += 1;
        if self.keep {
            let (path, value) = (path.to_owned(), Value::Comment(text.clone()));
            self.sealed.push((path, value, comment.text.to_string()));
        }
        let spelled = match self.format {
            Format::Ini => ini::comment_text(&self.source[comment.span.clone()], &text),
            _ => commented(&text, comment.column),
        };
        comment.text = text;
        self.patch.put(comment.span.clone(), spelled.into());
        Ok(())
    }
}

fn commented(text: &str, column: usize) -> String {
    let blanks = " ".repeat(column);
    text.split('\n')
        .map(|line| format!("#{line}"))
        .collect::<Vec<_>>()
        .join(&format!("\n{blanks}"))
}

impl Opener<'_> {
    fn write(&mut self, scalar: &Scalar, spot: &Spot<'_>) -> Result<(), Fault> {
        if scalar.place.alias || self.format == Format::Binary {
            return Ok(());
        }
        if let (Value::Comment(text), Some((column, flow))) = (&scalar.value, spot.list) {
            let (span, spelled) = if flow || self.format != Format::Yaml {
                (scalar.place.span.clone(), Cow::Borrowed("null"))
            } else {
                let dash =
                    spot.region.start + self.source[spot.region.clone()].find('-').unwrap_or(0);
                (dash..scalar.place.span.end, commented(text, column).into())
            };
            self.patch.put(span, spelled);
            return Ok(());
        }
        if let (Format::Json, Style::Double, Value::Text(text)) =
            (self.format, scalar.place.style, &scalar.value)
            && json::is_bare(text)
        {
            // The quotes are there already.
            self.patch.put(scalar.place.inside(), Cow::Borrowed(text));
            return Ok(());
        }
        let spelled = self
            .format
            .respell(&scalar.value, &scalar.place, self.source, self.step);
        let spelled = spelled.ok_or_else(|| Fault::Unwritable(shown(spot.path)))?;
        self.patch.put(scalar.place.span.clone(), spelled);
        Ok(())
    }
}
