//! What a changed `/etc/fstab` does to mount units.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::{Change, Verb};

#[derive(Debug, PartialEq, Eq)]
struct Mount<'a> {
    device: &'a str,
    kind: &'a str,
    options: &'a str,
}

/// Computes what happens to the mounts and swap devices of the old table, and which are new.
#[must_use]
pub fn changes(old: &str, new: &str, running: &BTreeSet<&str>) -> Vec<Change> {
    let mut found = swaps(old, new);
    let (old, new) = (mounts(old), mounts(new));
    for (place, was) in &old {
        let mount = unit_of(place, "mount");
        let Some(is) = new.get(place) else {
            // With its automount goes the mount.
            if was.has("x-systemd.automount") {
                found.push((Verb::Stop, unit_of(place, "automount"), GONE));
            } else if running.contains(mount.as_str()) {
                found.push((Verb::Stop, mount, GONE));
            }
            continue;
        };
        let same = (was.device, was.kind) == (is.device, is.kind);
        let same_options = was.options == is.options;
        match (same, same_options) {
            (true, true) => {}
            (false, true) if matches!(*place, "/" | "/nix") => {
                found.push((Verb::Leave, mount, "changed in fstab; cannot be unmounted"));
            }
            (false, _) if !matches!(*place, "/" | "/nix") => {
                found.push((Verb::Restart, mount, "changed in fstab"));
            }
            _ if running.contains(mount.as_str()) => {
                found.push((Verb::Reload, mount, "other options in fstab"));
            }
            _ => {}
        }
    }
    let added = new.iter().filter(|(place, _)| !old.contains_key(*place));
    found.extend(
        added
            .filter(|(_, is)| !is.has("noauto"))
            .map(|(place, is)| {
                let automount = is.has("x-systemd.automount");
                let kind = if automount { "automount" } else { "mount" };
                (Verb::Start, unit_of(place, kind), "new in fstab")
            }),
    );
    let changes = found.into_iter().map(|(action, unit, reason)| Change {
        action,
        unit,
        reason: reason.to_owned(),
    });
    changes.collect()
}

const GONE: &str = "no longer in fstab";

/// Lists the units of all mounts of a table.
pub fn units(table: &str) -> impl Iterator<Item = String> {
    mounts(table)
        .into_keys()
        .map(|place| unit_of(place, "mount"))
}

fn swaps(old: &str, new: &str) -> Vec<(Verb, String, &'static str)> {
    let devices = |table| -> BTreeSet<String> {
        let swaps = lines(table).filter(|(_, mount)| mount.kind == "swap");
        let used = swaps.filter(|(_, swap)| !swap.has("noauto"));
        used.map(|(_, swap)| unit_of(&device_file(swap.device), "swap"))
            .collect()
    };
    let (old, new) = (devices(old), devices(new));
    let stopped = old.difference(&new);
    let started = new.difference(&old);
    stopped
        .map(|unit| (Verb::Stop, unit.clone(), GONE))
        .chain(started.map(|unit| (Verb::Start, unit.clone(), "new in fstab")))
        .collect()
}

/// The file of a device that is named by what it holds.
fn device_file(device: &str) -> String {
    let by = |kind: &str, name: &str| format!("/dev/disk/by-{kind}/{name}");
    match device.split_once('=') {
        Some((kind @ ("UUID" | "LABEL" | "PARTUUID" | "PARTLABEL"), name)) => {
            by(&kind.to_lowercase(), name.trim_matches('"'))
        }
        _ => device.to_owned(),
    }
}

fn mounts(table: &str) -> BTreeMap<&str, Mount<'_>> {
    lines(table)
        .filter(|(_, mount)| mount.kind != "swap")
        .collect()
}

/// The lines of a table: place and what is mounted there.
fn lines(table: &str) -> impl Iterator<Item = (&str, Mount<'_>)> {
    let lines = table.lines().filter(|line| !line.contains('#'));
    lines.filter_map(|line| {
        let mut words = line.split_whitespace();
        let (device, place, kind) = (words.next()?, words.next()?, words.next()?);
        let options = words.next().unwrap_or("");
        Some((
            place,
            Mount {
                device,
                kind,
                options,
            },
        ))
    })
}

impl Mount<'_> {
    fn has(&self, option: &str) -> bool {
        self.options.split(',').any(|one| one == option)
    }
}

/// The unit of this kind of a place, escaped as `systemd-escape --path` does.
fn unit_of(place: &str, kind: &str) -> String {
    let path = place.trim_matches('/');
    if path.is_empty() {
        return format!("-.{kind}");
    }
    let mut name = String::with_capacity(path.len());
    for (index, byte) in path.bytes().enumerate() {
        match byte {
            b'/' => name.push('-'),
            b'.' if index == 0 => name.push_str("\\x2e"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b':' | b'_' | b'.' => {
                name.push(char::from(byte));
            }
            other => name.push_str(&format!("\\x{other:02x}")),
        }
    }
    format!("{name}.{kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_become_unit_names() {
        assert_eq!(unit_of("/", "mount"), "-.mount");
        assert_eq!(
            unit_of("/var/lib/my-data", "mount"),
            "var-lib-my\\x2ddata.mount"
        );
        assert_eq!(unit_of("/.snap", "mount"), "\\x2esnap.mount");
    }

    fn changed(old: &str, new: &str, running: &[&str]) -> Vec<(Verb, String)> {
        let running = running.iter().copied().collect();
        let found = changes(old, new, &running).into_iter();
        found.map(|change| (change.action, change.unit)).collect()
    }

    fn expected(list: &[(Verb, &str)]) -> Vec<(Verb, String)> {
        let list = list.iter();
        list.map(|(verb, unit)| (*verb, (*unit).to_owned()))
            .collect()
    }

    #[test]
    fn every_kind_of_difference_has_its_action() {
        let old =
            "/dev/a / ext4 defaults\n/dev/b /b ext4 ro\n/dev/c /c ext4 ro\n/dev/d /d ext4 ro\n";
        let new = "/dev/a / ext4 noatime\n/dev/b /b ext4 rw\n/dev/y /c ext4 ro\n/dev/e /e ext4 ro\n# c\n/dev/f /f ext4 noauto\n";
        let wanted = [
            (Verb::Reload, "-.mount"),
            (Verb::Reload, "b.mount"),
            (Verb::Restart, "c.mount"),
            (Verb::Stop, "d.mount"),
            (Verb::Start, "e.mount"),
        ];
        let running = ["-.mount", "b.mount", "c.mount", "d.mount"];
        assert_eq!(changed(old, new, &running), expected(&wanted));
        // What is not mounted is neither stopped nor mounted anew with other options.
        assert_eq!(
            changed(old, new, &[]),
            expected(
                &wanted[2..=2]
                    .iter()
                    .chain(&wanted[4..])
                    .copied()
                    .collect::<Vec<_>>()
            )
        );
    }

    #[test]
    fn the_root_and_the_store_stay_mounted() {
        let old = "/dev/a / ext4 ro\n/dev/a /nix ext4 ro\n";
        let device = "/dev/x / ext4 ro\n/dev/x /nix ext4 ro\n";
        let leave = [(Verb::Leave, "-.mount"), (Verb::Leave, "nix.mount")];
        let running = ["-.mount", "nix.mount"];
        assert_eq!(changed(old, device, &running), expected(&leave));
        let options = "/dev/x / ext4 rw\n/dev/a /nix ext4 rw\n";
        let reload = [(Verb::Reload, "-.mount"), (Verb::Reload, "nix.mount")];
        assert_eq!(changed(old, options, &running), expected(&reload));
    }

    #[test]
    fn automounts_and_swap_have_units_of_their_own() {
        let old =
            "/dev/a /a ext4 x-systemd.automount,ro\n/dev/s none swap sw\nUUID=12-34 none swap sw\n";
        let new =
            "/dev/b /b ext4 x-systemd.automount\n/dev/s none swap pri=1\nLABEL=more none swap\n";
        let wanted = [
            (Verb::Stop, "dev-disk-by\\x2duuid-12\\x2d34.swap"),
            (Verb::Start, "dev-disk-by\\x2dlabel-more.swap"),
            (Verb::Stop, "a.automount"),
            (Verb::Start, "b.automount"),
        ];
        assert_eq!(changed(old, new, &["a.mount"]), expected(&wanted));
    }
}
