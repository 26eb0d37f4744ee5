//! A tree of secrets: lint, and what git shows and merges.

use crate::bed::Bed;

fn git(bed: &Bed, args: &[&str]) -> ops_tests::Ran {
    let path = format!(
        "{}:/usr/local/bin:/usr/bin:/bin",
        ops_tests::bin_dir().display()
    );
    ops_tests::command("git")
        .args([
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@t.example",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(args)
        .dir(bed.path("repo"))
        .env("PATH", path)
        .env("HOME", bed.path("."))
        .env("SOPS_AGE_KEY_FILE", bed.path("keys.txt"))
        .run()
}

#[test]
fn lint_finds_what_is_wrong() {
    let bed = Bed::new();
    let two = bed.keygen("two.txt");
    bed.write(
        "t/.sops.yaml",
        format!(
            "keys:\n  - &me {}\ncreation_rules:\n  - path_regex: ^secrets/\n    age: *me\n",
            bed.recipient
        ),
    );
    bed.write("t/secrets/good.yaml", bed.encrypt("p.yaml", "a: x\n"));
    bed.ops(&["lint", "t"]).run().expect(0);
    bed.write("t/secrets/plain.yaml", "a: secret\n");
    bed.write("t/readme.txt", "no secret");
    bed.ops(&[
        "encrypt",
        "--age",
        &two,
        "-o",
        "t/secrets/other.yaml",
        "p.yaml",
    ])
    .run()
    .expect(0);
    bed.write("t/key.txt", bed.read("keys.txt"));
    let ran = bed.ops(&["lint", "--json", "t"]).run().expect(1);
    let mut found: Vec<(String, String, String)> = ran
        .json()
        .iter()
        .filter(|check| check["status"] != "ok")
        .map(|check| {
            let text = |name: &str| check[name].as_str().unwrap_or("").to_owned();
            (text("check"), text("status"), text("subject"))
        })
        .collect();
    found.sort();
    let wanted = [
        ("secrets.key", "warn", "t/secrets/other.yaml"),
        ("secrets.mode", "fail", "t/key.txt"),
        ("secrets.plaintext", "fail", "t/secrets/plain.yaml"),
        ("secrets.recipients", "fail", "t/secrets/other.yaml"),
    ];
    assert_eq!(
        found,
        wanted.map(|(check, status, subject)| (
            check.to_owned(),
            status.to_owned(),
            subject.to_owned()
        )),
        "{ran}"
    );
    bed.write(
        "t/.sops.yaml",
        "creation_rules:\n  - encrypted_regex: '^(?!user)'\n    age: age1\n",
    );
    bed.ops(&["lint", "t"]).run().expect(1);
    assert!(
        bed.ops(&["lint", "--json", "t"])
            .run()
            .out()
            .contains("secrets.rules")
    );
}

#[test]
fn git_shows_and_merges_plain_text() {
    let bed = Bed::new();
    std::fs::create_dir(bed.path("repo")).expect("a folder");
    let plain = "a: 1\nb: 2\nc: 3\nd: 4\ne: 5\n";
    bed.write("repo/secrets/s.yaml", bed.encrypt("p.yaml", plain));
    git(&bed, &["init", "-q"]).expect(0);
    bed.ops(&["git-setup"])
        .dir(bed.path("repo"))
        .run()
        .expect(0);
    bed.ops(&["git-setup"])
        .dir(bed.path("repo"))
        .run()
        .expect(0);
    assert_eq!(
        bed.read("repo/.gitattributes"),
        "secrets/** diff=sops merge=sops\n"
    );
    git(&bed, &["add", "-A"]).expect(0);
    git(&bed, &["commit", "-qm", "one"]).expect(0);
    let set = |key: &str, value: &str| {
        drop(
            bed.ops(&["set", "repo/secrets/s.yaml", &format!("[\"{key}\"]"), value])
                .run()
                .expect(0),
        );
    };
    set("a", "10");
    let shown = git(&bed, &["diff"]).expect(0).out();
    assert!(shown.contains("-a: 1\n+a: 10\n"), "{shown}");
    git(&bed, &["commit", "-qam", "ours"]).expect(0);
    git(&bed, &["checkout", "-q", "-b", "theirs", "HEAD~1"]).expect(0);
    set("e", "50");
    git(&bed, &["commit", "-qam", "theirs"]).expect(0);
    git(&bed, &["merge", "-q", "--no-edit", "main"]).expect(0);
    let merged = bed
        .ops(&["decrypt", "repo/secrets/s.yaml"])
        .run()
        .expect(0)
        .out();
    assert_eq!(merged, "a: 10\nb: 2\nc: 3\nd: 4\ne: 50\n");
    bed.ops(&["verify", "repo/secrets/s.yaml"]).run().expect(0);
    set("a", "11");
    git(&bed, &["commit", "-qam", "again"]).expect(0);
    git(&bed, &["checkout", "-q", "main"]).expect(0);
    set("a", "12");
    git(&bed, &["commit", "-qam", "other"]).expect(0);
    git(&bed, &["merge", "-q", "--no-edit", "theirs"])
        .expect(1)
        .complains("was changed on both sides");
}

#[test]
fn diff_compares_plain_texts() {
    let bed = Bed::new();
    bed.write("a.yaml", bed.encrypt("p.yaml", "x: 1\ny: 2\n"));
    bed.write("b.yaml", bed.encrypt("p.yaml", "x: 1\ny: 3\n"));
    bed.ops(&["diff", "a.yaml", "a.yaml"]).run().expect(0);
    let shown = bed.ops(&["diff", "a.yaml", "b.yaml"]).run().expect(1).out();
    assert_eq!(
        shown,
        "--- a.yaml\n+++ b.yaml\n@@ -1,2 +1,2 @@\n x: 1\n-y: 2\n+y: 3\n"
    );
    let locked = bed
        .ops(&["diff", "a.yaml"])
        .env("SOPS_AGE_KEY_FILE", "")
        .env("HOME", "/nonexistent")
        .run()
        .expect(0);
    assert!(
        locked.out().starts_with("x: ENC["),
        "without a key, the file as it is"
    );
}

#[test]
fn lint_finds_what_a_killed_run_left_and_one_bad_file_hides_nothing() {
    let bed = Bed::new();
    bed.write(
        ".sops.yaml",
        format!("creation_rules: [{{age: {}}}]\n", bed.recipient),
    );
    bed.write("t/e.yaml", bed.encrypt("p.yaml", "a: x\n"));
    bed.write("t/.ops-abc.tmp", "a: x\n");
    bed.write("t/broken.yaml", "a: x\nsops: {}\n");
    let found = bed.ops(&["lint", "--json", "t"]).run().expect(1).json();
    let status = |check: &str, file: &str| {
        let of = |found: &&serde_json::Value| {
            found["check"] == check
                && found["subject"]
                    .as_str()
                    .is_some_and(|name| name.ends_with(file))
        };
        found.iter().find(of).map(|found| found["status"].clone())
    };
    assert_eq!(
        status("secrets.leftover", ".ops-abc.tmp"),
        Some("fail".into())
    );
    assert_eq!(status("secrets.key", "broken.yaml"), Some("fail".into()));
    assert_eq!(status("secrets.key", "e.yaml"), Some("ok".into()));
}
