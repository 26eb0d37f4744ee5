//! Key files and what lies beside them.

use std::fs;

use ops_common::exit::{Failure, Status};
use ops_tests::{Alias, Kind, command};

use super::{folder, keygen, reach, ssh_reaches};
use crate::{host_keys::key, lab, options};

/// A key that the host accepts only because an authority says so; the file with its certificate lies beside it.
#[test]
#[expect(
    clippy::too_many_lines,
    reason = "a table, and one scene for all of it"
)]
fn a_certificate_beside_the_key_is_shown() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("as-ssh-4", Kind::Plain);
    let folder = folder("as-ssh-4-");
    let folder = folder.path();
    let authority = folder.join("authority");
    keygen(&authority, &["-t", "ed25519"]);
    machine.write(
        "/etc/ssh/authority.pub",
        fs::read(authority.with_extension("pub")).unwrap(),
    );
    machine
        .sh(": > /root/.ssh/authorized_keys; echo TrustedUserCAKeys /etc/ssh/authority.pub > /etc/ssh/sshd_config.d/50-ca.conf; systemctl restart ssh")
        .expect(0);
    for (name, kind) in [
        ("ed", &["-t", "ed25519"][..]),
        ("ec", &["-t", "ecdsa"]),
        ("rsa", &["-t", "rsa"]),
        ("pem", &["-t", "rsa", "-m", "PEM"]),
    ] {
        let path = folder.join(name);
        keygen(&path, kind);
        let settings = format!(
            "    HostName {}\n    HostKeyAlias as-ssh-4\n    User root\n    IdentityAgent none\n    IdentitiesOnly yes\n    IdentityFile {}",
            machine.v4(),
            path.display()
        );
        let alias = Alias::new(&format!("as-ssh-4-{name}"), &settings);
        let error = reach(alias.name(), &options()).unwrap_err();
        assert_eq!(error.status(), Status::NotAllowed, "{name}: {error}");
        let sign = |principal: &str| {
            command("ssh-keygen")
                .args(["-q", "-I", "someone", "-n", principal, "-s"])
                .arg(&authority)
                .arg(path.with_extension("pub"))
                .run()
                .expect(0);
        };
        sign("root");
        assert_eq!(
            reach(alias.name(), &options()).unwrap(),
            "as-ssh-4",
            "{name}"
        );
        assert!(ssh_reaches(alias.name()), "{name}");
        sign("nobody");
        let error = reach(alias.name(), &options()).unwrap_err();
        assert!(
            error.to_string().contains("-cert.pub' was refused"),
            "{error}"
        );
        assert!(!ssh_reaches(alias.name()), "{name}");
    }
}

#[test]
fn files_are_found_as_ssh_finds_them() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("as-ssh-5", Kind::Plain);
    let folder = folder("as-ssh-5 with space-");
    let folder = folder.path();
    let place = folder.display();
    let base = format!(
        "    HostName {}\n    HostKeyAlias as-ssh-5\n    User root",
        machine.v4()
    );
    keygen(&folder.join("key"), &["-t", "ed25519"]);
    machine.write(
        "/root/.ssh/authorized_keys",
        fs::read(folder.join("key.pub")).unwrap(),
    );
    let known = format!("as-ssh-5 {}\n", key(&machine, "ed25519"));
    for file in ["known %h", "known_here"] {
        fs::write(folder.join(file.replace("%h", &machine.v4())), &known).unwrap();
    }
    for (user, id) in [
        ("%h", machine.v4()),
        ("%n-%k-%r-%p", "as-ssh-5-x-as-ssh-5-root-22".into()),
        ("%%", "%".into()),
    ] {
        fs::copy(folder.join("key"), folder.join(format!("id {id}"))).unwrap();
        for hosts in [
            format!("\"{place}/known %h\""),
            format!("/no/such/file \"{place}/known_here\""),
        ] {
            let settings = format!(
                "{base}\n    IdentityFile \"{place}/id {user}\"\n    IdentityAgent none\n    IdentitiesOnly yes\n    UserKnownHostsFile {hosts}\n    GlobalKnownHostsFile /etc/%h"
            );
            let alias = Alias::new("as-ssh-5-x", &settings);
            assert!(ssh_reaches(alias.name()), "{user} {hosts}");
            assert_eq!(
                reach(alias.name(), &options()).unwrap(),
                "as-ssh-5",
                "{user} {hosts}"
            );
        }
        fs::remove_file(folder.join(format!("id {id}"))).unwrap();
    }
}
