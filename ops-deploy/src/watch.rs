//! The health window: the host is looked at again and again, and what has become worse than before is told.

use std::time::{Duration, Instant};

use ops_common::check::{Check, State as Finding};
use ops_common::exit::describe;

use crate::deployment::{Deployment, Order, Sick};
use crate::error::Error;
use crate::health::{self, Scope};
use crate::probe::{self, Surroundings};
use crate::state::State;

/// What became of a new login.
pub(crate) type Login = Result<(), Error>;

impl Deployment<'_> {
    /// Watches the host for the window, and longer where a unit may take longer to start.
    ///
    /// What became of the new login is told where one was tried during the last look.
    pub(crate) fn watch(&mut self) -> Result<Option<Login>, Sick> {
        let started = Instant::now();
        let watched = self.watch_units(started);
        self.record.step("watch", started);
        let (now, login) = watched?;
        let probes = probe::run(
            &self.order.settings.health,
            surroundings(&self.order, &self.line.name()),
        );
        let window = self.order.settings.health_window.duration();
        let scope = Scope {
            watched: &self.order.settings.units,
            plan: self.order.plan,
            window,
        };
        self.record.after = health::compare(&self.baseline, &self.counters, &now, &probes, scope);
        for check in &mut self.record.after {
            check.host = self.line.name();
        }
        match first_bad(&self.record.after) {
            None => Ok(login),
            Some(check) => Err(Sick::because(told(check))),
        }
    }

    fn watch_units(&mut self, started: Instant) -> Result<(State, Option<Login>), Sick> {
        let window = self.order.settings.health_window.duration();
        let pause = (window / 10).clamp(Duration::from_millis(200), Duration::from_secs(2));
        let mut early = true;
        loop {
            // What the window leaves to do needs both, and neither has to wait for the other.
            let last = early && started.elapsed() >= window;
            let (now, login) = if last {
                early = false;
                let (now, login) = self.log_in_and_look();
                (now?, Some(login))
            } else {
                (self.look()?, None)
            };
            self.counters.look(&now);
            let starting =
                health::still_starting(&self.baseline, &now).is_some_and(|left| !left.is_zero());
            let out_of_time = Instant::now() + pause >= self.armed_until;
            let over = started.elapsed() >= window && !starting;
            if over || out_of_time || health::is_hopeless(&self.baseline, &now) {
                return Ok((now, login));
            }
            std::thread::sleep(
                pause.min(
                    window
                        .saturating_sub(started.elapsed())
                        .max(Duration::from_millis(100)),
                ),
            );
        }
    }

    /// Looks over a new login. Where that does not work, the line that is there tells more than why.
    fn log_in_and_look(&self) -> (Result<State, Sick>, Login) {
        match self.line.log_in_and_look() {
            Ok(state) => (self.is_still_new(state), Ok(())),
            Err(error) => (self.look(), Err(error)),
        }
    }

    /// Looks, over a new connection where the old one broke, and makes sure that the new system still runs.
    fn look(&self) -> Result<State, Sick> {
        let state = self.line.look_again(self.armed_until);
        let state = state.map_err(|error| {
            Sick::because(format!("the host does not answer: {}", describe(&error)))
        })?;
        self.is_still_new(state)
    }

    fn is_still_new(&self, state: State) -> Result<State, Sick> {
        if state.boot != self.before.boot {
            return Err(Sick::because(
                "the host was restarted during the deployment",
            ));
        }
        if state.current.as_deref() != Some(self.order.new) {
            return Err(Sick::because("the new system is not the one that runs"));
        }
        Ok(state)
    }
}

pub(crate) fn surroundings<'a>(order: &Order<'a>, host: &'a str) -> Surroundings<'a> {
    let limit = order
        .settings
        .health_window
        .duration()
        .clamp(Duration::from_secs(2), Duration::from_secs(30));
    Surroundings {
        host: Some(host),
        config: order.config,
        limit,
    }
}

pub(crate) fn first_bad(checks: &[Check]) -> Option<&Check> {
    checks
        .iter()
        .find(|check| matches!(check.status, Finding::Fail | Finding::Unknown))
}

pub(crate) fn told(check: &Check) -> String {
    if check.subject.is_empty() {
        format!("{}: {}", check.check, check.message)
    } else {
        format!("{}: {}", check.subject, check.message)
    }
}
