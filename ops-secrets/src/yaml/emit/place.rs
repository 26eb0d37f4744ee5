//! A value in the place of another, in the quotes or the block that stand there.

use std::borrow::Cow;

use super::block::{block, block_lines, block_signs, unbroken};
use super::quote::{double_by, fits_quotes, is_bare, single};
use super::scalar;
use crate::tree::{Place, Style, Value};

/// Writes a decrypted or new value in the place of another, keeping the quotes or block header found there where they
/// can hold it.
#[must_use]
pub fn respell<'v>(value: &'v Value, place: &Place, source: &str, step: usize) -> Cow<'v, str> {
    let Value::Text(text) = value else {
        return scalar(value, place, step);
    };
    // A block goes on to the end of the line: what stands behind the value would become part of it.
    let followed = !matches!(
        source[place.span.end..].chars().next(),
        None | Some('\n' | '\r')
    );
    match place.style {
        Style::Single if fits_quotes(text) => single(text).into(),
        Style::Plain | Style::Single if followed && text.contains('\n') && !place.flow => {
            double_by(text, is_bare).into()
        }
        Style::Double if !place.flow => double_by(text, is_bare).into(),
        Style::Literal | Style::Folded => {
            block(text, source, place).map_or_else(|| scalar(value, place, step), Cow::Owned)
        }
        _ => scalar(value, place, step),
    }
}

/// Writes ciphertext in the place of a plain value: bare where sops would respell the plain value just as the source has
/// it, else in the source's own quotes or block, so that decrypting gives the source back.
#[must_use]
pub fn conceal<'s>(
    sealed: &'s str,
    value: &Value,
    place: &Place,
    source: &str,
    step: usize,
) -> Cow<'s, str> {
    let old = &source[place.span.clone()];
    if place.flow {
        return if place.style == Style::Single {
            single(sealed).into()
        } else {
            format!("\"{sealed}\"").into()
        };
    }
    if place.style == Style::Plain || scalar(value, place, step) == old {
        return sealed.into();
    }
    match place.style {
        Style::Single => single(sealed).into(),
        Style::Double => format!("\"{sealed}\"").into(),
        Style::Literal | Style::Folded => {
            let mut lines = old.lines();
            let header = lines.next().unwrap_or("|");
            let content = lines.find(|line| !line.trim().is_empty());
            let found = content.map(|line| line.len() - line.trim_start_matches(' ').len());
            let signs = block_signs(source, place);
            let column = match signs
                .chars()
                .find(char::is_ascii_digit)
                .and_then(|c| c.to_digit(10))
            {
                Some(hint) => place.column + hint as usize,
                None => found.unwrap_or(place.column + step),
            };
            let sign = Some(place.sign).filter(|sign| *sign == place.span.start);
            let mut out = match sign.and_then(|_| unbroken(value, place, source)) {
                Some((_, sign)) => sign + &header[signs.len()..],
                None => header.to_owned(),
            };
            block_lines(&mut out, sealed, column);
            out.into()
        }
        Style::Plain => sealed.into(),
    }
}
