//! The units of a host as `systemctl show` tells them.

use std::collections::BTreeMap;
use std::time::Duration;

/// The properties that are asked for; [`parse`] reads them in any order.
pub const PROPERTIES: &str = "Id,LoadState,UnitFileState,ActiveState,SubState,Result,NRestarts,ExecMainStatus,MainPID,FragmentPath,Type,Description,\
TimeoutStartUSec,StateChangeTimestampMonotonic,InactiveExitTimestampMonotonic,InvocationID";

/// One unit at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unit {
    /// Its name with its type.
    pub name: String,
    /// `loaded`, `not-found`, `masked`.
    pub load: String,
    /// `enabled`, `disabled`, `static`.
    pub enabled: String,
    /// `active`, `inactive`, `failed`, `activating`, `deactivating`, `reloading`.
    pub active: String,
    /// The state in the words of its type: `running`, `exited`, `auto-restart`, `listening`.
    pub sub: String,
    /// How its last run ended, `success` or the kind of failure.
    pub result: String,
    /// How often systemd has restarted it since it was last started by hand.
    pub restarts: u64,
    /// Exit status of its main process.
    pub exit_status: u8,
    /// Its main process.
    pub main_pid: u32,
    /// What it says it is.
    pub description: String,
    /// The file that defines it.
    pub fragment: String,
    /// The `Type=` of a service.
    pub kind: String,
    /// How long it may take to start; `None` for ever, or where the type has no such limit.
    pub start_limit: Option<Duration>,
    /// When its state last changed, in microseconds since the host booted.
    pub changed_us: u64,
    /// When it last left the inactive state, in microseconds since the host booted.
    pub started_us: u64,
    /// One run of the unit.
    pub invocation: String,
}

impl Unit {
    /// Whether it is failed, or waits to be restarted after a failure.
    #[must_use]
    pub fn is_sick(&self) -> bool {
        self.active == "failed" || self.is_restarting()
    }

    /// Whether systemd waits before it starts it again.
    #[must_use]
    pub fn is_restarting(&self) -> bool {
        self.sub.starts_with("auto-restart")
    }

    /// Whether it is on its way up, for the first time.
    #[must_use]
    pub fn is_starting(&self) -> bool {
        self.active == "activating" && !self.is_restarting()
    }

    /// Whether it runs, or is about to.
    #[must_use]
    pub fn is_active(&self) -> bool {
        matches!(self.active.as_str(), "active" | "activating" | "reloading")
    }

    /// Whether its file lies where the system's configuration puts units.
    #[must_use]
    pub fn is_managed(&self) -> bool {
        self.fragment.starts_with("/etc/systemd/system/")
            || self.fragment.starts_with("/nix/store/")
    }

    /// Whether it belongs to a deployment of ours, and so to no system.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.name.starts_with("ops-deploy-")
    }

    /// Its state in words, for messages.
    #[must_use]
    pub fn told(&self) -> String {
        match self.active.as_str() {
            "failed" => format!("failed ({}, status {})", self.result, self.exit_status),
            _ if self.is_restarting() => {
                format!("is restarted again and again ({} times)", self.restarts)
            }
            _ => format!("{} ({})", self.active, self.sub),
        }
    }
}

/// Reads the table that `systemctl list-units` prints: name, load state, active state, state of its type, description.
#[must_use]
pub fn list(text: &str) -> BTreeMap<String, Unit> {
    let row = |line: &str| {
        let mut words = line.split_whitespace().map(str::to_owned);
        let unit = Unit {
            name: words.next()?,
            load: words.next()?,
            active: words.next()?,
            sub: words.next()?,
            ..Unit::default()
        };
        Some((unit.name.clone(), unit))
    };
    text.lines().filter_map(row).collect()
}

/// Reads the blocks that `systemctl show` prints, one a unit, empty lines between them.
#[must_use]
pub fn parse(text: &str) -> BTreeMap<String, Unit> {
    let mut units = BTreeMap::new();
    let mut unit = Unit::default();
    for line in text.lines().chain([""]) {
        match line.split_once('=') {
            Some((key, value)) => set(&mut unit, key, value),
            None if unit.name.is_empty() => unit = Unit::default(),
            None => {
                let done = std::mem::take(&mut unit);
                units.insert(done.name.clone(), done);
            }
        }
    }
    units
}

fn set(unit: &mut Unit, key: &str, value: &str) {
    match key {
        "Id" => value.clone_into(&mut unit.name),
        "LoadState" => value.clone_into(&mut unit.load),
        "UnitFileState" => value.clone_into(&mut unit.enabled),
        "ActiveState" => value.clone_into(&mut unit.active),
        "SubState" => value.clone_into(&mut unit.sub),
        "Result" => value.clone_into(&mut unit.result),
        "Description" => value.clone_into(&mut unit.description),
        "FragmentPath" => value.clone_into(&mut unit.fragment),
        "Type" => value.clone_into(&mut unit.kind),
        "InvocationID" => value.clone_into(&mut unit.invocation),
        "NRestarts" => unit.restarts = value.parse().unwrap_or(0),
        "ExecMainStatus" => unit.exit_status = value.parse().unwrap_or(0),
        "MainPID" => unit.main_pid = value.parse().unwrap_or(0),
        "StateChangeTimestampMonotonic" => unit.changed_us = value.parse().unwrap_or(0),
        "InactiveExitTimestampMonotonic" => unit.started_us = value.parse().unwrap_or(0),
        "TimeoutStartUSec" => unit.start_limit = time_span(value),
        _ => {}
    }
}

/// Reads a length of time as systemd prints and takes it: `1min 30s`, `500ms`, `90`; `None` for `infinity`.
#[must_use]
pub fn time_span(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().ok()?;
        let after = rest[digits..].trim_start();
        let letters = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        total += Duration::try_from_secs_f64(number * seconds_of(&after[..letters])?).ok()?;
        rest = after[letters..].trim_start();
    }
    Some(total)
}

fn seconds_of(unit: &str) -> Option<f64> {
    Some(match unit {
        "us" | "usec" => 1e-6,
        "ms" | "msec" => 1e-3,
        "" | "s" | "sec" | "second" | "seconds" => 1.0,
        "m" | "min" | "minute" | "minutes" => 60.0,
        "h" | "hr" | "hour" | "hours" => 3600.0,
        "d" | "day" | "days" => 86_400.0,
        "w" | "week" | "weeks" => 604_800.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_become_units() {
        let text = "Type=notify\nNRestarts=3\nId=a.service\nActiveState=activating\nSubState=auto-restart\n\
TimeoutStartUSec=10min\nResult=exit-code\nExecMainStatus=1\n\nId=b.mount\nActiveState=failed\nSubState=failed\n\n";
        let units = parse(text);
        assert_eq!(units.len(), 2);
        let unit = &units["a.service"];
        assert!(unit.is_sick() && unit.is_restarting() && !unit.is_starting());
        assert_eq!(
            (unit.restarts, unit.start_limit),
            (3, Some(Duration::from_mins(10)))
        );
        assert!(units["b.mount"].is_sick());
    }

    #[test]
    fn a_last_block_without_an_empty_line_counts() {
        assert_eq!(parse("Id=a.service\nActiveState=active").len(), 1);
        assert!(parse("").is_empty());
    }

    #[test]
    fn systemds_lengths_of_time_are_read() {
        let cases = [
            ("1min 30s", 90_000),
            ("250ms", 250),
            ("90", 90_000),
            ("2h", 7_200_000),
            ("1.5s", 1500),
        ];
        for (text, ms) in cases {
            assert_eq!(time_span(text), Some(Duration::from_millis(ms)), "{text}");
        }
        assert_eq!(time_span("infinity"), None);
        assert_eq!(time_span(""), None);
    }
}
