//! The environment: the one file that reads it. The variables are those of sops.

use std::ffi::OsString;
use std::path::PathBuf;

use zeroize::Zeroizing;

/// What the environment says about keys, configuration and editors.
#[derive(Clone, Default)]
pub struct Environment {
    /// Where sops looks for `sops/age/keys.txt`.
    pub config_home: Option<PathBuf>,
    /// Where SSH keys are looked for.
    pub home: Option<PathBuf>,
    /// Identities themselves (`SOPS_AGE_KEY`).
    pub age_key: Option<Zeroizing<String>>,
    /// A file of identities (`SOPS_AGE_KEY_FILE`).
    pub age_key_file: Option<PathBuf>,
    /// A command that prints identities (`SOPS_AGE_KEY_CMD`).
    pub age_key_command: Option<String>,
    /// An SSH private key (`SOPS_AGE_SSH_PRIVATE_KEY_FILE`).
    pub ssh_key_file: Option<PathBuf>,
    /// A command that prints an SSH private key (`SOPS_AGE_SSH_PRIVATE_KEY_CMD`).
    pub ssh_key_command: Option<String>,
    /// Recipients for new files (`SOPS_AGE_RECIPIENTS`).
    pub recipients: Option<String>,
    /// The first variable that gives new files keys of a kind that this tool does not hold.
    pub foreign_keys: Option<&'static str>,
    /// The configuration (`SOPS_CONFIG`).
    pub sops_config: Option<PathBuf>,
    /// The editor (`SOPS_EDITOR`, `EDITOR`).
    pub editor: Option<String>,
    /// What an activation does (`NIXOS_ACTION`).
    pub nixos_action: Option<String>,
    /// Where a user's secrets go (`XDG_RUNTIME_DIR`).
    pub runtime: Option<PathBuf>,
    /// Whether units are restarted through systemctl (`SOPS_RESTART_UNITS_VIA_SYSTEMCTL`).
    pub restart_by_systemctl: bool,
}

/// Variables that name keys of other kinds for new files.
const FOREIGN: [&str; 6] = [
    "SOPS_PGP_FP",
    "SOPS_KMS_ARN",
    "SOPS_GCP_KMS_IDS",
    "SOPS_HUAWEICLOUD_KMS_IDS",
    "SOPS_AZURE_KEYVAULT_URLS",
    "SOPS_VAULT_URIS",
];

#[expect(
    clippy::disallowed_methods,
    reason = "this is the file that reads the environment"
)]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn text(name: &str) -> Option<String> {
    variable(name).and_then(|value| value.into_string().ok())
}

/// The order in which sops tries kinds of keys (`SOPS_DECRYPTION_ORDER`); those of age are one kind.
#[must_use]
pub fn decryption_order() -> Option<OsString> {
    variable("SOPS_DECRYPTION_ORDER")
}

/// The folder for programs' temporary files (`TMPDIR`).
pub fn temporary() -> PathBuf {
    variable("TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from)
}

impl Environment {
    /// The environment of the process.
    pub fn read() -> Self {
        let home = variable("HOME").map(PathBuf::from);
        let config_home = variable("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or_else(|| home.as_ref().map(|home| home.join(".config")));
        Self {
            config_home,
            home,
            age_key: text("SOPS_AGE_KEY").map(Zeroizing::new),
            age_key_file: variable("SOPS_AGE_KEY_FILE").map(PathBuf::from),
            age_key_command: text("SOPS_AGE_KEY_CMD"),
            ssh_key_file: variable("SOPS_AGE_SSH_PRIVATE_KEY_FILE").map(PathBuf::from),
            ssh_key_command: text("SOPS_AGE_SSH_PRIVATE_KEY_CMD"),
            recipients: text("SOPS_AGE_RECIPIENTS"),
            foreign_keys: FOREIGN.into_iter().find(|name| variable(name).is_some()),
            sops_config: variable("SOPS_CONFIG").map(PathBuf::from),
            editor: text("SOPS_EDITOR").or_else(|| text("EDITOR")),
            nixos_action: text("NIXOS_ACTION"),
            runtime: variable("XDG_RUNTIME_DIR").map(PathBuf::from),
            restart_by_systemctl: text("SOPS_RESTART_UNITS_VIA_SYSTEMCTL")
                .is_some_and(|value| value == "1"),
        }
    }
}
