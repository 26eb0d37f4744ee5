//! Anchors, tags and aliases.

use std::ops::Range;

use super::{Parser, Properties, Result};
use crate::tree::{Entry, Item, Node, Syntax};

impl Parser<'_> {
    /// Reads an anchor and a tag, in addition to what is known.
    pub(super) fn properties(&mut self, mut properties: Properties) -> Result<Properties> {
        loop {
            let at = self.at;
            let (twice, anchor) = match self.byte() {
                Some(b'&') => (
                    properties.anchor.replace(self.anchor_name()?).is_some(),
                    true,
                ),
                Some(b'!') => (properties.tag.replace(self.tag_name()?).is_some(), false),
                _ => return Ok(properties),
            };
            if twice {
                return Err(Syntax::new(
                    at,
                    "a value has one anchor and one tag at most",
                ));
            }
            let ends = anchor && matches!(self.byte(), Some(b',' | b']' | b'}'));
            if !self.blank_after(0) && !ends {
                return self.fail("an anchor or a tag must be followed by a blank");
            }
            self.skip_blanks();
        }
    }

    /// The name after `&` or `*`: letters, digits, `_` and `-`, as go-yaml has it.
    fn anchor_name(&mut self) -> Result<String> {
        let start = self.at + 1;
        let named = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-');
        let length = self.bytes[start..].iter().take_while(|c| named(c)).count();
        if length == 0 {
            return self.fail("the name of an anchor is made of letters, digits, '_' and '-'");
        }
        self.at = start + length;
        Ok(self.source[start..self.at].to_owned())
    }

    /// What follows a `!`, to the next blank (or sign of flow style).
    fn tag_name(&mut self) -> Result<String> {
        let start = self.at + 1;
        let verbatim = self.source[start..].starts_with('<');
        let ends =
            |c: char| c.is_whitespace() || (!verbatim && matches!(c, ',' | '[' | ']' | '{' | '}'));
        let end = self.source[start..]
            .find(ends)
            .map_or(self.source.len(), |length| start + length);
        let name = &self.source[start..end];
        let uri = |c: char| c.is_ascii_alphanumeric() || "-_.~;/?:@&=+$!*'(),[]".contains(c);
        let (inner, handles) = match name.strip_prefix('<') {
            Some(rest) => (
                rest.strip_suffix('>').filter(|inner| !inner.is_empty()),
                true,
            ),
            None => (Some(name.strip_prefix('!').unwrap_or(name)), false),
        };
        let known = inner.is_some_and(|inner| {
            inner.chars().all(uri) && (handles || !inner.contains('!')) && (name != "!")
        });
        if !known {
            return self.fail("this tag is not known: its handle or its signs");
        }
        self.at = end;
        Ok(name.to_owned())
    }

    pub(super) fn alias(&mut self) -> Result<Node> {
        let start = self.at;
        let name = self.anchor_name()?;
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
