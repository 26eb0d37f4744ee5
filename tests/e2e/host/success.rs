//! When something counts as done. Each row breaks something half-way, proves that it did, and demands a failure.

use std::{
    io::{Read, Write},
    net::TcpListener,
    time::{Duration, Instant},
};

use ops_common::{
    exit::{Failure, Status},
    host::{Command, Error, Finished, Host, Options},
};
use ops_tests::{
    Alias, Kind, Options as Machine,
    relay::{Fault, Link, Relay, Toward},
};

use crate::{connect, lab, options};

fn shell(text: &str) -> Command {
    Command::script(text, &[""; 0])
}

/// The error, its text and its status.
#[track_caller]
fn failure(result: Result<Finished, Error>, status: Status, text: &str) {
    let error = result
        .map(|finished| format!("{finished:?}"))
        .expect_err("it must not count as done");
    assert_eq!(error.status(), status, "{error}");
    assert!(error.to_string().contains(text), "{error}");
}

#[test]
fn a_command_that_is_killed_has_failed() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("success-1", Kind::Plain);
    for options in [options(), crate::external::over_ssh()] {
        let host = Host::connect(machine.name(), None, &options).unwrap();
        // The command itself, its shell, and the wrapper around both.
        failure(
            host.run(&Command::new("sh").arg("-c").arg("kill -9 $$")),
            Status::Unavailable,
            "killed by signal KILL",
        );
        failure(
            host.run(&shell("sh -c 'kill -TERM $$'; exit $?")),
            Status::Unavailable,
            "killed by signal TERM",
        );
        // A status that only looks like a signal is no success either, and the message does not claim to know.
        failure(
            host.run(&shell("exit 137")),
            Status::Unavailable,
            "killed by signal KILL, or ended with status 137",
        );
        let wrapper = host.run(&shell("head -c 100000 /dev/zero; kill -9 $PPID"));
        let error = wrapper.map(|finished| finished.status).unwrap_err();
        assert!(
            matches!(error, Error::Killed { .. } | Error::Lost { .. }),
            "{error}"
        );
        let finished = host.run(&shell("exit 3")).unwrap();
        assert_eq!(finished.status, 3);
    }
}

#[test]
fn a_stream_whose_sshd_is_killed_has_failed() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("success-2", Kind::Plain);
    let host = connect(machine.name());
    let mut process = host
        .spawn(&shell("head -c 3000000 /dev/zero; exec sleep 600"))
        .unwrap();
    process.stdout.read_exact(&mut vec![0; 3_000_000]).unwrap();
    machine.sh("pkill -KILL -f '^sshd-session: root'").expect(0);
    let error = process
        .stdout
        .read(&mut [0; 1])
        .expect_err("a cut is no end");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    failure(
        process.wait(),
        Status::Io,
        "lost 'sh' on 'success-2': the connection was closed",
    );
    // The connection is gone for good, and says so at once.
    failure(
        host.run(&shell("true")),
        Status::Io,
        "the connection was closed",
    );
}

#[test]
fn a_stream_that_is_cut_has_failed() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("success-3", Kind::Plain);
    let link = Link::new().fault(Toward::Client, 3_000_000, Fault::Cut);
    let relay = Relay::before(&machine, "success-3-cut", link);
    let host = connect(relay.alias());
    let mut got = Vec::new();
    let result = host.stream(&shell("head -c 10000000 /dev/zero"), &mut got);
    assert_eq!(relay.count().faults, 1);
    assert!(got.len() < 3_000_000);
    failure(result, Status::Io, "lost 'sh' on 'success-3-cut'");
}

#[test]
fn an_upload_that_is_cut_has_failed() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("success-4", Kind::Plain);
    let link = Link::new().fault(Toward::Host, 3_000_000, Fault::Cut);
    let relay = Relay::before(&machine, "success-4-cut", link);
    let host = connect(relay.alias());
    let result = host.upload(
        &shell("cat > /dev/null"),
        &mut std::io::repeat(0).take(10_000_000),
    );
    assert_eq!(relay.count().faults, 1);
    failure(result, Status::Io, "lost 'sh' on 'success-4-cut'");
}

#[test]
fn a_full_disk_of_the_host_is_a_failure_with_its_reason() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("success-5", Machine::from(Kind::Plain).disk("48M"));
    let host = connect(machine.name());
    let mut source = std::io::repeat(7).take(100 << 20);
    let finished = host.upload(&shell("cat > /root/big"), &mut source).unwrap();
    assert!(!finished.success());
    assert!(
        finished.complaint().contains("No space left on device"),
        "{finished:?}"
    );
}

#[test]
fn a_login_shell_that_runs_nothing_is_a_failure_though_its_status_is_0() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("success-6", Kind::Plain);
    machine
        .sh("usermod --shell /bin/true op && usermod --shell /usr/sbin/nologin guest")
        .expect(0);
    for options in [options(), crate::external::over_ssh()] {
        let host = |user: &str| {
            Host::connect("success-6", Some(&format!("{user}@success-6")), &options).unwrap()
        };
        failure(
            host("op").run(&shell("echo hi")),
            Status::Io,
            "without a sign of having finished",
        );
        failure(
            host("guest").run(&shell("echo hi")),
            Status::Io,
            "account is currently not available",
        );
    }
}

#[test]
fn a_peer_that_hangs_ends_at_the_deadline() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("success-7", Kind::Plain);
    let link = Link::new().fault(Toward::Client, 1_000_000, Fault::Hang);
    let relay = Relay::before(&machine, "success-7-deaf", link);
    let limit = Duration::from_millis(1500);
    let host = connect(relay.alias()).with_timeout(Some(limit));
    let start = Instant::now();
    let result = host.stream(&shell("head -c 10000000 /dev/zero"), &mut std::io::sink());
    failure(
        result,
        Status::TryAgain,
        "'sh' on 'success-7-deaf' did not finish within 1500ms",
    );
    assert_eq!(relay.count().faults, 1);
    assert!(start.elapsed() < limit * 4);
    // A limit of the command's own is within that of the verb.
    let own = shell("sleep 100").deadline(Duration::from_millis(200));
    failure(
        connect("success-7").run(&own),
        Status::TryAgain,
        "within 200ms",
    );
}

/// A long silent stream over a link that dies without a word: nothing is sent that could be refused.
#[test]
fn a_link_that_dies_while_nothing_is_said_is_noticed() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("success-11", Kind::Plain);
    let follow = shell("echo first; exec sleep 600");
    // Behind a program the kernel sees a pipe, so there the other side is asked for a sign of life.
    let relay = Relay::before(&machine, "success-11-far", Link::new());
    let (address, key) = (relay.address(), machine.name());
    let settings = format!(
        "    HostKeyAlias {key}\n    User root\n    ProxyCommand bash -c 'exec 3<>/dev/tcp/{}/{}; cat <&3 & exec cat >&3'",
        address.ip(),
        address.port()
    );
    let proxied = Alias::new("success-11-proxied", &settings);
    let mut streams = Vec::new();
    for name in ["success-11", proxied.name()] {
        let host = connect(name).with_timeout(None);
        let mut process = host.spawn(&follow).unwrap();
        let mut first = [0; 6];
        process.stdout.read_exact(&mut first).unwrap();
        streams.push((name, process));
    }
    machine.unplug();
    relay.freeze();
    let died = Instant::now();
    for (name, mut process) in streams {
        let error = process
            .stdout
            .read(&mut [0; 1])
            .expect_err("a dead link is no end");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{name}");
        failure(
            process.wait(),
            Status::Io,
            &format!("lost 'sh' on '{name}'"),
        );
    }
    // 30 seconds, and as much again for a machine that has other things to do.
    assert!(
        died.elapsed() < Duration::from_mins(1),
        "{:?}",
        died.elapsed()
    );
}

#[test]
fn a_link_that_comes_back_in_time_has_lost_nothing() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("success-12", Kind::Plain);
    let mut process = connect(machine.name())
        .spawn(&shell("seq 1 300000; read go; seq 300001 600000"))
        .unwrap();
    let mut text = Vec::new();
    let mut piece = vec![0; 100_000];
    process.stdout.read_exact(&mut piece).unwrap();
    text.extend(piece);
    machine.unplug();
    // What was under way may still arrive; the rest cannot.
    process.stdin.write_all(b"go\n").unwrap();
    machine.plug();
    process.stdout.read_to_end(&mut text).unwrap();
    assert!(process.wait().unwrap().success());
    let lines = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    assert!(
        lines
            .map(|line| str::from_utf8(line).unwrap().parse::<u32>().unwrap())
            .eq(1..=600_000)
    );
}

#[test]
fn nobody_there_is_said_at_once_and_a_silent_one_in_time() {
    let Some(lab) = lab() else { return };
    let own = lab.address();
    let address = own.v4();
    let listener = TcpListener::bind((address.as_str(), 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let settings = format!("    HostName {address}\n    Port {port}\n    User root");
    let silent = Alias::new("success-8", &settings);
    let options = Options {
        connect_timeout: Duration::from_millis(400),
        ..options()
    };
    let connect = || {
        Host::connect(silent.name(), None, &options)
            .map(|_| ())
            .unwrap_err()
    };
    let error = connect();
    assert_eq!(
        error.to_string(),
        "cannot connect to 'success-8': ssh handshake timed out"
    );
    assert_eq!(error.status(), Status::Unavailable);
    drop(listener);
    let error = connect();
    assert_eq!(
        error.to_string(),
        "cannot connect to 'success-8': connection refused"
    );
    assert!(error.hint().is_some());
}

#[test]
fn what_speaks_no_ssh_is_no_host() {
    let Some(lab) = lab() else { return };
    let own = lab.address();
    let address = own.v4();
    let listener = TcpListener::bind((address.as_str(), 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        client
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .unwrap();
    });
    let alias = Alias::new(
        "success-9",
        &format!("    HostName {address}\n    Port {port}\n    User root"),
    );
    let error = Host::connect(alias.name(), None, &options()).unwrap_err();
    assert!(matches!(error, Error::Handshake { .. }), "{error}");
    assert_eq!(error.status(), Status::Unavailable);
    server.join().unwrap();
}

#[test]
fn both_outputs_are_drained_whatever_their_order() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("success-10", Kind::Plain);
    // More than a window on each, the errors first: whoever reads only one of them stands still.
    let text = "head -c 6000000 /dev/zero >&2; head -c 6000000 /dev/zero; echo done >&2; exit 7";
    for options in [options(), crate::external::over_ssh()] {
        let host = Host::connect(machine.name(), None, &options).unwrap();
        let finished = host.run(&shell(text)).unwrap();
        assert_eq!((finished.status, finished.stdout.len()), (7, 6_000_000));
        assert_eq!(finished.stderr.len().min(64 << 10), 64 << 10);
        assert!(finished.stderr.ends_with(b"done\n"));
    }
}
