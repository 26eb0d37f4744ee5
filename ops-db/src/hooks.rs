//! Commands of the operator around a backup: argument vectors, which no shell sees.

use std::path::Path;

use ops_common::program::Program;
use serde::Deserialize;

use crate::error::Error;

/// What to run here around each backup into a directory. The database, and what is known then, are the last arguments.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hooks {
    /// Before: `... DB`. If it fails, no backup is taken.
    pub before: Vec<String>,
    /// After one that is whole: `... DB FILE`.
    pub after: Vec<String>,
    /// After one that has failed: `... DB MESSAGE`.
    pub failed: Vec<String>,
}

impl Hooks {
    /// Runs what comes before.
    pub fn before(&self, database: &str) -> Result<(), Error> {
        run("before", &self.before, &[database.as_ref()])
    }

    /// Runs what comes after.
    pub fn after(&self, database: &str, file: &Path) -> Result<(), Error> {
        run("after", &self.after, &[database.as_ref(), file.as_ref()])
    }

    /// Runs what comes after a failure.
    pub fn failed(&self, database: &str, message: &str) -> Result<(), Error> {
        run(
            "failed",
            &self.failed,
            &[database.as_ref(), message.as_ref()],
        )
    }
}

/// What a hook says is told only if it fails: stdout is for the names of the backups.
fn run(hook: &'static str, argv: &[String], more: &[&std::ffi::OsStr]) -> Result<(), Error> {
    let Some((program, words)) = argv.split_first() else {
        return Ok(());
    };
    let failed = |reason: String| Error::Hook { hook, reason };
    let program =
        Program::find(program).map_err(|error| failed(ops_common::exit::describe(&error)))?;
    let ended = program
        .args(words)
        .args(more)
        .run()
        .map_err(|error| failed(ops_common::exit::describe(&error)))?;
    if ended.status == 0 {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    let said = said.trim().lines().collect::<Vec<_>>().join(": ");
    Err(failed(format!("status {}: {said}", ended.status)))
}
