//! Input that is damaged or made to hurt: a clear error with status 65, no panic, no endless work.

use std::time::Duration;

use crate::bed::Bed;

/// Plain documents that must be refused, with a word of the message.
const REFUSED: [(&str, &str, &str); 24] = [
    ("dup.yaml", "a: 1\na: 2\n", "comes twice"),
    ("deepdup.yaml", "a:\n  - b: 1\n    b: 2\n", "comes twice"),
    ("number.yaml", "1: x\n", "is no text"),
    ("bool.yaml", "true: x\n", "is no text"),
    ("null.yaml", "~: x\n", "is no text"),
    ("list.yaml", "- a\n- b\n", "is a sequence"),
    ("scalar.yaml", "just text\n", "single value"),
    ("big.yaml", "a: 18446744073709551615\n", "64 bits"),
    ("open.yaml", "a: \"never closed\n", "never closed"),
    ("bracket.yaml", "a: [1, 2\n", "never closed"),
    ("tab.yaml", "a:\n\tb: 1\n", "a tab"),
    (
        "indent.yaml",
        "a: 1\n  b: 2\n",
        "a mapping cannot begin here",
    ),
    ("alias.yaml", "a: *nowhere\n", "has no anchor"),
    ("secretalias.yaml", "a: &x secret\nb: *x\n", "alias"),
    ("tagged.yaml", "a: !!int 5\n", "tag"),
    ("sops.yaml", "sops: 1\n", "encrypted already"),
    ("list.json", "[1, 2]\n", "is no object"),
    ("dup.json", "{\"a\": 1, \"a\": 2}\n", "comes twice"),
    ("cut.json", "{\"a\": \"b", "never closed"),
    ("comma.json", "{\"a\": 1,}\n", "nothing follows"),
    ("line.env", "NO EQUALS SIGN\n", "line 1, column 1"),
    ("sops.env", "sops_x=1\n", "encrypted already"),
    ("section.ini", "[open\n", "has no ']'"),
    ("line.ini", "[s]\nno sign here\n", "neither '=' nor ':'"),
];

#[test]
fn what_sops_would_write_wrongly_is_refused_with_its_place() {
    let bed = Bed::new();
    for (name, text, word) in REFUSED {
        bed.write(name, text);
        let ran = bed
            .ops(&["encrypt", "--age", &bed.recipient, name])
            .run()
            .expect(65)
            .complains(word)
            .complains(name);
        assert!(ran.stdout.is_empty(), "{ran}");
    }
}

#[test]
fn selectors_that_would_leave_secrets_in_plain_text_are_refused() {
    let bed = Bed::new();
    bed.write("a.yaml", "a: secret\n");
    let encrypt = |more: &[&str]| {
        bed.ops(&["encrypt", "--age", &bed.recipient])
            .args(more)
            .arg("a.yaml")
            .run()
    };
    encrypt(&["--encrypted-regex", "^(?!user)"])
        .expect(2)
        .complains("is not valid");
    encrypt(&["--encrypted-regex", "a", "--unencrypted-suffix", "_x"])
        .expect(2)
        .complains("cannot be used together");
    encrypt(&["--encrypted-regex", "^nothing$"])
        .expect(78)
        .complains("in plain text");
    let allowed = encrypt(&["--encrypted-regex", "^nothing$", "--allow-plaintext"]).expect(0);
    assert!(allowed.out().starts_with("a: secret\n"));
    bed.write("empty.yaml", "a: \"\"\nb: null\nc: []\n");
    bed.ops(&["encrypt", "--age", &bed.recipient, "empty.yaml"])
        .run()
        .expect(0);
}

#[test]
fn damaged_files_end_with_65_and_no_panic() {
    let bed = Bed::new();
    let plain = "a: x\nl:\n  - z\n  - {k: v}\n";
    let sealed = bed.encrypt("d.yaml", plain);
    for length in (0..sealed.len()).step_by(7) {
        let ran = bed.decrypt("cut.yaml", &sealed[..length]);
        // Only the number of the version may lose digits.
        let same = length > sealed.len() - 7 && ran.out() == plain;
        assert!(
            (ran.status == 65 || same) && !ran.err().contains("bug:"),
            "cut at {length}: {ran}"
        );
    }
    let bytes = sealed.as_bytes();
    for at in (0..bytes.len()).step_by(11) {
        let mut broken = bytes.to_vec();
        broken[at] = 0xff;
        let ran = bed.decrypt("utf8.yaml", &broken);
        assert!(
            ran.status == 65 && !ran.err().contains("bug:"),
            "byte {at}: {ran}"
        );
    }
}

#[test]
fn bombs_end_quickly() {
    let bed = Bed::new();
    let mut bomb = String::from("a0_unencrypted: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let list = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}_unencrypted: &a{level} [{list}]\n"));
    }
    let deep_list = format!("a: {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    let deep_map: String = (0..5_000)
        .map(|level| format!("{}k:\n", " ".repeat(level)))
        .collect();
    let deep_json = format!("{{\"a\": {}", "[".repeat(1_000_000));
    let bombs = [
        ("aliases.yaml", bomb, "stand for too much"),
        ("list.yaml", deep_list, "levels deep"),
        ("map.yaml", deep_map, "levels deep"),
        ("deep.json", deep_json, "levels deep"),
    ];
    for (name, text, word) in bombs {
        bed.write(name, text);
        let ran = bed
            .ops(&["encrypt", "--age", &bed.recipient, name])
            .timeout(Duration::from_secs(20))
            .run();
        ran.expect(65).complains(word);
    }
}

/// Twice the document takes about twice the time: a quadratic step would take four times.
#[test]
fn work_is_linear_in_the_size() {
    let bed = Bed::new();
    let time = |keys: usize| {
        let text: String = (0..keys)
            .map(|key| format!("key{key}: value {key}\n"))
            .collect();
        let name = format!("{keys}.yaml");
        bed.write(&name, text);
        let encrypted = bed
            .ops(&["encrypt", "--age", &bed.recipient, "-i", &name])
            .run()
            .expect(0)
            .took;
        encrypted
            + bed
                .ops(&["decrypt", "-o", "out", &name])
                .run()
                .expect(0)
                .took
    };
    let (small, large) = (time(4_000), time(16_000));
    assert!(
        large < small * 9,
        "4,000 keys took {small:?}, 16,000 took {large:?}"
    );
}
