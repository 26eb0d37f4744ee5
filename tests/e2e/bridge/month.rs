//! Thirty days of a bridge, written by hand: outages of known lengths, a reboot, a power cut, a set clock. systemd-journal-remote
//! makes a journal of it, and the real journalctl reads that.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use ops_tests::{Kind, Lab, Ran, skip, tool};
use serde_json::Value;
use tempfile::TempDir;

const DAY: u64 = 86_400;
const MONTH: u64 = 30 * DAY;

/// Where Debian keeps it.
const REMOTE: &str = "/lib/systemd/systemd-journal-remote";

/// A journal in the export format. Times are seconds; the clock on the wall may be set, the one since the boot may not.
struct Writer {
    text: Vec<u8>,
    wall: u64,
    since_boot: u64,
    boot: u32,
}

impl Writer {
    fn pass(&mut self, seconds: u64) {
        self.wall += seconds;
        self.since_boot += seconds;
    }

    fn entry(&mut self, fields: &str, message: &str) {
        let (wall, since_boot, boot) = (self.wall, self.since_boot, self.boot);
        let mut entry = String::new();
        write!(
            entry,
            "__REALTIME_TIMESTAMP={wall}000000\n__MONOTONIC_TIMESTAMP={since_boot}000000\n_BOOT_ID={boot:032x}\n\
            PRIORITY=6\n{fields}\n"
        )
        .expect("a string");
        self.text.extend(entry.as_bytes());
        // As journald does where a text may hold anything: its length, and then the bytes.
        self.text.extend(b"MESSAGE\n");
        self.text.extend((message.len() as u64).to_le_bytes());
        self.text.extend(message.as_bytes());
        self.text.extend(b"\n\n");
    }

    /// A word of systemd about the unit.
    fn unit(&mut self, text: &str) {
        let fields = "_PID=1\n_COMM=systemd\n_UID=0\n_SYSTEMD_UNIT=init.scope\n_SYSTEMD_CGROUP=/init.scope\nUNIT=mautrix-slack.service\nSYSLOG_IDENTIFIER=systemd";
        self.entry(fields, text);
    }

    /// A line of the bridge.
    fn line(&mut self, level: &str, rest: &str, message: &str) {
        let at = jiff::Timestamp::from_second(i64::try_from(self.wall).expect("a time"));
        let at = at.expect("a time");
        let text = format!(r#"{{"level":"{level}"{rest},"time":"{at}","message":"{message}"}}"#);
        let fields = "_PID=99\n_COMM=mautrix-slack\n_UID=998\n_SYSTEMD_UNIT=mautrix-slack.service\nSYSLOG_IDENTIFIER=mautrix-slack";
        self.entry(fields, &text);
    }

    fn state(&mut self, name: &str, error: &str) {
        let rest = format!(
            r#","login_id":"T1-U1","bridge_state":{{"state_event":"{name}","error":"{error}","remote_id":"T1-U1"}}"#
        );
        self.line("debug", &rest, "Sent new bridge state");
    }

    fn start(&mut self) {
        self.unit("Started mautrix-slack.service - bridge.");
        self.pass(1);
        self.line("info", r#","version":"v26.07""#, "Initializing bridge");
        self.state("CONNECTING", "");
        self.pass(1);
        self.state("CONNECTED", "");
    }

    fn stop(&mut self) {
        self.unit("Stopping mautrix-slack.service - bridge...");
        self.line("info", "", "Shutting down bridge");
        self.line("info", "", "Shutdown complete");
        self.unit("mautrix-slack.service: Deactivated successfully.");
        self.unit("Stopped mautrix-slack.service - bridge.");
    }

    fn refresh(&mut self) {
        self.state("CONNECTING", "");
        self.state("CONNECTED", "");
    }

    /// Quiet days with a refresh every four hours, up to this second of the month by the clock that was never set.
    fn run_until(&mut self, second: u64, passed: &mut u64) {
        while *passed + 14_400 < second {
            self.pass(14_400);
            *passed += 14_400;
            self.refresh();
        }
        self.pass(second - *passed);
        *passed = second;
    }
}

/// Writes the month that ends at `end`. Returns it with the lengths of its outages, by cause.
fn month(end: u64) -> (Vec<u8>, Vec<(&'static str, f64)>) {
    let mut it = Writer {
        text: Vec::new(),
        wall: end - MONTH,
        since_boot: 50,
        boot: 1,
    };
    let (mut truth, mut passed) = (Vec::new(), 0);
    it.refresh();

    // The network is gone; the waiting time doubles.
    it.run_until(3 * DAY, &mut passed);
    it.state("CONNECTING", "");
    for wait in [1, 3, 10, 20, 400, 800] {
        it.state("TRANSIENT_DISCONNECT", "slack-socketmode-connection-error");
        it.pass(wait);
        passed += wait;
        it.state("CONNECTING", "");
    }
    it.state("CONNECTED", "");
    truth.push(("slack-socketmode-connection-error", 1234.0));

    // The process is killed, and the database is not there for a while.
    it.run_until(7 * DAY, &mut passed);
    it.unit("mautrix-slack.service: Main process exited, code=killed, status=9/KILL");
    for _ in 0..3 {
        it.pass(30);
        it.unit("mautrix-slack.service: Scheduled restart job, restart counter is at 1.");
        it.unit("Started mautrix-slack.service - bridge.");
        it.line(
            "fatal",
            r#","error":"dial unix""#,
            "Failed to initialize database",
        );
        it.unit("mautrix-slack.service: Main process exited, code=exited, status=15/n/a");
    }
    it.pass(30);
    it.start();
    passed += 4 * 30 + 2;
    truth.push(("exit 15", 122.0));

    // A loss that the grace time covers, and one a second longer.
    it.run_until(9 * DAY, &mut passed);
    for (length, counts) in [(30, false), (31, true)] {
        it.state("TRANSIENT_DISCONNECT", "slack-socketmode-connection-error");
        it.pass(length);
        passed += length;
        it.state("CONNECTED", "");
        if counts {
            truth.push(("slack-socketmode-connection-error", 31.0));
        }
        it.pass(1000);
        passed += 1000;
    }

    // A clean reboot.
    it.run_until(12 * DAY, &mut passed);
    it.stop();
    it.pass(75);
    (it.boot, it.since_boot) = (2, 15);
    it.start();
    passed += 77;
    truth.push(("reboot", 77.0));

    // The clock is an hour ahead for a day. It costs nothing.
    it.run_until(15 * DAY, &mut passed);
    it.wall += 3600;
    it.run_until(16 * DAY, &mut passed);
    it.refresh();
    it.wall -= 3600;
    it.line("info", "", "tick");

    // The power is cut for 5000 s, of which nobody wrote.
    it.run_until(20 * DAY, &mut passed);
    it.line("info", "", "the last word");
    it.pass(5000);
    (it.boot, it.since_boot) = (3, 12);
    it.start();
    passed += 5002;
    truth.push(("start after a power cut", 2.0));

    // A start that fails, and a restart by hand.
    it.run_until(25 * DAY, &mut passed);
    it.stop();
    it.unit("Started mautrix-slack.service - bridge.");
    it.line("info", "", "Initializing bridge");
    it.state("UNKNOWN_ERROR", "slack-unknown-fetch-error");
    it.pass(600);
    it.stop();
    it.start();
    passed += 602;
    truth.push(("", 602.0));

    it.run_until(MONTH, &mut passed);
    it.line("info", "", "now");
    (it.text, truth)
}

/// Makes a journal of an export, if that program is here.
#[expect(clippy::disallowed_methods, reason = "a test may leave half a file")]
fn journal(export: &[u8], folder: &Path) -> Option<PathBuf> {
    let (from, to) = (folder.join("month.export"), folder.join("month.journal"));
    if !Path::new(REMOTE).exists() {
        return None;
    }
    std::fs::write(&from, export).expect("a folder to write to");
    let made = Command::new(REMOTE).arg("-o").arg(&to).arg(&from).output();
    let made = made.expect("a program that starts");
    assert!(made.status.success(), "{made:?}");
    Some(to)
}

/// Compares what was found with the truth, to the second.
fn is_true(ran: &Ran, truth: &[(&str, f64)]) {
    let record = ran.json().remove(0);
    let data = &record["data"];
    let lengths = |holes: &Value| -> Vec<f64> {
        let holes = holes.as_array().expect("holes");
        holes
            .iter()
            .map(|hole| hole["length_s"].as_f64().expect("a length"))
            .collect()
    };
    let wanted: Vec<_> = truth.iter().map(|(_, length)| *length).collect();
    assert_eq!(lengths(&data["outages"]), wanted, "{record:#?}");
    for (outage, (cause, _)) in data["outages"]
        .as_array()
        .expect("outages")
        .iter()
        .zip(truth)
    {
        assert!(
            outage["cause"]
                .as_str()
                .is_some_and(|told| told.starts_with(cause)),
            "{outage} is not '{cause}'"
        );
    }
    let gaps = lengths(&data["gaps"]);
    assert!(
        gaps.contains(&5000.0) && gaps.iter().sum::<f64>() <= 5000.5,
        "{data:#?}"
    );
    let down: f64 = wanted.iter().sum();
    let observed = 2_592_000.0 - 5000.0;
    let exact = 100.0 * (observed - down) / observed;
    let share = record["value"].as_f64().expect("a share");
    assert!(
        (share - exact).abs() < 1.0 / observed * 100.0,
        "{share} is not {exact}"
    );
}

#[test]
fn the_uptime_of_a_month_is_exact_to_the_second() {
    let folder = TempDir::new().expect("a folder");
    let (export, truth) = month(1_787_130_000);
    let uptime = |input: Vec<u8>, window: &[&str]| {
        tool("ops-bridge")
            .args(["uptime", "--json"])
            .args(window)
            .arg("-")
            .stdin(input)
            .run()
    };
    is_true(&uptime(export.clone(), &[]), &truth);
    is_true(&uptime(export.clone(), &["--since", "30d"]), &truth);
    let Some(journal) = journal(&export, folder.path()) else {
        return skip("systemd-journal-remote");
    };
    for format in ["json", "export"] {
        let read = format!(
            r#"journalctl --file '{}' -q --all -o {format} -u mautrix-slack | exec "$@""#,
            journal.display()
        );
        let ran = tool("ops-bridge")
            .args(["uptime", "--json", "-"])
            .through(&read)
            .run();
        is_true(&ran, &truth);
    }
}

#[test]
fn a_host_with_a_month_of_journal_says_the_same() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let folder = TempDir::new().expect("a folder");
    let now = jiff::Timestamp::now().as_second();
    let (export, truth) = month(u64::try_from(now).expect("a time"));
    let Some(journal) = journal(&export, folder.path()) else {
        return skip("systemd-journal-remote");
    };
    let host = lab.host("bridge-month", Kind::Plain);
    let place = host
        .sh("d=/var/log/journal/$(cat /etc/machine-id); mkdir -p $d; echo $d")
        .expect(0);
    let file = format!("{}/month.journal", place.out().trim());
    host.write(&file, std::fs::read(journal).expect("a journal"));
    host.sh(&format!("chmod 640 {file}")).expect(0);
    let ran = tool("ops-bridge")
        .args([
            "uptime",
            "--json",
            "--since",
            "30d",
            "--host",
            "bridge-month",
        ])
        .run();
    let record = ran.json().remove(0);
    let outages = record["data"]["outages"]
        .as_array()
        .expect("outages")
        .clone();
    let lengths: Vec<_> = outages
        .iter()
        .map(|outage| outage["length_s"].as_f64())
        .collect();
    let wanted: Vec<_> = truth.iter().map(|(_, length)| Some(*length)).collect();
    assert_eq!(lengths, wanted, "{record:#?}");

    let gaps = record["data"]["gaps"].as_array().expect("gaps").clone();
    assert!(
        gaps.iter().any(|gap| gap["length_s"] == 5000.0),
        "{gaps:#?}"
    );

    // A window that begins within an outage counts what lies in it.
    let begun = jiff::Timestamp::from_second(now - 27 * 86_400 + 234).expect("a time");
    let ran = tool("ops-bridge")
        .args([
            "uptime",
            "--json",
            "--since",
            &begun.to_string(),
            "--until",
            "26d",
            "--host",
            "bridge-month",
        ])
        .run();
    let record = ran.json().remove(0);
    let down = record["data"]["down_s"].as_f64().expect("a length");
    assert!((down - 1000.0).abs() < 0.001, "{record:#?}");
}
