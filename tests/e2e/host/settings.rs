//! ssh's settings: those that are followed, each seen from the other side, and those that are refused by name.

use std::fs;

use ops_common::{
    exit::{Failure, Status},
    host::{Command, Error, Host},
};
use ops_tests::{Alias, Kind, LabHost, Options as Machine, command, tool};

use crate::{connect, lab, options};

/// Settings that reach a machine of the lab under another name.
fn reach(machine: &LabHost, more: &str) -> String {
    format!(
        "    HostName {}\n    HostKeyAlias {}\n    User root\n{more}",
        machine.v4(),
        machine.name()
    )
}

fn say(host: &Host, text: &str) -> String {
    let said = host.output(&Command::script(text, &[""; 0])).unwrap();
    String::from_utf8(said).unwrap().trim().to_owned()
}

#[test]
fn user_port_and_family() {
    let Some(lab) = lab() else { return };
    let machine = lab.host(
        "settings-1",
        Machine::from(Kind::Plain)
            .ports(&[22, 2222])
            .alias("both.example"),
    );
    assert_eq!(say(&connect("settings-1"), "hostname"), "settings-1");
    let user = Alias::new(
        "settings-1-op",
        &format!(
            "    HostName {}\n    HostKeyAlias settings-1\n    User op",
            machine.v4()
        ),
    );
    assert_eq!(say(&connect(user.name()), "id -un"), "op");
    let port = Alias::new("settings-1-port", &reach(&machine, "    Port 2222"));
    assert!(say(&connect(port.name()), "echo $SSH_CONNECTION").ends_with(" 2222"));
    for (family, address) in [("inet", machine.v4()), ("inet6", machine.v6())] {
        let settings = format!(
            "    HostName both.example\n    HostKeyAlias settings-1\n    User root\n    AddressFamily {family}"
        );
        let alias = Alias::new(&format!("settings-1-{family}"), &settings);
        let connection = say(&connect(alias.name()), "echo $SSH_CONNECTION");
        assert!(
            connection.contains(&format!(" {address} 22")),
            "{connection}"
        );
    }
    // What ops.yaml has in `ssh:` goes before, and may be an alias of ssh as well.
    let given = Host::connect(
        "box",
        Some(&format!("op@{}:2222", machine.v4())),
        &options(),
    )
    .unwrap();
    assert_eq!(
        (given.name(), say(&given, "id -un").as_str()),
        ("box", "op")
    );
}

#[test]
fn proxies() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("settings-2", Kind::Plain);
    let jump = lab.host("settings-3", Kind::Plain);
    let through = Alias::new(
        "settings-2-jump",
        &reach(&machine, "    ProxyJump settings-3"),
    );
    let host = connect(through.name());
    let connection = say(&host, "echo $SSH_CONNECTION");
    assert!(
        connection.starts_with(&format!("{} ", jump.v4())),
        "{connection}"
    );
    let mut got = Vec::new();
    let zeros = Command::new("head").args(["-c", "5000000", "/dev/zero"]);
    assert!(host.stream(&zeros, &mut got).unwrap().success());
    assert_eq!(got.len(), 5_000_000);
    let twice = Alias::new(
        "settings-2-twice",
        &reach(&machine, "    ProxyJump op@settings-3:22,settings-3"),
    );
    assert_eq!(say(&connect(twice.name()), "hostname"), "settings-2");
    let command = Alias::new(
        "settings-2-command",
        &reach(&machine, "    ProxyCommand ssh -W %h:%p op@settings-3"),
    );
    assert_eq!(say(&connect(command.name()), "hostname"), "settings-2");
    let broken = Alias::new(
        "settings-2-broken",
        &reach(&machine, "    ProxyCommand sh -c 'echo no way >&2; exit 1'"),
    );
    let error = Host::connect(broken.name(), None, &options()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot connect to 'settings-2-broken': no way"
    );
    assert_eq!(error.status(), Status::Unavailable);
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "a table, and one scene for all of it"
)]
fn keys_of_files_and_of_the_agent() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("settings-4", Kind::Plain);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    for (name, kind, passphrase) in [
        ("ed", "ed25519", ""),
        ("ec", "ecdsa", ""),
        ("rsa", "rsa", ""),
        ("locked", "ed25519", "made up"),
    ] {
        command("ssh-keygen")
            .args(["-q", "-t", kind, "-N", passphrase, "-f", &path(name)])
            .run()
            .expect(0);
    }
    let accept = |name: &str| {
        let public = fs::read(path(&format!("{name}.pub"))).unwrap();
        machine.write("/root/.ssh/authorized_keys", public);
    };
    let alias = |name: &str, more: &str| {
        let only = "    IdentitiesOnly yes\n    IdentityAgent none";
        Alias::new(
            &format!("settings-4-{name}"),
            &reach(&machine, &format!("{more}\n{only}")),
        )
    };
    for name in ["ed", "ec", "rsa"] {
        accept(name);
        let alias = alias(name, &format!("    IdentityFile {}", path(name)));
        assert_eq!(
            say(&connect(alias.name()), "hostname"),
            "settings-4",
            "{name}"
        );
    }
    // None that is accepted: the message names what was tried.
    let wrong = alias("wrong", &format!("    IdentityFile {}", path("ed")));
    let error = Host::connect(wrong.name(), None, &options()).unwrap_err();
    let expected = format!(
        "cannot log in to 'settings-4-wrong' as 'root': '{}' was refused",
        path("ed")
    );
    assert!(error.to_string().starts_with(&expected), "{error}");
    assert_eq!(error.status(), Status::NotAllowed);

    let socket = path("agent");
    let agent = command("ssh-agent").args(["-D", "-a", &socket]).spawn();
    agent.wait_for("SSH_AUTH_SOCK");
    command("ssh-add")
        .arg(path("ed"))
        .env("SSH_AUTH_SOCK", &socket)
        .run()
        .expect(0);
    accept("ed");
    let any = Alias::new(
        "settings-4-agent",
        &reach(
            &machine,
            &format!("    IdentityAgent {socket}\n    IdentitiesOnly no\n    IdentityFile none"),
        ),
    );
    assert_eq!(say(&connect(any.name()), "hostname"), "settings-4");
    // The agent's key is not among those that are named, and so it is not offered.
    let only = Alias::new(
        "settings-4-only",
        &reach(
            &machine,
            &format!(
                "    IdentityAgent {socket}\n    IdentitiesOnly yes\n    IdentityFile {}",
                path("ec")
            ),
        ),
    );
    let error = Host::connect(only.name(), None, &options()).unwrap_err();
    assert!(
        matches!(error, Error::Login { .. }) && !error.to_string().contains("agent"),
        "{error}"
    );
}

/// Seen on a real tool, since only a process with a terminal of its own can be asked something there.
#[test]
fn a_passphrase_is_asked_for_on_the_terminal_and_nowhere_else() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("settings-6", Kind::Postgres);
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("locked").display().to_string();
    command("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "made up", "-f", &key])
        .run()
        .expect(0);
    machine.write(
        "/root/.ssh/authorized_keys",
        fs::read(format!("{key}.pub")).unwrap(),
    );
    let only = format!("    IdentityFile {key}\n    IdentitiesOnly yes\n    IdentityAgent none");
    let alias = Alias::new("settings-6-locked", &reach(&machine, &only));
    let list = || tool("ops-db").args(["list", "--host", alias.name()]);

    let mut asked = list().terminal(100, 30).spawn();
    asked.wait_for("passphrase for");
    asked.type_in("made up\n");
    let ran = asked.finish().expect(0);
    assert!(ran.out().contains("mautrix_slack"), "{ran}");
    assert!(!ran.out().contains("made up"), "{ran}");

    // In a session of its own it has no terminal, whatever the test has.
    let ran = list()
        .through(r#"exec setsid --wait "$@""#)
        .run()
        .expect(77);
    let reason = format!("'{key}' has a passphrase, and there is no terminal to ask on");
    assert!(ran.err().contains(&reason), "{ran}");
    assert!(ran.out().is_empty(), "{ran}");
}

#[test]
fn what_cannot_be_honoured_is_refused_by_name() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("settings-5", Kind::Plain);
    for (setting, value) in [
        ("KnownHostsCommand", "/bin/true"),
        ("PKCS11Provider", "/lib/none.so"),
        ("SecurityKeyProvider", "/lib/none.so"),
        ("CertificateFile", "/root/.ssh/id-cert.pub"),
        ("BindAddress", "127.0.0.1"),
        ("RevokedHostKeys", "/etc/ssh/revoked"),
        ("PubkeyAuthentication", "no"),
        ("PreferredAuthentications", "password"),
        ("IdentityAgent", "$NOT_SSH_AUTH_SOCK"),
        ("ProxyCommand", "nc %h %p %Z"),
    ] {
        let alias = Alias::new(
            "settings-5-odd",
            &reach(&machine, &format!("    {setting} {value}")),
        );
        let error = Host::connect(alias.name(), None, &options()).expect_err(setting);
        assert_eq!(error.status(), Status::BadConfig, "{setting}: {error}");
        assert!(
            error.to_string().contains(&setting.to_lowercase()),
            "{setting}: {error}"
        );
    }
}
