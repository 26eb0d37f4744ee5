//! What the verbs that bring systems to hosts have in common: which systems, the way of all hosts, and what is printed.

use clap::Args;
use ops_common::exit::{Failure, Status, describe};
use ops_common::hosts::Target;
use ops_common::tool::Context;

use super::confirm;
use crate::error::Error;
use crate::handoff::{self, Handed};
use crate::rollout;
use crate::switch::{self, Ready, Request, Seen, System};

/// Which system a step works on.
#[derive(Args, Debug)]
pub(super) struct Which {
    /// Take this system instead of those that stdin names
    #[arg(long, value_name = "PATH")]
    store_path: Option<String>,
}

impl Which {
    /// The systems of the hosts: the one that was named, or those that the step before has printed.
    pub(super) fn systems(&self, targets: &[Target]) -> Result<Vec<Handed>, Error> {
        let names: Vec<_> = targets.iter().map(Target::record_name).collect();
        if let Some(path) = &self.store_path {
            let path = store_path(path)?;
            return Ok(names
                .into_iter()
                .map(|host| Handed {
                    host,
                    path: path.clone(),
                    ..Handed::default()
                })
                .collect());
        }
        let input = ops_common::input::open("-".as_ref())?;
        handoff::pick(&handoff::read(std::io::BufReader::new(input))?, &names)
    }
}

/// Takes a system by its path, or by a link to it such as `./result`.
pub(super) fn store_path(text: &str) -> Result<String, Error> {
    let real = std::fs::canonicalize(text)
        .map_or_else(|_| text.to_owned(), |path| path.display().to_string());
    if crate::closure::is_store_path(&real) {
        Ok(real)
    } else {
        Err(Error::NotAStorePath(text.to_owned()))
    }
}

/// The hosts of a run: how many were named, and what became of those that dropped out.
#[derive(Debug)]
pub(super) struct Named {
    hosts: usize,
    all_or_nothing: bool,
    failed: Vec<Status>,
}

impl Named {
    pub(super) fn new(hosts: usize, all_or_nothing: bool) -> Self {
        Self {
            hosts,
            all_or_nothing,
            failed: Vec::new(),
        }
    }

    /// Leaves out the hosts that failed, and says why; where all are wanted or none, the first failure is the end.
    pub(super) fn without_failed<T>(
        &mut self,
        context: &Context,
        each: impl IntoIterator<Item = (String, Result<T, Error>)>,
    ) -> Result<Vec<T>, Error> {
        let mut well = Vec::new();
        for (host, result) in each {
            match result {
                Ok(one) => well.push(one),
                Err(error) if self.hosts == 1 || self.all_or_nothing => return Err(error),
                Err(error) => {
                    let report = context.report.about(&host);
                    report.failure(&error, &describe(&error));
                    self.failed.push(error.status());
                }
            }
        }
        Ok(well)
    }

    /// Tells what is known before, asks where there is somebody to ask, and deploys.
    pub(super) fn go(
        mut self,
        context: &Context,
        request: &Request<'_>,
        ready: &[Ready<'_>],
        is_wanted: bool,
    ) -> Result<Status, Error> {
        confirm::warn(ready)?;
        let is_there = |one: &Ready<'_>| one.is_there(request.way, request.settings);
        if !is_wanted && !ready.iter().all(is_there) {
            confirm::ask(ready)?;
        }
        let (systems, status) = rollout::deploy(context, request, ready);
        print_systems(context, &systems, self.hosts)?;
        self.failed.push(status);
        Ok(self.status())
    }

    /// The worst that became of a host.
    pub(super) fn status(self) -> Status {
        Status::worst(self.failed)
    }

    /// Activates systems that the hosts must have.
    pub(super) fn on_hosts(
        mut self,
        context: &Context,
        seen: Vec<(Seen<'_>, String)>,
        request: &Request<'_>,
    ) -> Result<Status, Error> {
        let (seen, paths): (Vec<_>, Vec<_>) = seen.into_iter().unzip();
        switch::check(&seen)?;
        let ready = seen.into_iter().zip(paths).map(|(seen, path)| {
            let prepared = switch::must_have(&seen, &path);
            let name = seen.line.name();
            let prepare = || switch::prepare(context, request, seen, path, String::new());
            (name, prepared.and_then(|()| prepare()))
        });
        let ready = self.without_failed(context, ready)?;
        self.go(context, request, &ready, true)
    }
}

pub(super) fn print_systems(
    context: &Context,
    systems: &[System],
    hosts: usize,
) -> Result<(), Error> {
    let mut output = context.output()?;
    if hosts > 1 {
        output.several_hosts();
    }
    for system in systems {
        output.record(&system.host, system)?;
    }
    Ok(output.finish()?)
}
