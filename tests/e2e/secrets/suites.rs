//! Cases of the shapes that other programs' test suites have (YAML's, JSON's), beside the real sops: what both take means the
//! same to both and comes back as it was; what sops refuses, or would read otherwise, is refused with its place.

use crate::bed::{Bed, sops};

/// What both take; each comes back byte by byte.
const TAKEN: [&str; 34] = [
    // Keys behind a `?`, and what may stand behind their colons.
    "? |\n  a key\n  of two lines\n: - one\n  - two\n",
    "? a\n: b: c\n  d: e\n",
    "? a\n# between\n: v\n",
    // Tags and anchors, on the line and above it.
    "a: !!str x\nb: !!str\n  \"12\"\n",
    "a: &x\n  - 1\nb: !!seq\n- 2\n",
    "a: ! text\n!!str 23: v\n",
    "a: !local v\nb: !<tag:yaml.org,2002:str> x\n",
    "a: &x\n  !!str v\n",
    "a: [ !!str , !!seq\n  [b] ]\n",
    // Signs inside of words.
    "a: x?y\nb: x:y\nc: -x\nd: ?x\ne: :x\nf: a#b\n",
    "a: [x#y, z]\nb: {x: -1, http://h/p: v}\n",
    "a: ['-']\nb: ['x:', z]\n",
    "{a: 1, b: }\n",
    "{\"a\":1,'b':[2],c: [d: e]}\n",
    "a: [ # one\n  b, # two\n  c ]\n",
    // Blocks: where their lines begin.
    "a: |\n\n  x\n   y\nz: 1\n",
    "a: >2\n   more\n  less\n\n    more\nb: 1\n",
    "a: >\n  one\n\n  two\n\n\n  three\n   far\n  near\n",
    "a: |+\n\nb: |-\n\nc: >+\n  x\n\n\nd: 1\n",
    "a: |2-\n    deep\n  flat\n",
    "a: > # note\n\n  x\n   y\n  z\n",
    // Documents.
    "---\n---\n",
    "a: b\n---\n# nothing\n---\nc: d\n",
    "%YAML 1.1\n---\na: b\n...\n...\n%YAML 1.1\n---\nc: d\n",
    "--- # first\na: b\n... # end\n",
    "---\n\u{20}\u{20}a: b\n\u{20}\u{20}c: [d]\n",
    "\u{feff}a: b\n",
    // Tabs where they may stand.
    "a:\tb\t# c\n\"d\"\t:\te\nf: [\tx,\n\tz ]\n",
    "a: |\n  x\n  \u{20}\ty\n",
    // Comments beside elements, and behind signs.
    "a:\n# one\n-\n  # two\n# three\n  - b\n  - c\nd: e\n",
    "a:\n- # in\n  b: c\n- null # last\n# end\n",
    "a: !!seq\n  # under\n  - b\nc: &x\n  # under\n  d: e\n",
    "a: | # block\n  x\n# after\nb: 1\n",
    "a:\n  - b:\n    # far\n\n  # near\nc: d\n",
];

/// What sops refuses, and so do we, with a word of the message and the line of the fault.
const REFUSED_BY_BOTH: [(&str, &str, usize); 40] = [
    ("{\"a\"\n: b}\n", "on one line", 1),
    ("{a: b\n: c}\n", "should stand here", 2),
    ("a: {x: :y}\n", "cannot begin", 1),
    ("a: [- b]\n", "cannot stand inside", 1),
    ("a: [b, , c]\n", "before the ','", 1),
    ("a: {, b: c}\n", "before the ','", 1),
    ("a: [b, |\n  c]\n", "cannot begin", 1),
    ("a: [x ? y]\n", "should stand here", 1),
    ("a: - b\n", "cannot begin here", 1),
    ("a: ? b\n", "cannot begin here", 1),
    ("? - a\n: b\n", "cannot begin here", 1),
    ("a: b\n%c: d\n", "a key", 2),
    ("--- a: b\n", "cannot begin here", 1),
    ("--- - b\n", "cannot begin here", 1),
    ("...\n", "no document", 1),
    ("# nothing\n...\n", "no document", 2),
    ("a: b\n...\nc: d\n", "'---'", 3),
    ("%YAML 1.2\n---\na: b\n", "%YAML 1.1", 1),
    ("%YAML 1.1\n%YAML 1.1\n---\na: b\n", "'---'", 2),
    ("%YAML 1.1\na: b\n", "'---'", 2),
    ("%FOO bar\n---\na: b\n", "%YAML 1.1", 1),
    ("a: &x &y b\n", "one anchor", 1),
    ("a: &x\n  &y b\n", "one anchor", 2),
    ("a: &x b\nc: &y *x\n", "cannot begin", 2),
    ("a: &x\u{e9} b\n", "blank", 1),
    ("a: & b\n", "letters", 1),
    ("a: !e!x b\n", "tag", 1),
    ("a_unencrypted: !!int x\n", "tag", 1),
    ("!!int a: b\n", "is no text", 1),
    ("a: !!seq'' b c: d\n", "cannot begin", 1),
    ("a:\n  -\tb\n", "tab", 2),
    ("a: \"x\"\n\t\nb: 1\n", "tab", 2),
    ("a: 1\n\t# c\nb: 1\n", "tab", 2),
    ("a: |\n \tx\n", "tab", 2),
    ("a: b\n\tc\n", "tab", 2),
    ("a: \"x\\/y\"\n", "no such escape", 1),
    ("a: x\u{1}y\n", "U+0001", 1),
    ("a: >\n   \n  x\n", "fits no mapping", 3),
    ("a: 'b'\n- c\n", "belong", 2),
    ("a: |0\n  b\n", "after the sign", 1),
];

/// What sops takes in its own way, and we do not take.
const REFUSED_BY_US: [(&str, &str, usize); 19] = [
    ("a: x\u{85} y\n", "U+0085", 1),
    ("a: x\u{2028} y\n", "U+2028", 1),
    ("a: x\r y\n", "U+000D", 1),
    ("a: b\nc: \u{feff}d\n", "U+FEFF", 2),
    ("a: [?b]\n", "'?'", 1),
    ("{?a: b}\n", "'?'", 1),
    ("? a\n? b\n", "':'", 1),
    ("a: &x b\n*x : c\n", "alias as a key", 2),
    ("a: &x:y b\n", "blank", 1),
    (
        "%TAG !e! tag:example.com,2000:\n---\na: !e!x b\n",
        "%YAML 1.1",
        1,
    ),
    ("a: b\n \t\nc: d\n", "tab", 2),
    ("a: 'b'# c\n", "after the value", 1),
    ("a: |# c\n  b\n", "after the sign", 1),
    ("~\n", "single value", 1),
    ("a: |+\n  b\n  ", "line break", 1),
    ("a: &x\n  # c\n\n  b\n", "empty line", 2),
    ("a:\n-\n  # c\n\n  b\n", "empty line", 3),
    ("a:\n- b\n# lost\n-\nc: d\n", "goes astray", 3),
    ("a:\n  - # lost\nc: d\n", "goes astray", 2),
];

struct Beside<'b> {
    bed: &'b Bed,
    extension: &'b str,
}

impl Beside<'_> {
    fn name(&self, stem: &str) -> String {
        format!("{stem}.{}", self.extension)
    }

    fn ours(&self, args: &[&str]) -> ops_tests::Ran {
        self.bed.ops(args).run()
    }

    /// Both take it, each reads what the other wrote, and ours comes back as it was.
    fn taken(&self, text: &str, back: &str) {
        let (plain, ours, theirs) = (self.name("plain"), self.name("ours"), self.name("theirs"));
        let recipient = &self.bed.recipient;
        self.bed.write(&plain, text);
        let encrypted = self
            .ours(&["encrypt", "--age", recipient, &plain])
            .expect(0);
        self.bed.write(&ours, encrypted.stdout);
        assert_eq!(
            self.ours(&["decrypt", "--require-seal", &ours])
                .expect(0)
                .out(),
            back,
            "{text}"
        );
        if sops().is_none() {
            return;
        }
        let sops = |args: &[&str]| self.bed.sops(args).run().expect(0).out();
        self.bed
            .write(&theirs, sops(&["encrypt", "--age", recipient, &plain]));
        let as_json = |program: &dyn Fn(&[&str]) -> String, file: &str| {
            let written = program(&["decrypt", "--output-type", "json", file]);
            written.split_whitespace().collect::<String>()
        };
        let by_us = |args: &[&str]| self.ours(args).expect(0).out();
        let wanted = as_json(&sops, &theirs);
        assert_eq!(as_json(&sops, &ours), wanted, "sops reads ours: {text}");
        assert_eq!(as_json(&by_us, &ours), wanted, "we read ours: {text}");
        assert_eq!(as_json(&by_us, &theirs), wanted, "we read sops's: {text}");
        let read = sops(&["decrypt", &ours]);
        assert!(
            !read.contains("ENC["),
            "sops leaves a comment as ciphertext: {text}\n{read}"
        );
        assert_eq!(
            read.matches("---").count(),
            sops(&["decrypt", &theirs]).matches("---").count(),
            "{text}"
        );
    }

    /// Says what is wrong with the refusal of a text.
    fn refused(&self, text: &str, word: &str, line: usize, by_sops: bool) -> Option<String> {
        let plain = self.name("plain");
        self.bed.write(&plain, text);
        let ran = self.ours(&["encrypt", "--age", &self.bed.recipient, &plain]);
        let place = format!("line {line}, column ");
        if ran.status != 65 || !ran.err().contains(word) || !ran.err().contains(&place) {
            return Some(format!("{text:?}: not '{word}' in line {line}: {ran}"));
        }
        sops()?;
        let ran = self
            .bed
            .sops(&["encrypt", "--age", &self.bed.recipient, &plain])
            .run();
        ((ran.status != 0) != by_sops).then(|| format!("{text:?}: {ran}"))
    }
}

fn none(faults: impl Iterator<Item = String>) {
    let faults: Vec<String> = faults.collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn yaml_that_both_take_means_the_same_to_both() {
    let bed = Bed::new();
    let beside = Beside {
        bed: &bed,
        extension: "yaml",
    };
    for text in TAKEN {
        beside.taken(text, text);
    }
}

#[test]
fn yaml_that_sops_refuses_is_refused_with_its_place() {
    let bed = Bed::new();
    let beside = Beside {
        bed: &bed,
        extension: "yaml",
    };
    let long = format!("{}: v\n", "k".repeat(1025));
    let cases = REFUSED_BY_BOTH
        .into_iter()
        .chain([(long.as_str(), "1024", 1)]);
    none(cases.filter_map(|(text, word, line)| beside.refused(text, word, line, true)));
}

#[test]
fn yaml_that_sops_reads_in_its_own_way_is_refused_with_its_place() {
    let bed = Bed::new();
    let beside = Beside {
        bed: &bed,
        extension: "yaml",
    };
    let cases = REFUSED_BY_US.into_iter();
    none(cases.filter_map(|(text, word, line)| beside.refused(text, word, line, false)));
}

/// What comes back spelled in another way, with the same meaning: see the page of the tool.
#[test]
fn yaml_that_comes_back_in_another_spelling_means_the_same() {
    let bed = Bed::new();
    let beside = Beside {
        bed: &bed,
        extension: "yaml",
    };
    for (text, back) in [
        ("a: x\n  y\n\n  z\n", "a: |-\n    x y\n    z\n"),
        ("a: \"x\n  y\\\n\n  \\tz\"\n", "a: \"x y\\n\\tz\"\n"),
        ("a: \"x\ty\"\n", "a: \"x\\ty\"\n"),
        ("a: |\n  x\n \n  y\n", "a: |\n  x\n\n  y\n"),
        ("a: >\n  x\n  y\n", "a: >\n  x y\n"),
        ("a: 1:30\n", "a: \"1:30\"\n"),
        (
            "a: !!str 12\nb: !!str\n  12\n",
            "a: !!str \"12\"\nb: !!str\n  \"12\"\n",
        ),
        ("a: '\n\n  '\n", "a: |4+\n\n"),
        ("a: \"\\tx\\ny\"\n", "a: \"\\tx\\ny\"\n"),
    ] {
        beside.taken(text, back);
    }
}

/// A block that no line break ends gets one by the metadata behind it: its sign says that it is not part of the text.
#[test]
fn a_block_at_the_end_of_a_file_without_a_line_break_keeps_its_text() {
    let bed = Bed::new();
    let beside = Beside {
        bed: &bed,
        extension: "yaml",
    };
    for (sign, back) in [
        ("|", "|-"),
        ("|+", "|-"),
        (">", ">-"),
        ("|-", "|-"),
        ("|+2", "|2-"),
        ("| # c", "|- # c"),
        ("|+ # c", "|- # c"),
    ] {
        for head in ["a: ", "a_unencrypted: ", "a:\n- ", "a_unencrypted:\n- "] {
            let text = format!("b: 1\n{head}{sign}\n  x");
            beside.taken(&text, &format!("b: 1\n{head}{back}\n  x\n"));
        }
    }
    // What is left of a last line is no line break, and no fault either.
    beside.taken("b: 1\na: |\n  x\n  ", "b: 1\na: |\n  x\n  \n");
}

/// Where a comment chooses what is encrypted, it must stand where sops sees it: sops checks what it reads.
#[test]
fn a_comment_chooses_what_it_chooses_in_sops() {
    let bed = Bed::new();
    let recipient = &bed.recipient;
    for text in [
        "l:\n- &x\n  # c\n  - a\n- b\n",
        "l:\n- &x\n  # c\n  a\n- b\n",
        "l:\n-\n  # c\n  - a\n  - d\n- b\n",
        "l:\n- # c\n  - a\n  - d\n- b\n",
        "l:\n-\n  # c\n  a: e\n  f: g\n- b\n",
        "l:\n- # c\n  a: e\n  f: g\n- b\n",
        "l:\n-\n  # c\n  a\n- b\n",
        "l:\n- &x\n# c\n- b\nm: d\n",
        "l:\n- !!map\n  # c\n  a: e\n  f: g\n- b\n",
        "l: &x\n  # c\n  a\nm: b\n",
        "l: &x\n# c\n- a\n- b\nm: b\n",
        "l: !!seq\n# c\n- a\n- b\nm: b\n",
        "l: &x\n  # c\n\n  # d\n  - a\n  - b\nm: b\n",
        "l: &x\n  # c\n\n  a: e\n  f: g\nm: b\n",
        "l:\n-\n  # c\n\n  # d\n\n  - a\n  - b\n- b\n",
        "l:\n-\n\n  # c\n\n  - a\n  - b\n- b\n",
        "l:\n-\n  # c\n\n  a: e\n  f: g\n- b\n",
        "l: | # c\n  x\nm: b\n",
        "l:\n- | # c\n  x\n- b\n",
        "? l\n# c\n: v\nm: b\n",
    ] {
        for selector in ["--encrypted-comment-regex", "--unencrypted-comment-regex"] {
            let plain = format!("k: w # c\n{text}");
            bed.write("plain.yaml", &plain);
            let args = ["encrypt", "--age", recipient, selector, "c$", "plain.yaml"];
            bed.write("ours.yaml", bed.ops(&args).run().expect(0).stdout);
            let back = bed.ops(&["decrypt", "ours.yaml"]).run().expect(0);
            assert_eq!(back.out(), plain);
            if sops().is_some() {
                let read = bed.sops(&["decrypt", "ours.yaml"]).run();
                assert_eq!(read.status, 0, "{selector}: {plain}\n{read}");
            }
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_told_with_their_place() {
    let bed = Bed::new();
    bed.write("odd.yaml", b"a: \xc3\xa4\nb: \xc3\xa4 \xff\n");
    for args in [
        &["encrypt", "--age", &bed.recipient, "odd.yaml"][..],
        &["decrypt", "odd.yaml"],
    ] {
        let complaint = "'odd.yaml' line 2, column 6: this byte is no UTF-8 text";
        bed.ops(args).run().expect(65).complains(complaint);
    }
}

/// Rules of the shapes that sops's own tests have: both take them and make the same of them, or neither does.
#[test]
fn rules_mean_the_same_to_both() {
    let bed = Bed::new();
    let (one, two) = (bed.recipient.clone(), bed.keygen("other.txt"));
    bed.write("sub/foo/s.yaml", "a: b\n'5': c\n");
    for (rules, taken) in [
        ("- path_regex: foo/*\n  age: ONE", true),
        ("- path_regex: nothere\n  age: ONE", false),
        (
            "- path_regex: sub/foo/s\n  age: ONE\n- path_regex: sub/.*\n  age: TWO",
            true,
        ),
        ("- filename_regex: nothere\n  age: ONE", true),
        ("", false),
        ("- age: ONE, TWO\n  mac_only_encrypted: true", true),
        ("- age:\n  - 'ONE,TWO'\n  encrypted_regex: ^a", true),
        (
            "- age: ONE\n  encrypted_suffix: ''\n  encrypted_regex: ^a",
            true,
        ),
        (
            "- age: ONE\n  unencrypted_suffix: _x\n  encrypted_suffix: _y",
            false,
        ),
        ("- age: ONE\n  encrypted_regex: 5", true),
        ("- age: ONE\n  encrypted_regex: [a]", false),
        ("- path_regex: '(?<!d)'\n  age: ONE", false),
        (
            "- shamir_threshold: 1\n  key_groups:\n  - age: [ONE]\n  - age: [TWO]",
            false,
        ),
        (
            "- shamir_threshold: 3\n  key_groups:\n  - age: [ONE]\n  - age: [TWO]",
            false,
        ),
        (
            "- key_groups:\n  - merge:\n    - merge:\n      - age: [ONE]\n    - age: [TWO]\n    age: [ONE]\n  - age: [TWO]",
            true,
        ),
        ("- key_groups:\n  - age: ONE", false),
        (
            "- &r\n  age: ONE\n  path_regex: no\n- <<: *r\n  path_regex: sub",
            true,
        ),
    ] {
        let rules = rules.replace("ONE", &one).replace("TWO", &two);
        bed.write(".sops.yaml", format!("creation_rules:\n{rules}\n"));
        let ours = bed.ops(&["encrypt", "sub/foo/s.yaml"]).run();
        assert_eq!(ours.status, if taken { 0 } else { 78 }, "{rules}\n{ours}");
        if sops().is_none() {
            continue;
        }
        let theirs = bed.sops(&["encrypt", "sub/foo/s.yaml"]).run();
        assert_eq!(theirs.status == 0, taken, "{rules}\n{theirs}");
        // What a rule says, without what is new each time and in whatever order.
        let says = |ran: &ops_tests::Ran| {
            let text = ran.out();
            let about = |line: &&str| {
                let names = ["recipient:", "shamir_", "_regex", "_suffix", "mac_only"];
                names.iter().any(|name| line.contains(name))
            };
            let lines = text.lines().filter(about);
            let mut lines: Vec<String> =
                (lines.map(|line| line.trim_matches([' ', '-']).to_owned())).collect();
            lines.sort();
            lines
        };
        assert_eq!(says(&ours), says(&theirs), "{rules}");
    }
}

#[test]
fn json_means_the_same_to_both() {
    let bed = Bed::new();
    let beside = Beside {
        bed: &bed,
        extension: "json",
    };
    for (text, back) in [
        ("{\"a\": [-0, 1E400e]}", None),
        (
            "{\"a\": 9223372036854775807, \"b\": -9223372036854775808}\n",
            Some(""),
        ),
        (
            "{\"a\": 9223372036854775808}\n",
            Some("{\"a\": 9223372036854776000}\n"),
        ),
        (
            "{\"a\": 1.0, \"b\": 1e5, \"c\": 1e-999}\n",
            Some("{\"a\": 1, \"b\": 100000, \"c\": 0}\n"),
        ),
        (
            "{\"a\": \"\\ud800\", \"b\": \"\\ud83d\\ude00\"}\n",
            Some("{\"a\": \"\u{fffd}\", \"b\": \"\u{1f600}\"}\n"),
        ),
        ("{\"\": \"\", \"\\u0000\": \"\\u0000\"}\n", Some("")),
        ("\u{feff}{\"a\": 1}\n", None),
        ("{\"a\": 1e999}\n", None),
        ("{\"a\": 01}\n", None),
        ("{\"a\": \"\u{1}\"}\n", None),
        ("{\"a\": /* c */ 1}\n", None),
    ] {
        match back {
            Some("") => beside.taken(text, text),
            Some(back) => beside.taken(text, back),
            None => none(beside.refused(text, "", 1, true).into_iter()),
        }
    }
}

/// sops writes a mapping for a document that holds nothing.
#[test]
fn a_document_of_sops_without_content_is_an_empty_mapping() {
    if sops().is_none() {
        return ops_tests::skip("sops");
    }
    let bed = Bed::new();
    bed.write("plain.yaml", "---\n---\na: b\n");
    let theirs = bed
        .sops(&["encrypt", "--age", &bed.recipient, "plain.yaml"])
        .run()
        .expect(0);
    bed.write("theirs.yaml", theirs.stdout);
    let ran = bed.ops(&["decrypt", "theirs.yaml"]).run().expect(0);
    assert_eq!(ran.out(), "{}\n---\na: b\n");
}

/// Bytes that are no text come back whole where the format can hold them (YAML), and never changed in silence.
#[test]
fn bytes_that_are_no_text_do_not_change_in_silence() {
    if sops().is_none() {
        return ops_tests::skip("sops");
    }
    let bed = Bed::new();
    for (name, text) in [("b.env", &b"A=x\xff\n"[..]), ("b.ini", b"[s]\na = x\xff\n")] {
        bed.write(name, text);
        let theirs = bed
            .sops(&["encrypt", "--age", &bed.recipient, name])
            .run()
            .expect(0);
        bed.write(name, theirs.stdout);
        let ran = bed.ops(&["decrypt", name]).run().expect(65);
        assert!(ran.stdout.is_empty(), "{ran}");
    }
    let long = format!("a: !!binary {}\nb: !!binary /w==\n", "/v8A".repeat(30));
    bed.write("b.yaml", &long);
    let theirs = bed
        .sops(&["encrypt", "--age", &bed.recipient, "b.yaml"])
        .run()
        .expect(0);
    bed.write("t.yaml", theirs.stdout);
    let wanted = bed.sops(&["decrypt", "t.yaml"]).run().expect(0).out();
    assert_eq!(
        bed.ops(&["decrypt", "t.yaml"]).run().expect(0).out(),
        wanted
    );
}
