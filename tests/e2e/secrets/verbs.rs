//! Each verb on real files.

use crate::bed::{Bed, sops};

/// The lines in which two texts differ, counted from 1.
fn changed_lines(old: &str, new: &str) -> Vec<usize> {
    assert_eq!(
        old.lines().count(),
        new.lines().count(),
        "lines were added or taken away"
    );
    old.lines()
        .zip(new.lines())
        .enumerate()
        .filter(|(_, (a, b))| a != b)
        .map(|(index, _)| index + 1)
        .collect()
}

const PLAIN: &str = "# head\ndb:\n  user: admin   # inline\n  password: \"s3cr3t\"\n\n  hosts: [a, b]\nlist:\n  - x\n  - x\n";

#[test]
fn set_changes_the_lines_of_its_value_time_mac_and_seal() {
    let bed = Bed::new();
    let before = bed.encrypt("s.yaml", PLAIN);
    bed.write("s.yaml", &before);
    bed.ops(&["set", "--value-stdin", "s.yaml", "[\"db\"][\"password\"]"])
        .stdin("\"new\"")
        .run()
        .expect(0);
    let after = bed.read("s.yaml");
    let names: Vec<&str> = changed_lines(&before, &after)
        .iter()
        .map(|line| before.lines().nth(line - 1).unwrap_or("").trim())
        .collect();
    let names: Vec<&str> = names
        .iter()
        .map(|line| line.split(':').next().unwrap_or(""))
        .collect();
    assert_eq!(names[..1], ["password"]);
    assert!(
        names[1..]
            .iter()
            .all(|name| ["lastmodified", "mac", "ops_seal"].contains(name)),
        "{names:?}"
    );
    assert_eq!(
        bed.decrypt("r.yaml", &after).expect(0).out(),
        PLAIN.replace("s3cr3t", "new")
    );
}

#[test]
fn set_makes_what_is_missing_and_takes_any_json() {
    let bed = Bed::new();
    bed.write("s.yaml", bed.encrypt("p.yaml", PLAIN));
    let set =
        |path: &str, value: &str| drop(bed.ops(&["set", "s.yaml", path, value]).run().expect(0));
    set(
        "[\"new\"][\"deep\"]",
        "{\"num\": 9007199254740993, \"l\": [1, [2], {}]}",
    );
    set("[\"db\"][\"hosts\"][2]", "\"c\"");
    set("[\"list\"][0]", "true");
    let plain = bed.ops(&["decrypt", "s.yaml"]).run().expect(0).out();
    let wanted = PLAIN
        .replace("[a, b]", "[a, b, \"c\"]")
        .replacen("- x", "- true", 1);
    let wanted = wanted
        + "new:\n  deep:\n    num: 9007199254740993\n    l:\n      - 1\n      - - 2\n      - {}\n";
    assert_eq!(plain.replace(" c]", " \"c\"]"), wanted);
    bed.ops(&["set", "s.yaml", "[\"a\"]", "{no json"])
        .run()
        .expect(65)
        .complains("is no JSON");
    bed.ops(&["set", "s.yaml", "a", "1"]).run().expect(2);
}

#[test]
fn unset_cuts_the_value_and_nothing_else() {
    let bed = Bed::new();
    bed.write("s.yaml", bed.encrypt("p.yaml", PLAIN));
    bed.ops(&["unset", "s.yaml", "[\"db\"][\"password\"]"])
        .run()
        .expect(0);
    bed.ops(&["unset", "s.yaml", "[\"list\"][0]"])
        .run()
        .expect(0);
    let plain = bed.ops(&["decrypt", "s.yaml"]).run().expect(0).out();
    assert_eq!(
        plain,
        PLAIN
            .replace("  password: \"s3cr3t\"\n", "")
            .replacen("  - x\n", "", 1)
    );
    let before = bed.read("s.yaml");
    bed.ops(&["unset", "s.yaml", "[\"nope\"]"])
        .run()
        .expect(65)
        .complains("has nothing at");
    bed.ops(&["unset", "--idempotent", "s.yaml", "[\"nope\"]"])
        .run()
        .expect(0);
    assert_eq!(bed.read("s.yaml"), before);
}

#[test]
fn equal_values_never_share_a_ciphertext() {
    let bed = Bed::new();
    let sealed = bed.encrypt("s.yaml", "l:\n  - same\n  - same\n  - same\n");
    bed.write("s.yaml", &sealed);
    bed.ops(&["set", "s.yaml", "[\"new\"]", "1"])
        .run()
        .expect(0);
    let after = bed.read("s.yaml");
    let lines: Vec<&str> = after
        .lines()
        .filter(|line| line.trim_start().starts_with("- ENC["))
        .collect();
    assert_eq!(lines.len(), 3);
    assert!(
        lines[0] != lines[1] && lines[1] != lines[2] && lines[0] != lines[2],
        "{after}"
    );
    assert!(
        lines.iter().all(|line| sealed.contains(*line)),
        "unchanged values keep their ciphertext"
    );
}

#[test]
fn extract_gives_texts_as_they_are_and_subtrees_in_the_format_asked_for() {
    let bed = Bed::new();
    bed.write(
        "s.yaml",
        bed.encrypt("p.yaml", "a: |\n  two\n  lines\nb:\n  - 1\n  - c: x\n"),
    );
    let extract = |path: &str, more: &[&str]| {
        bed.ops(&["decrypt", "--extract", path])
            .args(more)
            .arg("s.yaml")
            .run()
    };
    assert_eq!(extract("[\"a\"]", &[]).expect(0).out(), "two\nlines\n");
    assert_eq!(extract("[\"b\"][1][\"c\"]", &[]).expect(0).out(), "x");
    assert_eq!(extract("[\"b\"]", &[]).expect(0).out(), "- 1\n- c: x\n");
    assert_eq!(
        extract("[\"b\"]", &["--output-type", "json"])
            .expect(0)
            .out(),
        "[\n\t1,\n\t{\n\t\t\"c\": \"x\"\n\t}\n]"
    );
    extract("[\"nope\"]", &[])
        .expect(65)
        .complains("has nothing at");
}

#[test]
fn binary_files_come_back_byte_by_byte() {
    let bed = Bed::new();
    let bytes: Vec<u8> = (0..=255).cycle().take(5_000).collect();
    for (name, content) in [("b.bin", bytes.as_slice()), ("empty.bin", b"")] {
        bed.write(name, content);
        bed.ops(&["encrypt", "--age", &bed.recipient, "-i", name])
            .run()
            .expect(0);
        assert_eq!(
            bed.ops(&["decrypt", name]).run().expect(0).stdout,
            content,
            "{name}"
        );
        if sops().is_some() {
            assert_eq!(
                bed.sops(&["decrypt", name]).run().expect(0).stdout,
                content,
                "{name} read by sops"
            );
        }
    }
}

#[test]
fn edit_keeps_what_was_not_touched_and_leaves_nothing_behind() {
    let bed = Bed::new();
    let before = bed.encrypt("e.yaml", PLAIN);
    bed.write("e.yaml", &before);
    bed.write("editor", "#!/bin/sh\nstat -f -c %T \"$1\" > fs; stat -c %a \"$(dirname \"$1\")\" > mode; echo \"$1\" > where\nsed -i 's/s3cr3t/new/' \"$1\"\n");
    let edit = |editor: &str| bed.ops(&["edit", "e.yaml"]).env("EDITOR", editor).run();
    edit("sh editor").expect(0);
    assert_eq!(bed.read("fs").trim(), "tmpfs");
    assert_eq!(bed.read("mode").trim(), "700");
    assert!(
        !std::path::Path::new(bed.read("where").trim()).exists(),
        "the editor's file is gone"
    );
    assert_eq!(
        bed.ops(&["decrypt", "e.yaml"]).run().expect(0).out(),
        PLAIN.replace("s3cr3t", "new")
    );
    let after = bed.read("e.yaml");
    assert!(changed_lines(&before, &after).len() <= 4);
    edit("true").expect(0);
    edit("false").expect(1).complains("ended with status 1");
    bed.write("spoil", "#!/bin/sh\nprintf 'a: 1\\na: 2\\n' > \"$1\"\n");
    edit("sh spoil").expect(65).complains("comes twice");
    assert_eq!(bed.read("e.yaml"), after);
}

#[test]
fn rotate_gives_a_new_key_and_changes_recipients() {
    let bed = Bed::new();
    let two = bed.keygen("two.txt");
    let before = bed.encrypt("r.yaml", PLAIN);
    bed.write("r.yaml", &before);
    bed.ops(&["rotate", "-i", "--add-age", &two, "r.yaml"])
        .run()
        .expect(0);
    let with_two = || {
        bed.ops(&["decrypt", "r.yaml"])
            .env("SOPS_AGE_KEY_FILE", bed.path("two.txt"))
            .run()
    };
    assert_eq!(with_two().expect(0).out(), PLAIN);
    let ciphertexts = |text: &str| {
        text.lines()
            .filter(|line| line.contains("ENC["))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let after = ciphertexts(&bed.read("r.yaml"));
    assert!(
        ciphertexts(&before)
            .iter()
            .all(|line| !after.contains(line)),
        "every value is encrypted anew"
    );
    bed.ops(&["rotate", "-i", "--rm-age", &two, "r.yaml"])
        .run()
        .expect(0);
    with_two()
        .expect(65)
        .complains("no key at hand opens the file");
    bed.ops(&["verify", "r.yaml"]).run().expect(0);
}

#[test]
fn updatekeys_follows_the_rules_over_trees() {
    let bed = Bed::new();
    let two = bed.keygen("two.txt");
    bed.write("tree/a.yaml", bed.encrypt("p.yaml", PLAIN));
    bed.write("tree/sub/b.json", bed.encrypt("p.json", "{\"a\": 1}\n"));
    bed.write("tree/plain.txt", "not encrypted");
    let rules = format!(
        "keys:\n  - &me {}\n  - &two {two}\ncreation_rules:\n  - age: [*me, *two]\n",
        bed.recipient
    );
    bed.write("tree/.sops.yaml", rules);
    let wanted = vec![
        vec![
            "tree/a.yaml".to_owned(),
            "add".to_owned(),
            "1".to_owned(),
            two.clone(),
            "two".to_owned(),
        ],
        vec![
            "tree/sub/b.json".to_owned(),
            "add".to_owned(),
            "1".to_owned(),
            two.clone(),
            "two".to_owned(),
        ],
    ];
    let before = bed.read("tree/a.yaml");
    assert_eq!(
        bed.ops(&["updatekeys", "--dry-run", "tree"])
            .run()
            .expect(0)
            .tsv(),
        wanted
    );
    bed.ops(&["updatekeys", "--check", "tree"]).run().expect(1);
    bed.ops(&["updatekeys", "tree"]).run().expect(1);
    assert_eq!(bed.read("tree/a.yaml"), before, "nobody has confirmed");
    bed.ops(&["updatekeys", "--yes", "tree"]).run().expect(0);
    bed.ops(&["updatekeys", "--check", "tree"]).run().expect(0);
    bed.ops(&["verify", "tree"])
        .env("SOPS_AGE_KEY_FILE", bed.path("two.txt"))
        .run()
        .expect(0);
    let mac = |text: &str| {
        text.lines()
            .find(|line| line.trim_start().starts_with("mac:"))
            .map(str::to_owned)
    };
    assert_eq!(mac(&bed.read("tree/a.yaml")), mac(&before), "the MAC stays");
}

#[test]
fn rules_are_found_from_the_file_upward() {
    let bed = Bed::new();
    bed.write("repo/.sops.yaml", format!("creation_rules:\n  - path_regex: ^secrets/.*\\.yaml$\n    encrypted_regex: ^p\n    age: {}\n", bed.recipient));
    bed.write("repo/secrets/a.yaml", "user: u\npass: p\n");
    bed.ops(&["encrypt", "-i", "repo/secrets/a.yaml"])
        .run()
        .expect(0);
    let text = bed.read("repo/secrets/a.yaml");
    assert!(text.starts_with("user: u\npass: ENC["), "{text}");
    bed.write("repo/other.txt", "x");
    bed.ops(&["encrypt", "repo/other.txt"])
        .run()
        .expect(78)
        .complains("no creation rule");
    bed.write("bad/.sops.yaml", "creation_rules:\n  - path_regex: '('\n");
    bed.write("bad/a.yaml", "a: 1\n");
    bed.ops(&["encrypt", "bad/a.yaml"])
        .run()
        .expect(78)
        .complains("path_regex of rule 1");
}

#[test]
fn a_failed_run_leaves_the_old_file() {
    let bed = Bed::new();
    let before = bed.encrypt("s.yaml", PLAIN);
    bed.write("s.yaml", &before);
    let ran = bed
        .ops(&["decrypt", "s.yaml"])
        .through("exec \"$@\" > /dev/full")
        .run();
    assert_eq!(ran.status, 74, "{ran}");
    bed.ops(&["decrypt", "-o", "missing/folder/out", "s.yaml"])
        .run()
        .expect(74);
    bed.ops(&["encrypt", "--age", "age1nonsense", "-i", "s.yaml"])
        .run()
        .expect(65);
    assert_eq!(bed.read("s.yaml"), before);
    let names: Vec<String> = std::fs::read_dir(bed.path("."))
        .expect("the folder")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    assert!(
        names
            .iter()
            .all(|name| !name.starts_with(".ops") && !name.contains("tmp")),
        "{names:?}"
    );
}

#[test]
fn filestatus_says_what_sops_says() {
    let bed = Bed::new();
    bed.write("e.yaml", bed.encrypt("p.yaml", PLAIN));
    assert_eq!(
        bed.ops(&["filestatus", "e.yaml"]).run().expect(0).out(),
        "{\"encrypted\":true}\n"
    );
    assert_eq!(
        bed.ops(&["filestatus", "p.yaml"]).run().expect(0).out(),
        "{\"encrypted\":false}\n"
    );
    assert_eq!(
        bed.ops(&["filestatus", "p.yaml", "e.yaml"])
            .run()
            .expect(0)
            .out(),
        "false\tp.yaml\ntrue\te.yaml\n"
    );
}
