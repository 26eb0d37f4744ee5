//! The variables and places of sops: each leads to keys, recipients, rules or an editor, and each is looked at once.

use ops_tests::{Ran, Tool, command};

use crate::bed::{Bed, sops};

struct Places {
    bed: Bed,
    /// The secret key alone.
    secret: String,
}

impl Places {
    /// A file for three recipients: an age key, an SSH key, and one that nobody has.
    fn new() -> Self {
        let bed = Bed::new();
        command("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"])
            .arg(bed.path("ssh"))
            .run()
            .expect(0);
        let other = bed.keygen("other.txt");
        let to = format!("{other},{},{}", bed.read("ssh.pub").trim(), bed.recipient);
        bed.write("p.yaml", "a: x\n");
        bed.ops(&["encrypt", "--age", &to, "-o", "e.yaml", "p.yaml"])
            .run()
            .expect(0);
        let secret = bed
            .read("keys.txt")
            .lines()
            .last()
            .unwrap_or_default()
            .to_owned();
        Self { bed, secret }
    }

    /// Without any key.
    fn bare(&self, tool: Tool) -> Tool {
        tool.env("SOPS_AGE_KEY_FILE", "")
            .env("HOME", self.bed.path("home"))
    }

    /// Decrypts with both programs, in one setting; gives how ours ended.
    fn both(&self, set: impl Fn(Tool) -> Tool) -> Ran {
        if sops().is_some() {
            let theirs = set(self.bare(self.bed.sops(&["decrypt", "e.yaml"]))).run();
            assert_eq!(theirs.expect(0).out(), "a: x\n");
        }
        let ours = set(self.bare(self.bed.ops(&["decrypt", "e.yaml"])))
            .run()
            .expect(0);
        assert_eq!(ours.out(), "a: x\n");
        ours
    }
}

#[test]
fn every_variable_leads_to_its_key() {
    let places = Places::new();
    let bed = &places.bed;
    places
        .bare(bed.ops(&["decrypt", "e.yaml"]))
        .run()
        .expect(65)
        .complains("no key was found");
    bed.write("cat", "cat \"$1\"\n");
    let show = |file: &str| {
        format!(
            "sh '{}' '{}'",
            bed.path("cat").display(),
            bed.path(file).display()
        )
    };
    places.both(|tool| tool.env("SOPS_AGE_KEY", &places.secret));
    places.both(|tool| {
        tool.env(
            "SOPS_AGE_KEY",
            format!(
                "{} {}",
                bed.read("other.txt").lines().last().unwrap_or_default(),
                places.secret
            ),
        )
    });
    places.both(|tool| tool.env("SOPS_AGE_KEY_FILE", bed.path("keys.txt")));
    places.both(|tool| tool.env("SOPS_AGE_KEY_CMD", show("keys.txt")));
    places.both(|tool| tool.env("SOPS_AGE_SSH_PRIVATE_KEY_FILE", bed.path("ssh")));
    places.both(|tool| tool.env("SOPS_AGE_SSH_PRIVATE_KEY_CMD", show("ssh")));
    places.both(|tool| {
        tool.env("SOPS_DECRYPTION_ORDER", "pgp,age")
            .env("SOPS_AGE_KEY", &places.secret)
    });
    // What cannot be loaded does not matter as long as something else opens the file.
    places.both(|tool| {
        tool.env("SOPS_AGE_KEY_CMD", "false")
            .env("SOPS_AGE_SSH_PRIVATE_KEY_FILE", "/nonexistent")
            .env("SOPS_AGE_KEY", &places.secret)
    });
    for (variable, value) in [
        ("SOPS_AGE_KEY_CMD", "false"),
        ("SOPS_AGE_SSH_PRIVATE_KEY_CMD", "no-such-program"),
    ] {
        let ran = places
            .bare(bed.ops(&["decrypt", "e.yaml"]))
            .env(variable, value)
            .run();
        ran.expect(69).complains(value);
    }
}

#[test]
fn every_default_place_leads_to_its_key() {
    for (place, key) in [
        ("home/.ssh/id_ed25519", "ssh"),
        ("home/.ssh/id_rsa", "ssh"),
        ("home/.config/sops/age/keys.txt", "keys.txt"),
    ] {
        let places = Places::new();
        places.bed.write(place, places.bed.read(key));
        places.both(|tool| tool);
    }
    let places = Places::new();
    places
        .bed
        .write("xdg/sops/age/keys.txt", places.bed.read("keys.txt"));
    places.both(|tool| tool.env("XDG_CONFIG_HOME", places.bed.path("xdg")));
}

/// Every key file is opened once and every command run once, for many recipients and many files.
#[test]
fn everything_is_loaded_once_a_run() {
    let places = Places::new();
    let bed = &places.bed;
    bed.write(
        "count",
        format!(
            "echo \"$SOPS_AGE_RECIPIENT\" >> '{}'; cat '{}'\n",
            bed.path("runs").display(),
            bed.path("other.txt").display()
        ),
    );
    bed.write("more.yaml", bed.read("e.yaml"));
    let ran = places
        .bare(
            bed.bound(command("strace"))
                .args(["-f", "-qq", "-e", "trace=openat,open", "-o", "trace"])
                .arg(ops_tests::bin_dir().join("ops-secrets")),
        )
        .args(["verify", "e.yaml", "more.yaml"])
        .env(
            "SOPS_AGE_KEY_CMD",
            format!("sh '{}'", bed.path("count").display()),
        )
        .env("SOPS_AGE_KEY_FILE", bed.path("keys.txt"))
        .env("SOPS_AGE_SSH_PRIVATE_KEY_FILE", bed.path("ssh"))
        .run();
    ran.expect(0);
    assert_eq!(bed.read("runs").lines().count(), 1);
    assert!(
        bed.read("runs").starts_with("age1"),
        "the command learns a recipient"
    );
    let trace = bed.read("trace");
    for name in ["keys.txt\"", "/ssh\""] {
        assert_eq!(
            trace.lines().filter(|line| line.contains(name)).count(),
            1,
            "{name}\n{trace}"
        );
    }
}

#[test]
fn recipients_rules_and_editor_come_from_their_variables() {
    let places = Places::new();
    let bed = &places.bed;
    let own = &bed.recipient;
    let sealed = bed
        .ops(&["encrypt", "p.yaml"])
        .env("SOPS_AGE_RECIPIENTS", own)
        .run()
        .expect(0)
        .out();
    assert!(sealed.contains(&format!("recipient: {own}")));
    bed.write(
        "rules.yaml",
        format!("creation_rules: [{{age: {own}, encrypted_regex: ^a$}}]\n"),
    );
    let sealed = bed
        .ops(&["encrypt", "p.yaml"])
        .env("SOPS_CONFIG", bed.path("rules.yaml"))
        .run()
        .expect(0)
        .out();
    assert!(sealed.contains("encrypted_regex: ^a$"));
    bed.ops(&["encrypt", "p.yaml"])
        .env("SOPS_AGE_RECIPIENTS", own)
        .env("SOPS_PGP_FP", "ABC")
        .run()
        .expect(78)
        .complains("SOPS_PGP_FP");
    bed.write("by-sops", "sed -i s/x/sops/ \"$1\"\n");
    bed.write("by-editor", "sed -i s/x/editor/ \"$1\"\n");
    for (variables, text) in [
        (&["EDITOR"][..], "editor"),
        (&["SOPS_EDITOR", "EDITOR"], "sops"),
    ] {
        bed.write("edited.yaml", bed.read("e.yaml"));
        let edit = variables
            .iter()
            .fold(bed.ops(&["edit", "edited.yaml"]), |tool, variable| {
                let script = if *variable == "EDITOR" {
                    "by-editor"
                } else {
                    "by-sops"
                };
                tool.env(variable, format!("sh '{}'", bed.path(script).display()))
            });
        edit.run().expect(0);
        assert_eq!(
            bed.ops(&["decrypt", "edited.yaml"]).run().expect(0).out(),
            format!("a: {text}\n")
        );
    }
}
