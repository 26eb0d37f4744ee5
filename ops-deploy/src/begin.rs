//! The beginning of a deployment: the host as it was, its lock, its armed timer, and in the same call the activation.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ops_common::check::Check;
use ops_common::host::Finished;

use crate::deployment::{Deployment, GRACE, Order, Way, old_system};
use crate::error::Error;
use crate::health::{Baseline, Counters};
use crate::interrupted::Phase;
use crate::line::{Begun, FUNCTIONS, Line};
use crate::probe;
use crate::record::Record;
use crate::state::State;
use crate::watch::surroundings;

/// How long a look at the host is good for. What breaks during a long copy is not the new system's fault.
const FRESH: Duration = Duration::from_secs(5);

/// The host before the switch.
#[derive(Debug)]
pub struct Before {
    state: State,
    second: Option<State>,
    probes: Vec<Check>,
    at: Instant,
    took: Duration,
}

impl Before {
    /// Runs the health commands, and at the same time looks a second time, so that two looks tell what flaps already.
    #[must_use]
    pub fn take(line: &Line<'_>, order: Order<'_>, state: State) -> Self {
        let at = Instant::now();
        let (second, probes) = std::thread::scope(|scope| {
            let look = scope.spawn(|| line.look());
            let probes = probe::run(&order.settings.health, surroundings(&order, &line.name()));
            (look.join().ok().and_then(Result::ok), probes)
        });
        Self {
            second,
            state,
            probes,
            at,
            took: at.elapsed(),
        }
    }

    /// The same host, looked at again if that was long ago or was not let through.
    #[must_use]
    pub fn fresh(mut self, line: &Line<'_>, order: Order<'_>) -> Self {
        if self.at.elapsed() > FRESH {
            return Self::take(line, order, self.state);
        }
        if self.second.is_none() {
            self.second = line.look().ok();
        }
        self
    }
}

impl<'a> Deployment<'a> {
    /// Takes the lock of the host and arms its timer; where that is what comes next, starts the activation too.
    pub fn begin(
        line: &'a Line<'a>,
        order: Order<'a>,
        before: Before,
        record: Record,
    ) -> Result<Self, Error> {
        let mut deployment = Self::open(line, order, before, record);
        match order.way {
            Way::Switch | Way::Test => deployment.lock_and_activate()?,
            Way::Boot | Way::Reboot => deployment.lock()?,
        }
        Ok(deployment)
    }

    /// A deployment of which the host does not know yet.
    pub(crate) fn open(
        line: &'a Line<'a>,
        order: Order<'a>,
        before: Before,
        mut record: Record,
    ) -> Self {
        let Before {
            state,
            second,
            probes,
            took,
            ..
        } = before;
        let second = second.unwrap_or_else(|| state.clone());
        record.before.clone_from(&probes);
        record.took("baseline", took);
        state.old().unwrap_or("").clone_into(&mut record.old);
        record.old_generation = state.generation;
        if state.old().is_none() {
            line.report
                .warn("the host has no system yet: there is nothing to put back, and no timer");
        }
        let mut deployment = Self {
            line,
            order,
            baseline: Baseline::new(&state, &second, probes),
            counters: Counters::new(&second),
            before: state,
            record,
            // The timer of the host starts after this moment, so ours is over first.
            armed_until: Instant::now() + armed(order),
            phase: Arc::new(Mutex::new(Phase::Open)),
            activated: None,
            summary: None,
            guard: None,
        };
        deployment.guard = Some(deployment.roll_back_on_interrupt());
        deployment
    }

    /// Takes the lock of the host and arms its timer.
    pub(crate) fn lock(&self) -> Result<(), Error> {
        let (args, stdin) = self.begin_call();
        let begun = self
            .line
            .call_again("begin", &args, &stdin, self.begin_patience())?;
        if begun.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&begun.stdout).into_owned();
        let words: Vec<String> = said.lines().map(str::to_owned).collect();
        Err(refusal(self.line, &words, &begun))
    }

    fn lock_and_activate(&mut self) -> Result<(), Error> {
        let started = Instant::now();
        let (args, stdin) = self.begin_call();
        let work = self.activation();
        let begun = self
            .line
            .begin_and_work(&args, &stdin, self.begin_patience(), &work)?;
        match begun {
            Begun::Refused(words, finished) => Err(refusal(self.line, &words, &finished)),
            Begun::Started(ended) => {
                self.record.step("activate", started);
                self.activated = Some(ended);
                Ok(())
            }
        }
    }

    fn begin_patience(&self) -> Instant {
        Instant::now() + armed(self.order).min(GRACE)
    }

    fn begin_call(&self) -> (Vec<String>, Vec<u8>) {
        let old = self.before.old().unwrap_or("").to_owned();
        let armed_s = armed(self.order).as_secs().max(1);
        let lock_s = armed_s + GRACE.as_secs();
        let mut args = vec![
            self.record.id.clone(),
            self.record.who.clone(),
            lock_s.to_string(),
            armed_s.to_string(),
        ];
        args.extend(old_system(&self.before, &old));
        args.push(self.record.new.clone());
        args.push(FUNCTIONS.len().to_string());
        let stdin = [self.record.line().as_bytes(), FUNCTIONS.as_bytes()].concat();
        (args, stdin)
    }
}

/// How long the host waits before it puts the old system back by itself.
fn armed(order: Order<'_>) -> Duration {
    order.settings.rollback_after.duration()
        + order.settings.health_window.duration()
        + order.start_limit
}

/// Why the host does not let a deployment begin.
fn refusal(line: &Line<'_>, words: &[String], begun: &Finished) -> Error {
    let host = line.name();
    let word = words.last().map_or("", |word| word.trim_end());
    if let Some(lock) = word.strip_prefix("@locked ") {
        let (id, owner) = lock
            .strip_prefix("ops-deploy ")
            .and_then(|lock| lock.split_once(' '))
            .unwrap_or(("", "somebody"));
        return Error::Locked {
            host,
            owner: owner.to_owned(),
            id: id.to_owned(),
        };
    }
    match word {
        "@reverting" => Error::Reverting { host },
        "@changed" => Error::Changed { host },
        _ => Error::Prepare {
            host,
            reason: begun.complaint(),
            status: begun.status,
        },
    }
}
