//! No secret is in the arguments or the environment of any program, here or on the host, while any verb runs.

use std::fs;
use std::path::Path;

use ops_tests::{Alias, Kind, Lab, LabHost, Tool, command, skip};
use serde_json::Value;

use crate::scene::{Bridged, PLAIN, Scene, host};
use crate::slack::{APP_TOKEN, BOT_TOKEN, HUMAN_TOKEN};
use crate::spy::{HostSpy, leaks, running_with, watched};
use crate::table::VERBS;
use crate::verbs::Verb;

/// Verbs that are there to give a program its secrets in the environment.
const ASKED_FOR: [&str; 1] = ["ops-secrets exec-env"];

/// One verb of each tool that is run by a user who has to give sudo a password too: it takes the same way in all of them.
const WITH_SUDO: [&str; 4] = [
    "ops-matrix status",
    "ops-bridge status",
    "ops-deploy status",
    "ops-db list",
];

/// What the user `asker` gives sudo: it has what URLs and base64 write in another way.
const SUDO_PASSWORD: &str = "canary-sudo/7+q=1";

#[test]
fn no_program_is_started_with_a_secret() {
    let (Some(host), Some(bridged)) = (host(), Bridged::get()) else {
        return skip("lab");
    };
    let bridged = &bridged.host;
    let secrets = known_secrets(&[host, bridged]);
    let _asker = asker(host);
    let spies = [host, bridged].map(HostSpy::on);
    let mut told = Vec::new();
    for verb in VERBS {
        let scene = Scene::new(verb);
        told.extend(look(verb, &scene, scene.command(&[]), &secrets));
        if WITH_SUDO.contains(&verb.name) {
            let scene = Scene::new(verb);
            told.extend(look(verb, &scene, with_sudo(&scene), &secrets));
        }
    }
    let starts = spies.map(HostSpy::finish);
    assert!(
        starts[0].contains("\"sudo\""),
        "nobody has become root with sudo\n{}",
        starts[0]
    );
    let shown = starts.iter().flat_map(|starts| leaks(starts, &secrets));
    told.extend(shown.map(str::to_owned));
    assert!(told.is_empty(), "{}", told.join("\n\n"));
}

/// The search is worth something only if it finds what is there: in an argument, in a variable, in a unit of a host.
#[test]
fn what_is_planted_is_found() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = &lab.host("contract-planted", Kind::Plain);
    let planted = "canary-planted/9+z=2";
    let secrets = [planted.to_owned()];
    let both = format!("/bin/true {planted}; X={planted} /bin/true");
    let (ran, starts) = watched(command("sh").args(["-c", "sh -c \"$1\"; exit 3", "sh", &both]));
    assert_eq!(
        (ran.status, leaks(&starts, &secrets).len()),
        (3, 4),
        "{starts}"
    );

    let spy = HostSpy::on(host);
    let unit = "systemd-run -q --service-type=exec -u planted sh -c 'sleep infinity; :'";
    host.ssh(&format!("{both}; {unit} {planted}")).expect(0);
    let starts = spy.finish();
    assert!(leaks(&starts, &secrets).len() >= 4, "{starts}");
    assert_eq!(
        running_with(&secrets),
        [format!("/usr/bin/sh -c sleep infinity; : {planted} ")]
    );
    host.sh("systemctl stop planted").expect(0);
    assert_eq!(running_with(&secrets), [""; 0]);
}

/// Runs a verb, and returns what is wrong with what it has started here.
fn look(verb: &Verb, scene: &Scene, tool: Tool, secrets: &[String]) -> Option<String> {
    let (ran, starts) = watched(tool);
    if ran.status != verb.status {
        return Some(format!(
            "{}: status {} expected\n{ran}",
            verb.name, verb.status
        ));
    }
    assert!(
        starts.contains(verb.tool()),
        "the search saw nothing of '{}'",
        verb.name
    );
    let mut secrets = secrets.to_vec();
    secrets.extend(private_keys(&scene.folder().join("key.txt")));
    secrets.extend(keys_in(&ran.out()));
    let starts = if ASKED_FOR.contains(&verb.name) {
        without_environment(&starts)
    } else {
        starts
    };
    let mut found: Vec<_> = leaks(&starts, &secrets)
        .into_iter()
        .map(str::to_owned)
        .collect();
    found.extend(running_with(&secrets));
    let found = found.join("\n");
    (!found.is_empty()).then(|| format!("{}:\n{found}", verb.name))
}

/// The lines of a log up to the environments.
fn without_environment(starts: &str) -> String {
    let cut = |line: &str| {
        line.rsplit_once("], [")
            .map_or(line, |(before, _)| before)
            .to_owned()
    };
    starts.lines().map(cut).collect::<Vec<_>>().join("\n")
}

/// What verbs handle that nobody else may see.
fn known_secrets(hosts: &[&LabHost]) -> Vec<String> {
    let mut secrets = [PLAIN, SUDO_PASSWORD, APP_TOKEN, BOT_TOKEN, HUMAN_TOKEN]
        .map(str::to_owned)
        .to_vec();
    for host in hosts {
        let login: Value =
            serde_json::from_slice(&host.read("/etc/ops-lab/op.json")).expect("a login");
        secrets.push(login["access_token"].as_str().expect("a token").to_owned());
    }
    secrets
}

fn private_keys(file: &Path) -> Vec<String> {
    fs::read_to_string(file).map_or_else(|_| Vec::new(), |text| keys_in(&text))
}

fn keys_in(text: &str) -> Vec<String> {
    let is_key = |line: &&str| line.starts_with("AGE-SECRET-KEY-");
    text.lines().filter(is_key).map(str::to_owned).collect()
}

/// Makes `--host contract-asker` the host's user who has to give sudo a password.
fn asker(host: &LabHost) -> Alias {
    let password = format!("asker:{SUDO_PASSWORD}\n");
    host.sh_with("chpasswd", password.as_bytes()).expect(0);
    let (address, key) = (host.v4(), host.name());
    Alias::new(
        "contract-asker",
        &format!("    HostName {address}\n    HostKeyAlias {key}\n    User asker"),
    )
}

/// The invocation as that user.
fn with_sudo(scene: &Scene) -> Tool {
    #[expect(clippy::disallowed_methods, reason = "a test may leave half a file")]
    fs::write(
        scene.folder().join("password"),
        format!("{SUDO_PASSWORD}\n"),
    )
    .expect("a folder to write to");
    scene
        .command_at("contract-asker", &["--sudo", "--sudo-password-fd", "3"])
        .through("exec 3< password; exec \"$@\"")
}
