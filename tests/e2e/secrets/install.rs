//! Secrets of a manifest on a machine: what sops-install-secrets does, and what it does not.

use serde_json::{Value, json};

use crate::bed::Bed;

struct Host {
    bed: Bed,
}

impl Host {
    /// A host with an SSH key, and a sops file that is encrypted to it.
    fn new() -> Self {
        let bed = Bed::new();
        let key = bed.path("ssh_host_ed25519_key");
        ops_tests::command("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&key)
            .run()
            .expect(0);
        let recipient = bed
            .ops(&["recipient", "ssh_host_ed25519_key.pub"])
            .run()
            .expect(0)
            .tsv()[0][0]
            .clone();
        bed.write(
            "p.yaml",
            "plain: text\nnested:\n  deep: inner\nnumber: 5432\nlist: [1, a]\n",
        );
        bed.ops(&["encrypt", "--age", &recipient, "-o", "s.yaml", "p.yaml"])
            .run()
            .expect(0);
        Self { bed }
    }

    fn secret(&self, name: &str, key: &str) -> Value {
        json!({"name": name, "key": key, "sopsFile": self.bed.path("s.yaml"), "format": "yaml", "mode": "0440",
            "uid": 0, "gid": 0, "restartUnits": [format!("{name}.service")], "reloadUnits": []})
    }

    fn manifest(&self, secrets: &[Value], templates: &[Value]) {
        let manifest = json!({
            "secrets": secrets, "templates": templates,
            "placeholderBySecretName": {"plain": "<SOPS:aa:PLACEHOLDER>", "number": "<SOPS:bb:PLACEHOLDER>", "gone": "<SOPS:cc:PLACEHOLDER>"},
            "secretsMountPoint": self.bed.path("run/secrets.d"), "symlinkPath": self.bed.path("run/secrets"),
            "keepGenerations": 1, "ageSshKeyPaths": [self.bed.path("ssh_host_ed25519_key")], "ageKeyFile": null,
            "gnupgHome": "", "sshKeyPaths": [], "useTmpfs": false, "userMode": false,
            "logging": {"keyImport": true, "secretChanges": true},
        });
        self.bed.write("manifest.json", manifest.to_string());
    }

    /// Runs a shell script in a mount namespace of its own, in which `install` is our program.
    fn run(&self, script: &str) -> ops_tests::Ran {
        let script = format!(
            "set -u; install() {{ '{}' install \"$@\" manifest.json; }}; mkdir -p nixos; mkdir -p /run/nixos; mount --bind nixos /run/nixos; {script}",
            ops_tests::bin_dir().join("ops-secrets").display()
        );
        ops_tests::command("unshare")
            .args(["--mount", "sh", "-c", &script])
            .dir(self.bed.path("."))
            .run()
    }
}

/// Whether the tests may mount.
fn is_root() -> bool {
    let root = ops_tests::command("id").arg("-u").run().out().trim() == "0";
    if !root {
        ops_tests::skip("root");
    }
    root
}

#[test]
fn a_generation_is_installed_and_swapped() {
    if !is_root() {
        return;
    }
    let host = Host::new();
    host.manifest(
        &[host.secret("plain", "plain"), host.secret("deep", "nested/deep"), host.secret("number", "number"), host.secret("list", "list"), host.secret("whole", "")],
        &[json!({"name": "app.conf", "content": "user=<SOPS:aa:PLACEHOLDER> port=<SOPS:bb:PLACEHOLDER>\n", "mode": "0400", "uid": 0, "gid": 0})],
    );
    let ran = host.run(
        "install || exit; cat run/secrets/plain; echo; cat run/secrets/deep run/secrets/number run/secrets/list; echo; cat run/secrets/rendered/app.conf; \
         stat -c %a run/secrets/plain; stat -f -c %T run/secrets.d; readlink run/secrets; ls nixos; \
         install; readlink run/secrets; ls run/secrets.d; ls nixos",
    );
    let out = ran.clone().expect(0).out();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[..2], ["text", "inner5432[1,\"a\"]"], "{ran}");
    assert_eq!(
        lines[2..5],
        ["user=text port=5432", "440", "ramfs"],
        "{ran}"
    );
    assert!(
        lines[5].ends_with("secrets.d/1") && lines[6].ends_with("secrets.d/2"),
        "{ran}"
    );
    assert_eq!(
        lines[7..],
        ["2"],
        "the old generation is gone, and nothing restarts\n{ran}"
    );
}

#[test]
fn what_changed_restarts_its_units_and_nothing_else() {
    if !is_root() {
        return;
    }
    let host = Host::new();
    host.manifest(
        &[
            host.secret("plain", "plain"),
            host.secret("number", "number"),
        ],
        &[],
    );
    let ops = ops_tests::bin_dir().join("ops-secrets");
    let set = format!(
        "SOPS_AGE_SSH_PRIVATE_KEY_FILE=ssh_host_ed25519_key '{}' set s.yaml '[\"number\"]' 1 || exit",
        ops.display()
    );
    let ran = host.run(&format!("install || exit; {set}; NIXOS_ACTION=dry-activate install; ls run/secrets.d; cat nixos/dry-activation-restart-list; install; cat nixos/activation-restart-list"));
    assert_eq!(
        ran.expect(0).out(),
        "would modify secret: number\n1\nnumber.service\nmodifying secret: number\nnumber.service\n"
    );
}

#[test]
fn one_bad_secret_does_not_take_the_others_down() {
    if !is_root() {
        return;
    }
    let host = Host::new();
    let mut damaged = host.secret("damaged", "plain");
    damaged["sopsFile"] = json!(host.bed.write(
        "damaged.yaml",
        host.bed.read("s.yaml").replacen("data:", "data:AAAA", 1)
    ));
    host.manifest(
        &[
            host.secret("plain", "plain"),
            host.secret("gone", "no/such/key"),
            damaged,
        ],
        &[json!({"name": "t", "content": "<SOPS:cc:PLACEHOLDER>", "mode": "0400"})],
    );
    let ran = host.run("install; echo $?; cat run/secrets/plain; ls run/secrets");
    let ran = ran
        .expect(0)
        .complains("secret 'gone'")
        .complains("secret 'damaged'")
        .complains("needs the secret 'gone'");
    assert_eq!(ran.out(), "65\ntextplain\n");
}

#[test]
fn checks_need_no_key() {
    let host = Host::new();
    host.manifest(&[host.secret("plain", "plain")], &[]);
    std::fs::remove_file(host.bed.path("ssh_host_ed25519_key")).expect("it is there");
    let check = |mode: &str| {
        host.bed
            .ops(&["install", "--check-mode", mode, "manifest.json"])
            .run()
    };
    check("sopsfile").expect(0);
    host.manifest(&[host.secret("gone", "no/such/key")], &[]);
    check("sopsfile").expect(65).complains("no/such/key");
    check("manifest").expect(0);
    host.manifest(&[host.secret("../escape", "plain")], &[]);
    check("manifest").expect(65).complains("leaves its folder");
}

#[test]
fn credentials_are_flat_files_of_mode_0400() {
    let host = Host::new();
    host.manifest(&[host.secret("db/password", "plain")], &[]);
    std::fs::create_dir(host.bed.path("cred")).expect("a folder");
    host.bed
        .ops(&["install", "--credentials", "cred", "manifest.json"])
        .run()
        .expect(0);
    let mode = ops_tests::command("stat")
        .args(["-c", "%a"])
        .arg(host.bed.path("cred/db-password"))
        .run()
        .expect(0)
        .out();
    assert_eq!(
        (host.bed.read("cred/db-password").as_str(), mode.trim()),
        ("text", "400")
    );
}
