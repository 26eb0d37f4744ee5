//! `status`: the unit, what it really listens on, whether it answers, its disk and its errors. One exec, and one forwarded
//! channel for each listener.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ops_common::check::{Check, State};
use ops_common::host::{Command, Host};
use ops_common::hosts::fan_out;
use serde_json::json;

use crate::answer;
use crate::document;
use crate::error::Error;
use crate::family::FAMILIES;
use crate::journal;
use crate::probe::{self, Endpoint, ProbeFailure};
use crate::settings::Settings;
use crate::unit::{Owner, QUESTION, Unit, UnitError};
use crate::view::View;

/// The state of the unit.
pub const UNIT: &str = "matrix.unit";
/// What the unit's processes listen on.
pub const LISTENERS: &str = "matrix.listeners";
/// Whether a listener answers as a homeserver.
pub const ANSWER: &str = "matrix.answer";
/// Whether federation is on.
pub const FEDERATION: &str = "matrix.federation_enabled";
/// The file system of the state.
pub const DISK: &str = "matrix.disk";
/// The backups that the homeserver makes of its database.
pub const BACKUP: &str = "matrix.backup";
/// Errors in the journal since the start.
pub const ERRORS: &str = "matrix.errors";

/// Free space, in percent, below which it is worth a word, and below which it is too late.
const LOW_PERCENT: f64 = 10.0;
const NO_PERCENT: f64 = 2.0;

/// A backup that is older than this is worth a word.
const OLD_BACKUP_S: i64 = 7 * 86400;

/// Everything about the homeserver of a host.
pub fn look(host: &Host, view: &View<'_>, settings: &Settings) -> Result<Vec<Check>, Error> {
    let unit = ask(host, settings)?;
    let mut checks = vec![state(&unit), listening(&unit)];
    checks.extend(answers(view, &unit));
    checks.extend(disk(&unit));
    checks.extend(backup(&unit));
    checks.push(errors(&unit));
    Ok(checks)
}

/// Asks the host its one question.
pub fn ask(host: &Host, settings: &Settings) -> Result<Unit, Error> {
    let known = FAMILIES
        .iter()
        .flat_map(|family| family.units)
        .map(|unit| (*unit).to_owned());
    let mut names: Vec<String> = Vec::new();
    for name in settings.unit.iter().cloned().chain(known) {
        let name = name.trim_end_matches(".service").to_owned();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let said = host.output(&Command::script(QUESTION, &names))?;
    Unit::parse(&String::from_utf8_lossy(&said)).map_err(|error| match error {
        UnitError::NoUnit => Error::NoUnit {
            host: host.name().to_owned(),
            looked_for: names.join(", "),
        },
        UnitError::Section(_) => Error::Answer {
            host: host.name().to_owned(),
            reason: error.to_string(),
        },
    })
}

fn state(unit: &Unit) -> Check {
    let (active, sub, result) = (
        unit.property("ActiveState"),
        unit.property("SubState"),
        unit.property("Result"),
    );
    let word = format!("{active} ({sub})");
    let restarts = unit.property("NRestarts");
    let check = match active {
        "active" => Check::ok(UNIT, &unit.name, word),
        "activating" if sub == "auto-restart" => {
            Check::fail(UNIT, &unit.name, format!("{word}: it fails to start, {restarts} restarts so far"))
        }
        "activating" => Check::warn(UNIT, &unit.name, format!("{word}: starting; a migration of the database can take minutes")),
        "reloading" => Check::warn(UNIT, &unit.name, format!("{word}: it runs, but its last reload failed"))
            .fix("look into the journal for 'Failed to reload config', correct the configuration and restart the unit"),
        _ => Check::fail(UNIT, &unit.name, format!("{word}, result {result}")).fix(format!(
            "journalctl -u {} -n 50 shows why; systemctl start {} starts it",
            unit.name, unit.name
        )),
    };
    let data = json!({
        "active_state": active, "sub_state": sub, "result": result, "restarts": restarts.parse::<u64>().ok(),
        "main_pid": unit.property("MainPID").parse::<u64>().ok(), "type": unit.property("Type"),
        "enabled": unit.property("UnitFileState"),
    });
    let check = check
        .identity(json!(unit.property("InvocationID")))
        .data(data);
    match unit.active_s.filter(|_| active == "active") {
        Some(seconds) => check.value(seconds.round(), "s"),
        None => check,
    }
}

fn listening(unit: &Unit) -> Check {
    let addresses: Vec<String> = unit
        .listeners
        .iter()
        .map(|one| one.address.to_string())
        .collect();
    let runs = matches!(unit.property("ActiveState"), "active" | "reloading");
    let families =
        |wanted: fn(&IpAddr) -> bool| unit.listeners.iter().any(|one| wanted(&one.address.ip()));
    let data = json!({
        "addresses": addresses,
        "ipv4": families(IpAddr::is_ipv4),
        "ipv6": families(IpAddr::is_ipv6),
        "known_by": match unit.by { Owner::Descriptors => "descriptors", Owner::User => "user", Owner::Nobody => "nothing" },
    });
    let check = match (addresses.is_empty(), runs) {
        (false, _) => Check::ok(LISTENERS, &unit.name, addresses.join(" ")),
        (true, true) if journal::gave_up_listening(&unit.journal) => Check::fail(
            LISTENERS,
            &unit.name,
            "it runs but listens nowhere: it could not bind its port, and says so nowhere",
        )
        .fix("find out who has the port (ss -ltnp), free it, and restart the unit"),
        (true, true) => Check::fail(LISTENERS, &unit.name, "it runs but listens nowhere")
            .fix("restart the unit, and look again"),
        (true, false) => Check::fail(LISTENERS, &unit.name, "nothing, since it does not run"),
    };
    check.value(count(addresses.len()), "").data(data)
}

#[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 of them")]
fn count(number: usize) -> f64 {
    number as f64
}

/// Asks each listener as a client would; those that are none of the client API are left out once another one answers.
fn answers(view: &View<'_>, unit: &Unit) -> Vec<Check> {
    let mut addresses: Vec<SocketAddr> = unit
        .listeners
        .iter()
        .flat_map(|one| dialled(one.address))
        .collect();
    addresses.sort();
    addresses.dedup();
    let probed = fan_out(&addresses, 16, |address| (*address, probe(view, *address)));
    let some_answer = probed.iter().any(|(_, answer)| answer.is_ok());
    let mut checks = Vec::new();
    for (address, answer) in probed {
        match answer {
            Ok(found) => checks.extend(found),
            // A metrics or replication listener answers too, but not as a homeserver.
            Err(ProbeFailure::Answer(_) | ProbeFailure::Http(_)) if some_answer => (),
            Err(failure) => {
                let check = Check::new(
                    failure.state(),
                    ANSWER,
                    address.to_string(),
                    failure.to_string(),
                );
                checks.push(check.data(json!({"fault": failure.word()})));
            }
        }
    }
    checks
}

/// Where a client on the same machine reaches a socket: a wildcard through the loopback addresses.
fn dialled(bound: SocketAddr) -> Vec<SocketAddr> {
    let at = |ip: IpAddr| SocketAddr::new(ip, bound.port());
    match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => vec![at(Ipv4Addr::LOCALHOST.into())],
        IpAddr::V6(ip) if ip.is_unspecified() => vec![
            at(Ipv6Addr::LOCALHOST.into()),
            at(Ipv4Addr::LOCALHOST.into()),
        ],
        _ => vec![bound],
    }
}

fn probe(view: &View<'_>, address: SocketAddr) -> Result<Vec<Check>, ProbeFailure> {
    let host_header = address.to_string();
    let plain = Endpoint {
        address,
        tls_name: None,
        host_header,
    };
    let (reply, mut opened) = probe::get(view, &plain, "/_matrix/client/versions")?;
    let versions = document::versions(answer::body(&reply)?).map_err(answer::AnswerFault::from)?;
    let total = opened.phases.total_s;
    let path = "/_matrix/federation/v1/version";
    let federation = probe::get_again(view, &mut opened, &plain, path);
    let newest = versions.versions.last().cloned().unwrap_or_default();
    let subject = address.to_string();
    let mut checks = Vec::new();
    let mut software = versions.server;
    match federation.and_then(|reply| Ok(answer::body(&reply)?.to_vec())) {
        Ok(body) => {
            software = software.or_else(|| document::federation_version(&body).ok());
            checks.push(Check::ok(FEDERATION, &subject, "federation is on"));
        }
        Err(ProbeFailure::Answer(answer::AnswerFault::FederationDisabled)) => {
            checks.push(Check::warn(FEDERATION, &subject, "federation is disabled"));
        }
        // This listener serves clients only: another one may serve the federation.
        Err(_) => (),
    }
    let name = software.as_ref().map_or_else(
        || "it answers".to_owned(),
        |told| format!("{} {}", told.name, told.version),
    );
    let mut answered = Check::ok(ANSWER, subject, format!("{name}, up to {newest}"))
        .data(json!({"server": software, "versions": versions.versions}))
        .identity(json!(software));
    if let Some(total) = total {
        answered = answered.value(total, "s");
    }
    checks.insert(0, answered);
    Ok(checks)
}

fn disk(unit: &Unit) -> Option<Check> {
    let disk = unit.disk.as_ref()?;
    let share = |bytes: u64| bytes_f64(bytes) / bytes_f64(disk.size_bytes.max(1)) * 100.0;
    let free = share(disk.free_bytes);
    let state = match free {
        free if free < NO_PERCENT => State::Fail,
        free if free < LOW_PERCENT => State::Warn,
        _ => State::Ok,
    };
    let message = format!("{free:.0} % of the file system is free");
    let check =
        Check::new(state, DISK, &disk.folder, message).value(bytes_f64(disk.free_bytes), "B");
    Some(check.data(json!({"used_bytes": disk.used_bytes, "free_bytes": disk.free_bytes, "size_bytes": disk.size_bytes})))
}

fn backup(unit: &Unit) -> Option<Check> {
    const FIX: &str =
        "run 'server backup-database' on a timer: admin_signal_execute does it on SIGUSR2";
    let backups = unit.backups.as_ref()?;
    let folder = &backups.folder;
    let data = json!({"backups": backups.number});
    let Some(age) = backups.newest_age_s else {
        let message = "no backup of the database, though there is a folder for them";
        return Some(Check::warn(BACKUP, folder, message).fix(FIX).data(data));
    };
    let hours = age / 3600;
    let message = format!("{} backups, the newest {hours} h old", backups.number);
    let check = if age > OLD_BACKUP_S {
        Check::warn(BACKUP, folder, message).fix(FIX)
    } else {
        Check::ok(BACKUP, folder, message)
    };
    #[expect(clippy::cast_precision_loss, reason = "an age has few digits")]
    let age = age as f64;
    Some(check.value(age, "s").data(data))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a size is shown, not counted with"
)]
fn bytes_f64(bytes: u64) -> f64 {
    bytes as f64
}

fn errors(unit: &Unit) -> Check {
    if unit.blind {
        let message = "the login user may not read the journal";
        return Check::unknown(ERRORS, &unit.name, message)
            .fix("use --sudo, or put the user into the group systemd-journal");
    }
    let errors = journal::errors(&unit.journal);
    let check = match errors.last() {
        None => Check::ok(
            ERRORS,
            &unit.name,
            "none among the last lines since it was started",
        ),
        Some(last) => Check::warn(ERRORS, &unit.name, format!("the last: {}", last.text)),
    };
    let last: Vec<_> = errors
        .iter()
        .rev()
        .take(5)
        .map(|line| json!({"at": instant(line.at_s), "text": line.text}))
        .collect();
    check
        .value(count(errors.len()), "")
        .data(json!({"last": last}))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "an instant of a journal is far from the end of time"
)]
fn instant(seconds: f64) -> Option<String> {
    let instant = jiff::Timestamp::from_microsecond((seconds * 1e6) as i64).ok()?;
    Some(instant.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(active: &str, sub: &str) -> Unit {
        let mut unit = Unit {
            name: "continuwuity".into(),
            active_s: Some(60.4),
            ..Unit::default()
        };
        unit.properties.insert("ActiveState".into(), active.into());
        unit.properties.insert("SubState".into(), sub.into());
        unit
    }

    #[test]
    fn a_migration_is_no_failure_and_a_failed_reload_no_outage() {
        for (active, sub, expected) in [
            ("active", "running", State::Ok),
            ("activating", "start", State::Warn),
            ("activating", "auto-restart", State::Fail),
            ("reloading", "reload-notify", State::Warn),
            ("inactive", "dead", State::Fail),
            ("failed", "failed", State::Fail),
        ] {
            assert_eq!(state(&unit(active, sub)).status, expected, "{active} {sub}");
        }
        assert_eq!(state(&unit("active", "running")).value, Some(60.0));
    }

    #[test]
    fn active_without_a_listener_is_a_failure_with_its_cause() {
        let mut unit = unit("active", "running");
        assert_eq!(listening(&unit).message, "it runs but listens nowhere");
        let said = [
            "INFO x: Listening on [127.0.0.1:8008]",
            "INFO x: Shutting down services...",
        ];
        unit.journal = said
            .map(|text| crate::unit::Line {
                at_s: 1.0,
                text: text.into(),
            })
            .to_vec();
        assert!(listening(&unit).message.contains("could not bind its port"));
    }

    #[test]
    fn a_backup_is_there_old_or_missing() {
        let judged = |newest_age_s: Option<i64>| {
            let mut unit = unit("active", "running");
            unit.backups = Some(crate::unit::Backups {
                folder: "/var/backups/continuwuity".into(),
                number: u64::from(newest_age_s.is_some()),
                newest_age_s,
            });
            backup(&unit).map(|check| (check.status, check.value))
        };
        assert_eq!(judged(Some(7200)), Some((State::Ok, Some(7200.0))));
        assert_eq!(
            judged(Some(8 * 86400)),
            Some((State::Warn, Some(691_200.0)))
        );
        assert_eq!(judged(None), Some((State::Warn, None)));
        assert_eq!(backup(&unit("active", "running")), None);
    }

    #[test]
    fn a_wildcard_is_reached_through_the_loopback_of_each_family() {
        let texts = |bound: &str| {
            dialled(bound.parse().expect("an address"))
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(texts("0.0.0.0:1"), ["127.0.0.1:1"]);
        assert_eq!(texts("[::]:1"), ["[::1]:1", "127.0.0.1:1"]);
        assert_eq!(texts("[::1]:1"), ["[::1]:1"]);
    }
}
