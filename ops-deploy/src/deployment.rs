//! The safe order on one host: lock, arm, `test`, watch, prove a login, and only then make it the system that boots.
//!
//! ```text
//! begin ─► activate ─► watch ─► login ─► commit ─► finish
//!             └───────────┴────────┴───────┴─► put back ─► finish
//! ```
//!
//! Everything that takes long runs in a transient unit of the host. From `begin` to `finish` a timer there is armed that
//! puts the old system back, whatever happens to us.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ops_common::check::{Check, State as Finding};
use ops_common::exit::{Status, describe};
use ops_common::host::Host;
use ops_common::interrupt;

use crate::ballot::Ballot;
use crate::error::Error;
use crate::health::{self, Baseline, Counters, Scope};
use crate::line::{FUNCTIONS, Line, Outcome as Ended, Work, function_call};
use crate::plan::Change;
use crate::probe::{self, Surroundings};
use crate::record::{Outcome, Record};
use crate::settings::Settings;
use crate::state::State;
use crate::stc::{self, Ending, Meaning};

/// How long the host may take beyond the armed time until its timer has put the old system back and it answers again.
const GRACE: Duration = Duration::from_secs(60);

/// How long making the system the default for booting may take.
const COMMIT_LIMIT: Duration = Duration::from_mins(5);

/// What a deployment has to know beside the host.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// The system.
    pub new: &'a str,
    /// What it is planned to do to units.
    pub plan: &'a [Change],
    /// The largest start limit that a unit started by the plan sets itself.
    pub start_limit: Duration,
    /// How deployments are done.
    pub settings: &'a Settings,
    /// The configuration in use.
    pub config: Option<&'a Path>,
    /// How far the system is taken.
    pub way: Way,
}

/// How far a system is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Tried, watched, and made the one that boots.
    Switch,
    /// Tried and watched; a reboot takes it back.
    Test,
    /// Made the one that boots, without being tried.
    Boot,
    /// Made the one that boots, booted, and watched.
    Reboot,
}

/// What the two sides of an interrupt agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// An interrupt may still put the old system back.
    Open,
    /// An interrupt does so.
    Aborted,
    /// It is over.
    Closed,
}

/// One deployment under way.
#[derive(Debug)]
pub struct Deployment<'a> {
    pub(crate) line: &'a Line<'a>,
    pub(crate) order: Order<'a>,
    pub(crate) before: State,
    baseline: Baseline,
    pub(crate) counters: Counters,
    /// What is written down.
    pub record: Record,
    pub(crate) armed_until: Instant,
    phase: Arc<Mutex<Phase>>,
}

/// Why a new system is not kept.
#[derive(Debug)]
pub(crate) struct Sick {
    reason: String,
    /// Whether the host never went over to the new system.
    untouched: bool,
}

impl Sick {
    pub(crate) fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), untouched: false }
    }
}

impl<'a> Deployment<'a> {
    /// Looks at the health of the host, takes its lock and arms its timer.
    pub fn begin(line: &'a Line<'a>, order: Order<'a>, before: State, mut record: Record) -> Result<Self, Error> {
        let started = Instant::now();
        let probes = probe::run(&order.settings.health, surroundings(&order, &line.name()));
        record.before.clone_from(&probes);
        record.step("baseline", started);
        before.old().unwrap_or("").clone_into(&mut record.old);
        record.old_generation = before.generation;
        let armed = order.settings.rollback_after.duration() + order.settings.health_window.duration() + order.start_limit;
        if before.old().is_none() {
            line.report.warn("the host has no system yet: there is nothing to put back, and no timer");
        }
        let args = begin_args(&record, &before, armed);
        let stdin = [record.line().as_bytes(), FUNCTIONS.as_bytes()].concat();
        let begun = line.call("begin", &args, stdin)?;
        check_begun(line, &begun)?;
        let mut deployment = Self {
            line,
            order,
            baseline: Baseline::default(),
            counters: Counters::new(&before),
            before,
            record,
            armed_until: Instant::now() + armed,
            phase: Arc::new(Mutex::new(Phase::Open)),
        };
        let second = deployment.line.state().unwrap_or_else(|_| deployment.before.clone());
        deployment.baseline = Baseline::new(&deployment.before, &second, probes);
        deployment.counters = Counters::new(&second);
        Ok(deployment)
    }

    /// Goes on to the end. With a ballot, the system is kept only if all hosts' systems are well.
    pub fn run(mut self, ballot: Option<&Ballot>) -> (Record, Status) {
        let guard = self.roll_back_on_interrupt();
        let mut tried = match self.order.way {
            Way::Switch | Way::Test => self.activate().and_then(|()| self.watch()).and_then(|()| self.prove_login()),
            Way::Boot => Ok(()),
            Way::Reboot => self.reboot_into_new().and_then(|()| self.watch()).and_then(|()| self.prove_login()),
        };
        if let Some(ballot) = ballot {
            let all_well = ballot.vote(tried.is_ok(), self.armed_until);
            if tried.is_ok() && !all_well {
                tried = Err(Sick::because("another host of this run is not well"));
            }
        }
        let phase = Arc::clone(&self.phase);
        let mut phase = enter(&phase);
        let kept = tried.and_then(|()| self.commit());
        let status = match kept {
            Ok(()) => self.keep(),
            Err(sick) => self.give_up(&sick),
        };
        *phase = Phase::Closed;
        drop(guard);
        (self.record, status)
    }

    /// Puts the old system back although the new one was kept, because another host of the run could not keep its own.
    pub fn undo(line: &'a Line<'a>, order: Order<'a>, record: &Record) -> Result<(Record, Status), Error> {
        let before = line.state()?;
        let mut back = record.clone();
        back.id.push_str("-undo");
        let mut deployment = Self::begin(line, order, before, back)?;
        deployment.before.current = Some(record.old.clone());
        deployment.before.profile = Some(record.old.clone());
        deployment.before.generation = record.old_generation;
        let status = deployment.give_up(&Sick::because("another host of this run is not well"));
        Ok((deployment.record, status))
    }

    fn activate(&mut self) -> Result<(), Sick> {
        let started = Instant::now();
        let argv = vec![format!("{}/bin/switch-to-configuration", self.order.new), "test".to_owned()];
        let limit = self.armed_until.saturating_duration_since(started);
        let ended = self.line.work(&Work { unit: "ops-deploy-activate", argv, limit, patience: self.armed_until });
        self.record.step("activate", started);
        let Ended { ending, said } = ended.map_err(|error| Sick::because(format!("activation lost: {}", describe(&error))))?;
        if let Ending::Exited(status) = ending {
            self.record.activation = Some(status);
        }
        let told = stc::explain(ending, &said);
        match stc::meaning(ending, &said) {
            Meaning::Live => Ok(()),
            Meaning::LiveWithSickUnits => {
                self.line.report.note(format_args!("{told}; the units will tell"));
                Ok(())
            }
            Meaning::RebootNeeded | Meaning::Refused => Err(Sick { reason: told, untouched: true }),
            Meaning::Broken => Err(Sick::because(told)),
        }
    }

    /// Watches the host for the window, and longer where a unit may take longer to start.
    fn watch(&mut self) -> Result<(), Sick> {
        let started = Instant::now();
        let watched = self.watch_units(started);
        self.record.step("watch", started);
        let now = watched?;
        let probes = probe::run(&self.order.settings.health, surroundings(&self.order, &self.line.name()));
        let window = self.order.settings.health_window.duration();
        let scope = Scope { watched: &self.order.settings.units, plan: self.order.plan, window };
        self.record.after = health::compare(&self.baseline, &self.counters, &now, &probes, scope);
        for check in &mut self.record.after {
            check.host = self.line.name();
        }
        match first_bad(&self.record.after) {
            None => Ok(()),
            Some(check) => Err(Sick::because(told(check))),
        }
    }

    fn watch_units(&mut self, started: Instant) -> Result<State, Sick> {
        let window = self.order.settings.health_window.duration();
        let pause = (window / 10).clamp(Duration::from_millis(200), Duration::from_secs(2));
        loop {
            let now = self.look()?;
            self.counters.look(&now);
            let starting = health::still_starting(&self.baseline, &now).is_some_and(|left| !left.is_zero());
            let out_of_time = Instant::now() + pause >= self.armed_until;
            let over = started.elapsed() >= window && !starting;
            if over || out_of_time || health::is_hopeless(&self.baseline, &now) {
                return Ok(now);
            }
            std::thread::sleep(pause.min(window.saturating_sub(started.elapsed()).max(Duration::from_millis(100))));
        }
    }

    /// Asks for the state, over a new connection where the old one broke, and makes sure that the new system still runs.
    fn look(&self) -> Result<State, Sick> {
        let state = self.line.state().or_else(|_| {
            self.line.reconnect(self.armed_until)?;
            self.line.state()
        });
        let state = state.map_err(|error| Sick::because(format!("the host does not answer: {}", describe(&error))))?;
        if state.boot != self.before.boot {
            return Err(Sick::because("the host was restarted during the deployment"));
        }
        if state.current.as_deref() != Some(self.order.new) {
            return Err(Sick::because("the new system is not the one that runs"));
        }
        Ok(state)
    }

    fn prove_login(&mut self) -> Result<(), Sick> {
        let started = Instant::now();
        let proved = self.line.prove_login();
        self.record.step("login", started);
        let proved = proved.map(drop);
        proved.map_err(|error| Sick::because(format!("a new login does not work: {}", describe(&error))))
    }

    fn commit(&mut self) -> Result<(), Sick> {
        match self.order.way {
            Way::Test | Way::Reboot => Ok(()),
            Way::Switch | Way::Boot => self.make_default(),
        }
    }

    /// Sets the profile and installs the boot loader.
    pub(crate) fn make_default(&mut self) -> Result<(), Sick> {
        let started = Instant::now();
        let left = self.armed_until.saturating_duration_since(started);
        let ended = self.line.work(&Work {
            unit: "ops-deploy-commit",
            argv: host_script("commit", &[self.order.new.to_owned()]),
            limit: COMMIT_LIMIT.min(left),
            patience: self.armed_until,
        });
        self.record.step("commit", started);
        match ended {
            Ok(Ended { ending: Ending::Exited(0), .. }) => Ok(()),
            Ok(Ended { ending: Ending::Exited(1), .. }) => Err(Sick::because("the system profile could not be set")),
            Ok(Ended { ending: Ending::Exited(2), .. }) => Err(Sick::because("the boot loader could not be installed")),
            Ok(Ended { ending, .. }) => Err(Sick::because(format!("making it the default for booting failed: {ending:?}"))),
            Err(error) => Err(Sick::because(format!("lost while making it the default for booting: {}", describe(&error)))),
        }
    }

    /// Writes down the success and lets go of the host.
    fn keep(&mut self) -> Status {
        if let Ok(state) = self.line.state() {
            self.record.generation = state.generation.filter(|_| self.order.way != Way::Test);
            if state.kernel_differs {
                self.line.report.warn("reboot needed: the kernel of the new system is not the one that runs");
            }
        }
        let done = match self.order.way {
            Way::Switch => "healthy, and the default for booting",
            Way::Test => "healthy, but not the default for booting",
            Way::Boot => "the default for booting, not tried",
            Way::Reboot => "booted, healthy, and the default for booting",
        };
        self.close(Outcome::Deployed, done)
    }

    /// Puts the old system back where there is one, verifies it, and writes down why.
    fn give_up(&mut self, sick: &Sick) -> Status {
        let report = &self.line.report;
        report.error(format_args!("'{}' is not kept: {}", self.order.new, sick.reason));
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
                report.error(format_args!("'{old}' could not be verified after putting it back: {problem}"));
                self.close(Outcome::Unknown, &format!("{}; putting the old system back: {problem}", sick.reason));
                Status::Unknown
            }
        }
    }

    fn is_untouched(&self) -> bool {
        self.line.state().is_ok_and(|state| state.current == self.before.current && state.profile == self.before.profile)
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

    fn revert(&mut self, old: &str, patience: Instant) -> Result<(), String> {
        let words = |error: Error| describe(&error);
        let state = self.line.state().or_else(|_| {
            self.line.reconnect(patience)?;
            self.line.state()
        });
        let state = state.map_err(words)?;
        let args = revert_args(&self.before, old);
        if state.boot != self.before.boot {
            // The host runs what it booted, and its timer and our script are gone. Only a profile that was set just before
            // is still to be put back.
            if state.profile != self.before.profile {
                self.line.call("revert", &args, Vec::new()).map_err(words)?;
            }
        } else {
            let work = Work { unit: "ops-deploy-rollback", argv: host_script("revert", &args), limit: GRACE * 5, patience };
            let ended = self.line.work(&work).map_err(words)?;
            self.line.report.note(format_args!("putting back ended: {:?}", ended.ending));
        }
        self.verify_old(old, patience)
    }

    /// Waits until the old system is as well as it was.
    pub(crate) fn verify_old(&self, old: &str, patience: Instant) -> Result<(), String> {
        let window = self.order.settings.health_window.duration();
        let until = (Instant::now() + window.max(Duration::from_secs(5))).min(patience);
        loop {
            let state = self.line.state().map_err(|error| describe(&error))?;
            let problem = if state.old() != Some(old) {
                Some(format!("the host runs '{}'", state.old().unwrap_or("nothing")))
            } else if state.profile != self.before.profile {
                Some(format!("the profile holds '{}'", state.profile.as_deref().unwrap_or("nothing")))
            } else {
                let counters = Counters::new(&state);
                let scope = Scope { watched: &self.order.settings.units, plan: &[], window };
                first_bad(&health::compare(&self.baseline, &counters, &state, &[], scope)).map(told)
            };
            match problem {
                None => return Ok(()),
                Some(problem) if Instant::now() >= until => return Err(problem),
                Some(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    /// Ends the record, brings it to the host, and lets go of lock and timer.
    fn close(&mut self, outcome: Outcome, reason: &str) -> Status {
        self.record.journal = self.journal_errors();
        self.record.close(outcome, reason);
        let args = [self.record.id.clone()];
        let finish = || self.line.call("finish", &args, self.record.line().into_bytes());
        let patience = Instant::now() + GRACE;
        let finished = finish().or_else(|_| {
            self.line.reconnect(patience)?;
            finish()
        });
        match finished {
            Ok(finished) if finished.success() => {}
            Ok(finished) => self.line.report.warn(format_args!("the record could not be written on the host: {}", finished.complaint())),
            Err(error) => {
                let told = describe(&error);
                self.line.report.warn(format_args!("the record could not be brought to the host: {told}"));
                return Status::Unknown;
            }
        }
        Status::Done
    }

    fn journal_errors(&self) -> Vec<String> {
        let Some(cursor) = self.before.cursor.clone() else { return Vec::new() };
        let Ok(answer) = self.line.call("errors", &[cursor], Vec::new()) else { return Vec::new() };
        let text = String::from_utf8_lossy(&answer.stdout).into_owned();
        text.lines().map(|line| line.chars().take(300).collect()).collect()
    }

    /// Makes Ctrl-C put the old system back. What it takes is gathered now, since it runs on a thread of its own.
    fn roll_back_on_interrupt(&self) -> interrupt::Guard {
        let (phase, host, report) = (Arc::clone(&self.phase), self.line.host(), self.line.report.clone());
        let old = self.before.old().unwrap_or("").to_owned();
        let args = revert_args(&self.before, &old);
        let mut record = self.record.clone();
        interrupt::guard(move || {
            let mut phase = phase.lock().unwrap_or_else(PoisonError::into_inner);
            if *phase == Phase::Closed {
                return;
            }
            *phase = Phase::Aborted;
            report.warn("interrupted: putting the old system back");
            let outcome = if old.is_empty() || !interrupted_revert(&host, &args) { Outcome::Unknown } else { Outcome::RolledBack };
            record.close(outcome, "interrupted by a signal");
            let finish = function_call("finish", &[record.id.clone()]).stdin(record.line());
            if host.run(&finish).is_err() {
                report.warn("the host was not told: its timer puts the old system back");
            }
        })
    }
}

fn interrupted_revert(host: &Host, args: &[String]) -> bool {
    let mut call = vec!["ops-deploy-rollback".to_owned(), "120".to_owned()];
    call.extend(host_script("revert", args));
    let answer = host.run(&function_call("start", &call));
    answer.is_ok_and(|answer| {
        let text = String::from_utf8_lossy(&answer.stdout).into_owned();
        let ended = text.lines().find_map(|line| line.strip_prefix("@ended "));
        ended.map(stc::ending) == Some(Ending::Exited(0))
    })
}

/// Waits for the right to end the deployment. After an interrupt that never comes: the process is about to die.
fn enter(phase: &Mutex<Phase>) -> MutexGuard<'_, Phase> {
    loop {
        let guard = phase.lock().unwrap_or_else(PoisonError::into_inner);
        if *guard == Phase::Open {
            return guard;
        }
        drop(guard);
        std::thread::park_timeout(Duration::from_secs(1));
    }
}

fn begin_args(record: &Record, before: &State, armed: Duration) -> Vec<String> {
    let old = before.old().unwrap_or("").to_owned();
    let armed_s = armed.as_secs().max(1);
    let lock_s = armed_s + GRACE.as_secs();
    let mut args = vec![record.id.clone(), record.who.clone(), lock_s.to_string(), armed_s.to_string()];
    args.extend(revert_args(before, &old));
    args.push(record.new.clone());
    args
}

pub(crate) fn revert_args(before: &State, old: &str) -> Vec<String> {
    let generation = before.generation.map_or_else(String::new, |number| number.to_string());
    vec![old.to_owned(), before.profile.clone().unwrap_or_default(), generation]
}

/// The command line that runs one of the functions on the host from the copy that `begin` left there.
fn host_script(function: &str, args: &[String]) -> Vec<String> {
    let mut argv = vec!["/bin/sh".to_owned(), "/run/ops-deploy/host.sh".to_owned(), function.to_owned()];
    argv.extend_from_slice(args);
    argv
}

fn check_begun(line: &Line<'_>, begun: &ops_common::host::Finished) -> Result<(), Error> {
    if begun.success() {
        return Ok(());
    }
    let host = line.name();
    let said = String::from_utf8_lossy(&begun.stdout).into_owned();
    let said = said.trim_end();
    if let Some(lock) = said.strip_prefix("@locked ") {
        let (id, owner) = lock.strip_prefix("ops-deploy ").and_then(|lock| lock.split_once(' ')).unwrap_or(("", "somebody"));
        return Err(Error::Locked { host, owner: owner.to_owned(), id: id.to_owned() });
    }
    Err(match said {
        "@reverting " | "@reverting" => Error::Reverting { host },
        "@changed " | "@changed" => Error::Changed { host },
        _ => Error::Prepare { host, reason: begun.complaint(), status: begun.status },
    })
}

fn surroundings<'a>(order: &Order<'a>, host: &'a str) -> Surroundings<'a> {
    let limit = order.settings.health_window.duration().clamp(Duration::from_secs(2), Duration::from_secs(30));
    Surroundings { host: Some(host), config: order.config, limit }
}

fn first_bad(checks: &[Check]) -> Option<&Check> {
    checks.iter().find(|check| matches!(check.status, Finding::Fail | Finding::Unknown))
}

fn told(check: &Check) -> String {
    if check.subject.is_empty() { format!("{}: {}", check.check, check.message) } else { format!("{}: {}", check.subject, check.message) }
}
