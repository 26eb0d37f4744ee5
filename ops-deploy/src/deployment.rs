//! The safe order on one host: lock, arm, `test`, watch, prove a login, and only then make it the system that boots.
//!
//! ```text
//! begin ─► activate ─► watch, login ─► commit ─► finish
//!             └───────────┴──────────────┴─► put back ─► finish
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
use serde::{Deserialize, Serialize};

use crate::ballot::Ballot;
use crate::begin::Before;
use crate::error::Error;
use crate::health::{Baseline, Counters};
use crate::interrupted::{Phase, enter};
use crate::line::{Line, Outcome as Ended};
use crate::plan::Change;
use crate::record::{Outcome, Record};
use crate::settings::Settings;
use crate::state::State;
use crate::watch::Login;

/// How long the host may take beyond the armed time until its timer has put the old system back and it answers again.
pub(crate) const GRACE: Duration = Duration::from_mins(1);

/// The host has not waited for us.
pub(crate) const TOO_LATE: &str = "the armed time was over before all was well";

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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Tried, watched, and made the one that boots.
    #[default]
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
    /// How the activation ended, until that is judged.
    pub(crate) activated: Option<Result<Ended, Error>>,
    /// What the host has summed up since the switch began.
    pub(crate) summary: Option<Vec<String>>,
    pub(crate) guard: Option<Guard>,
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
    /// Goes on to the end. With a ballot, the system is kept only if all hosts' systems are well.
    #[must_use]
    pub fn run(mut self, ballot: Option<&Ballot>) -> (Record, Status) {
        let mut tried = match self.order.way {
            Way::Switch | Way::Test => self
                .judge_activation()
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
        let before = Before::take(line, order, line.state()?);
        let mut back = record.clone();
        back.id.push_str("-undo");
        let mut deployment = Self::open(line, order, before, back);
        deployment.lock()?;
        deployment.before.current = Some(record.old.clone());
        deployment.before.profile = Some(record.old.clone());
        deployment.before.generation = record.old_generation;
        let status = deployment.give_up(&Sick::because("another host of this run is not well"));
        Ok((deployment.record, status))
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

/// What `revert` has to know.
pub(crate) fn revert_args(id: &str, before: &State, old: &str) -> Vec<String> {
    [vec![id.to_owned()], old_system(before, old)].concat()
}

pub(crate) fn old_system(before: &State, old: &str) -> Vec<String> {
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
