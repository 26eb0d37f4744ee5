//! Several hosts at once.

use std::{thread, time::Duration};

use ops_common::host::{Command, Host, Options};
use ops_tests::{
    Alias, Kind,
    relay::{Link, Relay},
};

use crate::{lab, options};

const HOSTS: usize = 8;

/// Behind relays that keep all answers back until every host has been dialled: a fan-out that waited for one before it
/// dialled the next would never get there.
#[test]
fn all_hosts_are_dialled_before_the_first_has_answered() {
    let Some(lab) = lab() else { return };
    let names: Vec<String> = (0..HOSTS)
        .map(|number| format!("fanout-{number}"))
        .collect();
    let machines: Vec<_> = thread::scope(|scope| {
        let boots: Vec<_> = names
            .iter()
            .map(|name| scope.spawn(move || lab.host(name, Kind::Plain)))
            .collect();
        boots.into_iter().map(|boot| boot.join().unwrap()).collect()
    });
    let link = Link::new().delay(Duration::from_millis(100)).held();
    let relays: Vec<_> = machines
        .iter()
        .map(|machine| Relay::before(machine, &format!("{}-far", machine.name()), link))
        .collect();
    // One more that nobody answers for.
    let dead = Alias::new(
        "fanout-dead",
        "    HostName 127.0.0.1\n    Port 1\n    User root",
    );
    let options = Options {
        connect_timeout: Duration::from_secs(30),
        ..options()
    };
    thread::scope(|scope| {
        let options = &options;
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
        // Known while all others still wait for their first byte.
        let error = unreachable.join().unwrap().unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot connect to 'fanout-dead': connection refused"
        );
        for relay in &relays {
            relay.wait_connections(1);
            assert_eq!(relay.count().connections, 1);
        }
        for relay in &relays {
            relay.release();
        }
        for (answer, name) in answers.into_iter().zip(&names) {
            assert_eq!(
                answer.join().unwrap().unwrap(),
                format!("{name}\n").as_bytes()
            );
        }
    });
    for relay in &relays {
        assert_eq!(relay.count().connections, 1);
    }
}
