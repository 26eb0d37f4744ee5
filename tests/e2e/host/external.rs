//! `--ssh-command`: the same promises over another program.

use std::io::{Read, Write};

use ops_common::{
    exit::{Failure, Status},
    host::{Command, Host, Options},
};
use ops_tests::{Alias, Kind};

use crate::{lab, options};

pub(crate) fn over_ssh() -> Options {
    Options {
        ssh_command: Some("ssh -o BatchMode=yes".to_owned()),
        ..options()
    }
}

#[test]
fn commands_input_and_statuses() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("external-1", Kind::Plain);
    let host = Host::connect(machine.name(), None, &over_ssh()).unwrap();
    let fed = host
        .run(&Command::new("cat").stdin(vec![b'x'; 3_000_000]))
        .unwrap();
    assert_eq!((fed.status, fed.stdout.len()), (0, 3_000_000));
    let mut got = Vec::new();
    let finished = host.stream(
        &Command::script("echo out; echo err >&2; exit 5", &[""; 0]),
        &mut got,
    );
    assert_eq!(
        (got.as_slice(), finished.unwrap().stderr.as_slice()),
        (b"out\n".as_slice(), b"err\n".as_slice())
    );
    let counted = host.upload(
        &Command::new("wc").arg("-c"),
        &mut std::io::repeat(0).take(5_000_000),
    );
    assert_eq!(counted.unwrap().stdout, b"5000000\n");
    let missing = host.run(&Command::new("no-such-program")).unwrap();
    assert_eq!(missing.status, 127);
}

#[test]
fn sockets() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("external-2", Kind::Plain);
    let host = Host::connect(machine.name(), None, &over_ssh()).unwrap();
    let mut sshd = host.connect_tcp([127, 0, 0, 1].into(), 22).unwrap();
    let mut banner = [0; 8];
    sshd.read_exact(&mut banner).unwrap();
    assert_eq!(&banner, b"SSH-2.0-");
    let mut systemd = host.connect_unix("/run/systemd/private").unwrap();
    systemd.write_all(b"\0AUTH EXTERNAL 30\r\n").unwrap();
    let mut answer = [0; 2];
    systemd.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"OK");
}

#[test]
fn settings_that_are_refused_otherwise_work() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("external-3", Kind::Plain);
    let settings = format!(
        "    HostName {}\n    HostKeyAlias external-3\n    User root\n    KnownHostsCommand /bin/true\n    BindAddress 0.0.0.0",
        machine.v4()
    );
    let alias = Alias::new("external-3-odd", &settings);
    let refused = Host::connect(alias.name(), None, &options()).unwrap_err();
    assert_eq!(refused.status(), Status::BadConfig);
    assert_eq!(
        refused.hint().as_deref(),
        Some("reach the host through OpenSSH's own client: --ssh-command ssh")
    );
    let host = Host::connect(alias.name(), None, &over_ssh()).unwrap();
    assert_eq!(
        host.output(&Command::new("hostname")).unwrap(),
        b"external-3\n"
    );
}

#[test]
fn a_program_that_is_missing_or_fails_is_named() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("external-4", Kind::Plain);
    let missing = Options {
        ssh_command: Some("no-such-ssh".to_owned()),
        ..options()
    };
    let host = Host::connect(machine.name(), None, &missing).unwrap();
    let error = host.run(&Command::new("true")).unwrap_err();
    assert_eq!(error.to_string(), "cannot find the program 'no-such-ssh'");
    assert_eq!(error.status(), Status::Unavailable);
    let host = Host::connect("nobody.invalid", None, &over_ssh()).unwrap();
    let error = host.run(&Command::new("true")).unwrap_err();
    assert!(error.to_string().contains("nobody.invalid"), "{error}");
}
