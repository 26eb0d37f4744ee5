//! The verbs that change something: arguments resolved, the domain called, systems printed.

use ops_common::exit::{Failure, Status, describe};
use ops_common::hosts::{self, Target};
use ops_common::tool::Context;

use super::{
    Activate, Build, BuildOn, Copy, Promote, Rollback, Switch, Which, confirm, store_path,
};
use crate::deployment::Way;
use crate::error::Error;
use crate::handoff::{self, Handed};
use crate::line::Line;
use crate::record::Record;
use crate::settings::Settings;
use crate::switch::{self, Ready, Request, Seen, System};
use crate::{build_there, copy, facts, git, log, nix, promote, rollback, rollout};

impl Switch {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let config = context.config()?;
        let settings = Settings::read(config)?;
        let targets = self.hosts.targets(context)?;
        let flakes: Vec<_> = targets
            .iter()
            .map(|target| facts::installable(config, target))
            .collect();
        let built_from = flakes.first().filter(|_| self.store_path.is_none());
        let facts = facts::gather(
            config,
            &settings,
            built_from,
            self.allow_dirty,
            &context.report,
        )?;
        let here = self.build_on == BuildOn::Here;
        let (seen, paths) = std::thread::scope(|scope| {
            let seen = scope.spawn(|| switch::look(context, &targets, self.hosts.jobs));
            let paths = match &self.store_path {
                Some(path) => store_path(path).map(|path| vec![path; targets.len()]),
                None if here => nix::build(&flakes).map_err(Error::Nix),
                None => Ok(Vec::new()),
            };
            (seen.join(), paths)
        });
        let mut paths = paths?;
        let seen = seen.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        switch::check(&seen)?;
        if !here {
            let work: Vec<_> = seen.iter().zip(&flakes).collect();
            let built = hosts::fan_out(&work, self.hosts.jobs, |(seen, flake)| {
                build_there::build(&seen.line, flake)
            });
            paths = built.into_iter().collect::<Result<_, _>>()?;
        }
        let request = Request {
            substitute: self.substitute,
            all_or_nothing: self.all_or_nothing,
            ..Request::new(&settings, &facts, self.hosts.jobs)
        };
        let mut ready = Vec::with_capacity(seen.len());
        for ((seen, path), flake) in seen.into_iter().zip(paths).zip(&flakes) {
            let flake = if self.store_path.is_some() {
                String::new()
            } else {
                format!("{}#{}", flake.flake, flake.system)
            };
            ready.push(switch::prepare(context, &request, seen, path, flake)?);
        }
        go(context, &request, &ready, self.yes)
    }
}

/// Tells what is known before, asks where there is somebody to ask, and deploys.
fn go(
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
    print_systems(context, &systems, ready.len())?;
    Ok(status)
}

impl Build {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let config = context.config()?;
        let settings = Settings::read(config)?;
        let targets = self.hosts.targets(context)?;
        let flakes: Vec<_> = targets
            .iter()
            .map(|target| facts::installable(config, target))
            .collect();
        let facts = facts::gather(
            config,
            &settings,
            flakes.first(),
            self.allow_dirty,
            &context.report,
        )?;
        let paths = nix::build(&flakes)?;
        let systems: Vec<_> = targets
            .iter()
            .zip(paths)
            .map(|(target, path)| System {
                host: target.record_name(),
                path,
                commit: facts.revision.commit.clone(),
                dirty: facts.revision.dirty,
            })
            .collect();
        print_systems(context, &systems, targets.len())?;
        Ok(Status::Done)
    }
}

impl Which {
    /// The systems of the hosts: the one that was named, or those that the step before has printed.
    fn systems(&self, targets: &[Target]) -> Result<Vec<Handed>, Error> {
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

impl Copy {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let targets = self.hosts.targets(context)?;
        let systems = self.which.systems(&targets)?;
        let seen = switch::look(context, &targets, self.hosts.jobs)?;
        let work: Vec<_> = seen.iter().zip(&systems).collect();
        let copied = hosts::fan_out(&work, self.hosts.jobs, |(seen, system)| {
            let closure =
                nix::closure(&system.path)?.ok_or_else(|| Error::NotHere(system.path.clone()))?;
            copy::copy(&seen.line, &closure, self.substitute)
        });
        let mut statuses = Vec::new();
        let mut done = Vec::new();
        for ((seen, system), copied) in work.into_iter().zip(copied) {
            match copied {
                Ok(copied) => {
                    let report = &seen.line.report;
                    report.note(format_args!(
                        "copied {} paths, {} bytes",
                        copied.paths, copied.bytes
                    ));
                    done.push(System::of(&seen.line.name(), system));
                }
                Err(error) if targets.len() == 1 => return Err(error),
                Err(error) => {
                    seen.line.report.failure(&error, &describe(&error));
                    statuses.push(error.status());
                }
            }
        }
        print_systems(context, &done, targets.len())?;
        Ok(Status::worst(statuses))
    }
}

impl Activate {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let config = context.config()?;
        let settings = Settings::read(config)?;
        let targets = self.hosts.targets(context)?;
        let systems = self.which.systems(&targets)?;
        let mut facts = facts::gather(config, &settings, None, true, &context.report)?;
        if let Some(first) = systems.first() {
            facts.revision = first.revision();
        }
        let request = Request {
            action: "activate",
            copy: false,
            way: match (self.test, self.boot, self.reboot) {
                (true, ..) => Way::Test,
                (_, true, _) => Way::Boot,
                (.., true) => Way::Reboot,
                _ => Way::Switch,
            },
            all_or_nothing: self.all_or_nothing,
            ..Request::new(&settings, &facts, self.hosts.jobs)
        };
        let paths = systems.into_iter().map(|system| system.path).collect();
        let seen = switch::look(context, &targets, self.hosts.jobs)?;
        on_hosts(context, seen, &request, paths)
    }
}

impl Rollback {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let config = context.config()?;
        let settings = Settings::read(config)?;
        let targets = self.hosts.targets(context)?;
        let mut facts = facts::gather(config, &settings, None, true, &context.report)?;
        // What the repository has now is not what an old system was built from.
        facts.revision = git::Revision::default();
        let seen = switch::look(context, &targets, self.hosts.jobs)?;
        let to = self.to.as_deref();
        let paths = seen
            .iter()
            .map(|seen| rollback::destination(&seen.state, &seen.line.name(), to))
            .collect::<Result<_, _>>()?;
        let request = Request {
            action: "rollback",
            copy: false,
            ..Request::new(&settings, &facts, self.hosts.jobs)
        };
        on_hosts(context, seen, &request, paths)
    }
}

/// Activates systems that the hosts must have.
fn on_hosts(
    context: &Context,
    seen: Vec<Seen<'_>>,
    request: &Request<'_>,
    paths: Vec<String>,
) -> Result<Status, Error> {
    switch::check(&seen)?;
    let mut ready = Vec::with_capacity(seen.len());
    for (seen, path) in seen.into_iter().zip(paths) {
        switch::must_have(&seen, &path)?;
        ready.push(switch::prepare(
            context,
            request,
            seen,
            path,
            String::new(),
        )?);
    }
    go(context, request, &ready, true)
}

impl Promote {
    /// The record of the host that has proved the system that this commit gives it.
    fn proof(
        &self,
        context: &Context,
        from: &Target,
        flake: &nix::Installable,
        revision: &git::Revision,
    ) -> Result<Record, Error> {
        let line = Line::connect(context, from, context.report.clone())?;
        let (log, _) = log::read(&line.host(), &self.from)?;
        let wanted = promote::Wanted {
            revision,
            soak: self.soak.duration(),
            now: jiff::Timestamp::now(),
        };
        let built = || -> Result<String, Error> {
            Ok(nix::build(std::slice::from_ref(flake))?
                .pop()
                .unwrap_or_default())
        };
        let proved = promote::proof(&log, &line.state()?, wanted, built)?;
        proved.map_err(|reason| Error::NotProved {
            host: from.name.clone(),
            reason,
        })
    }

    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let config = context.config()?;
        let settings = Settings::read(config)?;
        let froms = hosts::targets(context, std::slice::from_ref(&self.from))?;
        let tos = hosts::targets(context, std::slice::from_ref(&self.to))?;
        let ([from], [to]) = (froms.as_slice(), tos.as_slice()) else {
            return Err(hosts::Error::Several(froms.len().max(tos.len())).into());
        };
        let flake = facts::installable(config, to);
        let facts = facts::gather(config, &settings, Some(&flake), false, &context.report)?;
        let proving = facts::installable(config, from);
        let proved = self.proof(context, from, &proving, &facts.revision)?;
        let new = nix::build(std::slice::from_ref(&flake))?
            .pop()
            .unwrap_or_default();
        let likeness = promote::likeness(&proved.new, &new, &settings.units)?;
        likeness
            .differing
            .iter()
            .for_each(|path| context.report.note(format_args!("differs: '{path}'")));
        let origin = format!("promoted from '{}' ({})", from.name, likeness.told);
        context.report.hint(&origin);
        let seen = switch::look(context, &tos, 1)?;
        switch::check(&seen)?;
        let named = format!("{}#{}", flake.flake, flake.system);
        let request = Request {
            action: "promote",
            origin,
            substitute: self.substitute,
            ..Request::new(&settings, &facts, 1)
        };
        let ready = seen
            .into_iter()
            .map(|seen| switch::prepare(context, &request, seen, new.clone(), named.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        go(context, &request, &ready, self.yes)
    }
}

fn print_systems(context: &Context, systems: &[System], hosts: usize) -> Result<(), Error> {
    let mut output = context.output()?;
    if hosts > 1 {
        output.several_hosts();
    }
    for system in systems {
        output.record(&system.host, system)?;
    }
    Ok(output.finish()?)
}
