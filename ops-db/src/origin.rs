//! Which machine a backup was taken of.

use serde::{Deserialize, Serialize};

/// Where a database is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    /// The name by which the host was asked.
    pub host: String,
    /// What the machine calls itself; empty if it was not reached.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub machine: String,
    /// Its `/etc/machine-id`, which tells two of one name apart; empty where it has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub machine_id: String,
}

impl Origin {
    /// Whether both are the same machine: one has many names to ask it by, and may be asked on itself.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        if self.machine.is_empty() || other.machine.is_empty() {
            self.host == other.host
        } else {
            let is_unknown = self.machine_id.is_empty() || other.machine_id.is_empty();
            self.machine == other.machine && (is_unknown || self.machine_id == other.machine_id)
        }
    }

    /// Whether nothing says that they are two.
    #[must_use]
    pub fn may_be(&self, other: &Self) -> bool {
        self.machine.is_empty() || other.machine.is_empty() || self.is(other)
    }

    /// What to call it.
    #[must_use]
    pub fn name(&self) -> &str {
        if self.machine.is_empty() {
            &self.host
        } else {
            &self.machine
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_told_apart_by_name_and_by_number() {
        let origin = |host: &str, machine: &str, id: &str| Origin {
            host: host.into(),
            machine: machine.into(),
            machine_id: id.into(),
        };
        let one = origin("a", "db", "1");
        for (other, is_it) in [
            (origin("b", "db", "1"), true),
            (origin("a", "db", "2"), false),
            (origin("b", "db", ""), true),
            (origin("a", "other", "1"), false),
            (origin("a", "", ""), true),
            (origin("b", "", ""), false),
        ] {
            assert_eq!(one.is(&other), is_it, "{other:?}");
        }
    }
}
