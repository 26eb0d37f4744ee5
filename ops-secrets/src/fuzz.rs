//! Hostile input for every parser: a corpus that is replayed, and inputs made of it by changes that know what the formats
//! are made of. No panic, and what is taken must come back. `OPS_TEST_LONG=1` runs thirty times as many.
//!
//! An input that says something new (another error, another shape of what was read) joins the corpus of the run, so that
//! the search goes on from there. What once failed is kept in `corpus/`, one folder a target.

mod targets;

use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use targets::TARGETS;

/// Pieces that the formats are made of.
const PIECES: [&str; 64] = [
    "\n",
    "  ",
    "\t",
    ":",
    ": ",
    "- ",
    "-",
    "?",
    "? ",
    "#",
    " # c",
    "'",
    "\"",
    "''",
    "\\",
    "\\n",
    "|",
    ">",
    "|-",
    ">+2",
    "&a ",
    "*a",
    "!!str ",
    "!x ",
    "<<: *a",
    "[",
    "]",
    "{",
    "}",
    ",",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "null",
    "~",
    "true",
    "0x1F",
    "1e309",
    "-.inf",
    "2024-01-02",
    "12:30:45",
    "\r\n",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "😀",
    "\0",
    "=",
    ";",
    "[s]",
    "\"\"\"",
    "`",
    "$",
    "\\u0000",
    "\\ud800",
    "sops",
    "sops_",
    "ENC[AES256_GCM,data:",
    ",iv:",
    ",tag:",
    ",type:int]",
    "__list_0__map_",
    "age1",
    "18446744073709551616",
];

/// A small generator of random numbers: the same seed gives the same inputs.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap_or(0) % limit.max(1)
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let long = self.below(24);
        start..(start + long).min(length)
    }
}

/// Changes an input in one way.
fn change(input: &mut Vec<u8>, corpus: &[Vec<u8>], chance: &mut Chance) {
    let at = chance.below(input.len() + 1);
    match chance.below(9) {
        0 if at < input.len() => input[at] ^= 1 << chance.below(8),
        1 => drop(input.drain(chance.range(input.len()))),
        2 => {
            let piece = input[chance.range(input.len())].to_vec();
            drop(input.splice(at..at, piece));
        }
        3 => {
            let other = &corpus[chance.below(corpus.len())];
            let piece = other[chance.range(other.len())].to_vec();
            drop(input.splice(at..at, piece));
        }
        4 => swap_lines(input, chance),
        5 => {
            let piece = PIECES[chance.below(PIECES.len())].repeat(1 + chance.below(40));
            drop(input.splice(at..at, piece.into_bytes()));
        }
        6 => {
            let start = input[..at]
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |at| at + 1);
            drop(input.splice(start..start, vec![b' '; 1 + chance.below(5)]));
        }
        _ => {
            let piece = PIECES[chance.below(PIECES.len())];
            drop(input.splice(at..at, piece.bytes()));
        }
    }
}

fn swap_lines(input: &mut Vec<u8>, chance: &mut Chance) {
    let mut lines: Vec<&[u8]> = input.split_inclusive(|byte| *byte == b'\n').collect();
    let (one, two) = (chance.below(lines.len()), chance.below(lines.len()));
    if !lines.is_empty() {
        lines.swap(one, two);
    }
    *input = lines.concat();
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let mut paths: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

/// Runs a target; gives what it says of the input, without what it quotes from it, or with what it panics.
fn run(target: fn(&[u8]) -> String, input: &[u8]) -> Result<String, String> {
    let kept = |said: String| {
        let unquoted: String = said.split('\'').step_by(2).collect();
        let words = unquoted.chars().filter(|c| !c.is_ascii_digit());
        words.take(100).collect()
    };
    catch_unwind(AssertUnwindSafe(|| target(input)))
        .map(kept)
        .map_err(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_default())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the long run is asked for by the environment"
)]
fn executions() -> usize {
    let long = std::env::var_os("OPS_TEST_LONG").is_some_and(|value| value == "1");
    if long { 30_000 } else { 1_000 }
}

/// Gives the inputs that failed, each in another way.
fn fuzz(name: &str, target: fn(&[u8]) -> String) -> Vec<String> {
    let mut known = corpus(name);
    let seeds = known.clone();
    let (mut said, mut failed) = (HashSet::new(), BTreeMap::new());
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    for round in 0..seeds.len() + executions() {
        let input = seeds.get(round).cloned().unwrap_or_else(|| {
            let mut input = known[chance.below(known.len())].clone();
            for _ in 0..=chance.below(4) {
                change(&mut input, &known, &mut chance);
            }
            input.truncate(8192);
            input
        });
        match run(target, &input) {
            Ok(text) => {
                if said.insert(text) && known.len() < 5_000 {
                    known.push(input);
                }
            }
            Err(panic) => {
                let start: String = panic.chars().take(40).collect();
                let told = format!("{name}: {:?}\n{panic}", String::from_utf8_lossy(&input));
                let shortest = failed.entry(start).or_insert_with(|| told.clone());
                if told.len() < shortest.len() {
                    *shortest = told;
                }
            }
        }
    }
    let runs = seeds.len() + executions();
    eprintln!(
        "{name}: {runs} executions, {} different outcomes",
        said.len()
    );
    assert!(said.len() > 2, "{name}: the inputs lead nowhere");
    failed.into_values().collect()
}

#[test]
fn no_input_makes_a_parser_panic() {
    let failed: Vec<String> = TARGETS
        .into_iter()
        .flat_map(|(name, target)| fuzz(name, target))
        .collect();
    assert!(
        failed.is_empty(),
        "put these into corpus/:\n{}",
        failed.join("\n\n")
    );
}
