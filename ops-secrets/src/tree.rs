//! The document model: what every format is parsed into, with the place of each piece in the source.
//!
//! A tree never replaces the source text. It says where the values, comments and metadata stand, so that encrypting and
//! decrypting are lists of [`Edit`](crate::patch::Edit)s of the text, and all that lies between stays as the author wrote it.

use std::ops::Range;

use zeroize::Zeroizing;

/// A whole file: one or (YAML only) several documents.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// The documents, in file order.
    pub documents: Vec<Document>,
}

/// One document.
#[derive(Debug, Clone, Default)]
pub struct Document {
    /// Its mapping; sops knows no other root.
    pub root: Map,
    /// Where metadata goes if there is none yet.
    pub end: usize,
}

/// A mapping, in the order of the file.
#[derive(Debug, Clone, Default)]
pub struct Map {
    /// Its pairs and the comments between them.
    pub entries: Vec<Entry>,
    /// The source from the first to the last byte of the mapping.
    pub span: Range<usize>,
    /// The column of its keys (block style).
    pub column: usize,
    /// Whether it is written in braces.
    pub flow: bool,
}

/// A piece of a mapping.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A comment that belongs to the mapping.
    Comment(Comment),
    /// A key and its value.
    Pair(Pair),
}

/// A key with its value.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The key.
    pub key: String,
    /// Where the key begins.
    pub at: usize,
    /// Where the sign after the key ends.
    pub sign: usize,
    /// What to cut when the pair goes.
    pub region: Range<usize>,
    /// The value.
    pub node: Node,
}

/// A value of any shape.
#[derive(Debug, Clone)]
pub enum Node {
    /// A leaf.
    Scalar(Scalar),
    /// A mapping.
    Map(Map),
    /// A sequence.
    List(List),
}

/// A sequence.
#[derive(Debug, Clone, Default)]
pub struct List {
    /// Its elements and the comments between them.
    pub items: Vec<Item>,
    /// The source from the first to the last byte of the sequence.
    pub span: Range<usize>,
    /// The column of its dashes (block style).
    pub column: usize,
    /// Whether it is written in brackets.
    pub flow: bool,
}

/// A piece of a sequence.
#[derive(Debug, Clone)]
pub enum Item {
    /// A comment that belongs to the sequence.
    Comment(Comment),
    /// An element.
    Element {
        /// What to cut when the element goes; begins at the dash.
        region: Range<usize>,
        /// The element.
        node: Node,
    },
}

/// A leaf and the place where it is written.
#[derive(Debug, Clone)]
pub struct Scalar {
    /// What it means.
    pub value: Value,
    /// Where and how it is written.
    pub place: Place,
}

/// How a scalar stands in its source.
#[derive(Debug, Clone, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own about the surroundings"
)]
pub struct Place {
    /// The bytes of the scalar, quotes and block header included, tag and anchor not.
    pub span: Range<usize>,
    /// How it is quoted.
    pub style: Style,
    /// Where the sign of a block stands. It is outside of the span where a comment stands behind it.
    pub sign: usize,
    /// The column of the key or dash that it belongs to.
    pub column: usize,
    /// Whether it is an element of a sequence.
    pub element: bool,
    /// Whether it stands inside brackets or braces.
    pub flow: bool,
    /// Whether a tag stands before it that decides its type.
    pub typed: bool,
    /// Whether this is a copy reached through an alias: nothing of it may be edited.
    pub alias: bool,
    /// For such a copy: where the scalar itself begins.
    pub anchor: usize,
    /// Whether its text is not in the tree, but stands in the source as it is: a ciphertext.
    pub lent: bool,
}

impl Place {
    /// The bytes without the quotes.
    #[must_use]
    pub fn inside(&self) -> Range<usize> {
        match self.style {
            Style::Single | Style::Double => self.span.start + 1..self.span.end - 1,
            Style::Plain | Style::Literal | Style::Folded => self.span.clone(),
        }
    }
}

impl Scalar {
    /// Copies a lent text into the tree.
    pub fn own(&mut self, source: &str) {
        if std::mem::take(&mut self.place.lent) {
            self.value = Value::text(&source[self.place.inside()]);
        }
    }
}

/// How a scalar is quoted. JSON strings count as double-quoted, its other values as plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// Without quotes.
    #[default]
    Plain,
    /// In single quotes.
    Single,
    /// In double quotes.
    Double,
    /// A literal block, `|`.
    Literal,
    /// A folded block, `>`.
    Folded,
}

/// A comment.
#[derive(Debug, Clone)]
pub struct Comment {
    /// Its text after the comment sign, as sops sees it.
    pub text: Zeroizing<String>,
    /// The bytes from the comment sign to the end of the line.
    pub span: Range<usize>,
    /// The column of the comment sign.
    pub column: usize,
    /// Whether it stands on a line of its own.
    pub alone: bool,
    /// Whether it stands in an aliased copy.
    pub alias: bool,
}

/// The meaning of a leaf: the types that sops knows.
#[derive(Clone, PartialEq, Default)]
pub enum Value {
    /// Nothing; never encrypted.
    #[default]
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer of 64 bits.
    Int(i64),
    /// A float of 64 bits.
    Float(f64),
    /// An instant, written as RFC 3339 with as many decimals as it needs.
    Time(String),
    /// A text.
    Text(Zeroizing<String>),
    /// Bytes that are no UTF-8.
    Bytes(Zeroizing<Vec<u8>>),
    /// A comment that stood where a value stands: sops writes the comments of sequences so.
    Comment(Zeroizing<String>),
}

/// Values are secrets: a debug print tells the type only.
impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Time(_) => "time",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Comment(_) => "comment",
        })
    }
}

impl Value {
    /// A text value.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(Zeroizing::new(text.into()))
    }

    /// Whether sops leaves the value as it is: null and the empty text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) | Self::Comment(text) => text.is_empty(),
            Self::Bytes(bytes) => bytes.is_empty(),
            _ => false,
        }
    }
}

/// A value without a place in any source: what `set` is given and what other formats are written from.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// A leaf.
    Scalar(Value),
    /// A mapping, in order.
    Map(Vec<(String, Data)>),
    /// A sequence.
    List(Vec<Data>),
}

impl Data {
    /// A text leaf.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Scalar(Value::text(text))
    }

    /// The member of that name, if this is a mapping that has it.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Data> {
        match self {
            Self::Map(pairs) => pairs
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text, if this is a text leaf.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Scalar(Value::Text(text)) => Some(text),
            _ => None,
        }
    }
}

impl From<&Node> for Data {
    fn from(node: &Node) -> Self {
        match node {
            Node::Scalar(scalar) => Self::Scalar(scalar.value.clone()),
            Node::Map(map) => map.into(),
            Node::List(list) => Self::List(
                (list.items.iter())
                    .filter_map(|item| match item {
                        Item::Element {
                            node:
                                Node::Scalar(Scalar {
                                    value: Value::Comment(_),
                                    ..
                                }),
                            ..
                        }
                        | Item::Comment(_) => None,
                        Item::Element { node, .. } => Some(node.into()),
                    })
                    .collect(),
            ),
        }
    }
}

impl From<&Map> for Data {
    fn from(map: &Map) -> Self {
        Self::Map(
            map.pairs()
                .map(|pair| (pair.key.clone(), (&pair.node).into()))
                .collect(),
        )
    }
}

impl Map {
    /// The pairs, without the comments.
    pub fn pairs(&self) -> impl Iterator<Item = &Pair> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Pair(pair) => Some(pair),
            Entry::Comment(_) => None,
        })
    }

    /// The value of the first pair of that key, if it is a leaf.
    pub fn leaf_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.entries.iter_mut().find_map(|entry| match entry {
            Entry::Pair(Pair {
                key: found,
                node: Node::Scalar(scalar),
                ..
            }) if found == key => Some(&mut scalar.value),
            _ => None,
        })
    }

    /// The first pair of that key.
    #[must_use]
    pub fn pair(&self, key: &str) -> Option<&Pair> {
        self.pairs().find(|pair| pair.key == key)
    }
}

impl List {
    /// The elements, without the comments, with what to cut for each.
    pub fn elements(&self) -> impl Iterator<Item = (&Range<usize>, &Node)> {
        self.items.iter().filter_map(|item| match item {
            Item::Element {
                node:
                    Node::Scalar(Scalar {
                        value: Value::Comment(_),
                        ..
                    }),
                ..
            }
            | Item::Comment(_) => None,
            Item::Element { region, node } => Some((region, node)),
        })
    }
}

impl Node {
    /// Copies lent texts into the tree.
    pub fn own(&mut self, source: &str) {
        match self {
            Self::Scalar(scalar) => scalar.own(source),
            Self::Map(map) => {
                for entry in &mut map.entries {
                    if let Entry::Pair(pair) = entry {
                        pair.node.own(source);
                    }
                }
            }
            Self::List(list) => {
                for item in &mut list.items {
                    if let Item::Element { node, .. } = item {
                        node.own(source);
                    }
                }
            }
        }
    }

    /// The bytes of the node in the source.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        match self {
            Self::Scalar(scalar) => scalar.place.span.clone(),
            Self::Map(map) => map.span.clone(),
            Self::List(list) => list.span.clone(),
        }
    }
}

/// What is wrong with a text, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Syntax {
    /// The byte where it is wrong.
    pub at: usize,
    /// What is wrong.
    pub message: String,
}

impl Syntax {
    /// A fault at a byte of the source.
    pub fn new(at: usize, message: impl Into<String>) -> Self {
        Self {
            at,
            message: message.into(),
        }
    }
}

/// The deepest nesting that is read. The recursion of the parsers is bounded by it.
pub const DEPTH: usize = 400;
