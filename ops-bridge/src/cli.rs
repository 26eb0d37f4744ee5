//! The command line: the only place that knows clap. Its doc comments are the manual.

mod judging;
mod lines;
mod listing;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use ops_common::exit::Status;
use ops_common::tool::{Context, House, Tool};

use crate::error::Error;
use crate::settings::Settings;
use crate::tokens::Tokens;

/// Know whether messages flow between Slack and Matrix, and for how long they have
///
/// A unit can be active, its /ready 200 and its state CONNECTED while messages are lost without a word. Each verb asks the
/// sources that can know: the unit and its journal, the bridge itself, its database. Verbs that judge print check records and
/// end with 0 (yes), 1 (no) or 3 (it could not be verified).
#[derive(Debug, Parser)]
#[command(name = "ops-bridge", version, about, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    house: House,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Status(judging::StatusArgs),
    Socket(judging::SocketArgs),
    Log(listing::LogArgs),
    Errors(listing::ErrorsArgs),
    Health(judging::HealthArgs),
    Latency(judging::LatencyArgs),
    Uptime(judging::UptimeArgs),
    Portals(listing::PortalsArgs),
    Logins(listing::LoginsArgs),
    Doctor(judging::DoctorArgs),
    Ping(judging::PingArgs),
    Login(listing::LoginArgs),
    Receive(listing::ReceiveArgs),
    Explain(listing::ExplainArgs),
}

impl Tool for Cli {
    type Error = Error;

    const NAME: &'static str = "ops-bridge";

    fn house(&self) -> &House {
        &self.house
    }

    fn run(self, context: &Context) -> Result<Status, Error> {
        match self.verb {
            Verb::Status(args) => args.run(context),
            Verb::Socket(args) => args.run(context),
            Verb::Log(args) => args.run(context),
            Verb::Errors(args) => args.run(context),
            Verb::Health(args) => args.run(context),
            Verb::Latency(args) => args.run(context),
            Verb::Uptime(args) => args.run(context),
            Verb::Portals(args) => args.run(context),
            Verb::Logins(args) => args.run(context),
            Verb::Doctor(args) => args.run(context),
            Verb::Ping(args) => args.run(context),
            Verb::Login(args) => args.run(context),
            Verb::Receive(args) => args.run(context),
            Verb::Explain(args) => args.run(context),
        }
    }
}

fn settings(context: &Context) -> Result<Settings, Error> {
    Ok(context.config()?.section("bridge")?)
}

/// The tokens of the file that was named, else of the one in ops.yaml.
fn tokens(context: &Context, named: Option<PathBuf>, settings: &Settings) -> Result<Tokens, Error> {
    let path = match (named, &settings.tokens) {
        (Some(path), _) => path,
        (None, Some(path)) => context.config()?.resolve(path),
        (None, None) => return Err(Error::NoTokens),
    };
    Tokens::read(&path)
}
