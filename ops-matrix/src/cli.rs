//! The command line: the only folder that knows clap. Its doc comments are the manual.

mod host;
mod names;
mod net;

use clap::{Parser, Subcommand};
use ops_common::exit::Status;
use ops_common::tool::{Context, House, Tool};

use self::host::{OutboundArgs, PathsArgs, PingArgs, StatusArgs, VersionsArgs};
use self::names::{FederationArgs, ResolveArgs, WellKnownArgs};
use crate::error::Error;

/// Tell whether the homeserver answers, on every address, and whether the federation can reach it
///
/// Each verb that judges prints check records, one for each finding; the names of its checks stand in its help. Its
/// status is 0 when all is well, 1 when something is wrong, 3 when something could not be looked at.
#[derive(Debug, Parser)]
#[command(name = "ops-matrix", version, about, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    house: House,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
#[command(defer = true)] // only the verb that is asked for is made
enum Verb {
    Versions(VersionsArgs),
    Status(StatusArgs),
    Resolve(ResolveArgs),
    #[command(name = "wellknown")]
    WellKnown(WellKnownArgs),
    Federation(FederationArgs),
    Paths(PathsArgs),
    Outbound(OutboundArgs),
    Ping(PingArgs),
}

impl Tool for Cli {
    type Error = Error;

    const NAME: &'static str = "ops-matrix";

    fn house(&self) -> &House {
        &self.house
    }

    fn run(self, context: &Context) -> Result<Status, Error> {
        match self.verb {
            Verb::Versions(args) => args.run(context),
            Verb::Status(args) => args.run(context),
            Verb::Resolve(args) => args.run(context),
            Verb::WellKnown(args) => args.run(context),
            Verb::Federation(args) => args.run(context),
            Verb::Paths(args) => args.run(context),
            Verb::Outbound(args) => args.run(context),
            Verb::Ping(args) => args.run(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent_and_each_verb_has_examples() {
        let mut command = Cli::command();
        command.build();
        command.clone().debug_assert();
        for verb in command.get_subcommands() {
            let help = verb
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(help.starts_with("Examples:"), "{}", verb.get_name());
            let about = verb
                .get_long_about()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(
                verb.get_name() == "resolve" || about.contains("matrix."),
                "{} names no check",
                verb.get_name()
            );
        }
    }
}
