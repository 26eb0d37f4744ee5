//! Dotenv documents.

use super::{Document, Random};

pub(crate) const DOTENV: [&str; 6] = [
    "comment",
    "empty line",
    "empty text",
    "quotes",
    "line break",
    "odd text",
];

/// A dotenv document.
pub(crate) fn dotenv(seed: u64) -> Document {
    let mut random = Random::new(seed);
    let mut text = String::new();
    for index in 0..3 + random.chance.below(6) {
        match random.chance.below(8) {
            0 => random.push(&mut text, "comment", &["# a comment", "#tight", "# A=B"]),
            1 => random.note("empty line"),
            other => {
                text.push_str(&format!("KEY_{index}="));
                match other {
                    2 => random.note("empty text"),
                    3 => random.push(&mut text, "quotes", &["\"quoted\"", "'single'"]),
                    4 => random.push(&mut text, "line break", &["a\\nb", "x\\n"]),
                    5 => random.push(
                        &mut text,
                        "odd text",
                        &["a=b=c", "# no comment", " spaces ", "é😀", "$VAR"],
                    ),
                    _ => random.push(&mut text, "text", &["word", "two words"]),
                }
            }
        }
        text.push('\n');
    }
    Document {
        text,
        used: random.used,
    }
}
