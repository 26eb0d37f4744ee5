//! The log followed over a connection that is cut, and what can be seen of a run from outside.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ops_tests::relay::{Link, Relay};
use ops_tests::{Lab, command, skip, tool};

use crate::bed::Bed;
use crate::slack::{GENERAL, HUMAN_TOKEN};

/// The numbers of the messages in a followed log, in their order.
fn numbers(log: &str) -> Vec<String> {
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    lines
        .filter(|line| line["message"] == "Sent message part to Matrix")
        .filter_map(|line| Some(line["fields"]["remote_message_id"].as_str()?.to_owned()))
        .collect()
}

#[test]
fn a_log_is_followed_over_cuts_without_losing_or_repeating_a_line() {
    let Some(lab) = Lab::get() else {
        return skip("bridge");
    };
    let bed = Bed::make(lab, "bridge-follow");
    bed.log_in();
    let relay = Relay::before(&bed.host, "bridge-far", Link::new());
    let log = tool("ops-bridge")
        .args(["log", "-f", "-n", "1", "--json", "--host", relay.alias()])
        .spawn();
    // It follows from here on.
    log.wait_for("message");
    let mut sent = Vec::new();
    for cut in 0..3 {
        for _ in 0..5 {
            sent.push(format!("T1-C1-{}", bed.slack.say(GENERAL, "before CANARY")));
        }
        let connections = relay.count().connections;
        relay.cut();
        for _ in 0..5 {
            sent.push(format!("T1-C1-{}", bed.slack.say(GENERAL, "away CANARY")));
        }
        relay.wait_connections(connections + 1);
        log.wait_for(sent.last().expect("a message"));
        assert!(relay.count().connections > cut, "it was cut");
    }
    log.signal(rustix::process::Signal::TERM);
    let ran = log.finish();
    let seen = numbers(&ran.out());
    assert_eq!(seen, sent, "each once, in order");
    assert!(crate::bed::is_clean(&ran));
}

/// Everything that any process of the lab shows in its arguments and environment while `run` runs.
fn watched(run: impl FnOnce()) -> BTreeSet<String> {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let watcher = thread::spawn(move || {
        let mut seen = BTreeSet::new();
        while !stopped.load(Ordering::Relaxed) {
            for process in fs::read_dir("/proc").expect("/proc").flatten() {
                for file in ["cmdline", "environ"] {
                    let text = fs::read(process.path().join(file)).unwrap_or_default();
                    let text = String::from_utf8_lossy(&text);
                    seen.extend(text.split('\0').map(str::to_owned));
                }
            }
        }
        seen
    });
    run();
    stop.store(true, Ordering::Relaxed);
    watcher.join().expect("a thread that watches")
}

#[test]
fn no_token_is_in_an_argument_an_environment_a_journal_or_a_record() {
    let Some(lab) = Lab::get() else {
        return skip("bridge");
    };
    let bed = Bed::make(lab, "bridge-canary");
    let mut outputs = Vec::new();
    let seen = watched(|| {
        // What is looked for is found where it is.
        let planted = command("sleep")
            .args(["300"])
            .env("PLANTED", "planted-1")
            .spawn();
        bed.log_in();
        let room = bed.room("T1-C1");
        bed.write_tokens(
            "ping",
            &format!(
                "slack_token: {HUMAN_TOKEN}\nslack_channel: C1\nmatrix_token: {}\nmatrix_room: \"{room}\"\n",
                bed.token()
            ),
        );
        outputs.push(bed.bridge("ping --tokens ping.yaml --json").expect(0));
        outputs.push(bed.bridge("doctor --tokens slack.yaml --json -v"));
        outputs.push(bed.bridge("status --json -v"));
        outputs.push(bed.bridge("logins --json"));
        outputs.push(bed.bridge("health --json"));
        planted.signal(rustix::process::Signal::KILL);
        drop(planted.finish());
    });
    let config = bed.host.read("/var/lib/mautrix-slack/registration.yaml");
    let config = String::from_utf8_lossy(&config).into_owned();
    let registered = ["as_token: ", "hs_token: "].map(|name| {
        let token = config.lines().find_map(|line| line.strip_prefix(name));
        token.expect("a token").trim().to_owned()
    });
    let mut secrets: Vec<_> = registered.into();
    secrets.extend(["CANARY", "at-least-sixteen-chars", bed.token()].map(str::to_owned));
    let holds = |text: &str, secret: &str| text.contains(secret);
    assert!(
        seen.iter().any(|text| holds(text, "planted-1")),
        "nothing was watched"
    );
    let journal = bed
        .host
        .sh("journalctl -q -o cat -t sudo -t sshd -t ops-bridge")
        .out();
    for secret in &secrets {
        assert!(
            !seen.iter().any(|text| holds(text, secret)),
            "'{secret}' was to be seen"
        );
        assert!(!holds(&journal, secret), "'{secret}' is in a journal");
        for ran in &outputs {
            assert!(
                !holds(&ran.out(), secret) && !holds(&ran.err(), secret),
                "{ran}"
            );
        }
    }
}
