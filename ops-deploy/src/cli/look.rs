//! The verbs that look: arguments resolved, the domain called, records printed.

use std::path::Path;

use ops_common::check::{Check, State as Finding};
use ops_common::exit::Status;
use ops_common::host::Host;
use ops_common::hosts::{self, HostArgs};
use ops_common::tool::Context;
use ops_common::watch;

use super::{Gate, Lint, Log, Plan, StatusOf, Verify, store_path};
use crate::deployment::Way;
use crate::error::Error;
use crate::gate::{self, Rules};
use crate::lint;
use crate::preview::{Line, Preview};
use crate::probe::{self, Surroundings};
use crate::settings::Settings;
use crate::state::{self, State};
use crate::switch::Request;
use crate::{ahead, copy, dry_run, facts, log, nix, status, switch, verify};

impl Plan {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let settings = Settings::read(context.config()?)?;
        let (host, lines) = match self.what.as_slice() {
            [old, new] => {
                let (old, new) = (store_path(old)?, store_path(new)?);
                let closure = nix::closure(&new)?.ok_or_else(|| Error::NotHere(new.clone()))?;
                let preview = Preview::between(&old, &new, &closure, None)?;
                let preview = preview.ok_or_else(|| Error::NotHere(old.clone()))?;
                let traps = ahead::traps(Some(&old), (&new, &closure), None, &settings)?;
                let lines: Vec<_> = preview.lines().chain(traps.iter().map(Line::of)).collect();
                (hosts::this_machine(), lines)
            }
            _ => (self.what.concat(), self.for_host(context, &settings)?),
        };
        let mut output = context.output()?;
        for line in lines {
            output.record(&host, &line)?;
        }
        output.finish()?;
        Ok(Status::Done)
    }

    fn for_host(&self, context: &Context, settings: &Settings) -> Result<Vec<Line>, Error> {
        let config = context.config()?;
        let targets = hosts::targets(context, &self.what)?;
        let [target] = targets.as_slice() else {
            return Err(hosts::Error::Several(targets.len()).into());
        };
        let new = match &self.store_path {
            Some(path) => store_path(path)?,
            None => nix::build(&[facts::installable(config, target)])?
                .pop()
                .unwrap_or_default(),
        };
        let Some(seen) = switch::look(context, &targets, 1)?.pop() else {
            return Ok(Vec::new());
        };
        let old = seen.state.old().unwrap_or("").to_owned();
        let facts = facts::Facts::default();
        let request = Request::new(settings, &facts, 1);
        let ready = switch::prepare(context, &request, seen, new, String::new())?;
        if ready.is_there(Way::Switch, settings) {
            return Ok(Vec::new());
        }
        let findings = ready.findings.iter().chain(&ready.secrets);
        let findings = findings
            .filter(|check| check.status > Finding::Ok)
            .map(Line::of);
        if self.ask_host {
            copy::copy(&ready.seen.line, &ready.closure, false)?;
            let mut lines = dry_run::ask(&ready.seen.line, &ready.new)?;
            let packages = ready.preview.iter().flat_map(Preview::packages);
            lines.splice(..0, packages);
            lines.extend(findings);
            return Ok(lines);
        }
        let preview = ready.preview.as_ref().ok_or(Error::NotHere(old))?;
        Ok(preview.lines().chain(findings).collect())
    }
}

impl StatusOf {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let config = context.config()?;
        let settings = Settings::read(config)?;
        let head = facts::gather(config, &settings, None, true, &context.report)?
            .revision
            .commit;
        hosts::ask(context, &self.hosts.args(), |host| {
            let (records, _) = log::read(host, host.name())?;
            Ok::<_, Error>(status::describe(
                &state_of(host, &settings)?,
                &records,
                &head,
                self.all,
            ))
        })
    }
}

impl Verify {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let config = context.config()?;
        let settings = Settings::read(config)?;
        let window = settings
            .health_window
            .duration()
            .max(std::time::Duration::from_secs(2));
        watch::judge(
            context,
            "deploy.units",
            &self.hosts.args(),
            &self.watch,
            |host| {
                let state = state_of(host, &settings)?;
                let mut checks = verify::checks(&state, &settings);
                let surroundings = Surroundings {
                    host: Some(host.name()),
                    config: config.path(),
                    limit: window,
                };
                checks.extend(probe::run(&settings.health, surroundings));
                Ok(checks)
            },
        )
    }
}

impl Gate {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let rules = Rules {
            expect: self.expect,
            allow_unknown: self.allow_unknown,
        };
        let checks = if self.commands.is_empty() {
            let input = ops_common::input::open("-".as_ref())?;
            gate::read(std::io::BufReader::new(input))?
        } else {
            let limit = context.house.timeout.map_or(
                std::time::Duration::from_mins(5),
                ops_common::span::Span::duration,
            );
            let config = context.config()?.path().map(Path::to_owned);
            probe::run(
                &self.commands,
                Surroundings {
                    host: None,
                    config: config.as_deref(),
                    limit,
                },
            )
        };
        let (shut, status) = gate::judge(&checks, &rules);
        let mut output = context.output()?;
        let nagios = output.checks(&shut_or_all(shut, &checks))?;
        output.finish()?;
        Ok(if matches!(nagios, Status::Foreign(_)) {
            nagios
        } else {
            status
        })
    }
}

/// What holds the gate shut is what a person wants to see; an open gate shows what it let pass only when asked for a form.
fn shut_or_all(shut: Vec<Check>, all: &[Check]) -> Vec<Check> {
    if shut.is_empty() { all.to_vec() } else { shut }
}

impl Log {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        hosts::ask(context, &self.hosts.args(), |host| {
            let (mut records, damaged) = log::read(host, host.name())?;
            if damaged > 0 {
                context.report.warn(format_args!(
                    "{damaged} lines of the log of '{}' are damaged",
                    host.name()
                ));
            }
            records.reverse();
            records.truncate(self.lines);
            Ok::<_, Error>(records)
        })
    }
}

fn state_of(host: &Host, settings: &Settings) -> Result<State, Error> {
    let answer = host
        .output(&state::question(&settings.units))
        .map_err(Error::from)?;
    State::parse(&String::from_utf8_lossy(&answer)).ok_or_else(|| Error::State {
        host: host.name().to_owned(),
    })
}

impl Lint {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let settings = Settings::read(context.config()?)?;
        if let [path] = self.what.as_slice()
            && (path.contains('/') || path == "result")
        {
            let path = store_path(path)?;
            return watch::judge_here(context, "deploy.lint", &self.watch, || {
                let system =
                    lint::System::read(Path::new(&path)).map_err(|source| Error::Units {
                        path: path.clone(),
                        source,
                    })?;
                let system = system.made_of(&nix::closure(&path)?.unwrap_or_default());
                Ok::<_, Error>(lint::checks(&system, None, &settings))
            });
        }
        let hosts = HostArgs {
            names: self.what,
            jobs: self.jobs,
        };
        watch::judge(context, "deploy.lint", &hosts, &self.watch, |host| {
            let state = state_of(host, &settings)?;
            let system = lint::ask(host)?;
            Ok::<_, Error>(lint::checks(&system, Some(&state), &settings))
        })
    }
}
