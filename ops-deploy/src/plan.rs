//! What a switch between two systems does to the units of a host, computed from the unit files alone: no byte is copied and
//! nothing on the host is asked but which units run.
//!
//! The rules are those of `switch-to-configuration-ng`. What only the host knows (requests of activation scripts, units of
//! logged-in users) is not in the plan.

mod compare;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use self::compare::{Difference, compare};
use crate::fstab;
use crate::unit_tree::{Found, UnitTree, template_of};

/// What happens to a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// It stops and does not come back.
    Stop,
    /// It stops, and starts again after the activation.
    Restart,
    /// It reads its configuration anew.
    Reload,
    /// It starts for the first time.
    Start,
    /// It differs, but keeps running as it is.
    Leave,
}

impl Verb {
    /// The word in records.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Reload => "reload",
            Self::Start => "start",
            Self::Leave => "leave",
        }
    }
}

/// One unit of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What happens.
    pub action: Verb,
    /// The unit.
    pub unit: String,
    /// Why, in words: what differs, or which rule holds it back.
    pub reason: String,
}

/// A unit that runs on the host before the switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether it is `active` or `activating`, and not for example `failed`.
    pub active: bool,
    /// Whether its file lies in `/etc/systemd/system`: generated and transient units are never touched.
    pub managed: bool,
}

/// Computes the plan, in the order in which the host carries it out.
#[must_use]
pub fn plan(old: &UnitTree, new: &UnitTree, running: &[Running<'_>]) -> Vec<Change> {
    let names: BTreeSet<&str> = running
        .iter()
        .filter(|unit| unit.active)
        .map(|unit| unit.name)
        .collect();
    let mut planner = Planner {
        old,
        new,
        running: &names,
        changes: BTreeMap::new(),
    };
    for unit in running.iter().filter(|unit| unit.managed && unit.active) {
        planner.unit(unit.name);
    }
    for change in fstab::changes(old.fstab(), new.fstab(), &names) {
        planner
            .changes
            .entry(change.unit)
            .or_insert((change.action, change.reason));
    }
    planner.stopped_with_others();
    planner.new_units();
    let mut changes: Vec<_> = planner
        .changes
        .into_iter()
        .map(|(unit, (action, reason))| Change {
            action,
            unit,
            reason,
        })
        .collect();
    changes.sort_by(|a, b| (a.action, &a.unit).cmp(&(b.action, &b.unit)));
    changes
}

struct Planner<'a> {
    old: &'a UnitTree,
    new: &'a UnitTree,
    running: &'a BTreeSet<&'a str>,
    changes: BTreeMap<String, (Verb, String)>,
}

impl Planner<'_> {
    fn unit(&mut self, unit: &str) {
        let (file, dropped) = self.file_of(unit);
        if file != unit && !is_plain_instance(unit) {
            return;
        }
        let Some(old) = self.old.unit(unit, &file) else {
            return;
        };
        let Some(new) = self.new.unit(unit, &file).filter(|_| !dropped) else {
            if old.file.flag("Unit", "X-StopOnRemoval", true) {
                let masked = self.new.has_name(&file) && !dropped;
                self.note(unit, Verb::Stop, if masked { "masked" } else { "removed" });
            } else {
                self.note(unit, Verb::Leave, "removed, but X-StopOnRemoval=false");
            }
            return;
        };
        if kind_of(unit) == "target" {
            return; // targets are started again only to pull in what is new
        }
        match compare(&old.file, &new.file) {
            Difference::None => {}
            Difference::Reload(reason) => self.note(unit, Verb::Reload, &reason),
            Difference::Restart(reason) => self.restart(unit, &new, &reason),
        }
    }

    /// Finds the file that speaks for a unit: its own, or for an instance without one its template's. The second value says
    /// that an instance which existed through its drop-ins has lost them.
    fn file_of(&self, unit: &str) -> (String, bool) {
        match template_of(unit) {
            Some(template) if !self.old.has_name(unit) && !self.new.has_name(unit) => {
                let dropped = self.old.has_drop_in(unit) && !self.new.has_drop_in(unit);
                (template, dropped)
            }
            _ => (unit.to_owned(), false),
        }
    }

    fn restart(&mut self, unit: &str, new: &Found, reason: &str) {
        let file = &new.file;
        if never_restarted(unit) || kind_of(unit) == "socket" {
            return; // a reload of the manager is enough, or nothing is done
        }
        if unit == "-.mount" || unit == "nix.mount" {
            return self.note(unit, Verb::Reload, reason);
        }
        if kind_of(unit) == "mount" {
            return self.note(unit, Verb::Restart, reason);
        }
        if file.flag("Service", "X-ReloadIfChanged", false) {
            return self.note(unit, Verb::Reload, &format!("{reason}; X-ReloadIfChanged"));
        }
        let held = [
            (
                "X-RestartIfChanged=false",
                !file.flag("Service", "X-RestartIfChanged", true),
            ),
            (
                "RefuseManualStop",
                file.flag("Unit", "RefuseManualStop", false),
            ),
            (
                "X-OnlyManualStart",
                file.flag("Unit", "X-OnlyManualStart", false),
            ),
        ];
        if let Some((rule, _)) = held.into_iter().find(|(_, holds)| *holds) {
            return self.note(unit, Verb::Leave, &format!("{reason}; {rule}"));
        }
        let stops = kind_of(unit) == "service" && file.flag("Service", "X-StopIfChanged", true);
        if stops && self.through_sockets(unit, new, reason) {
            return;
        }
        self.note(unit, Verb::Restart, reason);
    }

    /// A service behind a socket: both stop, and the socket starts again. Says whether the service is such a one.
    fn through_sockets(&mut self, unit: &str, new: &Found, reason: &str) -> bool {
        let mut sockets: Vec<String> = new
            .file
            .values("Service", "Sockets")
            .iter()
            .flat_map(|value| value.split_whitespace().map(str::to_owned))
            .collect();
        if sockets.is_empty() {
            sockets.push(format!("{}.socket", new.base.trim_end_matches('@')));
        }
        let mut behind_socket = false;
        for socket in sockets {
            let (runs, stays) = (
                self.running.contains(socket.as_str()),
                self.new.has_name(&socket),
            );
            if runs {
                let (verb, why) = if stays {
                    (Verb::Restart, "its service changed")
                } else {
                    (Verb::Stop, "removed")
                };
                self.note(&socket, verb, why);
            }
            behind_socket |= stays;
        }
        behind_socket &= !new.file.flag("Service", "X-NotSocketActivated", false);
        if behind_socket {
            self.note(
                unit,
                Verb::Stop,
                &format!("{reason}; its socket starts it again"),
            );
        }
        behind_socket
    }

    fn note(&mut self, unit: &str, action: Verb, reason: &str) {
        self.changes
            .insert(unit.to_owned(), (action, reason.to_owned()));
    }
}

/// Whether `switch-to-configuration` finds the template of an instance: it takes the name for `TEMPLATE@INSTANCE.TYPE` with
/// neither `@` nor `.` in the instance, and leaves others alone.
fn is_plain_instance(unit: &str) -> bool {
    unit.matches('@').count() == 1
        && unit
            .split_once('@')
            .is_some_and(|(_, rest)| rest.matches('.').count() == 1)
}

/// The type of a unit: what follows the last dot of its name.
fn kind_of(unit: &str) -> &str {
    unit.rsplit('.').next().unwrap_or("")
}

/// Slices and paths take their new settings when the manager reloads; the basic targets are pulled in by others.
fn never_restarted(unit: &str) -> bool {
    let basic = [
        "sysinit.target",
        "basic.target",
        "multi-user.target",
        "graphical.target",
    ];
    kind_of(unit) == "path" || kind_of(unit) == "slice" || basic.contains(&unit)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;

#[cfg(test)]
mod reference_tests;
