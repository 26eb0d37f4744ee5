//! Several hosts at once.

use std::{thread, time::Duration};

use ops_common::{
    exit::{Failure, Status},
    host::{Command, Host, Options},
};
use ops_tests::{
    Alias, Kind, Lab, LabHost,
    relay::{Link, Relay},
};

use crate::{external::over_ssh, lab, options};

const HOSTS: usize = 8;

/// Behind relays that keep all answers back until every host has been dialled: a fan-out that waited for one before it
/// dialled the next would never get there. One more host refuses; that is known while all others still wait.
fn fan_out(prefix: &str, options: &Options) {
    let Some(lab) = lab() else { return };
    let names: Vec<String> = (0..HOSTS)
        .map(|number| format!("{prefix}-{number}"))
        .collect();
    let machines = boot(lab, &names);
    let link = Link::new().delay(Duration::from_millis(100)).held();
    let before = |machine| Relay::before(machine, &format!("{}-far", machine.name()), link);
    let relays: Vec<_> = machines.iter().map(before).collect();
    let closed = "    HostName 127.0.0.1\n    Port 1\n    User root";
    let dead = Alias::new(&format!("{prefix}-dead"), closed);
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
                .starts_with(&format!("cannot connect to '{prefix}-dead': "))
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
        for (answer, name) in answers.into_iter().zip(&names) {
            assert_eq!(
                answer.join().unwrap().unwrap(),
                format!("{name}\n").as_bytes()
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

#[test]
fn all_hosts_are_dialled_before_the_first_has_answered() {
    fan_out("fanout", &options());
}

#[test]
fn over_another_ssh_they_are_too() {
    fan_out("fanout-ssh", &over_ssh());
}
