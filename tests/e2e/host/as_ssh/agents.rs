//! Agents that have many keys, say nothing, or ask a person first.

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    thread,
    time::Duration,
};

use ops_common::{
    exit::{Failure, Status},
    host::Options,
};
use ops_tests::{Alias, Kind, command};

use super::{folder, keygen, reach, ssh_reaches};
use crate::{lab, options};

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "a table, and one scene for all of it"
)]
fn agents_of_all_kinds() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("as-ssh-6", Kind::Plain);
    let folder = folder("as-ssh-6-");
    let folder = folder.path();
    let socket = folder.join("agent");
    let agent = command("ssh-agent").args(["-D", "-a"]).arg(&socket).spawn();
    agent.wait_for("SSH_AUTH_SOCK");
    let add = |args: &[&str], path: Option<&Path>| {
        command("ssh-add")
            .args(args)
            .args(path)
            .env("SSH_AUTH_SOCK", &socket)
            .run()
            .expect(0);
    };
    for number in 0..8 {
        let path = folder.join(format!("key-{number}"));
        keygen(&path, &["-t", "ed25519", "-C", &format!("number {number}")]);
        add(&["-q"], Some(&path));
    }
    let last = folder.join("key-7");
    machine.write(
        "/root/.ssh/authorized_keys",
        fs::read(last.with_extension("pub")).unwrap(),
    );
    let alias = |name: &str, agent: &Path, file: &str, only: &str| {
        let settings = format!(
            "    HostName {}\n    HostKeyAlias as-ssh-6\n    User root\n    IdentityAgent {}\n    IdentityFile {file}\n    IdentitiesOnly {only}",
            machine.v4(),
            agent.display()
        );
        Alias::new(&format!("as-ssh-6-{name}"), &settings)
    };
    // A host hangs up after six keys, and the one it wants would be the eighth.
    let many = alias("many", &socket, "none", "no");
    assert!(!ssh_reaches(many.name()));
    let error = reach(many.name(), &options()).unwrap_err();
    assert_eq!(error.status(), Status::NotAllowed, "{error}");
    assert!(error.to_string().contains("hung up"), "{error}");
    // A file that names the key says which one comes first, though only the agent has it.
    let public = format!("{}.pub", last.display());
    for (name, only) in [("named", "no"), ("only", "yes")] {
        let named = alias(name, &socket, &public, only);
        assert!(ssh_reaches(named.name()), "{name}");
        assert_eq!(
            reach(named.name(), &options()).unwrap(),
            "as-ssh-6",
            "{name}"
        );
    }
    // One that nobody reads from, and one that has nothing to say: the file lets us in.
    let silent = folder.join("silent");
    let _silent = UnixListener::bind(&silent).unwrap();
    let dumb = folder.join("dumb");
    let listener = UnixListener::bind(&dumb).unwrap();
    thread::spawn(move || listener.incoming().for_each(drop));
    let hasty = Options {
        connect_timeout: Duration::from_secs(8),
        ..options()
    };
    let file = last.display().to_string();
    for (name, agent) in [
        ("silent", &silent),
        ("dumb", &dumb),
        ("none", &folder.join("nothing")),
    ] {
        let with_file = alias(name, agent, &file, "no");
        assert_eq!(
            reach(with_file.name(), &hasty).unwrap(),
            "as-ssh-6",
            "{name}"
        );
        let without = alias(name, agent, "none", "no");
        let error = reach(without.name(), &hasty).unwrap_err();
        let place = format!("the agent at '{}': ", agent.display());
        assert!(error.to_string().contains(&place), "{error}");
        assert_eq!(error.status(), Status::NotAllowed, "{error}");
    }
}

/// A person who thinks before the agent may sign does not use up the time for the connection.
#[test]
fn an_agent_that_asks_first_is_waited_for() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("as-ssh-7", Kind::Plain);
    let folder = folder("as-ssh-7-");
    let folder = folder.path();
    let socket = folder.join("agent");
    let agent = command("ssh-agent").args(["-D", "-a"]).arg(&socket).spawn();
    agent.wait_for("SSH_AUTH_SOCK");
    let path = folder.join("key");
    keygen(&path, &["-t", "ed25519"]);
    command("ssh-add")
        .arg(&path)
        .env("SSH_AUTH_SOCK", &socket)
        .run()
        .expect(0);
    machine.write(
        "/root/.ssh/authorized_keys",
        fs::read(path.with_extension("pub")).unwrap(),
    );
    // Longer than all of the connection may take.
    let limit = Duration::from_secs(4);
    let asking = folder.join("asking");
    let listener = UnixListener::bind(&asking).unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, agent) = (client.unwrap(), UnixStream::connect(&socket).unwrap());
            thread::spawn(move || relay(client, agent, limit + Duration::from_millis(500)));
        }
    });
    let settings = format!(
        "    HostName {}\n    HostKeyAlias as-ssh-7\n    User root\n    IdentityAgent {}\n    IdentitiesOnly no\n    IdentityFile none",
        machine.v4(),
        asking.display()
    );
    let alias = Alias::new("as-ssh-7-asking", &settings);
    let short = Options {
        connect_timeout: limit,
        ..options()
    };
    assert_eq!(reach(alias.name(), &short).unwrap(), "as-ssh-7");
}

/// Passes requests to an agent and answers back; those to sign a while later.
fn relay(mut client: UnixStream, mut agent: UnixStream, thinking: Duration) {
    const SIGN: u8 = 13;
    let message = |from: &mut UnixStream| {
        let mut length = [0; 4];
        from.read_exact(&mut length).ok()?;
        let mut body = vec![0; u32::from_be_bytes(length) as usize];
        from.read_exact(&mut body).ok()?;
        Some((body[0], [&length[..], &body].concat()))
    };
    while let Some((kind, request)) = message(&mut client) {
        agent.write_all(&request).unwrap();
        let (_, answer) = message(&mut agent).unwrap();
        if kind == SIGN {
            thread::sleep(thinking);
        }
        client.write_all(&answer).unwrap();
    }
}
