//! What a host says about its bridge, asked in one exec: the unit, the journal, the database, the configuration, the sockets.

use std::collections::BTreeMap;

use jiff::Timestamp;
use ops_common::host::{Command, Host};

use crate::configuration::Configuration;
use crate::database::{self, Database};
use crate::error::Error;
use crate::json;
use crate::registration::{self, File};
use crate::settings::Settings;
use crate::socket_table::{self, Socket};
use crate::unit::Unit;

/// The script that runs on the host.
const SCRIPT: &str = include_str!("probe.sh");

/// What can be asked for.
pub(crate) const ALL: &str = "now unit tail states problems native database configuration sockets";

/// The answer; each part is there or has failed by itself.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) now: Timestamp,
    pub(crate) unit: Result<Unit, String>,
    /// Lines of `journalctl -o json` in their order, each once.
    pub(crate) journal: Result<Vec<u8>, String>,
    pub(crate) database: Result<Database, String>,
    pub(crate) configuration: Result<Configuration, String>,
    pub(crate) sockets: Result<Vec<Socket>, String>,
    pub(crate) registrations: Result<Vec<File>, String>,
}

/// Asks a host.
pub(crate) fn ask(host: &Host, settings: &Settings, parts: &str) -> Result<Answer, Error> {
    let nonce = format!(
        "={:x}{:x}=",
        std::process::id(),
        Timestamp::now().as_nanosecond()
    );
    let config = settings.config.as_deref().unwrap_or_default();
    let arguments = [
        &nonce,
        &settings.unit,
        &settings.database,
        &settings.db_user,
        config,
        database::SQL,
        parts,
    ];
    let said = host.output(&Command::script(SCRIPT, &arguments))?;
    Ok(read(&String::from_utf8_lossy(&said), &nonce))
}

fn read(said: &str, nonce: &str) -> Answer {
    let parts = split(said, nonce);
    let part = |name: &str| {
        parts
            .get(name)
            .cloned()
            .unwrap_or_else(|| Err("no answer".to_owned()))
    };
    let now = part("now")
        .ok()
        .and_then(|seconds| seconds.trim().parse::<f64>().ok());
    #[expect(
        clippy::cast_possible_truncation,
        reason = "milliseconds since 1970 fit"
    )]
    let now = now.and_then(|seconds| Timestamp::from_millisecond((seconds * 1000.0) as i64).ok());
    let journal = ["tail", "states", "problems", "native"]
        .map(part)
        .into_iter()
        .collect::<Result<Vec<_>, _>>();
    // A unit that ever ran has lines: none means no journal, or no permission to read it.
    let journal = journal.and_then(|parts| match parts[0].trim() {
        "" => Err("the journal holds no line of the unit".to_owned()),
        _ => Ok(parts),
    });
    Answer {
        now: now.unwrap_or_else(Timestamp::now),
        unit: part("unit").map(|text| Unit::read(&text)),
        journal: journal.map(|parts| in_order(&parts)),
        database: part("database").and_then(|text| Database::read(&text)),
        configuration: part("configuration").and_then(|text| Configuration::read(&text)),
        sockets: part("sockets").map(|text| socket_table::read(&text)),
        registrations: part("registration").map(|text| registration::files(&text, nonce)),
    }
}

/// The parts by name: what each printed, or why it failed.
fn split<'a>(said: &'a str, nonce: &str) -> BTreeMap<&'a str, Result<String, String>> {
    let mut parts = BTreeMap::new();
    let (begin, end) = (format!("{nonce} begin "), format!("\n{nonce} end "));
    let mut rest = said;
    while let Some((_, after)) = rest.split_once(&begin) {
        let Some((name, after)) = after.split_once('\n') else {
            break;
        };
        // A part that prints nothing ends with the newline of its first line.
        let ended = after
            .split_once(&end)
            .or_else(|| after.strip_prefix(&end[1..]).map(|after| ("", after)));
        let Some((text, after)) = ended else {
            parts.insert(name, Err("the answer was cut".to_owned()));
            break;
        };
        let line = after.split('\n').next().unwrap_or_default();
        let mut words = line.splitn(3, ' ').skip(1);
        let (status, complaint) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default().trim(),
        );
        let part = match status {
            "0" => Ok(text.to_owned()),
            _ if complaint.is_empty() => Err(format!("failed with status {status}")),
            _ => Err(complaint.to_owned()),
        };
        parts.insert(name, part);
        rest = after;
    }
    parts
}

/// Lines that were read through several windows, each once, by time.
fn in_order(parts: &[String]) -> Vec<u8> {
    let mut lines: BTreeMap<(u64, String), &str> = BTreeMap::new();
    for line in parts
        .iter()
        .flat_map(|part| part.lines())
        .filter(|line| !line.is_empty())
    {
        let mut key = (0, String::new());
        for (name, value) in json::members(line).flatten() {
            match name {
                "__REALTIME_TIMESTAMP" => key.0 = value.text().parse().unwrap_or(0),
                "__CURSOR" => key.1 = value.text().into_owned(),
                _ => {}
            }
        }
        lines.insert(key, line);
    }
    lines
        .into_values()
        .flat_map(|line| [line.as_bytes(), b"\n"])
        .flatten()
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_apart_and_a_failed_one_keeps_its_reason() {
        let said = "=1= begin unit\nActiveState=active\n\n=1= end unit 0 \n=1= begin tail\n\n=1= end tail 1 no such file\n=1= begin now\n12";
        let parts = split(said, "=1=");
        assert_eq!(parts["unit"], Ok("ActiveState=active\n".to_owned()));
        assert_eq!(parts["tail"], Err("no such file".to_owned()));
        assert_eq!(parts["now"], Err("the answer was cut".to_owned()));
    }

    #[test]
    fn lines_of_overlapping_windows_come_once_and_by_time() {
        let line = |at: u8| {
            format!(r#"{{"__CURSOR":"c{at}","__REALTIME_TIMESTAMP":"{at}","MESSAGE":"m{at}"}}"#)
        };
        let ordered = in_order(&[[line(3), line(4)].join("\n"), [line(3), line(1)].join("\n")]);
        assert_eq!(
            String::from_utf8(ordered).unwrap(),
            format!("{}\n{}\n{}\n", line(1), line(3), line(4))
        );
    }
}
