//! Reading a text into a tree that knows its places.

use std::ops::Range;

use zeroize::Zeroizing;

use crate::tree::{
    Comment, Document, Entry, Map, Node, Pair, Place, Scalar, Style, Syntax, Tree, Value,
};

type Result<T> = std::result::Result<T, Syntax>;

/// Parses a file. Keys before the first section belong to `DEFAULT`.
pub fn parse(source: &str) -> Result<Tree> {
    if let Some(at) = source.rfind('\u{feff}').filter(|at| *at > 0) {
        let message =
            "the character U+FEFF cannot stand here: sops takes it for a part of the name";
        return Err(Syntax::new(at, message));
    }
    let mut reader = Reader {
        source,
        at: 0,
        comments: Vec::new(),
        counter: 1,
        root: Map {
            span: 0..source.len(),
            ..Map::default()
        },
    };
    reader.root.entries.push(Entry::Pair(section("DEFAULT", 0)));
    while reader.at < source.len() {
        reader.line()?;
    }
    // go-ini drops comments that nothing follows; they are kept, and bound to the root.
    let rest = std::mem::take(&mut reader.comments);
    reader.root.entries.extend(
        rest.into_iter()
            .map(|span| Entry::Comment(comment(source, &[span]))),
    );
    Ok(Tree {
        documents: vec![Document {
            root: reader.root,
            end: source.len(),
        }],
    })
}

fn section(name: &str, at: usize) -> Pair {
    let map = Map {
        span: at..at,
        ..Map::default()
    };
    Pair {
        key: name.to_owned(),
        at,
        sign: at,
        region: at..at,
        node: Node::Map(map),
    }
}

struct Reader<'s> {
    source: &'s str,
    at: usize,
    /// Comment lines that wait for what they belong to.
    comments: Vec<Range<usize>>,
    /// The number of the next key named `-`.
    counter: usize,
    root: Map,
}

impl Reader<'_> {
    /// The end of the line that begins or stands at a byte, its break included.
    fn after_line(&self, at: usize) -> usize {
        self.source[at..]
            .find('\n')
            .map_or(self.source.len(), |length| at + length + 1)
    }

    fn line(&mut self) -> Result<()> {
        let begin = self.at;
        let end = self.after_line(begin);
        let line = &self.source[begin..end];
        let text = line.trim_start_matches('\u{feff}').trim_start();
        let start = end - text.len();
        self.at = end;
        match text.as_bytes().first() {
            None => {}
            Some(b'#' | b';') => self
                .comments
                .push(start..start + text.trim_end_matches(['\n', '\r']).len()),
            Some(b'[') => self.header(begin, start, end)?,
            Some(_) => self.key(begin, start, end)?,
        }
        Ok(())
    }

    fn header(&mut self, begin: usize, start: usize, end: usize) -> Result<()> {
        let text = &self.source[start..end];
        let Some(close) = text.rfind(']') else {
            return Err(Syntax::new(start, "the section has no ']'"));
        };
        let name = &text[1..close];
        if name.is_empty() {
            return Err(Syntax::new(start, "the section has no name"));
        }
        // Its ciphertext would hold a bracket, and the last bracket ends the name.
        if let Some(sign) = text[close..].find(['#', ';']) {
            let message =
                "a comment behind a section cannot be encrypted there: put it on a line of its own";
            return Err(Syntax::new(start + close + sign, message));
        }
        self.counter = 1;
        if name == "sops" {
            // What waits here stood at the end of the plain file.
            let rest = std::mem::take(&mut self.comments);
            let source = self.source;
            self.root.entries.extend(
                rest.into_iter()
                    .map(|span| Entry::Comment(comment(source, &[span]))),
            );
        }
        let mut pair = section(name, begin);
        pair.region = begin..end;
        if name == "DEFAULT" {
            return Ok(());
        }
        self.root.entries.push(Entry::Pair(pair));
        if let Some(comment) = self.take_comment() {
            self.section_entries().0.push(Entry::Comment(comment));
        }
        Ok(())
    }

    fn section_entries(&mut self) -> (&mut Vec<Entry>, &mut Range<usize>) {
        let last = self
            .root
            .entries
            .iter_mut()
            .rev()
            .find_map(|entry| match entry {
                Entry::Pair(Pair {
                    node: Node::Map(map),
                    region,
                    ..
                }) => Some((&mut map.entries, region)),
                _ => None,
            });
        last.unwrap_or_else(|| unreachable!("the first entry is a section"))
    }

    fn take_comment(&mut self) -> Option<Comment> {
        let spans = std::mem::take(&mut self.comments);
        (!spans.is_empty()).then(|| comment(self.source, &spans))
    }

    fn key(&mut self, begin: usize, start: usize, end: usize) -> Result<()> {
        let line = &self.source[start..end];
        let (name, offset) = key_name(line).map_err(|message| Syntax::new(start, message))?;
        let name = if name == "-" {
            self.counter += 1;
            format!("#{}", self.counter - 1)
        } else {
            name
        };
        let (text, place) = self.value(start + offset, end)?;
        let node = Node::Scalar(Scalar {
            value: Value::Text(text),
            place,
        });
        let region = begin..self.at;
        let comment = self.take_comment();
        let at = self.at;
        let (entries, section) = self.section_entries();
        entries.push(Entry::Pair(Pair {
            key: name,
            at: start,
            sign: start + offset,
            region,
            node,
        }));
        entries.extend(comment.map(Entry::Comment));
        section.end = at;
        Ok(())
    }

    /// The value that begins after the sign at `from`, on a line that ends at `end`.
    fn value(&mut self, from: usize, end: usize) -> Result<(Zeroizing<String>, Place)> {
        let line = &self.source[from..end];
        let text = line.trim_start();
        let start = end - text.len();
        if text.is_empty() {
            let at = from + line.trim_end_matches(['\n', '\r']).len();
            return Ok((
                Zeroizing::new(String::new()),
                Place {
                    span: at..at,
                    ..Place::default()
                },
            ));
        }
        let quote = match text {
            _ if text.len() > 3 && text.starts_with("\"\"\"") => Some(("\"\"\"", Style::Folded)),
            _ if text.starts_with('`') => Some(("`", Style::Literal)),
            _ => None,
        };
        if let Some((quote, style)) = quote {
            return self.quoted(start, end, quote, style);
        }
        let trimmed = text.trim_end();
        if trimmed.ends_with('\\') {
            return Ok(self.continued(start, start + trimmed.len()));
        }
        let mut value = trimmed;
        if let Some(sign) = trimmed.find(['#', ';']) {
            self.comments.push(start + sign..start + trimmed.len());
            value = trimmed[..sign].trim_end();
        }
        let (value, style) = unquoted(value);
        let span = start..start + value.len() + if style == Style::Plain { 0 } else { 2 };
        Ok((
            Zeroizing::new(value.to_owned()),
            Place {
                span,
                style,
                ..Place::default()
            },
        ))
    }

    /// A value in quotes that keep everything, line breaks too.
    fn quoted(
        &mut self,
        start: usize,
        end: usize,
        quote: &str,
        style: Style,
    ) -> Result<(Zeroizing<String>, Place)> {
        let inner = start + quote.len();
        let close = match self.source[inner..end].rfind(quote) {
            Some(length) => inner + length,
            None => self
                .closing(quote, end)
                .ok_or_else(|| Syntax::new(start, "the quote is never closed"))?,
        };
        let text = Zeroizing::new(self.source[inner..close].to_owned());
        let place = Place {
            span: start..close + quote.len(),
            style,
            ..Place::default()
        };
        Ok((text, place))
    }

    /// Where a quote that spans lines closes; moves behind that line.
    fn closing(&mut self, quote: &str, mut from: usize) -> Option<usize> {
        while from < self.source.len() {
            let end = self.after_line(from);
            if let Some(length) = self.source[from..end].rfind(quote) {
                self.at = end;
                return Some(from + length);
            }
            from = end;
        }
        None
    }

    /// A value that goes on after backslashes at the ends of lines.
    fn continued(&mut self, start: usize, first_end: usize) -> (Zeroizing<String>, Place) {
        let mut text = Zeroizing::new(self.source[start..first_end - 1].to_owned());
        let mut span_end = first_end;
        loop {
            let from = self.at;
            self.at = self.after_line(from);
            let next = self.source[from..self.at].trim();
            if next.is_empty() {
                break;
            }
            span_end = from + self.source[from..self.at].trim_end().len();
            text.push_str(next);
            if !text.ends_with('\\') {
                break;
            }
            text.pop();
        }
        (
            text,
            Place {
                span: start..span_end,
                ..Place::default()
            },
        )
    }
}

/// A value without the quotes around it, and which they were.
pub(super) fn unquoted(value: &str) -> (&str, Style) {
    for (quote, style) in [('\'', Style::Single), ('"', Style::Double)] {
        if value.len() >= 2
            && value.starts_with(quote)
            && value[1..].find(quote) == Some(value.len() - 2)
        {
            return (&value[1..value.len() - 1], style);
        }
    }
    (value, Style::Plain)
}

/// The name of a key and where its value begins.
fn key_name(line: &str) -> std::result::Result<(String, usize), &'static str> {
    let quote = match line {
        _ if line.len() > 6 && line.starts_with("\"\"\"") => "\"\"\"",
        _ if line.starts_with('"') => "\"",
        _ if line.starts_with('`') => "`",
        _ => "",
    };
    let from = quote.len();
    let close = if quote.is_empty() {
        0
    } else {
        from + line[from..]
            .find(quote)
            .ok_or("the quote of the key is never closed")?
    };
    let sign = line[close..]
        .find(['=', ':'])
        .ok_or("the line has neither '=' nor ':'")?
        + close;
    let name = if quote.is_empty() {
        &line[..sign]
    } else {
        &line[from..close]
    };
    if name.trim().is_empty() {
        return Err("the key has no name");
    }
    Ok((name.trim().to_owned(), sign + 1))
}

/// Several lines make one comment; its span begins with the first line, the others are told by their breaks.
fn comment(source: &str, spans: &[Range<usize>]) -> Comment {
    let joined: Vec<&str> = spans
        .iter()
        .map(|span| source[span.clone()].trim_start())
        .collect();
    let joined = joined.join("\n");
    let text = match joined.as_bytes().first() {
        Some(b';') => joined.trim_start_matches([';', ' ']),
        _ => joined.trim_start_matches(['#', ' ']),
    };
    let span = spans[0].start..spans[spans.len() - 1].end;
    // A key between two parts: only the first is the comment's place, and the text has all.
    let line = &source[span.clone()];
    let whole = line
        .lines()
        .all(|line| line.trim_start().starts_with(['#', ';']) || line.trim().is_empty());
    let span = if whole { span } else { spans[0].clone() };
    Comment {
        text: Zeroizing::new(text.trim_end().to_owned()),
        span,
        column: 0,
        alone: whole && !spans.is_empty(),
        alias: false,
    }
}
