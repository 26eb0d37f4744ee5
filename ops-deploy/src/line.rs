//! The line to one host: it can break and be made again, and long work on the host goes on without it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ops_common::host::{self, Command, Finished, Host};
use ops_common::hosts::Target;
use ops_common::report::Report;
use ops_common::tool::Context;
use serde::Deserialize;

use crate::error::Error;
use crate::settings::Settings;
use crate::state::{self, State};
use crate::stc::{self, Ending};

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
}

/// What became of a command in a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// What it said.
    pub said: Vec<String>,
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
        let host = self.target.connect(self.context).map_err(Error::from)?;
        let host = host.with_sudo_of(&self.host());
        host.output(&Command::new("true").deadline(QUESTION))
            .map_err(Error::from)?;
        Ok(host)
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
        let script = state::question(&self.watched).deadline(QUESTION);
        let answer = self.host().output(&script).map_err(Error::from)?;
        State::parse(&String::from_utf8_lossy(&answer))
            .ok_or_else(|| Error::State { host: self.name() })
    }

    /// Asks for the state, over a new connection where the old one broke.
    pub fn ask_state(&self, patience: Instant) -> Result<State, Error> {
        self.state().or_else(|_| {
            self.reconnect(patience)?;
            self.state()
        })
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
        let limit = work.limit.as_secs().max(1).to_string();
        let mut follower = Follower::new(&self.report);
        loop {
            let mut args = vec![work.id.to_owned(), work.unit.to_owned(), limit.clone()];
            args.push(follower.cursor.clone());
            args.extend(work.argv.iter().cloned());
            let call = function_call("start", &args);
            let lost = match self.follow(&call, work, &mut follower) {
                Ok(Some(ending)) => {
                    return Ok(Outcome {
                        ending,
                        said: follower.said,
                    });
                }
                Ok(None) => host_lost(&self.name()),
                Err(error) => error,
            };
            self.report.note(format_args!("{lost}; connecting again"));
            if self.reconnect(work.patience).is_err() {
                return Err(lost.into());
            }
        }
    }

    fn follow(
        &self,
        call: &Command,
        work: &Work<'_>,
        follower: &mut Follower<'_>,
    ) -> Result<Option<Ending>, host::Error> {
        let left = work
            .patience
            .saturating_duration_since(Instant::now())
            .max(QUESTION);
        let call = call.clone().deadline(left);
        self.host().stream(&call, follower)?;
        Ok(follower.ended.take())
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

/// Takes the lines of `follow` as they come, and tells what the unit says to whoever wants to know more.
struct Follower<'a> {
    report: &'a Report,
    partial: Vec<u8>,
    cursor: String,
    said: Vec<String>,
    ended: Option<Ending>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "__CURSOR")]
    cursor: String,
    #[serde(rename = "MESSAGE")]
    message: Option<Text>,
}

/// journald writes text that is not UTF-8 as an array of bytes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Plain(String),
    Bytes(Vec<u8>),
}

impl<'a> Follower<'a> {
    fn new(report: &'a Report) -> Self {
        Self {
            report,
            partial: Vec::new(),
            cursor: String::new(),
            said: Vec::new(),
            ended: None,
        }
    }

    fn line(&mut self, line: &str) {
        if let Some(properties) = line.strip_prefix("@ended ") {
            self.ended = Some(stc::ending(properties));
        } else if let Some(why) = line.strip_prefix("@refused ") {
            self.said.push(why.to_owned());
        } else if let Ok(entry) = serde_json::from_str::<Entry>(line) {
            self.cursor = entry.cursor;
            let text = match entry.message {
                Some(Text::Plain(text)) => text,
                Some(Text::Bytes(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
                None => String::new(),
            };
            self.report.note(&text);
            self.said.push(text);
        }
    }
}

impl std::io::Write for Follower<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.partial.extend_from_slice(bytes);
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            self.line(String::from_utf8_lossy(&line).trim_end());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_follower_reads_lines_however_they_are_cut() {
        let report = Report::new("ops-deploy", true, false, false);
        let mut follower = Follower::new(&report);
        let text = "{\"__CURSOR\":\"s=1\",\"MESSAGE\":\"stopping\"}\n-- cursor: s=1\n\
{\"__CURSOR\":\"s=2\",\"MESSAGE\":[104,105]}\n{\"__CURSOR\":\"s=3\",\"MESSAGE\":null}\n\
@ended LoadState=loaded Result=success ExecMainCode=1 ExecMainStatus=0\n";
        for byte in text.as_bytes() {
            follower.write_all(&[*byte]).unwrap();
        }
        assert_eq!(follower.said, ["stopping", "hi", ""]);
        assert_eq!(follower.cursor, "s=3");
        assert_eq!(follower.ended, Some(Ending::Exited(0)));
    }
}
