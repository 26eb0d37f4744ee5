//! Which hosts are meant, and asking all of them at the same time.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Args;
use clap::builder::RangedU64ValueParser;

use crate::config::{self, HostEntry};
use crate::exit::{Failure, Status};
use crate::host::{self, Host, Options};
use crate::output::{self, Record};
use crate::span::Span;
use crate::tool::{Context, House};
use crate::{environment, report};

/// How long a question may take, where `--timeout` does not say. Streams have no limit.
const QUESTION: Span = Span::seconds(60);

/// The flags of verbs that look at hosts.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Hosts")]
pub struct HostArgs {
    /// Ask this host: a name of ops.yaml, an ssh alias, `user@address[:port]`, @group, or localhost (can be repeated)
    ///
    /// Without it: `OPS_HOST`, then `default_host` of ops.yaml, then this machine.
    #[arg(long = "host", value_name = "NAME")]
    pub names: Vec<String>,

    /// Ask so many hosts at a time
    #[arg(short, long, value_name = "N", default_value_t = 8, value_parser = at_least_one())]
    pub jobs: usize,
}

fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

/// One host that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name as it was given, or this machine's.
    pub name: String,
    /// What ops.yaml says about it.
    pub entry: HostEntry,
    /// Whether it is this machine, reached without ssh.
    pub local: bool,
    /// Why it was taken, in words.
    pub why: String,
}

/// No host could be asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A group that has no members.
    #[error("no host of the configuration is in the group '{0}'")]
    Group(String),
    /// A verb for one host was given several.
    #[error("this verb takes one host, not {0}")]
    Several(usize),
    /// A verb that changes a host was given none.
    #[error("this verb changes a host, so it takes none for granted")]
    Unnamed,
    /// A command for `--on-change` that is none.
    #[error("'{0}' is not a command line")]
    Command(String),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// A host cannot be reached or talked to.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// The answer cannot be printed.
    #[error(transparent)]
    Output(#[from] output::Error),
}

impl Failure for Error {
    fn status(&self) -> Status {
        match self {
            Self::Group(_) | Self::Several(_) | Self::Unnamed | Self::Command(_) => Status::Usage,
            Self::Config(error) => error.status(),
            Self::Host(error) => error.status(),
            Self::Output(error) => error.status(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unnamed => {
                Some("name it with --host NAME (--host localhost for this machine)".to_owned())
            }
            Self::Config(error) => error.hint(),
            Self::Host(error) => error.hint(),
            Self::Output(error) => error.hint(),
            Self::Group(_) | Self::Several(_) | Self::Command(_) => None,
        }
    }
}

/// This machine's name.
#[must_use]
pub fn this_machine() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// The hosts that `given` means; nothing given means `OPS_HOST`, then `default_host`, then this machine.
pub fn targets(context: &Context, given: &[String]) -> Result<Vec<Target>, Error> {
    if !given.is_empty() {
        return named(context, given, "named on the command line");
    }
    if let Some(name) = environment::host() {
        return named(context, &[name], "named by OPS_HOST");
    }
    match &context.config()?.default_host {
        Some(name) if *name == this_machine() => {
            Ok(vec![local(name, "default_host is this machine")])
        }
        Some(name) => named(
            context,
            std::slice::from_ref(name),
            "default_host of ops.yaml",
        ),
        None => Ok(vec![local(&this_machine(), "no host was named")]),
    }
}

/// The hosts that are named; groups are replaced by their members, in the order of the configuration.
fn named(context: &Context, names: &[String], why: &str) -> Result<Vec<Target>, Error> {
    let config = context.config()?;
    let mut targets: Vec<Target> = Vec::new();
    for name in names {
        let members: Vec<&String> = match name.strip_prefix('@') {
            Some(group) => {
                let in_group = |entry: &HostEntry| entry.groups.iter().any(|of| of == group);
                config
                    .hosts
                    .iter()
                    .filter(|(_, entry)| in_group(entry))
                    .map(|(name, _)| name)
                    .collect()
            }
            None => vec![name],
        };
        if members.is_empty() {
            return Err(Error::Group(name.clone()));
        }
        for member in members {
            if targets.iter().any(|target| target.name == *member) {
                continue;
            }
            let entry = config.hosts.get(member).cloned().unwrap_or_default();
            let local = member == "localhost";
            targets.push(Target {
                name: member.clone(),
                entry,
                local,
                why: why.to_owned(),
            });
        }
    }
    Ok(targets)
}

fn local(name: &str, why: &str) -> Target {
    Target {
        name: name.to_owned(),
        entry: HostEntry::default(),
        local: true,
        why: why.to_owned(),
    }
}

impl Target {
    /// The name in records: `localhost` is called by the name that this machine has.
    #[must_use]
    pub fn record_name(&self) -> String {
        if self.local {
            this_machine()
        } else {
            self.name.clone()
        }
    }

    /// Connects to it.
    pub fn connect(&self, context: &Context) -> Result<Host, host::Error> {
        context
            .report
            .note(format_args!("host '{}': {}", self.name, self.why));
        if self.local {
            return Ok(Host::local(&self.name, &options(&context.house)));
        }
        Host::connect(
            &self.name,
            self.entry.ssh.as_deref(),
            &options(&context.house),
        )
    }
}

/// The same host, with the time for one round of questions counted from now.
pub(crate) fn for_questions(context: &Context, host: &Host) -> Host {
    let timeout = context.house.timeout.unwrap_or(QUESTION);
    host.with_timeout(Some(timeout.duration()))
}

/// The options of the transport that the house flags ask for.
#[must_use]
pub fn options(house: &House) -> Options {
    Options {
        connect_timeout: house.connect_timeout.duration(),
        timeout: house.timeout.map(Span::duration),
        ssh_command: house.ssh_command.clone(),
        sudo: house.sudo,
        sudo_password_fd: house.sudo_password_fd,
    }
}

/// The one host of a verb whose output is a stream of bytes.
pub fn one(context: &Context, args: &HostArgs) -> Result<Host, Error> {
    match targets(context, &args.names)?.as_slice() {
        [target] => Ok(target.connect(context)?),
        several => Err(Error::Several(several.len())),
    }
}

/// The one host of a verb that changes it: it must have been named on the command line.
pub fn named_one(context: &Context, args: &HostArgs) -> Result<Host, Error> {
    if args.names.is_empty() {
        return Err(Error::Unnamed);
    }
    one(context, args)
}

/// Prints the records that each host answers with. One that fails does not stop the others.
pub fn ask<R, E>(
    context: &Context,
    args: &HostArgs,
    look: impl Fn(&Host) -> Result<Vec<R>, E> + Sync,
) -> Result<Status, E>
where
    R: Record + Send,
    E: Failure + From<Error> + Send,
{
    let targets = targets(context, &args.names)?;
    let answers = fan_out(&targets, args.jobs, |target| {
        let host = target.connect(context).map_err(Error::from)?;
        look(&for_questions(context, &host))
    });
    let several = targets.len() > 1;
    let mut output = context.output().map_err(Error::from)?;
    if several {
        output.several_hosts();
    }
    let mut statuses = Vec::with_capacity(targets.len());
    for (target, answer) in targets.iter().zip(answers) {
        match answer {
            Ok(records) => {
                let name = target.record_name();
                records
                    .iter()
                    .try_for_each(|record| output.record(&name, record))
                    .map_err(Error::from)?;
                statuses.push(Status::Done);
            }
            Err(error) if !several => return Err(error),
            Err(error) => {
                report::tell(&context.report.about(&target.name), &error);
                statuses.push(error.status());
            }
        }
    }
    output.finish().map_err(Error::from)?;
    Ok(Status::worst(statuses))
}

/// Does the same with each of several things, `jobs` at a time, and gives the answers in the order of the things.
pub fn fan_out<T: Sync, A: Send>(
    things: &[T],
    jobs: usize,
    act: impl Fn(&T) -> A + Sync,
) -> Vec<A> {
    // One by one they need no thread: most runs ask one thing, and starting costs as much as asking.
    if jobs <= 1 || things.len() <= 1 {
        return things.iter().map(act).collect();
    }
    let next = AtomicUsize::new(0);
    let answers: Mutex<Vec<(usize, A)>> = Mutex::new(Vec::with_capacity(things.len()));
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(things.len()) {
            scope.spawn(|| {
                while let Some((place, thing)) = take(things, &next) {
                    let answer = act(thing);
                    answers
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push((place, answer));
                }
            });
        }
    });
    let mut answers = answers.into_inner().unwrap_or_else(PoisonError::into_inner);
    answers.sort_by_key(|(place, _)| *place);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

fn take<'a, T>(things: &'a [T], next: &AtomicUsize) -> Option<(usize, &'a T)> {
    let place = next.fetch_add(1, Ordering::Relaxed);
    Some((place, things.get(place)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_order_and_all_start_at_once() {
        let barrier = std::sync::Barrier::new(4);
        let answers = fan_out(&[1, 2, 3, 4], 8, |number| {
            // Nobody passes before all four have started.
            barrier.wait();
            number * 10
        });
        assert_eq!(answers, [10, 20, 30, 40]);
        assert_eq!(fan_out(&[] as &[u8], 8, |_| ()).len(), 0);
        assert_eq!(fan_out(&[1, 2, 3], 1, |number| *number), [1, 2, 3]);
    }
}
