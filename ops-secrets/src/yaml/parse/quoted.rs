//! Scalars in single and double quotes.

use zeroize::Zeroizing;

use super::{Parser, Result};
use crate::tree::Syntax;

impl Parser<'_> {
    pub(super) fn single_quoted(&mut self) -> Result<Zeroizing<String>> {
        let start = self.at;
        self.at += 1;
        let mut text = Zeroizing::new(String::new());
        loop {
            let from = self.at;
            let length = self.source[from..].find(['\'', '\n']);
            let Some(length) = length else {
                return Err(Syntax::new(start, "the quote is never closed"));
            };
            self.at = from + length;
            if self.byte() == Some(b'\n') {
                self.quoted_break(&mut text, from)?;
                continue;
            }
            text.push_str(&self.source[from..self.at]);
            self.at += 1;
            if self.byte() != Some(b'\'') {
                return Ok(text);
            }
            text.push('\'');
            self.at += 1;
        }
    }

    /// A line break inside quotes: blanks around it go, one break becomes a blank.
    pub(super) fn quoted_break(&mut self, text: &mut Zeroizing<String>, from: usize) -> Result<()> {
        let line = self.source[from..self.at].trim_end_matches(['\r', ' ', '\t']);
        text.push_str(line);
        let mut breaks = 0;
        while self.at_line_break() && self.byte().is_some() {
            self.next_line();
            breaks += 1;
            if self.at_document_mark() {
                return self.fail("the document ends inside quotes");
            }
            self.skip_blanks();
        }
        fold(text, breaks);
        Ok(())
    }

    pub(super) fn double_quoted(&mut self) -> Result<Zeroizing<String>> {
        let start = self.at;
        self.at += 1;
        let mut text = Zeroizing::new(String::new());
        loop {
            let from = self.at;
            let length = self.source[from..].find(['"', '\\', '\n']);
            let Some(length) = length else {
                return Err(Syntax::new(start, "the quote is never closed"));
            };
            self.at = from + length;
            match self.byte() {
                Some(b'\n') => self.quoted_break(&mut text, from)?,
                Some(b'"') => {
                    text.push_str(&self.source[from..self.at]);
                    self.at += 1;
                    return Ok(text);
                }
                _ => {
                    text.push_str(&self.source[from..self.at]);
                    self.at += 1;
                    self.escape(&mut text)?;
                }
            }
        }
    }

    pub(super) fn escape(&mut self, text: &mut Zeroizing<String>) -> Result<()> {
        if self.at_line_break() && self.byte().is_some() {
            self.next_line();
            self.skip_blanks();
            while self.at_line_break() && self.byte().is_some() {
                self.next_line();
                self.skip_blanks();
                text.push('\n');
            }
            return Ok(());
        }
        let Some(sign) = self.source[self.at..].chars().next() else {
            return self.fail("an escape is cut off");
        };
        let digits = match sign {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        self.at += sign.len_utf8();
        if digits > 0 {
            let code = self
                .source
                .get(self.at..self.at + digits)
                .and_then(|code| u32::from_str_radix(code, 16).ok());
            let Some(c) = code.and_then(char::from_u32) else {
                return self.fail("this escape names no character");
            };
            text.push(c);
            self.at += digits;
            return Ok(());
        }
        let Some(c) = simple_escape(sign) else {
            return self.fail("there is no such escape");
        };
        text.push(c);
        Ok(())
    }
}

/// Joins two lines of a folded text.
pub(super) fn fold(text: &mut Zeroizing<String>, breaks: usize) {
    if breaks == 1 {
        text.push(' ');
    }
    text.extend(std::iter::repeat_n('\n', breaks.saturating_sub(1)));
}

pub(super) fn simple_escape(sign: char) -> Option<char> {
    Some(match sign {
        '0' => '\0',
        'a' => '\u{7}',
        'b' => '\u{8}',
        't' | '\t' => '\t',
        'n' => '\n',
        'v' => '\u{b}',
        'f' => '\u{c}',
        'r' => '\r',
        'e' => '\u{1b}',
        ' ' | '"' | '\\' | '\'' => sign,
        'N' => '\u{85}',
        '_' => '\u{a0}',
        'L' => '\u{2028}',
        'P' => '\u{2029}',
        _ => return None,
    })
}
