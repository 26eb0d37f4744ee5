//! The section `db` of ops.yaml.

use std::path::PathBuf;

use serde::Deserialize;

use crate::hooks::Hooks;

/// What ops.yaml says about the database server and its backups.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The role that may see everything; the system user of the same name is who connects.
    pub superuser: String,
    /// The folder of the server's socket, or the socket itself.
    pub socket: PathBuf,
    /// Where backups are.
    pub backups: PathBuf,
    /// What `health` takes for a fault.
    pub limits: crate::health::limits::Limits,
    /// Who can read backups: age and SSH public keys.
    pub recipients: Vec<String>,
    /// Files with the keys that open them.
    pub identities: Vec<PathBuf>,
    /// What to run around a backup.
    pub hooks: Hooks,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            superuser: "postgres".to_owned(),
            socket: "/run/postgresql".into(),
            backups: "/var/backups/postgresql".into(),
            limits: crate::health::limits::Limits::default(),
            recipients: Vec::new(),
            identities: Vec::new(),
            hooks: Hooks::default(),
        }
    }
}

impl Settings {
    /// The folder of the socket, and the port in its name.
    #[must_use]
    pub fn address(&self) -> (String, u16) {
        let name = self.socket.file_name().and_then(|name| name.to_str());
        let port = name
            .and_then(|name| name.strip_prefix(".s.PGSQL."))
            .and_then(|port| port.parse().ok());
        let folder = match port {
            Some(_) => self.socket.parent().unwrap_or(&self.socket),
            None => &self.socket,
        };
        (folder.to_string_lossy().into_owned(), port.unwrap_or(5432))
    }

    /// The socket itself.
    #[must_use]
    pub fn socket_path(&self) -> String {
        let (folder, port) = self.address();
        format!("{folder}/.s.PGSQL.{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::Settings;

    #[test]
    fn a_socket_is_named_by_its_folder_or_by_itself() {
        let of = |socket: &str| Settings {
            socket: socket.into(),
            ..Settings::default()
        };
        assert_eq!(
            of("/run/postgresql").socket_path(),
            "/run/postgresql/.s.PGSQL.5432"
        );
        assert_eq!(
            of("/srv/x/.s.PGSQL.5433").address(),
            ("/srv/x".to_owned(), 5433)
        );
    }
}
