//! The program called `sops`: a script written for sops works, with sops's statuses.

use crate::bed::Bed;

pub(crate) fn linked(bed: &Bed) -> String {
    let link = bed.path("bin/sops");
    std::fs::create_dir_all(bed.path("bin")).expect("a folder");
    std::os::unix::fs::symlink(ops_tests::bin_dir().join("ops-secrets"), &link).expect("a link");
    link.to_string_lossy().into_owned()
}

#[test]
fn a_script_written_for_sops_works() {
    let bed = Bed::new();
    let link = linked(&bed);
    bed.write("a.yaml", "a: x\nn: 1\n");
    bed.write("script", format!("set -eu\nPATH={}:$PATH\nsops -e --age {} a.yaml > e.yaml\nsops -d e.yaml | diff - a.yaml\nsops --set '[\"a\"] \"z\"' e.yaml\nsops -d --extract '[\"a\"]' e.yaml > a\nsops set e.yaml '[\"b\"]' '{{\"c\": 2}}'\nsops --decrypt --output-type json e.yaml > e.json\nsops -r -i e.yaml\nsops exec-env e.yaml 'echo $n' > n\nsops filestatus e.yaml > status\nsops -i -d e.yaml\n", bed.path("bin").display(), bed.recipient));
    let ran = ops_tests::command("sh")
        .arg("script")
        .dir(bed.path("."))
        .env("SOPS_AGE_KEY_FILE", bed.path("keys.txt"))
        .run();
    ran.expect(0);
    assert_eq!(bed.read("a"), "z");
    assert_eq!(bed.read("n"), "1\n");
    assert_eq!(bed.read("status"), "{\"encrypted\":true}\n");
    assert_eq!(
        bed.read("e.yaml"),
        "a: z\nn: 1\nb:\n  c: 2\n".replace("  c", "    c")
    );
    assert!(!link.is_empty());
}

#[test]
fn clouds_are_refused_by_name() {
    let bed = Bed::new();
    let link = linked(&bed);
    bed.write("p.yaml", "a: x\n");
    let run = |args: &[&str]| bed.bound(ops_tests::command(&link).args(args)).run();
    run(&["publish", "e.yaml"]).expect(1).complains("publish");
    run(&["-e", "--kms", "arn", "p.yaml"])
        .expect(1)
        .complains("--kms");
    let asked =
        bed.bound(ops_tests::command(&link).args(["-e", "--age", &bed.recipient, "p.yaml"]));
    asked
        .env("SOPS_PGP_FP", "ABC")
        .run()
        .expect(1)
        .complains("SOPS_PGP_FP");
}

#[test]
fn version_and_help_are_answered() {
    let bed = Bed::new();
    let link = linked(&bed);
    let run = |args: &[&str]| {
        bed.bound(ops_tests::command(&link).args(args))
            .run()
            .expect(0)
            .out()
    };
    assert!(run(&["--version", "--disable-version-check"]).starts_with("sops 3.13."));
    assert!(run(&["-v"]).starts_with("sops 3.13."));
    assert!(run(&["help"]).contains("Usage:"));
    assert!(run(&["decrypt", "-h"]).contains("--extract"));
}

/// What the functional tests of sops ask for beyond the script above, through the link.
#[test]
fn set_and_unset_are_those_of_sops() {
    let bed = Bed::new();
    let link = linked(&bed);
    let run = |args: &[&str]| {
        bed.bound(ops_tests::command(&link).args(args))
            .run()
            .expect(0)
            .out()
    };
    for (name, plain) in [
        ("s.json", "{\"a\": 2, \"b\": \"ba\", \"c\": [1, 2]}"),
        ("s.yaml", "a: 2\nb: ba\nc:\n    - 1\n    - 2\n"),
    ] {
        bed.write(name, bed.encrypt(name, plain));
        run(&["set", name, "[\"a\"]", "{\"aa\": \"aaa\"}"]);
        bed.write("value", "{\"dd\": \"ddd\"}");
        run(&["set", "--value-file", name, "[\"d\"]", "value"]);
        let json = run(&["decrypt", "--output-type", "json", "--indent", "0", name]);
        assert!(
            json.contains("\"aa\": \"aaa\"") && json.contains("\"dd\": \"ddd\""),
            "{json}"
        );
        let before = bed.read(name);
        run(&["set", "--idempotent", name, "[\"b\"]", "\"ba\""]);
        run(&["unset", "--idempotent", name, "[\"c\"][2]"]);
        run(&["unset", "--idempotent", name, "[\"nope\"]"]);
        assert_eq!(bed.read(name), before);
        run(&["set", name, "[\"b\"]", "\"ba\""]);
        assert_ne!(
            bed.read(name),
            before,
            "without --idempotent it is written again"
        );
        run(&["unset", name, "[\"c\"][1]"]);
        run(&["unset", name, "[\"a\"]"]);
        assert_eq!(run(&["-d", "--extract", "[\"c\"][0]", name]).trim(), "1");
    }
    run(&[
        "set",
        "--output-type",
        "yaml",
        "s.json",
        "[\"b\"]",
        "\"ba\"",
    ]);
    assert!(bed.read("s.json").starts_with("b: ENC["));
    let plain = run(&[
        "decrypt",
        "--input-type",
        "yaml",
        "--output-type",
        "yaml",
        "s.json",
    ]);
    assert_eq!(plain, "b: ba\nc:\n    - 1\nd:\n    dd: ddd\n");
}

#[test]
fn key_groups_are_those_of_sops() {
    let bed = Bed::new();
    let link = linked(&bed);
    let (one, two) = (bed.recipient.clone(), bed.keygen("two.txt"));
    bed.write(".sops.yaml", format!("creation_rules:\n  - path_regex: shared\n    key_groups:\n      - age: [{one}]\n      - age: [{two}]\n  - path_regex: none\n  - path_regex: zero\n    key_groups: []\n  - path_regex: empty\n    key_groups: [{{}}]\n"));
    let run = |args: &[&str]| bed.bound(ops_tests::command(&link).args(args)).run();
    bed.write("shared.yaml", "a: secret\n");
    run(&["encrypt", "-i", "shared.yaml"]).expect(0);
    run(&["decrypt", "shared.yaml"]).expect(128);
    bed.write("keys.txt", bed.read("keys.txt") + &bed.read("two.txt"));
    assert_eq!(
        run(&["decrypt", "shared.yaml"]).expect(0).out(),
        "a: secret\n"
    );
    for name in ["none.yaml", "zero.yaml", "empty.yaml"] {
        bed.write(name, "a: secret\n");
        let told = run(&["encrypt", "-i", name]).expect(1).err();
        assert_eq!(
            told,
            "Could not generate data key: [empty key group provided]\n"
        );
    }
}

#[test]
fn words_behind_the_file_are_taken_as_sops_takes_them() {
    let bed = Bed::new();
    let link = linked(&bed);
    bed.write("e.yaml", bed.encrypt("p.yaml", "a: x\n"));
    let run = |args: &[&str]| {
        bed.bound(ops_tests::command(&link).args(args))
            .run()
            .expect(0)
    };
    // Flags of a verb count wherever they stand; those of the old command line only before the file.
    assert_eq!(
        run(&["decrypt", "e.yaml", "--output-type", "json"]).out(),
        "{\n\t\"a\": \"x\"\n}\n"
    );
    let ran =
        run(&["-d", "e.yaml", "--output-type", "json"]).complains("'--output-type' is ignored");
    assert_eq!(ran.out(), "a: x\n");
    assert_eq!(
        run(&[
            "--decrypt=true",
            "--indent=2",
            "--output-type=json",
            "e.yaml"
        ])
        .out(),
        "{\n  \"a\": \"x\"\n}\n"
    );
}
