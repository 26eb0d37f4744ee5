//! Literal and folded blocks.

use std::ops::Range;

use zeroize::Zeroizing;

use super::quoted::fold;
use super::{Parser, Properties, Result, TAB};
use crate::tree::{Node, Style, Syntax};

impl Parser<'_> {
    pub(super) fn block_scalar(
        &mut self,
        parent: Option<usize>,
        properties: &Properties,
    ) -> Result<Node> {
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
            None => self.block_indent()?.max(least),
        };
        let lines = self.block_body(column)?;
        let open = lines.last().is_some_and(|(_, broken)| !broken);
        let (text, end) = block_text(self.source, &lines, folded, chomp, header_end.max(line_end));
        // Where the text itself ends without one, the sign can say so: see `emit::unbroken`.
        if open && chomp == Some(b'+') && (text.is_empty() || text.ends_with('\n')) {
            return Err(Syntax::new(
                start,
                "a block at the end of a file needs a line break after it",
            ));
        }
        let style = if folded {
            Style::Folded
        } else {
            Style::Literal
        };
        let span = if commented { line_end } else { start }..end;
        let mut node = self.scalar(span, style, &text, properties, parent, false)?;
        if let Node::Scalar(scalar) = &mut node {
            scalar.place.sign = start;
        }
        Ok(node)
    }

    /// The indentation of a block: that of its first line with text, or of a longer line of blanks before it.
    pub(super) fn block_indent(&self) -> Result<usize> {
        let mut at = self.at;
        let mut widest = 0;
        while at < self.source.len() {
            let end = self.source[at..]
                .find('\n')
                .map_or(self.source.len(), |length| at + length);
            let line = self.source[at..end].trim_end_matches('\r');
            let blanks = line.len() - line.trim_start_matches(' ').len();
            widest = widest.max(blanks);
            if line[blanks..].starts_with('\t') {
                return Err(Syntax::new(at + blanks, TAB));
            }
            if blanks < line.len() {
                break;
            }
            at = end + 1;
        }
        Ok(widest)
    }

    /// The lines of a block: each without its indentation, with whether a line break ends it.
    pub(super) fn block_body(&mut self, column: usize) -> Result<Vec<(Range<usize>, bool)>> {
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
                    return self.fail(TAB);
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
}

/// The text of a block and the end of its source (without the line break of its last line).
pub(super) fn block_text(
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
