//! Verbs that judge: print findings once, wait for them to be good, or look again and again.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clap::Args;
use serde_json::Value;

use crate::check::{self, Check, State};
use crate::exit::{Failure, Status, describe};
use crate::host::Host;
use crate::hosts::{self, Error, HostArgs, Target};
use crate::output::{Format, Output};
use crate::program::{self, Program};
use crate::report;
use crate::span::Span;
use crate::tool::Context;

/// How long to wait before looking again, where `--every` does not say.
const PAUSE: Span = Span::seconds(1);

/// The flags of verbs that judge.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Waiting and watching")]
pub struct WatchArgs {
    /// Look again until all is well; 75 when this time is over
    #[arg(long, value_name = "TIME", conflicts_with = "every")]
    pub wait: Option<Span>,

    /// Look again and again, after this time
    #[arg(long, value_name = "TIME")]
    pub every: Option<Span>,

    /// Stop looking after this time
    #[arg(long = "for", value_name = "TIME", requires = "every")]
    pub length: Option<Span>,

    /// Run this command, with the records on its stdin, when the findings have changed (no shell runs it)
    #[arg(long, value_name = "COMMAND", requires = "every")]
    pub on_change: Option<String>,
}

/// What one look at everything has brought: for each target its name and findings or failure.
type Round<E> = Vec<(String, Result<Vec<Check>, E>)>;

/// Prints the findings about each host under the check's name `name`, which stands for those that could not be looked at.
pub fn judge<E>(
    context: &Context,
    name: &str,
    hosts: &HostArgs,
    watch: &WatchArgs,
    look: impl Fn(&Host) -> Result<Vec<Check>, E> + Sync,
) -> Result<Status, E>
where
    E: Failure + From<Error> + Send,
{
    let targets = hosts::targets(context, &hosts.names)?;
    let connections: Vec<_> = targets
        .iter()
        .map(|target| (target, Mutex::new(None)))
        .collect();
    run(context, name, watch, || {
        let answers = hosts::fan_out(&connections, hosts.jobs, |(target, connection)| {
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            look_at(context, target, &mut connection, &look)
        });
        targets
            .iter()
            .map(Target::record_name)
            .zip(answers)
            .collect()
    })
}

/// Prints findings about things that are looked at from here, without a host.
pub fn judge_here<E>(
    context: &Context,
    name: &str,
    watch: &WatchArgs,
    mut look: impl FnMut() -> Result<Vec<Check>, E>,
) -> Result<Status, E>
where
    E: Failure + From<Error>,
{
    run(context, name, watch, || {
        vec![(hosts::this_machine(), look())]
    })
}

/// Looks at one host over the connection of the look before, as long as that one works.
fn look_at<E: Failure + From<Error>>(
    context: &Context,
    target: &Target,
    connection: &mut Option<Host>,
    look: impl Fn(&Host) -> Result<Vec<Check>, E>,
) -> Result<Vec<Check>, E> {
    let host = match connection.take() {
        Some(host) => host,
        None => target.connect(context).map_err(Error::from)?,
    };
    let mut checks = look(&hosts::for_questions(context, &host))?;
    for check in &mut checks {
        check.host = target.record_name();
    }
    *connection = Some(host);
    Ok(checks)
}

fn run<E>(
    context: &Context,
    name: &str,
    watch: &WatchArgs,
    mut look: impl FnMut() -> Round<E>,
) -> Result<Status, E>
where
    E: Failure + From<Error>,
{
    let started = Instant::now();
    if let Some(wait) = watch.wait {
        let mut round = look();
        while answer(&round) != Status::Done
            && started.elapsed() + PAUSE.duration() < wait.duration()
        {
            std::thread::sleep(PAUSE.duration());
            round = look();
        }
        let good = answer(&round) == Status::Done;
        let status = Printer::new(context, name)?.print(round)?;
        if good {
            return Ok(status);
        }
        context.report.error(format_args!("not well after {wait}"));
        return Ok(Status::TryAgain);
    }
    let mut printer = Printer::new(context, name)?;
    let Some(every) = watch.every else {
        return printer.print(look());
    };
    let mut changes = Changes::new(watch.on_change.as_deref())?;
    let mut statuses = Vec::new();
    loop {
        let round = look();
        changes.follow(context, &round);
        statuses.push(printer.print(round).unwrap_or_else(|error| {
            report::tell(&context.report, &error);
            error.status()
        }));
        let next = every
            .duration()
            .saturating_mul(u32::try_from(statuses.len()).unwrap_or(u32::MAX));
        let last = watch.length.is_some_and(|length| next >= length.duration());
        if last || statuses.last() == Some(&Status::ReaderLeft) {
            return Ok(Status::worst(statuses));
        }
        std::thread::sleep(next.saturating_sub(started.elapsed()));
    }
}

/// Each host's answer first, then the worst.
fn answer<E: Failure>(round: &Round<E>) -> Status {
    Status::worst(round.iter().map(|(_, looked)| match looked {
        Ok(checks) => check::verdict(checks),
        Err(error) => error.status(),
    }))
}

struct Printer<'a> {
    context: &'a Context,
    name: &'a str,
    output: Output,
}

impl<'a> Printer<'a> {
    fn new(context: &'a Context, name: &'a str) -> Result<Self, Error> {
        Ok(Self {
            context,
            name,
            output: context.output()?,
        })
    }

    /// Prints one round, and what to do about what is not well. One host's failure alone is the run's.
    fn print<E: Failure + From<Error>>(&mut self, round: Round<E>) -> Result<Status, E> {
        let answer = answer(&round);
        let several = round.len() > 1;
        let mut checks = Vec::new();
        let mut failed = None;
        for (host, looked) in round {
            match looked {
                Ok(found) => checks.extend(found.into_iter().map(|check| at_host(check, &host))),
                Err(error) => {
                    if self.context.house.asked_format().is_some() {
                        checks.push(at_host(
                            Check::unknown(self.name, "", describe(&error)),
                            &host,
                        ));
                    }
                    if several {
                        report::tell(&self.context.report.about(&host), &error);
                    }
                    failed = Some(error);
                }
            }
        }
        let plugin = self.output.format() == Format::Nagios;
        if plugin || !checks.is_empty() {
            let status = self.output.checks(&checks).map_err(Error::from)?;
            self.output.finish().map_err(Error::from)?;
            self.hint(&checks);
            if plugin {
                if let Some(error) = failed.filter(|_| !several) {
                    report::tell(&self.context.report, &error);
                }
                return Ok(status);
            }
        }
        match failed {
            Some(error) if !several => Err(error),
            _ => Ok(answer),
        }
    }

    fn hint(&self, checks: &[Check]) {
        if !matches!(self.output.format(), Format::Text | Format::Tsv) {
            return;
        }
        let mut told: Vec<&str> = Vec::new();
        for fix in checks
            .iter()
            .filter(|check| check.status != State::Ok)
            .filter_map(|check| check.fix.as_deref())
        {
            if !told.contains(&fix) {
                self.context.report.hint(fix);
                told.push(fix);
            }
        }
    }
}

fn at_host(mut check: Check, host: &str) -> Check {
    if check.host.is_empty() {
        host.clone_into(&mut check.host);
    }
    check
}

/// What was found about each thing: by check, host and subject, the state and what else counts as a change.
type Found = BTreeMap<(String, String, String), (State, Value)>;

/// What was found last, and whom to tell when that changes.
struct Changes {
    command: Option<Vec<std::ffi::OsString>>,
    last: Option<Found>,
}

impl Changes {
    fn new(command: Option<&str>) -> Result<Self, Error> {
        let split =
            |line: &str| program::split(line).ok_or_else(|| Error::Command(line.to_owned()));
        Ok(Self {
            command: command.map(split).transpose()?,
            last: None,
        })
    }

    fn follow<E: Failure>(&mut self, context: &Context, round: &Round<E>) {
        let Some(command) = &self.command else { return };
        let found: Vec<Check> = round
            .iter()
            .flat_map(|(host, looked)| {
                let checks = looked.as_deref().unwrap_or_default().iter().cloned();
                checks.map(|check| at_host(check, host))
            })
            .collect();
        let key = |check: &Check| {
            (
                check.check.clone(),
                check.host.clone(),
                check.subject.clone(),
            )
        };
        let now = found
            .iter()
            .map(|check| (key(check), (check.status, check.identity.clone())))
            .collect();
        let before = self.last.replace(now);
        if before.is_some() && before != self.last {
            tell(context, command, &found);
        }
    }
}

/// Runs the user's command. That it fails is worth a warning and no more: the watch goes on.
fn tell(context: &Context, command: &[std::ffi::OsString], found: &[Check]) {
    let records: Vec<u8> = found
        .iter()
        .flat_map(|check| {
            [
                serde_json::to_string(check)
                    .unwrap_or_default()
                    .into_bytes(),
                b"\n".to_vec(),
            ]
        })
        .flatten()
        .collect();
    let ran = Program::find(&command[0])
        .and_then(|program| program.args(&command[1..]).stdin(records).output());
    if let Err(error) = ran {
        context.report.warn(describe(&error));
    }
}
