//! YAML as go-yaml's emitter writes it, which is how sops writes it.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::resolve;
use crate::tree::{Data, Place, Style, Value};

/// A mapping written in block style, each line indented by `column`, with `step` more for each level.
#[must_use]
pub fn map(pairs: &[(String, Data)], column: usize, step: usize) -> String {
    let mut out = String::new();
    block_map(&mut out, pairs, column, step, false);
    out
}

/// A value as it stands after `key:` or `-`, the blank or line break before it included, with the line break at its end.
#[must_use]
pub fn after_sign(data: &Data, column: usize, element: bool, step: usize) -> String {
    let mut out = String::new();
    value(&mut out, data, column, element, step);
    out
}

fn block_map(out: &mut String, pairs: &[(String, Data)], column: usize, step: usize, begun: bool) {
    for (index, (name, data)) in pairs.iter().enumerate() {
        if index > 0 || !begun {
            indent(out, column);
        }
        pair(out, name, data, column, step);
    }
}

/// A key and its value, without the indentation of the first line.
pub fn pair(out: &mut String, name: &str, data: &Data, column: usize, step: usize) {
    let short = name.len() <= 128 && !name.contains(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']);
    if short {
        out.push_str(&key(name));
        out.push(':');
        value(out, data, column, false, step);
    } else {
        out.push_str("? ");
        out.push_str(&text(
            name,
            &Place {
                column,
                ..Place::default()
            },
            step,
        ));
        out.push('\n');
        indent(out, column);
        out.push(':');
        value(out, data, column, false, step);
    }
}

fn value(out: &mut String, data: &Data, column: usize, element: bool, step: usize) {
    let inner = if element {
        column + 2
    } else {
        next_stop(column, step)
    };
    match data {
        Data::Scalar(leaf) => {
            out.push(' ');
            let place = Place {
                column,
                element,
                ..Place::default()
            };
            out.push_str(&scalar(leaf, &place, step));
            out.push('\n');
        }
        Data::Map(pairs) if pairs.is_empty() => out.push_str(" {}\n"),
        Data::List(items) if items.is_empty() => out.push_str(" []\n"),
        Data::Map(pairs) => {
            out.push_str(if element { " " } else { "\n" });
            block_map(out, pairs, inner, step, element);
        }
        Data::List(items) => {
            out.push_str(if element { " " } else { "\n" });
            for (index, item) in items.iter().enumerate() {
                if index > 0 || !element {
                    indent(out, inner);
                }
                out.push('-');
                value(out, item, inner, true, step);
            }
        }
    }
}

fn indent(out: &mut String, column: usize) {
    out.extend(std::iter::repeat_n(' ', column));
}

/// The column that go-yaml indents to from `column`: the next multiple of the step.
#[must_use]
pub fn next_stop(column: usize, step: usize) -> usize {
    step * ((column + step) / step)
}

/// A leaf as go-yaml writes it at a place; only the place's column and surroundings count, not its present style.
/// The line break that ends a literal block is not part of it.
#[must_use]
pub fn scalar<'v>(value: &'v Value, place: &Place, step: usize) -> Cow<'v, str> {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => if *value { "true" } else { "false" }.into(),
        Value::Int(value) => value.to_string().into(),
        Value::Float(value) => resolve::write_float(*value).into(),
        Value::Time(value) => value.into(),
        Value::Text(value) | Value::Comment(value) => text(value, place, step),
        Value::Bytes(bytes) => format!("!!binary {}", text(&packed(bytes), place, step)).into(),
    }
}

/// Base64 in lines of 70 characters, if it needs more than one.
fn packed(bytes: &[u8]) -> String {
    let mut text = STANDARD.encode(bytes);
    if text.len() >= 70 {
        let lines = text.as_bytes().chunks(70).map(String::from_utf8_lossy);
        text = lines.map(|line| line.into_owned() + "\n").collect();
    }
    text
}

/// A key as go-yaml writes it.
#[must_use]
pub fn key(name: &str) -> String {
    if needs_quotes(name) {
        return double(name);
    }
    let shape = Shape::of(name);
    if name.is_empty() || !shape.plain {
        return if shape.single && !name.contains('\n') {
            single(name)
        } else {
            double(name)
        };
    }
    name.to_owned()
}

fn text<'v>(value: &'v str, place: &Place, step: usize) -> Cow<'v, str> {
    if is_word(value) && !needs_quotes(value) {
        return value.into();
    }
    let shape = Shape::of(value);
    if value.contains('\n') {
        let spelled = if shape.block && !place.flow {
            literal(value, place, step)
        } else {
            double(value)
        };
        return spelled.into();
    }
    if needs_quotes(value) {
        return double(value).into();
    }
    let plain = if place.flow {
        shape.flow_plain
    } else {
        shape.plain
    };
    match (plain, shape.single) {
        (true, _) => value.into(),
        (false, true) => single(value).into(),
        (false, false) => double(value).into(),
    }
}

/// Whether a text holds no sign that could mean anything in any style: most do, and need no further look.
fn is_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inner =
        |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b' ' | b'_' | b'.' | b'/' | b'+' | b'=');
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last() != Some(&b' ')
        && bytes.iter().all(inner)
}

/// Whether a text would be read as something else if it stood without quotes.
fn needs_quotes(text: &str) -> bool {
    !resolve::is_text(text) || text == "<<" || is_old_bool(text) || is_base_60(text)
}

fn is_old_bool(text: &str) -> bool {
    matches!(
        text,
        "y" | "Y"
            | "yes"
            | "Yes"
            | "YES"
            | "on"
            | "On"
            | "ON"
            | "n"
            | "N"
            | "no"
            | "No"
            | "NO"
            | "off"
            | "Off"
            | "OFF"
    )
}

/// YAML 1.1's base 60: a sign, digits, then groups of a colon and up to two digits, then decimals.
fn is_base_60(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|c| c.is_ascii_digit() || c == b'_');
    let mut groups = whole.split(':');
    let first = groups.next().unwrap_or("");
    let rest: Vec<&str> = groups.collect();
    first.starts_with(|c: char| c.is_ascii_digit())
        && digits(first)
        && digits(decimals)
        && !rest.is_empty()
        && rest.iter().all(|group| match group.as_bytes() {
            [one] => one.is_ascii_digit(),
            [ten, one] => (b'0'..=b'5').contains(ten) && one.is_ascii_digit(),
            _ => false,
        })
}

/// Text in single quotes.
#[must_use]
pub fn single(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Whether a text can stand in single quotes, on one line.
fn fits_quotes(text: &str) -> bool {
    text.chars().all(|c| c == '\t' || is_bare(c))
}

/// Text in double quotes, as go-yaml escapes it.
pub fn double(text: &str) -> String {
    double_by(text, is_printable)
}

/// Text in double quotes; what is not `bare` is escaped.
fn double_by(text: &str, bare: fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\0' => out.push_str("\\0"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\u{1b}' => out.push_str("\\e"),
            '\u{85}' => out.push_str("\\N"),
            '\u{2028}' => out.push_str("\\L"),
            '\u{2029}' => out.push_str("\\P"),
            c if bare(c) => out.push(c),
            c => escape(&mut out, c as u32),
        }
    }
    out.push('"');
    out
}

fn escape(out: &mut String, code: u32) {
    let written = match code {
        0..=0xff => write!(out, "\\x{code:02X}"),
        0x100..=0xffff => write!(out, "\\u{code:04X}"),
        _ => write!(out, "\\U{code:08X}"),
    };
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Whether a character can stand in quotes as it is.
fn is_bare(c: char) -> bool {
    !c.is_control() && !is_break(c) && !matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

/// A literal block, without the line break at its very end.
fn literal(value: &str, place: &Place, step: usize) -> String {
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
pub fn chomp(value: &str) -> &'static str {
    match value.strip_suffix('\n') {
        None => "-",
        Some("") => "+",
        Some(rest) if rest.ends_with('\n') => "+",
        Some(_) => "",
    }
}

/// The lines of a block under its header; the line break at the end is left to the source.
pub fn block_lines(out: &mut String, value: &str, column: usize) {
    for line in value.strip_suffix('\n').unwrap_or(value).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            indent(out, column);
            out.push_str(line);
        }
    }
}

/// Which styles a text can be written in: go-yaml's analysis.
#[expect(
    clippy::struct_excessive_bools,
    reason = "one answer for each of go-yaml's styles"
)]
struct Shape {
    plain: bool,
    flow_plain: bool,
    single: bool,
    block: bool,
}

impl Shape {
    fn of(text: &str) -> Self {
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
fn indicators(text: &str) -> (bool, bool) {
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

/// The sign of a block with its hints.
fn block_signs<'s>(source: &'s str, place: &Place) -> &'s str {
    let header = &source[place.sign..];
    let end = header.find(|c: char| !matches!(c, '|' | '>' | '+' | '-' | '0'..='9'));
    &header[..end.unwrap_or(header.len())]
}

/// A text under the block header that stands in the source, if that header can hold it.
fn block(text: &str, source: &str, place: &Place) -> Option<String> {
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
fn spread(text: &str) -> String {
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
            let mut out = header.to_owned();
            block_lines(&mut out, sealed, column);
            out.into()
        }
        Style::Plain => sealed.into(),
    }
}
