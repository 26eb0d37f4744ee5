//! Flow style: brackets and braces.

use zeroize::Zeroizing;

use super::quoted::fold;
use super::scalar::{mark_element, nothing};
use super::{Parser, Properties, Result};
use crate::tree::{Entry, Item, List, Map, Node, Pair, Scalar, Style, Syntax, Value};

impl Parser<'_> {
    pub(super) fn flow_list(&mut self) -> Result<List> {
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
            self.no_comma()?;
            let begin = self.at;
            let node = if self.byte() == Some(b':') {
                nothing(begin, None, true)
            } else {
                mark_element(self.flow_node()?)
            };
            self.flow_content()?;
            let node = if self.byte() == Some(b':') {
                self.near_colon(begin)?;
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

    fn no_comma(&self) -> Result<()> {
        if self.byte() == Some(b',') {
            return self.fail("nothing stands before the ','");
        }
        Ok(())
    }

    /// `[a: b]`, which is a sequence of a mapping.
    pub(super) fn flow_single_pair(&mut self, begin: usize, key: Node) -> Result<Node> {
        let Node::Scalar(Scalar {
            value: Value::Text(name),
            ..
        }) = key
        else {
            return Err(Syntax::new(begin, "only texts can be keys"));
        };
        self.at += 1;
        self.flow_content()?;
        let node = self.flow_node()?;
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

    pub(super) fn flow_map(&mut self) -> Result<Map> {
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
            self.no_comma()?;
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
    pub(super) fn flow_member(&mut self) -> Result<(String, Node)> {
        let begin = self.at;
        let Node::Scalar(Scalar {
            value: Value::Text(name),
            ..
        }) = self.flow_node()?
        else {
            return Err(Syntax::new(begin, "only texts can be keys: quote it"));
        };
        self.flow_content()?;
        if self.byte() != Some(b':') {
            return Ok((name.to_string(), nothing(self.at, None, true)));
        }
        self.near_colon(begin)?;
        self.at += 1;
        self.flow_content()?;
        Ok((name.to_string(), self.flow_node()?))
    }

    /// Moves to the next content inside brackets or braces.
    pub(super) fn flow_content(&mut self) -> Result<()> {
        loop {
            self.skip_blanks();
            if self.at_line_break() {
                if self.byte().is_none() {
                    return self.fail("the brackets or braces are never closed");
                }
                self.next_line();
            } else if self.byte() == Some(b'#') {
                let mut fresh = self.pending.len();
                self.comment(&mut fresh);
            } else if self.at_document_mark() {
                return self.fail("the brackets or braces are never closed");
            } else {
                return Ok(());
            }
        }
    }

    pub(super) fn flow_node(&mut self) -> Result<Node> {
        let properties = self.properties(Properties::default())?;
        self.flow_content()?;
        let start = self.at;
        let node = match self.byte() {
            Some(b'[') => Node::List(self.flow_list()?),
            Some(b'{') => Node::Map(self.flow_map()?),
            Some(b'*') if properties.anchor.is_none() && properties.tag.is_none() => {
                return self.alias();
            }
            Some(b'"') => {
                let text = self.double_quoted()?;
                self.scalar(
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
                self.scalar(
                    start..self.at,
                    Style::Single,
                    &text,
                    &properties,
                    None,
                    true,
                )?
            }
            Some(b',' | b']' | b'}') | None => {
                self.scalar(start..start, Style::Plain, "", &properties, None, true)?
            }
            Some(b'?') => {
                return self.fail("'?' inside brackets or braces is not supported: quote the text");
            }
            Some(b':' | b'@' | b'`' | b'%' | b'|' | b'>' | b'*' | b'&' | b'!') => {
                return self.fail("this sign cannot begin a plain value: quote it");
            }
            Some(b'-') if self.blank_after(1) => {
                return self.fail("a block sequence cannot stand inside brackets or braces");
            }
            _ => self.flow_plain(&properties)?,
        };
        if let Some(name) = properties.anchor {
            self.anchors.insert(name, node.clone());
        }
        Ok(node)
    }

    pub(super) fn flow_plain(&mut self, properties: &Properties) -> Result<Node> {
        let start = self.at;
        let first = self.plain_line(true)?;
        if first.is_empty() {
            return self.fail("this sign cannot begin a plain value: quote it");
        }
        let mut text = Zeroizing::new(self.source[first].to_owned());
        let mut end = self.at;
        while let Some(breaks) = self.continuation(None)? {
            let line = self.plain_line(true)?;
            if line.is_empty() {
                break;
            }
            end = self.at;
            fold(&mut text, breaks);
            text.push_str(&self.source[line]);
        }
        self.back_to(end);
        self.scalar(start..end, Style::Plain, &text, properties, None, true)
    }
}
