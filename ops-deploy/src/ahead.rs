//! What can be known about a system before a byte of it is copied: traps in it, traps on the way to it, and whether the host
//! will be able to decrypt its secrets.

use std::path::Path;

use ops_common::check::{Check, State as Finding};
use ops_common::program::{self, Program};

use crate::closure::StorePath;
use crate::error::Error;
use crate::gate;
use crate::lint::{self, System};
use crate::settings::Settings;
use crate::state::State;

/// Where the secrets of a system would go.
#[derive(Debug, Clone, Copy)]
pub struct Destination<'a> {
    /// The host, by the name that was given.
    pub host: &'a str,
    /// The configuration in use.
    pub config: Option<&'a Path>,
}

/// Looks for traps in a system of the local store, and in going to it from another one. Findings that are well are left out.
pub fn traps(
    old: Option<&str>,
    (new, closure): (&str, &[StorePath]),
    state: Option<&State>,
    settings: &Settings,
) -> Result<Vec<Check>, Error> {
    let system = read(new)?.made_of(closure);
    let mut checks = lint::checks(&system, state, settings);
    if let Some(old) = old.filter(|old| Path::new(old).exists()) {
        checks.extend(lint::between(&read(old)?, &system));
    }
    checks.retain(|check| check.status > Finding::Ok);
    Ok(checks)
}

fn read(path: &str) -> Result<System, Error> {
    System::read(Path::new(path)).map_err(|source| Error::Units {
        path: path.to_owned(),
        source,
    })
}

/// Asks `ops-secrets` whether the host can decrypt what the system's manifests name.
pub fn secrets(new: &str, to: Destination<'_>) -> Result<Vec<Check>, Error> {
    let mut checks = Vec::new();
    for manifest in lint::manifests(&read(new)?) {
        checks.extend(match ask(&manifest, to) {
            Ok(found) => found,
            Err(why) => vec![Check::unknown("deploy.secrets", &manifest, why)],
        });
    }
    for check in &mut checks {
        to.host.clone_into(&mut check.host);
    }
    Ok(checks)
}

fn ask(manifest: &str, to: Destination<'_>) -> Result<Vec<Check>, String> {
    let failed = |error: program::Error| ops_common::exit::describe(&error);
    let mut ask = Program::find("ops-secrets").map_err(failed)?.args([
        "install",
        "--json",
        "--check-host",
        to.host,
        manifest,
    ]);
    if let Some(config) = to.config {
        ask = ask.env("OPS_CONFIG", config);
    }
    let ended = ask.run().map_err(failed)?;
    let checks = gate::read(ended.stdout.as_slice()).map_err(|error| error.to_string())?;
    if checks.is_empty() {
        let said = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
        return Err(format!(
            "ops-secrets ended with status {}: {said}",
            ended.status
        ));
    }
    Ok(checks)
}

/// The secrets that the host will not be able to decrypt, in words.
#[must_use]
pub fn undecryptable(checks: &[Check]) -> Option<String> {
    let bad = checks.iter().filter(|check| check.status == Finding::Fail);
    let told: Vec<String> = bad
        .map(|check| format!("'{}': {}", check.subject, check.message))
        .collect();
    (!told.is_empty()).then(|| told.join("; "))
}
