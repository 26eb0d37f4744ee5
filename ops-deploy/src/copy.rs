//! Brings a system to a host: one question for what is missing, one stream with all of it.

use std::collections::BTreeSet;
use std::time::Duration;

use ops_common::host::Command;

use crate::closure::StorePath;
use crate::error::Error;
use crate::line::Line;
use crate::nix;

/// Prints those of the paths on stdin that the host does not have.
const MISSING: &str = include_str!("sh/missing.sh");

/// What was brought to a host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// How many paths.
    pub paths: usize,
    /// How many bytes of them.
    pub bytes: u64,
}

/// Copies what the host lacks of `closure`.
pub fn copy(line: &Line<'_>, closure: &[StorePath], substitute: bool) -> Result<Copied, Error> {
    let lacking = missing(line, closure, substitute, "")?;
    match send(line, &lacking) {
        Err(failed @ Error::Import { .. }) => {
            // Perhaps something is there that is not valid.
            let all = missing(line, closure, false, "thorough")?;
            let asked: BTreeSet<&str> = lacking.iter().map(|path| path.path.as_str()).collect();
            if all.iter().all(|path| asked.contains(path.path.as_str())) {
                return Err(failed);
            }
            send(line, &all)
        }
        done => done,
    }
}

fn send(line: &Line<'_>, missing: &[&StorePath]) -> Result<Copied, Error> {
    let copied = Copied {
        paths: missing.len(),
        bytes: missing.iter().map(|path| path.bytes).sum(),
    };
    if missing.is_empty() {
        return Ok(copied);
    }
    // The order of the closure has references first, and an import wants them so.
    let paths: Vec<&str> = missing.iter().map(|path| path.path.as_str()).collect();
    let mut export = nix::export(&paths)?;
    let bar = line
        .report
        .progress(&format!("copying to {}", line.name()), Some(copied.bytes));
    let stream = export.stdout.take().ok_or_else(|| Error::Export {
        reason: "it has no output".to_owned(),
    })?;
    let import = Command::script(IMPORT, &[] as &[&str]);
    let imported = line.host().upload(&import, &mut bar.wrap_read(stream));
    bar.finish_and_clear();
    let exported = export.wait().map_err(|error| Error::Export {
        reason: error.to_string(),
    })?;
    let imported = imported.map_err(Error::from)?;
    if !exported.success() {
        return Err(Error::Export {
            reason: exported.to_string(),
        });
    }
    if !imported.success() {
        return Err(Error::Import {
            host: line.name(),
            reason: imported.complaint(),
        });
    }
    Ok(copied)
}

const IMPORT: &str = "PATH=$PATH:/run/current-system/sw/bin:/nix/var/nix/profiles/default/bin\nexec nix-store --import >/dev/null";

fn missing<'a>(
    line: &Line<'_>,
    closure: &'a [StorePath],
    substitute: bool,
    how: &str,
) -> Result<Vec<&'a StorePath>, Error> {
    let mut list = String::with_capacity(closure.len() * 80);
    for path in closure {
        list.push_str(&path.path);
        list.push('\n');
    }
    let args = [how, if substitute { "substitute" } else { "" }];
    let deadline = if substitute {
        Duration::from_hours(1)
    } else {
        Duration::from_mins(2)
    };
    let question = Command::script(MISSING, &args)
        .stdin(list)
        .deadline(deadline);
    let answer = line.host().run(&question).map_err(Error::from)?;
    if !answer.success() {
        return Err(Error::AskStore {
            host: line.name(),
            reason: answer.complaint(),
        });
    }
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    let missing: BTreeSet<&str> = text.lines().collect();
    Ok(closure
        .iter()
        .filter(|path| missing.contains(path.path.as_str()))
        .collect())
}
