//! Eight hosts behind 100 ms take about as long as one: each time a system that none of them has, a small one and one with
//! two hundred new paths.

use std::path::Path;
use std::time::Duration;

use ops_tests::relay::{Link, Relay};
use ops_tests::{Kind, Lab, LabHost, nixos, tool};

use crate::tell::{Limit, tell};
use crate::{Outcome, RUNS, write};

const HOSTS: usize = 8;

/// How many paths the large system refers to that are new.
const PATHS: usize = 200;

pub(crate) fn rows(lab: Lab) -> Outcome<Vec<bool>> {
    let hosts: Vec<LabHost> = (1..=HOSTS)
        .map(|number| lab.host(&format!("fleet-{number}"), Kind::Plain))
        .collect();
    let folder = tempfile::tempdir()?;
    let link = Link::new().delay(Duration::from_millis(50));
    let names: Vec<String> = (1..=HOSTS)
        .map(|number| format!("fleet-link-{number}"))
        .collect();
    let _relays: Vec<Relay> = hosts
        .iter()
        .zip(&names)
        .map(|(host, name)| Relay::before(host, name, link))
        .collect();
    let entry = |name: &String| format!("  {name}: {{flake: \".#fleet\", groups: [all]}}\n");
    let entries = names.iter().map(entry).collect::<Vec<_>>().concat();
    let settings = "deploy: {health_window: 0s, rollback_after: 120s, health: []}\n";
    write(
        &folder.path().join("ops.yaml"),
        &format!("hosts:\n{entries}{settings}"),
    );
    let mut version = 0;
    let mut switch = |hosts: &str, paths: usize| {
        version += 1;
        system(folder.path(), version, paths);
        let ran = tool("ops-deploy")
            .args(["switch", hosts])
            .dir(folder.path());
        let ran = ran.timeout(Duration::from_mins(5)).run().expect(0);
        let shown = format!("fleet-{version}\n");
        assert!(ran.out().ends_with(&shown), "the new system\n{ran}");
        ran.took.as_secs_f64()
    };
    switch("@all", 0);
    let mut kept = Vec::new();
    for (what, paths) in [("a small system", 0), ("200 new paths", PATHS)] {
        let ratios = (0..RUNS).map(|_| switch("@all", paths) / switch(&names[0], paths));
        kept.push(tell(
            &format!("8 hosts, 100 ms, {what}: beside one they take"),
            ratios.collect(),
            Some(Limit::AtMost(2.0)),
        ));
    }
    Ok(kept)
}

/// Writes the flake of a system that nobody has yet.
fn system(folder: &Path, version: usize, paths: usize) {
    let line = format!("exec sleep 100000 # {version}");
    let system = nixos::System::new("fleet")
        .version(&version.to_string())
        .service("app", &line);
    nixos::flake(folder, &[system]);
    let flake = folder.join("flake.nix");
    let text = std::fs::read_to_string(&flake).unwrap_or_default();
    let new = format!(
        "extra = \"echo ${{toString (builtins.genList (n: builtins.toFile \"one\" \"{version} ${{toString n}}\") {paths})}} >$out/many\";"
    );
    write(&flake, &text.replacen("extra = \"\";", &new, 1));
}
