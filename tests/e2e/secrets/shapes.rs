//! Shapes of YAML as people write it: what goes in comes back byte by byte, and sops reads what we made of it.

use crate::bed::{Bed, sops};

/// Documents that come back unchanged.
const KEPT: [&str; 54] = [
    "a: 1\n",
    "a:   1\n",
    "a: 1   \n",
    "a: x # why\n",
    "a: x     # far\n",
    "# only a head\n\na: x\n",
    "a: x\n\n\n\nb: z\n",
    "a: x\n# foot\n\nb: z\n",
    "a:\n  b: x\n  # inner foot\n\nc: z\n",
    "a:\n  b: x\n# outer\nc: z\n",
    "a: # on the key\n  b: x\n",
    "a:\n  # first\n  # second\n  b: x\n",
    "a:\n    b:\n        c: x\n",
    "a:\n   b: x\n",
    "l:\n- x\n- z\n",
    "l:\n  - x\n  - z\n",
    "l:\n  -   x\n",
    "l:\n  # about x\n  - x\n  # about z\n  - z\n",
    "l:\n  - x # inline\n  - z\n",
    "l:\n  - a: x\n    b: z\n  - a: z\n",
    "l:\n  -\n    a: x\n    b: z\n",
    "l:\n  - - x\n    - z\n  - - z\n",
    "l:\n- a: x\n  b:\n  - z\n",
    "l: [x, z]\n",
    "l: [ x , z ]\n",
    "l: [\n  x,\n  z,\n]\n",
    "l: []\nm: {}\n",
    "m: {a: x, b: 'z'}\n",
    "m: { a: { b: [x] } }\n",
    "m: {a: x} # inline\n",
    "a: 'it''s'\n",
    "a: \"quoted\"\n",
    "a: \"5\"\nb: '5'\n",
    "a: \"tab\\there\"\n",
    "a: 'true'\n",
    "\"quoted key\": x\n'single key': z\n",
    "key with spaces: x\n",
    "a: |\n  one\n  two\n",
    "a: |-\n  one\n  two\n",
    "a: |+\n  one\n\n",
    "a: |\n    deep\n      deeper\n    back\n",
    "a: |2\n    two more\n  base\n",
    "a: >\n  one line\n",
    "a: >-\n  one line\nb: z\n",
    "a: | # comment\n  x\n",
    "-----BEGIN: x\nb: \"-----BEGIN KEY-----\"\n",
    "pem: |\n  -----BEGIN PRIVATE KEY-----\n  MIIEvQIBADANBg\n  -----END PRIVATE KEY-----\n",
    "a: ~\nb: null\nc:\nd: \"\"\n",
    "url: https://user:pass@host/path?q=1#frag\n",
    "a: x\n---\nb: z\n",
    "---\na: x\n...\n",
    "%YAML 1.1\n---\na: x\n",
    "a: x\na_unencrypted: &x v\nb_unencrypted: *x\n",
    "\u{feff}a: x\n",
];

/// Documents of which something cannot be recovered: what goes in, and what comes back (see docs/ops-secrets.md).
const CHANGED: [(&str, &str); 12] = [
    ("a: 0x1F\n", "a: 31\n"),
    ("a: 1_000\n", "a: 1000\n"),
    ("a: 1.50\n", "a: 1.5\n"),
    ("a: yes\n", "a: \"yes\"\n"),
    ("a: True\n", "a: true\n"),
    ("a: 2024-01-02\n", "a: 2024-01-02T00:00:00Z\n"),
    ("a: two\n  lines\n", "a: two lines\n"),
    ("a: \"two\n  lines\"\n", "a: \"two lines\"\n"),
    ("a: >-\n  one\n  two\n", "a: >-\n  one two\n"),
    ("l: [\"x\"]\n", "l: [x]\n"),
    ("a: \"\\u00e9\"\n", "a: \"é\"\n"),
    ("a: x", "a: x\n"),
];

#[test]
fn formatting_survives_encryption_and_decryption() {
    let bed = Bed::new();
    for (index, text) in KEPT.iter().enumerate() {
        let name = format!("k{index}.yaml");
        let sealed = bed.encrypt(&name, text);
        assert!(
            !sealed.contains(": x\n"),
            "something stayed in plain text\n{sealed}"
        );
        let name = format!("e{index}.yaml");
        assert_eq!(
            bed.decrypt(&name, &sealed).expect(0).out(),
            *text,
            "{sealed}"
        );
        if sops().is_some() {
            let read = bed.sops(&["decrypt", &name]).run().expect(0);
            assert!(!read.out().contains("ENC["), "{text}\n{sealed}\n{read}");
        }
    }
}

#[test]
fn what_cannot_be_recovered_is_what_the_manual_lists() {
    let bed = Bed::new();
    for (index, (text, wanted)) in CHANGED.iter().enumerate() {
        let sealed = bed.encrypt(&format!("c{index}.yaml"), text);
        assert_eq!(
            bed.decrypt(&format!("e{index}.yaml"), &sealed)
                .expect(0)
                .out(),
            *wanted,
            "{text}"
        );
    }
}

/// A second round changes nothing any more.
#[test]
fn what_came_back_once_comes_back_again() {
    let bed = Bed::new();
    for (index, (_, text)) in CHANGED.iter().enumerate() {
        let sealed = bed.encrypt(&format!("c{index}.yaml"), text);
        assert_eq!(
            bed.decrypt(&format!("e{index}.yaml"), &sealed)
                .expect(0)
                .out(),
            *text
        );
    }
}
