//! Just enough of SQL's surface to tell code from quotes and comments.

/// Where in SQL text a reader stands. It carries over from one piece of text to the next, if they meet at a newline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Lexer {
    /// Outside everything below.
    #[default]
    Code,
    /// In `'...'`, or with backslash escapes in `E'...'`.
    Quote {
        /// Whether a backslash escapes.
        escapes: bool,
    },
    /// In `"..."`.
    Name,
    /// After `--`.
    LineComment,
    /// In `/* ... */`, which nests.
    BlockComment(u32),
    /// In `$tag$ ... $tag$`.
    Dollar(Vec<u8>),
}

impl Lexer {
    #[expect(
        clippy::match_same_arms,
        reason = "an arm for each state, in the order of the states"
    )]
    /// Takes the token at `at` of `text`; returns where the next one starts.
    pub fn step(&mut self, text: &[u8], at: usize) -> usize {
        let rest = &text[at..];
        let (next, length) = match self {
            Self::Code => Self::open(text, at),
            Self::Quote { escapes: true } if rest[0] == b'\\' => (None, 2.min(rest.len())),
            // A literal goes on after a newline, and backslashes go on escaping in it.
            Self::Quote { escapes: true } if rest[0] == b'\'' && continuation(&rest[1..]) > 0 => {
                (None, 1 + continuation(&rest[1..]))
            }
            Self::Quote { .. } => (rest.starts_with(b"'").then_some(Self::Code), 1),
            Self::Name => (rest.starts_with(b"\"").then_some(Self::Code), 1),
            Self::LineComment => (is_newline(rest[0]).then_some(Self::Code), 1),
            Self::BlockComment(depth) if rest.starts_with(b"/*") => {
                (Some(Self::BlockComment(*depth + 1)), 2)
            }
            Self::BlockComment(1) if rest.starts_with(b"*/") => (Some(Self::Code), 2),
            Self::BlockComment(depth) if rest.starts_with(b"*/") => {
                (Some(Self::BlockComment(*depth - 1)), 2)
            }
            Self::BlockComment(_) => (None, 1),
            Self::Dollar(tag) if rest.starts_with(tag) => (Some(Self::Code), tag.len()),
            Self::Dollar(_) => (None, 1),
        };
        if let Some(next) = next {
            *self = next;
        }
        at + length
    }

    /// What begins at `at`, which is in code.
    fn open(text: &[u8], at: usize) -> (Option<Self>, usize) {
        let rest = &text[at..];
        let before = |back: usize| at.checked_sub(back).map_or(b' ', |place| text[place]);
        match rest[0] {
            b'\'' => {
                let escapes = matches!(before(1), b'e' | b'E') && !is_word(before(2));
                (Some(Self::Quote { escapes }), 1)
            }
            b'"' => (Some(Self::Name), 1),
            b'-' if rest.starts_with(b"--") => (Some(Self::LineComment), 2),
            b'/' if rest.starts_with(b"/*") => (Some(Self::BlockComment(1)), 2),
            b'$' if !ends_name(&text[..at]) => match dollar_tag(rest) {
                Some(tag) => (Some(Self::Dollar(tag.to_vec())), tag.len()),
                None => (None, 1),
            },
            _ => (None, 1),
        }
    }
}

/// The statements of a text, without their semicolons, blanks and comments around them left out.
#[must_use]
pub fn statements(text: &str) -> Vec<&str> {
    let (mut lexer, mut at, mut start, mut found) = (Lexer::default(), 0, None, Vec::new());
    let bytes = text.as_bytes();
    while at < bytes.len() {
        let (byte, was_code, from) = (bytes[at], lexer == Lexer::Code, at);
        at = lexer.step(bytes, at);
        let is_code = was_code && !matches!(lexer, Lexer::LineComment | Lexer::BlockComment(_));
        match byte {
            b';' if is_code => found.extend(
                start
                    .take()
                    .map(|start: usize| text[start..from].trim_end()),
            ),
            _ if is_code && !is_blank(byte) => start = start.or(Some(from)),
            _ => {}
        }
    }
    found.extend(start.map(|start| text[start..].trim_end()));
    found
}

/// What follows the blanks and comments at the start of a text.
#[must_use]
pub fn code(text: &str) -> &str {
    let (mut lexer, mut at) = (Lexer::default(), 0);
    let bytes = text.as_bytes();
    while at < bytes.len() {
        let from = at;
        let was_code = lexer == Lexer::Code;
        at = lexer.step(bytes, at);
        let is_comment = matches!(lexer, Lexer::LineComment | Lexer::BlockComment(_));
        if was_code && !is_comment && !is_blank(bytes[from]) {
            return &text[from..];
        }
    }
    ""
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)
}

/// The server ends a comment at either.
fn is_newline(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// Whether the last word is a name, which a `$` would belong to. After a number or `$1` it would not.
fn ends_name(text: &[u8]) -> bool {
    let start = text
        .iter()
        .rposition(|byte| !is_word(*byte))
        .map_or(0, |place| place + 1);
    text[start..]
        .first()
        .is_some_and(|byte| !byte.is_ascii_digit() && *byte != b'$')
}

/// The length of blanks and comments with a newline among them and a quote after them, as SQL wants between two parts of
/// one literal; 0 if something else follows.
fn continuation(text: &[u8]) -> usize {
    let (mut at, mut has_newline) = (0, false);
    while at < text.len() {
        match text[at] {
            b'\'' if has_newline => return at + 1,
            b'-' if text[at..].starts_with(b"--") => {
                let comment = text[at..].iter().position(|byte| is_newline(*byte));
                match comment {
                    Some(length) => at += length,
                    None => return 0,
                }
            }
            byte if is_blank(byte) => {
                has_newline |= is_newline(byte);
                at += 1;
            }
            _ => return 0,
        }
    }
    0
}

/// What the server takes for a blank: one more than Rust does.
fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

/// `$$` or `$tag$` at the start of `text`; `$1` is a parameter and no tag.
fn dollar_tag(text: &[u8]) -> Option<&[u8]> {
    let end = 1 + text[1..]
        .iter()
        .position(|byte| *byte == b'$' || !is_word(*byte))?;
    let is_tag = text[end] == b'$' && !text[1].is_ascii_digit();
    is_tag.then(|| &text[..=end])
}

/// A name as SQL text.
#[must_use]
pub fn quote_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `schema.table` at the start of SQL text as `pg_dump` writes it; the names, unquoted.
#[must_use]
pub fn qualified_name(text: &str) -> Option<(String, String)> {
    let (schema, rest) = name(text)?;
    let (table, _) = name(rest.strip_prefix('.')?)?;
    Some((schema, table))
}

/// One name at the start of SQL text, unquoted, and what follows it.
#[must_use]
pub fn name(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text
            .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$')))
            .unwrap_or(text.len());
        return (end > 0).then(|| (text[..end].to_owned(), &text[end..]));
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let (part, after) = rest.split_once('"')?;
        name.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => rest = more,
            None => return Some((name, after)),
        }
        name.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        let (mut lexer, mut at, mut code) = (Lexer::default(), 0, String::new());
        while at < text.len() {
            let was_code = lexer == Lexer::Code;
            let next = lexer.step(text.as_bytes(), at);
            if was_code && lexer == Lexer::Code {
                code.push_str(&text[at..next]);
            }
            at = next;
        }
        assert_eq!(lexer, Lexer::Code, "{text}");
        code
    }

    #[test]
    fn quotes_and_comments_are_no_code() {
        for (text, expected) in [
            ("a 'b''c' d", "a  d"),
            ("a E'b\\'c' d", "a E d"),
            ("a 'b\\' d", "a  d"),
            ("type'b\\' d", "type d"),
            ("a \"b'\"\"c\" d", "a  d"),
            ("a -- b'\nd", "a d"),
            ("a /* b /* ' */ c */ d", "a  d"),
            ("a $$ b' $x$ $$ d", "a  d"),
            ("a $x$ b' $$ $xx$ $x$ d", "a  d"),
            ("a $1 b$c$d $", "a $1 b$c$d $"),
            ("a --'\rb '\rc' d", "a b  d"),
            ("a E'b'\n'c\\' d' e", "a E e"),
            ("a E'b' -- '\n \x0b'c\\' d' e", "a E e"),
            ("a 'b'\n'c\\' d", "a \n d"),
            ("a E'b' 'c\\' d", "a E  d"),
            ("a E'b'\n- d", "a E\n- d"),
            ("a 1$$ b' $$ c", "a 1 c"),
            ("a $1$$ b' $$ c", "a $1 c"),
            ("a x1$$ b$$ c", "a x1$$ b$$ c"),
        ] {
            assert_eq!(code(text), expected, "{text}");
        }
    }

    #[test]
    fn statements_are_told_apart() {
        assert_eq!(
            statements(" SELECT ';' ; -- a;b\n /* ; */ SHOW x;;\n"),
            ["SELECT ';'", "SHOW x"]
        );
        assert_eq!(statements("SELECT $$;$$ -- end"), ["SELECT $$;$$ -- end"]);
        assert!(statements(" -- nothing\n").is_empty());
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        let own = |schema: &str, table: &str| Some((schema.to_owned(), table.to_owned()));
        assert_eq!(
            qualified_name("public.portal (id)"),
            own("public", "portal")
        );
        assert_eq!(
            qualified_name("\"s p\".\"a\"\"b\n.c\" (id)"),
            own("s p", "a\"b\n.c")
        );
        assert_eq!(qualified_name("portal (id)"), None);
        assert_eq!(quote_name("a\"b"), "\"a\"\"b\"");
    }
}
