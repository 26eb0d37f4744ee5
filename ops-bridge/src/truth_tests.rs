//! Journals whose truth is known: a bridge is lived through at random, written down as it would write it, and read back. What is
//! said of it must be what happened, to the second and to the message, in whatever form the lines come.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::availability::Availability;
use crate::chance::Chance;
use crate::event;
use crate::history::History;
use crate::known::{Direction, Operation};
use crate::latency::Traffic;
use crate::problems::Problems;
use crate::reader::Reader;
use crate::source::Bounds;
use crate::twin::Twins;
use crate::{socket, uptime};

/// A bridge that is lived through, and what is true of it.
struct Life {
    chance: Chance,
    /// Milliseconds since the beginning.
    now: i64,
    number: u64,
    lines: Vec<Entry>,
    truth: Truth,
    connected_at: Option<i64>,
}

/// A line, and by whom.
struct Entry {
    at: i64,
    of_systemd: bool,
    text: String,
}

#[derive(Debug, Default, PartialEq)]
struct Truth {
    /// Lengths in milliseconds, and why.
    outages: Vec<(i64, String)>,
    refreshes: u64,
    losses: u64,
    starts: u64,
    lost: [u64; 2],
    bridged: [u64; 2],
    slowest: [i64; 2],
    errors: u64,
    state: &'static str,
}

const BEGINNING: i64 = 1_787_130_000_000;

impl Life {
    fn begin(seed: u64) -> Self {
        let mut life = Self {
            chance: Chance::new(seed),
            now: 0,
            number: 0,
            lines: Vec::new(),
            truth: Truth::default(),
            connected_at: None,
        };
        life.start();
        life
    }

    fn pass(&mut self, millis: i64) {
        self.now += millis;
    }

    fn some(&mut self, least: i64, most: i64) -> i64 {
        let span = usize::try_from(most - least).unwrap();
        least + i64::try_from(self.chance.below(span + 1)).unwrap()
    }

    fn say(&mut self, level: &str, fields: &Value, message: &str) {
        let mut line = format!(r#"{{"level":"{level}""#);
        for (name, value) in fields.as_object().unwrap() {
            line.push_str(&format!(r#","{name}":{value}"#));
        }
        // The bridge's own time has nanoseconds, and no two lines have the same.
        self.number += 1;
        let at = Timestamp::from_millisecond(BEGINNING + self.now).unwrap()
            + SignedDuration::from_nanos(i64::try_from(self.number % 999_983).unwrap());
        line.push_str(&format!(r#","time":"{at}","message":"{message}"}}"#));
        self.lines.push(Entry {
            at: self.now,
            of_systemd: false,
            text: line,
        });
    }

    fn unit(&mut self, text: &str) {
        self.lines.push(Entry {
            at: self.now,
            of_systemd: true,
            text: text.to_owned(),
        });
    }

    fn state(&mut self, name: &'static str, error: &str) {
        let state = json!({"state_event": name, "error": error, "remote_id": "T1-U1"});
        let fields = json!({"login_id": "T1-U1", "bridge_state": state});
        self.say("debug", &fields, "Sent new bridge state");
        self.truth.state = name;
    }

    /// The unit starts, and is connected a while later.
    fn start(&mut self) {
        self.unit("Started mautrix-slack.service - Mautrix-Slack bridge.");
        self.pass(300);
        self.say("info", &json!({"version": "v26.07"}), "Initializing bridge");
        self.say("debug", &json!({}), "Initializing database connection");
        let wait = self.some(200, 20_000);
        self.pass(wait);
        self.say("info", &json!({}), "Bridge started");
        self.state("CONNECTING", "");
        self.pass(20);
        self.state("CONNECTED", "");
        self.truth.starts += 1;
        self.connected_at = Some(self.now);
    }

    /// The unit ends in some way, and systemd starts it again.
    fn end(&mut self) {
        let since = self.now;
        let cause = match self.chance.below(3) {
            0 => {
                self.unit("Stopping mautrix-slack.service - Mautrix-Slack bridge...");
                self.say("info", &json!({}), "Shutting down bridge");
                self.pass(40);
                self.say("info", &json!({}), "Shutdown complete");
                self.unit("mautrix-slack.service: Deactivated successfully.");
                self.unit("Stopped mautrix-slack.service - Mautrix-Slack bridge.");
                "stopped".to_owned()
            }
            1 => {
                self.unit("mautrix-slack.service: Main process exited, code=killed, status=9/KILL");
                self.unit("mautrix-slack.service: Failed with result 'signal'.");
                "killed".to_owned()
            }
            _ => {
                let codes = [1, 2, 10, 11, 12, 13, 14, 15, 16, 17, 18, 23, 31, 33, 203];
                let code = codes[self.chance.below(codes.len())];
                self.unit(&format!(
                    "mautrix-slack.service: Main process exited, code=exited, status={code}/n/a"
                ));
                self.unit("mautrix-slack.service: Failed with result 'exit-code'.");
                crate::exit_code::words(code)
            }
        };
        let pause = self.some(500, 7_200_000);
        self.pass(pause);
        if pause > 1000 {
            self.unit("mautrix-slack.service: Scheduled restart job, restart counter is at 1.");
        }
        self.start();
        self.truth.outages.push((self.now - since, cause));
    }

    /// Slack asks for a new socket.
    fn refresh(&mut self) {
        self.state("CONNECTING", "");
        let wait = self.some(1, 200);
        self.pass(wait);
        self.state("CONNECTED", "");
        self.truth.refreshes += 1;
    }

    /// Slack cannot be reached for some attempts, which double.
    fn lose(&mut self) {
        const ERROR: &str = "slack-socketmode-connection-error";
        let since = self.now;
        let attempts = 1 + self.chance.below(13);
        self.state("CONNECTING", "");
        let mut wait = 100;
        for attempt in 0..attempts {
            self.state("TRANSIENT_DISCONNECT", ERROR);
            self.pass(if attempt == 0 { 1 } else { wait });
            wait = if attempt == 0 { wait } else { wait * 2 };
            self.state("CONNECTING", "");
        }
        self.pass(10);
        self.state("CONNECTED", "");
        self.truth.losses += 1;
        self.connected_at = Some(self.now);
        let length = self.now - since;
        if length > 30_000 {
            self.truth.outages.push((length, ERROR.to_owned()));
        }
    }

    /// A message from Slack, some of which the homeserver does not take.
    fn slack_says(&mut self) {
        self.number += 1;
        let sent = Timestamp::from_millisecond(BEGINNING + self.now).unwrap();
        let delay = self.some(20, 9000);
        self.pass(delay);
        let mut fields = json!({
            "action": "handle remote event", "bridge_evt_type": "RemoteEventMessage",
            "remote_message_id": format!("T1-C1-{}", self.number), "remote_timestamp": sent.to_string(),
        });
        if self.chance.below(10) == 0 {
            fields["error"] =
                json!("request error: Put \"http://x\": dial tcp: connection refused");
            self.say("error", &fields, "Request failed");
            self.say("error", &fields, "Failed to send message part to Matrix");
            self.truth.lost[0] += 1;
            self.truth.errors += 1;
        } else {
            fields["part_id"] = json!("");
            self.say("debug", &fields, "Sent message part to Matrix");
            self.truth.bridged[0] += 1;
            self.truth.slowest[0] = self.truth.slowest[0].max(delay);
        }
    }

    /// A message from Matrix, some of which Slack refuses.
    fn matrix_says(&mut self) {
        self.number += 1;
        let id = format!("$event-{}", self.number);
        let fields = json!({"action": "handle matrix event", "event_id": id, "event_type": "m.room.message"});
        self.say("debug", &fields, "Sending message to Slack");
        let delay = self.some(20, 9000);
        self.pass(delay);
        if self.chance.below(10) == 0 {
            let mut fields = fields;
            let codes = [
                "not_in_channel",
                "is_archived",
                "msg_too_long",
                "token_revoked",
            ];
            fields["error"] = json!(codes[self.chance.below(codes.len())]);
            self.say("error", &fields, "Failed to handle Matrix message");
            self.truth.lost[1] += 1;
            self.truth.errors += 1;
        } else {
            let fields = json!({"action": "handle remote event", "existing_mxid": id});
            self.say("debug", &fields, "Ignoring duplicate message");
            self.truth.bridged[1] += 1;
            self.truth.slowest[1] = self.truth.slowest[1].max(delay);
        }
    }

    /// What a healthy bridge writes all day, at warning and error too.
    fn idle(&mut self) {
        let wait = self.some(1000, 600_000);
        self.pass(wait);
        let echo = json!({"remote_sender": {"is_from_me": true}});
        match self.chance.below(4) {
            0 => self.say("debug", &json!({"method": "GET"}), "Request completed"),
            1 => self.say("debug", &json!({}), "Starting handling of transaction"),
            2 => self.say("warn", &json!({"request_uri": "/x"}), "Access"),
            _ => self.say("warn", &echo, "Target reaction not found"),
        }
    }

    fn live(mut self, steps: usize) -> Self {
        for _ in 0..steps {
            match self.chance.below(20) {
                0 => self.end(),
                1 => self.lose(),
                2 | 3 => self.refresh(),
                4..=8 => self.slack_says(),
                9..=13 => self.matrix_says(),
                _ => self.idle(),
            }
        }
        self.pass(1000);
        self.say("debug", &json!({}), "Request completed");
        self
    }

    /// The journal in one of the forms in which it is handed over.
    #[expect(clippy::too_many_lines, reason = "one form after the other")]
    fn written(&self, form: usize) -> String {
        let mut text = String::new();
        for entry in &self.lines {
            let at = Timestamp::from_millisecond(BEGINNING + entry.at).unwrap();
            let who = if entry.of_systemd {
                "systemd[1]"
            } else {
                "mautrix-slack[9]"
            };
            let line = match form {
                0 | 1 => {
                    let command = if entry.of_systemd {
                        "systemd"
                    } else {
                        "mautrix-slack"
                    };
                    let line = json!({
                        "MESSAGE": entry.text, "_COMM": command, "UNIT": "mautrix-slack.service", "PRIORITY": "6",
                        "__REALTIME_TIMESTAMP": at.as_microsecond().to_string(), "_BOOT_ID": "b",
                        "__MONOTONIC_TIMESTAMP": (entry.at * 1000).to_string(),
                    });
                    if form == 0 {
                        line.to_string()
                    } else {
                        format!("data: {line}\r\n")
                    }
                }
                2 => format!(
                    "{} h {who}: {}",
                    at.strftime("%Y-%m-%dT%H:%M:%S.%6f+0000"),
                    entry.text
                ),
                // Some zone, and no year.
                3 => {
                    let wall = at + SignedDuration::from_hours(2);
                    format!(
                        "{} h {who}: {}",
                        wall.strftime("%b %e %H:%M:%S.%6f"),
                        entry.text
                    )
                }
                // Every line by two writers, among those of another bridge and of other units.
                _ => {
                    let of = |unit: &str, command: &str, text: &str| {
                        json!({
                            "MESSAGE": text, "_COMM": command, "_SYSTEMD_UNIT": unit, "UNIT": unit, "PRIORITY": "6",
                            "__REALTIME_TIMESTAMP": at.as_microsecond().to_string(), "_BOOT_ID": "b",
                        })
                        .to_string()
                    };
                    let command = if entry.of_systemd {
                        "systemd"
                    } else {
                        "mautrix-slack"
                    };
                    let ours = of("mautrix-slack.service", command, &entry.text);
                    let theirs = of("mautrix-signal.service", "mautrix-signal", &entry.text);
                    let other = of(
                        "nginx.service",
                        "systemd",
                        "Stopped nginx.service - A proxy.",
                    );
                    if entry.of_systemd {
                        format!("{theirs}\n{ours}\n{other}")
                    } else {
                        format!("{theirs}\n{ours}\n{ours}\n{other}")
                    }
                }
            };
            text.push_str(&line);
            text.push('\n');
        }
        text
    }
}

/// What is read of a journal.
fn read(text: &str) -> (Truth, History) {
    let (mut history, mut problems) = (History::default(), Problems::default());
    let (mut traffic, mut lasting) = (Traffic::default(), Availability::default());
    let mut twins = Twins::default();
    let mut reader = Reader::new(text.as_bytes()).of_unit("mautrix-slack");
    while let Some(line) = reader.next().unwrap() {
        if twins.repeats(&line) {
            continue;
        }
        let event = event::of(&line);
        history.observe(&line, &event);
        problems.observe(&line, &event);
        traffic.observe(&line, &event);
        lasting.observe(&line, &event);
    }
    let now = lasting.last.unwrap().wall;
    let uptime = uptime::judge(lasting, Bounds::default(), now, 99.0);
    let outages = uptime.data["outages"].as_array().unwrap();
    let connection = &history.logins["T1-U1"];
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds of a test")]
    let millis = |seconds: f64| (seconds * 1000.0).round() as i64;
    let slowest = |direction| {
        let longest = traffic.histogram(direction).quantile(100);
        millis(longest.unwrap_or(Duration::ZERO).as_secs_f64())
    };
    let bridged = |direction| traffic.bridged(direction, Operation::Message);
    let truth = Truth {
        outages: outages
            .iter()
            .map(|outage| {
                let cause = outage["cause"].as_str().unwrap().to_owned();
                (millis(outage["length_s"].as_f64().unwrap()), cause)
            })
            .collect(),
        refreshes: connection.refreshes,
        losses: connection.losses,
        starts: connection.starts,
        lost: Direction::BOTH.map(|direction| problems.lost_in(direction)),
        bridged: Direction::BOTH.map(bridged),
        slowest: Direction::BOTH.map(slowest),
        errors: problems.total,
        state: if connection.state == "CONNECTED" {
            "CONNECTED"
        } else {
            "other"
        },
    };
    (truth, history)
}

#[test]
fn what_is_said_of_a_life_is_what_happened() {
    let (mut outages, mut lines) = (0, 0);
    for seed in 1..=24 {
        let life = Life::begin(seed).live(120);
        for form in 0..5 {
            let (told, history) = read(&life.written(form));
            assert_eq!(told, life.truth, "seed {seed}, form {form}");
            let check = &socket::judge(&history, history.last_at.unwrap())[0];
            let since = check.data["connected_since"].as_str().unwrap();
            let since = since.parse::<Timestamp>().unwrap().as_millisecond() - BEGINNING;
            assert_eq!(Some(since), life.connected_at, "seed {seed}, form {form}");
        }
        outages += life.truth.outages.len();
        lines += life.lines.len();
    }
    assert!(
        outages > 100 && lines > 4000,
        "{outages} outages in {lines} lines"
    );
}
