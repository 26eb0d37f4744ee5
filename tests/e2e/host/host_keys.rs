//! Whom the transport trusts: `known_hosts` files of all kinds against a real sshd with an Ed25519 and an ECDSA key.

use std::{fs, path::Path};

use ops_common::{
    exit::{Failure, Status},
    host::{Command, Error, Host, HostKeyProblem},
};
use ops_tests::{Alias, Kind, LabHost, Options as Machine, command};

use crate::{lab, options};

/// The public key of a machine, as it stands in a `known_hosts` file.
pub(crate) fn key(machine: &LabHost, kind: &str) -> String {
    let line =
        String::from_utf8(machine.read(&format!("/etc/ssh/ssh_host_{kind}_key.pub"))).unwrap();
    line.split_whitespace()
        .take(2)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Some other key of a type.
pub(crate) fn stranger(folder: &Path, kind: &str) -> String {
    let path = folder.join(format!("stranger-{kind}"));
    command("ssh-keygen")
        .args(["-q", "-t", kind, "-N", "", "-f"])
        .arg(&path)
        .run()
        .expect(0);
    let line = fs::read_to_string(path.with_extension("pub")).unwrap();
    line.split_whitespace()
        .take(2)
        .collect::<Vec<_>>()
        .join(" ")
}

/// A `known_hosts` line with its name hashed by ssh-keygen itself.
pub(crate) fn hashed(folder: &Path, line: &str) -> String {
    let path = folder.join("hash-me");
    fs::write(&path, format!("{line}\n")).unwrap();
    command("ssh-keygen")
        .args(["-H", "-f"])
        .arg(&path)
        .run()
        .expect(0);
    fs::read_to_string(path).unwrap()
}

/// Logs in with just this on file.
fn attempt(settings: &str, folder: &Path, known_hosts: &str) -> Result<Vec<u8>, Error> {
    let file = folder.join("known_hosts");
    fs::write(&file, known_hosts).unwrap();
    let name = folder.file_name().unwrap().to_str().unwrap();
    let files = format!(
        "    UserKnownHostsFile {}\n    GlobalKnownHostsFile none",
        file.display()
    );
    let alias = Alias::new(name, &format!("{settings}\n{files}"));
    Host::connect(alias.name(), None, &options())?.output(&Command::new("hostname"))
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "a table, and one scene for all of it"
)]
fn what_is_on_file_decides() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("keys-1", Machine::from(Kind::Plain).ports(&[22, 2222]));
    let folder = tempfile::Builder::new()
        .prefix("keys-1-")
        .tempdir()
        .unwrap();
    let folder = folder.path();
    let (ed25519, ecdsa) = (key(&machine, "ed25519"), key(&machine, "ecdsa"));
    let (other, other_rsa) = (stranger(folder, "ed25519"), stranger(folder, "rsa"));
    let v4 = machine.v4();
    let plain = format!("    HostName {v4}\n    User root");
    let aliased = format!("{plain}\n    HostKeyAlias Keys-One");
    let port = format!("{plain}\n    Port 2222");
    let good = [
        ("by address", &plain, format!("{v4} {ed25519}")),
        ("by alias", &aliased, format!("keys-one {ed25519} comment")),
        (
            "hashed",
            &aliased,
            hashed(folder, &format!("keys-one {ed25519}")),
        ),
        (
            "by pattern",
            &aliased,
            format!("keys-*,!keys-two {ed25519}"),
        ),
        (
            "several keys, the right one last",
            &aliased,
            format!("keys-one {other}\nkeys-one {ed25519}"),
        ),
        (
            "only by another key type",
            &aliased,
            format!("keys-one {ecdsa}"),
        ),
        (
            "another type on file that it has not",
            &aliased,
            format!("keys-one {other_rsa}\nkeys-one {ed25519}"),
        ),
        ("port", &port, format!("[{v4}]:2222 {ed25519}")),
        (
            "port, hashed",
            &port,
            hashed(folder, &format!("[{v4}]:2222 {ed25519}")),
        ),
        ("port, known without", &port, format!("{v4} {ed25519}")),
        (
            "comments and nonsense around",
            &plain,
            format!("# x\n\nnonsense\n@odd {v4} {other}\n{v4} {ed25519}\n"),
        ),
        (
            "another host's key is revoked",
            &plain,
            format!("@revoked {v4} {other}\n{v4} {ed25519}"),
        ),
    ];
    for (case, settings, known_hosts) in good {
        let answer = attempt(settings, folder, &known_hosts)
            .unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(answer, b"keys-1\n", "{case}");
    }
    let bad = [
        ("unknown", &plain, String::new(), "not known"),
        (
            "excluded by a pattern",
            &aliased,
            format!("*,!keys-one {ed25519}"),
            "not known",
        ),
        (
            "known on another port",
            &plain,
            format!("[{v4}]:2222 {ed25519}"),
            "not known",
        ),
        (
            "changed",
            &aliased,
            format!("keys-one {other}"),
            "has changed",
        ),
        (
            "changed, with another type right",
            &aliased,
            format!("keys-one {other}\nkeys-one {ecdsa}"),
            "has changed",
        ),
        (
            "revoked",
            &aliased,
            format!("@revoked keys-one {ed25519}"),
            "is revoked",
        ),
        (
            "revoked, and listed before",
            &aliased,
            format!("keys-one {ed25519}\n@revoked * {ed25519}"),
            "is revoked",
        ),
        (
            "revoked, and listed after",
            &aliased,
            format!("@revoked keys-one {ed25519}\nkeys-one {ed25519}"),
            "is revoked",
        ),
    ];
    for (case, settings, known_hosts, text) in bad {
        let error = attempt(settings, folder, &known_hosts).expect_err(case);
        assert!(matches!(error, Error::HostKey { .. }), "{case}: {error}");
        assert_eq!(error.status(), Status::NotAllowed, "{case}");
        assert!(error.to_string().contains(text), "{case}: {error}");
        assert!(error.hint().is_some(), "{case}");
    }
    let authority =
        attempt(&aliased, folder, &format!("@cert-authority keys-* {other}")).unwrap_err();
    assert_eq!(authority.status(), Status::BadConfig, "{authority}");
}

/// The advice is taken literally, and then the host is known.
#[test]
fn the_fingerprint_is_ssh_keygens_and_the_hint_works() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("keys-2", Machine::from(Kind::Plain).ports(&[2222]));
    let folder = tempfile::Builder::new()
        .prefix("keys-2-")
        .tempdir()
        .unwrap();
    let folder = folder.path();
    let settings = format!(
        "    HostName {}\n    Port 2222\n    User root",
        machine.v4()
    );
    let error = attempt(&settings, folder, "").unwrap_err();
    let Error::HostKey { problem, .. } = &error else {
        panic!("{error}")
    };
    let HostKeyProblem::Unknown { fingerprint, .. } = &**problem else {
        panic!("{error}")
    };
    let shown = machine
        .sh("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub")
        .expect(0)
        .out();
    assert!(
        shown.contains(fingerprint.as_str()),
        "{shown} {fingerprint}"
    );
    let hint = error.hint().unwrap();
    let scan = hint.strip_prefix("if the fingerprint is right: ").unwrap();
    let known = folder.join("scanned");
    let scan = scan.replace("~/.ssh/known_hosts", known.to_str().unwrap());
    command("sh").args(["-c", &scan]).run().expect(0);
    let scanned = fs::read_to_string(&known).unwrap();
    assert_eq!(attempt(&settings, folder, &scanned).unwrap(), b"keys-2\n");
}
