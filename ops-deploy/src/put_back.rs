//! The way back: the exact old system, verified, and the end of the record.

use std::time::{Duration, Instant};

use ops_common::exit::{Status, describe};

use crate::deployment::{Deployment, GRACE, Sick, Way, host_script, revert_args};
use crate::error::Error;
use crate::health::{self, Counters, Scope};
use crate::line::Work;
use crate::record::Outcome;
use crate::state::generation_number;
use crate::watch::{first_bad, told};

/// How often the host may go down while the old system is put back.
const RESTARTS: usize = 3;

impl Deployment<'_> {
    /// Puts the old system back where there is one, verifies it, and writes down why.
    pub(crate) fn give_up(&mut self, sick: &Sick) -> Status {
        let report = &self.line.report;
        report.error(format_args!(
            "'{}' is not kept: {}",
            self.order.new, sick.reason
        ));
        if sick.untouched && self.is_untouched() {
            report.hint("if a reboot is what it takes: ops-deploy activate --reboot");
            self.close(Outcome::Refused, &sick.reason);
            return Status::No;
        }
        let Some(old) = self.before.old().map(str::to_owned) else {
            report.error("there is no old system to put back: the host is left as it is");
            self.close(Outcome::Unknown, &sick.reason);
            return Status::Unknown;
        };
        match self.put_back(&old) {
            Ok(()) => {
                report.warn(format_args!("'{old}' runs again"));
                self.close(Outcome::RolledBack, &sick.reason);
                Status::No
            }
            Err(problem) => {
                report.error(format_args!(
                    "'{old}' could not be verified after putting it back: {problem}"
                ));
                self.close(
                    Outcome::Unknown,
                    &format!("{}; putting the old system back: {problem}", sick.reason),
                );
                Status::Unknown
            }
        }
    }

    fn is_untouched(&self) -> bool {
        self.line.look().is_ok_and(|state| {
            state.current == self.before.current && state.profile == self.before.profile
        })
    }

    fn put_back(&mut self, old: &str) -> Result<(), String> {
        let started = Instant::now();
        let patience = self.armed_until + GRACE;
        let done = match self.order.way {
            Way::Reboot => self.reboot_into_old(old),
            Way::Switch | Way::Test | Way::Boot => self.revert(old, patience),
        };
        self.record.step("put-back", started);
        done?;
        let proved = self.line.prove_login();
        proved.map(drop).map_err(|error| describe(&error))
    }

    /// Puts the old system back, and once more if the host goes down meanwhile: then it may have booted either.
    fn revert(&mut self, old: &str, patience: Instant) -> Result<(), String> {
        let words = |error: Error| describe(&error);
        let args = revert_args(&self.record.id, &self.before, old);
        let work = Work {
            id: &self.record.id,
            unit: "ops-deploy-rollback",
            argv: host_script("revert", &args),
            limit: GRACE * 5,
            patience,
            sum_up: None,
        };
        let mut state = self.line.look_again(patience).map_err(words)?;
        for _ in 0..RESTARTS {
            let boot = state.boot.clone();
            if boot == self.before.boot {
                let ended = self.line.work(&work).map_err(words)?.ending;
                self.line
                    .report
                    .note(format_args!("putting it back {ended}"));
            } else {
                // Our script is gone with the timer and the units.
                let reverted = self.line.call_again("revert", &args, &[], patience);
                let reverted = reverted.map_err(words)?;
                self.line.report.note(format_args!(
                    "the host was restarted; putting it back ended with status {}",
                    reverted.status
                ));
            }
            state = self.line.look_again(patience).map_err(words)?;
            if state.boot == boot {
                break;
            }
        }
        self.verify_old(old, patience)
    }

    /// Waits until the old system is as well as it was.
    pub(crate) fn verify_old(&self, old: &str, patience: Instant) -> Result<(), String> {
        let window = self.order.settings.health_window.duration();
        let until = (Instant::now() + window.max(Duration::from_secs(5))).min(patience);
        loop {
            let state = self
                .line
                .look_again(patience)
                .map_err(|error| describe(&error))?;
            let problem = if state.old() != Some(old) {
                Some(format!(
                    "the host runs '{}'",
                    state.old().unwrap_or("nothing")
                ))
            } else if state.profile != self.before.profile {
                Some(format!(
                    "the profile holds '{}'",
                    state.profile.as_deref().unwrap_or("nothing")
                ))
            } else {
                let counters = Counters::new(&state);
                let scope = Scope {
                    watched: &self.order.settings.units,
                    plan: &[],
                    window,
                };
                first_bad(&health::compare(
                    &self.baseline,
                    &counters,
                    &state,
                    &[],
                    scope,
                ))
                .map(told)
            };
            match problem {
                None => return Ok(()),
                Some(problem) if Instant::now() >= until => return Err(problem),
                Some(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    /// Ends the record, brings it to the host, and lets go of lock and timer.
    pub(crate) fn close(&mut self, outcome: Outcome, reason: &str) -> Status {
        self.sum_up(outcome);
        self.record.close(outcome, reason);
        let args = [self.record.id.clone()];
        let patience = Instant::now() + GRACE;
        let line = self.record.line();
        match self
            .line
            .call_again("finish", &args, line.as_bytes(), patience)
        {
            Ok(finished) if finished.success() => {}
            Ok(finished) => self.line.report.warn(format_args!(
                "the record could not be written on the host: {}",
                finished.complaint()
            )),
            Err(error) => {
                let told = describe(&error);
                self.line.report.warn(format_args!(
                    "the record could not be brought to the host: {told}"
                ));
                return Status::Unknown;
            }
        }
        Status::Done
    }

    /// Notes which generation the system has got and what the journal complains about, and tells if a reboot is due.
    fn sum_up(&mut self, outcome: Outcome) {
        let lines = self.summary.take().or_else(|| {
            let cursor = self.before.cursor.clone().unwrap_or_default();
            let answer = self.line.call("sum_up", &[cursor], Vec::new()).ok()?;
            let text = String::from_utf8_lossy(&answer.stdout).into_owned();
            Some(text.lines().map(str::to_owned).collect())
        });
        for line in lines.unwrap_or_default() {
            if let Some(link) = line.strip_prefix("@link ") {
                let has_one = outcome == Outcome::Deployed && self.order.way != Way::Test;
                self.record.generation = generation_number(link).filter(|_| has_one);
            } else if line.trim_end() == "@kernel-differs" {
                self.line
                    .report
                    .warn("reboot needed: the kernel of the system is not the one that runs");
            } else if let Some(error) = line.strip_prefix("@error ") {
                self.record.journal.push(error.chars().take(300).collect());
            }
        }
    }
}
