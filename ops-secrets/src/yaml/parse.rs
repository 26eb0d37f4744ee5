//! Reads YAML into a [`Tree`] that knows where everything stands in the source.
//!
//! A hand-written descent over the bytes: block and flow style, all scalar styles, comments, anchors, tags, several
//! documents. Comments go to the container that go-yaml gives them to, because sops binds their ciphertext to its path.

use std::collections::HashMap;
use std::ops::Range;

use zeroize::Zeroizing;

use super::resolve;
use crate::tree::{
    Comment, DEPTH, Document, Entry, Item, List, Map, Node, Pair, Place, Scalar, Style, Syntax,
    Tree, Value,
};

type Result<T> = std::result::Result<T, Syntax>;

/// Parses a file.
pub fn parse(source: &str) -> Result<Tree> {
    let mut parser = Parser::new(source);
    let mut tree = Tree::default();
    loop {
        let document = parser.document(tree.documents.is_empty())?;
        let Some(document) = document else { break };
        tree.documents.push(document);
    }
    if tree.documents.is_empty() {
        tree.documents.push(Document {
            root: Map::default(),
            end: source.len(),
        });
    }
    Ok(tree)
}

/// A comment that has been read, but whose container is not known yet.
struct Found {
    comment: Comment,
    /// The content above it, or the run of comments it stands in, follows without an empty line.
    touches_above: bool,
    /// The run of comments it stands in is followed by an empty line or the end.
    blank_below: bool,
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
}

struct Parser<'s> {
    source: &'s str,
    bytes: &'s [u8],
    at: usize,
    line_start: usize,
    depth: usize,
    pending: Vec<Found>,
    anchors: HashMap<String, Node>,
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
        self.source[at..]
            .find('\n')
            .map_or(self.source.len(), |length| at + length + 1)
    }

    fn at_document_mark(&self) -> bool {
        self.column() == 0
            && matches!(self.bytes.get(self.at..self.at + 3), Some(b"---" | b"..."))
            && self.blank_after(3)
    }

    /// Moves to the next content; comments on the way become pending. Gives its column, or nothing at the end of the
    /// document.
    fn next_content(&mut self) -> Result<Option<usize>> {
        let mut fresh = self.pending.len();
        loop {
            let line_begin = self.column() == 0;
            while self.byte() == Some(b' ') {
                self.at += 1;
            }
            let tab = line_begin && self.byte() == Some(b'\t');
            self.skip_blanks();
            if self.at_line_break() {
                if self.byte().is_none() {
                    return Ok(None);
                }
                self.next_line();
            } else if self.byte() == Some(b'#')
                && (self.at == 0 || matches!(self.bytes[self.at - 1], b' ' | b'\t' | b'\n' | 0xbf))
            {
                self.comment(&mut fresh);
            } else if tab {
                return self.fail("a tab where YAML wants spaces");
            } else if self.at_document_mark() {
                return Ok(None);
            } else {
                return Ok(Some(self.column()));
            }
        }
    }

    fn comment(&mut self, fresh: &mut usize) {
        let end = self.line_end();
        let column = self.column();
        let alone = self.source[self.line_start..self.at]
            .trim_start_matches('\u{feff}')
            .trim()
            .is_empty();
        let comment = Comment {
            text: Zeroizing::new(self.source[self.at + 1..end].to_owned()),
            span: self.at..end,
            column,
            alone,
            alias: false,
        };
        let above = self.source[..self.line_start].trim_end_matches(['\n', '\r']);
        let empty_above = self.source[above.len()..self.line_start]
            .matches('\n')
            .count()
            > 1
            || above.is_empty();
        let touches_above = !empty_above
            && match self.pending.get(*fresh..).and_then(<[Found]>::last) {
                Some(last) if last.comment.alone => last.touches_above,
                _ => true,
            };
        self.at = end;
        let mut below = self.source[end..]
            .chars()
            .filter(|c| *c != '\r' && *c != ' ' && *c != '\t');
        let blank_below = below.next().is_none() || matches!(below.next(), None | Some('\n'));
        if blank_below {
            for found in self.pending[*fresh..]
                .iter_mut()
                .rev()
                .take_while(|found| !found.blank_below)
            {
                found.blank_below = true;
            }
        }
        self.pending.push(Found {
            comment,
            touches_above,
            blank_below,
        });
        if blank_below {
            *fresh = self.pending.len();
        }
    }

    /// Takes the comments that a container of this column keeps when content of column `next` (nothing: the end) ends it.
    fn comments_at_end(
        &mut self,
        column: usize,
        next: Option<usize>,
        same_column: bool,
    ) -> Vec<Comment> {
        let keeps = |found: &Found| {
            let foot = found.touches_above && found.blank_below;
            match next {
                _ if !found.comment.alone => true,
                _ if found.comment.column < column => false,
                None => foot,
                // A sequence that is not indented ends at a key of the same column.
                Some(_) if same_column && found.comment.column == column => foot,
                Some(_) => true,
            }
        };
        let count = self.pending.iter().take_while(|found| keeps(found)).count();
        self.pending
            .drain(..count)
            .map(|found| found.comment)
            .collect()
    }

    fn take_pending(&mut self) -> impl Iterator<Item = Comment> {
        std::mem::take(&mut self.pending)
            .into_iter()
            .map(|found| found.comment)
    }

    fn document(&mut self, first: bool) -> Result<Option<Document>> {
        self.anchors.clear();
        let mut started = first;
        let mut content = self.next_content()?;
        // Directives, and the marks between documents.
        loop {
            if content == Some(0) && self.byte() == Some(b'%') {
                self.at = self.line_end();
            } else if content.is_none() && self.at_document_mark() {
                let start = self.source[self.at..].starts_with("---");
                if start && started && !first {
                    break;
                }
                self.at += 3;
                if start {
                    started = true;
                    self.skip_blanks();
                    content = self.document_start()?;
                    break;
                }
            } else {
                break;
            }
            content = self.next_content()?;
        }
        if content.is_none() && self.byte().is_none() && !(first || started) {
            return Ok(None);
        }
        self.root(content).map(Some)
    }

    /// After `---`: the content may stand on the same line.
    fn document_start(&mut self) -> Result<Option<usize>> {
        self.next_content()
    }

    fn root(&mut self, content: Option<usize>) -> Result<Document> {
        let mut head: Vec<Entry> = self.take_pending().map(Entry::Comment).collect();
        let mut root = match content {
            None => Map {
                span: self.at..self.at,
                ..Map::default()
            },
            Some(column) => {
                let at = self.at;
                match self.block_node(column, None, false)? {
                    Node::Map(map) => map,
                    Node::Scalar(Scalar {
                        value: Value::Null, ..
                    }) => Map {
                        span: at..at,
                        ..Map::default()
                    },
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
        head.append(&mut root.entries);
        head.extend(self.take_pending().map(Entry::Comment));
        root.entries = head;
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

    /// A node in block style at the present place. `parent` is the column of the container; `inline` forbids block
    /// collections, because a key stands before on the line.
    fn block_node(&mut self, column: usize, parent: Option<usize>, inline: bool) -> Result<Node> {
        self.deeper()?;
        let node = self.block_node_inner(column, parent, inline);
        self.depth -= 1;
        node
    }

    fn block_node_inner(
        &mut self,
        column: usize,
        parent: Option<usize>,
        inline: bool,
    ) -> Result<Node> {
        if !inline {
            if self.byte() == Some(b'-') && self.blank_after(1) {
                return self.block_list(column).map(Node::List);
            }
            if let Some(key) = self.key()? {
                return self.block_map(column, key).map(Node::Map);
            }
        }
        let properties = self.properties()?;
        let marked = properties.anchor.is_some() || properties.tag.is_some();
        let node = if marked && (self.at_line_break() || self.byte() == Some(b'#')) {
            self.node_below(parent, &properties)?
        } else {
            self.inline_node(parent, &properties)?
        };
        if let Some(name) = properties.anchor {
            self.anchors.insert(name, node.clone());
        }
        Ok(node)
    }

    /// A node whose properties stand alone on their line.
    fn node_below(&mut self, parent: Option<usize>, properties: &Properties) -> Result<Node> {
        let after = self.at;
        let content = self.next_content()?;
        let deeper = content.filter(|column| parent.is_none_or(|parent| *column > parent));
        match (deeper, content, parent) {
            (Some(column), ..) => {
                let node = self.block_node(column, parent, false)?;
                Ok(retag(node, properties))
            }
            (None, Some(column), Some(parent))
                if column == parent && self.byte() == Some(b'-') && self.blank_after(1) =>
            {
                self.block_list(column).map(Node::List)
            }
            _ => Self::scalar(after..after, Style::Plain, "", properties, parent, false),
        }
    }

    fn inline_node(&mut self, parent: Option<usize>, properties: &Properties) -> Result<Node> {
        let start = self.at;
        match self.byte() {
            Some(b'[') => {
                let list = self.flow_list()?;
                self.no_key_here(start)?;
                Ok(Node::List(list))
            }
            Some(b'{') => {
                let map = self.flow_map()?;
                self.no_key_here(start)?;
                Ok(Node::Map(map))
            }
            Some(b'*') => self.alias(),
            Some(b'"') => {
                let text = self.double_quoted()?;
                self.no_key_here(start)?;
                Self::scalar(
                    start..self.at,
                    Style::Double,
                    &text,
                    properties,
                    parent,
                    false,
                )
            }
            Some(b'\'') => {
                let text = self.single_quoted()?;
                self.no_key_here(start)?;
                Self::scalar(
                    start..self.at,
                    Style::Single,
                    &text,
                    properties,
                    parent,
                    false,
                )
            }
            Some(b'|' | b'>') => self.block_scalar(parent, properties),
            Some(b'@' | b'`' | b'%' | b']' | b'}' | b',') => {
                self.fail("this sign cannot begin a plain value: quote it")
            }
            _ => self.plain_scalar(parent, properties),
        }
    }

    /// A collection or quoted value that turns out to be a key, where no key can stand or none that sops knows.
    fn no_key_here(&mut self, start: usize) -> Result<()> {
        let after = self.source[self.at..].trim_start_matches([' ', '\t']);
        let colon = self.source.len() - after.len();
        let blank = self
            .bytes
            .get(colon + 1)
            .is_none_or(|c| matches!(c, b' ' | b'\t' | b'\n' | b'\r'));
        if after.starts_with(':') && blank {
            let message = if matches!(self.bytes[start], b'[' | b'{') {
                "only texts can be keys"
            } else {
                "a mapping cannot begin here"
            };
            return Err(Syntax::new(start, message));
        }
        Ok(())
    }

    fn properties(&mut self) -> Result<Properties> {
        let mut properties = Properties::default();
        loop {
            let start = self.at + 1;
            match self.byte() {
                Some(b'&') => properties.anchor = Some(self.word(start)),
                Some(b'!') => properties.tag = Some(self.word(start)),
                _ => return Ok(properties),
            }
            if !self.blank_after(0) && !matches!(self.byte(), Some(b',' | b']' | b'}')) {
                return self.fail("an anchor or a tag must be followed by a blank");
            }
            self.skip_blanks();
        }
    }

    /// Reads to the next blank (or, in flow style, the next sign).
    fn word(&mut self, start: usize) -> String {
        let verbatim = self.source[start..].starts_with('<');
        let ends =
            |c: char| c.is_whitespace() || (!verbatim && matches!(c, ',' | '[' | ']' | '{' | '}'));
        self.at = self.source[start..]
            .find(ends)
            .map_or(self.source.len(), |length| start + length);
        self.source[start..self.at].to_owned()
    }

    fn alias(&mut self) -> Result<Node> {
        let start = self.at;
        let name = self.word(start + 1);
        let Some(node) = self.anchors.get(&name) else {
            return Err(Syntax::new(
                start,
                format!("the alias '*{name}' has no anchor before it"),
            ));
        };
        let mut copy = node.clone();
        let leaves = mark_alias(&mut copy, &(start..self.at));
        match self.copies.checked_sub(leaves) {
            Some(left) => self.copies = left,
            None => return Err(Syntax::new(start, "the aliases stand for too much")),
        }
        self.no_key_here(start)?;
        Ok(copy)
    }

    /// Reads a key up to and including its colon, if one stands here.
    fn key(&mut self) -> Result<Option<Key>> {
        let (start, line_start) = (self.at, self.line_start);
        if self.byte() == Some(b'?') && self.blank_after(1) {
            return self.explicit_key().map(Some);
        }
        let end = self.line_end();
        let properties = self.properties();
        let key = match self.byte() {
            Some(b'"') if properties.is_ok() => self.quoted_key(Self::double_quoted, end)?,
            Some(b'\'') if properties.is_ok() => self.quoted_key(Self::single_quoted, end)?,
            Some(
                b'[' | b'{' | b'|' | b'>' | b'#' | b'*' | b'@' | b'`' | b',' | b']' | b'}' | b'&'
                | b'!' | b'\n',
            )
            | None => None,
            _ => self.plain_key(end)?,
        };
        if key.is_none() {
            (self.at, self.line_start) = (start, line_start);
            return Ok(None);
        }
        if let (
            Ok(Properties {
                anchor: Some(anchor),
                ..
            }),
            Some(name),
        ) = (properties, &key)
        {
            let value = Value::text(name.clone());
            self.anchors.insert(
                anchor,
                Node::Scalar(Scalar {
                    value,
                    place: Place::default(),
                }),
            );
        }
        Ok(key.map(|name| Key { name, at: start }))
    }

    fn quoted_key(
        &mut self,
        read: fn(&mut Self) -> Result<Zeroizing<String>>,
        end: usize,
    ) -> Result<Option<String>> {
        let text = read(self)?;
        if self.at > end {
            return Ok(None);
        }
        self.skip_blanks();
        if self.byte() == Some(b':') && self.blank_after(1) {
            self.at += 1;
            return Ok(Some(text.to_string()));
        }
        Ok(None)
    }

    fn plain_key(&mut self, end: usize) -> Result<Option<String>> {
        let start = self.at;
        let mut at = start;
        while at < end {
            match self.bytes[at] {
                b':' if self
                    .bytes
                    .get(at + 1)
                    .is_none_or(|c| matches!(c, b' ' | b'\t' | b'\n' | b'\r')) =>
                {
                    let name = self.source[start..at].trim_end_matches([' ', '\t']);
                    self.at = at + 1;
                    return Self::text_key(name, start).map(Some);
                }
                b'#' if at > start && matches!(self.bytes[at - 1], b' ' | b'\t') => {
                    return Ok(None);
                }
                _ => at += 1,
            }
        }
        Ok(None)
    }

    /// A plain key must mean a text: `1:`, `true:` and `~:` do not.
    fn text_key(name: &str, at: usize) -> Result<String> {
        match resolve::plain(name) {
            Ok(Value::Text(text)) => Ok(text.to_string()),
            _ => Err(Syntax::new(
                at,
                format!("the key '{}' is no text: quote it", name.escape_debug()),
            )),
        }
    }

    fn explicit_key(&mut self) -> Result<Key> {
        let (start, column) = (self.at, self.column());
        self.at += 1;
        let content = self.next_content()?.filter(|found| *found > column);
        let name = match content {
            Some(_) => match self.inline_block(column)? {
                Node::Scalar(Scalar {
                    value: Value::Text(text),
                    ..
                }) => text.to_string(),
                _ => return Err(Syntax::new(start, "only texts can be keys")),
            },
            None => return Err(Syntax::new(start, "only texts can be keys")),
        };
        if self.next_content()? != Some(column) || self.byte() != Some(b':') || !self.blank_after(1)
        {
            return Err(Syntax::new(
                start,
                "the key has no ':' on a line of its own",
            ));
        }
        self.at += 1;
        Ok(Key { name, at: start })
    }

    fn inline_block(&mut self, column: usize) -> Result<Node> {
        let properties = self.properties()?;
        self.inline_node(Some(column), &properties)
    }

    fn block_map(&mut self, column: usize, first: Key) -> Result<Map> {
        let mut map = Map {
            column,
            span: first.at..first.at,
            ..Map::default()
        };
        let mut key = first;
        loop {
            let pair = self.pair(column, key, &mut map.entries)?;
            map.span.end = pair.node.span().end.max(pair.at);
            map.entries.push(Entry::Pair(pair));
            let next = self.next_content()?;
            if next != Some(column) || (self.byte() == Some(b'-') && self.blank_after(1)) {
                if next.is_some_and(|next| next > column) {
                    return self.fail("the indentation fits no mapping above");
                }
                map.entries.extend(
                    self.comments_at_end(column, next, false)
                        .into_iter()
                        .map(Entry::Comment),
                );
                return Ok(map);
            }
            map.entries.extend(self.take_pending().map(Entry::Comment));
            key = match self.key()? {
                Some(key) => key,
                None => return self.fail("a key and a ':' should stand here"),
            };
        }
    }

    /// A pair whose key has been read. Its comments go before it, as sops orders them.
    fn pair(&mut self, column: usize, key: Key, entries: &mut Vec<Entry>) -> Result<Pair> {
        let line_start = self.source[..key.at].rfind('\n').map_or(0, |at| at + 1);
        let alone = self.source[line_start..key.at]
            .trim_matches(['\u{feff}', ' '])
            .is_empty();
        let begin = if alone { line_start } else { key.at };
        let colon_end = self.at;
        self.skip_blanks();
        let mut node = if self.at_line_break() || self.byte() == Some(b'#') {
            self.value_below(colon_end, column, entries)?
        } else {
            self.block_node(self.column(), Some(column), true)?
        };
        let mut comment = None;
        self.line_comment(&node, |found| comment = Some(found))?;
        if let Some(comment) = comment {
            // Behind brackets or braces it belongs to what is inside.
            match &mut node {
                Node::Map(map) => map.entries.insert(0, Entry::Comment(comment)),
                Node::List(list) => list.items.insert(0, Item::Comment(comment)),
                Node::Scalar(_) => entries.push(Entry::Comment(comment)),
            }
        }
        let end = self.after_line(node.span().end.max(colon_end));
        Ok(Pair {
            key: key.name,
            at: key.at,
            sign: colon_end,
            region: begin..end,
            node,
        })
    }

    /// What follows a key at whose colon the line ends.
    fn value_below(
        &mut self,
        colon_end: usize,
        column: usize,
        entries: &mut Vec<Entry>,
    ) -> Result<Node> {
        let content = self.next_content()?;
        if self
            .pending
            .first()
            .is_some_and(|found| !found.comment.alone)
        {
            entries.push(Entry::Comment(self.pending.remove(0).comment));
        }
        match content {
            Some(inner) if inner > column => self.nested(inner, column, entries),
            Some(inner) if inner == column && self.byte() == Some(b'-') && self.blank_after(1) => {
                self.deeper()?;
                let head: Vec<Comment> = self.take_pending().collect();
                let mut list = self.block_list(inner)?;
                self.depth -= 1;
                drop(list.items.splice(0..0, head.into_iter().map(Item::Comment)));
                Ok(Node::List(list))
            }
            _ => Ok(nothing(colon_end, Some(column), false)),
        }
    }

    /// A value on a line below its key: its comments belong to it if it is a collection, else to the mapping.
    fn nested(&mut self, inner: usize, column: usize, entries: &mut Vec<Entry>) -> Result<Node> {
        let head: Vec<Comment> = self.take_pending().collect();
        let mut node = self.block_node(inner, Some(column), false)?;
        match &mut node {
            Node::Map(map) => drop(
                map.entries
                    .splice(0..0, head.into_iter().map(Entry::Comment)),
            ),
            Node::List(list) => drop(list.items.splice(0..0, head.into_iter().map(Item::Comment))),
            Node::Scalar(_) => entries.extend(head.into_iter().map(Entry::Comment)),
        }
        Ok(node)
    }

    /// After a scalar or a flow collection only a comment may stand on the line.
    fn line_comment(&mut self, node: &Node, take: impl FnOnce(Comment)) -> Result<()> {
        let block = match node {
            Node::Map(map) => !map.flow && !map.entries.is_empty(),
            Node::List(list) => !list.flow && !list.items.is_empty(),
            Node::Scalar(scalar) => matches!(scalar.place.style, Style::Literal | Style::Folded),
        };
        if block || self.column() == 0 {
            return Ok(());
        }
        let before = self.at;
        self.skip_blanks();
        if self.byte() == Some(b'#') && self.at > before {
            let mut fresh = self.pending.len();
            self.comment(&mut fresh);
            if let Some(found) = self.pending.pop() {
                take(found.comment);
            }
        } else if !self.at_line_break() && self.column() != 0 && !self.only_blank_before() {
            return self.fail("something stands after the value");
        }
        Ok(())
    }

    fn only_blank_before(&self) -> bool {
        self.source[self.line_start..self.at].trim().is_empty()
    }

    fn block_list(&mut self, column: usize) -> Result<List> {
        let mut list = List {
            column,
            span: self.at..self.at,
            ..List::default()
        };
        loop {
            let dash = self.at;
            let line_start = self.source[..dash].rfind('\n').map_or(0, |at| at + 1);
            let begin = if self.source[line_start..dash].trim().is_empty() {
                line_start
            } else {
                dash
            };
            self.at += 1;
            let node = self.element(column, &mut list.items)?;
            list.span.end = node.span().end.max(dash + 1);
            let end = self.after_line(list.span.end);
            list.items.push(Item::Element {
                region: begin..end,
                node,
            });
            let next = self.next_content()?;
            let dash_next = self.byte() == Some(b'-') && self.blank_after(1);
            if next != Some(column) || !dash_next {
                if next.is_some_and(|next| next > column) {
                    return self.fail("the indentation fits no sequence above");
                }
                let same = next == Some(column);
                list.items.extend(
                    self.comments_at_end(column, next, same)
                        .into_iter()
                        .map(Item::Comment),
                );
                return Ok(list);
            }
            list.items.extend(self.take_pending().map(Item::Comment));
        }
    }

    /// What stands after a dash. Its comments go before it.
    fn element(&mut self, column: usize, items: &mut Vec<Item>) -> Result<Node> {
        let dash_end = self.at;
        self.skip_blanks();
        let node = if self.at_line_break() || self.byte() == Some(b'#') {
            match self.next_content()? {
                Some(inner) if inner > column => {
                    items.extend(self.take_pending().map(Item::Comment));
                    self.block_node(inner, Some(column), false)?
                }
                _ => {
                    let inline = self
                        .pending
                        .iter()
                        .take_while(|found| !found.comment.alone)
                        .count();
                    items.extend(
                        self.pending
                            .drain(..inline)
                            .map(|found| Item::Comment(found.comment)),
                    );
                    nothing(dash_end, Some(column), false)
                }
            }
        } else {
            self.block_node(self.column(), Some(column), false)?
        };
        self.line_comment(&node, |comment| items.push(Item::Comment(comment)))?;
        Ok(mark_element(node))
    }

    /// Builds a leaf: its meaning from style and tag, its place from what surrounds it.
    fn scalar(
        span: Range<usize>,
        style: Style,
        text: &str,
        properties: &Properties,
        parent: Option<usize>,
        flow: bool,
    ) -> Result<Node> {
        let tag = properties.tag.as_deref().map(short_tag);
        let (value, typed) = match (tag, style) {
            (None, Style::Plain) => (plain_value(text, span.start)?, false),
            (Some("!int" | "!float" | "!bool" | "!null" | "!timestamp"), _) => {
                (plain_value(text, span.start)?, true)
            }
            (Some("!binary"), _) => (binary(text, span.start)?, true),
            _ => (Value::text(text), false),
        };
        let place = Place {
            sign: span.start,
            span,
            style,
            column: parent.unwrap_or(0),
            element: false,
            flow,
            typed,
            alias: false,
        };
        Ok(Node::Scalar(Scalar { value, place }))
    }

    fn plain_scalar(&mut self, parent: Option<usize>, properties: &Properties) -> Result<Node> {
        let start = self.at;
        let first = self.plain_line(false)?;
        let mut end = self.at;
        let mut text = Zeroizing::new(self.source[first].to_owned());
        while !matches!(
            self.source[end..]
                .trim_start_matches([' ', '\t'])
                .bytes()
                .next(),
            Some(b'#')
        ) {
            let Some(breaks) = self.continuation(parent) else {
                break;
            };
            let line = self.plain_line(false)?;
            end = self.at;
            fold(&mut text, breaks);
            text.push_str(&self.source[line]);
        }
        self.back_to(end);
        Self::scalar(start..end, Style::Plain, &text, properties, parent, false)
    }

    /// Moves back to the end of a value, after having looked at what follows.
    fn back_to(&mut self, at: usize) {
        self.at = at;
        self.line_start = self.source[..at].rfind('\n').map_or(0, |at| at + 1);
    }

    /// Moves to the next line of a plain scalar, if there is one: gives the number of line breaks between.
    fn continuation(&mut self, parent: Option<usize>) -> Option<usize> {
        let mut breaks = 0;
        loop {
            self.skip_blanks();
            if !self.at_line_break() {
                break;
            }
            self.byte()?;
            self.next_line();
            breaks += 1;
        }
        let deep = parent.is_none_or(|parent| self.column() > parent);
        (breaks > 0 && deep && self.byte() != Some(b'#') && !self.at_document_mark())
            .then_some(breaks)
    }

    /// The rest of a plain scalar on this line, without blanks at its end.
    fn plain_line(&mut self, flow: bool) -> Result<Range<usize>> {
        let start = self.at;
        let mut end = start;
        while let Some(c) = self.byte() {
            match c {
                b'\n' => break,
                b'\r' if self.byte_after(1) == Some(b'\n') => break,
                b'#' if self.at > start && matches!(self.bytes[self.at - 1], b' ' | b'\t') => break,
                b':' if self.blank_after(1)
                    || (flow
                        && matches!(
                            self.byte_after(1),
                            Some(b',' | b'[' | b']' | b'{' | b'}')
                        )) =>
                {
                    if flow {
                        break;
                    }
                    return self.fail("a mapping cannot begin here: quote the value");
                }
                b',' | b'[' | b']' | b'{' | b'}' if flow => break,
                b' ' | b'\t' => {}
                _ => end = self.at + 1,
            }
            self.at += 1;
        }
        self.at = end;
        Ok(start..end)
    }

    fn single_quoted(&mut self) -> Result<Zeroizing<String>> {
        let start = self.at;
        self.at += 1;
        let mut text = Zeroizing::new(String::new());
        loop {
            let from = self.at;
            let length = self.source[from..].find(['\'', '\n']);
            let Some(length) = length else {
                return Err(Syntax::new(start, "the quote is never closed"));
            };
            self.at = from + length;
            if self.byte() == Some(b'\n') {
                self.quoted_break(&mut text, from)?;
                continue;
            }
            text.push_str(&self.source[from..self.at]);
            self.at += 1;
            if self.byte() != Some(b'\'') {
                return Ok(text);
            }
            text.push('\'');
            self.at += 1;
        }
    }

    /// A line break inside quotes: blanks around it go, one break becomes a blank.
    fn quoted_break(&mut self, text: &mut Zeroizing<String>, from: usize) -> Result<()> {
        let line = self.source[from..self.at].trim_end_matches(['\r', ' ', '\t']);
        text.push_str(line);
        let mut breaks = 0;
        while self.at_line_break() && self.byte().is_some() {
            self.next_line();
            breaks += 1;
            if self.at_document_mark() {
                return self.fail("the document ends inside quotes");
            }
            self.skip_blanks();
        }
        fold(text, breaks);
        Ok(())
    }

    fn double_quoted(&mut self) -> Result<Zeroizing<String>> {
        let start = self.at;
        self.at += 1;
        let mut text = Zeroizing::new(String::new());
        loop {
            let from = self.at;
            let length = self.source[from..].find(['"', '\\', '\n']);
            let Some(length) = length else {
                return Err(Syntax::new(start, "the quote is never closed"));
            };
            self.at = from + length;
            match self.byte() {
                Some(b'\n') => self.quoted_break(&mut text, from)?,
                Some(b'"') => {
                    text.push_str(&self.source[from..self.at]);
                    self.at += 1;
                    return Ok(text);
                }
                _ => {
                    text.push_str(&self.source[from..self.at]);
                    self.at += 1;
                    self.escape(&mut text)?;
                }
            }
        }
    }

    fn escape(&mut self, text: &mut Zeroizing<String>) -> Result<()> {
        if self.at_line_break() && self.byte().is_some() {
            self.next_line();
            self.skip_blanks();
            return Ok(());
        }
        let Some(sign) = self.source[self.at..].chars().next() else {
            return self.fail("an escape is cut off");
        };
        let digits = match sign {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        self.at += sign.len_utf8();
        if digits > 0 {
            let code = self
                .source
                .get(self.at..self.at + digits)
                .and_then(|code| u32::from_str_radix(code, 16).ok());
            let Some(c) = code.and_then(char::from_u32) else {
                return self.fail("this escape names no character");
            };
            text.push(c);
            self.at += digits;
            return Ok(());
        }
        let Some(c) = simple_escape(sign) else {
            return self.fail("there is no such escape");
        };
        text.push(c);
        Ok(())
    }

    fn block_scalar(&mut self, parent: Option<usize>, properties: &Properties) -> Result<Node> {
        let start = self.at;
        let folded = self.byte() == Some(b'>');
        self.at += 1;
        let (mut chomp, mut hint) = (None, None);
        while let Some(c) = self.byte() {
            match c {
                b'+' | b'-' if chomp.is_none() => chomp = Some(c),
                b'1'..=b'9' if hint.is_none() => hint = Some(usize::from(c - b'0')),
                _ => break,
            }
            self.at += 1;
        }
        let header_end = self.at;
        self.skip_blanks();
        let commented = self.byte() == Some(b'#') && self.at > header_end;
        if commented {
            let mut fresh = self.pending.len();
            self.comment(&mut fresh);
        }
        if !self.at_line_break() {
            return self.fail("something stands after the sign of a block");
        }
        let line_end = self.at;
        self.next_line();
        let least = parent.map_or(1, |parent| parent + 1);
        let column = match hint {
            Some(hint) => parent.unwrap_or(0) + hint,
            None => self.block_indent().max(least),
        };
        let lines = self.block_body(column)?;
        let (text, end) = block_text(self.source, &lines, folded, chomp, header_end.max(line_end));
        let style = if folded {
            Style::Folded
        } else {
            Style::Literal
        };
        let span = if commented { line_end } else { start }..end;
        let mut node = Self::scalar(span, style, &text, properties, parent, false)?;
        if let Node::Scalar(scalar) = &mut node {
            scalar.place.sign = start;
        }
        Ok(node)
    }

    /// The indentation of the first line of a block that is not empty.
    fn block_indent(&self) -> usize {
        let mut at = self.at;
        let mut widest = 0;
        while at < self.source.len() {
            let end = self.source[at..]
                .find('\n')
                .map_or(self.source.len(), |length| at + length);
            let line = self.source[at..end].trim_end_matches('\r');
            let blanks = line.len() - line.trim_start_matches(' ').len();
            if blanks < line.len() {
                return blanks;
            }
            widest = widest.max(blanks);
            at = end + 1;
        }
        widest
    }

    /// The lines of a block: each without its indentation, with whether a line break ends it.
    fn block_body(&mut self, column: usize) -> Result<Vec<(Range<usize>, bool)>> {
        let mut lines = Vec::new();
        let mut filled = 0;
        let mut after = (self.at, self.line_start);
        while self.byte().is_some() {
            let end = self.line_end();
            let line = &self.source[self.at..end];
            let blanks = line.len() - line.trim_start_matches(' ').len();
            let empty = blanks == line.len();
            if (!empty && blanks < column) || (column == 0 && self.at_document_mark()) {
                if line[blanks..].starts_with('\t') && blanks < column {
                    return self.fail("a tab where YAML wants spaces");
                }
                break;
            }
            let text = self.at + blanks.min(column)..end;
            let text = if empty && blanks <= column {
                end..end
            } else {
                text
            };
            self.at = end;
            let broken = self.byte().is_some();
            self.next_line();
            lines.push((text.clone(), broken));
            if !text.is_empty() {
                filled = lines.len();
                after = (self.at, self.line_start);
            }
        }
        // Empty lines at the end belong to the block only where it keeps them; the reader of comments sees them again.
        let _ = filled;
        (self.at, self.line_start) = after;
        Ok(lines)
    }

    fn flow_list(&mut self) -> Result<List> {
        self.deeper()?;
        let mut list = List {
            flow: true,
            span: self.at..self.at,
            column: self.column(),
            ..List::default()
        };
        self.at += 1;
        loop {
            self.flow_content()?;
            list.items.extend(self.take_pending().map(Item::Comment));
            if self.byte() == Some(b']') {
                break;
            }
            let begin = self.at;
            let node = mark_element(self.flow_node(true)?);
            self.flow_content()?;
            let node = if self.byte() == Some(b':') {
                self.flow_single_pair(begin, node)?
            } else {
                node
            };
            let comma = self.byte() == Some(b',');
            self.at += usize::from(comma);
            list.items.push(Item::Element {
                region: begin..self.at,
                node,
            });
            list.items.extend(self.take_pending().map(Item::Comment));
            if !comma && self.byte() != Some(b']') {
                return self.fail("a ',' or a ']' should stand here");
            }
        }
        self.at += 1;
        list.span.end = self.at;
        self.depth -= 1;
        Ok(list)
    }

    /// `[a: b]`, which is a sequence of a mapping.
    fn flow_single_pair(&mut self, begin: usize, key: Node) -> Result<Node> {
        let Node::Scalar(Scalar {
            value: Value::Text(name),
            ..
        }) = key
        else {
            return Err(Syntax::new(begin, "only texts can be keys"));
        };
        self.at += 1;
        self.flow_content()?;
        let node = self.flow_node(false)?;
        self.flow_content()?;
        let pair = Pair {
            key: name.to_string(),
            at: begin,
            sign: node.span().start,
            region: begin..self.at,
            node,
        };
        Ok(Node::Map(Map {
            entries: vec![Entry::Pair(pair)],
            span: begin..self.at,
            column: 0,
            flow: true,
        }))
    }

    fn flow_map(&mut self) -> Result<Map> {
        self.deeper()?;
        let mut map = Map {
            flow: true,
            span: self.at..self.at,
            column: self.column(),
            ..Map::default()
        };
        self.at += 1;
        loop {
            self.flow_content()?;
            map.entries.extend(self.take_pending().map(Entry::Comment));
            if self.byte() == Some(b'}') {
                break;
            }
            let begin = self.at;
            let (name, node) = self.flow_member()?;
            self.flow_content()?;
            map.entries.extend(self.take_pending().map(Entry::Comment));
            let comma = self.byte() == Some(b',');
            self.at += usize::from(comma);
            map.entries.push(Entry::Pair(Pair {
                key: name,
                at: begin,
                sign: node.span().start,
                region: begin..self.at,
                node,
            }));
            if !comma && self.byte() != Some(b'}') {
                return self.fail("a ',' or a '}' should stand here");
            }
        }
        self.at += 1;
        map.span.end = self.at;
        self.depth -= 1;
        Ok(map)
    }

    /// A key and its value in braces; without a colon the value is null.
    fn flow_member(&mut self) -> Result<(String, Node)> {
        let begin = self.at;
        let Node::Scalar(Scalar {
            value: Value::Text(name),
            ..
        }) = self.flow_node(true)?
        else {
            return Err(Syntax::new(begin, "only texts can be keys: quote it"));
        };
        self.flow_content()?;
        if self.byte() != Some(b':') {
            return Ok((name.to_string(), nothing(self.at, None, true)));
        }
        self.at += 1;
        self.flow_content()?;
        Ok((name.to_string(), self.flow_node(false)?))
    }

    /// Moves to the next content inside brackets or braces.
    fn flow_content(&mut self) -> Result<()> {
        loop {
            self.skip_blanks();
            if self.at_line_break() {
                if self.byte().is_none() {
                    return self.fail("the brackets or braces are never closed");
                }
                self.next_line();
            } else if self.byte() == Some(b'#')
                && (self.at == 0 || matches!(self.bytes[self.at - 1], b' ' | b'\t' | b'\n'))
            {
                let mut fresh = self.pending.len();
                self.comment(&mut fresh);
            } else if self.at_document_mark() {
                return self.fail("the brackets or braces are never closed");
            } else {
                return Ok(());
            }
        }
    }

    fn flow_node(&mut self, key: bool) -> Result<Node> {
        let properties = self.properties()?;
        let start = self.at;
        let node = match self.byte() {
            Some(b'[') => Node::List(self.flow_list()?),
            Some(b'{') => Node::Map(self.flow_map()?),
            Some(b'*') => {
                let node = self.flow_alias()?;
                return Ok(node);
            }
            Some(b'"') => {
                let text = self.double_quoted()?;
                Self::scalar(
                    start..self.at,
                    Style::Double,
                    &text,
                    &properties,
                    None,
                    true,
                )?
            }
            Some(b'\'') => {
                let text = self.single_quoted()?;
                Self::scalar(
                    start..self.at,
                    Style::Single,
                    &text,
                    &properties,
                    None,
                    true,
                )?
            }
            Some(b',' | b']' | b'}') | None => {
                Self::scalar(start..start, Style::Plain, "", &properties, None, true)?
            }
            Some(b'?') if self.blank_after(1) && key => {
                return self.fail("'?' inside braces is not supported");
            }
            _ => self.flow_plain(&properties)?,
        };
        if let Some(name) = properties.anchor {
            self.anchors.insert(name, node.clone());
        }
        Ok(node)
    }

    fn flow_alias(&mut self) -> Result<Node> {
        let start = self.at;
        let name = self.word(start + 1);
        self.at = start;
        let end = start + 1 + name.trim_end_matches(':').len();
        let node = self.alias();
        self.at = end.min(self.at);
        node
    }

    fn flow_plain(&mut self, properties: &Properties) -> Result<Node> {
        let start = self.at;
        let first = self.plain_line(true)?;
        if first.is_empty() {
            return self.fail("this sign cannot begin a plain value: quote it");
        }
        let mut text = Zeroizing::new(self.source[first].to_owned());
        let mut end = self.at;
        while let Some(breaks) = self.continuation(None) {
            if matches!(self.byte(), Some(b',' | b'[' | b']' | b'{' | b'}' | b':')) {
                break;
            }
            let line = self.plain_line(true)?;
            end = self.at;
            fold(&mut text, breaks);
            text.push_str(&self.source[line]);
        }
        self.back_to(end);
        Self::scalar(start..end, Style::Plain, &text, properties, None, true)
    }
}

/// The null that stands where nothing is written.
fn nothing(at: usize, parent: Option<usize>, flow: bool) -> Node {
    let place = Place {
        sign: at,
        span: at..at,
        column: parent.unwrap_or(0),
        flow,
        ..Place::default()
    };
    Node::Scalar(Scalar {
        value: Value::Null,
        place,
    })
}

/// Joins two lines of a folded text.
fn fold(text: &mut Zeroizing<String>, breaks: usize) {
    if breaks == 1 {
        text.push(' ');
    }
    text.extend(std::iter::repeat_n('\n', breaks.saturating_sub(1)));
}

fn simple_escape(sign: char) -> Option<char> {
    Some(match sign {
        '0' => '\0',
        'a' => '\u{7}',
        'b' => '\u{8}',
        't' | '\t' => '\t',
        'n' => '\n',
        'v' => '\u{b}',
        'f' => '\u{c}',
        'r' => '\r',
        'e' => '\u{1b}',
        ' ' | '"' | '/' | '\\' | '\'' => sign,
        'N' => '\u{85}',
        '_' => '\u{a0}',
        'L' => '\u{2028}',
        'P' => '\u{2029}',
        _ => return None,
    })
}

fn short_tag(tag: &str) -> &str {
    let tag = tag
        .strip_prefix('<')
        .and_then(|tag| tag.strip_suffix('>'))
        .unwrap_or(tag);
    match tag.strip_prefix("tag:yaml.org,2002:") {
        Some("str") => "!str",
        Some("int") => "!int",
        Some("float") => "!float",
        Some("bool") => "!bool",
        Some("null") => "!null",
        Some("timestamp") => "!timestamp",
        Some("binary") => "!binary",
        _ => tag,
    }
}

fn plain_value(text: &str, at: usize) -> Result<Value> {
    resolve::plain(text)
        .map_err(|_| Syntax::new(at, "the integer is beyond 64 bits with a sign: quote it"))
}

fn binary(text: &str, at: usize) -> Result<Value> {
    use base64::Engine as _;
    let packed: String = text.split_whitespace().collect();
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(packed)
        .map_err(|_| Syntax::new(at, "this is no base64"))?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => Value::text(text),
        Err(error) => Value::Bytes(Zeroizing::new(error.into_bytes())),
    })
}

/// Applies properties that stood on the line above to a scalar.
fn retag(node: Node, properties: &Properties) -> Node {
    match (node, properties.tag.as_deref().map(short_tag)) {
        (Node::Scalar(mut scalar), Some(tag)) => {
            scalar.place.typed |= matches!(
                tag,
                "!int" | "!float" | "!bool" | "!null" | "!timestamp" | "!binary"
            );
            Node::Scalar(scalar)
        }
        (node, _) => node,
    }
}

fn mark_element(mut node: Node) -> Node {
    if let Node::Scalar(scalar) = &mut node {
        scalar.place.element = true;
    }
    node
}

/// Marks a copy as reached through an alias; gives the number of its leaves.
fn mark_alias(node: &mut Node, span: &Range<usize>) -> usize {
    match node {
        Node::Scalar(scalar) => {
            scalar.place.alias = true;
            scalar.place.span = span.clone();
            1
        }
        Node::Map(map) => {
            map.span = span.clone();
            let mut leaves = 1;
            for entry in &mut map.entries {
                match entry {
                    Entry::Comment(comment) => comment.alias = true,
                    Entry::Pair(pair) => leaves += mark_alias(&mut pair.node, span),
                }
            }
            leaves
        }
        Node::List(list) => {
            list.span = span.clone();
            let mut leaves = 1;
            for item in &mut list.items {
                match item {
                    Item::Comment(comment) => comment.alias = true,
                    Item::Element { node, .. } => leaves += mark_alias(node, span),
                }
            }
            leaves
        }
    }
}

/// The text of a block and the end of its source (without the line break of its last line).
fn block_text(
    source: &str,
    lines: &[(Range<usize>, bool)],
    folded: bool,
    chomp: Option<u8>,
    header_end: usize,
) -> (Zeroizing<String>, usize) {
    let filled = lines
        .iter()
        .rposition(|(line, _)| !line.is_empty())
        .map_or(0, |last| last + 1);
    let mut text = Zeroizing::new(String::new());
    let is_more = |line: &str| line.starts_with([' ', '\t']);
    let mut empties = 0;
    let mut previous: Option<&str> = None;
    for (line, _) in &lines[..filled] {
        let line = &source[line.clone()];
        if line.is_empty() {
            empties += 1;
            continue;
        }
        match previous {
            None => text.extend(std::iter::repeat_n('\n', empties)),
            Some(previous) if folded && !is_more(previous) && !is_more(line) => {
                fold(&mut text, empties + 1);
            }
            Some(_) => text.extend(std::iter::repeat_n('\n', empties + 1)),
        }
        text.push_str(line);
        empties = 0;
        previous = Some(line);
    }
    let last_broken = filled > 0 && lines[filled - 1].1;
    let (trailing, kept) = match chomp {
        Some(b'-') => (0, filled),
        Some(_) => (
            usize::from(last_broken) + lines[filled..].iter().filter(|(_, broken)| *broken).count(),
            lines.len(),
        ),
        None => (usize::from(last_broken), filled),
    };
    text.extend(std::iter::repeat_n('\n', trailing));
    let end = match kept {
        0 => header_end,
        kept if kept == filled => lines[filled - 1].0.end,
        kept => lines[..kept]
            .last()
            .map_or(header_end, |(line, _)| line.end),
    };
    (text, end)
}
