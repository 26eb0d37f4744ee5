//! Comments between nodes, and the container that each goes to.

use zeroize::Zeroizing;

use super::{Found, Parser, Result, Stays, TAB};
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
            if line_begin && self.byte() == Some(b'\t') {
                return self.fail(TAB);
            }
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
        let blank_below = below.nth(1) == Some('\n');
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
            blank_above: empty_above,
            blank_below,
            place: None,
        });
        if blank_below {
            *fresh = self.pending.len();
        }
    }

    /// Takes the comments that a container of this column keeps when content of column `next` (nothing: the end) ends it.
    pub(super) fn comments_at_end(&mut self, column: usize, next: Option<usize>) -> Vec<Comment> {
        // The first to ask is the innermost.
        if self.pending.iter().any(|found| found.place.is_none()) {
            self.place_comments(column, next);
        }
        let keeps = |found: &Found| match found.place {
            Some(Stays::Above) => true,
            Some(Stays::AtColumn) => found.comment.column == column,
            Some(Stays::Below) | None => false,
        };
        let count = self.pending.iter().take_while(|found| keeps(found)).count();
        self.pending
            .drain(..count)
            .map(|found| found.comment)
            .collect()
    }

    /// Says where each comment goes between a container of column `inner` and content of column `next`, as go-yaml parts
    /// them: a run of comments ends at an empty line, or where the column changes to one outside of the container, and is
    /// then the foot of what stands above it.
    /// At the end of a document stands its metadata, or will stand: content of column 0.
    fn place_comments(&mut self, inner: usize, next: Option<usize>) {
        let next = next.unwrap_or(0);
        let mut run = Run::default();
        let last = self.pending.last().is_some_and(|found| found.blank_below);
        for index in 0..self.pending.len() {
            let found = &self.pending[index];
            if !found.comment.alone {
                self.pending[index].place.get_or_insert(Stays::Above);
                continue;
            }
            let (column, blank_above) = (found.comment.column, found.blank_above);
            if blank_above {
                run.empty_line(inner, &mut self.pending[..index]);
            }
            if run.is_open() && column < inner && column != run.column {
                run.close(&mut self.pending[..index], false);
            }
            if !run.is_open() {
                run.open(index, column, index == 0 && !blank_above);
            }
        }
        if last {
            run.empty_line(inner, &mut self.pending);
        }
        if run.is_open() && next < inner && next != run.column {
            run.close(&mut self.pending, false);
        }
        for found in &mut self.pending {
            found.place.get_or_insert(Stays::Below);
        }
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

/// A run of comments that is being looked at.
#[derive(Default)]
struct Run {
    /// The first of its comments.
    start: Option<usize>,
    /// The column of that one.
    column: usize,
    /// Whether that one stands right below content.
    touches: bool,
    /// Whether an empty line was met before.
    parted: bool,
    /// Whether a run was closed before.
    later: bool,
}

impl Run {
    fn is_open(&self) -> bool {
        self.start.is_some()
    }

    fn open(&mut self, index: usize, column: usize, touches: bool) {
        (self.start, self.column, self.touches) = (Some(index), column, touches);
    }

    /// The first empty line closes the run that it follows, if that belongs to what stands above.
    fn empty_line(&mut self, inner: usize, pending: &mut [Found]) {
        let dedented = self.column < inner;
        if !self.parted && self.is_open() && (self.touches || dedented) {
            self.close(pending, dedented);
        }
        self.parted = true;
    }

    /// The run is a foot.
    fn close(&mut self, pending: &mut [Found], apart: bool) {
        let place = if apart || self.later {
            Stays::AtColumn
        } else {
            Stays::Above
        };
        for found in pending.iter_mut().skip(self.start.take().unwrap_or(0)) {
            found.place.get_or_insert(place);
        }
        self.later = true;
    }
}
