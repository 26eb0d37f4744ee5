//! What a changed `/etc/fstab` does to mount units.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::{Change, Verb};

#[derive(Debug, PartialEq, Eq)]
struct Mount<'a> {
    device: &'a str,
    kind: &'a str,
    options: &'a str,
}

/// Computes what happens to the mounts of the old table that are mounted now.
#[must_use]
pub fn changes(old: &str, new: &str, running: &BTreeSet<&str>) -> Vec<Change> {
    let (old, new) = (mounts(old), mounts(new));
    let mut changes = Vec::new();
    for (place, was) in &old {
        let unit = unit_of(place);
        let change = match new.get(place) {
            None => Some((Verb::Stop, "no longer in fstab")),
            Some(is)
                if (was.device, was.kind) != (is.device, is.kind)
                    && matches!(*place, "/" | "/nix") =>
            {
                Some((Verb::Reload, "changed in fstab; cannot be unmounted"))
            }
            Some(is) if (was.device, was.kind) != (is.device, is.kind) => {
                Some((Verb::Restart, "changed in fstab"))
            }
            Some(is) if was.options != is.options => Some((Verb::Reload, "other options in fstab")),
            Some(_) => None,
        };
        if let Some((action, reason)) = change.filter(|_| running.contains(unit.as_str())) {
            changes.push(Change {
                action,
                unit,
                reason: reason.to_owned(),
            });
        }
    }
    let added = new
        .keys()
        .filter(|place| !old.contains_key(*place))
        .map(|place| unit_of(place));
    changes.extend(added.map(|unit| Change {
        action: Verb::Start,
        unit,
        reason: "new in fstab".to_owned(),
    }));
    changes
}

fn mounts(table: &str) -> BTreeMap<&str, Mount<'_>> {
    table
        .lines()
        .filter(|line| !line.contains('#'))
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (device, place, kind) = (words.next()?, words.next()?, words.next()?);
            (kind != "swap").then_some((
                place,
                Mount {
                    device,
                    kind,
                    options: words.next().unwrap_or(""),
                },
            ))
        })
        .collect()
}

/// The mount unit of a place, escaped as `systemd-escape --path` does.
fn unit_of(place: &str) -> String {
    let path = place.trim_matches('/');
    if path.is_empty() {
        return "-.mount".to_owned();
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
    name + ".mount"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_become_unit_names() {
        assert_eq!(unit_of("/"), "-.mount");
        assert_eq!(unit_of("/var/lib/my-data"), "var-lib-my\\x2ddata.mount");
        assert_eq!(unit_of("/.snap"), "\\x2esnap.mount");
    }

    #[test]
    fn every_kind_of_difference_has_its_action() {
        let old = "/dev/a / ext4 defaults\n/dev/b /b ext4 ro\n/dev/c /c ext4 ro\n/dev/d /d ext4 ro\n/dev/s none swap sw\n";
        let new = "/dev/x / ext4 defaults\n/dev/b /b ext4 rw\n/dev/y /c ext4 ro\n/dev/e /e ext4 ro\n# c\n";
        let running = BTreeSet::from(["-.mount", "b.mount", "c.mount", "d.mount"]);
        let found: Vec<_> = changes(old, new, &running)
            .into_iter()
            .map(|c| (c.action, c.unit))
            .collect();
        let expected = [
            (Verb::Reload, "-.mount"),
            (Verb::Reload, "b.mount"),
            (Verb::Restart, "c.mount"),
            (Verb::Stop, "d.mount"),
            (Verb::Start, "e.mount"),
        ];
        assert_eq!(found, expected.map(|(verb, unit)| (verb, unit.to_owned())));
    }
}
