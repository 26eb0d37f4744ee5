//! Traps in a system that every syntax check lets pass.

mod access;
mod change;
mod firewall;
mod localhost;

pub(crate) use access::manifests;
pub use change::between;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use ops_common::check::{Check, State as Finding};
use ops_common::host::{Command, Host};

use crate::closure::StorePath;
use crate::error::Error;
use crate::settings::Settings;
use crate::state::State;
use crate::unit_tree::UnitTree;
use crate::units;
use crate::verify;

/// Files larger than this are no configuration.
const LARGEST: u64 = 1 << 20;

/// Prints the configuration of a system on a host: every file that its units name, and those that these include.
const SCRIPT: &str = include_str!("sh/configuration.sh");

/// What there is to look at: units, and the configuration files that they name.
#[derive(Debug, Clone, Default)]
pub struct System {
    units: UnitTree,
    files: BTreeMap<String, String>,
    /// Names and versions of what it is made of, where that is known.
    packages: Vec<String>,
    /// Addresses of loopback names, and whether somebody answered there.
    dialled: BTreeMap<(IpAddr, u16), bool>,
    /// Files of secrets on the host that others than their owner and group may read.
    open_secrets: Vec<String>,
}

/// Files of a system that no unit mentions.
const FIXED: [&str; 5] = [
    "activate",
    "switch-inhibitors",
    "etc/ssh/sshd_config",
    "etc/ssh/authorized_keys.d/root",
    "etc/fstab",
];

impl System {
    /// Reads a system of the local store.
    pub fn read(toplevel: &Path) -> io::Result<Self> {
        let units = UnitTree::read(toplevel)?;
        let mut files = BTreeMap::new();
        for name in FIXED {
            if let Ok(text) = std::fs::read_to_string(toplevel.join(name)) {
                files.insert(name.to_owned(), text);
            }
        }
        let mut due = mentioned(units.texts().chain(files.values().map(String::as_str)));
        let rules = units
            .named_texts()
            .flat_map(|(name, text)| firewall::rule_files(name, text));
        due.extend(rules.map(str::to_owned));
        while let Some(path) = due.pop() {
            let small =
                std::fs::metadata(&path).is_ok_and(|file| file.is_file() && file.len() <= LARGEST);
            if files.contains_key(&path) || !small {
                continue;
            }
            let Ok(text) = std::fs::read_to_string(&path) else {
                continue;
            };
            due.extend(mentioned([text.as_str()]));
            files.insert(path, text);
        }
        Ok(Self {
            units,
            files,
            ..Self::default()
        })
    }

    /// Tells what it is made of.
    #[must_use]
    pub fn made_of(mut self, closure: &[StorePath]) -> Self {
        let names = closure.iter().filter_map(|path| package_name(&path.path));
        self.packages = names.collect();
        self
    }

    /// Puts a unit into the system.
    #[must_use]
    pub fn with_unit(mut self, name: &str, text: &str) -> Self {
        self.units = self.units.with(name, text);
        self
    }

    /// Puts a configuration file into the system.
    #[must_use]
    pub fn with_file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.to_owned(), text.to_owned());
        self
    }
}

/// Reads the configuration of the system that runs on a host.
pub fn ask(host: &Host) -> Result<System, Error> {
    let answer = host
        .output(&Command::script(SCRIPT, &[] as &[&str]))
        .map_err(Error::from)?;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let mut system = System::default();
    for block in text.split('\u{1e}').filter(|block| !block.is_empty()) {
        let Some((path, content)) = block.split_once('\n') else {
            continue;
        };
        system = match (path, path.strip_prefix("unit ")) {
            (_, Some(name)) => system.with_unit(name, content),
            ("packages", _) => System {
                packages: content.lines().filter_map(package_name).collect(),
                ..system
            },
            ("open secrets", _) => System {
                open_secrets: content.lines().map(str::to_owned).collect(),
                ..system
            },
            _ => system.with_file(path, content),
        };
    }
    localhost::dial(&mut system, host);
    Ok(system)
}

/// Paths of the store, and of /etc, that a text mentions and that look like configuration.
fn mentioned<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let ends = |c: char| c.is_whitespace() || "\"'=;,()<>".contains(c);
    let kinds = ["conf", "toml", "yaml", "yml", "ini", "json", "cfg", "env"];
    let is_configuration = |path: &Path| {
        path.extension()
            .is_some_and(|kind| kinds.iter().any(|of| kind == *of))
    };
    let words = texts.into_iter().flat_map(|text| text.split(ends));
    let paths = words.filter(|word| word.starts_with("/nix/store/") || word.starts_with("/etc/"));
    paths
        .filter(|word| is_configuration(Path::new(word)))
        .map(str::to_owned)
        .collect()
}

/// Looks for all traps. A host's state, where there is one, says who listens and what is joined with that.
#[must_use]
pub fn checks(system: &System, state: Option<&State>, settings: &Settings) -> Vec<Check> {
    let listeners = state.and_then(|state| state.listeners.as_deref());
    let mut checks = localhost::checks(system, listeners);
    checks.extend(secrets(system));
    checks.extend(access::secret_modes(system));
    checks.extend(logging(system));
    checks.extend(start_limits(system, settings));
    checks.extend(insecure(system));
    checks.extend(state.and_then(boot_space));
    if checks.is_empty() {
        let message = format!("{} configuration files, no trap found", system.files.len());
        checks.push(Check::ok("deploy.lint", "", message));
    }
    checks
}

/// Secrets that anyone on the host can read in the store. What is found is named, never shown.
fn secrets(system: &System) -> Vec<Check> {
    let store = system
        .files
        .iter()
        .filter(|(path, _)| path.starts_with("/nix/store/"));
    let mut checks = Vec::new();
    for (path, text) in store {
        for (number, line) in text.lines().enumerate() {
            if let Some(kind) = secret_kind(line) {
                let told = format!(
                    "line {}: {kind} in the store, where everyone can read it",
                    number + 1
                );
                checks.push(
                    Check::fail("deploy.lint.secrets", path, told)
                        .fix("keep it in a sops file, and replace it now: it has been seen"),
                );
            }
        }
    }
    checks
}

fn secret_kind(line: &str) -> Option<&'static str> {
    let prefixes = [
        ("-----BEGIN", "PRIVATE KEY", "a private key"),
        ("AGE-SECRET-KEY-1", "", "an age identity"),
        ("xoxb-", "", "a Slack bot token"),
        ("xapp-", "", "a Slack app token"),
        ("syt_", "", "a Matrix access token"),
    ];
    let known = prefixes
        .iter()
        .find(|(start, more, _)| line.contains(start) && line.contains(more));
    if let Some((_, _, kind)) = known {
        return Some(kind);
    }
    let (key, value) = line
        .split_once([':', '='])
        .filter(|_| !line.trim_start().starts_with(['#', ';']))?;
    let (key, value) = (
        key.trim().trim_matches('"').to_ascii_lowercase(),
        value.trim().trim_matches(['"', '\'']),
    );
    let names = [
        "password",
        "as_token",
        "hs_token",
        "shared_secret",
        "registration_token",
        "turn_secret",
    ];
    // A path, a variable or a placeholder is a reference to the secret, not the secret.
    let is_literal =
        value.len() >= 6 && !value.starts_with(['/', '$', '@', '%', '<']) && !value.contains(' ');
    (names
        .iter()
        .any(|name| key == *name || key.ends_with(&format!("_{name}")))
        && is_literal)
        .then_some("a secret")
}

fn logging(system: &System) -> Vec<Check> {
    let debug = |text: &str| {
        let level = text.lines().find(|line| {
            let line = line.to_ascii_lowercase();
            let sets = [
                "rust_log=",
                "log =",
                "log_level",
                "min_level",
                "error_log",
                "loglevel",
            ];
            sets.iter().any(|name| line.contains(name))
                && (line.contains("debug") || line.contains("trace"))
        });
        level
            .filter(|line| !line.trim_start().starts_with(['#', ';']))
            .map(|line| line.trim().to_owned())
    };
    let units = system
        .units
        .named_texts()
        .map(|(name, text)| (name.to_owned(), text));
    let files = system
        .files
        .iter()
        .map(|(path, text)| (path.clone(), text.as_str()));
    let found = units
        .chain(files)
        .filter_map(|(name, text)| Some((name, debug(text)?)));
    found
        .map(|(name, line)| {
            Check::warn(
                "deploy.lint.logging",
                name,
                format!("debug logging is on: {line}"),
            )
            .fix("set it to info or warn")
        })
        .collect()
}

fn start_limits(system: &System, settings: &Settings) -> Vec<Check> {
    let window = settings.health_window.duration();
    let limit = |unit: &str| -> Option<Duration> {
        let file = system.units.unit(unit, unit)?.file;
        units::time_span(file.value("Service", "TimeoutStartSec")?)
    };
    let slow = settings
        .units
        .iter()
        .filter_map(|unit| Some((unit, limit(unit)?)))
        .filter(|(_, limit)| *limit > window);
    slow.map(|(unit, limit)| {
        let told = format!("may take {}s to start, longer than the health window", limit.as_secs());
        Check::warn("deploy.lint.start_limit", unit, told)
            .value(limit.as_secs_f64(), "s")
            .limit(window.as_secs_f64())
            .fix("nothing has to be done: a start under way is waited for; a longer deploy.health_window says so")
    })
    .collect()
}

/// Packages that Nixpkgs marks as insecure: a system that has one was made to permit it.
const INSECURE: [(&str, &str); 4] = [
    (
        "olm-3.",
        "libolm is not maintained and has known weaknesses",
    ),
    ("openssl-1.1", "OpenSSL 1.1 gets no more fixes"),
    ("python-2.7", "Python 2 gets no more fixes"),
    ("nodejs-16.", "Node.js 16 gets no more fixes"),
];

fn insecure(system: &System) -> Vec<Check> {
    let has = |start: &&(&str, &str)| {
        let mut names = system.packages.iter();
        names.any(|name| name.starts_with(start.0))
    };
    INSECURE
        .iter()
        .filter(has)
        .map(|(name, why)| {
            Check::warn("deploy.lint.insecure", name.trim_end_matches('.'), *why)
                .fix("leave it out, or bear it knowingly: permittedInsecurePackages lets it in")
        })
        .collect()
}

/// A boot partition that is full ends every deployment, half-way where the boot loader copies its files one by one.
fn boot_space(state: &State) -> Option<Check> {
    let space = verify::boot_space("deploy.lint.boot_space", state)?;
    (space.status > Finding::Ok).then_some(space)
}

/// The name and version in a store path.
fn package_name(path: &str) -> Option<String> {
    let base = path.rsplit('/').next()?;
    Some(base.split_once('-')?.1.to_owned())
}

#[cfg(test)]
#[path = "lint_tests.rs"]
mod tests;
