//! Other users of the host, with and without sudo, with and without a password.

use std::{
    io::Write,
    os::fd::{AsRawFd, OwnedFd},
};

use ops_common::{
    exit::{Failure, Status},
    host::{Command, Error, Host, Options},
};
use ops_tests::{Kind, tool};

use crate::{external::over_ssh, lab, options};

fn host(user: &str, machine: &str, options: &Options) -> Host {
    Host::connect(machine, Some(&format!("{user}@{machine}")), options).unwrap()
}

fn who() -> Command {
    Command::script("id -un; pwd; cat", &[""; 0]).stdin("payload\n")
}

#[test]
fn roles_of_the_host() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("sudo-1", Kind::Plain);
    for options in [options(), over_ssh()] {
        for user in ["root", "op", "fisher"] {
            let host = host(user, machine.name(), &options);
            assert_eq!(
                host.output(&who().as_user("continuwuity")).unwrap(),
                b"continuwuity\n/\npayload\n",
                "{user}"
            );
            assert_eq!(
                host.run(&Command::new("false").as_user("continuwuity"))
                    .unwrap()
                    .status,
                1,
                "{user}"
            );
        }
        let error = host("guest", machine.name(), &options)
            .run(&who().as_user("continuwuity"))
            .unwrap_err();
        assert!(matches!(error, Error::Denied { .. }), "{error}");
        assert_eq!(error.status(), Status::NotAllowed);
        let error = host("root", machine.name(), &options)
            .run(&who().as_user("nobody-there"))
            .unwrap_err();
        assert!(error.to_string().contains("nobody-there"), "{error}");
    }
}

#[test]
fn sudo_without_a_password() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("sudo-2", Kind::Plain);
    let options = Options {
        sudo: true,
        ..options()
    };
    for user in ["root", "op", "fisher"] {
        let host = host(user, machine.name(), &options);
        assert_eq!(
            host.output(&who()).unwrap(),
            b"root\n/\npayload\n",
            "{user}"
        );
        assert_eq!(
            host.output(&who().as_user("nobody")).unwrap(),
            b"nobody\n/\npayload\n",
            "{user}"
        );
    }
}

#[test]
fn sudo_with_a_password() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("sudo-3", Kind::Plain);
    let with = |password: &str| {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(password.as_bytes()).unwrap();
        let reader = OwnedFd::from(reader);
        let fd = reader.as_raw_fd();
        (
            reader,
            Options {
                sudo: true,
                sudo_password_fd: Some(fd),
                ..options()
            },
        )
    };
    let (_open, options) = with("made-up\n");
    let asked = host("asker", machine.name(), &options);
    assert_eq!(asked.output(&who()).unwrap(), b"root\n/\npayload\n");
    // It is asked for once, though the pipe is empty now.
    assert_eq!(
        asked.output(&who().as_user("nobody")).unwrap(),
        b"nobody\n/\npayload\n"
    );
    let canary = "argv-canary-5e1f";
    let (_open, options) = with(&format!("{canary}\n"));
    let error = host("asker", machine.name(), &options)
        .run(&who())
        .unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains(canary));
    // What a password would be typed into is not there.
    let options = Options {
        sudo: true,
        sudo_password_fd: Some(997),
        ..crate::options()
    };
    let error = host("asker", machine.name(), &options)
        .run(&who())
        .unwrap_err();
    assert_eq!(error.status(), Status::NotAllowed);
    assert!(
        error.to_string().contains("descriptor 997 is not open"),
        "{error}"
    );
    assert!(
        error.to_string().contains("password is required"),
        "{error}"
    );
}

/// As a person would: a tool on a terminal, which asks once however many commands it needs.
#[test]
fn a_password_is_typed_once_and_never_shown() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("sudo-4", Kind::Plain);
    let status = || {
        tool("ops-deploy")
            .args(["status", "--sudo", "asker@sudo-4"])
            .terminal(200, 50)
            .spawn()
    };
    let question = "password for sudo on 'asker@sudo-4': ";
    let mut asked = status();
    asked.wait_for(question);
    asked.type_in("made-up\n");
    let ran = asked.finish().expect(0);
    assert_eq!(ran.out().matches(question).count(), 1, "{ran}");
    assert!(
        ran.out().contains("running") && !ran.out().contains("made-up"),
        "{ran}"
    );
    let mut wrong = status();
    wrong.wait_for(question);
    wrong.type_in("canary-wrong-81c2\n");
    let ran = wrong.finish().expect(77);
    assert_eq!(ran.out().matches(question).count(), 1, "{ran}");
    assert!(!ran.out().contains("canary-wrong"), "{ran}");
    // Without a terminal nobody can be asked.
    tool("ops-deploy")
        .args(["status", "--sudo", "asker@sudo-4"])
        .through("exec setsid -w \"$@\"")
        .run()
        .expect(77)
        .complains("there is no terminal to ask on");
    machine
        .sh("! journalctl --no-pager | grep -F canary-wrong")
        .expect(0);
}
