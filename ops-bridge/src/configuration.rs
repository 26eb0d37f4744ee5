//! The bridge's own configuration file, as far as it is looked at. Its secrets stay inside.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use serde::Deserialize;

/// What a secret is held in: it cannot be printed.
#[derive(Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub(crate) struct Secret(String);

impl Secret {
    /// Takes a text as a secret.
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the one place that sends it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Configuration {
    #[serde(skip)]
    pub(crate) path: String,
    pub(crate) homeserver: Homeserver,
    pub(crate) appservice: Appservice,
    pub(crate) bridge: Bridge,
    pub(crate) database: DatabaseSection,
    pub(crate) provisioning: Provisioning,
    pub(crate) logging: Logging,
}

/// `homeserver`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Homeserver {
    pub(crate) address: String,
    pub(crate) domain: String,
}

/// `appservice`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Appservice {
    pub(crate) address: String,
    pub(crate) hostname: String,
    pub(crate) port: u16,
    pub(crate) id: String,
    pub(crate) username_template: String,
    pub(crate) bot: Bot,
    pub(crate) as_token: Secret,
    pub(crate) hs_token: Secret,
}

impl Default for Appservice {
    fn default() -> Self {
        Self {
            address: String::new(),
            hostname: "127.0.0.1".to_owned(),
            port: 29335,
            id: "slack".to_owned(),
            username_template: "slack_{{.}}".to_owned(),
            bot: Bot::default(),
            as_token: Secret::default(),
            hs_token: Secret::default(),
        }
    }
}

/// `appservice.bot`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Bot {
    pub(crate) username: String,
}

impl Default for Bot {
    fn default() -> Self {
        Self {
            username: "slackbot".to_owned(),
        }
    }
}

/// `bridge`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Bridge {
    pub(crate) permissions: serde_yaml::Mapping,
    pub(crate) unknown_error_auto_reconnect: Option<serde_yaml::Value>,
}

/// `database`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct DatabaseSection {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) uri: Secret,
}

/// `provisioning`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Provisioning {
    pub(crate) shared_secret: Secret,
}

/// `logging`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Logging {
    pub(crate) min_level: String,
}

impl Configuration {
    /// Reads the path on the first line and the file after it. An error tells where, never what stands there.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let (path, text) = text.split_once('\n').ok_or("no answer")?;
        let parsed: Result<Self, _> = serde_yaml::from_str(text);
        let mut configuration = parsed.map_err(|error| {
            let place = error.location().map_or_else(String::new, |at| {
                format!(" at line {} column {}", at.line(), at.column())
            });
            format!("'{path}' is no configuration of the bridge{place}")
        })?;
        path.clone_into(&mut configuration.path);
        Ok(configuration)
    }

    /// Where the bridge listens, seen from its host.
    pub(crate) fn listener(&self) -> (IpAddr, u16) {
        let hostname = self.appservice.hostname.trim_matches(['[', ']']);
        let address = match hostname.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) if address.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Ok(IpAddr::V6(Ipv6Addr::LOCALHOST)) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            Ok(address) if !address.is_unspecified() => address,
            _ => IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        (address, self.appservice.port)
    }

    /// The secret of the provisioning API; shorter ones switch it off.
    pub(crate) fn provisioning_secret(&self) -> Result<&Secret, &'static str> {
        match self.provisioning.shared_secret.reveal() {
            "" | "disable" => Err("disabled: provisioning.shared_secret is not set"),
            short if short.len() < 16 => {
                Err("disabled: provisioning.shared_secret is shorter than 16 characters")
            }
            _ => Ok(&self.provisioning.shared_secret),
        }
    }

    /// The port of the homeserver's address.
    pub(crate) fn homeserver_port(&self) -> Option<u16> {
        let (scheme, rest) = self.homeserver.address.split_once("://")?;
        let authority = rest.split('/').next()?;
        let default = if scheme == "https" { 443 } else { 80 };
        Some(
            authority
                .rsplit_once(':')
                .and_then(|(_, port)| port.parse().ok())
                .unwrap_or(default),
        )
    }

    /// What is set as the time after which a failed login is tried again.
    pub(crate) fn auto_reconnect(&self) -> Option<Duration> {
        let value = self.bridge.unknown_error_auto_reconnect.as_ref()?;
        let seconds = go_seconds(value.as_str().unwrap_or_default());
        (!value.is_null()).then(|| Duration::try_from_secs_f64(seconds).unwrap_or_default())
    }

    /// After which time a failed login is tried again. The bridge does not do so after less than a minute.
    pub(crate) fn retries_after(&self) -> Option<Duration> {
        self.auto_reconnect()
            .filter(|after| *after >= Duration::from_mins(1))
    }

    /// Whether the states of the connection are in the log.
    pub(crate) fn logs_states(&self) -> bool {
        matches!(self.logging.min_level.as_str(), "debug" | "trace")
    }
}

/// A length of time as Go writes it, `1h30m` or `500ms`; 0 for what is none.
fn go_seconds(text: &str) -> f64 {
    let units = [
        ("ms", 0.001),
        ("us", 1e-6),
        ("ns", 1e-9),
        ("h", 3600.0),
        ("m", 60.0),
        ("s", 1.0),
    ];
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        let unit = units.iter().find(|(unit, _)| after.starts_with(unit));
        let (Ok(number), Some((unit, worth))) = (number.parse::<f64>(), unit) else {
            return 0.0;
        };
        seconds += number * worth;
        rest = &after[unit.len()..];
    }
    seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_as_go_writes_them() {
        for (text, seconds) in [
            ("1m", 60.0),
            ("1h30m", 5400.0),
            ("59s", 59.0),
            ("500ms", 0.5),
            ("1.5m", 90.0),
            ("", 0.0),
            ("1", 0.0),
            ("x", 0.0),
        ] {
            assert!((go_seconds(text) - seconds).abs() < 1e-9, "{text}");
        }
    }

    #[test]
    fn secrets_are_in_no_debug_output_and_in_no_error() {
        let text = "/x/config.yaml\nappservice: {hostname: '[::]', port: 1, as_token: CANARY}\nprovisioning: {shared_secret: CANARY}\ndatabase: {uri: CANARY}\n";
        let configuration = Configuration::read(text).unwrap();
        assert!(!format!("{configuration:?}").contains("CANARY"));
        assert_eq!(
            configuration.listener(),
            (IpAddr::V4(Ipv4Addr::LOCALHOST), 1)
        );
        assert!(configuration.provisioning_secret().is_err());
        let error =
            Configuration::read("/x/config.yaml\nappservice: {port: CANARY}\n").unwrap_err();
        assert!(
            !error.contains("CANARY") && error.contains("line 1"),
            "{error}"
        );
    }
}
