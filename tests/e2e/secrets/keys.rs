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

/// What this test converts by itself, `age-keygen` turns into the recipient that we say. (The vectors of ssh-to-age are
/// tested beside the code.)
#[test]
fn conversion_agrees_with_age_keygen() {
    let bed = Bed::new();
    ssh_key(&bed, "host", "ed25519", "");
    let ours = bed.ops(&["recipient", "host"]).run().expect(0).tsv()[0].clone();
    assert_eq!(ours[1], "converted");
    let identity = identity_of(&bed.read("host"));
    let theirs = command("age-keygen")
        .arg("-y")
        .stdin(identity.as_str())
        .run()
        .expect(0);
    assert_eq!(theirs.out().trim(), ours[0]);

    // The other way: what is encrypted to that recipient opens with the SSH key, and with the identity alone.
    bed.write("p.yaml", "a: x\n");
    bed.ops(&["encrypt", "--age", &ours[0], "-o", "e.yaml", "p.yaml"])
        .run()
        .expect(0);
    assert_eq!(with_ssh(&bed, "host", "e.yaml").expect(0).out(), "a: x\n");
    let ran = bed
        .ops(&["decrypt", "e.yaml"])
        .env("SOPS_AGE_KEY_FILE", "")
        .env("SOPS_AGE_KEY", &identity)
        .run();
    assert_eq!(ran.expect(0).out(), "a: x\n");

    bed.write("bad.pub", "ssh-rsa AAAAB3NzaC1yc2E=");
    bed.ops(&["recipient", "bad.pub"])
        .run()
        .expect(65)
        .complains("only ssh-ed25519 keys can");
}

/// The age identity of an unencrypted ed25519 key file: the lower half of the digest of its seed, in bech32.
fn identity_of(pem: &str) -> String {
    use base64::Engine as _;
    let body: String = pem
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let blob = base64::engine::general_purpose::STANDARD
        .decode(body)
        .expect("base64");
    // The seed stands before the last public key: both are one field of 64 bytes.
    let field = [0, 0, 0, 64];
    let at = blob
        .windows(4)
        .rposition(|window| window == field)
        .expect("a key pair");
    let seed: [u8; 32] = blob[at + 4..at + 36].try_into().expect("32 bytes");
    let scalar = ed25519_dalek::SigningKey::from_bytes(&seed).to_scalar_bytes();
    bech32("age-secret-key-", &scalar).to_uppercase()
}

/// BIP 173.
pub(crate) fn bech32(prefix: &str, bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    let bits: Vec<u8> = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
        .collect();
    let mut data: Vec<u8> = bits
        .chunks(5)
        .map(|five| (0..5).fold(0, |value, at| value << 1 | five.get(at).unwrap_or(&0)))
        .collect();
    let head = prefix.bytes().map(|c| c >> 5);
    let tail = prefix.bytes().map(|c| c & 31);
    let all = head
        .chain([0])
        .chain(tail)
        .chain(data.iter().copied())
        .chain([0; 6]);
    let check = all.fold(1_u32, |check, value| {
        let generators = [
            0x3b6a_57b2,
            0x2650_8e6d,
            0x1ea1_19fa,
            0x3d42_33dd,
            0x2a14_62b3_u32,
        ];
        (0..5)
            .filter(|bit| check >> 25 >> bit & 1 == 1)
            .fold((check & 0x1ff_ffff) << 5 ^ u32::from(value), |new, bit| {
                new ^ generators[bit]
            })
    }) ^ 1;
    data.extend((0..6).rev().map(|at| (check >> (5 * at) & 31) as u8));
    let letters = data
        .iter()
        .map(|value| char::from(LETTERS[usize::from(*value)]));
    format!("{prefix}1{}", letters.collect::<String>())
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
    // As with sops, a place that cannot be read matters only if nothing else opens the file.
    let missing = || bare().env("SOPS_AGE_KEY_FILE", bed.path("missing"));
    assert_eq!(missing().run().expect(0).out(), "a: x\n");
    missing()
        .env("HOME", "/nonexistent")
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
