//! This machine as a host: the same promises without ssh.

use std::{
    io::{Read, Write},
    os::unix::net::UnixListener,
    time::{Duration, Instant},
};

use ops_common::{
    exit::{Failure, Status},
    host::{Command, Error, Host, Process},
};

use crate::{lab, options};

fn here() -> Host {
    Host::local("here", &options())
}

fn shell(text: &str) -> Command {
    Command::script(text, &[""; 0])
}

#[test]
fn commands() {
    let finished = here()
        .run(&shell("cat; echo err >&2; exit 3").stdin("in"))
        .unwrap();
    assert_eq!(
        (finished.status, finished.stdout, finished.stderr),
        (3, b"in".to_vec(), b"err\n".to_vec())
    );
    let error = here().output(&shell("echo why >&2; exit 4")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "'sh' on 'here' failed with status 4: why"
    );
    let error = here().run(&shell("kill -9 $$")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "'sh' on 'here' was killed by signal KILL"
    );
    let error = here().run(&Command::new("no-such-program")).unwrap_err();
    assert_eq!(
        (error.status(), error.to_string().as_str()),
        (
            Status::Unavailable,
            "cannot find the program 'no-such-program'"
        )
    );
}

#[test]
fn a_deadline_ends_what_the_command_has_started_too() {
    // The shell's child outlives it, if only the shell is killed.
    let text = "sleep 600 > /dev/null & echo $!; wait";
    let limit = Duration::from_millis(500);
    let mut process = here().spawn(&shell(text).deadline(limit)).unwrap();
    let mut child = String::new();
    let late = process.stdout.read_to_string(&mut child).unwrap_err();
    assert_eq!(late.kind(), std::io::ErrorKind::TimedOut);
    let error = process.wait().unwrap_err();
    assert!(matches!(error, Error::Deadline { .. }), "{error}");
    let line = format!("/proc/{}/cmdline", child.trim());
    let patience = Instant::now();
    while std::fs::read(&line).is_ok_and(|line| !line.is_empty()) {
        assert!(
            patience.elapsed() < Duration::from_secs(20),
            "{child} is still there"
        );
    }
}

#[test]
fn a_process_with_its_streams() {
    let Process {
        mut stdin,
        mut stdout,
        running,
    } = here().spawn(&Command::new("cat").stdin("first ")).unwrap();
    stdin.write_all(b"second").unwrap();
    let mut got = [0; 12];
    stdout.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"first second");
    drop(stdin);
    assert!(running.wait().unwrap().success());
}

#[test]
fn sockets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut said = String::new();
        client.read_to_string(&mut said).unwrap();
        client.write_all(said.to_uppercase().as_bytes()).unwrap();
    });
    let mut stream = here().connect_unix(path.to_str().unwrap()).unwrap();
    let mut other = stream.try_clone().unwrap();
    stream.write_all(b"hello").unwrap();
    stream.shutdown_write().unwrap();
    let mut answer = String::new();
    other.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "HELLO");
    server.join().unwrap();
    let error = here().connect_tcp([127, 0, 0, 1].into(), 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot connect to '127.0.0.1:1' on 'here': connection refused"
    );
}

#[test]
fn root_becomes_another_user_without_sudo() {
    if lab().is_none() {
        return;
    }
    let said = here()
        .output(&shell("id -un; id -Gn; pwd").as_user("nobody"))
        .unwrap();
    assert_eq!(said, b"nobody\nnogroup\n/\n");
    let error = here()
        .run(&shell("true").as_user("no-such-user"))
        .unwrap_err();
    assert_eq!(error.status(), Status::NotAllowed, "{error}");
}
