//! `errors`: what went wrong, grouped and explained. It lists, it does not judge.

use ops_common::host::Host;

use crate::error::Error;
use crate::event;
use crate::line::Line;
use crate::problems::{Group, Problems};
use crate::source::{self, File, Window};

/// Reads the journal of a host.
pub(crate) fn list_host(host: &Host, unit: &str, window: Window) -> Result<Vec<Group>, Error> {
    let mut problems = Problems::default();
    source::read_host(host, unit, &source::journalctl(unit, window), |line| {
        observe(&mut problems, line);
    })?;
    Ok(problems.groups())
}

/// Reads a file or stdin.
pub(crate) fn list_file(file: File<'_>, window: Window) -> Result<Vec<Group>, Error> {
    let mut problems = Problems::default();
    source::read_file(file, window, |line| observe(&mut problems, line))?;
    Ok(problems.groups())
}

fn observe(problems: &mut Problems, line: &Line<'_>) {
    problems.observe(line, &event::of(line));
}
