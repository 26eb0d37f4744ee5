//! `ops-deploy gate`.

use std::path::Path;

use clap::Args;
use ops_common::check::Check;
use ops_common::exit::Status;
use ops_common::tool::Context;

use crate::error::Error;
use crate::gate::{self, Rules};
use crate::probe::{self, Surroundings};

/// Let pass only what is known to be well: check records from stdin, or from commands
///
/// Fails (1) on a record with `fail`, on `unknown`, on a name that was expected and never came, and on no record at all. With
/// commands their statuses count too: 0 ok, 1 fail, other unknown. A line that is no check record is 65.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  { ops-matrix versions --json; ops-bridge health --json; } | ops-deploy gate
  ops-deploy gate 'ops-matrix versions --json' 'ops-db health --json'
  ops-bridge health --json | ops-deploy gate --expect bridge.socket && echo go")]
pub(super) struct Gate {
    /// Run these commands instead of reading stdin
    #[arg(value_name = "COMMAND")]
    commands: Vec<String>,

    /// Fail unless records of these checks came
    #[arg(long, value_name = "CHECK", value_delimiter = ',')]
    expect: Vec<String>,

    /// Let pass what could not be looked at
    #[arg(long)]
    allow_unknown: bool,
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
