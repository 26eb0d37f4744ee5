//! The question before a switch: asked on a terminal, and only there.

use std::io::{IsTerminal, Write, stderr, stdin};

use ops_common::check::State as Finding;
use ops_common::report::printable;

use crate::error::Error;
use crate::preview::Preview;
use crate::switch::Ready;

/// Tells what is wrong with the systems, and refuses those whose secrets their host cannot decrypt.
pub(super) fn warn(ready: &[Ready<'_>]) -> Result<(), Error> {
    for one in ready {
        let report = &one.seen.line.report;
        for check in &one.findings {
            let told = told(check);
            match check.status {
                Finding::Fail | Finding::Unknown => report.warn(told),
                Finding::Warn | Finding::Ok => report.note(told),
            }
        }
        if let Some(reason) = crate::ahead::undecryptable(&one.secrets) {
            return Err(Error::Secrets {
                host: one.seen.line.name(),
                reason,
            });
        }
        for check in one
            .secrets
            .iter()
            .filter(|one| one.status == Finding::Unknown)
        {
            report.warn(told(check));
        }
    }
    Ok(())
}

fn told(check: &ops_common::check::Check) -> String {
    let place = if check.subject.is_empty() {
        check.check.clone()
    } else {
        format!("{} '{}'", check.check, check.subject)
    };
    match &check.fix {
        Some(fix) => format!("{place}: {} ({fix})", check.message),
        None => format!("{place}: {}", check.message),
    }
}

/// Shows the plan and asks, if there is somebody to ask. Without a terminal it goes ahead.
pub(super) fn ask(ready: &[Ready<'_>]) -> Result<(), Error> {
    if !(stdin().is_terminal() && stderr().is_terminal()) {
        return Ok(());
    }
    let mut text = String::new();
    for one in ready {
        for line in one.preview.iter().flat_map(Preview::lines) {
            let versions = [line.old.as_str(), line.new.as_str()].join(" ");
            let more = format!("{} {}", versions.trim(), line.reason);
            let told = [
                one.seen.line.name().as_str(),
                &line.action,
                &line.name,
                more.trim(),
            ]
            .join("  ");
            text.push_str(&printable(told.trim_end()));
            text.push('\n');
        }
    }
    let names: Vec<_> = ready.iter().map(|one| one.seen.line.name()).collect();
    text.push_str(&format!("deploy to {}? [y/N] ", names.join(", ")));
    let mut terminal = stderr();
    let asked = terminal
        .write_all(text.as_bytes())
        .and_then(|()| terminal.flush());
    let mut answer = String::new();
    match asked.and_then(|()| stdin().read_line(&mut answer)) {
        Ok(_) if matches!(answer.trim(), "y" | "yes") => Ok(()),
        _ => Err(Error::NotConfirmed),
    }
}
