//! Random documents. Each generator counts the features that it used, so that a test can say what it covered.

use std::collections::BTreeMap;

/// A small generator of random numbers: the same seed gives the same document.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).expect("31 bits") % limit
    }

    pub(crate) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}

/// Which features documents had, counted by document.
#[derive(Default)]
pub(crate) struct Coverage(BTreeMap<&'static str, usize>);

impl Coverage {
    pub(crate) fn add(&mut self, used: &[&'static str]) {
        let mut seen = used.to_vec();
        seen.sort_unstable();
        seen.dedup();
        for feature in seen {
            *self.0.entry(feature).or_default() += 1;
        }
    }

    /// Prints what was covered, and requires each of the features in at least 5 % of the documents.
    #[track_caller]
    pub(crate) fn require(&self, format: &str, documents: usize, features: &[&'static str]) {
        eprintln!("{format}: {documents} documents: {:?}", self.0);
        for feature in features {
            let count = self.0.get(feature).copied().unwrap_or(0);
            assert!(
                count * 20 >= documents,
                "{format}: '{feature}' in {count} of {documents} documents only"
            );
        }
    }
}

pub(crate) struct Random {
    pub(crate) chance: Chance,
    pub(crate) used: Vec<&'static str>,
    keys: usize,
}

/// What is gained from one seed: a text, and the features that it has.
pub(crate) struct Document {
    pub(crate) text: String,
    pub(crate) used: Vec<&'static str>,
}

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

impl Random {
    fn new(seed: u64) -> Self {
        Self {
            chance: Chance::new(seed),
            used: Vec::new(),
            keys: 0,
        }
    }

    fn note(&mut self, feature: &'static str) {
        self.used.push(feature);
    }

    fn key(&mut self) -> String {
        self.keys += 1;
        let stem = self
            .chance
            .pick(&["key", "db", "user-name", "a.b", "under_score", "Ümlaut"]);
        let suffix = if self.chance.one_in(8) {
            self.note("unencrypted suffix");
            "_unencrypted"
        } else {
            ""
        };
        format!("{stem}{}{suffix}", self.keys)
    }
}

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

    fn push(&mut self, text: &mut String, feature: &'static str, list: &[&str]) {
        self.note(feature);
        text.push_str(self.chance.pick(list));
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
