//! The one way in which an unproven system boots: made the default, booted, watched; and the way back, which is another reboot.

use std::time::{Duration, Instant};

use ops_common::exit::describe;

use crate::deployment::{Deployment, Sick, revert_args};
use crate::health::Counters;
use crate::state::State;

/// How long a machine may take from going down to answering again.
const BOOT_LIMIT: Duration = Duration::from_mins(10);

/// How long to wait before asking again whether it is up.
const PAUSE: Duration = Duration::from_millis(300);

impl Deployment<'_> {
    /// Makes the new system the default, reboots, and waits until the host is up with it.
    pub(crate) fn reboot_into_new(&mut self) -> Result<(), Sick> {
        self.make_default()?;
        let started = Instant::now();
        let state = self.reboot().map_err(Sick::because)?;
        self.record.step("reboot", started);
        if state.old() != Some(self.order.new) {
            return Err(Sick::because(format!(
                "after the reboot the host runs '{}'",
                state.old().unwrap_or("nothing")
            )));
        }
        self.booted(&state);
        Ok(())
    }

    /// Makes the old system the default again, reboots, and verifies it.
    pub(crate) fn reboot_into_old(&mut self, old: &str) -> Result<(), String> {
        let patience = Instant::now() + BOOT_LIMIT;
        let words = |error: crate::error::Error| describe(&error);
        let state = self.line.look_again(patience).map_err(words)?;
        let mut args = revert_args(&self.record.id, &self.before, old);
        args.remove(1);
        let made = self
            .line
            .call("default", &args, Vec::new())
            .map_err(words)?;
        if !made.success() {
            return Err(format!(
                "it cannot be made the default for booting: {}",
                made.complaint()
            ));
        }
        if state.old() != Some(old) {
            let state = self.reboot()?;
            self.booted(&state);
        }
        self.verify_old(old, Instant::now() + BOOT_LIMIT)
    }

    /// Reboots the host and waits until it answers from another boot.
    fn reboot(&self) -> Result<State, String> {
        let words = |error: crate::error::Error| describe(&error);
        let before = self.line.look().map_err(words)?.boot;
        // The connection may go down before the answer has come: whether it goes down at all is what the boot id tells.
        drop(
            self.line
                .call("reboot", std::slice::from_ref(&self.record.id), Vec::new()),
        );
        let patience = Instant::now() + BOOT_LIMIT;
        loop {
            let state = self
                .line
                .reconnect(patience)
                .and_then(|()| self.line.look());
            match state {
                Ok(state) if state.boot != before && settled(&state) => return Ok(state),
                _ if Instant::now() >= patience => {
                    return Err("the host did not come back from the reboot".to_owned());
                }
                _ => std::thread::sleep(PAUSE),
            }
        }
    }

    /// Goes on from a fresh boot: its counters start anew, and so does the lock.
    fn booted(&mut self, state: &State) {
        self.before.boot.clone_from(&state.boot);
        self.counters = Counters::new(state);
        let armed = self.order.settings.rollback_after.duration()
            + self.order.settings.health_window.duration();
        self.armed_until = Instant::now() + armed + self.order.start_limit;
        let seconds = (armed + self.order.start_limit).as_secs() + 60;
        let args = [
            self.record.id.clone(),
            self.record.who.clone(),
            seconds.to_string(),
        ];
        if let Err(error) = self.line.call("relock", &args, Vec::new()) {
            self.line.report.warn(format_args!(
                "the lock could not be taken again after the reboot: {}",
                describe(&error)
            ));
        }
    }
}

/// Whether the boot is over as far as units are concerned: none of them waits for its first start.
fn settled(state: &State) -> bool {
    state
        .units
        .get("multi-user.target")
        .is_none_or(|unit| unit.active == "active")
}
