//! What ssh's configuration says about the way to a host.

use std::fs;

use ops_common::{
    exit::{Failure, Status},
    host::{Command, Host},
};
use ops_tests::{Alias, Kind, LabHost, Options as Machine, command};

use super::{folder, reach, ssh_reaches};
use crate::{host_keys::key, lab, options};

/// Each is seen from the other side: the host takes only what the settings have, or only what they have not.
#[test]
#[expect(
    clippy::too_many_lines,
    reason = "a table, and one scene for all of it"
)]
fn algorithms_are_those_of_the_settings() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("as-ssh-3", Kind::Plain);
    machine
        .sh(
            "ssh-keygen -q -t rsa -b 2048 -N '' -f /etc/ssh/ssh_host_rsa_key
            cat > /etc/ssh/sshd_config.d/50-some.conf <<'.'
Ciphers aes256-ctr
MACs hmac-sha2-512-etm@openssh.com
KexAlgorithms ecdh-sha2-nistp384
HostKey /etc/ssh/ssh_host_rsa_key
HostKey /etc/ssh/ssh_host_ed25519_key
.
            systemctl restart ssh",
        )
        .expect(0);
    let folder = folder("as-ssh-3-");
    let file = folder.path().join("known_hosts");
    let known = ["rsa", "ed25519"].map(|kind| format!("as-ssh-3 {}\n", key(&machine, kind)));
    fs::write(&file, known.concat()).unwrap();
    let base = format!(
        "    HostName {}\n    HostKeyAlias as-ssh-3\n    User root\n    UserKnownHostsFile {}",
        machine.v4(),
        file.display()
    );
    for (settings, expected) in [
        ("", Ok(())),
        ("    Ciphers aes128-ctr,aes256-ctr", Ok(())),
        ("    Ciphers aes128-ctr", Err(Status::Unavailable)),
        ("    Ciphers 3des-cbc", Err(Status::BadConfig)),
        ("    MACs hmac-sha2-512-etm@openssh.com", Ok(())),
        ("    MACs hmac-sha2-256", Err(Status::Unavailable)),
        ("    KexAlgorithms ecdh-sha2-nistp384", Ok(())),
        (
            "    KexAlgorithms curve25519-sha256",
            Err(Status::Unavailable),
        ),
        ("    HostKeyAlgorithms rsa-sha2-*", Ok(())),
        (
            "    HostKeyAlgorithms ecdsa-sha2-nistp256",
            Err(Status::Unavailable),
        ),
        (
            "    HostKeyAlgorithms ssh-ed25519\n    RequiredRSASize 3072",
            Ok(()),
        ),
        (
            "    HostKeyAlgorithms rsa-sha2-512\n    RequiredRSASize 3072",
            Err(Status::NotAllowed),
        ),
        ("    PubkeyAcceptedAlgorithms ssh-ed25519", Ok(())),
        (
            "    PubkeyAcceptedAlgorithms rsa-sha2-512",
            Err(Status::NotAllowed),
        ),
    ] {
        let alias = Alias::new("as-ssh-3-some", &format!("{base}\n{settings}"));
        let ours = reach(alias.name(), &options());
        let status = ours.map(drop).map_err(|error| error.status());
        assert_eq!(status, expected, "{settings}");
        assert_eq!(ssh_reaches(alias.name()), expected.is_ok(), "{settings}");
    }
}

/// What ssh's configuration language can say is left to ssh.
#[test]
fn patterns_conditions_and_inclusions() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("as-ssh-8", Machine::from(Kind::Plain).ports(&[22, 2222]));
    let folder = folder("as-ssh-8-");
    for part in ["a.part", "b.part"] {
        fs::write(
            folder.path().join(part),
            format!("Port 2222\nHostName {}\n", machine.v4()),
        )
        .unwrap();
    }
    let settings = format!(
        "    Include {}/*.part\n\
         Host as-ssh-8-* !as-ssh-8-not\n    HostName {v4}\n    User root\n    HostKeyAlias as-ssh-8\n\
         Host as-ssh-8-not\n    HostName 192.0.2.1\n\
         Match originalhost as-ssh-8-exec exec \"test %h = {v4}\"\n    Port 2222\n\
         Match originalhost as-ssh-8-host host {v4} user root\n    Port 2222\n\
         Match final originalhost as-ssh-8-final\n    Port 2222\n\
         Host as-ssh-8-included\n    Include {}/*.part\n",
        folder.path().display(),
        folder.path().display(),
        v4 = machine.v4()
    );
    let alias = Alias::new("as-ssh-8-x", &settings);
    for (name, port) in [
        (alias.name(), "2222"),
        ("as-ssh-8-exec", "2222"),
        ("as-ssh-8-host", "2222"),
        ("as-ssh-8-final", "2222"),
        ("as-ssh-8-included", "2222"),
        ("as-ssh-8-plain", "22"),
    ] {
        let host =
            Host::connect(name, None, &options()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let said = host
            .output(&Command::script("echo $SSH_CONNECTION", &[""; 0]))
            .unwrap();
        let said = String::from_utf8(said).unwrap();
        assert_eq!(said.split_whitespace().last(), Some(port), "{name}");
    }
}

/// An address of the link has a zone, which is the name of our end of it.
#[test]
fn addresses_of_all_forms() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("as-ssh-9", Machine::from(Kind::Plain).ports(&[22, 2222]));
    let own = key(&machine, "ed25519");
    let folder = folder("as-ssh-9-");
    let file = folder.path().join("known_hosts");
    let (v4, v6) = (machine.v4(), machine.v6());
    let link = link_address(&machine);
    fs::write(
        &file,
        format!("{v6},{v4},[{v6}]:2222,[{v4}]:2222,{link} {own}\n"),
    )
    .unwrap();
    let alias = Alias::new(
        "as-ssh-9-any",
        &format!(
            "Host {v4} {v6} {link}\n    UserKnownHostsFile {}",
            file.display()
        ),
    );
    for address in [
        v4.clone(),
        v6.clone(),
        format!("root@{v6}"),
        format!("[{v6}]:2222"),
        format!("root@[{v4}]:2222"),
        link.clone(),
    ] {
        let host = Host::connect("x", Some(&address), &options());
        let host = host.unwrap_or_else(|error| panic!("{address}: {error}"));
        assert_eq!(
            host.output(&Command::new("hostname")).unwrap(),
            b"as-ssh-9\n",
            "{address}"
        );
    }
    drop(alias);
    let wrong = Alias::new(
        "as-ssh-9-family",
        &format!(
            "    HostName {v4}\n    AddressFamily inet6\n    User root\n    HostKeyAlias as-ssh-9"
        ),
    );
    assert!(!ssh_reaches(wrong.name()));
    let error = reach(wrong.name(), &options()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("no address of the wanted family"),
        "{error}"
    );
}

fn link_address(machine: &LabHost) -> String {
    let said = machine.sh("ip -6 -o addr show scope link").expect(0).out();
    let address = said
        .split_whitespace()
        .find(|word| word.starts_with("fe80:"));
    let address = address
        .unwrap_or_else(|| panic!("{said}"))
        .split('/')
        .next()
        .unwrap()
        .to_owned();
    let route = command("ip")
        .args(["-o", "route", "get", &machine.v4()])
        .run()
        .expect(0)
        .out();
    let mut words = route.split_whitespace().skip_while(|word| *word != "dev");
    format!("{address}%{}", words.nth(1).unwrap())
}

/// A keyword of ssh that the page does not know is one that nobody has thought about.
#[test]
fn every_keyword_is_followed_or_refused_or_known_to_be_without_effect() {
    let page = fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/conventions.md"
    ))
    .unwrap();
    let told = page.split("## ssh").nth(1).unwrap().to_lowercase();
    let known: Vec<&str> = told.split('`').skip(1).step_by(2).collect();
    let answer = command("ssh")
        .args(["-G", "-F", "none", "example"])
        .run()
        .expect(0)
        .out();
    let keywords = answer
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let mut asked = 0;
    for keyword in keywords.map(str::to_lowercase) {
        asked += 1;
        let is_known = |known: &&str| match (known.strip_suffix('*'), known.strip_prefix('*')) {
            (Some(start), _) => keyword.starts_with(start),
            (_, Some(end)) => keyword.ends_with(end),
            _ => keyword == **known,
        };
        assert!(known.iter().any(is_known), "{keyword}");
    }
    assert!(asked > 50, "{answer}");
}
