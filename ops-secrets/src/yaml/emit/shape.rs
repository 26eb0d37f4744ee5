//! Which styles a text can be written in: go-yaml's analysis.

use super::quote::{is_break, is_printable};

/// The answers.
#[expect(
    clippy::struct_excessive_bools,
    reason = "one answer for each of go-yaml's styles"
)]
pub(super) struct Shape {
    pub(super) plain: bool,
    pub(super) flow_plain: bool,
    pub(super) single: bool,
    pub(super) block: bool,
}

impl Shape {
    pub(super) fn of(text: &str) -> Self {
        if text.is_empty() {
            return Self {
                plain: true,
                flow_plain: false,
                single: true,
                block: false,
            };
        }
        let (block_sign, flow_sign) = indicators(text);
        let mut special = false;
        let mut tab = false;
        let mut breaks = false;
        let mut break_space = false;
        let mut space_break = false;
        let mut before = None;
        for c in text.chars() {
            tab |= c == '\t';
            // go-yaml writes other line breaks as they are, and does not read the same back.
            special |= c != '\t' && (!is_printable(c) || (c != '\n' && is_break(c)));
            breaks |= is_break(c);
            break_space |= c == ' ' && before.is_some_and(is_break);
            space_break |= is_break(c) && before == Some(' ');
            before = Some(c);
        }
        let edge = |c: char| c == ' ' || is_break(c);
        let edges = text.starts_with(edge) || text.ends_with(edge);
        let plain = !edges && !break_space && !space_break && !tab && !special && !breaks;
        Self {
            plain: plain && !block_sign,
            flow_plain: plain && !flow_sign,
            single: !break_space && !space_break && !tab && !special,
            block: !text.ends_with(' ') && !space_break && !special,
        }
    }
}

/// Whether a text holds signs that mean something in block and in flow style.
pub(super) fn indicators(text: &str) -> (bool, bool) {
    if text.starts_with("---") || text.starts_with("...") {
        return (true, true);
    }
    let (mut block, mut flow) = (false, false);
    let is_blank = |c: Option<char>| c.is_none_or(|c| matches!(c, ' ' | '\t'));
    let mut chars = text.chars().peekable();
    let mut before = None;
    while let Some(c) = chars.next() {
        let blank_next = is_blank(chars.peek().copied());
        match (before, c) {
            (
                None,
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%'
                | '@' | '`',
            ) => {
                (block, flow) = (true, true);
            }
            (None, '?' | ':') | (Some(_), ':') => {
                flow = true;
                block |= blank_next;
            }
            (None, '-') if blank_next => (block, flow) = (true, true),
            (Some(_), ',' | '?' | '[' | ']' | '{' | '}') => flow = true,
            (Some(' ' | '\t' | '\n' | '\r'), '#') => (block, flow) = (true, true),
            _ => {}
        }
        before = Some(c);
    }
    (block, flow)
}
