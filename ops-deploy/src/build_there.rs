//! A system built on the host that gets it: evaluated here, and only its derivations are copied.

use std::time::Duration;

use ops_common::host::Command;

use crate::copy;
use crate::error::Error;
use crate::line::Line;
use crate::nix::{self, Installable};

/// How long a build may take.
const LIMIT: Duration = Duration::from_hours(24);

const REALISE: &str = "PATH=$PATH:/run/current-system/sw/bin:/nix/var/nix/profiles/default/bin\nexec nix-store --realise \"$1\"";

/// Builds a system on the host, and returns its path there.
pub fn build(line: &Line<'_>, what: &Installable) -> Result<String, Error> {
    let derivation = nix::derivation(what)?;
    let closure = nix::closure(&derivation)?.unwrap_or_default();
    copy::copy(line, &closure, false)?;
    let realise = Command::script(REALISE, &[derivation.as_str()]).deadline(LIMIT);
    let built = line.host().run(&realise).map_err(Error::from)?;
    let path = String::from_utf8_lossy(&built.stdout).trim().to_owned();
    if built.success() && crate::closure::is_store_path(&path) {
        Ok(path)
    } else {
        Err(Error::BuildThere {
            host: line.name(),
            what: derivation,
            reason: built.complaint(),
        })
    }
}
