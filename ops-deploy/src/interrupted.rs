//! What Ctrl-C does to a deployment: the old system is put back at once, and the process dies of the signal afterwards.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ops_common::host::Host;
use ops_common::interrupt;

use crate::deployment::{Deployment, host_script, revert_args};
use crate::line::function_call;
use crate::record::Outcome;
use crate::stc::{self, Ending};

/// What the two sides of an interrupt agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// An interrupt may still put the old system back.
    Open,
    /// An interrupt does so.
    Aborted,
    /// It is over.
    Closed,
}

impl Deployment<'_> {
    /// Makes Ctrl-C put the old system back. What it takes is gathered now, since it runs on a thread of its own.
    pub(crate) fn roll_back_on_interrupt(&self) -> interrupt::Guard {
        let (phase, host, report) = (
            Arc::clone(&self.phase),
            self.line.host(),
            self.line.report.clone(),
        );
        let old = self.before.old().unwrap_or("").to_owned();
        let args = revert_args(&self.record.id, &self.before, &old);
        let mut record = self.record.clone();
        interrupt::guard(move || {
            let mut phase = phase.lock().unwrap_or_else(PoisonError::into_inner);
            if *phase == Phase::Closed {
                return;
            }
            *phase = Phase::Aborted;
            report.warn("interrupted: putting the old system back");
            let outcome = if old.is_empty() || !interrupted_revert(&host, &args) {
                Outcome::Unknown
            } else {
                Outcome::RolledBack
            };
            record.close(outcome, "interrupted by a signal");
            let finish = function_call("finish", &[record.id.clone()]).stdin(record.line());
            if host.run(&finish).is_err() {
                report.warn("the host was not told: its timer puts the old system back");
            }
        })
    }
}

fn interrupted_revert(host: &Host, args: &[String]) -> bool {
    let words = [args[0].as_str(), "ops-deploy-rollback", "120", ""];
    let mut call: Vec<String> = words.map(str::to_owned).to_vec();
    call.extend(host_script("revert", args));
    let answer = host.run(&function_call("start", &call));
    answer.is_ok_and(|answer| {
        let text = String::from_utf8_lossy(&answer.stdout).into_owned();
        let ended = text.lines().find_map(|line| line.strip_prefix("@ended "));
        ended.map(stc::ending) == Some(Ending::Exited(0))
    })
}

/// Waits for the right to end the deployment. After an interrupt that never comes: the process is about to die.
pub(crate) fn enter(phase: &Mutex<Phase>) -> MutexGuard<'_, Phase> {
    loop {
        let guard = phase.lock().unwrap_or_else(PoisonError::into_inner);
        if *guard == Phase::Open {
            return guard;
        }
        drop(guard);
        std::thread::park_timeout(Duration::from_secs(1));
    }
}
