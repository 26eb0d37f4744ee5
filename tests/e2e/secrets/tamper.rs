//! A byte changed anywhere in a sealed file never changes in silence what decrypting gives.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::bed::{Bed, rounds};

const DOCUMENTS: [(&str, &str); 5] = [
    (
        "t.yaml",
        "# note\na_unencrypted: ab\nb_unencrypted: c\nl:\n  - x\n  # in list\n  - 5\nm: {k: v}\n",
    ),
    (
        "t.json",
        "{\"a_unencrypted\": \"ab\", \"n\": 1.5, \"l\": [\"x\", true]}\n",
    ),
    ("t.env", "# note\nA=1\nB_unencrypted=c\n"),
    ("t.ini", "; note\n[s]\na = 1\nb_unencrypted = c\n"),
    ("t.bin", "\0\x01\r\n\n{\"no\": json}\x7f\u{e9} "),
];

/// Changes every byte in turn, on two threads; gives how many changes were noticed and how many made no difference to
/// what decrypting with these arguments gives.
fn flip_all(name: &str, plain: &str, args: &[&str], wanted: &str) -> (usize, usize) {
    let bed = Bed::new();
    let sealed = bed.encrypt(name, plain).into_bytes();
    let find = |mark: &str| {
        sealed
            .windows(mark.len())
            .position(|found| found == mark.as_bytes())
            .expect("an armored key")
    };
    let armor = find("-----BEGIN AGE")..find("-----END AGE");
    let (next, noticed, harmless) = (
        AtomicUsize::new(0),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (bed, sealed, armor, next, noticed, harmless) =
                (&bed, &sealed, &armor, &next, &noticed, &harmless);
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(byte) = sealed.get(at) else { return };
                    // The wrapped key is long, and its bytes are much alike: here one in 32, in the long run all.
                    if armor.contains(&at) && at % 32 != 0 && rounds() == 100 {
                        continue;
                    }
                    let mut changed = sealed.clone();
                    // Another character of the same kind where there is one, so that the change is not just malformed.
                    changed[at] = if *byte == b'A' { b'B' } else { byte ^ 1 };
                    let name = format!("{thread}-{name}");
                    bed.write(&name, &changed);
                    let ran = bed.ops(&["decrypt", &name]).args(args).run();
                    assert!(
                        [0, 65].contains(&ran.status),
                        "byte {at} ({:?}): {ran}",
                        char::from(*byte)
                    );
                    assert!(!ran.err().contains("bug:"), "byte {at}: {ran}");
                    if ran.status == 65 {
                        assert!(
                            ran.stdout.is_empty(),
                            "byte {at}: something was printed\n{ran}"
                        );
                        noticed.fetch_add(1, Ordering::Relaxed);
                    } else {
                        assert_eq!(
                            ran.out(),
                            wanted,
                            "byte {at} ({:?}) changed in silence",
                            char::from(*byte)
                        );
                        harmless.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    (noticed.into_inner(), harmless.into_inner())
}

#[test]
fn no_byte_can_be_changed_in_silence() {
    for (name, plain) in DOCUMENTS {
        let (noticed, harmless) = flip_all(name, plain, &[], plain);
        eprintln!("{name}: {noticed} changes noticed, {harmless} without effect");
        assert!(noticed > harmless, "{name}: most bytes matter");
    }
}

/// Where a seal fits, nothing is decrypted but what was asked for: a change anywhere else is noticed all the same.
#[test]
fn no_byte_can_be_changed_in_silence_beside_one_value() {
    let (name, plain) = DOCUMENTS[0];
    let (noticed, harmless) = flip_all(name, plain, &["--extract", "[\"l\"][1]"], "5\n");
    eprintln!("{name}: {noticed} changes noticed, {harmless} without effect");
    assert!(noticed > harmless, "most bytes matter");
}

#[test]
fn a_damaged_value_is_named_whichever_is_asked_for() {
    let bed = Bed::new();
    let sealed = bed.encrypt("t.yaml", "good: x\nbad: y\n");
    let damaged = sealed.replacen(
        "bad: ENC[AES256_GCM,data:",
        "bad: ENC[AES256_GCM,data:AAAA",
        1,
    );
    assert_ne!(damaged, sealed);
    bed.write("t.yaml", &damaged);
    let extract = |more: &[&str]| {
        let args = ["decrypt", "--extract", "[\"good\"]", "t.yaml"];
        bed.ops(&args).args(more).run()
    };
    for more in [
        &[][..],
        &["--require-seal"],
        &["--ignore-seal"],
        &["--ignore-mac"],
    ] {
        extract(more).expect(65).complains("cannot decrypt 'bad'");
    }
    // The same without a seal, whose MAC alone could be kept.
    let unsealed: String = damaged
        .lines()
        .filter(|line| !line.contains("ops_seal"))
        .map(|line| format!("{line}\n"))
        .collect();
    bed.write("t.yaml", unsealed);
    extract(&[]).expect(65).complains("cannot decrypt 'bad'");
}

/// The version of a seal is read before the seal: one that is not known is no sign of tampering.
#[test]
fn a_seal_of_another_version_is_told_as_that() {
    let bed = Bed::new();
    let sealed = bed
        .encrypt("t.yaml", "a: x\n")
        .replace("ops_seal: v2:", "ops_seal: v7:");
    assert!(sealed.contains("v7:"));
    bed.decrypt("t.yaml", &sealed)
        .expect(65)
        .complains("the seal has the version 'v7', which this program does not know");
    bed.ops(&["decrypt", "--extract", "[\"a\"]", "t.yaml"])
        .run()
        .expect(65)
        .complains("version 'v7'");
    bed.ops(&["verify", "t.yaml"]).run().expect(3);
    bed.ops(&["verify", "--require-seal", "t.yaml"])
        .run()
        .expect(65);
    bed.ops(&["rotate", "-i", "t.yaml"]).run().expect(65);
    assert_eq!(bed.read("t.yaml"), sealed);
    bed.ops(&["rotate", "-i", "--ignore-seal", "t.yaml"])
        .run()
        .expect(0);
    bed.ops(&["decrypt", "--require-seal", "t.yaml"])
        .run()
        .expect(0);
}

/// A new seal on what was tampered with would hide it.
#[test]
fn updatekeys_gives_no_new_seal_to_what_was_tampered_with() {
    let bed = Bed::new();
    let two = bed.keygen("two.txt");
    bed.write(
        ".sops.yaml",
        format!("creation_rules: [{{age: \"{},{two}\"}}]\n", bed.recipient),
    );
    let sealed = bed.encrypt("t.yaml", "a: x\nb_unencrypted: y\n");
    let tampered = sealed.replace("b_unencrypted: y", "c_unencrypted: y");
    assert_ne!(tampered, sealed);
    bed.write("t.yaml", &tampered);
    bed.ops(&["updatekeys", "--yes", "t.yaml"])
        .run()
        .expect(65)
        .complains("the seal does not fit");
    assert_eq!(bed.read("t.yaml"), tampered);
    bed.write("t.yaml", &sealed);
    bed.ops(&["updatekeys", "--yes", "t.yaml"]).run().expect(0);
    bed.ops(&["decrypt", "--require-seal", "t.yaml"])
        .run()
        .expect(0);
}

/// What the MAC of sops leaves open, and the seal does not.
#[test]
fn the_seal_covers_what_the_mac_of_sops_leaves_open() {
    let bed = Bed::new();
    let two = bed.keygen("two.txt");
    bed.write("s.yaml", DOCUMENTS[0].1);
    let to = format!("{},{two}", bed.recipient);
    let sealed = bed
        .ops(&["encrypt", "--age", &to, "s.yaml"])
        .run()
        .expect(0)
        .out();
    let recipient_cut = {
        let at = sealed
            .rfind("        - enc: |")
            .or(sealed.rfind("    - enc: |"))
            .expect("two recipients");
        let end = sealed[at..]
            .find(&format!("recipient: {two}\n"))
            .expect("it is the last")
            + at;
        format!(
            "{}{}",
            &sealed[..at],
            &sealed[end + "recipient: \n".len() + two.len()..]
        )
    };
    let changes = [
        (
            "a value's boundary",
            sealed.replace(
                "a_unencrypted: ab\nb_unencrypted: c",
                "a_unencrypted: a\nb_unencrypted: bc",
            ),
        ),
        (
            "the name of a key",
            sealed.replace("a_unencrypted:", "c_unencrypted:"),
        ),
        ("a recipient", recipient_cut),
        ("a type", sealed.replacen("type:int]", "type:str]", 1)),
        (
            "a comment",
            sealed
                .lines()
                .skip(1)
                .map(|line| format!("{line}\n"))
                .collect(),
        ),
    ];
    for (what, text) in changes {
        assert_ne!(text, sealed, "{what} was changed");
        bed.decrypt("changed.yaml", &text)
            .expect(65)
            .complains("seal");
        let unsealed: String = text
            .lines()
            .filter(|line| !line.contains("ops_seal"))
            .map(|line| format!("{line}\n"))
            .collect();
        assert!(
            bed.decrypt("unsealed.yaml", &unsealed).status == 0,
            "without the seal, {what} goes unnoticed"
        );
        bed.ops(&["decrypt", "--require-seal", "unsealed.yaml"])
            .run()
            .expect(65)
            .complains("has no seal");
    }
}

#[test]
fn verify_tells_what_was_tampered_with_and_prints_no_value() {
    let bed = Bed::new();
    let sealed = bed.encrypt("v.yaml", "secret: hunter2\nopen_unencrypted: x\n");
    bed.write("ok.yaml", &sealed);
    let ran = bed.ops(&["verify", "--json", "ok.yaml"]).run().expect(0);
    assert_eq!(
        ran.json()
            .iter()
            .map(|check| check["status"].as_str().unwrap_or(""))
            .collect::<Vec<_>>(),
        ["ok", "ok"]
    );
    assert!(!ran.out().contains("hunter2"));
    bed.write(
        "bad.yaml",
        sealed.replace("open_unencrypted: x", "open_unencrypted: y"),
    );
    let ran = bed.ops(&["verify", "--json", "bad.yaml"]).run().expect(65);
    assert!(
        ran.json().iter().all(|check| check["status"] == "fail"),
        "{ran}"
    );
    let unsealed: String = sealed
        .lines()
        .filter(|line| !line.contains("ops_seal"))
        .map(|line| format!("{line}\n"))
        .collect();
    bed.write("none.yaml", unsealed);
    bed.ops(&["verify", "none.yaml"]).run().expect(3);
    bed.ops(&["verify", "--require-seal", "none.yaml"])
        .run()
        .expect(65);
}
