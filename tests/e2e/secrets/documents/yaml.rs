//! YAML documents in the way that people write them.

use super::{Document, Random};

const TEXTS: [&str; 22] = [
    "plain",
    "two words",
    "with: colon",
    "with #hash",
    "trailing ",
    " leading",
    "it's",
    "say \"hi\"",
    "back\\slash",
    "é☃",
    "😀 astral",
    "*star",
    "&and",
    "- dash",
    "[bracket",
    "{brace",
    "100%",
    "@at",
    "a,b",
    "true",
    "null",
    "007",
];

pub(crate) const YAML: [&str; 22] = [
    "comment above",
    "comment inline",
    "comment in list",
    "comment at end",
    "empty line",
    "nested map",
    "nested list",
    "list of maps",
    "flow list",
    "flow map",
    "single quotes",
    "double quotes",
    "literal block",
    "folded block",
    "int",
    "float",
    "bool",
    "null",
    "time",
    "empty text",
    "unencrypted suffix",
    "odd text",
];

/// A YAML document in the way that people write them: any indentation and quoting. What encryption cannot give back (see
/// docs/ops-secrets.md) is left out, so that it must come back byte by byte.
pub(crate) fn yaml(seed: u64) -> Document {
    let mut random = Random::new(seed);
    let step = [2, 2, 4, 3][random.chance.below(4)];
    let mut text = String::new();
    if random.chance.one_in(6) {
        text.push_str("# first line\n\n");
    }
    let count = 3 + random.chance.below(6);
    random.map(&mut text, 0, step, count, 0);
    if random.chance.one_in(6) {
        random.note("several documents");
        text.push_str("---\n");
        random.map(&mut text, 0, step, 2, 0);
    }
    if random.chance.one_in(6) {
        random.note("comment at end");
        text.push_str("# the end\n");
    }
    Document {
        text,
        used: random.used,
    }
}

impl Random {
    fn map(&mut self, text: &mut String, column: usize, step: usize, count: usize, depth: usize) {
        for index in 0..count {
            if index > 0 || !text.ends_with("- ") {
                self.before(text, column, "comment above");
                text.push_str(&" ".repeat(column));
            }
            let key = self.key();
            text.push_str(&key);
            text.push(':');
            self.value(text, column, step, depth);
        }
    }

    /// An empty line and a comment, now and then.
    fn before(&mut self, text: &mut String, column: usize, feature: &'static str) {
        if self.chance.one_in(6) && !text.is_empty() {
            self.note("empty line");
            text.push('\n');
        }
        if self.chance.one_in(5) {
            self.note(feature);
            for _ in 0..=self.chance.below(2) {
                let words = self.chance.pick(&[
                    "# a comment",
                    "#tight",
                    "# with: colon",
                    "#  spaces",
                    "# 'quoted'",
                ]);
                text.push_str(&format!("{}{words}\n", " ".repeat(column)));
            }
        }
    }

    fn value(&mut self, text: &mut String, column: usize, step: usize, depth: usize) {
        match self.chance.below(if depth < 3 { 12 } else { 8 }) {
            8 => {
                self.note("nested map");
                text.push('\n');
                let count = 1 + self.chance.below(3);
                self.map(text, column + step, step, count, depth + 1);
            }
            9 | 10 => {
                text.push('\n');
                let inner = if self.chance.one_in(3) {
                    column
                } else {
                    column + step
                };
                self.list(text, inner, step, depth + 1);
            }
            11 => self.flow(text),
            _ => self.scalar(text, column, column + step),
        }
    }

    fn list(&mut self, text: &mut String, column: usize, step: usize, depth: usize) {
        self.note("nested list");
        for _ in 0..=self.chance.below(4) {
            self.before(text, column, "comment in list");
            text.push_str(&format!("{}-", " ".repeat(column)));
            match self.chance.below(6) {
                0 if depth < 3 => {
                    self.note("list of maps");
                    text.push(' ');
                    let count = 1 + self.chance.below(2);
                    self.map(text, column + 2, step, count, depth + 1);
                }
                _ => self.scalar(text, column, column + 2),
            }
        }
    }

    fn flow(&mut self, text: &mut String) {
        if self.chance.one_in(2) {
            self.note("flow list");
            text.push_str(self.chance.pick(&[
                " [a, 'b', 3]\n",
                " []\n",
                " [ x , true ]\n",
                " [[1, 2], [z]]\n",
            ]));
        } else {
            self.note("flow map");
            text.push_str(self.chance.pick(&[
                " {a: 1, b: 'x'}\n",
                " {}\n",
                " { deep: { er: [p, q] } }\n",
            ]));
        }
    }

    fn scalar(&mut self, text: &mut String, column: usize, inner: usize) {
        let odd = self.chance.pick(&TEXTS);
        let quoted = |text: &str| text.replace('\'', "''");
        let (feature, written) = match self.chance.below(15) {
            0 => (
                "int",
                self.chance
                    .pick(&["1", "-42", "0", "9007199254740993"])
                    .to_owned(),
            ),
            1 => (
                "float",
                self.chance
                    .pick(&["1.5", "-0.25", "1e+20", "0.0001"])
                    .to_owned(),
            ),
            2 => ("bool", self.chance.pick(&["true", "false"]).to_owned()),
            3 => ("null", self.chance.pick(&["null", "~", ""]).to_owned()),
            4 => (
                "time",
                self.chance
                    .pick(&["2024-01-02T00:00:00Z", "2024-01-02T03:04:05.123+02:00"])
                    .to_owned(),
            ),
            5 => ("empty text", self.chance.pick(&["\"\"", "''"]).to_owned()),
            6 | 7 => ("single quotes", format!("'{}'", quoted(odd))),
            8 => (
                "double quotes",
                format!("\"{}\"", odd.replace('\\', "\\\\").replace('"', "\\\"")),
            ),
            9 => (
                "literal block",
                block(self.chance.pick(&["|", "|-"]), inner),
            ),
            10 => (
                "folded block",
                format!(
                    "{}\n{}one long line",
                    self.chance.pick(&[">", ">-"]),
                    " ".repeat(inner)
                ),
            ),
            11 => (
                "odd text",
                self.chance
                    .pick(&[
                        "a:b",
                        "x#y",
                        "http://h/p?q=1",
                        "é☃",
                        "a 'b' c",
                        "12:30:x",
                        "-x",
                        "?y",
                    ])
                    .to_owned(),
            ),
            _ => (
                "plain text",
                self.chance
                    .pick(&["word", "two words", "a-b_c.d/e"])
                    .to_owned(),
            ),
        };
        self.note(feature);
        let _ = column;
        let block = feature.ends_with("block");
        let gap = if written.is_empty() { "" } else { " " };
        text.push_str(&format!("{gap}{written}"));
        if !block && !written.is_empty() && self.chance.one_in(8) {
            self.note("comment inline");
            text.push_str(
                self.chance
                    .pick(&["  # inline", " #inline", "   # inline: too"]),
            );
        }
        text.push('\n');
    }
}

fn block(header: &str, column: usize) -> String {
    let blanks = " ".repeat(column);
    format!("{header}\n{blanks}first line\n\n{blanks}  indented\n{blanks}last: line")
}
