//! JSON documents.

use super::{Document, Random};

pub(crate) const JSON: [&str; 9] = [
    "nested object",
    "nested array",
    "int",
    "float",
    "bool",
    "null",
    "empty text",
    "odd text",
    "unencrypted suffix",
];

/// A JSON document, in lines or in one.
pub(crate) fn json(seed: u64) -> Document {
    let mut random = Random::new(seed);
    let unit = ["\t", "  ", "    ", ""][random.chance.below(4)];
    let mut text = String::new();
    random.object(&mut text, unit, 1);
    text.push('\n');
    Document {
        text,
        used: random.used,
    }
}

impl Random {
    fn object(&mut self, text: &mut String, unit: &str, depth: usize) {
        let (line, close) = lines(unit, depth);
        text.push('{');
        for index in 0..2 + self.chance.below(4) {
            let key = self.key();
            text.push_str(&format!(
                "{}{line}\"{key}\": ",
                if index > 0 { "," } else { "" }
            ));
            self.json_value(text, unit, depth);
        }
        text.push_str(&format!("{close}}}"));
    }

    fn json_value(&mut self, text: &mut String, unit: &str, depth: usize) {
        let (line, close) = lines(unit, depth + 1);
        match self.chance.below(if depth < 4 { 11 } else { 8 }) {
            0 => self.push(text, "int", &["1", "-42", "0", "9007199254740993"]),
            1 => self.push(text, "float", &["1.5", "-0.25", "1e+21", "1e-7"]),
            2 => self.push(text, "bool", &["true", "false"]),
            3 => self.push(text, "null", &["null"]),
            4 => self.push(text, "empty text", &["\"\"", "[]", "{}"]),
            5 | 6 => self.push(
                text,
                "odd text",
                &[
                    "\"\\u003ctag\\u003e \\u0026\"",
                    "\"q\\\"uote\"",
                    "\"é☃😀\"",
                    "\"a\\nb\\tc\"",
                    "\"back\\\\slash\"",
                ],
            ),
            8 => {
                self.note("nested object");
                self.object(text, unit, depth + 1);
            }
            9 | 10 => {
                self.note("nested array");
                text.push('[');
                for index in 0..=self.chance.below(3) {
                    text.push_str(&format!("{}{line}", if index > 0 { "," } else { "" }));
                    self.json_value(text, unit, depth + 1);
                }
                text.push_str(&format!("{close}]"));
            }
            _ => self.push(text, "text", &["\"word\"", "\"two words\""]),
        }
    }
}

fn lines(unit: &str, depth: usize) -> (String, String) {
    if unit.is_empty() {
        return (String::new(), String::new());
    }
    (
        format!("\n{}", unit.repeat(depth)),
        format!("\n{}", unit.repeat(depth - 1)),
    )
}
