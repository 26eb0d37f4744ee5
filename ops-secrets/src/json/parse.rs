//! Reading a text into a tree that knows its places.

use zeroize::Zeroizing;

use crate::cipher::HEAD;
use crate::tree::{
    DEPTH, Data, Document, Entry, Item, List, Map, Node, Pair, Place, Scalar, Style, Syntax, Tree,
    Value,
};

type Result<T> = std::result::Result<T, Syntax>;

/// Parses a file: one object, the only root that sops knows.
pub fn parse(source: &str) -> Result<Tree> {
    document(source, false)
}

/// Parses an encrypted file: ciphertexts stay in the source, and the tree tells their places only.
pub fn parse_encrypted(source: &str) -> Result<Tree> {
    document(source, true)
}

fn document(source: &str, lends: bool) -> Result<Tree> {
    let (node, mut parser) = root(source, lends)?;
    let Node::Map(root) = node else {
        return Err(Syntax::new(
            0,
            "the document is no object: sops files hold objects only",
        ));
    };
    parser.blanks();
    if parser.at < source.len() {
        return parser.fail("something stands after the document");
    }
    let end = root.span.end.saturating_sub(1);
    Ok(Tree {
        documents: vec![Document { root, end }],
    })
}

/// Parses one value of any shape, such as the one given to `set`.
pub fn value(source: &str) -> Result<Data> {
    let (node, mut parser) = root(source, false)?;
    parser.blanks();
    if parser.at < source.len() {
        parser.fail("something stands after the value")
    } else {
        Ok((&node).into())
    }
}

fn root(source: &str, lends: bool) -> Result<(Node, Parser<'_>)> {
    let mut parser = Parser {
        source,
        bytes: source.as_bytes(),
        at: 0,
        depth: 0,
        lends,
    };
    let node = parser.value(false)?;
    Ok((node, parser))
}

struct Parser<'s> {
    source: &'s str,
    bytes: &'s [u8],
    at: usize,
    depth: usize,
    /// Whether ciphertexts stay in the source.
    lends: bool,
}

impl Parser<'_> {
    fn fail<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(Syntax::new(self.at, message))
    }

    fn byte(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, element: bool) -> Result<Node> {
        self.blanks();
        let start = self.at;
        let lent = self.lends && self.pass_ciphertext();
        let (value, style) = match self.byte() {
            _ if lent => (Value::Null, Style::Double),
            Some(b'{') => return self.nested(Self::object).map(Node::Map),
            Some(b'[') => return self.nested(Self::array).map(Node::List),
            Some(b'"') => (Value::Text(self.string()?), Style::Double),
            Some(b'-' | b'0'..=b'9') => (self.number()?, Style::Plain),
            _ => (self.word()?, Style::Plain),
        };
        let place = Place {
            span: start..self.at,
            style,
            element,
            flow: true,
            lent,
            ..Place::default()
        };
        Ok(Node::Scalar(Scalar { value, place }))
    }

    /// Moves over a ciphertext without escapes; says whether one stands here.
    fn pass_ciphertext(&mut self) -> bool {
        let Some(inside) = self.bytes[self.at..].strip_prefix(b"\"") else {
            return false;
        };
        if !inside.starts_with(HEAD.as_bytes()) {
            return false;
        }
        // Counted without a way out: so the compiler makes it fast, and ciphertexts can be long.
        let odd = |text: &[u8]| {
            let odd = |c: &&u8| **c < b' ' || **c == b'\\';
            text.iter().filter(odd).count() > 0
        };
        let quote = self.source[self.at + 1..].find('"');
        match quote.filter(|end| !odd(&inside[..*end])) {
            Some(end) => self.at += end + 2,
            None => return false,
        }
        true
    }

    fn nested<T>(&mut self, read: fn(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        if self.depth > DEPTH {
            return self.fail(format!("nested more than {DEPTH} levels deep"));
        }
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn word(&mut self) -> Result<Value> {
        for (word, value) in [
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("null", Value::Null),
        ] {
            if self.source[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        self.fail("a value should stand here")
    }

    fn object(&mut self) -> Result<Map> {
        let mut map = Map {
            span: self.at..self.at,
            flow: true,
            ..Map::default()
        };
        self.at += 1;
        self.blanks();
        while self.byte() != Some(b'}') {
            let at = self.at;
            if self.byte() != Some(b'"') {
                return self.fail("a key in double quotes should stand here");
            }
            let key = std::mem::take(&mut *self.string()?);
            self.blanks();
            if self.byte() != Some(b':') {
                return self.fail("a ':' should stand here");
            }
            self.at += 1;
            let node = self.value(false)?;
            map.entries.push(Entry::Pair(Pair {
                key,
                at,
                sign: node.span().start,
                region: at..self.at,
                node,
            }));
            self.comma(b'}')?;
        }
        self.at += 1;
        map.span.end = self.at;
        Ok(map)
    }

    fn array(&mut self) -> Result<List> {
        let mut list = List {
            span: self.at..self.at,
            flow: true,
            ..List::default()
        };
        self.at += 1;
        self.blanks();
        while self.byte() != Some(b']') {
            let at = self.at;
            let node = self.value(true)?;
            list.items.push(Item::Element {
                region: at..self.at,
                node,
            });
            self.comma(b']')?;
        }
        self.at += 1;
        list.span.end = self.at;
        Ok(list)
    }

    /// Moves over a comma; after it something must follow, without it the end must.
    fn comma(&mut self, end: u8) -> Result<()> {
        self.blanks();
        if self.byte() == Some(b',') {
            self.at += 1;
            self.blanks();
            if self.byte() == Some(end) || self.byte().is_none() {
                return self.fail("nothing follows the ','");
            }
        } else if self.byte() != Some(end) {
            return self.fail(format!("a ',' or a '{}' should stand here", end as char));
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Value> {
        let start = self.at;
        while matches!(
            self.byte(),
            Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')
        ) {
            self.at += 1;
        }
        let text = &self.source[start..self.at];
        let digits = text.strip_prefix('-').unwrap_or(text);
        let whole = digits.bytes().take_while(u8::is_ascii_digit).count();
        let odd = whole == 0
            || (whole > 1 && digits.starts_with('0'))
            || digits.ends_with(['.', 'e', 'E', '+', '-']);
        if !odd && let Ok(int) = text.parse() {
            return Ok(Value::Int(int));
        }
        match text.parse::<f64>() {
            Ok(float)
                if !odd
                    && float.is_finite()
                    && !digits.contains(".e")
                    && !digits.contains(".E") =>
            {
                Ok(Value::Float(float))
            }
            _ => Err(Syntax::new(start, "this is no number that JSON knows")),
        }
    }

    fn string(&mut self) -> Result<Zeroizing<String>> {
        let start = self.at;
        self.at += 1;
        let mut text = Zeroizing::new(String::new());
        loop {
            let from = self.at;
            while self
                .byte()
                .is_some_and(|c| c != b'"' && c != b'\\' && c >= b' ')
            {
                self.at += 1;
            }
            text.push_str(&self.source[from..self.at]);
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(_) => return self.fail("a control character stands in a text"),
                None => return Err(Syntax::new(start, "the quote is never closed")),
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        let sign = self.bytes.get(self.at + 1).copied();
        self.at += 2;
        Ok(match sign {
            Some(c @ (b'"' | b'\\' | b'/')) => c as char,
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => {
                self.at = self.at.min(self.source.len()) - 1;
                return self.fail("there is no such escape");
            }
        })
    }

    /// `\uXXXX`, two of them for characters beyond the first plane; a lone half becomes U+FFFD, as in Go.
    fn unicode(&mut self) -> Result<char> {
        let first = self.hex()?;
        if (0xd800..0xdc00).contains(&first) && self.source[self.at..].starts_with("\\u") {
            let back = self.at;
            self.at += 2;
            let second = self.hex()?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or('\u{fffd}'));
            }
            self.at = back;
        }
        Ok(char::from_u32(first).unwrap_or('\u{fffd}'))
    }

    fn hex(&mut self) -> Result<u32> {
        let digits = self
            .source
            .get(self.at..self.at + 4)
            .filter(|digits| digits.bytes().all(|c| c.is_ascii_hexdigit()));
        let Some(code) = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) else {
            return self.fail("four hexadecimal digits should stand here");
        };
        self.at += 4;
        Ok(code)
    }
}
