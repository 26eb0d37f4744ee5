//! Files that other keys than age open too (PGP, KMS): those entries stay, and nothing that would lose them is done.

use crate::bed::Bed;

const YAML: &str = "    pgp:
        - created_at: \"2024-05-06T07:08:09Z\"
          enc: |-
            -----BEGIN PGP MESSAGE-----

            hQIMA0xyzTESTONLYAQ/9made+up
            =AbCd
            -----END PGP MESSAGE-----
          fp: FBC7B9E2A4F9289AC0C1D4843D16CEE4A27381B4
";

const KMS: &str = "    kms:
        - arn: arn:aws:kms:us-east-1:000000000000:key/made-up
          created_at: \"2024-05-06T07:08:09Z\"
          enc: bm90IGEga2V5
          aws_profile: \"\"
";

/// A file without a seal, as sops would have written it with a PGP key (`what` stands before `before`).
fn with(bed: &Bed, name: &str, plain: &str, before: &str, what: &str) -> String {
    bed.write(&format!("plain-{name}"), plain);
    let text = bed
        .ops(&[
            "encrypt",
            "--no-seal",
            "--age",
            &bed.recipient,
            "--filename-override",
            name,
        ])
        .arg(format!("plain-{name}"))
        .run()
        .expect(0)
        .out();
    let at = text.find(before).expect("the metadata");
    let text = format!("{}{what}{}", &text[..at], &text[at..]);
    bed.write(name, &text);
    text
}

#[test]
fn foreign_keys_stay_untouched_in_every_format() {
    let bed = Bed::new();
    let json = "\t\t\"pgp\": [\n\t\t\t{\n\t\t\t\t\"created_at\": \"2024-05-06T07:08:09Z\",\n\t\t\t\t\"enc\": \"-----BEGIN PGP MESSAGE-----\\n\\nmade+up\\n-----END PGP MESSAGE-----\",\n\t\t\t\t\"fp\": \"FBC7B9E2\"\n\t\t\t}\n\t\t],\n";
    let env = "sops_pgp__list_0__map_created_at=2024-05-06T07:08:09Z\nsops_pgp__list_0__map_enc=-----BEGIN PGP MESSAGE-----\\n\\nmade+up\\n-----END PGP MESSAGE-----\nsops_pgp__list_0__map_fp=FBC7B9E2\n";
    let ini = "pgp__list_0__map_created_at = 2024-05-06T07:08:09Z\npgp__list_0__map_enc        = -----BEGIN PGP MESSAGE-----\\n\\nmade+up\\n-----END PGP MESSAGE-----\npgp__list_0__map_fp         = FBC7B9E2\n";
    for (name, plain, before, entry) in [
        ("f.yaml", "a: x\n", "    unencrypted_suffix:", YAML),
        ("k.yaml", "a: x\n", "    lastmodified:", KMS),
        (
            "f.json",
            "{\n\t\"a\": \"x\"\n}\n",
            "\t\t\"unencrypted_suffix\":",
            json,
        ),
        ("f.env", "a=x\n", "sops_unencrypted_suffix=", env),
        ("f.ini", "[s]\na = x\n", "unencrypted_suffix", ini),
    ] {
        with(&bed, name, plain, before, entry);
        assert_eq!(
            bed.ops(&["decrypt", name]).run().expect(0).out(),
            plain,
            "{name}"
        );
        let path = if name == "f.ini" {
            "[\"s\"][\"a\"]"
        } else {
            "[\"a\"]"
        };
        bed.ops(&["set", name, path, "\"new\""]).run().expect(0);
        let changed = bed.read(name);
        assert!(
            changed.contains(entry),
            "{name}: the entry stays byte by byte:\n{changed}"
        );
        assert_eq!(
            bed.ops(&["decrypt", "--require-seal", name])
                .run()
                .expect(0)
                .out(),
            plain.replace('x', "new"),
            "{name}"
        );
    }
}

#[test]
fn what_would_have_to_wrap_for_a_foreign_key_is_refused() {
    let bed = Bed::new();
    let before = with(&bed, "f.yaml", "a: x\n", "    unencrypted_suffix:", YAML);
    let other = bed.keygen("other.txt");
    let refused = |args: &[&str]| {
        bed.ops(args)
            .run()
            .expect(65)
            .complains("pgp")
            .complains("f.yaml");
        assert_eq!(bed.read("f.yaml"), before, "{args:?} left the file alone");
    };
    refused(&["rotate", "-i", "f.yaml"]);
    refused(&["rotate", "-i", "--add-age", &other, "f.yaml"]);
    bed.write(
        ".sops.yaml",
        format!("creation_rules:\n  - age: [{}, {other}]\n", bed.recipient),
    );
    refused(&["updatekeys", "-y", "f.yaml"]);
    // A rule that asks for such a key, too.
    bed.write(
        ".sops.yaml",
        format!(
            "creation_rules:\n  - age: [{}]\n    pgp: FBC7B9E2\n",
            bed.recipient
        ),
    );
    bed.write("p.yaml", "a: x\n");
    let ran = bed.ops(&["encrypt", "p.yaml"]).run();
    assert!(ran.stdout.is_empty() && ran.status != 0, "{ran}");
    ran.complains("pgp");
}

/// The seal covers them: one that is exchanged, for a key that somebody else holds, does not go unnoticed.
#[test]
fn the_seal_covers_foreign_keys() {
    let bed = Bed::new();
    with(&bed, "f.yaml", "a: x\n", "    unencrypted_suffix:", YAML);
    bed.ops(&["set", "f.yaml", "[\"a\"]", "\"new\""])
        .run()
        .expect(0);
    let sealed = bed.read("f.yaml");
    let ran = bed.decrypt("t.yaml", sealed.replace("fp: FBC7", "fp: 0BC7"));
    ran.expect(65).complains("seal");
    let ran = bed.decrypt("t.yaml", sealed.replace(YAML, ""));
    ran.expect(65).complains("seal");
}
