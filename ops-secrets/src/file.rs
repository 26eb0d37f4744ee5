//! A sops file: read, opened, encrypted, written.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use ops_common::atomic::AtomicFile;
use ops_common::input;
use zeroize::Zeroizing;

use crate::cipher::DataKey;
use crate::crypt::{self, Checks, Counts, Keep, Making, Opened, Reading, SealState, Stash};
use crate::error::Error;
use crate::format::{self, Format, Indent};
use crate::keys::identity::Identities;
use crate::keys::{self};
use crate::metadata::{self, Group, Metadata};
use crate::path;
use crate::rules::Rules;
use crate::tree::{Entry, Item, Map, Node, Syntax, Tree};

/// An encrypted file that has been read.
pub struct Encrypted {
    /// Its name in messages.
    pub name: PathBuf,
    /// Its format.
    pub format: Format,
    /// Its text.
    pub text: Zeroizing<String>,
    /// Its metadata.
    pub metadata: Metadata,
    /// The indentation where the file shows none.
    pub indent: Indent,
    /// The text as a tree, until somebody takes it.
    tree: Option<Tree>,
}

/// The place of a fault in a text, as people count.
#[must_use]
pub fn malformed(file: &Path, text: &str, fault: &Syntax) -> Error {
    let at = (0..=fault.at.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    let before = &text[..at];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    Error::Malformed {
        file: file.to_owned(),
        line,
        column,
        message: fault.message.clone(),
    }
}

/// A fault of encryption, with its place if it has one.
fn placed(
    file: &Path,
    text: &str,
    fault: crypt::Fault,
    wrap: fn(PathBuf, crypt::Fault) -> Error,
) -> Error {
    match fault {
        crypt::Fault::Syntax(fault) => malformed(file, text, &fault),
        crypt::Fault::Place { at, message } => malformed(file, text, &Syntax { at, message }),
        fault => wrap(file.to_owned(), fault),
    }
}

fn text_of(bytes: Vec<u8>, name: &Path) -> Result<Zeroizing<String>, Error> {
    String::from_utf8(bytes)
        .map(Zeroizing::new)
        .map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            no_text(name, &Zeroizing::new(error.into_bytes()), at)
        })
}

/// Bytes that are text up to a place only.
#[must_use]
pub fn no_text(name: &Path, bytes: &[u8], at: usize) -> Error {
    let text = std::str::from_utf8(&bytes[..at]).unwrap_or_default();
    malformed(name, text, &Syntax::new(at, "this byte is no UTF-8 text"))
}

impl Encrypted {
    /// Reads a file, or stdin for `-`.
    pub fn read(name: &OsStr, format: Format) -> Result<Self, Error> {
        Self::parse(PathBuf::from(name), input::read(name)?, format)
    }

    /// Takes the bytes of a file.
    pub fn parse(name: PathBuf, bytes: Vec<u8>, format: Format) -> Result<Self, Error> {
        let text = text_of(bytes, &name)?;
        let tree = format
            .parse_encrypted(&text)
            .map_err(|fault| match format {
                // What is no JSON object was never encrypted as binary.
                Format::Binary => Error::Metadata {
                    file: name.clone(),
                    source: metadata::Fault::Missing,
                },
                _ => malformed(&name, &text, &fault),
            })?;
        let metadata = Metadata::of(&tree, &text, format).map_err(|source| Error::Metadata {
            file: name.clone(),
            source,
        })?;
        Ok(Self {
            name,
            format,
            text,
            metadata,
            indent: Indent::default(),
            tree: Some(tree),
        })
    }

    /// The groups of keys.
    pub fn groups(&self) -> Result<Vec<Group>, Error> {
        self.metadata.groups().map_err(|source| Error::Metadata {
            file: self.name.clone(),
            source,
        })
    }

    /// Recovers the data key.
    pub fn unlock(&self, identities: &mut Identities) -> Result<DataKey, Error> {
        let groups = self.groups()?;
        let threshold = self.metadata.threshold(groups.len());
        keys::recover(&groups, threshold, identities).map_err(|source| Error::Unlock {
            file: self.name.clone(),
            source,
        })
    }

    /// The text as a tree. Reading has made it already: it is parsed again only if it is taken twice.
    pub fn tree(&mut self) -> Result<Tree, Error> {
        match self.tree.take() {
            Some(tree) => Ok(tree),
            None => (self.format.parse_encrypted(&self.text))
                .map_err(|fault| malformed(&self.name, &self.text, &fault)),
        }
    }

    /// Decrypts all values.
    pub fn open(&mut self, key: &DataKey, checks: Checks, keep: Keep) -> Result<Opened, Error> {
        let tree = self.tree()?;
        crypt::open(self.reading(key), tree, checks, keep).map_err(|fault| self.failed(fault))
    }

    /// Decrypts what is at a path only. The seal must have been found to fit.
    fn open_at(&mut self, key: &DataKey, path: &path::Path) -> Result<Opened, Error> {
        let tree = self.tree()?;
        let tree = crypt::open_at(self.reading(key), tree, path);
        Ok(Opened::part(tree.map_err(|fault| self.failed(fault))?))
    }

    fn reading<'r>(&'r self, key: &'r DataKey) -> Reading<'r> {
        Reading {
            format: self.format,
            source: &self.text,
            metadata: &self.metadata,
            key,
            indent: &self.indent,
        }
    }

    fn failed(&self, fault: crypt::Fault) -> Error {
        let failed = |file, source| Error::Decrypt { file, source };
        placed(&self.name, &self.text, fault, failed)
    }

    /// Checks the seal, if there is one.
    pub fn check_seal(&self, key: &DataKey) -> Result<SealState, Error> {
        crypt::check_seal(self.reading(key)).map_err(|fault| self.failed(fault))
    }
}

/// How a file is opened.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'o> {
    /// What is checked.
    pub checks: Checks,
    /// Whether a seal must be there.
    pub require_seal: bool,
    /// What is remembered.
    pub keep: Keep,
    /// The only value that is wanted: where a seal fits, nothing else is decrypted.
    pub only: Option<&'o path::Path>,
}

/// Reads and decrypts in one go.
pub fn open(
    file: &mut Encrypted,
    identities: &mut Identities,
    opening: Opening<'_>,
) -> Result<(DataKey, Opened), Error> {
    let key = file.unlock(identities)?;
    if let Some(path) = opening.only
        && opening.checks == Checks::ALL
        && matches!(file.check_seal(&key), Ok(SealState::Fits))
    {
        let opened = file.open_at(&key, path)?;
        return Ok((key, opened));
    }
    let opened = file.open(&key, opening.checks, opening.keep)?;
    if opening.require_seal && opened.seal == SealState::Absent {
        return Err(Error::NoSeal(file.name.clone()));
    }
    Ok((key, opened))
}

/// How a plain text is encrypted.
pub struct Plan {
    /// The metadata, with wrapped keys and rules.
    pub metadata: Metadata,
    /// The data key.
    pub key: DataKey,
    /// Whether the file gets a seal.
    pub sealed: bool,
    /// Whether a file without any encrypted value is fine.
    pub allow_plaintext: bool,
    /// The indentation where the text shows none.
    pub indent: Indent,
}

/// Metadata and a new data key for groups of recipients.
pub fn plan(
    file: &Path,
    format: Format,
    rules: &Rules,
    groups: &[Vec<String>],
    threshold: usize,
    indent: Indent,
) -> Result<Plan, Error> {
    let wrap = |source| Error::Wrap {
        file: file.to_owned(),
        source,
    };
    let key = DataKey::random().map_err(|source| Error::Encrypt {
        file: file.to_owned(),
        source: crypt::Fault::Close {
            path: "the data key".to_owned(),
            source,
        },
    })?;
    let threshold = if threshold == 0 {
        groups.len()
    } else {
        threshold
    };
    let wrapped = keys::wrap(groups, threshold, &key).map_err(wrap)?;
    let rules = if format == Format::Binary {
        &Rules::everything()
    } else {
        rules
    };
    let mut metadata = Metadata::new(rules);
    metadata.set_groups(&wrapped, threshold);
    Ok(Plan {
        metadata,
        key,
        sealed: true,
        allow_plaintext: false,
        indent,
    })
}

/// Encrypts a plain text.
pub fn encrypt(
    name: &Path,
    format: Format,
    plain: Vec<u8>,
    plan: &mut Plan,
    stash: &mut Stash,
) -> Result<Zeroizing<String>, Error> {
    let failed = |file, source| Error::Encrypt { file, source };
    let (text, mut tree) = plain_tree(name, format, plain, &plan.indent)?;
    let rules = plan
        .metadata
        .rules(format)
        .map_err(|source| Error::Metadata {
            file: name.to_owned(),
            source,
        })?;
    let making = Making {
        format,
        key: &plan.key,
        indent: &plan.indent,
        sealed: plan.sealed,
    };
    let closed = crypt::close(making, &text, &mut tree, &rules, stash)
        .map_err(|fault| placed(name, &text, fault, failed))?;
    let Counts { sealed, plain } = closed.counts;
    if sealed == 0 && plain > 0 && !plan.allow_plaintext {
        return Err(Error::AllPlain(name.to_owned()));
    }
    crypt::finish(making, &text, tree, closed, &mut plan.metadata, &now())
        .map_err(|fault| placed(name, &text, fault, failed))
}

/// A plain text as a tree. That of a binary file is the frame that its one value is put into.
fn plain_tree(
    name: &Path,
    format: Format,
    plain: Vec<u8>,
    indent: &Indent,
) -> Result<(Zeroizing<String>, Tree), Error> {
    if format != Format::Binary {
        return parsed(name, format, text_of(plain, name)?);
    }
    let frame = Zeroizing::new(format::binary_frame(&indent.binary));
    let (text, mut tree) = parsed(name, format, frame)?;
    if let Some(value) = tree.documents[0].root.leaf_mut("data") {
        *value = format::binary_value(Zeroizing::new(plain));
    }
    Ok((text, tree))
}

fn parsed(
    name: &Path,
    format: Format,
    text: Zeroizing<String>,
) -> Result<(Zeroizing<String>, Tree), Error> {
    let tree = format
        .parse(&text)
        .map_err(|fault| malformed(name, &text, &fault))?;
    check_plain(name, format, &text, &tree)?;
    Ok((text, tree))
}

/// The present second, as sops writes it.
#[must_use]
pub fn now() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

/// Refuses what sops would write wrongly: metadata that is there already, and keys that come twice.
fn check_plain(name: &Path, format: Format, text: &str, tree: &Tree) -> Result<(), Error> {
    for document in &tree.documents {
        let taken = document.root.pairs().any(|pair| match format {
            Format::Dotenv => pair.key.starts_with("sops_"),
            _ => pair.key == "sops",
        });
        if taken {
            return Err(Error::Already(name.to_owned()));
        }
        no_doubles(&document.root, format == Format::Ini)
            .map_err(|fault| malformed(name, text, &fault))?;
    }
    Ok(())
}

fn no_doubles(map: &Map, sections: bool) -> Result<(), Syntax> {
    let mut seen = std::collections::HashSet::with_capacity(map.entries.len());
    for pair in map.pairs() {
        if !seen.insert(pair.key.as_str()) && !sections {
            return Err(Syntax::new(
                pair.at,
                format!("the key '{}' comes twice", pair.key.escape_debug()),
            ));
        }
        no_doubles_below(&pair.node)?;
    }
    Ok(())
}

fn no_doubles_below(node: &Node) -> Result<(), Syntax> {
    match node {
        Node::Scalar(_) => Ok(()),
        Node::Map(map) => no_doubles(map, false),
        Node::List(list) => list.items.iter().try_for_each(|item| match item {
            Item::Comment(_) => Ok(()),
            Item::Element { node, .. } => no_doubles_below(node),
        }),
    }
}

/// Whether a text of this format carries sops metadata.
#[must_use]
pub fn is_encrypted(format: Format, bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let Ok(tree) = format.parse_encrypted(text) else {
        return false;
    };
    let flat = |entry: &Entry| matches!(entry, Entry::Pair(pair) if pair.key.starts_with("sops_"));
    match format {
        Format::Dotenv => tree.documents[0].root.entries.iter().any(flat),
        _ => tree.documents[0].root.pair("sops").is_some(),
    }
}

/// Writes a file in one go: the old or the new, never half of it.
pub fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
    let mut file = AtomicFile::replace(path, mode)?;
    file.write_all(content).map_err(|source| Error::File {
        attempt: "write",
        path: path.to_owned(),
        source,
    })?;
    Ok(file.commit()?)
}
