//! `install` on a running machine: owners, links, units, credentials, users who are not there yet, and a user's own secrets.

use ops_tests::{Kind, Lab, LabHost};
use serde_json::{Value, json};

use crate::bed::Bed;

/// A machine with a key of its own, and a sops file that is encrypted to it.
struct Machine {
    host: LabHost,
    bed: Bed,
}

impl Machine {
    fn new(lab: Lab, name: &str) -> Self {
        let host = lab.host(name, Kind::Plain);
        host.install_tools();
        let bed = Bed::new();
        bed.write(
            "s.yaml",
            bed.encrypt("p.yaml", "plain: text\nother: more\n"),
        );
        host.sh("install -d -m 755 /var/lib/sops").expect(0);
        host.write("/var/lib/sops/keys.txt", bed.read("keys.txt"));
        host.write("/var/lib/sops/s.yaml", bed.read("s.yaml"));
        Self { host, bed }
    }

    fn manifest(&self, name: &str, manifest: &Value) {
        self.host
            .write(&format!("/var/lib/sops/{name}"), manifest.to_string());
    }

    fn install(&self, script: &str) -> ops_tests::Ran {
        self.host.sh(&format!("cd /var/lib/sops; {script}"))
    }

    /// Gives the sops file another value.
    fn set(&self, key: &str, value: &str) {
        let path = format!("[\"{key}\"]");
        self.bed
            .ops(&["set", "s.yaml", &path, &format!("\"{value}\"")])
            .run()
            .expect(0);
        self.host
            .write("/var/lib/sops/s.yaml", self.bed.read("s.yaml"));
    }
}

fn manifest(secrets: &[Value]) -> Value {
    json!({
        "secrets": secrets, "templates": [], "placeholderBySecretName": {},
        "secretsMountPoint": "/run/secrets.d", "symlinkPath": "/run/secrets", "keepGenerations": 1,
        "ageSshKeyPaths": [], "ageKeyFile": "/var/lib/sops/keys.txt", "gnupgHome": "", "sshKeyPaths": [],
        "useTmpfs": true, "userMode": false, "logging": {"keyImport": true, "secretChanges": true},
    })
}

fn secret(name: &str, owner: &str) -> Value {
    json!({"name": name, "key": "plain", "path": format!("/run/secrets/{name}"), "owner": owner, "uid": 0, "group": owner, "gid": 0,
        "sopsFile": "/var/lib/sops/s.yaml", "format": "yaml", "mode": "0440", "restartUnits": [], "reloadUnits": []})
}

#[test]
fn owners_links_and_units_are_those_of_the_manifest() {
    let Some(lab) = Lab::get() else {
        return ops_tests::skip("lab");
    };
    let machine = Machine::new(lab, "secrets-2");
    machine.host.sh("cat > /etc/systemd/system/reader.service <<'X'\n[Service]\nExecStart=/bin/sleep infinity\nX\nsystemctl daemon-reload; systemctl start reader; mkdir -p /run/secrets/stale; touch /run/secrets/stale/file").expect(0);
    let mut linked = secret("app/token", "op");
    linked["path"] = json!("/etc/app/token");
    linked["restartUnits"] = json!(["reader.service"]);
    machine.manifest(
        "m.json",
        &manifest(&[linked, secret("gone", "no-such-user")]),
    );

    // The folder that stood in the place of the link is replaced; one owner that is not there takes nothing else down.
    let ran = machine.install("ops-secrets install m.json; echo $?; stat -c '%U:%G %a %n' /run/secrets/app/token; stat -c '%U:%G %N' /etc/app/token; stat -c '%a %G' /run/secrets/app /run/secrets/; stat -f -c %T /run/secrets/; ls /run/secrets");
    let ran = ran
        .expect(0)
        .complains("secret 'gone': there is no user 'no-such-user'");
    let group = machine
        .host
        .sh("getent group keys nogroup | head -1 | cut -d: -f1")
        .out();
    let group = group.trim();
    assert_eq!(
        ran.out(),
        format!(
            "adding secrets: app/token, gone\nremoving secret: stale/file\n65\nop:op 440 /run/secrets/app/token\nop:op '/etc/app/token' -> '/run/secrets/app/token'\n751 {group}\n751 {group}\ntmpfs\napp\n"
        ),
        "{ran}"
    );

    // A change restarts the unit that is running, through systemctl, and a dry activation only says so.
    machine.set("plain", "new");
    let dry = machine.install("export NIXOS_ACTION=dry-activate SOPS_RESTART_UNITS_VIA_SYSTEMCTL=1; ops-secrets install -v m.json; cat /run/secrets/app/token");
    let dry = dry.expect(0).complains("would restart reader.service");
    assert!(
        dry.out().contains("would modify secret: app/token\n") && dry.out().ends_with("text"),
        "{dry}"
    );
    let ran = machine.install("before=$(systemctl show -P InvocationID reader); SOPS_RESTART_UNITS_VIA_SYSTEMCTL=1 ops-secrets install m.json; systemctl is-active --wait reader; for i in $(seq 100); do test \"$before\" != \"$(systemctl show -P InvocationID reader)\" && echo restarted && break; done; cat /run/secrets/app/token; ls /run/nixos 2>&1");
    assert!(ran.out().contains("modifying secret: app/token\n"), "{ran}");
    assert!(ran.out().contains("restarted\nnew"), "{ran}");
}

#[test]
fn secrets_for_users_need_no_users() {
    let Some(lab) = Lab::get() else {
        return ops_tests::skip("lab");
    };
    let machine = Machine::new(lab, "secrets-3");
    let mut early = manifest(&[secret("password", "no-such-user")]);
    early["secretsMountPoint"] = json!("/run/secrets-for-users.d");
    early["symlinkPath"] = json!("/run/secrets-for-users");
    early["useTmpfs"] = json!(false);
    early["secrets"][0]["path"] = json!("/run/secrets-for-users/password");
    machine.manifest("users.json", &early);
    let ran = machine.install("ops-secrets install --ignore-passwd users.json; stat -c '%u:%g %a' /run/secrets-for-users/password; stat -f -c %T /run/secrets-for-users/");
    assert_eq!(ran.expect(0).out(), "0:0 440\nramfs\n");
}

#[test]
fn systemd_hands_installed_credentials_to_a_service() {
    let Some(lab) = Lab::get() else {
        return ops_tests::skip("lab");
    };
    let machine = Machine::new(lab, "secrets-3");
    machine.manifest("m.json", &manifest(&[secret("db/password", "root")]));
    let ran = machine.install("install -d -m 700 /run/credstore && ops-secrets install --credentials /run/credstore m.json && systemd-run -q --wait --pipe -p DynamicUser=yes -p LoadCredential=db-password sh -c 'cat \"$CREDENTIALS_DIRECTORY/db-password\"'");
    assert_eq!(ran.expect(0).out(), "text");
}

#[test]
fn a_user_installs_secrets_of_their_own() {
    let Some(lab) = Lab::get() else {
        return ops_tests::skip("lab");
    };
    let machine = Machine::new(lab, "secrets-3");
    let mut own = manifest(&[secret("token", "nobody")]);
    own["secretsMountPoint"] = json!("%r/secrets.d");
    own["symlinkPath"] = json!("%r/100%%/secrets");
    own["secrets"][0]["path"] = json!("%r/link");
    own["secrets"][0]["restartUnits"] = json!(["reader.service"]);
    own["userMode"] = json!(true);
    own["ageKeyFile"] = json!("/var/lib/sops/keys.txt");
    machine.manifest("user.json", &own);
    let ran = machine.install("chmod 644 keys.txt; install -d -o op -m 700 /run/of-op; runuser -u op -- env XDG_RUNTIME_DIR=/run/of-op sh -c 'ops-secrets install user.json && ops-secrets install user.json; cat $XDG_RUNTIME_DIR/link; stat -c \"%U %a\" $XDG_RUNTIME_DIR/100%/secrets/token; stat -c %a $XDG_RUNTIME_DIR/secrets.d; ls $XDG_RUNTIME_DIR/secrets.d'; chmod 600 keys.txt");
    assert_eq!(ran.expect(0).out(), "textop 440\n700\n2\n");
    machine
        .install("runuser -u op -- env -u XDG_RUNTIME_DIR ops-secrets install user.json")
        .expect(65)
        .complains("XDG_RUNTIME_DIR");
}
