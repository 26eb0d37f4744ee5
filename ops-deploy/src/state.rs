//! What a host is and does at one moment: one shell script, one exec, and the parser of what it prints.

use std::collections::BTreeMap;

use jiff::Timestamp;
use ops_common::host::Command;

use crate::listeners::{self, Listener};
use crate::units::{self, Unit};

/// The profile whose target the boot loader starts.
pub const PROFILE: &str = "/nix/var/nix/profiles/system";

/// Asks for everything that a deployment needs to know about a host. Missing programs leave their answers empty.
const SCRIPT: &str = include_str!("sh/state.sh");

/// One generation of the system profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Its number.
    pub number: u64,
    /// The system that it holds.
    pub path: String,
    /// When it was made.
    pub at: Timestamp,
}

/// Who deploys to the host right now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// The deployment.
    pub id: String,
    /// Whose it is: `user@machine (pid N)`.
    pub owner: String,
}

/// What the host said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an answer of the host, and they do not exclude each other"
)]
pub struct State {
    /// The user that asked.
    pub uid: u32,
    /// The machine's own name.
    pub hostname: String,
    /// Its identity, whatever name or address it is reached by.
    pub machine: String,
    /// One boot of it.
    pub boot: String,
    /// How long it has been up, in microseconds.
    pub uptime_us: u64,
    /// The time of day there.
    pub at: Timestamp,
    /// The system that runs: `/run/current-system`.
    pub current: Option<String>,
    /// The system that was booted.
    pub booted: Option<String>,
    /// The system that the profile holds.
    pub profile: Option<String>,
    /// The generation that the profile points to.
    pub generation: Option<u64>,
    /// All generations, in order.
    pub generations: Vec<Generation>,
    /// Whether systemd is in charge there.
    pub systemd: bool,
    /// Bytes left in the file system of the store.
    pub store_free_bytes: Option<u64>,
    /// Bytes left in `/boot`.
    pub boot_free_bytes: Option<u64>,
    /// Whether the kernel of the running system is not the one that was booted.
    pub kernel_differs: bool,
    /// The deployment under way.
    pub lock: Option<Lock>,
    /// Whether a timer to put an old system back is armed.
    pub armed: bool,
    /// Whether the old system is being put back.
    pub reverting: bool,
    /// The record of a deployment that nobody has finished.
    pub pending: Option<String>,
    /// Where its journal ends.
    pub cursor: Option<String>,
    /// Its units by name.
    pub units: BTreeMap<String, Unit>,
    /// Its listening sockets; `None` where it cannot tell.
    pub listeners: Option<Vec<Listener>>,
}

/// The question for the state of a host; the units that matter are in the answer even if they do not run.
#[must_use]
pub fn question(units: &[String]) -> Command {
    ask("", units)
}

/// The question for what a deployment may change: the systems, units and sockets, and the boot.
#[must_use]
pub fn brief_question(units: &[String]) -> Command {
    ask("brief", units)
}

fn ask(how: &str, units: &[String]) -> Command {
    let mut args = vec![how, units::PROPERTIES];
    args.extend(units.iter().map(String::as_str));
    Command::script(SCRIPT, &args)
}

impl State {
    /// The system to go back to: what runs, else what would boot.
    #[must_use]
    pub fn old(&self) -> Option<&str> {
        self.current.as_deref().or(self.profile.as_deref())
    }

    /// Reads what the script of [`question`] printed. A missing last line means that the answer was cut.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut state = Self::default();
        let mut blocks: BTreeMap<&str, String> = BTreeMap::new();
        let mut block = None;
        let mut whole = false;
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix('@') {
                let (key, value) = rest.split_once(' ').unwrap_or((rest, ""));
                block = None;
                match key {
                    "list" | "units" | "sockets" | "groups" => {
                        blocks.insert(key, String::new());
                        block = Some(key);
                    }
                    "end" => whole = true,
                    _ => state.set(key, value),
                }
            } else if let Some(text) = block.and_then(|key| blocks.get_mut(key)) {
                text.push_str(line);
                text.push('\n');
            }
        }
        let block = |key: &str| blocks.get(key).map_or("", String::as_str);
        state.units = units::list(block("list"));
        state.units.append(&mut units::parse(block("units")));
        let holder = state.units.get("ops-deploy-lock.service");
        state.lock = holder
            .filter(|unit| unit.is_active())
            .and_then(|unit| lock(&unit.description));
        let is = |unit: &str, words: &[&str]| {
            let unit = state.units.get(unit);
            unit.is_some_and(|unit| words.contains(&unit.active.as_str()))
        };
        state.armed = is("ops-deploy-revert.timer", &["active"]);
        state.reverting = is("ops-deploy-revert.service", &["active", "activating"]);
        if blocks.contains_key("sockets") {
            state.listeners = Some(listeners::parse(block("sockets"), block("groups")));
        }
        state
            .generations
            .sort_by_key(|generation| generation.number);
        whole.then_some(state)
    }

    fn set(&mut self, key: &str, value: &str) {
        let text = || Some(value.to_owned()).filter(|value| !value.is_empty());
        match key {
            "uid" => self.uid = value.parse().unwrap_or(u32::MAX),
            "hostname" => value.clone_into(&mut self.hostname),
            "machine" => value.clone_into(&mut self.machine),
            "boot" => value.clone_into(&mut self.boot),
            "uptime" => self.uptime_us = microseconds(value),
            "at" => self.at = seconds(value).unwrap_or_default(),
            "current" => self.current = text(),
            "booted" => self.booted = text(),
            "profile" => self.profile = text(),
            "link" => self.generation = generation_number(value),
            "generation" => self.generations.extend(generation(value)),
            "systemd" => self.systemd = value == "yes",
            "store-free" => self.store_free_bytes = value.parse().ok(),
            "boot-free" => self.boot_free_bytes = value.parse().ok(),
            "kernel-differs" => self.kernel_differs = value == "yes",
            "pending" => self.pending = text(),
            "cursor" => self.cursor = text(),
            _ => {}
        }
    }
}

/// `/proc/uptime` counts seconds with two decimals.
fn microseconds(text: &str) -> u64 {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let number = |digits: &str| digits.parse::<u64>().unwrap_or(0);
    number(whole) * 1_000_000 + number(&format!("{part:0<6}")[..6])
}

fn seconds(text: &str) -> Option<Timestamp> {
    Timestamp::from_second(text.parse().ok()?).ok()
}

/// The 42 of `system-42-link`.
pub(crate) fn generation_number(link: &str) -> Option<u64> {
    let name = link.rsplit('/').next()?;
    name.strip_prefix("system-")?
        .strip_suffix("-link")?
        .parse()
        .ok()
}

fn generation(value: &str) -> Option<Generation> {
    let mut words = value.split(' ');
    let (number, at, path) = (words.next()?, words.next()?, words.next()?);
    Some(Generation {
        number: generation_number(number)?,
        at: seconds(at)?,
        path: path.to_owned(),
    })
}

/// The description of the unit that is the lock: `ops-deploy ID OWNER`.
fn lock(value: &str) -> Option<Lock> {
    let (id, owner) = value.strip_prefix("ops-deploy ")?.split_once(' ')?;
    Some(Lock {
        id: id.to_owned(),
        owner: owner.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "@uid 0\n@hostname box\n@machine abc\n@boot b1\n@uptime 12.5\n@at 1764000000\n\
@current /nix/store/old\n@booted \n@profile /nix/store/old\n@link system-7-link\n\
@generation /nix/var/nix/profiles/system-10-link 1764000000 /nix/store/ten\n\
@generation /nix/var/nix/profiles/system-7-link 1763000000 /nix/store/old\n\
@systemd yes\n@store-free 1000\n@boot-free \n\
@pending {\"id\":\"d1\"}\n@cursor s=1\n@units\nId=a.service\nActiveState=active\n\nId=ops-deploy-revert.timer\nActiveState=active\n\n\
Id=ops-deploy-lock.service\nDescription=ops-deploy d1 ana@laptop (pid 3)\nActiveState=active\n\n@sockets\n\
LISTEN 0 5 127.0.0.1:80 0.0.0.0:* users:((\"n\",pid=4,fd=1))\n@groups\n4 0::/system.slice/a.service\n@end\n";

    #[test]
    fn the_whole_answer_is_read() {
        let state = State::parse(TEXT).unwrap();
        assert_eq!(state.old(), Some("/nix/store/old"));
        assert_eq!((state.generation, state.uptime_us), (Some(7), 12_500_000));
        assert_eq!(
            state
                .generations
                .iter()
                .map(|g| g.number)
                .collect::<Vec<_>>(),
            [7, 10]
        );
        assert_eq!(state.lock.unwrap().owner, "ana@laptop (pid 3)");
        assert_eq!(
            (state.booted, state.boot_free_bytes, state.store_free_bytes),
            (None, None, Some(1000))
        );
        assert!(state.armed && !state.reverting && state.systemd);
        assert_eq!(state.listeners.unwrap()[0].unit, "a.service");
        assert_eq!(state.units.len(), 3);
    }

    #[test]
    fn a_cut_answer_is_none() {
        let cut = TEXT.strip_suffix("@end\n").unwrap();
        assert_eq!(State::parse(cut), None);
    }

    #[test]
    fn sockets_that_cannot_be_listed_are_not_an_empty_list() {
        let state = State::parse("@uid 5\n@units\n@end\n").unwrap();
        assert_eq!(state.listeners, None);
    }

    #[test]
    fn the_old_system_is_what_runs_else_what_would_boot() {
        let profile = State {
            profile: Some("p".into()),
            ..State::default()
        };
        assert_eq!(profile.old(), Some("p"));
        assert_eq!(State::default().old(), None);
    }
}
