//! Who may read what: secrets that are open to everybody once they are on the host.

use ops_common::check::Check;
use serde::Deserialize;

use super::System;

/// What is read of a manifest of sops-nix.
#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    secrets: Vec<Secret>,
    #[serde(default)]
    templates: Vec<Secret>,
}

#[derive(Deserialize)]
struct Secret {
    name: String,
    #[serde(default)]
    mode: String,
}

/// Manifests of secrets that the system installs: those that an installer is called with.
#[must_use]
pub(crate) fn manifests(system: &System) -> Vec<String> {
    let texts = system.units.texts();
    let texts = texts.chain(system.files.get("activate").map(String::as_str));
    let mut found: Vec<String> = texts
        .flat_map(str::lines)
        .filter(|line| {
            line.contains("sops-install-secrets") || line.contains("ops-secrets install")
        })
        .flat_map(|line| line.split(|c: char| c.is_whitespace() || "\"'".contains(c)))
        .filter(|word| word.starts_with("/nix/store/") && word.contains("manifest"))
        .map(str::to_owned)
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Secrets that others than their owner and group may read: by the manifest, or as they lie on the host.
pub(super) fn secret_modes(system: &System) -> Vec<Check> {
    let name = "deploy.lint.secret_modes";
    let planned = manifests(system).into_iter().flat_map(|path| {
        let text = system.files.get(&path).map_or("", String::as_str);
        let manifest: Option<Manifest> = serde_json::from_str(text).ok();
        manifest.map_or_else(Vec::new, |manifest| {
            let templates = manifest.templates.into_iter();
            manifest.secrets.into_iter().chain(templates).collect()
        })
    });
    let open = planned
        .filter(|secret| u32::from_str_radix(&secret.mode, 8).is_ok_and(|mode| mode & 0o007 != 0));
    let by_manifest = open.map(|secret| {
        let told = format!("mode {}: everybody on the host may read it", secret.mode);
        Check::fail(name, secret.name, told).fix("mode 0400, with its service as the owner")
    });
    let by_host = system.open_secrets.iter().map(|path| {
        Check::fail(name, path, "everybody on the host may read it")
            .fix("mode 0400, with its service as the owner")
    });
    by_manifest.chain(by_host).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-manifest.json";

    #[test]
    fn the_manifest_of_an_installer_is_read_for_modes() {
        let script = format!(
            "/nix/store/x-sops-install-secrets-0.0.1/bin/sops-install-secrets {MANIFEST}\n"
        );
        let text = "{\"secrets\": [{\"name\": \"a\", \"mode\": \"0400\"}, {\"name\": \"b\", \"mode\": \"0444\"}],\
            \"templates\": [{\"name\": \"c.env\", \"mode\": \"0604\"}, {\"name\": \"d\", \"mode\": \"0440\"}]}";
        let system = System::default()
            .with_file("activate", &script)
            .with_file(MANIFEST, text);
        assert_eq!(manifests(&system), [MANIFEST]);
        let open = secret_modes(&system);
        let open: Vec<_> = open.iter().map(|check| check.subject.as_str()).collect();
        assert_eq!(open, ["b", "c.env"]);
        assert!(manifests(&System::default().with_file("activate", MANIFEST)).is_empty());
    }
}
