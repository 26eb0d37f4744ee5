//! What verbs cost on a long link: connections and round trips, counted by a relay and never timed.

use std::time::Duration;

use ops_tests::relay::{Link, Relay};
use ops_tests::{skip, tool};

use crate::scene::host;

/// A login takes 8 at most, a command 2, a socket of the host 1 and an answer over it 1.
const BUDGETS: &[(&str, &[&str], u64)] = &[
    ("ops-bridge", &["status"], 8 + 2 + 2),
    ("ops-matrix", &["status"], 8 + 2 + 2),
    ("ops-matrix", &["versions"], 8 + 2 + 2),
    ("ops-bridge", &["portals"], 8 + 2),
    ("ops-bridge", &["log", "-n", "5"], 8 + 2),
    ("ops-deploy", &["log"], 8 + 2),
];

#[test]
fn a_verb_takes_one_connection_and_few_round_trips() {
    let Some(machine) = host() else {
        return skip("lab");
    };
    // Keeps the packets of a flight together, so that the count is the protocol's.
    let link = Link::new().delay(Duration::from_millis(20));
    let relay = Relay::before(machine, "contract-far", link);
    let mut over = Vec::new();
    for (name, verb, budget) in BUDGETS {
        let host: &[&str] = if *name == "ops-deploy" {
            &[]
        } else {
            &["--host"]
        };
        let run_once = || {
            let before = relay.count();
            let ran = tool(name).args(*verb).args(host).arg(relay.alias()).run();
            assert!([0, 1, 3].contains(&ran.status), "{ran}");
            let after = relay.count();
            assert_eq!(after.connections - before.connections, 1, "{ran}");
            after.round_trips - before.round_trips
        };
        // A machine that is busy tears a flight apart now and then, which looks like one more round trip: the protocol's
        // own number is the least.
        let mut spent = u64::MAX;
        for _ in 0..8 {
            spent = spent.min(run_once());
            if spent <= *budget {
                break;
            }
        }
        if spent > *budget {
            let verb = verb.join(" ");
            over.push(format!("{name} {verb}: {spent} round trips of {budget}"));
        }
    }
    assert!(over.is_empty(), "over budget:\n{}", over.join("\n"));
}
