//! Scalars without quotes, and what the text of a scalar means.

use std::ops::Range;

use zeroize::Zeroizing;

use super::property::short_tag;
use super::quoted::fold;
use super::{Parser, Properties, Result, TAB};
use crate::cipher::HEAD;
use crate::tree::{Node, Place, Scalar, Style, Syntax, Value};
use crate::yaml::resolve;

/// The bytes that mean nothing but themselves in a plain scalar: most are, and those are passed over fast.
const ORDINARY: [bool; 256] = {
    let mut ordinary = [true; 256];
    let special = b"\n\r\t #:,?[]{}";
    let mut at = 0;
    while at < special.len() {
        ordinary[special[at] as usize] = false;
        at += 1;
    }
    ordinary
};

impl Parser<'_> {
    /// Builds a leaf: its meaning from style and tag, its place from what surrounds it.
    pub(super) fn scalar(
        &self,
        span: Range<usize>,
        style: Style,
        text: &str,
        properties: &Properties,
        parent: Option<usize>,
        flow: bool,
    ) -> Result<Node> {
        let tag = properties.tag.as_deref().map(short_tag);
        let lent = self.lends && tag.is_none() && stands_there(&span, style, text);
        let (value, typed) = match (tag, style) {
            _ if lent => (Value::Null, false),
            // A lone `!` says nothing to go-yaml.
            (None | Some(""), Style::Plain) => (plain_value(text, span.start)?, false),
            (Some(tag @ ("!int" | "!float" | "!bool" | "!null" | "!timestamp")), _) => {
                (tagged_value(text, tag, span.start)?, true)
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
            anchor: 0,
            lent,
        };
        Ok(Node::Scalar(Scalar { value, place }))
    }

    pub(super) fn plain_scalar(
        &mut self,
        parent: Option<usize>,
        properties: &Properties,
    ) -> Result<Node> {
        let start = self.at;
        let first = self.plain_line(false)?;
        let (mut end, mut line_start) = (self.at, self.line_start);
        // Only a text of several lines is put together; one line stands in the source as it is.
        let mut joined: Option<Zeroizing<String>> = None;
        let is_blank = |c: &u8| matches!(c, b' ' | b'\t');
        while self.bytes[end..].iter().find(|c| !is_blank(c)) != Some(&b'#') {
            let Some(breaks) = self.continuation(parent)? else {
                break;
            };
            let line = self.plain_line(false)?;
            (end, line_start) = (self.at, self.line_start);
            let text =
                joined.get_or_insert_with(|| Zeroizing::new(self.source[first.clone()].to_owned()));
            fold(text, breaks);
            text.push_str(&self.source[line]);
        }
        // Back from the look at what follows.
        (self.at, self.line_start) = (end, line_start);
        let text = joined
            .as_deref()
            .map_or(&self.source[first], String::as_str);
        self.scalar(start..end, Style::Plain, text, properties, parent, false)
    }

    /// Moves back to the end of a value, after having looked at what follows.
    pub(super) fn back_to(&mut self, at: usize) {
        self.at = at;
        self.line_start = self.source[..at].rfind('\n').map_or(0, |at| at + 1);
    }

    /// Moves to the next line of a plain scalar, if there is one: gives the number of line breaks between.
    pub(super) fn continuation(&mut self, parent: Option<usize>) -> Result<Option<usize>> {
        let least = parent.map_or(0, |parent| parent + 1);
        let mut breaks = 0;
        loop {
            while let Some(blank @ (b' ' | b'\t')) = self.byte() {
                if blank == b'\t' && breaks > 0 && self.column() < least {
                    return self.fail(TAB);
                }
                self.at += 1;
            }
            if !self.at_line_break() || self.byte().is_none() {
                break;
            }
            self.next_line();
            breaks += 1;
        }
        let goes_on = !matches!(self.byte(), None | Some(b'#')) && !self.at_document_mark();
        Ok((breaks > 0 && self.column() >= least && goes_on).then_some(breaks))
    }

    /// The rest of a plain scalar on this line, without blanks at its end.
    pub(super) fn plain_line(&mut self, flow: bool) -> Result<Range<usize>> {
        let start = self.at;
        let mut end = start;
        loop {
            let ordinary = (self.bytes[self.at..].iter())
                .position(|c| !ORDINARY[usize::from(*c)])
                .unwrap_or(self.bytes.len() - self.at);
            if ordinary > 0 {
                self.at += ordinary;
                end = self.at;
            }
            let Some(c) = self.byte() else { break };
            match c {
                b'\n' => break,
                b'\r' if self.byte_after(1) == Some(b'\n') => break,
                b'#' if self.at > start && matches!(self.bytes[self.at - 1], b' ' | b'\t') => break,
                b':' if self.blank_after(1) => {
                    if flow {
                        break;
                    }
                    return self.fail("a mapping cannot begin here: quote the value");
                }
                b',' | b'?' | b'[' | b']' | b'{' | b'}' if flow => break,
                b' ' | b'\t' => {}
                _ => end = self.at + 1,
            }
            self.at += 1;
        }
        self.at = end;
        Ok(start..end)
    }
}

/// Whether a text is a ciphertext that stands in the source as it is.
fn stands_there(span: &Range<usize>, style: Style, text: &str) -> bool {
    let quotes = match style {
        Style::Plain => 0,
        Style::Single | Style::Double => 1,
        Style::Literal | Style::Folded => return false,
    };
    text.starts_with(HEAD) && span.len() == text.len() + 2 * quotes
}

/// The null that stands where nothing is written.
pub(super) fn nothing(at: usize, parent: Option<usize>, flow: bool) -> Node {
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

pub(super) fn plain_value(text: &str, at: usize) -> Result<Value> {
    resolve::plain(text)
        .map_err(|_| Syntax::new(at, "the integer is beyond 64 bits with a sign: quote it"))
}

/// A value whose tag says what it is.
fn tagged_value(text: &str, tag: &str, at: usize) -> Result<Value> {
    let value = plain_value(text, at)?;
    match (tag, &value) {
        ("!int" | "!float", Value::Int(_))
        | ("!float", Value::Float(_))
        | ("!bool", Value::Bool(_))
        | ("!null", Value::Null)
        | ("!timestamp", Value::Time(_)) => Ok(value),
        _ => Err(Syntax::new(
            at,
            format!("this is not what its tag '!{tag}' says"),
        )),
    }
}

pub(super) fn binary(text: &str, at: usize) -> Result<Value> {
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

pub(super) fn mark_element(mut node: Node) -> Node {
    if let Node::Scalar(scalar) = &mut node {
        scalar.place.element = true;
    }
    node
}
