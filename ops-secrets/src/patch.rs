//! Changes of a source text, collected first and then made in one pass.

use std::borrow::Cow;
use std::ops::Range;

use zeroize::Zeroizing;

/// A change of the source text.
#[derive(Debug)]
pub struct Edit {
    /// The bytes that go.
    pub span: Range<usize>,
    /// The text that comes.
    pub text: Zeroizing<String>,
}

impl Edit {
    /// Puts `text` in the place of `span`.
    pub fn new(span: Range<usize>, text: impl Into<String>) -> Self {
        Self {
            span,
            text: Zeroizing::new(text.into()),
        }
    }
}

/// Many changes of one text. Short texts that are only lent share one buffer: a file of many values costs few allocations.
#[derive(Default)]
pub struct Patch {
    pieces: Vec<Piece>,
    lent: Zeroizing<String>,
    /// Texts that many changes are parts of.
    stores: Vec<String>,
}

struct Piece {
    span: Range<usize>,
    text: Text,
}

enum Text {
    /// A part of the shared buffer.
    Lent(Range<usize>),
    /// A part of the store of that number.
    Stored(usize, Range<usize>),
    Own(Zeroizing<String>),
}

impl Patch {
    /// Puts `text` in the place of `span`.
    pub fn put(&mut self, span: Range<usize>, text: Cow<'_, str>) {
        let text = match text {
            Cow::Borrowed(text) => Text::Lent(self.keep(text)),
            Cow::Owned(text) => Text::Own(Zeroizing::new(text)),
        };
        self.pieces.push(Piece { span, text });
    }

    /// Makes room for so many changes, with so many bytes of lent texts.
    #[must_use]
    pub fn with_capacity(count: usize, bytes: usize) -> Self {
        Self {
            pieces: Vec::with_capacity(count),
            lent: Zeroizing::new(String::with_capacity(bytes)),
            ..Self::default()
        }
    }

    /// Takes texts that are no secrets, for parts of them to be put somewhere without a copy.
    pub fn store(&mut self, texts: Vec<String>) {
        self.stores = texts;
    }

    /// A part of the store of that number.
    #[must_use]
    pub fn stored(&self, number: usize, part: Range<usize>) -> &str {
        &self.stores[number][part]
    }

    /// Puts a part of the store of that number in the place of `span`.
    pub fn put_stored(&mut self, span: Range<usize>, number: usize, part: Range<usize>) {
        let text = Text::Stored(number, part);
        self.pieces.push(Piece { span, text });
    }

    /// Copies a text into the buffer. A string that grows by itself leaves a copy of what it held behind; this one does
    /// not.
    fn keep(&mut self, text: &str) -> Range<usize> {
        let (start, end) = (self.lent.len(), self.lent.len() + text.len());
        if end > self.lent.capacity() {
            let mut grown = Zeroizing::new(String::with_capacity((2 * end).max(1024)));
            grown.push_str(&self.lent);
            self.lent = grown;
        }
        self.lent.push_str(text);
        start..end
    }

    fn text<'p>(&'p self, piece: &'p Piece) -> &'p str {
        match &piece.text {
            Text::Lent(part) => &self.lent[part.clone()],
            Text::Stored(number, part) => self.stored(*number, part.clone()),
            Text::Own(text) => text,
        }
    }

    /// Makes the changes, in one pass. They may have come in any order, but must not overlap.
    #[must_use]
    pub fn apply(mut self, source: &str) -> Zeroizing<String> {
        self.pieces
            .sort_by_key(|piece| (piece.span.start, piece.span.end));
        let more: usize = (self.pieces.iter())
            .map(|piece| self.text(piece).len())
            .sum();
        let gone: usize = self.pieces.iter().map(|piece| piece.span.len()).sum();
        let size = (source.len() + more).saturating_sub(gone);
        let mut out = Zeroizing::new(String::with_capacity(size));
        let mut at = 0;
        for piece in &self.pieces {
            debug_assert!(piece.span.start >= at, "overlapping edits");
            out.push_str(&source[at..piece.span.start.max(at)]);
            out.push_str(self.text(piece));
            at = piece.span.end.max(at);
        }
        out.push_str(&source[at..]);
        out
    }
}

impl Extend<Edit> for Patch {
    fn extend<T: IntoIterator<Item = Edit>>(&mut self, edits: T) {
        self.pieces.extend(edits.into_iter().map(|edit| Piece {
            span: edit.span,
            text: Text::Own(edit.text),
        }));
    }
}

/// Applies edits to a text, in one pass. They may come in any order, but must not overlap.
#[must_use]
pub fn apply(source: &str, edits: impl IntoIterator<Item = Edit>) -> Zeroizing<String> {
    let mut patch = Patch::default();
    patch.extend(edits);
    patch.apply(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_come_in_any_order() {
        let mut patch = Patch::default();
        patch.put(8..8, Cow::Borrowed("!"));
        patch.put(4..5, Cow::Owned("new".to_owned()));
        patch.extend([Edit::new(0..2, "")]);
        assert_eq!(patch.apply("a: b: c\n").as_str(), " bnew c\n!");
    }

    #[test]
    fn a_growing_buffer_keeps_what_it_holds() {
        let mut patch = Patch::default();
        let words: Vec<String> = (0..2000).map(|number| format!("<{number}>")).collect();
        for (at, word) in words.iter().enumerate() {
            patch.put(at..at, Cow::Borrowed(word));
        }
        assert_eq!(
            patch.apply(&" ".repeat(2000)).replace(' ', ""),
            words.concat()
        );
    }
}
