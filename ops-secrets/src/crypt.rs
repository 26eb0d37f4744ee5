//! Encrypting and decrypting a document: edits of its text, with the MAC of sops and the seal of ours.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

use crate::cipher::{self, Cipher, DataKey};
use crate::format::{Format, Indent};
use crate::metadata::{self, Metadata};
use crate::rules::Rules;
use crate::seal::{self, Seal};
use crate::tree::{self, Comment, Data, Edit, Scalar, Syntax, Tree, Value};
use crate::walk::{Spot, Visitor, walk};
use crate::{ini, yaml};

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
    /// The plain text, as the author wrote it, without metadata.
    pub text: Zeroizing<Vec<u8>>,
    /// The tree of the encrypted text, its values decrypted.
    pub tree: Tree,
    /// What was computed over the values: sops's MAC, in hexadecimal.
    pub mac: String,
    /// Whether it is sealed.
    pub seal: SealState,
    /// The seal that it should have.
    pub fresh_seal: String,
    /// Comments that could not be decrypted.
    pub odd_comments: usize,
    /// How many values are encrypted.
    pub sealed_values: usize,
    sealed: Vec<(String, Value, String)>,
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

/// Decrypts an encrypted text.
pub fn open(
    format: Format,
    source: &str,
    metadata: &Metadata,
    key: &DataKey,
    checks: Checks,
    indent: &Indent,
) -> Result<Opened, Fault> {
    let mut tree = format.parse(source).map_err(Fault::Syntax)?;
    let rules = metadata.rules(format)?;
    let mut opener = Opener {
        format,
        source,
        step: yaml::step(&tree, indent.yaml),
        cipher: Cipher::new(key),
        mac: Mac::new(rules.mac_only_encrypted),
        seal: Seal::new(key, format, metadata)?,
        edits: Vec::new(),
        odd_comments: 0,
        sealed_values: 0,
        sealed: Vec::new(),
    };
    walk(&mut tree, &rules, format == Format::Dotenv, &mut opener)?;
    let Opener {
        mut edits,
        mac,
        mut seal,
        odd_comments,
        sealed_values,
        sealed,
        cipher,
        ..
    } = opener;
    let mac = mac.finish();
    if checks.mac {
        check_mac(&cipher, metadata, &mac)?;
    }
    edits.extend(format.strip(source, &tree));
    let text = plain_text(format, source, &mut tree, edits)?;
    seal.text(&text);
    let fresh_seal = seal.finish();
    let seal = match metadata.text(metadata::SEAL) {
        Some(found) if checks.seal && found != fresh_seal => return Err(Fault::Seal),
        Some(_) => SealState::Fits,
        None => SealState::Absent,
    };
    Ok(Opened {
        text,
        tree,
        mac,
        seal,
        fresh_seal,
        odd_comments,
        sealed_values,
        sealed,
    })
}

fn plain_text(
    format: Format,
    source: &str,
    tree: &mut Tree,
    edits: Vec<Edit>,
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    if format != Format::Binary {
        return Ok(Zeroizing::new(
            std::mem::take(&mut *tree::apply(source, edits)).into_bytes(),
        ));
    }
    // The bytes move from the tree into the text: there is one copy of them.
    match tree.documents[0].root.leaf_mut("data").map(std::mem::take) {
        Some(Value::Text(mut text)) => Ok(Zeroizing::new(std::mem::take(&mut *text).into_bytes())),
        Some(Value::Bytes(bytes)) => Ok(bytes),
        _ => Err(Fault::Unwritable("data".to_owned())),
    }
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

fn check_mac(cipher: &Cipher, metadata: &Metadata, computed: &str) -> Result<(), Fault> {
    let stored = metadata.text("mac").ok_or(metadata::Fault::Field("mac"))?;
    match cipher.open(&stored, &metadata.last_modified()?) {
        Ok(Value::Text(stored)) if stored.as_str() == computed => Ok(()),
        Ok(_) => Err(Fault::Mac),
        Err(fault) => Err(Fault::MacUnreadable(fault)),
    }
}

/// sops's MAC: a digest of the typed values, in order.
struct Mac {
    digest: Sha512,
    only_encrypted: bool,
}

impl Mac {
    fn new(only_encrypted: bool) -> Self {
        let mut digest = Sha512::new();
        if only_encrypted {
            digest.update(sha2::Sha256::digest(b"sops"));
        }
        Self {
            digest,
            only_encrypted,
        }
    }

    fn add(&mut self, value: &Value, selected: bool) {
        if (selected || !self.only_encrypted) && !matches!(value, Value::Comment(_)) {
            self.digest.update(&*cipher::encode(value));
        }
    }

    fn finish(self) -> String {
        seal::hexadecimal(&self.digest.finalize()).to_uppercase()
    }
}

struct Opener<'o> {
    format: Format,
    source: &'o str,
    step: usize,
    cipher: Cipher,
    mac: Mac,
    seal: Seal,
    edits: Vec<Edit>,
    odd_comments: usize,
    sealed_values: usize,
    sealed: Vec<(String, Value, String)>,
}

/// A path as people read it.
fn shown(path: &str) -> String {
    path.trim_end_matches(':').replace(':', ".")
}

impl Visitor for Opener<'_> {
    type Error = Fault;

    fn value(&mut self, scalar: &mut Scalar, spot: &Spot<'_>) -> Result<(), Fault> {
        if spot.selected && scalar.value != Value::Null {
            let Some(text) = text_of(self.format, self.source, scalar) else {
                return Err(Fault::Plain(shown(spot.path)));
            };
            if !text.is_empty() {
                let value = self
                    .cipher
                    .open(text, spot.path)
                    .map_err(|source| match source {
                        cipher::Fault::NotSealed => Fault::Plain(shown(spot.path)),
                        source => Fault::Open {
                            path: shown(spot.path),
                            source,
                        },
                    })?;
                self.sealed_values += 1;
                // A binary file is one value: there is nothing that could stay when it changes.
                if self.format != Format::Binary {
                    let (path, sealed) = (spot.path.to_owned(), text.to_owned());
                    self.sealed.push((path, value.clone(), sealed));
                }
                scalar.value = value;
                self.write(scalar, spot)?;
            }
        }
        self.mac.add(&scalar.value, spot.selected);
        self.seal.value(&scalar.value, spot.path);
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
        self.sealed.push((
            path.to_owned(),
            Value::Comment(text.clone()),
            comment.text.to_string(),
        ));
        let spelled = match self.format {
            Format::Ini => ini::comment_text(&self.source[comment.span.clone()], &text),
            _ => commented(&text, comment.column),
        };
        comment.text = text;
        self.edits.push(Edit::new(comment.span.clone(), spelled));
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
                (scalar.place.span.clone(), "null".to_owned())
            } else {
                let dash =
                    spot.region.start + self.source[spot.region.clone()].find('-').unwrap_or(0);
                (dash..scalar.place.span.end, commented(text, column))
            };
            self.edits.push(Edit::new(span, spelled));
            return Ok(());
        }
        let spelled = self
            .format
            .respell(&scalar.value, &scalar.place, self.source, self.step);
        let spelled = spelled.ok_or_else(|| Fault::Unwritable(shown(spot.path)))?;
        self.edits
            .push(Edit::new(scalar.place.span.clone(), spelled));
        Ok(())
    }
}

/// Ciphertexts of a file as it was, by path and value: what did not change keeps its ciphertext. Each is given out once,
/// so that equal values never share one.
#[derive(Default)]
pub struct Stash(HashMap<(String, Vec<u8>), VecDeque<String>>);

impl Stash {
    /// The ciphertexts of an opened document.
    #[must_use]
    pub fn of(opened: Opened) -> Self {
        let mut stash = Self::default();
        for (path, value, sealed) in opened.sealed {
            stash
                .0
                .entry((path, stash_key(&value)))
                .or_default()
                .push_back(sealed);
        }
        stash
    }

    fn take(&mut self, path: &str, value: &Value) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        self.0
            .get_mut(&(path.to_owned(), stash_key(value)))?
            .pop_front()
    }
}

fn stash_key(value: &Value) -> Vec<u8> {
    let mut key = cipher::kind(value).as_bytes().to_vec();
    key.extend_from_slice(&cipher::encode(value));
    key
}

impl Drop for Stash {
    fn drop(&mut self) {
        for ((_, mut value), _) in self.0.drain() {
            zeroize::Zeroize::zeroize(&mut value);
        }
    }
}

/// What encrypting a text found out.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    /// Values that were encrypted.
    pub sealed: usize,
    /// Values that are left in plain text, though there is something to hide in them.
    pub plain: usize,
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

/// An encrypted text without metadata.
pub struct Closed {
    /// The text.
    pub text: Zeroizing<String>,
    /// What was encrypted.
    pub counts: Counts,
    /// The MAC of the values that went in.
    pub mac: String,
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
    let mut closer = Closer {
        format,
        source,
        step,
        rules,
        cipher: Cipher::new(key),
        mac: Mac::new(rules.mac_only_encrypted),
        stash,
        edits: Vec::new(),
        counts: Counts::default(),
    };
    walk(tree, rules, format == Format::Dotenv, &mut closer)?;
    let Closer {
        edits, counts, mac, ..
    } = closer;
    let text = if format == Format::Binary {
        let sealed = edits.first().map_or("\"\"", |edit| edit.text.as_str());
        Zeroizing::new(["{\n", &indent.binary, "\"data\": ", sealed, "\n}\n"].concat())
    } else {
        tree::apply(source, edits)
    };
    Ok(Closed {
        text,
        counts,
        mac: mac.finish(),
    })
}

struct Closer<'c> {
    format: Format,
    source: &'c str,
    step: usize,
    rules: &'c Rules,
    cipher: Cipher,
    mac: Mac,
    stash: &'c mut Stash,
    edits: Vec<Edit>,
    counts: Counts,
}

impl Closer<'_> {
    fn sealed(&mut self, value: &Value, path: &str) -> Result<String, Fault> {
        if let Some(sealed) = self.stash.take(path, value) {
            return Ok(sealed);
        }
        let sealed = self.cipher.seal(value, path);
        sealed.map_err(|source| Self::failed(path, source))
    }

    /// The one value of a binary file, encrypted where it stands in memory.
    fn sealed_own(&mut self, value: Value, path: &str) -> Result<String, Fault> {
        let sealed = self.cipher.seal_own(value, path);
        sealed.map_err(|source| Self::failed(path, source))
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
        if scalar.value.is_empty() {
            return Ok(());
        }
        if !spot.selected {
            self.counts.plain += 1;
            return Ok(());
        }
        let span = scalar.place.span.clone();
        if scalar.place.alias {
            return Err(Self::refuse(
                &span,
                "an alias stands for values that are encrypted: write them out here, or keep them unencrypted",
            ));
        }
        if scalar.place.typed {
            return Err(Self::refuse(
                &span,
                "the tag of this value does not fit ciphertext: take it away or quote the value",
            ));
        }
        let sealed = if self.format == Format::Binary {
            self.sealed_own(std::mem::take(&mut scalar.value), spot.path)?
        } else {
            self.sealed(&scalar.value, spot.path)?
        };
        let spelled = self.format.conceal(&sealed, scalar, self.source, self.step);
        self.edits.push(Edit::new(span, spelled));
        self.counts.sealed += 1;
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
            _ if dashed => format!("- {sealed}"),
            _ => format!("#{sealed}"),
        };
        self.edits.push(Edit::new(comment.span.clone(), spelled));
        Ok(())
    }
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
        return Ok(tree::apply(body, edits));
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
        tree::apply(body, format.embed(body, &tree, metadata.fields(), indent))
    };
    let text = place(metadata);
    if !sealed {
        return Ok(text);
    }
    let opened = open(format, &text, metadata, key, Checks::NONE, indent)?;
    metadata.put(metadata::SEAL, Data::text(opened.fresh_seal));
    Ok(place(metadata))
}

/// Encrypts every value of an encrypted text anew, with another key, each in its place.
pub fn rekey(
    format: Format,
    source: &str,
    metadata: &Metadata,
    old: &DataKey,
    new: &DataKey,
) -> Result<Zeroizing<String>, Fault> {
    let mut tree = format.parse(source).map_err(Fault::Syntax)?;
    let rules = metadata.rules(format)?;
    let mut rekeyer = Rekeyer {
        format,
        source,
        old: Cipher::new(old),
        new: Cipher::new(new),
        edits: Vec::new(),
    };
    walk(&mut tree, &rules, format == Format::Dotenv, &mut rekeyer)?;
    Ok(tree::apply(source, rekeyer.edits))
}

struct Rekeyer<'r> {
    format: Format,
    source: &'r str,
    old: Cipher,
    new: Cipher,
    edits: Vec<Edit>,
}

impl Rekeyer<'_> {
    /// Replaces the ciphertext inside a span.
    fn replace(
        &mut self,
        span: &Range<usize>,
        old: &str,
        value: &Value,
        path: &str,
    ) -> Result<(), Fault> {
        let sealed = self.new.seal(value, path).map_err(|source| Fault::Close {
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
        self.edits.push(Edit::new(start..start + end, sealed));
        Ok(())
    }
}

impl Visitor for Rekeyer<'_> {
    type Error = Fault;

    fn value(&mut self, scalar: &mut Scalar, spot: &Spot<'_>) -> Result<(), Fault> {
        let Some(text) = text_of(self.format, self.source, scalar) else {
            return Ok(());
        };
        if !spot.selected || text.is_empty() || scalar.place.alias {
            return Ok(());
        }
        let value = self
            .old
            .open(text, spot.path)
            .map_err(|source| Fault::Open {
                path: shown(spot.path),
                source,
            })?;
        let text = text.to_owned();
        self.replace(&scalar.place.span, &text, &value, spot.path)?;
        scalar.value = value;
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
            Some((path, value)) => self.replace(&comment.span, &comment.text, &value, &path),
            None => Ok(()),
        }
    }
}
