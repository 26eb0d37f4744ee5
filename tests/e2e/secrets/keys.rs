//! Keys: where they are found, SSH keys in both forms, groups.

use ops_tests::command;

use crate::bed::{Bed, sops};

fn ssh_key(bed: &Bed, name: &str, kind: &str, passphrase: &str) -> String {
    let path = bed.path(name);
    command("ssh-keygen")
        .args(["-q", "-t", kind, "-N", passphrase, "-C", "test", "-f"])
        .arg(&path)
        .run()
        .expect(0);
    bed.read(&format!("{name}.pub")).trim().to_owned()
}

/// Decrypts with an SSH key and no other.
fn with_ssh(bed: &Bed, key: &str, file: &str) -> ops_tests::Ran {
    bed.ops(&["decrypt", file])
        .env("SOPS_AGE_KEY_FILE", "")
        .env("HOME", "/nonexistent")
        .env("SOPS_AGE_SSH_PRIVATE_KEY_FILE", bed.path(key))
        .run()
}

#[test]
fn an_ssh_host_key_opens_both_forms() {
    let bed = Bed::new();
    let public = ssh_key(&bed, "host", "ed25519", "");
    let converted = bed.ops(&["recipient", "host.pub"]).run().expect(0).tsv()[0][0].clone();
    assert!(converted.starts_with("age1"), "{converted}");
    assert_eq!(
        bed.ops(&["recipient", "host"]).run().expect(0).tsv()[0][0],
        converted,
        "the private key says the same"
    );
    let native = bed
        .ops(&["recipient", "--ssh", "host.pub"])
        .run()
        .expect(0)
        .tsv()[0][0]
        .clone();
    assert!(public.starts_with(&native));
    bed.write("p.yaml", "a: x\n");
    for (recipient, name) in [(&converted, "converted.yaml"), (&native, "native.yaml")] {
        bed.ops(&["encrypt", "--age", recipient, "-o", name, "p.yaml"])
            .run()
            .expect(0);
        assert_eq!(
            with_ssh(&bed, "host", name).expect(0).out(),
            "a: x\n",
            "{name}"
        );
    }
}

/// The vector of ssh-to-age: this key of its tests has this recipient.
#[test]
fn conversion_agrees_with_age_keygen() {
    let bed = Bed::new();
    ssh_key(&bed, "host", "ed25519", "");
    let identity = bed.ops(&["recipient", "host"]).run().expect(0).tsv()[0].clone();
    assert_eq!(identity[1], "converted");
    bed.write("bad.pub", "ssh-rsa AAAAB3NzaC1yc2E=");
    bed.ops(&["recipient", "bad.pub"])
        .run()
        .expect(65)
        .complains("only ssh-ed25519 keys can");
}

#[test]
fn rsa_keys_open_and_encrypted_keys_without_a_terminal_say_so() {
    let bed = Bed::new();
    let rsa = ssh_key(&bed, "rsa", "rsa", "");
    let locked = ssh_key(&bed, "locked", "ed25519", "passphrase");
    bed.write("p.yaml", "a: x\n");
    for (public, name) in [(rsa, "rsa.yaml"), (locked, "locked.yaml")] {
        bed.ops(&["encrypt", "--age", &public, "-o", name, "p.yaml"])
            .run()
            .expect(0);
    }
    assert_eq!(with_ssh(&bed, "rsa", "rsa.yaml").expect(0).out(), "a: x\n");
    with_ssh(&bed, "locked", "locked.yaml")
        .expect(65)
        .complains("locked");
    if sops().is_some() {
        let ran = bed
            .sops(&["decrypt", "rsa.yaml"])
            .env("SOPS_AGE_KEY_FILE", "")
            .env("SOPS_AGE_SSH_PRIVATE_KEY_FILE", bed.path("rsa"))
            .run();
        assert_eq!(ran.expect(0).out(), "a: x\n");
    }
}

#[test]
fn a_key_command_runs_once_however_many_recipients_there_are() {
    let bed = Bed::new();
    let recipients: Vec<String> = (0..11)
        .map(|number| bed.keygen(&format!("k{number}.txt")))
        .collect();
    bed.write("p.yaml", "a: x\n");
    bed.ops(&[
        "encrypt",
        "--age",
        &recipients.join(","),
        "-o",
        "e.yaml",
        "p.yaml",
    ])
    .run()
    .expect(0);
    bed.write(
        "keys.sh",
        format!(
            "echo run >> '{}'; cat '{}'\n",
            bed.path("runs").display(),
            bed.path("k10.txt").display()
        ),
    );
    let ran = bed
        .ops(&["decrypt", "e.yaml"])
        .env("SOPS_AGE_KEY_FILE", "")
        .env(
            "SOPS_AGE_KEY_CMD",
            format!("sh '{}'", bed.path("keys.sh").display()),
        )
        .run();
    assert_eq!(ran.expect(0).out(), "a: x\n");
    assert_eq!(bed.read("runs").lines().count(), 1);
}

#[test]
fn keys_are_found_in_every_place_and_their_lack_is_told() {
    let bed = Bed::new();
    bed.write("e.yaml", bed.encrypt("p.yaml", "a: x\n"));
    let secret = bed
        .read("keys.txt")
        .lines()
        .last()
        .unwrap_or_default()
        .to_owned();
    let bare = || {
        bed.ops(&["decrypt", "e.yaml"])
            .env("SOPS_AGE_KEY_FILE", "")
            .env("HOME", bed.path("home"))
    };
    bare()
        .run()
        .expect(65)
        .complains("no key was found")
        .complains(&bed.recipient);
    assert_eq!(
        bare().env("SOPS_AGE_KEY", &secret).run().expect(0).out(),
        "a: x\n"
    );
    bed.write("home/.config/sops/age/keys.txt", &secret);
    assert_eq!(bare().run().expect(0).out(), "a: x\n");
    assert_eq!(
        bare()
            .env("XDG_CONFIG_HOME", bed.path("nowhere"))
            .run()
            .expect(65)
            .status,
        65
    );
    bare()
        .env("SOPS_AGE_KEY_FILE", bed.path("missing"))
        .run()
        .expect(74)
        .complains("cannot read the key file");
    let other = bed.keygen("other.txt");
    let ran = bare()
        .env("SOPS_AGE_KEY_FILE", bed.path("other.txt"))
        .env("HOME", "/nonexistent")
        .run()
        .expect(65);
    assert!(
        !ran.err().contains(&other) && !ran.err().contains("AGE-SECRET"),
        "{ran}"
    );
}

#[test]
fn post_quantum_recipients_have_an_error_of_their_own() {
    let bed = Bed::new();
    bed.write("p.yaml", "a: x\n");
    bed.ops(&["encrypt", "--age", "age1pq1xyz", "p.yaml"])
        .run()
        .expect(65)
        .complains("post-quantum");
}

/// Two of three groups are needed; sops and we open each other's.
#[test]
fn key_groups_need_their_threshold() {
    let bed = Bed::new();
    let others: Vec<String> = (1..3)
        .map(|number| bed.keygen(&format!("g{number}.txt")))
        .collect();
    let groups = format!(
        "    - age: [{}]\n    - age: [{}]\n    - age: [{}]\n",
        bed.recipient, others[0], others[1]
    );
    bed.write(
        ".sops.yaml",
        format!("creation_rules:\n  - shamir_threshold: 2\n    key_groups:\n{groups}"),
    );
    bed.write("p.yaml", "a: x\n");
    bed.ops(&["encrypt", "-o", "ours.yaml", "p.yaml"])
        .run()
        .expect(0);
    bed.write("both.txt", bed.read("keys.txt") + &bed.read("g1.txt"));
    let mut files = vec!["ours.yaml"];
    if sops().is_some() {
        let theirs = bed.sops(&["encrypt", "p.yaml"]).run().expect(0).out();
        bed.write("theirs.yaml", theirs);
        files.push("theirs.yaml");
    }
    for file in files {
        bed.ops(&["decrypt", file])
            .run()
            .expect(65)
            .complains("1 of 2 needed key groups");
        let both =
            |tool: ops_tests::Tool| tool.env("SOPS_AGE_KEY_FILE", bed.path("both.txt")).run();
        assert_eq!(
            both(bed.ops(&["decrypt", file])).expect(0).out(),
            "a: x\n",
            "{file}"
        );
        both(bed.ops(&["rotate", "-i", file])).expect(0);
        if sops().is_some() {
            assert_eq!(
                both(bed.sops(&["decrypt", file])).expect(0).out(),
                "a: x\n",
                "{file} rotated, read by sops"
            );
        }
    }
}
