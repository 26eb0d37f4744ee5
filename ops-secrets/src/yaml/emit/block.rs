//! Literal and folded blocks.

use std::ops::Range;

use super::quote::{double, is_bare, is_printable};
use super::{indent, next_stop};
use crate::tree::{Place, Style, Value};

/// A literal block, without the line break at its very end.
pub(super) fn literal(value: &str, place: &Place, step: usize) -> String {
    let content = if place.element {
        place.column + 2
    } else {
        next_stop(place.column, step)
    };
    let mut out = String::from("|");
    if value.starts_with('\t') {
        // go-yaml writes a block here, too, and cannot read it back.
        return double(value);
    }
    if value.starts_with([' ', '\n']) {
        // go-yaml always writes the step here, also where the content is indented by less: then it cannot read it back.
        match content - place.column {
            hint @ 1..=9 => out.push_str(&hint.to_string()),
            _ => return double(value),
        }
    }
    out.push_str(chomp(value));
    block_lines(&mut out, value, content);
    out
}

/// The chomping sign that keeps the line breaks at the end of a text.
#[must_use]
pub(super) fn chomp(value: &str) -> &'static str {
    match value.strip_suffix('\n') {
        None => "-",
        Some("") => "+",
        Some(rest) if rest.ends_with('\n') => "+",
        Some(_) => "",
    }
}

/// The lines of a block under its header; the line break at the end is left to the source.
pub(super) fn block_lines(out: &mut String, value: &str, column: usize) {
    for line in value.strip_suffix('\n').unwrap_or(value).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            indent(out, column);
            out.push_str(line);
        }
    }
}

/// The sign of a block with its hints.
pub(super) fn block_signs<'s>(source: &'s str, place: &Place) -> &'s str {
    let header = &source[place.sign..];
    let end = header.find(|c: char| !matches!(c, '|' | '>' | '+' | '-' | '0'..='9'));
    &header[..end.unwrap_or(header.len())]
}

/// The sign that a block at the end of a file must have if no line break ends it there, with the place of the one
/// that stands there: what is put behind the block brings a line break.
#[must_use]
pub fn unbroken(value: &Value, place: &Place, source: &str) -> Option<(Range<usize>, String)> {
    let block = matches!(place.style, Style::Literal | Style::Folded) && !place.alias;
    let Value::Text(text) = value else {
        return None;
    };
    let open = block && place.span.end == source.len() && !text.is_empty() && !text.ends_with('\n');
    let signs = open.then(|| block_signs(source, place))?;
    let stripping = || signs.replace('+', "") + "-";
    (!signs.contains('-')).then(|| (place.sign..place.sign + signs.len(), stripping()))
}

/// A text under the block header that stands in the source, if that header can hold it.
pub(super) fn block(text: &str, source: &str, place: &Place) -> Option<String> {
    let old = &source[place.span.clone()];
    let header = old.lines().next()?;
    let signs = block_signs(source, place);
    let content = old.lines().skip(1).find(|line| !line.trim().is_empty())?;
    let column = content.len() - content.trim_start_matches(' ').len();
    let fits = !text.is_empty()
        && (signs.contains(|c: char| c.is_ascii_digit())
            || !text.trim_start_matches('\n').starts_with([' ', '\t']))
        && text
            .chars()
            .all(|c| matches!(c, '\t' | '\n') || (is_printable(c) && is_bare(c)))
        && column > place.column
        && match chomp(text) {
            "" => !signs.contains('-'),
            sign => signs.contains(sign),
        };
    // A header outside of the span stays, whatever the text: there is no other way to write it there.
    let bound = place.sign < place.span.start;
    if !bound && !fits {
        return None;
    }
    let mut out = header.to_owned();
    if signs.starts_with('>') {
        block_lines(&mut out, &spread(text), column);
    } else {
        block_lines(&mut out, text, column);
    }
    Some(out)
}

/// A text set out so that folding gives it back: one more line break between two lines that would be joined.
pub(super) fn spread(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before: Option<&str> = None;
    for piece in text.split_inclusive('\n') {
        let line = piece.strip_suffix('\n').unwrap_or(piece);
        if !line.is_empty() {
            let joins = |line: &str| !line.starts_with([' ', '\t']);
            if before.is_some_and(joins) && joins(line) {
                out.push('\n');
            }
            before = Some(line);
        }
        out.push_str(piece);
    }
    out
}
