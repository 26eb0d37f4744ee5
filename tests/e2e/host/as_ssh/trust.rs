//! `known_hosts` files.

use std::fs;

use ops_common::{
    exit::{Failure, Status},
    host::Error,
};
use ops_tests::{Alias, Kind, Options as Machine};

use super::{folder, reach, ssh_reaches};
use crate::{
    host_keys::{hashed, key, stranger},
    lab, options,
};

/// Every pair of these lines, for a name with a port and for one without: the port is where the rules are hard to guess.
#[test]
#[expect(
    clippy::too_many_lines,
    reason = "a table, and one scene for all of it"
)]
fn whom_ssh_trusts_is_trusted() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("as-ssh-1", Machine::from(Kind::Plain).ports(&[22, 2222]));
    let folder = folder("as-ssh-1-");
    let folder = folder.path();
    let (own, other) = (key(&machine, "ed25519"), stranger(folder, "ed25519"));
    let (ecdsa, rsa) = (key(&machine, "ecdsa"), stranger(folder, "rsa"));
    let v4 = machine.v4();
    let lines = [
        String::new(),
        format!("{v4} {own}"),
        format!("{v4} {other}"),
        format!("{v4} {rsa}"),
        format!("[{v4}]:2222 {own}\r"),
        format!("[{v4}]:2222 {other}"),
        format!("[{v4}]:* {ecdsa}"),
        hashed(folder, &format!("[{v4}]:2222 {own}")),
        format!("*,!{v4} {own}"),
        format!("@revoked * {own}"),
        format!("@cert-authority * {other}"),
        format!("@revoked  @cert-authority * {own}"),
    ];
    let file = folder.join("known_hosts");
    let (mut accepted, mut stricter, mut tried) = (0, 0, 0);
    for port in [22, 2222] {
        let settings = format!(
            "    HostName {v4}\n    User root\n    Port {port}\n    UserKnownHostsFile {}\n    GlobalKnownHostsFile none\n",
            file.display()
        );
        let alias = Alias::new(&format!("as-ssh-1-{port}"), &settings);
        let fits = |line: &&String| port != 22 || !line.contains("]:");
        let lines: Vec<&String> = lines.iter().filter(fits).collect();
        for (index, one) in lines.iter().enumerate() {
            for two in &lines[index..] {
                let text = format!("{one}\n{two}\n");
                fs::write(&file, &text).unwrap();
                let ours = reach(alias.name(), &options());
                let theirs = ssh_reaches(alias.name());
                tried += 1;
                accepted += usize::from(theirs);
                match (&ours, theirs) {
                    (Ok(_), true) | (Err(_), false) => {}
                    // ssh looks for a key that is revoked only under the name with the port.
                    (Err(Error::HostKey { .. }), true) if text.contains("@revoked") => {
                        stricter += 1;
                    }
                    _ => panic!("port {port}: ssh {theirs}, we {ours:?}:\n{text}"),
                }
                if let Err(error) = ours {
                    let expected = [Status::NotAllowed, Status::BadConfig];
                    assert!(expected.contains(&error.status()), "{error}\n{text}");
                }
            }
        }
    }
    assert!(accepted > 20 && accepted < tried - 20, "{accepted}/{tried}");
    assert!(stricter < 10, "{stricter}");
}

#[test]
fn the_address_has_to_fit_too_where_that_is_wanted() {
    let Some(lab) = lab() else { return };
    let machine = lab.host(
        "as-ssh-2",
        Machine::from(Kind::Plain).alias("two.as-ssh.example"),
    );
    let folder = folder("as-ssh-2-");
    let folder = folder.path();
    let (own, other) = (key(&machine, "ed25519"), stranger(folder, "ed25519"));
    let v4 = machine.v4();
    let file = folder.join("known_hosts");
    for (check, address, fits) in [
        ("yes", format!("{v4} {own}"), true),
        ("yes", format!("{v4} {other}"), false),
        ("yes", String::new(), true),
        ("no", format!("{v4} {other}"), true),
    ] {
        fs::write(&file, format!("two.as-ssh.example {own}\n{address}\n")).unwrap();
        let settings = format!(
            "    HostName two.as-ssh.example\n    AddressFamily inet\n    User root\n    CheckHostIP {check}\n    UserKnownHostsFile {}",
            file.display()
        );
        let alias = Alias::new("as-ssh-2-ip", &settings);
        let ours = reach(alias.name(), &options());
        assert_eq!(ours.is_ok(), fits, "{check} {address}: {ours:?}");
        assert_eq!(ssh_reaches(alias.name()), fits, "{check} {address}");
    }
}
