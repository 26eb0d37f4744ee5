//! Several hosts at once: one build, then each host goes its own way through the safe order.

use ops_common::check::Check;
use ops_common::host::Command;
use ops_common::hosts::{Target, fan_out};
use ops_common::output;
use ops_common::tool::Context;
use serde::Serialize;

use crate::ahead;
use crate::closure::StorePath;
use crate::deployment::Way;
use crate::error::Error;
use crate::facts::Facts;
use crate::handoff::Handed;
use crate::line::Line;
use crate::nix;
use crate::preview::Preview;
use crate::settings::Settings;
use crate::state::State;

/// What to deploy, and how.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The word for the record.
    pub action: &'static str,
    /// Whether missing paths are copied; without it they must be there.
    pub copy: bool,
    /// Whether hosts take what their binary caches have.
    pub substitute: bool,
    /// How far the system is taken.
    pub way: Way,
    /// Where it comes from, beside the repository: `promoted from ...`.
    pub origin: String,
    /// Whether one failure puts all hosts back.
    pub all_or_nothing: bool,
    /// How many hosts at a time.
    pub jobs: usize,
    /// How deployments are done.
    pub settings: &'a Settings,
    /// What is the same for all hosts.
    pub facts: &'a Facts,
    /// The closures of this run.
    pub closures: nix::Closures,
}

impl<'a> Request<'a> {
    /// The request of a plain `switch`.
    #[must_use]
    pub fn new(settings: &'a Settings, facts: &'a Facts, jobs: usize) -> Self {
        Self {
            action: "switch",
            copy: true,
            substitute: false,
            way: Way::Switch,
            origin: String::new(),
            all_or_nothing: false,
            jobs,
            settings,
            facts,
            closures: nix::Closures::default(),
        }
    }
}

/// A system that a host has now, or would have.
#[derive(Debug, Clone, Serialize)]
pub struct System {
    /// The host.
    pub host: String,
    /// Its store path.
    pub path: String,
    /// The commit that it was built from.
    pub commit: String,
    /// Whether it was built from something else than that commit.
    pub dirty: bool,
}

impl output::Record for System {
    const COLUMNS: &'static [&'static str] = &["path"];
}

impl System {
    /// A system that was handed over.
    #[must_use]
    pub fn of(host: &str, handed: &Handed) -> Self {
        let Handed {
            path,
            commit,
            dirty,
            ..
        } = handed.clone();
        Self {
            host: host.to_owned(),
            path,
            commit,
            dirty,
        }
    }
}

/// A host that has been looked at.
#[derive(Debug)]
pub struct Seen<'a> {
    /// The line to it.
    pub line: Line<'a>,
    /// What it said.
    pub state: State,
}

/// A host with the system that it shall get.
#[derive(Debug)]
pub struct Ready<'a> {
    /// The host.
    pub seen: Seen<'a>,
    /// The system.
    pub new: String,
    /// Its closure, where it is known here.
    pub closure: Vec<StorePath>,
    /// What would change, where both systems are known here.
    pub preview: Option<Preview>,
    /// Traps in the system, and on the way to it.
    pub findings: Vec<Check>,
    /// Whether the host can decrypt the secrets of the system.
    pub secrets: Vec<Check>,
    /// The flake output that it was built from.
    pub flake: String,
}

impl Ready<'_> {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_there(&self, way: Way, settings: &Settings) -> bool {
        is_there(&self.seen.state, &self.new, way, settings)
    }
}

/// Connects to all hosts and asks for their state, all at the same time. One that cannot be looked at stops all.
pub fn look<'a>(
    context: &'a Context,
    targets: &'a [Target],
    jobs: usize,
) -> Result<Vec<Seen<'a>>, Error> {
    look_at_each(context, targets, jobs).into_iter().collect()
}

/// Connects to all hosts and asks for their state, all at the same time.
pub fn look_at_each<'a>(
    context: &'a Context,
    targets: &'a [Target],
    jobs: usize,
) -> Vec<Result<Seen<'a>, Error>> {
    let several = targets.len() > 1;
    let targets: Vec<&'a Target> = targets.iter().collect();
    fan_out(&targets, jobs, |target: &&'a Target| {
        let report = if several {
            context.report.about(&target.name)
        } else {
            context.report.clone()
        };
        let line = Line::connect(context, target, report)?;
        let state = line.state()?;
        Ok(Seen { line, state })
    })
}

/// Refuses hosts that cannot be deployed to, and two names of one machine.
pub fn check(seen: &[Seen<'_>]) -> Result<(), Error> {
    for (place, one) in seen.iter().enumerate() {
        let host = one.line.name();
        if one.state.uid != 0 {
            return Err(Error::NotRoot { host });
        }
        if !one.state.systemd {
            return Err(Error::Unfit {
                host,
                reason: "systemd is not in charge there",
            });
        }
        let twin = seen[..place].iter().find(|other| {
            other.state.machine == one.state.machine && !one.state.machine.is_empty()
        });
        if let Some(twin) = twin {
            return Err(Error::SameMachine {
                first: twin.line.name(),
                second: host,
            });
        }
    }
    Ok(())
}

/// Refuses a system that the host does not have.
pub fn must_have(seen: &Seen<'_>, path: &str) -> Result<(), Error> {
    let script = format!("{path}/bin/switch-to-configuration");
    let there = seen
        .line
        .host()
        .run(&Command::new("test").arg("-e").arg(script))
        .map_err(Error::from)?;
    if there.success() {
        Ok(())
    } else {
        Err(Error::NotThere {
            host: seen.line.name(),
            path: path.to_owned(),
        })
    }
}

/// Whether there is nothing to do: the system runs, would boot, and nothing is wrong with the units that matter.
#[must_use]
pub fn is_there(state: &State, new: &str, way: Way, settings: &Settings) -> bool {
    let sick = state
        .units
        .values()
        .any(|unit| unit.is_sick() && settings.units.contains(&unit.name));
    let runs = state.current.as_deref() == Some(new) || way == Way::Boot;
    let boots = state.profile.as_deref() == Some(new) || way == Way::Test;
    runs && boots && !sick && state.pending.is_none()
}

/// Works out what the switch would change on a host, unless there is nothing to do.
pub fn prepare<'a>(
    context: &Context,
    request: &Request<'_>,
    seen: Seen<'a>,
    new: String,
    flake: String,
) -> Result<Ready<'a>, Error> {
    let mut ready = Ready {
        seen,
        new,
        closure: Vec::new(),
        preview: None,
        findings: Vec::new(),
        secrets: Vec::new(),
        flake,
    };
    if ready.is_there(request.way, request.settings) {
        return Ok(ready);
    }
    let state = &ready.seen.state;
    let [old, new] = [state.old().unwrap_or(&ready.new), &ready.new];
    let [old_closure, new_closure] = request.closures.of([old, new])?;
    ready.closure = new_closure.unwrap_or_default();
    if !ready.closure.is_empty() {
        if let (Some(old), Some(old_closure)) = (state.old(), old_closure) {
            let (old, new) = ((old, &*old_closure), (&*ready.new, &*ready.closure));
            ready.preview = Some(Preview::of(old, new, Some(state))?);
        }
        ready.findings = ahead::traps(
            state.old(),
            (&ready.new, &ready.closure),
            Some(state),
            request.settings,
        )?;
        let destination = ahead::Destination {
            host: &ready.seen.line.name(),
            config: context.config()?.path(),
        };
        ready.secrets = ahead::secrets(&ready.new, destination)?;
    }
    if ready.preview.is_none() && state.old().is_some() {
        ready
            .seen
            .line
            .report
            .note("the running system or the new one is not known here, so there is no plan");
    }
    Ok(ready)
}
