//! The way of a deployment that goes well, and what it leaves.

use ops_tests::{Lab, skip};

use crate::bed::{After, Bed, System, host};

#[test]
fn first_deployment_and_next() {
    let Some(lab) = Lab::get() else { return skip("lab") };
    let (host, bed) = (host(lab, "way-1"), Bed::new());
    host.sh("rm /run/current-system /nix/var/nix/profiles/system*").expect(0);
    let first = bed.switch("way-1", &System::new("1").first()).expect(0).complains("no system yet");
    let one = first.out().trim().to_owned();
    assert_eq!(After::of(&host), After::settled(&one));
    assert_eq!(bed.record("way-1")["outcome"], "deployed");
    let again = bed.switch("way-1", &System::new("1").first()).expect(0).complains("nothing to do");
    assert_eq!(again.out().trim(), one);
    assert_eq!(bed.records("way-1").len(), 1, "nothing to do is no deployment");
    let two = bed.deployed("way-1", &System::new("2"));
    assert_eq!(After::of(&host), After::settled(&two));
    let record = bed.record("way-1");
    assert_eq!((&record["old"], &record["new"]), (&one.into(), &two.clone().into()));
    assert_eq!(record["units"][0]["action"], "restart", "{record}");
    assert_eq!(record["packages"][0]["name"], "app", "{record}");
    assert_eq!(bed.worklogs().len(), 2);
    host.reboot();
    assert_eq!(After::of(&host), After::settled(&two));
    bed.ops(&["verify", "way-1", "--json"]).run().expect(0);
}
