//! Keys of block mappings.

use zeroize::Zeroizing;

use super::property::short_tag;
use super::{Key, Parser, Properties, Result};
use crate::tree::{Node, Place, Scalar, Syntax, Value};
use crate::yaml::resolve;

/// How many characters a key may be away from its colon, unless it stands behind a `?`.
const REACH: usize = 1024;

impl Parser<'_> {
    /// A key and its colon stand on one line, not too far from each other.
    pub(super) fn near_colon(&self, key: usize) -> Result<()> {
        let text = &self.source[key..self.at];
        if text.bytes().any(|c| c == b'\n') {
            Err(Syntax::new(key, "a key and its ':' stand on one line"))
        } else if text.len() > REACH && text.chars().count() > REACH {
            Err(Syntax::new(
                key,
                "a key of more than 1024 characters stands behind a '?'",
            ))
        } else {
            Ok(())
        }
    }

    /// Reads a key up to and including its colon, if one stands here.
    pub(super) fn key(&mut self) -> Result<Option<Key>> {
        let (start, line_start) = (self.at, self.line_start);
        if self.byte() == Some(b'?') && self.blank_after(1) {
            return self.explicit_key().map(Some);
        }
        if self.byte() == Some(b'*') {
            return self.no_alias_key();
        }
        let properties = self.properties(Properties::default())?;
        let plain = !matches!(self.byte(), Some(b'"' | b'\''));
        let name = match self.byte() {
            Some(b'"') => self.quoted_key(Self::double_quoted)?,
            Some(b'\'') => self.quoted_key(Self::single_quoted)?,
            Some(
                b'[' | b'{' | b'|' | b'>' | b'#' | b'*' | b'@' | b'`' | b'%' | b',' | b']' | b'}'
                | b'&' | b'!' | b'\n',
            )
            | None => None,
            Some(b'-' | b'?' | b':') if self.blank_after(1) => None,
            _ => self.plain_key(),
        };
        let Some(name) = name else {
            (self.at, self.line_start) = (start, line_start);
            return Ok(None);
        };
        self.near_colon(start)?;
        self.at += 1;
        text_key(&name, plain, properties.tag.as_deref(), start)?;
        if let Some(anchor) = properties.anchor {
            let value = Value::text(name.clone());
            let place = Place::default();
            self.anchors
                .insert(anchor, Node::Scalar(Scalar { value, place }));
        }
        Ok(Some(Key {
            name,
            at: start,
            explicit: false,
        }))
    }

    fn no_alias_key(&self) -> Result<Option<Key>> {
        let line = &self.source[self.at..self.line_end()];
        let after = line.trim_start_matches(|c: char| !matches!(c, ' ' | '\t' | ':'));
        let after = after.trim_start_matches([' ', '\t']);
        if matches!(after.as_bytes(), [b':'] | [b':', b' ' | b'\t', ..]) {
            return self.fail("an alias as a key is not supported: write the text out");
        }
        Ok(None)
    }

    /// Reads a text in quotes, up to its colon.
    fn quoted_key(
        &mut self,
        read: fn(&mut Self) -> Result<Zeroizing<String>>,
    ) -> Result<Option<String>> {
        let end = self.line_end();
        let text = read(self)?;
        if self.at > end {
            return Ok(None);
        }
        self.skip_blanks();
        let colon = self.byte() == Some(b':') && self.blank_after(1);
        Ok(colon.then(|| text.to_string()))
    }

    /// Reads a text without quotes, up to its colon.
    fn plain_key(&mut self) -> Option<String> {
        let start = self.at;
        while let Some(c) = self.byte() {
            match c {
                b'\n' => return None,
                b':' if self.blank_after(1) => {
                    let name = &self.source[start..self.at];
                    return Some(name.trim_end_matches([' ', '\t']).to_owned());
                }
                b'#' if self.at > start && matches!(self.bytes[self.at - 1], b' ' | b'\t') => {
                    return None;
                }
                _ => self.at += 1,
            }
        }
        None
    }

    pub(super) fn explicit_key(&mut self) -> Result<Key> {
        let (start, column) = (self.at, self.column());
        self.at += 1;
        self.blanks_after_sign(true)?;
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
        Ok(Key {
            name,
            at: start,
            explicit: true,
        })
    }
}

/// A key must mean a text: `1:`, `true:` and `~:` do not.
fn text_key(name: &str, plain: bool, tag: Option<&str>, at: usize) -> Result<()> {
    let tag = tag.map(short_tag);
    let typed = matches!(
        tag,
        Some("!int" | "!float" | "!bool" | "!null" | "!timestamp" | "!binary")
    );
    if typed || (plain && tag != Some("!str") && !resolve::is_text(name)) {
        let name = name.escape_debug();
        return Err(Syntax::new(
            at,
            format!("the key '{name}' is no text: quote it"),
        ));
    }
    Ok(())
}
