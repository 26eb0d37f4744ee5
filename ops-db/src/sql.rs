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
            Self::Quote { .. } => (rest.starts_with(b"'").then_some(Self::Code), 1),
            Self::Name => (rest.starts_with(b"\"").then_some(Self::Code), 1),
            Self::LineComment => (rest.starts_with(b"\n").then_some(Self::Code), 1),
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
            b'$' if !is_word(before(1)) => match dollar_tag(rest) {
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
            _ if is_code && !byte.is_ascii_whitespace() => start = start.or(Some(from)),
            _ => {}
        }
    }
    found.extend(start.map(|start| text[start..].trim_end()));
    found
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)
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

/// One name and what follows it.
fn name(text: &str) -> Option<(String, &str)> {
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
