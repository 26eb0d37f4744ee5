//! The homeservers there are: where each lives on a host, and what it calls itself.

/// A homeserver program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// Its name for people.
    pub name: &'static str,
    /// How its name begins in `/_matrix/federation/v1/version`, in lower case.
    pub tells: &'static str,
    /// Its systemd units, as NixOS and its own packages call them.
    pub units: &'static [&'static str],
    /// The folder of its state.
    pub state: &'static str,
    /// The prefix of its own routes: `<prefix>/server_version`.
    pub prefix: Option<&'static str>,
}

/// Every family known here. More special names come first: `conduit` would swallow others.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "continuwuity",
        tells: "continuwuity",
        units: &["continuwuity", "matrix-continuwuity"],
        state: "/var/lib/continuwuity",
        prefix: Some("/_continuwuity"),
    },
    Family {
        name: "tuwunel",
        tells: "tuwunel",
        units: &["tuwunel", "matrix-tuwunel"],
        state: "/var/lib/tuwunel",
        prefix: Some("/_tuwunel"),
    },
    Family {
        name: "conduwuit",
        tells: "conduwuit",
        units: &["conduwuit"],
        state: "/var/lib/conduwuit",
        prefix: Some("/_conduwuit"),
    },
    Family {
        name: "Conduit",
        tells: "conduit",
        units: &["conduit"],
        state: "/var/lib/matrix-conduit",
        prefix: None,
    },
    Family {
        name: "Synapse",
        tells: "synapse",
        units: &["matrix-synapse"],
        state: "/var/lib/matrix-synapse",
        prefix: None,
    },
    Family {
        name: "Dendrite",
        tells: "dendrite",
        units: &["dendrite"],
        state: "/var/lib/dendrite",
        prefix: None,
    },
];

impl Family {
    /// The family of a server that calls itself `name`.
    #[must_use]
    pub fn of_software(name: &str) -> Option<&'static Self> {
        let name = name.to_ascii_lowercase();
        FAMILIES
            .iter()
            .find(|family| name.starts_with(family.tells))
    }

    /// The family that has a unit of this name, with or without `.service`.
    #[must_use]
    pub fn of_unit(unit: &str) -> Option<&'static Self> {
        let unit = unit.strip_suffix(".service").unwrap_or(unit);
        FAMILIES.iter().find(|family| family.units.contains(&unit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_known_by_what_it_calls_itself() {
        for (told, name) in [
            ("continuwuity", "continuwuity"),
            ("Conduwuit", "conduwuit"),
            ("Tuwunel", "tuwunel"),
            ("Conduit", "Conduit"),
            ("Synapse", "Synapse"),
            ("Dendrite", "Dendrite"),
        ] {
            assert_eq!(
                Family::of_software(told).map(|family| family.name),
                Some(name),
                "{told}"
            );
        }
        assert_eq!(Family::of_software("nginx"), None);
    }

    #[test]
    fn a_unit_belongs_to_its_family() {
        assert_eq!(
            Family::of_unit("continuwuity.service").map(|family| family.name),
            Some("continuwuity")
        );
        assert_eq!(
            Family::of_unit("matrix-synapse").map(|family| family.state),
            Some("/var/lib/matrix-synapse")
        );
        assert_eq!(Family::of_unit("nginx"), None);
    }
}
