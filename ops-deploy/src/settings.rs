//! The `deploy` section of ops.yaml.

use std::path::PathBuf;

use ops_common::config::{self, Config};
use ops_common::span::Span;
use serde::Deserialize;

/// How deployments are done.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The folder for worklog entries.
    pub worklog: PathBuf,
    /// The units that matter; empty for those of the other sections and of the platform.
    pub units: Vec<String>,
    /// Commands that tell whether the platform works.
    pub health: Vec<String>,
    /// How long a new system is watched before it is kept.
    pub health_window: Span,
    /// How long the host waits for a confirmation before it goes back by itself, beside window and start limits.
    pub rollback_after: Span,
}

impl Default for Settings {
    fn default() -> Self {
        let health = [
            "ops-matrix versions --json",
            "ops-bridge health --json",
            "ops-db health --json",
        ];
        Self {
            worklog: PathBuf::from("docs/worklogs"),
            units: Vec::new(),
            health: health.map(str::to_owned).to_vec(),
            health_window: Span::seconds(60),
            rollback_after: Span::seconds(120),
        }
    }
}

/// What is read of another tool's section: the name of its unit, or several of which one exists.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Other {
    unit: OneOrMore,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl Default for OneOrMore {
    fn default() -> Self {
        Self::More(Vec::new())
    }
}

impl OneOrMore {
    fn or(self, default: &[&str]) -> Vec<String> {
        match self {
            Self::One(name) => vec![name],
            Self::More(names) if names.is_empty() => {
                default.iter().map(|name| (*name).to_owned()).collect()
            }
            Self::More(names) => names,
        }
    }
}

impl Settings {
    /// Reads the section, and fills in the units where it names none.
    pub fn read(config: &Config) -> Result<Self, config::Error> {
        let mut settings: Self = config.section("deploy")?;
        if settings.units.is_empty() {
            let matrix: Other = config.section("matrix")?;
            let bridge: Other = config.section("bridge")?;
            settings.units = matrix
                .unit
                .or(&["matrix-continuwuity", "continuwuity", "conduwuit"]);
            settings.units.extend(bridge.unit.or(&["mautrix-slack"]));
            settings
                .units
                .extend(["postgresql", "nginx", "forgejo"].map(str::to_owned));
        }
        for unit in &mut settings.units {
            if !unit.contains('.') {
                unit.push_str(".service");
            }
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, config::Error> {
        Settings::read(&Config::parse(PathBuf::from("ops.yaml"), text.to_owned())?)
    }

    #[test]
    fn without_units_those_of_the_platform_are_taken() {
        let units = read("bridge: {unit: mautrix-slack-2, database: x}\n")
            .unwrap()
            .units;
        assert!(units.contains(&"mautrix-slack-2.service".to_owned()));
        assert!(
            units.contains(&"continuwuity.service".to_owned())
                && units.contains(&"nginx.service".to_owned())
        );
    }

    #[test]
    fn named_units_are_all_there_is() {
        let settings =
            read("deploy: {units: [a, b.socket], health_window: 5s, health: []}\n").unwrap();
        assert_eq!(settings.units, ["a.service", "b.socket"]);
        assert_eq!(settings.health_window, Span::seconds(5));
        assert!(settings.health.is_empty());
    }

    #[test]
    fn a_misspelt_key_is_an_error() {
        assert!(read("deploy: {healthwindow: 5s}\n").is_err());
    }
}
