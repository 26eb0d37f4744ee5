//! Several hosts at once.

use std::{thread, time::Duration};

use ops_common::{
    exit::{Failure, Status},
    host::{Command, Host, Options},
};
use ops_tests::{
    Alias, Kind, Lab, LabHost,
    relay::{Link, Relay},
    tool,
};

use crate::{external::over_ssh, lab, options};

const HOSTS: usize = 8;

/// The hosts of a test, and a name at which nobody listens.
fn scene(lab: Lab, prefix: &str) -> (Vec<LabHost>, Alias) {
    let names: Vec<String> = (0..HOSTS)
        .map(|number| format!("{prefix}-{number}"))
        .collect();
    let closed = "    HostName 127.0.0.1\n    Port 1\n    User root";
    let dead = Alias::new(&format!("{prefix}-dead"), closed);
    (boot(lab, &names), dead)
}

/// Relays in front of hosts that are 100 ms away, and keep all answers back until every host has been dialled: a fan-out
/// that waited for one before it dialled the next would never get there.
fn relays(machines: &[LabHost]) -> Vec<Relay> {
    let link = Link::new().delay(Duration::from_millis(100)).held();
    let before =
        |machine: &LabHost| Relay::before(machine, &format!("{}-far", machine.name()), link);
    machines.iter().map(before).collect()
}

/// One more host refuses; that is known while all others still wait.
fn fan_out(machines: &[LabHost], dead: &Alias, options: &Options) {
    let relays = relays(machines);
    thread::scope(|scope| {
        let ask = |name: String| {
            scope.spawn(move || {
                Host::connect(&name, None, options)?.output(&Command::new("hostname"))
            })
        };
        let unreachable = ask(dead.name().to_owned());
        let answers: Vec<_> = relays
            .iter()
            .map(|relay| ask(relay.alias().to_owned()))
            .collect();
        let error = unreachable.join().unwrap().unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with(&format!("cannot connect to '{}': ", dead.name()))
        );
        assert!(
            error
                .to_string()
                .to_lowercase()
                .ends_with("connection refused"),
            "{error}"
        );
        assert_eq!(error.status(), Status::Unavailable);
        for relay in &relays {
            relay.wait_connections(1);
        }
        relays.iter().for_each(Relay::release);
        for (answer, machine) in answers.into_iter().zip(machines) {
            assert_eq!(
                answer.join().unwrap().unwrap(),
                format!("{}\n", machine.name()).as_bytes()
            );
        }
    });
    assert!(relays.iter().all(|relay| relay.count().connections == 1));
}

fn boot(lab: Lab, names: &[String]) -> Vec<LabHost> {
    thread::scope(|scope| {
        let mut boots = Vec::new();
        for name in names {
            boots.push(scope.spawn(move || lab.host(name, Kind::Plain)));
        }
        boots.into_iter().map(|boot| boot.join().unwrap()).collect()
    })
}

/// The same by a tool: its records are those of all hosts that answered, in the order in which they were named, and its
/// status the worst.
fn by_tool(machines: &[LabHost], dead: &Alias, command: &[&str], flag: Option<&str>) {
    let relays = relays(machines);
    let mut tool = tool(command[0]).args(&command[1..]);
    let names = [dead.name()]
        .into_iter()
        .chain(relays.iter().map(Relay::alias));
    for name in names.clone() {
        tool = tool.args(flag).arg(name);
    }
    let running = tool.spawn();
    for relay in &relays {
        relay.wait_connections(1);
    }
    relays.iter().for_each(Relay::release);
    let ran = running.finish().complains(&format!(
        "cannot connect to '{}': connection refused",
        dead.name()
    ));
    let mut seen: Vec<String> = ran
        .json()
        .iter()
        .map(|record| record["host"].as_str().unwrap().to_owned())
        .collect();
    seen.dedup();
    // A verb that judges has a record of the host that it cannot look at, too.
    let judges = command[0] == "ops-bridge";
    let expected: Vec<_> = names.skip(usize::from(!judges)).collect();
    assert_eq!(seen, expected, "{ran}");
    assert_eq!(ran.status, 69, "{ran}");
    assert!(relays.iter().all(|relay| relay.count().connections == 1));
}

#[test]
fn all_hosts_are_dialled_before_the_first_has_answered() {
    let Some(lab) = lab() else { return };
    let (machines, dead) = scene(lab, "fanout");
    fan_out(&machines, &dead, &options());
    by_tool(&machines, &dead, &["ops-deploy", "status", "--json"], None);
    let judging = ["ops-bridge", "status", "--json"];
    by_tool(&machines, &dead, &judging, Some("--host"));
}

#[test]
fn over_another_ssh_they_are_too() {
    let Some(lab) = lab() else { return };
    let (machines, dead) = scene(lab, "fanout-ssh");
    fan_out(&machines, &dead, &over_ssh());
}
