//! Systems brought to their hosts: each host goes its own way through the safe order, all at the same time.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use ops_common::exit::{Failure, Status, describe};
use ops_common::hosts::fan_out;
use ops_common::tool::Context;

use crate::ballot::Ballot;
use crate::begin::Before;
use crate::copy;
use crate::deployment::{Deployment, GRACE, Order};
use crate::error::Error;
use crate::facts;
use crate::line::Line;
use crate::record::{Outcome, Record};
use crate::state::State;
use crate::switch::{Ready, Request, System, is_there, must_have};
use crate::worklog;

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
    let line = &one.seen.line;
    let vote = |well| ballots.map(|(kept, copied)| (copied.vote(well, copy_deadline()), kept));
    let mut record = new_record(request, one);
    let brought = bring(request, one, order, &mut record);
    let voted = vote(brought.is_ok());
    let before = match brought {
        Ok(Some(before)) => before,
        Ok(None) => {
            line.report.warn(format_args!(
                "'{}' already runs '{}' and is healthy: nothing to do",
                line.name(),
                one.new
            ));
            if let Some((_, kept)) = voted {
                kept.vote(true, Instant::now());
            }
            return Ok((None, Status::Done));
        }
        Err(error) => return Ok(refused(line, record, &error)),
    };
    if voted.is_some_and(|(all, _)| !all) {
        let error = Error::Prepare {
            host: line.name(),
            reason: "another host of this run could not be prepared".to_owned(),
            status: 1,
        };
        return Ok(refused(line, record, &error));
    }
    let begun = Deployment::begin(line, order, before, record.clone());
    if let (Err(_), Some((kept, _))) = (&begun, ballots) {
        kept.vote(false, Instant::now());
    }
    match begun {
        Ok(begun) => {
            let (record, status) = begun.run(ballots.map(|(kept, _)| kept));
            Ok((Some(record), status))
        }
        // Somebody else's deployment is no failure of this one.
        Err(error @ (Error::Locked { .. } | Error::Reverting { .. })) => Err(error),
        Err(error) => Ok(refused(line, record, &error)),
    }
}

/// Brings the system to the host, which is looked at meanwhile; or finds that there is nothing to do.
fn bring(
    request: &Request<'_>,
    one: &Ready<'_>,
    order: Order<'_>,
    record: &mut Record,
) -> Result<Option<Before>, Error> {
    let line = &one.seen.line;
    let state = recovered(line, &one.seen.state)?.unwrap_or_else(|| one.seen.state.clone());
    if is_there(&state, &one.new, request.way, request.settings) {
        return Ok(None);
    }
    let started = Instant::now();
    let (copied, before) = std::thread::scope(|scope| {
        let before = scope.spawn(|| Before::take(line, order, state));
        let copied = copy(request, one);
        let before = before.join();
        (
            copied,
            before.unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        )
    });
    // A door that lets but one session in at a time has perhaps let the other one in.
    copied.or_else(|error| match error {
        Error::Host(_) => copy(request, one),
        error => Err(error),
    })?;
    record.step("copy", started);
    Ok(Some(before.fresh(line, order)))
}

fn copy(request: &Request<'_>, one: &Ready<'_>) -> Result<(), Error> {
    if one.closure.is_empty() {
        must_have(&one.seen, &one.new)?;
    } else if request.copy {
        copy::copy(&one.seen.line, &one.closure, request.substitute)?;
    }
    Ok(())
}

/// Writes down a deployment that has changed nothing.
fn refused(line: &Line<'_>, mut record: Record, error: &Error) -> (Option<Record>, Status) {
    let told = describe(error);
    line.report.failure(error, &told);
    record.close(Outcome::Refused, &told);
    let written = line
        .look_again(Instant::now() + GRACE)
        .and_then(|_| line.call("append", &[], record.line().into_bytes()));
    if !written.is_ok_and(|written| written.success()) {
        line.report
            .warn("the record could not be written on the host");
    }
    (Some(record), error.status())
}

/// Cleans up after a deployment that went down with its host, and looks at the host again.
fn recovered(line: &Line<'_>, state: &State) -> Result<Option<State>, Error> {
    if state.pending.is_none() || state.lock.is_some() || state.armed || state.reverting {
        return Ok(None);
    }
    line.report
        .warn("cleaning up after a deployment that nobody has finished");
    let done = line.call_again("recover", &[], &[], Instant::now() + GRACE)?;
    if !done.success() {
        return Err(Error::Prepare {
            host: line.name(),
            reason: done.complaint(),
            status: done.status,
        });
    }
    line.state().map(Some)
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
        way: request.way,
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
