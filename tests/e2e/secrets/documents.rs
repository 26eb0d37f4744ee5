//! Random documents. Each generator counts the features that it used, so that a test can say what it covered.

mod dotenv;
mod ini;
mod json;
mod yaml;

use std::collections::BTreeMap;

pub(crate) use dotenv::{DOTENV, dotenv};
pub(crate) use ini::{INI, ini};
pub(crate) use json::{JSON, json};
pub(crate) use yaml::{YAML, yaml};

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

    fn push(&mut self, text: &mut String, feature: &'static str, list: &[&str]) {
        self.note(feature);
        text.push_str(self.chance.pick(list));
    }
}
