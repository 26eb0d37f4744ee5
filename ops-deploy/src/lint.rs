//! Traps in a system that every syntax check lets pass.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::time::Duration;

use ops_common::check::Check;
use ops_common::host::{Command, Host};

use crate::error::Error;
use crate::listeners::Listener;
use crate::nginx;
use crate::settings::Settings;
use crate::state::State;
use crate::unit_tree::UnitTree;
use crate::units;

/// Files larger than this are no configuration.
const LARGEST: u64 = 1 << 20;

/// Prints the configuration of a system on a host: every file that its units name, and those that these include.
const SCRIPT: &str = include_str!("sh/configuration.sh");

/// What there is to look at: units, and the configuration files that they name.
#[derive(Debug, Clone, Default)]
pub struct System {
    units: UnitTree,
    files: BTreeMap<String, String>,
}

impl System {
    /// Reads a system of the local store.
    pub fn read(toplevel: &Path) -> io::Result<Self> {
        let units = UnitTree::read(toplevel)?;
        let mut files = BTreeMap::new();
        let mut due: Vec<String> = mentioned(units.texts());
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
        Ok(Self { units, files })
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
        system = match path.strip_prefix("unit ") {
            Some(name) => system.with_unit(name, content),
            None => system.with_file(path, content),
        };
    }
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
    let mut checks = localhost(system, listeners);
    checks.extend(secrets(system));
    checks.extend(logging(system));
    checks.extend(start_limits(system, settings));
    checks.extend(insecure(system));
    if checks.is_empty() {
        let message = format!("{} configuration files, no trap found", system.files.len());
        checks.push(Check::ok("deploy.lint", "", message));
    }
    checks
}

/// Names that mean several addresses, of which the service may answer only one.
fn localhost(system: &System, listeners: Option<&[Listener]>) -> Vec<Check> {
    let mut places: BTreeSet<(String, Option<u16>)> = BTreeSet::new();
    for (path, text) in &system.files {
        let found = if nginx::looks_like(text) {
            nginx::upstreams(text)
        } else {
            urls(text)
        };
        places.extend(
            found
                .into_iter()
                .filter(|(host, _)| host == "localhost")
                .map(|(_, port)| (path.clone(), port)),
        );
    }
    places
        .into_iter()
        .filter_map(|(path, port)| localhost_check(&path, port, listeners))
        .collect()
}

fn localhost_check(path: &str, port: Option<u16>, listeners: Option<&[Listener]>) -> Option<Check> {
    let name = "deploy.lint.localhost";
    let place = port.map_or_else(
        || "localhost".to_owned(),
        |port| format!("localhost:{port}"),
    );
    let answers = |address: &str| {
        let (address, port) = (address.parse().ok()?, port?);
        Some(
            listeners?
                .iter()
                .any(|listener| listener.answers(address, port)),
        )
    };
    let fix = |address: &str| {
        format!(
            "write {address} instead of localhost",
            address = match port {
                Some(port) => format!("{address}:{port}"),
                None => address.to_owned(),
            }
        )
    };
    match (answers("127.0.0.1"), answers("::1")) {
        (Some(true), Some(true)) => None,
        (Some(true), Some(false)) => {
            let told = format!(
                "'{place}' means [::1] too, where nobody listens: every other try is refused"
            );
            Some(Check::fail(name, path, told).fix(fix("127.0.0.1")))
        }
        (Some(false), Some(true)) => {
            let told = format!("'{place}' means 127.0.0.1 too, where nobody listens");
            Some(Check::fail(name, path, told).fix(fix("[::1]")))
        }
        (Some(false), Some(false)) => Some(Check::warn(
            name,
            path,
            format!("nobody listens on '{place}'"),
        )),
        _ => {
            let told = format!(
                "'{place}' means two addresses, and the service may answer only one of them"
            );
            Some(Check::warn(name, path, told).fix(fix("127.0.0.1")))
        }
    }
}

/// Hosts and ports of URLs, as bridge registrations and database settings have them.
fn urls(text: &str) -> Vec<(String, Option<u16>)> {
    let schemes = [
        "http://",
        "https://",
        "postgres://",
        "postgresql://",
        "ws://",
    ];
    let active = text
        .lines()
        .filter(|line| !line.trim_start().starts_with(['#', ';']));
    active
        .flat_map(|line| {
            schemes.iter().flat_map(move |scheme| {
                line.match_indices(scheme)
                    .map(move |(at, _)| &line[at + scheme.len()..])
            })
        })
        .map(|rest| {
            let end = rest
                .find(|c: char| c.is_whitespace() || "/\"'?,;".contains(c))
                .unwrap_or(rest.len());
            let authority = rest[..end].rsplit('@').next().unwrap_or("");
            let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
            (host.to_owned(), port.parse().ok())
        })
        .collect()
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

/// Packages that Nixpkgs marks as insecure and that were permitted: the names tell.
fn insecure(system: &System) -> Vec<Check> {
    let mentioned = |name: &str| {
        let units = system.units.named_texts().map(|(_, text)| text);
        units
            .chain(system.files.values().map(String::as_str))
            .any(|text| text.contains(name))
    };
    let known = [(
        "-olm-3",
        "libolm is not maintained and has known weaknesses",
    )];
    known
        .iter()
        .filter(|(name, _)| mentioned(name))
        .map(|(name, why)| Check::warn("deploy.lint.insecure", name.trim_start_matches('-'), *why))
        .collect()
}

#[cfg(test)]
#[path = "lint_tests.rs"]
mod tests;
