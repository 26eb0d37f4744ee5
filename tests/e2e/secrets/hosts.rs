//! A live host's key, over ssh.

use ops_tests::{Kind, Lab, tool};
use serde_json::json;

use crate::bed::Bed;

#[test]
fn a_live_host_says_its_recipient_and_is_checked_against_a_manifest() {
    let Some(lab) = Lab::get() else {
        return ops_tests::skip("lab");
    };
    let host = lab.host("secrets-1", Kind::Plain);
    let bed = Bed::new();
    bed.write("host.pub", host.read("/etc/ssh/ssh_host_ed25519_key.pub"));
    let mut recipients = Vec::new();
    for form in [&[][..], &["--ssh"]] {
        let of = |from: &[&str]| {
            let ran = tool("ops-secrets").arg("recipient").args(form).args(from);
            ran.dir(bed.path(".")).run().expect(0).tsv()[0].clone()
        };
        let (live, file) = (of(&["--host", "secrets-1"]), of(&["host.pub"]));
        assert_eq!(live[..2], file[..2]);
        assert_eq!(live[2], "secrets-1");
        recipients.push(live[0].clone());
    }

    bed.write("p.yaml", "a: x\n");
    let secret = |file: &str| {
        json!({"name": file, "key": "a", "sopsFile": bed.path(file), "format": "yaml", "mode": "0400",
            "owner": "root", "group": "root", "restartUnits": [], "reloadUnits": []})
    };
    let check = |recipient: &str| {
        bed.ops(&["encrypt", "--age", recipient, "-o", "e.yaml", "p.yaml"])
            .run()
            .expect(0);
        let manifest = json!({
            "secrets": [secret("e.yaml")], "templates": [], "placeholderBySecretName": {},
            "secretsMountPoint": "/run/secrets.d", "symlinkPath": "/run/secrets", "keepGenerations": 1,
            "ageSshKeyPaths": [], "ageKeyFile": null, "gnupgHome": "", "sshKeyPaths": [], "useTmpfs": false,
            "userMode": false, "logging": {"keyImport": true, "secretChanges": true},
        });
        let manifest = bed.write("manifest.json", manifest.to_string());
        tool("ops-secrets")
            .args(["--json", "install", "--check-host", "secrets-1"])
            .arg(manifest)
            .run()
    };
    for recipient in &recipients {
        let ran = check(recipient).expect(0).json();
        assert_eq!(ran[0]["check"], "secrets.host", "{ran:?}");
        assert_eq!(ran[0]["host"], "secrets-1");
    }
    // The private half on the host opens the file: the check says what is true.
    assert!(
        bed.read("e.yaml")
            .contains(recipients[1].split_whitespace().nth(1).expect("a key"))
    );
    host.install_tools();
    host.write("/root/e.yaml", bed.read("e.yaml"));
    let ran = host
        .tool("env")
        .arg("SOPS_AGE_SSH_PRIVATE_KEY_FILE=/etc/ssh/ssh_host_ed25519_key")
        .args(["ops-secrets", "decrypt", "/root/e.yaml"])
        .run();
    assert_eq!(ran.expect(0).out(), "a: x\n");

    let ran = check(&bed.recipient).expect(1);
    assert_eq!(ran.json()[0]["status"], "fail", "{ran}");
    assert!(
        ran.json()[0]["message"]
            .to_string()
            .contains("no recipient"),
        "{ran}"
    );
}
