//! Anchors, tags and aliases.

use std::ops::Range;

use super::{Parser, Properties, Result};
use crate::tree::{Entry, Item, Node, Syntax};

impl Parser<'_> {
    pub(super) fn properties(&mut self) -> Result<Properties> {
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
    pub(super) fn word(&mut self, start: usize) -> String {
        let verbatim = self.source[start..].starts_with('<');
        let ends =
            |c: char| c.is_whitespace() || (!verbatim && matches!(c, ',' | '[' | ']' | '{' | '}'));
        self.at = self.source[start..]
            .find(ends)
            .map_or(self.source.len(), |length| start + length);
        self.source[start..self.at].to_owned()
    }

    pub(super) fn alias(&mut self) -> Result<Node> {
        let start = self.at;
        let name = self.word(start + 1);
        let Some(node) = self.anchors.get(&name) else {
            return Err(Syntax::new(
                start,
                format!("the alias '*{name}' has no anchor before it"),
            ));
        };
        let mut copy = node.clone();
        let leaves = mark_alias(&mut copy, self.source, &(start..self.at));
        match self.copies.checked_sub(leaves) {
            Some(left) => self.copies = left,
            None => return Err(Syntax::new(start, "the aliases stand for too much")),
        }
        self.no_key_here(start)?;
        Ok(copy)
    }
}

pub(super) fn short_tag(tag: &str) -> &str {
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

/// Applies properties that stood on the line above to a scalar.
pub(super) fn retag(node: Node, properties: &Properties) -> Node {
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

/// Marks a copy as reached through an alias; gives the number of its leaves.
pub(super) fn mark_alias(node: &mut Node, source: &str, span: &Range<usize>) -> usize {
    match node {
        Node::Scalar(scalar) => {
            scalar.own(source);
            if !scalar.place.alias {
                scalar.place.anchor = scalar.place.span.start;
            }
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
                    Entry::Pair(pair) => leaves += mark_alias(&mut pair.node, source, span),
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
                    Item::Element { node, .. } => leaves += mark_alias(node, source, span),
                }
            }
            leaves
        }
    }
}
