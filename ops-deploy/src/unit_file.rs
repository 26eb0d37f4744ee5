//! One systemd unit file with its drop-ins, as `switch-to-configuration` reads it.

use std::collections::BTreeMap;

/// The values of a unit by section and key; a key given twice has both values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitFile {
    sections: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

impl UnitFile {
    /// Reads the text of a unit file.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut unit = Self::default();
        unit.merge(text);
        unit
    }

    /// Lays a drop-in over what is there: an empty value forgets the earlier ones.
    pub fn merge(&mut self, text: &str) {
        let mut section = None;
        for line in logical_lines(text) {
            if let Some(name) = line
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
            {
                section = Some(name.to_owned());
                // [Install] only matters to `systemctl enable`, never to a running unit.
                if name != "Install" {
                    self.sections.entry(name.to_owned()).or_default();
                }
                continue;
            }
            let (Some(section), Some((key, value))) = (&section, line.split_once('=')) else {
                continue;
            };
            if section == "Install" {
                continue;
            }
            let values = self
                .sections
                .entry(section.clone())
                .or_default()
                .entry(key.trim().to_owned())
                .or_default();
            match value.trim() {
                "" => values.clear(),
                value => values.push(value.to_owned()),
            }
        }
    }

    /// Returns all values of a key, in their order.
    #[must_use]
    pub fn values(&self, section: &str, key: &str) -> &[String] {
        self.sections
            .get(section)
            .and_then(|keys| keys.get(key))
            .map_or(&[], Vec::as_slice)
    }

    /// Returns the value that counts where a key may stand once.
    #[must_use]
    pub fn value(&self, section: &str, key: &str) -> Option<&str> {
        self.values(section, key).last().map(String::as_str)
    }

    /// Reads a key as systemd reads a boolean.
    #[must_use]
    pub fn flag(&self, section: &str, key: &str, default: bool) -> bool {
        self.value(section, key).map_or(default, |value| {
            matches!(value, "1" | "yes" | "true" | "on")
        })
    }

    /// Lists `(section, key)` pairs whose values differ from those of `other`, in both directions.
    #[must_use]
    pub fn differing<'a>(&'a self, other: &'a Self) -> Vec<(&'a str, &'a str)> {
        let mut keys: Vec<_> = self.keys().chain(other.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.retain(|(section, key)| self.raw(section, key) != other.raw(section, key));
        keys
    }

    /// Says whether a key stands in the file at all, even with every value taken back.
    #[must_use]
    pub fn has(&self, section: &str, key: &str) -> bool {
        self.raw(section, key).is_some()
    }

    /// Lists the sections, empty ones too.
    pub fn sections(&self) -> impl Iterator<Item = &str> {
        self.sections.keys().map(String::as_str)
    }

    /// Says whether a section stands in the file.
    #[must_use]
    pub fn has_section(&self, section: &str) -> bool {
        self.sections.contains_key(section)
    }

    /// Lists the keys of a section.
    pub fn keys_of(&self, section: &str) -> impl Iterator<Item = &str> {
        let keys = self.sections.get(section).into_iter().flatten();
        keys.map(|(key, _)| key.as_str())
    }

    /// Lists the words of all values of a key, which name units where the key is a dependency.
    pub fn words(&self, section: &str, key: &str) -> impl Iterator<Item = &str> {
        let values = self.values(section, key).iter();
        values.flat_map(|value| value.split_whitespace())
    }

    fn raw(&self, section: &str, key: &str) -> Option<&Vec<String>> {
        self.sections.get(section)?.get(key)
    }

    fn keys(&self) -> impl Iterator<Item = (&str, &str)> {
        self.sections
            .iter()
            .flat_map(|(section, keys)| keys.keys().map(|key| (section.as_str(), key.as_str())))
    }
}

/// Joins continued lines and drops comments and blank lines.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut pending = String::new();
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(head) = trimmed.strip_suffix('\\') {
            pending.push_str(head.trim_end());
            pending.push(' ');
            continue;
        }
        pending.push_str(trimmed);
        if !pending.is_empty() {
            lines.push(std::mem::take(&mut pending));
        }
    }
    if !pending.is_empty() {
        lines.push(pending.trim_end().to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drop_in_adds_and_an_empty_value_takes_back() {
        let mut unit = UnitFile::parse("[Service]\nExecStart=/bin/a\nEnvironment=A=1\n");
        unit.merge("[Service]\nExecStart=\nExecStart=/bin/b\nEnvironment=B=2\n");
        assert_eq!(unit.values("Service", "ExecStart"), ["/bin/b"]);
        assert_eq!(unit.values("Service", "Environment"), ["A=1", "B=2"]);
    }

    #[test]
    fn comments_continuations_and_install_are_no_difference() {
        let one = UnitFile::parse(
            "# c\n[Service]\nExecStart=/bin/a \\\n  b\n[Install]\nWantedBy=multi-user.target\n",
        );
        let two = UnitFile::parse("[Service]\n; other\nExecStart=/bin/a b\n");
        assert_eq!(one, two);
        assert!(one.differing(&two).is_empty());
    }

    #[test]
    fn differences_are_found_in_both_directions() {
        let one = UnitFile::parse("[Unit]\nAfter=a\n[Service]\nUser=x\n");
        let two = UnitFile::parse("[Unit]\nAfter=b\n[Service]\nGroup=x\n");
        assert_eq!(
            one.differing(&two),
            [("Service", "Group"), ("Service", "User"), ("Unit", "After")]
        );
    }

    #[test]
    fn the_last_boolean_counts() {
        let unit = UnitFile::parse("[Unit]\nX-StopOnRemoval=true\nX-StopOnRemoval=off\n");
        assert!(!unit.flag("Unit", "X-StopOnRemoval", true));
        assert!(unit.flag("Unit", "Absent", true));
    }
}
