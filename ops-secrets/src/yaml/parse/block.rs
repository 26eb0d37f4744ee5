//! Block style: mappings, sequences and what stands below a key or behind a dash.

use super::scalar::{mark_element, nothing};
use super::{Found, Key, Parser, Properties, Result};
use crate::tree::{Comment, Entry, Item, List, Map, Node, Pair, Style, Syntax};

impl Parser<'_> {
    /// A node in block style at the present place. `parent` is the column of the container; `inline` forbids block
    /// collections, because a key stands before on the line.
    pub(super) fn block_node(
        &mut self,
        column: usize,
        parent: Option<usize>,
        inline: bool,
    ) -> Result<Node> {
        self.deeper()?;
        let node = self.block_node_inner(column, parent, inline, Properties::default());
        self.depth -= 1;
        node
    }

    /// `above`: what stood on the line above.
    fn block_node_inner(
        &mut self,
        column: usize,
        parent: Option<usize>,
        inline: bool,
        above: Properties,
    ) -> Result<Node> {
        if !inline {
            if self.byte() == Some(b'-') && self.blank_after(1) {
                return self.block_list(column).map(Node::List);
            }
            if let Some(key) = self.key()? {
                return self.block_map(column, key).map(Node::Map);
            }
        }
        let properties = self.properties(above)?;
        let marked = properties.anchor.is_some() || properties.tag.is_some();
        let node = if marked && (self.at_line_break() || self.byte() == Some(b'#')) {
            self.node_below(parent, properties.clone())?
        } else {
            self.inline_node(parent, &properties)?
        };
        if let Some(name) = properties.anchor {
            self.anchors.insert(name, node.clone());
        }
        Ok(node)
    }

    /// A node whose properties stand alone on their line.
    pub(super) fn node_below(
        &mut self,
        parent: Option<usize>,
        properties: Properties,
    ) -> Result<Node> {
        let after = self.at;
        let content = self.next_content()?;
        let deeper = content.filter(|column| parent.is_none_or(|parent| *column > parent));
        match (deeper, content, parent) {
            (Some(column), ..) => {
                let foot = self.first_foot();
                let head = std::mem::take(&mut self.pending);
                self.deeper()?;
                let mut node = self.block_node_inner(column, parent, false, properties)?;
                self.depth -= 1;
                put_foot(&mut node, foot)?;
                let comments = head.iter().map(|found| found.comment.clone());
                match &mut node {
                    Node::Map(map) => begin(&mut map.entries, comments.map(Entry::Comment)),
                    Node::List(list) => begin(&mut list.items, comments.map(Item::Comment)),
                    Node::Scalar(_) => begin(&mut self.pending, head),
                }
                Ok(node)
            }
            (None, Some(column), Some(parent))
                if column == parent && self.byte() == Some(b'-') && self.blank_after(1) =>
            {
                let head: Vec<Comment> = self.take_pending().collect();
                let mut list = self.block_list(column)?;
                begin(&mut list.items, head.into_iter().map(Item::Comment));
                Self::none_astray(&list)?;
                Ok(Node::List(list))
            }
            _ => self.scalar(after..after, Style::Plain, "", &properties, parent, false),
        }
    }

    pub(super) fn inline_node(
        &mut self,
        parent: Option<usize>,
        properties: &Properties,
    ) -> Result<Node> {
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
            Some(b'*') if properties.anchor.is_none() && properties.tag.is_none() => self.alias(),
            Some(b'"') => {
                let text = self.double_quoted()?;
                self.no_key_here(start)?;
                self.scalar(
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
                self.scalar(
                    start..self.at,
                    Style::Single,
                    &text,
                    properties,
                    parent,
                    false,
                )
            }
            Some(b'|' | b'>') => self.block_scalar(parent, properties),
            Some(b'@' | b'`' | b'%' | b']' | b'}' | b',' | b'*') => {
                self.fail("this sign cannot begin a plain value: quote it")
            }
            Some(b'-' | b'?' | b':') if self.blank_after(1) => {
                self.fail("a sequence or mapping cannot begin here: put it on a line of its own")
            }
            _ => self.plain_scalar(parent, properties),
        }
    }

    /// A collection or quoted value that turns out to be a key, where no key can stand or none that sops knows.
    pub(super) fn no_key_here(&mut self, start: usize) -> Result<()> {
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

    pub(super) fn inline_block(&mut self, column: usize) -> Result<Node> {
        let properties = self.properties(Properties::default())?;
        self.inline_node(Some(column), &properties)
    }

    pub(super) fn block_map(&mut self, column: usize, first: Key) -> Result<Map> {
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
                    self.comments_at_end(column, next)
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
    pub(super) fn pair(
        &mut self,
        column: usize,
        key: Key,
        entries: &mut Vec<Entry>,
    ) -> Result<Pair> {
        let before = &self.bytes[..key.at];
        let line_start = (before.iter().rposition(|c| *c == b'\n')).map_or(0, |at| at + 1);
        let alone = self.source[line_start..key.at]
            .trim_matches(['\u{feff}', ' '])
            .is_empty();
        let begin = if alone { line_start } else { key.at };
        let (colon_end, explicit) = (self.at, key.explicit);
        self.blanks_after_sign(explicit)?;
        if explicit {
            // Between the key and its colon.
            entries.extend(self.take_pending().map(Entry::Comment));
        }
        let before = self.pending.len();
        let mut node = if self.at_line_break() || self.byte() == Some(b'#') {
            self.value_below(colon_end, column, entries)?
        } else {
            // After a colon on a line of its own, a collection may begin.
            let node = self.block_node(self.column(), Some(column), !explicit)?;
            entries.extend(self.inside(&node, before).map(Entry::Comment));
            node
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
    pub(super) fn value_below(
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
                begin(&mut list.items, head.into_iter().map(Item::Comment));
                Self::none_astray(&list)?;
                Ok(Node::List(list))
            }
            _ => Ok(nothing(colon_end, Some(column), false)),
        }
    }

    /// A value on a line below its key: its comments belong to it if it is a collection, else to the mapping.
    pub(super) fn nested(
        &mut self,
        inner: usize,
        column: usize,
        entries: &mut Vec<Entry>,
    ) -> Result<Node> {
        let head: Vec<Comment> = self.take_pending().collect();
        let mut node = self.block_node(inner, Some(column), false)?;
        match &mut node {
            Node::Map(map) => begin(&mut map.entries, head.into_iter().map(Entry::Comment)),
            Node::List(list) => {
                begin(&mut list.items, head.into_iter().map(Item::Comment));
                Self::none_astray(list)?;
            }
            Node::Scalar(_) => entries.extend(head.into_iter().map(Entry::Comment)),
        }
        Ok(node)
    }

    pub(super) fn block_list(&mut self, column: usize) -> Result<List> {
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
                let last = list.elements().last();
                if !self.pending.is_empty() && last.is_some_and(|(_, node)| is_hollow(node)) {
                    return astray(list.span.start);
                }
                Self::none_astray(&list)?;
                list.items.extend(
                    self.comments_at_end(column, next)
                        .into_iter()
                        .map(Item::Comment),
                );
                return Ok(list);
            }
            list.items.extend(self.take_pending().map(Item::Comment));
        }
    }

    /// Comments beside empty elements at the end of a sequence: go-yaml gives them to whatever follows.
    fn none_astray(list: &List) -> Result<()> {
        let hollow = |item: &&Item| matches!(item, Item::Element { node, .. } if is_hollow(node));
        let ends_hollow = list.items.last().is_some_and(|item| hollow(&item));
        match list.items.iter().rev().find(|item| !hollow(item)) {
            Some(Item::Comment(comment)) if ends_hollow => astray(comment.span.start),
            _ => Ok(()),
        }
    }

    /// What stands after a dash. Its comments go before it.
    pub(super) fn element(&mut self, column: usize, items: &mut Vec<Item>) -> Result<Node> {
        let dash_end = self.at;
        self.blanks_after_sign(true)?;
        // Inside of the element, whatever their column: no place for an element of their own.
        let inside = |comment| Comment {
            alone: false,
            ..comment
        };
        let before = self.pending.len();
        let node = if self.at_line_break() || self.byte() == Some(b'#') {
            match self.next_content()? {
                Some(inner) if inner > column => {
                    let foot = self.first_foot();
                    let head: Vec<Comment> = self.take_pending().map(inside).collect();
                    let mut node = self.block_node(inner, Some(column), false)?;
                    let head = head.into_iter();
                    match &mut node {
                        Node::Map(map) => begin(&mut map.entries, head.map(Entry::Comment)),
                        Node::List(list) => begin(&mut list.items, head.map(Item::Comment)),
                        Node::Scalar(_) => items.extend(head.map(Item::Comment)),
                    }
                    put_foot(&mut node, foot)?;
                    node
                }
                next => {
                    let goes_on =
                        next == Some(column) && self.byte() == Some(b'-') && self.blank_after(1);
                    if goes_on {
                        items.extend(self.take_pending().map(Item::Comment));
                    }
                    nothing(dash_end, Some(column), false)
                }
            }
        } else {
            let node = self.block_node(self.column(), Some(column), false)?;
            let comments = self.inside(&node, before).map(inside);
            items.extend(comments.map(Item::Comment));
            node
        };
        self.line_comment(&node, |comment| items.push(Item::Comment(comment)))?;
        Ok(mark_element(node))
    }
}

impl Parser<'_> {
    /// Comments between a dash, an anchor or a tag at the end of a line and an empty line: go-yaml makes them the foot of
    /// what comes first below.
    fn first_foot(&mut self) -> Vec<Comment> {
        let parted =
            |found: &&Found| found.comment.alone && found.touches_above && found.blank_below;
        let count = self.pending.iter().take_while(parted).count();
        let foot = self.pending.drain(..count);
        foot.map(|found| found.comment).collect()
    }

    /// Comments between the first sign of a scalar and its text, where `before` were pending at that sign: they stand above
    /// the scalar, as sops orders them. Nothing between the sign and its end: they belong to what follows.
    fn inside(&mut self, node: &Node, before: usize) -> impl Iterator<Item = Comment> {
        let start = match node {
            Node::Scalar(scalar) if !scalar.place.span.is_empty() => before,
            _ => self.pending.len(),
        };
        self.pending.drain(start..).map(|found| found.comment)
    }
}

/// Puts comments behind the first pair or element.
fn put_foot(node: &mut Node, foot: Vec<Comment>) -> Result<()> {
    let Some(first) = foot.first() else {
        return Ok(());
    };
    match node {
        Node::Map(map) => {
            let pair = |entry: &Entry| matches!(entry, Entry::Pair(_));
            let at = map.entries.iter().position(pair).map_or(0, |at| at + 1);
            drop((map.entries).splice(at..at, foot.into_iter().map(Entry::Comment)));
        }
        Node::List(list) => {
            let element = |item: &Item| matches!(item, Item::Element { .. });
            let at = list.items.iter().position(element).map_or(0, |at| at + 1);
            drop((list.items).splice(at..at, foot.into_iter().map(Item::Comment)));
        }
        Node::Scalar(_) => {
            let message = "sops gives this comment to what follows the value: take the empty line below it away";
            return Err(Syntax::new(first.span.start, message));
        }
    }
    Ok(())
}

/// Whether nothing is written, but for dashes.
fn is_hollow(node: &Node) -> bool {
    match node {
        Node::Scalar(scalar) => scalar.place.span.is_empty(),
        Node::List(list) => !list.flow && list.elements().all(|(_, node)| is_hollow(node)),
        Node::Map(_) => false,
    }
}

fn begin<T>(all: &mut Vec<T>, first: impl IntoIterator<Item = T>) {
    drop(all.splice(0..0, first));
}

fn astray<T>(at: usize) -> Result<T> {
    let message = "a comment beside an empty element goes astray in sops: write 'null' there";
    Err(Syntax::new(at, message))
}
