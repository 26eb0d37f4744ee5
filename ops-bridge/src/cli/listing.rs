//! The verbs that list, and those that change something.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use ops_common::exit::Status;
use ops_common::hosts::{self, HostArgs};
use ops_common::input;
use ops_common::span::Span;
use ops_common::tool::Context;
use regex::Regex;

use super::lines::{SourceArgs, list};
use super::{settings, tokens};
use crate::error::Error;
use crate::line::Level;
use crate::log::{self, Printer, Wish};
use crate::source::{File, Window};
use crate::{database, errors, explain, login, receive};

/// Show the bridge's log
///
/// Lines of every form are shown alike, unknown ones are kept. Texts of messages are hidden unless --bodies is given; tokens
/// are always. With -f a host that is lost is looked for again, and no line is lost or repeated.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-bridge log -f
  ops-bridge log --since 1h --level warn
  ops-bridge log -n 20 --grep socket
  ops-bridge log --since 1d --json | jq -r .message | sort | uniq -c | sort -rn")]
pub(super) struct LogArgs {
    /// Go on with lines as they come
    #[arg(short, long, conflicts_with_all = ["until", "file"])]
    follow: bool,

    /// Show so many lines from the end [default: 100, or all if --since or FILE is given]
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<usize>,

    /// Show lines of this level and graver ones
    #[arg(long, value_name = "LEVEL")]
    level: Option<Level>,

    /// Show lines that this pattern matches, in the message or in a field
    #[arg(long, value_name = "PATTERN")]
    grep: Option<String>,

    /// Show lines about this portal: its id (T1-C1) or room
    #[arg(long, value_name = "ID")]
    portal: Option<String>,

    /// Show lines about this user or login
    #[arg(long, value_name = "ID")]
    user: Option<String>,

    /// Show texts of messages too
    #[arg(long)]
    bodies: bool,

    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    hosts: HostArgs,
}

impl LogArgs {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let pattern = self
            .grep
            .map(|pattern| {
                Regex::new(&pattern).map_err(|source| Error::Pattern { pattern, source })
            })
            .transpose()?;
        let wish = Wish {
            window: Window {
                since: self.source.since,
                until: self.source.until,
            },
            lines: self.lines,
            level: self.level,
            pattern,
            portal: self.portal,
            user: self.user,
            with_bodies: self.bodies,
        };
        let unit = settings(context)?.unit;
        if let Some(name) = &self.source.file {
            let file = File { name, unit: &unit };
            let mut printer = Printer::new(context.output()?, hosts::this_machine());
            return log::print_file(file, &wish, &mut printer);
        }
        let connect = || hosts::one(context, &self.hosts).map_err(Error::from);
        if self.follow {
            let host = hosts::targets(context, &self.hosts.names)?
                .first()
                .map(hosts::Target::record_name);
            let mut printer = Printer::new(context.output()?, host.unwrap_or_default());
            return log::follow(connect, &unit, &wish, &mut printer, &context.report);
        }
        let host = connect()?;
        let mut printer = Printer::new(context.output()?, host.name().to_owned());
        log::print_host(&host, &unit, &wish, &mut printer)
    }
}

/// List what went wrong, grouped and explained
///
/// Lines that a healthy bridge writes at warning and error are left out; a failure that two lines tell is counted once among
/// the lost messages. It lists, it does not judge: the status is 0 however many there are.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-bridge errors --since 1d
  ops-bridge errors --json | jq 'select(.lost) | {lost, count, error, remedy}'
  ops-bridge errors journal.json")]
pub(super) struct ErrorsArgs {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    hosts: HostArgs,
}

impl ErrorsArgs {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let (settings, window) = (settings(context)?, self.source.window("1d"));
        let arguments = (&self.source, &self.hosts);
        list(
            context,
            arguments,
            |name| {
                errors::list_file(
                    File {
                        name,
                        unit: &settings.unit,
                    },
                    window,
                )
            },
            |host| errors::list_host(host, &settings.unit, window),
        )
    }
}

/// List the Slack conversations that are bridged, and what is wrong with them
///
/// From the bridge's database, of either generation. The column `trouble` names duplicates, portals without a room, without a
/// name, and outside of the workspace's space.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-bridge portals
  ops-bridge portals --json | jq -r 'select(.trouble != \"\") | [.id, .trouble] | @tsv'")]
pub(super) struct PortalsArgs {
    /// Show only those with this in their id, name or room
    #[arg(value_name = "TEXT")]
    filter: Option<String>,

    #[command(flatten)]
    hosts: HostArgs,
}

impl PortalsArgs {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let settings = settings(context)?;
        let wanted = self.filter.unwrap_or_default();
        hosts::ask(context, &self.hosts, |host| {
            let mut portals = database::ask(host, &settings)?.portals;
            let holds = |text: &str| text.contains(&wanted);
            portals.retain(|portal| {
                holds(&portal.id)
                    || holds(&portal.name)
                    || portal.mxid.as_deref().is_some_and(holds)
            });
            Ok::<_, Error>(portals)
        })
    }
}

/// List who is logged in to Slack; tokens are never read
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-bridge logins
  ops-bridge logins --json | jq -r 'select(.has_token | not) | .id'")]
pub(super) struct LoginsArgs {
    #[command(flatten)]
    hosts: HostArgs,
}

impl LoginsArgs {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let settings = settings(context)?;
        hosts::ask(context, &self.hosts, |host| {
            Ok::<_, Error>(database::ask(host, &settings)?.logins)
        })
    }
}

/// Log a Slack app in to the bridge, by the tokens of a sops file
///
/// The file has the keys bot_token (xoxb-) and app_token (xapp-, with connections:write); it is read by running ops-secrets.
/// This changes the bridge, so --host must be given.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-bridge login --tokens secrets/slack.yaml --host ops-jrz1
  ops-bridge login --tokens secrets/slack.yaml --user @op:chat.example --host localhost && ops-bridge status --wait 30s")]
pub(super) struct LoginArgs {
    /// The sops file with the tokens [default: bridge.tokens of ops.yaml]
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,

    /// The Matrix user whose login it is [default: the one that the bridge's permissions name]
    #[arg(long, value_name = "MXID")]
    user: Option<String>,

    #[command(flatten)]
    hosts: HostArgs,
}

impl LoginArgs {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let settings = settings(context)?;
        let host = hosts::named_one(context, &self.hosts)?;
        let tokens = tokens(context, self.tokens, &settings)?;
        let made = login::login(&host, &settings, &tokens, self.user.as_deref())?;
        let mut output = context.output()?;
        output.record(host.name(), &made)?;
        output.finish()?;
        Ok(Status::Done)
    }
}

/// Explain an exit code of the bridge, an error code of Slack, or a line of the log
///
/// Status 1 if nothing is known about one of them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-bridge explain 11
  ops-bridge explain not_in_channel
  ops-bridge log -n 1 --level error --json | jq -r .message | ops-bridge explain -")]
pub(super) struct ExplainArgs {
    /// What to explain (can be repeated); `-` reads one on each line of stdin
    #[arg(required = true, value_name = "CODE|LINE")]
    what: Vec<OsString>,
}

impl ExplainArgs {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let mut output = context.output()?;
        let mut status = Status::Done;
        for what in input::names(&self.what)? {
            match explain::explain(&what.to_string_lossy()) {
                Ok(explanation) => output.record(&hosts::this_machine(), &explanation)?,
                Err(error) => {
                    context.report.error(&error);
                    status = Status::No;
                }
            }
        }
        output.finish()?;
        Ok(status)
    }
}

/// Print what the bridge pushes: its states and what became of each message
///
/// The bridge tells its states, and for each message from Matrix whether Slack took it, to whom its configuration names, at any
/// log level: homeserver.status_endpoint http://127.0.0.1:29336/state and homeserver.message_send_checkpoint_endpoint
/// http://127.0.0.1:29336/checkpoint. This listens there, on this machine's 127.0.0.1 and ::1 only, and to nobody who does not
/// know the bridge's as_token. A checkpoint of the step REMOTE says what Slack did; one of the step BRIDGE alone is no failure.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-bridge receive --registration /var/lib/mautrix-slack/registration.yaml
  ops-bridge receive --registration registration.yaml --json | jq -c 'select(.status == \"PERM_FAILURE\") | [.subject, .error]'
  ops-bridge receive --registration registration.yaml -n 1 --for 10m")]
pub(super) struct ReceiveArgs {
    /// The bridge's registration, or its configuration: the as_token in it is what the bridge proves itself with
    #[arg(long, value_name = "FILE")]
    registration: PathBuf,

    /// Listen on this port
    #[arg(long, value_name = "PORT", default_value_t = 29336)]
    port: u16,

    /// Stop after so many records
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<usize>,

    /// Stop after this time
    #[arg(long = "for", value_name = "TIME")]
    length: Option<Span>,
}

impl ReceiveArgs {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let token = receive::token(&self.registration)?;
        let mut output = context.output()?;
        let pushes = receive::listen(self.port, token)?;
        let until = self
            .length
            .and_then(|length| Instant::now().checked_add(length.duration()));
        let host = hosts::this_machine();
        for _ in 0..self.lines.unwrap_or(usize::MAX) {
            let Some(push) = pushes.next(until) else {
                break;
            };
            output.record(&host, &push)?;
            output.finish()?;
        }
        output.finish()?;
        Ok(Status::Done)
    }
}
