//! Several hosts at once: one build, then each host goes its own way through the safe order.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use ops_common::exit::{Failure, Status, describe};
use ops_common::host::Command;
use ops_common::hosts::{Target, fan_out};
use ops_common::output;
use ops_common::tool::Context;
use serde::Serialize;

use crate::ballot::Ballot;
use crate::closure::StorePath;
use crate::copy;
use crate::deployment::{Deployment, Order, Way};
use crate::error::Error;
use crate::facts::{self, Facts};
use crate::handoff::Handed;
use crate::line::Line;
use crate::nix;
use crate::preview::Preview;
use crate::record::{Outcome, Record};
use crate::settings::Settings;
use crate::state::State;
use crate::worklog;

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
    /// The flake output that it was built from.
    pub flake: String,
}

/// Connects to all hosts and asks for their state, all at the same time.
pub fn look<'a>(
    context: &'a Context,
    targets: &'a [Target],
    jobs: usize,
) -> Result<Vec<Seen<'a>>, Error> {
    let several = targets.len() > 1;
    let targets: Vec<&'a Target> = targets.iter().collect();
    let looked = fan_out(&targets, jobs, |target: &&'a Target| {
        let report = if several {
            context.report.about(&target.name)
        } else {
            context.report.clone()
        };
        let line = Line::connect(context, target, report)?;
        let state = line.state()?;
        Ok(Seen { line, state })
    });
    looked.into_iter().collect()
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

/// Works out what the switch would change on a host.
pub fn prepare(seen: Seen<'_>, new: String, flake: String) -> Result<Ready<'_>, Error> {
    let closure = nix::closure(&new)?.unwrap_or_default();
    let preview = match seen.state.old() {
        Some(old) if !closure.is_empty() => {
            Preview::between(old, &new, &closure, Some(&seen.state))?
        }
        _ => None,
    };
    if preview.is_none() && seen.state.old().is_some() {
        seen.line
            .report
            .note("the system that runs there is not known here, so there is no plan");
    }
    Ok(Ready {
        seen,
        new,
        closure,
        preview,
        flake,
    })
}

/// Brings the systems to the hosts and through the safe order.
pub fn deploy(
    context: &Context,
    request: &Request<'_>,
    ready: &[Ready<'_>],
) -> (Vec<System>, Status) {
    let ballot = request.all_or_nothing.then(|| Ballot::new(ready.len()));
    let copied = ballot.as_ref().map(|_| Ballot::new(ready.len()));
    // All or nothing means that nobody may wait for a turn while others wait for its vote.
    let jobs = if request.all_or_nothing {
        ready.len()
    } else {
        request.jobs
    };
    let ballots = ballot.as_ref().zip(copied.as_ref());
    let config = context
        .config()
        .ok()
        .and_then(|config| config.path().map(std::path::Path::to_owned));
    let ended = fan_out(ready, jobs, |one| {
        let order = order(request, one, config.as_deref());
        let ended = host(request, one, order, ballots);
        if let Err(error) = &ended {
            one.seen.line.report.failure(error, &describe(error));
        }
        ended
    });
    let failed = ended
        .iter()
        .any(|ended| !matches!(ended, Ok((_, Status::Done))));
    let mut systems = Vec::new();
    let mut statuses = Vec::new();
    for (one, ended) in ready.iter().zip(ended) {
        let (record, status) = match ended {
            Ok((Some(record), Status::Done)) if failed && request.all_or_nothing => {
                undo(request, one, &record, config.as_deref())
            }
            Ok((record, status)) => (record, status),
            Err(error) => (None, error.status()),
        };
        if let Some(record) = &record {
            write_worklog(request, one, record);
        }
        if status == Status::Done {
            systems.push(system(request, one));
        }
        statuses.push(status);
    }
    (systems, Status::worst(statuses))
}

fn order<'a>(
    request: &Request<'a>,
    one: &'a Ready<'_>,
    config: Option<&'a std::path::Path>,
) -> Order<'a> {
    let preview = one.preview.as_ref();
    Order {
        new: &one.new,
        plan: preview.map_or(&[], |preview| preview.units.as_slice()),
        start_limit: preview.map_or(Duration::ZERO, |preview| preview.start_limit),
        settings: request.settings,
        config,
        way: request.way,
    }
}

/// One host from the copy to the end. A host that already has the system has no record.
fn host<'a>(
    request: &Request<'_>,
    one: &'a Ready<'a>,
    order: Order<'a>,
    ballots: Option<(&Ballot, &Ballot)>,
) -> Result<(Option<Record>, Status), Error> {
    let (line, state) = (&one.seen.line, &one.seen.state);
    let vote = |well| ballots.map(|(kept, copied)| (copied.vote(well, copy_deadline()), kept));
    if is_there(state, &one.new, request.way, request.settings) {
        line.report.warn(format_args!(
            "'{}' already runs '{}' and is healthy: nothing to do",
            line.name(),
            one.new
        ));
        if let Some((_, kept)) = vote(true) {
            kept.vote(true, Instant::now());
        }
        return Ok((None, Status::Done));
    }
    let mut record = new_record(request, one);
    let started = Instant::now();
    let copied = if request.copy {
        copy::copy(line, &one.closure, request.substitute).map(drop)
    } else {
        Ok(())
    };
    record.step("copy", started);
    let all_copied = vote(copied.is_ok());
    copied?;
    if all_copied.is_some_and(|(all, _)| !all) {
        return Err(Error::Prepare {
            host: line.name(),
            reason: "another host of this run could not be prepared".to_owned(),
            status: 1,
        });
    }
    let begun = Deployment::begin(line, order, state.clone(), record);
    if let (Err(_), Some((kept, _))) = (&begun, ballots) {
        kept.vote(false, Instant::now());
    }
    let (record, status) = begun?.run(ballots.map(|(kept, _)| kept));
    Ok((Some(record), status))
}

/// Copies of different sizes may take very different times.
fn copy_deadline() -> Instant {
    Instant::now() + Duration::from_hours(12)
}

fn undo(
    request: &Request<'_>,
    one: &Ready<'_>,
    record: &Record,
    config: Option<&std::path::Path>,
) -> (Option<Record>, Status) {
    match Deployment::undo(&one.seen.line, order(request, one, config), record) {
        Ok((record, status)) => (Some(record), status),
        Err(error) => {
            one.seen.line.report.failure(&error, &describe(&error));
            (None, Status::Unknown)
        }
    }
}

fn new_record(request: &Request<'_>, one: &Ready<'_>) -> Record {
    let at = Timestamp::now();
    let values = |list: Vec<Result<serde_json::Value, serde_json::Error>>| {
        list.into_iter().filter_map(Result::ok).collect()
    };
    let preview = one.preview.as_ref();
    Record {
        id: facts::id(at),
        host: one.seen.line.name(),
        action: request.action.to_owned(),
        at,
        who: request.facts.who.clone(),
        outcome: Outcome::Unfinished,
        flake: one.flake.clone(),
        revision: request.facts.revision.clone(),
        origin: request.origin.clone(),
        new: one.new.clone(),
        packages: values(preview.map_or(Vec::new(), |p| {
            p.packages.iter().map(serde_json::to_value).collect()
        })),
        units: values(preview.map_or(Vec::new(), |p| {
            p.units.iter().map(serde_json::to_value).collect()
        })),
        ..Record::default()
    }
}

fn system(request: &Request<'_>, one: &Ready<'_>) -> System {
    let revision = &request.facts.revision;
    System {
        host: one.seen.line.name(),
        path: one.new.clone(),
        commit: revision.commit.clone(),
        dirty: revision.dirty,
    }
}

fn write_worklog(request: &Request<'_>, one: &Ready<'_>, record: &Record) {
    let Some(folder) = &request.facts.worklog else {
        return;
    };
    match worklog::write(folder, record) {
        Ok(path) => one
            .seen
            .line
            .report
            .note(format_args!("worklog entry '{}'", path.display())),
        Err(error) => one
            .seen
            .line
            .report
            .warn(format_args!("no worklog entry: {}", describe(&error))),
    }
}
