//! Signals, wherever they find a tool: it ends by them at once, so that whoever started it sees what happened.

use std::time::Duration;

use ops_tests::{
    Alias, Kind, LabHost, Running, Tool, command,
    relay::{Link, Relay},
    tool,
};
use rustix::process::Signal;

use crate::lab;

const SIGNALS: [Signal; 3] = [Signal::INT, Signal::HUP, Signal::TERM];

fn list(name: &str) -> Tool {
    tool("ops-db")
        .args(["list", "--connect-timeout", "10m", "--host", name])
        .timeout(Duration::from_mins(2))
}

/// Ends by the signal, with nothing on stdout, and not by a deadline: those are far away.
fn ends_by(running: Running, signal: Signal) {
    // Two, as an impatient person sends them.
    running.signal(signal);
    running.signal(signal);
    let ran = running.finish();
    assert_eq!(ran.signal, Some(signal.as_raw()), "{ran}");
    assert!(ran.out().is_empty(), "{ran}");
}

/// While the other side says nothing, before the handshake and in the midst of it.
#[test]
fn in_a_handshake() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("signals-1", Kind::Plain);
    let relay = Relay::before(&machine, "signals-1-held", Link::new().held());
    for (count, signal) in (1..).zip(SIGNALS) {
        let running = list(relay.alias()).spawn();
        relay.wait_connections(count);
        ends_by(running, signal);
    }
}

#[test]
fn behind_a_proxy_that_is_silent() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("signals-2", Kind::Plain);
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("pid");
    let settings = format!(
        "    HostName {}\n    ProxyCommand sh -c 'echo $$ > {}; exec sleep 600'",
        machine.v4(),
        mark.display()
    );
    let alias = Alias::new("signals-2-proxy", &settings);
    for signal in SIGNALS {
        let running = list(alias.name()).spawn();
        let pid = wait_for_file(&mark);
        ends_by(running, signal);
        let gone = "for _ in $(seq 600); do kill -0 $1 || exit 0; sleep 0.1; done; exit 1";
        command("sh").args(["-c", gone, "sh", &pid]).run().expect(0);
        std::fs::remove_file(&mark).unwrap();
    }
}

/// On the terminal the echo comes back, too.
#[test]
fn at_the_question_for_a_passphrase() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("signals-3", Kind::Plain);
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("locked");
    command("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "made up", "-f"])
        .arg(&key)
        .run()
        .expect(0);
    machine.write("/root/.ssh/authorized_keys", "");
    let settings = format!(
        "    HostName {}\n    HostKeyAlias signals-3\n    User root\n    IdentityFile {}\n    IdentitiesOnly yes\n    IdentityAgent none",
        machine.v4(),
        key.display()
    );
    let alias = Alias::new("signals-3-locked", &settings);
    for signal in SIGNALS {
        let shell = r#""$@"; echo "status $?"; stty -a < /dev/tty | grep -o -w -e -echo -e echo"#;
        let mut asked = list(alias.name())
            .through(&format!("trap : INT HUP TERM; {shell}"))
            .terminal(80, 24)
            .spawn();
        asked.wait_for("passphrase for");
        if signal == Signal::INT {
            asked.type_in("\u{3}");
        } else {
            let name = if signal == Signal::HUP { "HUP" } else { "TERM" };
            let children = format!("pkill -{name} -P {}", asked.pid());
            command("sh").args(["-c", &children]).run().expect(0);
        }
        asked.wait_for(&format!("status {}", 128 + signal.as_raw()));
        let ran = asked.finish();
        assert!(ran.out().lines().any(|line| line.trim() == "echo"), "{ran}");
    }
}

/// One host has let us in and says nothing more, another is still being dialled.
#[test]
fn among_several_hosts() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("signals-4", Kind::Postgres);
    let held = Relay::before(&machine, "signals-4-held", Link::new().held());
    for (count, signal) in (1..).zip(SIGNALS) {
        let running = list(held.alias()).args(["--host", "signals-4"]).spawn();
        held.wait_connections(count);
        ends_by(running, signal);
    }
}

/// What runs on the host for us ends as well, and is seen to have been there.
#[test]
fn while_a_command_runs_on_a_host() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("signals-5", Kind::Plain);
    for signal in SIGNALS {
        let running = tool("ops-bridge")
            .args(["log", "--follow", "--host", "signals-5"])
            .timeout(Duration::from_mins(2))
            .spawn();
        follows(&machine, true);
        ends_by(running, signal);
        follows(&machine, false);
    }
}

/// Waits until somebody on the host follows its journal, or nobody.
fn follows(machine: &LabHost, wanted: bool) {
    let is = if wanted { "" } else { "!" };
    machine
        .sh(&format!("for _ in $(seq 600); do {is} pgrep -x journalctl > /dev/null && exit 0; sleep 0.1; done; exit 1"))
        .expect(0);
}

/// Ignored from the start they stay ignored, as for what runs under nohup.
#[test]
fn what_is_to_be_ignored_is() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("signals-6", Kind::Postgres);
    let relay = Relay::before(&machine, "signals-6-held", Link::new().held());
    let running = list(relay.alias())
        .through("trap '' HUP; exec \"$@\"")
        .spawn();
    relay.wait_connections(1);
    running.signal(Signal::HUP);
    relay.release();
    running.finish().expect(0);
}

/// In the background of a terminal it asks nobody, and in a session without one neither.
#[test]
fn in_the_background() {
    let Some(lab) = lab() else { return };
    let _machine = lab.host("signals-7", Kind::Postgres);
    let ran = list("signals-7")
        .through("set -m; \"$@\" > out 2>&1 & wait $!; echo \"status $?\"; wc -l < out")
        .dir(tempfile::tempdir().unwrap().keep())
        .terminal(80, 24)
        .run();
    assert!(ran.out().contains("status 0"), "{ran}");
    list("signals-7")
        .through("exec setsid --wait \"$@\"")
        .run()
        .expect(0);
    // `timeout` puts itself and its child into a group of their own.
    list("signals-7")
        .through("exec timeout 60 \"$@\"")
        .run()
        .expect(0);
}

fn wait_for_file(path: &std::path::Path) -> String {
    let script = format!(
        "for _ in $(seq 600); do [ -s {0} ] && exec cat {0}; sleep 0.1; done; exit 1",
        path.display()
    );
    command("sh")
        .args(["-c", &script])
        .run()
        .expect(0)
        .out()
        .trim()
        .to_owned()
}
