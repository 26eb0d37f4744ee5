//! The line to one host: it can break and be made again, and long work on the host goes on without it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ops_common::host::{self, Command, Finished, Host};
use ops_common::hosts::Target;
use ops_common::report::Report;
use ops_common::tool::Context;

use crate::error::Error;
use crate::follow::Follower;
use crate::settings::Settings;
use crate::state::{self, State};
use crate::stc::Ending;

/// The functions that run on the host.
pub const FUNCTIONS: &str = include_str!("sh/host.sh");

/// How long one question may take.
const QUESTION: Duration = Duration::from_secs(30);

/// How long one call may take that may have to wait for another one on the host.
const WAITING: Duration = Duration::from_mins(5);

/// How long to wait before dialling again.
const PAUSE: Duration = Duration::from_millis(300);

/// The line to one host.
#[derive(Debug)]
pub struct Line<'a> {
    context: &'a Context,
    target: &'a Target,
    host: Mutex<Host>,
    /// The units that matter.
    watched: Vec<String>,
    /// Messages about this host.
    pub report: Report,
}

/// A command that runs on the host in a unit of its own, so that it outlives the line.
#[derive(Debug)]
pub struct Work<'a> {
    /// The deployment that it belongs to.
    pub id: &'a str,
    /// The unit without its type.
    pub unit: &'a str,
    /// What runs there.
    pub argv: Vec<String>,
    /// How long it may take.
    pub limit: Duration,
    /// How long to try to reach the host again when the line breaks.
    pub patience: Instant,
    /// Since when the host is to sum up what has happened, once it has ended.
    pub sum_up: Option<&'a str>,
}

impl Work<'_> {
    /// The arguments of `start`.
    fn start(&self, cursor: &str) -> Vec<String> {
        let limit = self.limit.as_secs().max(1).to_string();
        let mut args = vec![self.id.to_owned(), self.unit.to_owned(), limit];
        args.push(cursor.to_owned());
        args.extend_from_slice(&self.argv);
        args
    }

    fn call(&self, cursor: &str) -> Command {
        let start = self.start(cursor);
        match self.sum_up {
            None => function_call("start", &start),
            Some(since) => function_call(
                "start_and_sum_up",
                &[vec![since.to_owned()], start].concat(),
            ),
        }
    }
}

/// What became of a command in a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// What it said.
    pub said: Vec<String>,
    /// What the host has summed up.
    pub summary: Vec<String>,
}

/// What became of a deployment that was to begin, and to start its first work in the same call.
pub(crate) enum Begun {
    /// The host did not let it begin.
    Refused(Vec<String>, Finished),
    /// It has begun.
    Started(Result<Outcome, Error>),
}

impl<'a> Line<'a> {
    /// Connects to the host.
    pub fn connect(
        context: &'a Context,
        target: &'a Target,
        report: Report,
    ) -> Result<Self, Error> {
        let watched = Settings::read(context.config()?)?.units;
        let host = target.connect(context).map_err(Error::from)?;
        Ok(Self {
            context,
            target,
            host: Mutex::new(host),
            watched,
            report,
        })
    }

    /// The name of the host in messages and records.
    #[must_use]
    pub fn name(&self) -> String {
        self.target.record_name()
    }

    /// The connection as it is now.
    #[must_use]
    pub fn host(&self) -> Host {
        self.host
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Opens another connection beside this one, to prove that a login works.
    pub fn prove_login(&self) -> Result<Host, Error> {
        let host = self.log_in()?;
        host.output(&Command::new("true").deadline(QUESTION))
            .map_err(Error::from)?;
        Ok(host)
    }

    fn log_in(&self) -> Result<Host, Error> {
        let host = self.target.connect(self.context).map_err(Error::from)?;
        Ok(host.with_sudo_of(&self.host()))
    }

    /// Connects anew, until `patience` is over.
    pub fn reconnect(&self, patience: Instant) -> Result<(), Error> {
        loop {
            match self.prove_login() {
                Ok(host) => {
                    *self.host.lock().unwrap_or_else(PoisonError::into_inner) = host;
                    return Ok(());
                }
                Err(error) if Instant::now() + PAUSE > patience => return Err(error),
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }

    /// Asks the host for its state.
    pub fn state(&self) -> Result<State, Error> {
        self.ask(&self.host(), state::question(&self.watched))
    }

    /// Asks for what a deployment may change.
    pub fn look(&self) -> Result<State, Error> {
        self.look_over(&self.host())
    }

    fn look_over(&self, host: &Host) -> Result<State, Error> {
        self.ask(host, state::brief_question(&self.watched))
    }

    fn ask(&self, host: &Host, question: Command) -> Result<State, Error> {
        let answer = host.output(&question.deadline(QUESTION));
        State::parse(&String::from_utf8_lossy(&answer.map_err(Error::from)?))
            .ok_or_else(|| Error::State { host: self.name() })
    }

    /// Asks for what a deployment may change, over a new connection where the old one broke.
    pub fn look_again(&self, patience: Instant) -> Result<State, Error> {
        self.look().or_else(|_| {
            self.reconnect(patience)?;
            self.look()
        })
    }

    /// Proves that a login works by asking over it for what a deployment may change.
    pub fn log_in_and_look(&self) -> Result<State, Error> {
        self.look_over(&self.log_in()?)
    }

    /// Calls one of the functions on the host, once more over a new connection if the line broke: it knows what it has done.
    pub fn call_again(
        &self,
        function: &str,
        args: &[String],
        stdin: &[u8],
        patience: Instant,
    ) -> Result<Finished, Error> {
        self.call(function, args, stdin.to_vec()).or_else(|lost| {
            self.report.note(format_args!("{lost}; connecting again"));
            self.reconnect(patience).map_err(|_| lost)?;
            self.call(function, args, stdin.to_vec())
        })
    }

    /// Calls one of the functions on the host.
    pub fn call(&self, function: &str, args: &[String], stdin: Vec<u8>) -> Result<Finished, Error> {
        let command = function_call(function, args).stdin(stdin).deadline(WAITING);
        self.host().run(&command).map_err(Error::from)
    }

    /// Runs a command in a unit and follows it to its end, over as many connections as that takes.
    pub fn work(&self, work: &Work<'_>) -> Result<Outcome, Error> {
        self.go_on(work, Follower::new(&self.report))
    }

    fn go_on(&self, work: &Work<'_>, mut follower: Follower<'_>) -> Result<Outcome, Error> {
        loop {
            let call = work.call(&follower.cursor);
            let lost = match self.follow(call, work, &mut follower) {
                Ok(_) if follower.ended.is_some() => return self.outcome(follower),
                Ok(_) => host_lost(&self.name()),
                Err(error) => error,
            };
            self.report.note(format_args!("{lost}; connecting again"));
            if self.reconnect(work.patience).is_err() {
                return Err(lost.into());
            }
        }
    }

    fn outcome(&self, follower: Follower<'_>) -> Result<Outcome, Error> {
        let ending = follower.ended.ok_or_else(|| host_lost(&self.name()))?;
        Ok(Outcome {
            ending,
            said: follower.said,
            summary: follower.words,
        })
    }

    /// Begins a deployment and does its first work in one call. Where the line breaks, each of the two is done again: the
    /// host knows what it has done.
    pub(crate) fn begin_and_work(
        &self,
        args: &[String],
        stdin: &[u8],
        patience: Instant,
        work: &Work<'_>,
    ) -> Result<Begun, Error> {
        let mut follower = Follower::new(&self.report);
        let both = [args, &work.start("")].concat();
        let call = function_call("begin_and_start", &both).stdin(stdin);
        match self.follow(call, work, &mut follower) {
            Ok(finished) if !follower.begun => {
                return Ok(Begun::Refused(follower.words, finished));
            }
            Ok(_) if follower.ended.is_some() => {
                return Ok(Begun::Started(self.outcome(follower)));
            }
            // What is lost is not known to have begun; otherwise it is followed on, over a new connection.
            Err(lost) if !follower.begun => {
                self.report.note(format_args!("{lost}; connecting again"));
                self.reconnect(patience).map_err(|_| lost)?;
                let begun = self.call("begin", args, stdin.to_vec())?;
                if !begun.success() {
                    let said = String::from_utf8_lossy(&begun.stdout).into_owned();
                    let words = said.lines().map(str::to_owned).collect();
                    return Ok(Begun::Refused(words, begun));
                }
            }
            _ => {}
        }
        Ok(Begun::Started(self.go_on(work, follower)))
    }

    fn follow(
        &self,
        call: Command,
        work: &Work<'_>,
        follower: &mut Follower<'_>,
    ) -> Result<Finished, host::Error> {
        let left = work.patience.saturating_duration_since(Instant::now());
        let call = call.deadline(left.max(QUESTION));
        self.host().stream(&call, follower)
    }
}

/// The command that calls a function on the host.
#[must_use]
pub fn function_call(function: &str, args: &[String]) -> Command {
    let mut words = vec![function.to_owned()];
    words.extend_from_slice(args);
    Command::script(FUNCTIONS, &words)
}

fn host_lost(name: &str) -> host::Error {
    host::Error::Lost {
        subject: format!("the work on '{name}'"),
        reason: "its end was not seen".to_owned(),
    }
}
