//! INI documents.

use super::{Document, Random};

pub(crate) const INI: [&str; 6] = [
    "top keys",
    "comment",
    "quotes",
    "empty text",
    "odd text",
    "several sections",
];

/// An INI document.
pub(crate) fn ini(seed: u64) -> Document {
    let mut random = Random::new(seed);
    let mut text = String::new();
    if random.chance.one_in(3) {
        random.note("top keys");
        random.ini_keys(&mut text);
    }
    for section in 0..=random.chance.below(3) {
        if section > 0 {
            random.note("several sections");
        }
        if !text.is_empty() {
            text.push('\n');
        }
        if random.chance.one_in(4) {
            random.note("comment");
            text.push_str("; about the section\n");
        }
        text.push_str(&format!("[section{section}]\n"));
        random.ini_keys(&mut text);
    }
    Document {
        text,
        used: random.used,
    }
}

impl Random {
    fn ini_keys(&mut self, text: &mut String) {
        for index in 0..=self.chance.below(4) {
            if self.chance.one_in(4) {
                self.note("comment");
                text.push_str(self.chance.pick(&["; a comment\n", "# hash\n"]));
            }
            text.push_str(&format!("key{index} = "));
            match self.chance.below(6) {
                0 => self.push(
                    text,
                    "quotes",
                    &["\"quoted text\"", "'single'", "`back # ticks`"],
                ),
                1 => self.note("empty text"),
                2 => self.push(text, "odd text", &["a=b", "é😀", "C:\\dir\\file", "100%"]),
                _ => self.push(text, "text", &["word", "two words", "5432"]),
            }
            text.push('\n');
        }
    }
}
