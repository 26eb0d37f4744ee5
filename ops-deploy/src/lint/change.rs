//! Traps in going from one system to another: each may be well, and the step between them not.

use std::collections::{BTreeMap, BTreeSet};

use ops_common::check::Check;

use super::{System, firewall};

/// Units that answer ssh.
const SSHD: [&str; 5] = [
    "sshd.service",
    "sshd.socket",
    "sshd@.service",
    "ssh.service",
    "ssh.socket",
];

/// Compares the system that runs with the one that is to run.
#[must_use]
pub fn between(old: &System, new: &System) -> Vec<Check> {
    let mut checks = sshd(old, new);
    checks.extend(keys(old, new));
    checks.extend(firewall::sshd(old, new, ports(new).into_iter().flatten()));
    checks.extend(postgresql(old, new));
    checks.extend(state_folders(old, new));
    checks.extend(inhibitors(old, new));
    checks
}

/// Whether the new system can be logged in to where the old one can.
fn sshd(old: &System, new: &System) -> Vec<Check> {
    let name = "deploy.lint.sshd";
    let answers = |system: &System| SSHD.iter().any(|unit| system.units.has_file(unit));
    if answers(old) && !answers(new) {
        let check = Check::fail(
            name,
            "sshd",
            "the new system has no sshd: nobody can log in",
        );
        return vec![check.fix("services.openssh.enable = true")];
    }
    let (Some(before), Some(after)) = (ports(old), ports(new)) else {
        return Vec::new();
    };
    let lost: Vec<String> = before.difference(&after).map(u16::to_string).collect();
    if lost.is_empty() {
        return Vec::new();
    }
    let told = format!("no longer listens on port {}", lost.join(", "));
    let check = if before.is_disjoint(&after) {
        Check::fail
    } else {
        Check::warn
    };
    vec![
        check(name, "sshd", told)
            .fix("keep the old port beside the new one until a login there has worked"),
    ]
}

fn ports(system: &System) -> Option<BTreeSet<u16>> {
    let text = system.files.get("etc/ssh/sshd_config")?;
    let lines = text.lines().map(str::split_whitespace);
    let mut ports: BTreeSet<u16> = lines
        .filter_map(|mut words| {
            let is_port = words.next()?.eq_ignore_ascii_case("port");
            words.next().filter(|_| is_port)?.parse().ok()
        })
        .collect();
    if ports.is_empty() {
        ports.insert(22);
    }
    Some(ports)
}

/// Keys that may log in as root now and may not afterwards.
fn keys(old: &System, new: &System) -> Option<Check> {
    let path = "etc/ssh/authorized_keys.d/root";
    let keys = |system: &System| -> BTreeMap<String, String> {
        let text = system.files.get(path).map_or("", String::as_str);
        let lines = text.lines().map(str::trim);
        lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .filter_map(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                let kind = words.iter().position(|word| {
                    word.starts_with("ssh-")
                        || word.starts_with("ecdsa-")
                        || word.starts_with("sk-")
                })?;
                let comment = words.get(kind + 2..).unwrap_or_default().join(" ");
                Some(((*words.get(kind + 1)?).to_owned(), comment))
            })
            .collect()
    };
    let (before, after) = (keys(old), keys(new));
    let lost: Vec<&str> = before
        .iter()
        .filter(|(key, _)| !after.contains_key(*key))
        .map(|(key, comment)| {
            if comment.is_empty() {
                key.get(..24).unwrap_or(key)
            } else {
                comment.as_str()
            }
        })
        .collect();
    if lost.is_empty() {
        return None;
    }
    let name = "deploy.lint.sshd";
    let check = if after.is_empty() {
        Check::fail(name, path, "no key may log in as root any more")
    } else {
        let told = format!("may no longer log in as root: {}", lost.join(", "));
        Check::warn(name, path, told)
    };
    Some(check.fix("make sure that the key you deploy with stays among them"))
}

/// A new major version does not read the old one's files, and the old one does not read the new one's.
fn postgresql(old: &System, new: &System) -> Vec<Check> {
    let mut checks = Vec::new();
    if let (Some(before), Some(after)) = (postgresql_major(old), postgresql_major(new))
        && before != after
    {
        let told = format!("PostgreSQL {before} becomes {after}, which cannot read its files");
        let check = Check::fail("deploy.lint.postgresql", "postgresql.service", told);
        checks.push(check.fix(
            "back up (ops-db backup), then dump and restore, or pg_upgrade, in a step of its own",
        ));
    }
    if let (Some(before), Some(after)) = (data_folder(old), data_folder(new))
        && before != after
    {
        let told = format!("its data moves from '{before}' to '{after}', where it starts empty");
        let check = Check::fail("deploy.lint.state_version", "postgresql.service", told);
        checks.push(
            check.fix("leave system.stateVersion as it was: it follows the data, not the release"),
        );
    }
    checks
}

fn postgresql_unit(system: &System) -> Option<&str> {
    let mut units = system.units.named_texts();
    units
        .find(|(name, _)| *name == "postgresql.service")
        .map(|(_, text)| text)
}

fn postgresql_major(system: &System) -> Option<u32> {
    let text = postgresql_unit(system)?;
    let names = ["-postgresql-and-plugins-", "-postgresql-"];
    let after = names.iter().find_map(|name| text.split(name).nth(1))?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn data_folder(system: &System) -> Option<String> {
    let text = postgresql_unit(system)?;
    let after = text.split("PGDATA=").nth(1)?;
    let end = after
        .find(|c: char| c.is_whitespace() || "\"'".contains(c))
        .unwrap_or(after.len());
    Some(after[..end].to_owned())
}

/// Services whose folder below /var/lib has another name: a changed `system.stateVersion` does that, and they start empty there.
fn state_folders(old: &System, new: &System) -> Vec<Check> {
    let folders = |system: &System, unit: &str| -> BTreeSet<String> {
        let found = system.units.unit(unit, unit);
        let words = found.iter().flat_map(|found| {
            let words = found.file.words("Service", "StateDirectory");
            words.map(str::to_owned)
        });
        // `StateDirectory=` may give a folder another name by which it is known.
        words
            .map(|word| word.split(':').next().unwrap_or("").to_owned())
            .collect()
    };
    let mut checks = Vec::new();
    for unit in old.units.names().filter(|unit| new.units.has_file(unit)) {
        let (before, after) = (folders(old, unit), folders(new, unit));
        let lost: Vec<&str> = before.difference(&after).map(String::as_str).collect();
        if lost.is_empty() || after.is_empty() {
            continue;
        }
        let is: Vec<&str> = after.difference(&before).map(String::as_str).collect();
        let told = format!(
            "its state moves from /var/lib/{} to '{}', where it may start empty",
            lost.join(", /var/lib/"),
            is.join(", ")
        );
        checks.push(Check::warn("deploy.lint.state_version", unit, told).fix(
            "move its folder, or leave system.stateVersion as it was: it follows the data, not the release",
        ));
    }
    checks
}

/// Critical components that differ: the new system refuses to be switched to.
fn inhibitors(old: &System, new: &System) -> Option<Check> {
    let read = |system: &System| -> BTreeMap<String, String> {
        let text = system.files.get("switch-inhibitors");
        text.and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    };
    let (before, after) = (read(old), read(new));
    let differ: Vec<&str> = before
        .iter()
        .filter(|(name, value)| after.get(*name).is_some_and(|other| other != *value))
        .map(|(name, _)| name.as_str())
        .collect();
    (!differ.is_empty()).then(|| {
        let told = format!("reboot needed: {} differ", differ.join(", "));
        Check::warn("deploy.lint.inhibitors", "", told)
            .fix("ops-deploy activate --reboot, in a quiet hour")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(old: &System, new: &System) -> Vec<String> {
        let checks = between(old, new);
        let told = checks
            .iter()
            .map(|check| format!("{} {} {}", check.status.word(), check.check, check.message));
        told.collect()
    }

    #[test]
    fn nothing_that_stays_is_told() {
        let system = System::default()
            .with_unit("sshd.service", "[Service]\n")
            .with_file("etc/ssh/sshd_config", "Port 22\n")
            .with_file("etc/ssh/authorized_keys.d/root", "ssh-ed25519 AAAA ana\n")
            .with_unit(
                "postgresql.service",
                "[Service]\nExecStart=/nix/store/x-postgresql-16.4/bin/postgres\n",
            );
        assert_eq!(told(&system, &system), [""; 0]);
        let minor = system.clone().with_unit(
            "postgresql.service",
            "[Service]\nExecStart=/nix/store/y-postgresql-and-plugins-16.6/bin/postgres\n",
        );
        assert_eq!(told(&system, &minor), [""; 0]);
    }

    #[test]
    fn a_door_that_closes_is_told() {
        let old = System::default()
            .with_unit("sshd.service", "[Service]\n")
            .with_file("etc/ssh/sshd_config", "UsePAM yes\n")
            .with_file(
                "etc/ssh/authorized_keys.d/root",
                "ssh-ed25519 AAAA ana\ncommand=\"x\" ssh-rsa BBBB\n",
            );
        assert_eq!(
            told(&old, &System::default()),
            [
                "fail deploy.lint.sshd the new system has no sshd: nobody can log in",
                "fail deploy.lint.sshd no key may log in as root any more"
            ]
        );
        let other = old
            .clone()
            .with_file("etc/ssh/sshd_config", "port 2222\n")
            .with_file("etc/ssh/authorized_keys.d/root", "ssh-rsa BBBB\n");
        assert_eq!(
            told(&old, &other),
            [
                "fail deploy.lint.sshd no longer listens on port 22",
                "warn deploy.lint.sshd may no longer log in as root: ana"
            ]
        );
        let both = old
            .clone()
            .with_file("etc/ssh/sshd_config", "Port 22\nPort 2222\n");
        assert_eq!(
            told(&both, &old),
            ["warn deploy.lint.sshd no longer listens on port 2222"]
        );
    }

    #[test]
    fn data_that_is_left_behind_is_told() {
        let postgresql = |version: &str, data: &str| {
            System::default().with_unit(
                "postgresql.service",
                &format!("[Service]\nEnvironment=\"PGDATA={data}\"\nExecStart=/nix/store/x-postgresql-{version}/bin/postgres\n"),
            )
        };
        let told = told(
            &postgresql("15.10", "/var/lib/postgresql/15"),
            &postgresql("17.2", "/var/lib/postgresql/17"),
        );
        assert!(
            told[0].starts_with("fail deploy.lint.postgresql PostgreSQL 15 becomes 17"),
            "{told:?}"
        );
        assert!(
            told[1].starts_with("fail deploy.lint.state_version"),
            "{told:?}"
        );
    }

    #[test]
    fn a_folder_of_state_with_another_name_is_told() {
        let system = |folder: &str| {
            let text = format!("[Service]\nStateDirectory={folder}\n");
            System::default().with_unit("vaultwarden.service", &text)
        };
        let (old, new) = (system("bitwarden_rs"), system("vaultwarden"));
        let told_of = told(&old, &new);
        assert_eq!(told_of.len(), 1, "{told_of:?}");
        assert!(
            told_of[0].contains("from /var/lib/bitwarden_rs to 'vaultwarden'"),
            "{told_of:?}"
        );
        assert_eq!(told(&old, &system("bitwarden_rs more")), [""; 0]);
        assert_eq!(told(&old, &System::default()), [""; 0]);
    }

    #[test]
    fn inhibitors_ask_for_a_reboot() {
        let system = |dbus: &str| {
            let text = format!("{{\"dbus-implementation\": \"{dbus}\", \"init\": \"systemd\"}}");
            System::default().with_file("switch-inhibitors", &text)
        };
        assert_eq!(
            told(&system("dbus"), &system("broker")),
            ["warn deploy.lint.inhibitors reboot needed: dbus-implementation differ"]
        );
    }
}
