//! Comments between nodes, and the container that each goes to.

use zeroize::Zeroizing;

use super::{Found, Parser, Result};
use crate::tree::{Comment, Node, Style};

impl Parser<'_> {
    /// Moves to the next content; comments on the way become pending. Gives its column, or nothing at the end of the
    /// document.
    pub(super) fn next_content(&mut self) -> Result<Option<usize>> {
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

    pub(super) fn comment(&mut self, fresh: &mut usize) {
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
    pub(super) fn comments_at_end(
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

    pub(super) fn take_pending(&mut self) -> impl Iterator<Item = Comment> {
        std::mem::take(&mut self.pending)
            .into_iter()
            .map(|found| found.comment)
    }

    /// After a scalar or a flow collection only a comment may stand on the line.
    pub(super) fn line_comment(&mut self, node: &Node, take: impl FnOnce(Comment)) -> Result<()> {
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

    pub(super) fn only_blank_before(&self) -> bool {
        self.source[self.line_start..self.at].trim().is_empty()
    }
}
