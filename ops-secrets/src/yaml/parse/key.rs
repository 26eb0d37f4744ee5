//! Keys of block mappings.

use zeroize::Zeroizing;

use super::{Key, Parser, Properties, Result};
use crate::tree::{Node, Place, Scalar, Syntax, Value};
use crate::yaml::resolve;

impl Parser<'_> {
    /// Reads a key up to and including its colon, if one stands here.
    pub(super) fn key(&mut self) -> Result<Option<Key>> {
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

    pub(super) fn quoted_key(
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

    pub(super) fn plain_key(&mut self, end: usize) -> Result<Option<String>> {
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
    pub(super) fn text_key(name: &str, at: usize) -> Result<String> {
        if resolve::is_text(name) {
            Ok(name.to_owned())
        } else {
            Err(Syntax::new(
                at,
                format!("the key '{}' is no text: quote it", name.escape_debug()),
            ))
        }
    }

    pub(super) fn explicit_key(&mut self) -> Result<Key> {
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
}
