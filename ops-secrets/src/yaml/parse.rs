//! Reads YAML into a [`Tree`] that knows where everything stands in the source.
//!
//! A hand-written descent over the bytes: block and flow style, all scalar styles, comments, anchors, tags, several
//! documents. Comments go to the container that go-yaml gives them to, because sops binds their ciphertext to its path.

mod block;
mod comments;
mod flow;
mod key;
mod property;
mod quoted;
mod scalar;
mod text;

use std::collections::HashMap;

use crate::tree::{Comment, DEPTH, Document, Entry, Map, Node, Syntax, Tree};

type Result<T> = std::result::Result<T, Syntax>;

const TAB: &str = "a tab where YAML wants spaces";

/// Parses a file.
pub fn parse(source: &str) -> Result<Tree> {
    documents(Parser::new(source))
}

/// Parses an encrypted file: ciphertexts stay in the source, and the tree tells their places only.
pub fn parse_encrypted(source: &str) -> Result<Tree> {
    documents(Parser {
        lends: true,
        ..Parser::new(source)
    })
}

fn documents(mut parser: Parser<'_>) -> Result<Tree> {
    signs(parser.source)?;
    let end = parser.source.len();
    let mut tree = Tree::default();
    loop {
        let document = parser.document(tree.documents.is_empty())?;
        let Some(document) = document else { break };
        tree.documents.push(document);
    }
    if tree.documents.is_empty() {
        tree.documents.push(Document {
            root: Map::default(),
            end,
        });
    }
    Ok(tree)
}

/// Refuses what go-yaml does not read, or reads as a line break where people see none.
fn signs(source: &str) -> Result<()> {
    let suspect =
        |c: u8| (c < b' ' && !matches!(c, b'\t' | b'\n')) || matches!(c, 0x7f | 0xc2 | 0xe2 | 0xef);
    // Looked at in one go: most files have none of these bytes.
    if !source.bytes().fold(false, |found, c| found | suspect(c)) {
        return Ok(());
    }
    let odd = |(at, c): (usize, char)| match c {
        '\t' | '\n' => None,
        '\r' if source[at + 1..].starts_with('\n') => None,
        '\u{feff}' if at == 0 => None,
        '\u{feff}' | '\u{fffe}' | '\u{ffff}' | '\u{2028}' | '\u{2029}' => Some((at, c)),
        c if c.is_control() => Some((at, c)),
        _ => None,
    };
    source.char_indices().find_map(odd).map_or(Ok(()), |(at, c)| {
        let message = format!(
            "the character U+{:04X} cannot stand here as it is: write an escape in double quotes",
            u32::from(c)
        );
        Err(Syntax::new(at, message))
    })
}

/// A comment that has been read, but whose container is not known yet.
struct Found {
    comment: Comment,
    /// The content above it, or the run of comments it stands in, follows without an empty line.
    touches_above: bool,
    /// An empty line is right above it.
    blank_above: bool,
    /// The run of comments it stands in is followed by an empty line or the end.
    blank_below: bool,
    /// Where it goes when content ends the container around it, once that is known.
    place: Option<Stays>,
}

/// Where a comment goes between the end of containers and what follows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stays {
    /// Into the innermost of the containers that end: it is the foot of what stands above.
    Above,
    /// Into the one of its own column, if that ends here, else to what follows: a foot that is parted from what stands above.
    AtColumn,
    /// To what follows.
    Below,
}

/// The properties before a node.
#[derive(Default, Clone)]
struct Properties {
    anchor: Option<String>,
    tag: Option<String>,
}

/// A key that has been read up to its colon.
struct Key {
    name: String,
    at: usize,
    /// Whether it stands behind a `?`, and its colon on a line of its own.
    explicit: bool,
}

struct Parser<'s> {
    source: &'s str,
    bytes: &'s [u8],
    at: usize,
    line_start: usize,
    depth: usize,
    pending: Vec<Found>,
    anchors: HashMap<String, Node>,
    /// Whether ciphertexts stay in the source.
    lends: bool,
    /// How many more leaves aliases may copy: a bomb of aliases ends here.
    copies: usize,
}

impl<'s> Parser<'s> {
    fn new(source: &'s str) -> Self {
        let at = if source.starts_with('\u{feff}') { 3 } else { 0 };
        let copies = 10_000 + source.len();
        Self {
            source,
            bytes: source.as_bytes(),
            at,
            line_start: at,
            depth: 0,
            pending: Vec::new(),
            anchors: HashMap::new(),
            lends: false,
            copies,
        }
    }

    fn fail<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(Syntax::new(self.at, message))
    }

    fn byte(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn byte_after(&self, distance: usize) -> Option<u8> {
        self.bytes.get(self.at + distance).copied()
    }

    /// Whether a blank, a line break or the end stands at a distance.
    fn blank_after(&self, distance: usize) -> bool {
        self.byte_after(distance)
            .is_none_or(|c| matches!(c, b' ' | b'\t' | b'\n' | b'\r'))
    }

    fn column(&self) -> usize {
        self.at - self.line_start
    }

    fn at_line_break(&self) -> bool {
        matches!(self.byte(), None | Some(b'\n'))
            || (self.byte() == Some(b'\r') && matches!(self.byte_after(1), None | Some(b'\n')))
    }

    fn skip_blanks(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    /// Moves over the line break at the present place.
    fn next_line(&mut self) {
        if self.byte() == Some(b'\r') {
            self.at += 1;
        }
        if self.byte() == Some(b'\n') {
            self.at += 1;
        }
        self.line_start = self.at;
    }

    /// The end of the present line, without its break.
    fn line_end(&self) -> usize {
        let end = self.source[self.at..]
            .find('\n')
            .map_or(self.source.len(), |length| self.at + length);
        if end > self.at && self.bytes[end - 1] == b'\r' {
            end - 1
        } else {
            end
        }
    }

    /// The start of the line after the one that `at` is on (or the end).
    fn after_line(&self, at: usize) -> usize {
        // Mostly it is right here: looking for it takes longer.
        if self.bytes.get(at) == Some(&b'\n') {
            return at + 1;
        }
        self.source[at..]
            .find('\n')
            .map_or(self.source.len(), |length| at + length + 1)
    }

    fn at_document_mark(&self) -> bool {
        self.column() == 0
            && matches!(self.bytes.get(self.at..self.at + 3), Some(b"---" | b"..."))
            && self.blank_after(3)
    }

    fn document(&mut self, first: bool) -> Result<Option<Document>> {
        self.anchors.clear();
        let (mut started, mut directed) = (false, false);
        let mut content = self.next_content()?;
        // Directives, and the marks between documents.
        loop {
            if content == Some(0) && self.byte() == Some(b'%') && !directed {
                self.directive()?;
                directed = true;
            } else if content.is_none() && self.at_document_mark() {
                started = self.source[self.at..].starts_with("---");
                if first && !started {
                    return self.fail("no document stands before the '...'");
                }
                self.at += 3;
                if started {
                    break;
                }
            } else {
                break;
            }
            content = self.next_content()?;
        }
        let line = self.line_start;
        if started {
            content = self.next_content()?;
        } else if content.is_none() && self.byte().is_none() && !first && !directed {
            return Ok(None);
        } else if !first || directed {
            return self.fail("a document begins with '---' here");
        }
        self.root(content, started && line == self.line_start)
            .map(Some)
    }

    /// `%YAML 1.1`, which says nothing new. Of another version or another directive go-yaml knows nothing, or we do not.
    fn directive(&mut self) -> Result<()> {
        let line = &self.source[self.at..self.line_end()];
        if !line
            .split([' ', '\t'])
            .filter(|word| !word.is_empty())
            .eq(["%YAML", "1.1"])
        {
            return self.fail("of the directives, only '%YAML 1.1' is known");
        }
        self.at += line.len();
        Ok(())
    }

    /// Blanks after a sign that a key may follow: they must be spaces.
    fn blanks_after_sign(&mut self, spaces: bool) -> Result<()> {
        let start = self.at;
        self.skip_blanks();
        match self.source[start..self.at].find('\t') {
            Some(tab) if spaces => Err(Syntax::new(start + tab, TAB)),
            _ => Ok(()),
        }
    }

    /// A document; `inline`: its content stands behind the `---`, where no block collection can begin.
    fn root(&mut self, content: Option<usize>, inline: bool) -> Result<Document> {
        let mut head: Vec<Entry> = self.take_pending().map(Entry::Comment).collect();
        let mut root = match content {
            None => Map {
                span: self.at..self.at,
                ..Map::default()
            },
            Some(column) => {
                let at = self.at;
                match self.block_node(column, None, inline)? {
                    Node::Map(map) => map,
                    Node::List(_) => {
                        return Err(Syntax::new(
                            at,
                            "the document is a sequence: sops files hold mappings only",
                        ));
                    }
                    Node::Scalar(_) => {
                        return Err(Syntax::new(
                            at,
                            "the document is a single value: sops files hold mappings only",
                        ));
                    }
                }
            }
        };
        if self.next_content()?.is_some() {
            return self.fail("something stands here that does not belong to the mapping above");
        }
        if !head.is_empty() {
            head.append(&mut root.entries);
            root.entries = head;
        }
        (root.entries).extend(self.take_pending().map(Entry::Comment));
        Ok(Document { root, end: self.at })
    }

    fn deeper(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > DEPTH {
            self.fail(format!("nested more than {DEPTH} levels deep"))
        } else {
            Ok(())
        }
    }
}
