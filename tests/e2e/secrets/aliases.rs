//! Anchors and aliases: shared where one ciphertext can stand for both, refused with their place elsewhere.

use crate::bed::{Bed, sops};

/// Elements of one list have one path, so the ciphertext at the anchor opens for the alias too. The second text is what
/// sops makes of it: it writes aliases out.
const SHARED: [(&str, &str); 6] = [
    (
        "l:\n  - &x secret\n  - *x\n  - other\n",
        "l:\n    - secret\n    - secret\n    - other\n",
    ),
    ("l: [&x 5, [*x]]\n", "l:\n    - 5\n    - - 5\n"),
    (
        "l:\n  - &m {k: v, i: 5}\n  - *m\n",
        "l:\n    - k: v\n      i: 5\n    - k: v\n      i: 5\n",
    ),
    (
        "l:\n  - k: &x s\n  - k: *x\n    j: 1\n",
        "l:\n    - k: s\n    - k: s\n      j: 1\n",
    ),
    (
        "l:\n  - &x\n    # c\n    - a\n    # d\n  - *x\n",
        "l:\n    # c\n    - - a\n      # d\n    # c\n    - - a\n      # d\n",
    ),
    (
        "a_unencrypted: &x open\nb_unencrypted: *x\nc: s\n",
        "a_unencrypted: open\nb_unencrypted: open\nc: s\n",
    ),
];

const REFUSED: [(&str, &str); 5] = [
    ("a: &x secret\nb: *x\n", "line 2, column 4"),
    ("a: &x secret\nb_unencrypted: *x\n", "line 2, column 16"),
    ("a_unencrypted: &x open\nb: *x\n", "line 2, column 4"),
    ("a: &m {k: v}\nb:\n  <<: *m\n", "line 3, column 7"),
    (
        "a: &m {k: v}\nb_unencrypted:\n  c: *m\n",
        "line 3, column 6",
    ),
];

#[test]
fn what_one_ciphertext_can_stand_for_is_shared() {
    let bed = Bed::new();
    for (plain, written_out) in SHARED {
        let sealed = bed.encrypt("p.yaml", plain);
        let back = |name: &str| {
            bed.ops(&["decrypt", "--require-seal", name])
                .run()
                .expect(0)
        };
        bed.write("s.yaml", &sealed);
        assert_eq!(back("s.yaml").out(), plain);
        assert!(sealed.contains("*x") || sealed.contains("*m"), "{sealed}");
        if sops().is_some() {
            let theirs = bed.sops(&["decrypt", "s.yaml"]).run().expect(0).out();
            assert_eq!(theirs, written_out, "{plain} read by sops");
        }
        bed.ops(&["rotate", "-i", "s.yaml"]).run().expect(0);
        assert_eq!(back("s.yaml").out(), plain, "rotated");
    }
    if sops().is_none() {
        ops_tests::skip("sops");
    }
}

#[test]
fn the_alias_follows_a_new_value_at_its_anchor() {
    let bed = Bed::new();
    bed.write("s.yaml", bed.encrypt("p.yaml", SHARED[0].0));
    let set = |path: &str| bed.ops(&["set", "s.yaml", path, "\"new\""]).run();
    set("[\"l\"][1]").expect(65).complains("through an alias");
    set("[\"l\"][0]").expect(0);
    assert_eq!(
        bed.ops(&["decrypt", "s.yaml"]).run().expect(0).out(),
        "l:\n  - &x new\n  - *x\n  - other\n"
    );
}

#[test]
fn what_cannot_be_shared_is_refused_with_its_place() {
    let bed = Bed::new();
    for (plain, place) in REFUSED {
        bed.write("p.yaml", plain);
        let ran = bed
            .ops(&["encrypt", "--age", &bed.recipient, "p.yaml"])
            .run()
            .expect(65)
            .complains(place)
            .complains("write it out here");
        assert!(ran.stdout.is_empty(), "{ran}");
    }
}
