//! Passphrases: asked for on the terminal, shown nowhere.

use ops_tests::{Ran, Tool, command};

use crate::bed::Bed;

const PASSPHRASE: &str = "made up words";

/// Types an answer to the question that contains `question`.
fn answer(tool: Tool, question: &str, passphrase: &str) -> Ran {
    let mut asked = tool.terminal(100, 30).spawn();
    asked.wait_for(question);
    asked.type_in(&format!("{passphrase}\n"));
    let ran = asked.finish();
    assert!(
        !ran.out().contains(passphrase),
        "the passphrase is shown: {ran}"
    );
    ran
}

#[test]
fn an_encrypted_ssh_key_opens_with_its_passphrase() {
    let bed = Bed::new();
    command("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", PASSPHRASE, "-C", "test", "-f"])
        .arg(bed.path("locked"))
        .run()
        .expect(0);
    bed.write("p.yaml", "a: x\n");
    bed.ops(&[
        "encrypt",
        "--age",
        bed.read("locked.pub").trim(),
        "-o",
        "e.yaml",
        "p.yaml",
    ])
    .run()
    .expect(0);
    let decrypt = || {
        bed.ops(&["decrypt", "e.yaml"])
            .env("SOPS_AGE_KEY_FILE", "")
            .env("HOME", "/nonexistent")
            .env("SOPS_AGE_SSH_PRIVATE_KEY_FILE", bed.path("locked"))
    };
    let ran = answer(decrypt(), "assphrase", PASSPHRASE).expect(0);
    assert!(ran.out().ends_with("a: x\r\n"), "{ran}");
    let ran = answer(decrypt(), "assphrase", "another one").expect(65);
    assert!(!ran.out().contains("a: x"), "{ran}");
}

#[test]
fn a_key_file_with_a_passphrase_opens_with_it() {
    let bed = Bed::new();
    bed.write("e.yaml", bed.encrypt("p.yaml", "a: x\n"));
    // The file as age itself writes it.
    let mut made = command("age")
        .args(["-p", "-o", "locked.age", "keys.txt"])
        .dir(bed.path("."))
        .terminal(100, 30)
        .spawn();
    made.wait_for("Enter passphrase");
    made.type_in(&format!("{PASSPHRASE}\n"));
    made.wait_for("Confirm passphrase");
    made.type_in(&format!("{PASSPHRASE}\n"));
    drop(made.finish().expect(0));
    let decrypt = || {
        bed.ops(&["decrypt", "e.yaml"])
            .env("SOPS_AGE_KEY_FILE", bed.path("locked.age"))
            .env("HOME", "/nonexistent")
    };
    let ran = answer(decrypt(), "Passphrase of", PASSPHRASE).expect(0);
    assert!(ran.out().ends_with("a: x\r\n"), "{ran}");
    let ran = answer(decrypt(), "Passphrase of", "another one").expect(65);
    assert!(ran.out().contains("no keys that can be read"), "{ran}");
    // In a session of its own it has no terminal to ask on.
    decrypt()
        .through(r#"exec setsid --wait "$@""#)
        .run()
        .expect(65)
        .complains("locked.age");
}
