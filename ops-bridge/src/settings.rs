//! The section `bridge` of ops.yaml.

use std::path::PathBuf;

use ops_common::span::Span;
use serde::Deserialize;

/// What ops.yaml says about the bridge; every key has a default that fits a plain installation.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// The systemd unit.
    pub(crate) unit: String,
    /// The bridge's database, and the user of the host who may read it.
    pub(crate) database: String,
    pub(crate) db_user: String,
    /// The bridge's configuration on the host; found through the unit if absent.
    pub(crate) config: Option<String>,
    /// How long a message may take, each way.
    pub(crate) latency_limit: Span,
    /// The share of time that the bridge shall be connected.
    pub(crate) uptime_target: String,
    /// The sops file with the tokens of `ping` and `login`.
    pub(crate) tokens: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            unit: "mautrix-slack".to_owned(),
            database: "mautrix_slack".to_owned(),
            db_user: "mautrix_slack".to_owned(),
            config: None,
            latency_limit: Span::seconds(5),
            uptime_target: "99%".to_owned(),
            tokens: None,
        }
    }
}
