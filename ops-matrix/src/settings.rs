//! The section `matrix` of ops.yaml.

use std::path::PathBuf;

use serde::Deserialize;

/// What ops.yaml says about the homeserver; every key has a default that fits a plain installation.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The server name: what stands behind the colon of its users.
    pub server_name: Option<String>,
    /// Where its client API is on its own machine.
    pub url: String,
    /// The names its systemd unit may have; more are tried after these.
    pub unit: Vec<String>,
    /// The configuration of the proxy in front of it.
    pub nginx: PathBuf,
    /// The units of the bridges whose configuration and registration `paths` reads.
    pub bridges: Vec<String>,
    /// The sops file with `token_a`, `token_b` and `room` for `ping`.
    pub tokens: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            server_name: None,
            url: "http://127.0.0.1:8008".to_owned(),
            unit: ["matrix-continuwuity", "continuwuity", "conduwuit"]
                .map(str::to_owned)
                .to_vec(),
            nginx: PathBuf::from("/etc/nginx/nginx.conf"),
            bridges: vec!["mautrix-slack".to_owned()],
            tokens: None,
        }
    }
}
