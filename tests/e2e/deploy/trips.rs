//! Connections and round trips, counted by a relay: what a deployment costs on a long line does not grow with its size.

use std::time::Duration;

use ops_tests::relay::{Count, Link, Relay};
use ops_tests::{Lab, LabHost, skip};

use crate::bed::{Bed, System, host};

/// Runs a step over a long line, and counts what goes over it.
fn counted(host: &LabHost, bed: &Bed, args: &[&str]) -> Count {
    // Long enough that the packets of one flight stay together.
    let link = Link::new().delay(Duration::from_millis(20));
    let relay = Relay::before(host, "trips-link", link);
    bed.ops(args).run().expect(0);
    relay.count()
}

#[test]
fn the_cost_on_a_long_line_is_constant() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let (host, bed) = (host(lab, "trips-1"), Bed::new());
    bed.set("health_window: 0s, rollback_after: 60s, health: []");
    let one = bed.build("trips-link", &System::new("1"));
    let switch = |path: &str| {
        let args = ["switch", "trips-link", "--store-path", path];
        counted(&host, &bed, &args)
    };
    let first = switch(&one);
    assert_eq!(first.connections, 2, "the second proves a login: {first:?}");
    let nothing = switch(&one);
    assert_eq!(nothing.connections, 1, "{nothing:?}");
    // Dial, handshake, login, one exec.
    assert!(nothing.round_trips <= 12, "{nothing:?}");
    let two = bed.build("trips-link", &System::new("2"));
    let small = switch(&two);
    assert_eq!(small.connections, 2, "{small:?}");
    // Two handshakes and eight calls, of which two go beside the copy; it was 31 when this was written.
    assert!(small.round_trips <= 36, "{small:?}");
    let copied = |paths: usize| {
        let many = bed.build_many("trips-link", paths);
        let args = ["copy", "trips-link", "--store-path", &many];
        (counted(&host, &bed, &args), many)
    };
    let ((few, _), (many, path)) = (copied(2), copied(200));
    assert_eq!((few.connections, many.connections), (1, 1));
    assert!(
        many.round_trips <= few.round_trips + 3,
        "200 paths cost no more round trips than 2: {many:?}, {few:?}"
    );
    let paths = format!("nix-store -q --requisites {path} | wc -l");
    assert_eq!(host.sh(&paths).out().trim(), "201", "they are all there");
}
