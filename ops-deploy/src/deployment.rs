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
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ops_common::exit::{Status, describe};
use ops_common::host::Finished;
use ops_common::interrupt::Guard;

use crate::ballot::Ballot;
use crate::error::Error;
use crate::health::{Baseline, Counters};
use crate::interrupted::{Phase, enter};
use crate::line::{FUNCTIONS, Line, Outcome as Ended, Work};
use crate::plan::Change;
use crate::probe;
use crate::record::{Outcome, Record};
use crate::settings::Settings;
use crate::state::State;
use crate::stc::{self, Ending, Meaning};
use crate::watch::{Login, surroundings};

/// How long the host may take beyond the armed time until its timer has put the old system back and it answers again.
pub(crate) const GRACE: Duration = Duration::from_mins(1);

/// How far the timer of the host and our own clock may be apart.
const TIMER_SLACK: Duration = Duration::from_secs(1);

/// The host has not waited for us.
const TOO_LATE: &str = "the armed time was over before all was well";

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

/// One deployment under way.
#[derive(Debug)]
pub struct Deployment<'a> {
    pub(crate) line: &'a Line<'a>,
    pub(crate) order: Order<'a>,
    pub(crate) before: State,
    pub(crate) baseline: Baseline,
    pub(crate) counters: Counters,
    /// What is written down.
    pub record: Record,
    pub(crate) armed_until: Instant,
    pub(crate) phase: Arc<Mutex<Phase>>,
    guard: Option<Guard>,
}

/// Why a new system is not kept.
#[derive(Debug)]
pub(crate) struct Sick {
    pub(crate) reason: String,
    /// Whether the host never went over to the new system.
    pub(crate) untouched: bool,
}

impl Sick {
    pub(crate) fn because(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            untouched: false,
        }
    }
}

impl<'a> Deployment<'a> {
    /// Looks at the health of the host, takes its lock and arms its timer.
    pub fn begin(
        line: &'a Line<'a>,
        order: Order<'a>,
        before: State,
        mut record: Record,
    ) -> Result<Self, Error> {
        let started = Instant::now();
        let probes = probe::run(&order.settings.health, surroundings(&order, &line.name()));
        record.before.clone_from(&probes);
        record.step("baseline", started);
        before.old().unwrap_or("").clone_into(&mut record.old);
        record.old_generation = before.generation;
        let armed = order.settings.rollback_after.duration()
            + order.settings.health_window.duration()
            + order.start_limit;
        if before.old().is_none() {
            line.report
                .warn("the host has no system yet: there is nothing to put back, and no timer");
        }
        let mut deployment = Self {
            line,
            order,
            baseline: Baseline::default(),
            counters: Counters::new(&before),
            before,
            record,
            // The timer of the host starts after this moment, so ours is over first.
            armed_until: Instant::now() + armed,
            phase: Arc::new(Mutex::new(Phase::Open)),
            guard: None,
        };
        deployment.guard = Some(deployment.roll_back_on_interrupt());
        let second = deployment.lock_and_look(armed)?;
        deployment.baseline = Baseline::new(&deployment.before, &second, probes);
        deployment.counters = Counters::new(&second);
        Ok(deployment)
    }

    /// Takes the lock, and at the same time looks a second time, so that two looks tell what flaps already.
    fn lock_and_look(&self, armed: Duration) -> Result<State, Error> {
        let line = self.line;
        std::thread::scope(|scope| {
            let look = scope.spawn(|| line.state());
            self.lock(armed)?;
            let second = look.join().ok().and_then(Result::ok);
            Ok(second.unwrap_or_else(|| self.before.clone()))
        })
    }

    /// Takes the lock of the host and arms its timer.
    fn lock(&self, armed: Duration) -> Result<(), Error> {
        let args = begin_args(&self.record, &self.before, armed);
        let stdin = [self.record.line().as_bytes(), FUNCTIONS.as_bytes()].concat();
        let patience = Instant::now() + armed.min(GRACE);
        let begun = self.line.call_again("begin", &args, &stdin, patience)?;
        check_begun(self.line, &begun)
    }

    /// Goes on to the end. With a ballot, the system is kept only if all hosts' systems are well.
    #[must_use]
    pub fn run(mut self, ballot: Option<&Ballot>) -> (Record, Status) {
        let mut tried = match self.order.way {
            Way::Switch | Way::Test => self
                .activate()
                .and_then(|()| self.watch())
                .and_then(|login| self.prove_login(login)),
            Way::Boot => Ok(()),
            Way::Reboot => self
                .reboot_into_new()
                .and_then(|()| self.watch())
                .and_then(|login| self.prove_login(login)),
        };
        if let Some(ballot) = ballot {
            let all_well = ballot.vote(tried.is_ok(), self.armed_until);
            if tried.is_ok() && !all_well {
                tried = Err(Sick::because("another host of this run is not well"));
            }
        }
        let phase = Arc::clone(&self.phase);
        let mut phase = enter(&phase);
        let kept = tried.and_then(|()| {
            let kept = self.commit();
            kept.or_else(|sick| self.was_committed().then_some(()).ok_or(sick))
        });
        let status = match kept {
            Ok(()) => self.keep(),
            Err(sick) => self.give_up(&sick),
        };
        *phase = Phase::Closed;
        (self.record, status)
    }

    /// Puts the old system back although the new one was kept, because another host of the run could not keep its own.
    pub fn undo(
        line: &'a Line<'a>,
        order: Order<'a>,
        record: &Record,
    ) -> Result<(Record, Status), Error> {
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
        let argv = vec![
            format!("{}/bin/switch-to-configuration", self.order.new),
            "test".to_owned(),
        ];
        let limit = self.armed_until.saturating_duration_since(started);
        let ended = self.line.work(&Work {
            id: &self.record.id,
            unit: "ops-deploy-activate",
            argv,
            limit,
            patience: self.armed_until,
        });
        self.record.step("activate", started);
        let Ended { mut ending, said } = ended
            .map_err(|error| Sick::because(format!("activation lost: {}", describe(&error))))?;
        if let Ending::Exited(status) = ending {
            self.record.activation = Some(status);
        } else if Instant::now() + TIMER_SLACK >= self.armed_until {
            // The timer ended it, or its unit did just before.
            ending = Ending::TooLong;
        }
        let told = with_last_words(&stc::explain(ending, &said), &said);
        match stc::meaning(ending, &said) {
            Meaning::Live => Ok(()),
            Meaning::LiveWithSickUnits => {
                self.line
                    .report
                    .note(format_args!("{told}; the units will tell"));
                Ok(())
            }
            Meaning::RebootNeeded | Meaning::Refused => Err(Sick {
                reason: told,
                untouched: true,
            }),
            Meaning::Broken => Err(Sick::because(told)),
        }
    }

    /// Makes sure that a new login works, unless that was tried beside the last look; the step is what it took beyond that.
    fn prove_login(&mut self, tried: Option<Login>) -> Result<(), Sick> {
        let started = Instant::now();
        let proved = tried.unwrap_or_else(|| self.line.prove_login().map(drop));
        self.record.step("login", started);
        proved.map_err(|error| {
            Sick::because(format!("a new login does not work: {}", describe(&error)))
        })
    }

    fn commit(&mut self) -> Result<(), Sick> {
        match self.order.way {
            Way::Reboot => Ok(()),
            Way::Test => match self.keep_running() {
                Ok(kept) if kept.success() => Ok(()),
                Ok(_) => Err(Sick::because(TOO_LATE)),
                Err(error) => Err(Sick::because(describe(&error))),
            },
            Way::Switch | Way::Boot => self.make_default(),
        }
    }

    /// Whether the host has ended the deployment well by itself: its timer found that we had come so far, but not back.
    fn was_committed(&self) -> bool {
        let args = [self.record.id.clone()];
        let patience = Instant::now() + GRACE;
        let told = self.line.call_again("told", &args, &[], patience);
        told.is_ok_and(|told| told.stdout.trim_ascii() == b"deployed")
    }

    fn keep_running(&self) -> Result<Finished, Error> {
        let args = [self.record.id.clone()];
        self.line.call_again("keep", &args, &[], self.armed_until)
    }

    /// Sets the profile and installs the boot loader.
    pub(crate) fn make_default(&mut self) -> Result<(), Sick> {
        let started = Instant::now();
        let left = self.armed_until.saturating_duration_since(started);
        let args = [self.record.id.clone(), self.order.new.to_owned()];
        let ended = self.line.work(&Work {
            id: &self.record.id,
            unit: "ops-deploy-commit",
            argv: host_script("commit", &args),
            limit: COMMIT_LIMIT.min(left),
            patience: self.armed_until,
        });
        self.record.step("commit", started);
        match ended {
            Ok(Ended {
                ending: Ending::Exited(0),
                ..
            }) => Ok(()),
            Ok(Ended { ending, said }) => {
                let what = match ending {
                    Ending::Exited(1) => "the system profile could not be set".to_owned(),
                    Ending::Exited(3) | Ending::Over => TOO_LATE.to_owned(),
                    Ending::Exited(2) => "the boot loader could not be installed".to_owned(),
                    other => format!("making it the default for booting {other}"),
                };
                Err(Sick::because(with_last_words(&what, &said)))
            }
            Err(error) => Err(Sick::because(format!(
                "lost while making it the default for booting: {}",
                describe(&error)
            ))),
        }
    }

    /// Writes down the success and lets go of the host.
    fn keep(&mut self) -> Status {
        let done = match self.order.way {
            Way::Switch => "healthy, and the default for booting",
            Way::Test => "healthy, but not the default for booting",
            Way::Boot => "the default for booting, not tried",
            Way::Reboot => "booted, healthy, and the default for booting",
        };
        self.close(Outcome::Deployed, done)
    }
}

/// Adds the last thing that a program said to what became of it.
fn with_last_words(told: &str, said: &[String]) -> String {
    match said
        .iter()
        .rev()
        .map(|line| line.trim())
        .find(|line| !line.is_empty())
    {
        Some(words) => format!("{told}: {}", words.chars().take(200).collect::<String>()),
        None => told.to_owned(),
    }
}

fn begin_args(record: &Record, before: &State, armed: Duration) -> Vec<String> {
    let old = before.old().unwrap_or("").to_owned();
    let armed_s = armed.as_secs().max(1);
    let lock_s = armed_s + GRACE.as_secs();
    let mut args = vec![
        record.id.clone(),
        record.who.clone(),
        lock_s.to_string(),
        armed_s.to_string(),
    ];
    args.extend(old_system(before, &old));
    args.push(record.new.clone());
    args.push(FUNCTIONS.len().to_string());
    args
}

/// What `revert` has to know.
pub(crate) fn revert_args(id: &str, before: &State, old: &str) -> Vec<String> {
    [vec![id.to_owned()], old_system(before, old)].concat()
}

fn old_system(before: &State, old: &str) -> Vec<String> {
    let generation = before
        .generation
        .map_or_else(String::new, |number| number.to_string());
    vec![
        old.to_owned(),
        before.profile.clone().unwrap_or_default(),
        generation,
    ]
}

/// The command line that runs one of the functions on the host from the copy that `begin` left there.
pub(crate) fn host_script(function: &str, args: &[String]) -> Vec<String> {
    let mut line = vec![
        "/bin/sh".to_owned(),
        "/run/ops-deploy/host.sh".to_owned(),
        function.to_owned(),
    ];
    line.extend_from_slice(args);
    line
}

fn check_begun(line: &Line<'_>, begun: &Finished) -> Result<(), Error> {
    if begun.success() {
        return Ok(());
    }
    let host = line.name();
    let said = String::from_utf8_lossy(&begun.stdout).into_owned();
    let said = said.trim_end();
    if let Some(lock) = said.strip_prefix("@locked ") {
        let (id, owner) = lock
            .strip_prefix("ops-deploy ")
            .and_then(|lock| lock.split_once(' '))
            .unwrap_or(("", "somebody"));
        return Err(Error::Locked {
            host,
            owner: owner.to_owned(),
            id: id.to_owned(),
        });
    }
    Err(match said {
        "@reverting " | "@reverting" => Error::Reverting { host },
        "@changed " | "@changed" => Error::Changed { host },
        _ => Error::Prepare {
            host,
            reason: begun.complaint(),
            status: begun.status,
        },
    })
}
