//! Journals of real runs, damaged in every way that a disk, a cable or a hand damages a file: nothing panics, and what has
//! nothing to do with the bridge changes nothing of what is said about it. The same seeds make the same journals each time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use ops_common::check::{Check, State};

use crate::availability::Availability;
use crate::chance::Chance;
use crate::delays;
use crate::event;
use crate::history::History;
use crate::known::Direction;
use crate::latency::Traffic;
use crate::problems::Problems;
use crate::reader::Reader;
use crate::source::Bounds;
use crate::{socket, status, uptime};

const RECORDED: [&[u8]; 3] = [
    include_bytes!("../../tests/e2e/bridge/recorded/connection.json"),
    include_bytes!("../../tests/e2e/bridge/recorded/flow.json"),
    include_bytes!("../../tests/e2e/bridge/recorded/neighbours.json"),
];

/// What the verbs say of a journal, as far as it is compared.
#[derive(Debug, PartialEq)]
struct Told {
    socket: Vec<(State, String)>,
    status: (State, String),
    uptime: (State, usize),
    errors: u64,
    lost: BTreeMap<String, u64>,
    bridged: [u64; 2],
}

impl Told {
    /// Reads a journal through everything that reads journals.
    fn by(journal: &[u8]) -> Self {
        let mut history = History::default();
        let mut problems = Problems::default();
        let mut traffic = Traffic::default();
        let mut availability = Availability::default();
        let mut reader = Reader::new(journal);
        while let Some(line) = reader.next().unwrap() {
            let event = event::of(&line);
            history.observe(&line, &event);
            problems.observe(&line, &event);
            traffic.observe(&line, &event);
            availability.observe(&line, &event);
        }
        let now = history.last_at.unwrap_or(Timestamp::UNIX_EPOCH);
        let lasting = uptime::judge(availability, Bounds::default(), now, 99.0);
        let outages = lasting.data["outages"].as_array().map_or(0, Vec::len);
        assert_eq!(delays::judge(&traffic, Duration::from_secs(5)).len(), 6);
        assert!(problems.groups().iter().all(|group| group.count > 0));
        Self {
            socket: socket::judge(&history, now).iter().map(verdict).collect(),
            status: verdict(&status::tests::from_journal(journal, now)),
            uptime: (lasting.status, outages),
            errors: problems.total,
            lost: Direction::BOTH
                .map(|direction| (direction.to_string(), problems.lost_in(direction)))
                .into(),
            bridged: Direction::BOTH.map(|direction| traffic.histogram(direction).count()),
        }
    }
}

fn verdict(check: &Check) -> (State, String) {
    let code = check.data["verdict"].as_str().unwrap_or_default();
    (check.status, code.to_owned())
}

/// A journal up to a line somewhere: what it was like then.
fn prefix<'a>(journal: &'a [u8], chance: &mut Chance) -> Vec<&'a [u8]> {
    let mut lines: Vec<_> = journal.split_inclusive(|byte| *byte == b'\n').collect();
    lines.truncate(1 + chance.below(lines.len()));
    lines
}

/// A line that is no line of the bridge, written at the time of another.
fn unrelated(near: &[u8], chance: &mut Chance) -> Vec<u8> {
    let near: serde_json::Value = serde_json::from_slice(near).unwrap();
    let at = &near["__REALTIME_TIMESTAMP"];
    match chance.below(6) {
        0 => format!(r#"{{"MESSAGE":"Accepted publickey for op","_COMM":"sshd","PRIORITY":"3","__REALTIME_TIMESTAMP":{at}}}"#).into(),
        1 => format!(r#"{{"MESSAGE":"{{\"level\":\"info\",\"message\":\"tick\"}}","__REALTIME_TIMESTAMP":{at}}}"#).into(),
        2 => b"the bridge is CONNECTED, says a passer-by".to_vec(),
        3 => format!(r#"{{"MESSAGE":[{}],"__REALTIME_TIMESTAMP":{at}}}"#, vec!["255"; chance.below(99)].join(",")).into(),
        4 => vec![b'x'; 1 << (chance.below(22))],
        _ => (0..chance.below(300)).map(|_| chance.byte()).filter(|byte| *byte != b'\n').collect(),
    }
}

#[test]
fn unrelated_lines_change_nothing() {
    let mut chance = Chance::new(0x5eed);
    let mut failing = BTreeSet::new();
    for round in 0..300 {
        let lines = prefix(RECORDED[round % RECORDED.len()], &mut chance);
        let before = Told::by(&lines.concat());
        let mut journal = Vec::new();
        for line in &lines {
            journal.extend(*line);
            if chance.below(4) == 0 {
                journal.extend(unrelated(line, &mut chance));
                journal.push(b'\n');
            }
        }
        assert_eq!(Told::by(&journal), before, "round {round}");
        let verdicts = before.socket.iter().chain([&before.status]);
        failing.extend(
            verdicts
                .filter(|(state, _)| *state == State::Fail)
                .map(|(_, code)| code.clone()),
        );
    }
    let wanted = [
        "app-token-refused",
        "database-away",
        "disconnected",
        "nobody-logged-in",
        "start-failed",
        "stopped",
    ];
    for code in wanted {
        assert!(
            failing.contains(code),
            "no journal ends in {code}: {failing:?}"
        );
    }
}

/// Damages a journal in one way.
fn damage(lines: &mut Vec<Vec<u8>>, chance: &mut Chance) {
    let at = chance.below(lines.len());
    let length = lines[at].len();
    let place = chance.below(length);
    match chance.below(9) {
        0 if length > 0 => lines[at][place] ^= 1 << chance.below(8),
        1 => lines[at].truncate(place),
        2 if lines.len() > 1 => drop(lines.remove(at)),
        3 => lines.insert(at, lines[at].clone()),
        4 => {
            let other = chance.below(lines.len());
            lines.swap(at, other);
        }
        5 => lines.insert(at, (0..chance.below(500)).map(|_| chance.byte()).collect()),
        6 => {
            let long = vec![chance.byte(); 1 << chance.below(22)];
            drop(lines[at].splice(place..place, long));
        }
        // Each key a second time, with another line's value.
        7 => {
            let other = lines[chance.below(lines.len())].clone();
            let end = length.saturating_sub(2);
            lines[at].truncate(end);
            lines[at].push(b',');
            lines[at].extend(other.get(1..).unwrap_or_default());
        }
        // The other forms that a journal may take begin in the midst of this one.
        _ => {
            let begins: [&[u8]; 4] = [
                b"__CURSOR=s=1\nMESSAGE\n\xff\xff\xff\xff\xff\xff\xff\x7f",
                b"__REALTIME_TIMESTAMP=-999999999999999999\n",
                b"{\"MESSAGE\":[1,2,",
                b"9999-99-99T99:99:99Z ERR ",
            ];
            lines.insert(at, begins[chance.below(begins.len())].to_vec());
        }
    }
}

#[test]
fn no_damage_is_a_panic() {
    let mut chance = Chance::new(0xda_11a9e);
    for round in 0..120 {
        let journal = RECORDED[round % RECORDED.len()];
        let mut lines: Vec<_> = prefix(journal, &mut chance)
            .into_iter()
            .map(<[u8]>::to_vec)
            .collect();
        for _ in 0..=chance.below(12) {
            damage(&mut lines, &mut chance);
        }
        Told::by(&lines.concat());
    }
}
