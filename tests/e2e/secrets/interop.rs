//! Random documents in both directions: what sops makes of ours, and what we make of sops's.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::bed::{Bed, rounds, sops};
use crate::documents::{self, Coverage, Document};

/// A line as it is when nothing random is left in it: ciphertexts by their type only.
fn masked(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find("ENC[AES256_GCM,") {
        let end = rest[at..]
            .find(",type:")
            .map_or(rest.len(), |length| at + length);
        out.push_str(&rest[..at]);
        out.push_str("ENC[");
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// What of a file must be the same whoever wrote it: all but ciphertext, wrapped keys, time, MAC and our seal.
fn skeleton(text: &str) -> String {
    let random = |line: &str| {
        let line = line
            .trim_start()
            .trim_start_matches("sops_")
            .trim_start_matches('"');
        ["ops_seal", "lastmodified", "mac"]
            .iter()
            .any(|name| line.starts_with(name))
    };
    let mut armor = false;
    let mut kept = String::new();
    for line in text.lines() {
        if line.contains("-----BEGIN AGE") {
            armor = !line.contains("END AGE");
            continue;
        }
        if line.contains("-----END AGE") {
            armor = false;
            continue;
        }
        if !armor && !random(line) {
            kept.push_str(&masked(line));
            kept.push('\n');
        }
    }
    kept
}

/// A document without its comments: those on lines of their own, and those that the generator puts behind values.
fn without_comments(text: &str) -> String {
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with(['#', ';']) && !line.trim().is_empty());
    let cut = |line: &str| {
        let at = [" # inline", " #inline"]
            .iter()
            .filter_map(|mark| line.find(mark))
            .min();
        at.map_or(line, |at| line[..at].trim_end()).to_owned()
    };
    lines.map(cut).collect::<Vec<_>>().join("\n")
}

struct Case<'b> {
    bed: &'b Bed,
    extension: &'static str,
    seed: u64,
}

impl Case<'_> {
    fn name(&self, stem: &str) -> String {
        format!("{stem}-{}.{}", self.seed, self.extension)
    }

    fn sops_out(&self, args: &[&str]) -> String {
        self.bed.sops(args).run().expect(0).out()
    }

    fn ops_out(&self, args: &[&str]) -> String {
        self.bed.ops(args).run().expect(0).out()
    }

    fn check(&self, document: &Document) {
        let plain = self.name("plain");
        self.bed.write(&plain, &document.text);
        let recipient = &self.bed.recipient;
        let ours = self.ops_out(&["encrypt", "--allow-plaintext", "--age", recipient, &plain]);
        let theirs = self.sops_out(&["encrypt", "--age", recipient, &plain]);
        let (ours_name, theirs_name) = (self.name("ours"), self.name("theirs"));
        self.bed.write(&ours_name, &ours);
        self.bed.write(&theirs_name, &theirs);

        // Ours comes back byte by byte.
        let back = self.ops_out(&["decrypt", "--require-seal", &ours_name]);
        assert_eq!(
            back, document.text,
            "seed {}: not what went in\n{ours}",
            self.seed
        );

        // sops reads ours, comments included, and finds what it finds in its own.
        let their_text = self.sops_out(&["decrypt", &theirs_name]);
        let read_by_sops = self.sops_out(&["decrypt", &ours_name]);
        assert!(
            !read_by_sops.contains("ENC["),
            "seed {}: sops leaves ciphertext\n{}\n{ours}",
            self.seed,
            document.text
        );
        assert_eq!(
            without_comments(&read_by_sops),
            without_comments(&their_text),
            "seed {}\n{}",
            self.seed,
            document.text
        );

        // We read sops's, comments included.
        let read_by_us = self.ops_out(&["decrypt", &theirs_name]);
        assert!(
            !read_by_us.contains("ENC["),
            "seed {}: we leave ciphertext\n{}\n{theirs}",
            self.seed,
            document.text
        );
        assert_eq!(
            without_comments(&read_by_us),
            without_comments(&their_text),
            "seed {}\n{theirs}",
            self.seed
        );

        // A document in sops's own style gives sops's bytes but for what is random.
        let own = self.name("own");
        self.bed.write(&own, &their_text);
        let (a, b) = (
            self.ops_out(&["encrypt", "--allow-plaintext", "--age", recipient, &own]),
            self.sops_out(&["encrypt", "--age", recipient, &own]),
        );
        assert_eq!(
            skeleton(&a),
            skeleton(&b),
            "seed {}\n{their_text}",
            self.seed
        );
    }
}

/// Runs a format's cases on two threads.
fn both_ways(extension: &'static str, make: fn(u64) -> Document, features: &[&'static str]) {
    if sops().is_none() {
        return ops_tests::skip("sops");
    }
    let bed = Bed::new();
    let (next, coverage, rounds) = (AtomicU64::new(0), Mutex::new(Coverage::default()), rounds());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= rounds {
                        return;
                    }
                    let document = make(seed);
                    Case {
                        bed: &bed,
                        extension,
                        seed,
                    }
                    .check(&document);
                    coverage
                        .lock()
                        .expect("no test panicked")
                        .add(&document.used);
                }
            });
        }
    });
    let documents = usize::try_from(rounds).expect("a small number");
    coverage
        .into_inner()
        .expect("no test panicked")
        .require(extension, documents, features);
}

#[test]
fn yaml_both_ways() {
    both_ways("yaml", documents::yaml, &documents::YAML);
}

#[test]
fn json_both_ways() {
    both_ways("json", documents::json, &documents::JSON);
}

#[test]
fn dotenv_both_ways() {
    both_ways("env", documents::dotenv, &documents::DOTENV);
}

#[test]
fn ini_both_ways() {
    both_ways("ini", documents::ini, &documents::INI);
}

/// Random bytes, with the features that they have.
fn bytes(seed: u64) -> (Vec<u8>, Vec<&'static str>) {
    let mut chance = documents::Chance::new(seed);
    let mut used = Vec::new();
    let mut content = Vec::new();
    for _ in 0..chance.below(6) {
        let (feature, piece): (_, Vec<u8>) = match chance.below(6) {
            0 => ("text", b"some words\n".to_vec()),
            1 => (
                "no UTF-8",
                (0..=chance.below(300))
                    .map(|_| 0x80 | u8::try_from(chance.below(128)).expect("seven bits"))
                    .collect(),
            ),
            2 => ("zeroes", vec![0; chance.below(40) + 1]),
            3 => ("what JSON escapes", b"\"<&>\\\t\x01\xe2\x80\xa8".to_vec()),
            4 => (
                "looks encrypted",
                b"{\"data\": \"ENC[AES256_GCM,data:\", \"sops\": {}}".to_vec(),
            ),
            _ => ("carriage returns", b"a\r\nb\r".to_vec()),
        };
        used.push(feature);
        content.extend(piece);
    }
    if content.is_empty() {
        used.push("nothing");
    }
    if content.len() > 200 {
        used.push("long");
    }
    (content, used)
}

#[test]
fn binary_both_ways() {
    if sops().is_none() {
        return ops_tests::skip("sops");
    }
    let bed = Bed::new();
    let mut coverage = Coverage::default();
    for seed in 0..rounds() {
        let (content, used) = bytes(seed);
        coverage.add(&used);
        bed.write("plain", &content);
        let recipient = &bed.recipient;
        let ours = bed
            .ops(&["encrypt", "--age", recipient, "plain"])
            .run()
            .expect(0)
            .out();
        let theirs = bed
            .sops(&["encrypt", "--age", recipient, "plain"])
            .run()
            .expect(0)
            .out();
        assert_eq!(skeleton(&ours), skeleton(&theirs), "seed {seed}");
        bed.write("ours", ours);
        bed.write("theirs", theirs);
        let back = |tool: ops_tests::Tool| tool.run().expect(0).stdout;
        assert_eq!(
            back(bed.ops(&["decrypt", "--require-seal", "ours"])),
            content,
            "seed {seed}"
        );
        assert_eq!(
            back(bed.ops(&["decrypt", "theirs"])),
            content,
            "seed {seed}"
        );
        assert_eq!(back(bed.sops(&["decrypt", "ours"])), content, "seed {seed}");
    }
    let documents = usize::try_from(rounds()).expect("a small number");
    coverage.require(
        "binary",
        documents,
        &[
            "text",
            "no UTF-8",
            "zeroes",
            "what JSON escapes",
            "looks encrypted",
            "carriage returns",
            "nothing",
            "long",
        ],
    );
}

/// Comments between the end of containers and what follows, at columns of neither.
const BETWEEN: [&str; 10] = [
    "a:\n    b:\n        c: d\n    # comment\ne:\n    - f\n",
    "a:\n    b:\n        c: d\n\n    # comment\ne:\n    - f\n",
    "a:\n    b: d\n  # comment\ne: f\n",
    "a:\n    b: d\n# comment\n\ne: f\n",
    "a:\n    b:\n        c: d\n    # comment\n\n    g: h\n",
    "a: v\nb:\n    c:\n    - x\n    - x\n  # one\n# two\n    d: v\n",
    "a:\n  b:\n      c: v\n\n# one\n    # two\n  d:\n    - x\n# three\n",
    "a:\n  b:\n    - c: d\n\n  # one\n    # two\n  e:\n      f: v\n# three\n# four\n  # five\n",
    "a:\n- x\n  # one\n  # two\n",
    "a:\n    b:\n    - x\n# one\n  # two\n\n    - x\n    # three\n  # four\n      # five\n    c: v\n",
];

#[test]
fn comments_between_containers_are_read_by_sops() {
    if sops().is_none() {
        return ops_tests::skip("sops");
    }
    let bed = Bed::new();
    for text in BETWEEN {
        bed.write("ours.yaml", bed.encrypt("plain.yaml", text));
        let read = bed.sops(&["decrypt", "ours.yaml"]).run().expect(0).out();
        assert!(!read.contains("ENC["), "{text}\n{read}");
        let back = bed.ops(&["decrypt", "ours.yaml"]).run().expect(0).out();
        assert_eq!(back, text);
    }
}

/// sops writes such a text bare, with its comment behind it; a block there would swallow the comment.
#[test]
fn a_text_of_several_lines_keeps_clear_of_the_comment_behind_it() {
    if sops().is_none() {
        return ops_tests::skip("sops");
    }
    let bed = Bed::new();
    bed.write("plain.yaml", "a: \"x\\ny\" # note\nb: 1\n");
    let theirs = bed
        .sops(&["encrypt", "--age", &bed.recipient, "plain.yaml"])
        .run()
        .expect(0)
        .out();
    bed.write("theirs.yaml", theirs);
    let ours = |args: &[&str]| bed.ops(args).run().expect(0).out();
    assert_eq!(
        ours(&["decrypt", "theirs.yaml"]),
        "a: \"x\\ny\" # note\nb: 1\n"
    );
    assert_eq!(
        ours(&["decrypt", "--extract", "[\"a\"]", "theirs.yaml"]),
        "x\ny"
    );
}
