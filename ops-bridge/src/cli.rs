//! The command line: the only file that knows clap. Its doc comments are the manual.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use ops_common::check::Check;
use ops_common::exit::Status;
use ops_common::host::Host;
use ops_common::hosts::{self, HostArgs};
use ops_common::input;
use ops_common::output::Record;
use ops_common::span::{Moment, Span};
use ops_common::tool::{Context, House, Tool};
use ops_common::watch::{self, WatchArgs};
use regex::Regex;

use crate::error::Error;
use crate::health::Limits;
use crate::line::Level;
use crate::log::{self, Printer, Wish};
use crate::settings::Settings;
use crate::source::Window;
use crate::tokens::Tokens;
use crate::{
    database, delays, doctor, errors, explain, health, login, ping, socket, status, uptime,
};

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
    Status(StatusArgs),
    Socket(SocketArgs),
    Log(LogArgs),
    Errors(ErrorsArgs),
    Health(HealthArgs),
    Latency(LatencyArgs),
    Uptime(UptimeArgs),
    Portals(PortalsArgs),
    Logins(LoginsArgs),
    Doctor(DoctorArgs),
    Ping(PingArgs),
    Login(LoginArgs),
    Explain(ExplainArgs),
}

/// Tell whether messages can flow now, from all sources
///
/// One exec asks for the unit, the journal, the database, the configuration and the sockets; one forwarded connection asks the
/// bridge itself. A source that fails is named in data.sources, and the answer is then unknown, never yes.
///
/// Checks: bridge.unit (value: seconds since its start), bridge.connection_status (one for each login; value: seconds
/// connected), bridge.last_successful_message (one for each direction; value: age), bridge.error_count (the last hour),
/// bridge.log_level.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-bridge status
  ops-bridge status --host ops-jrz1 --wait 2m
  ops-bridge status --every 1m --json >> status.jsonl
  ops-bridge status --json | jq 'select(.check == \"bridge.connection_status\").data.sources'")]
struct StatusArgs {
    #[command(flatten)]
    hosts: HostArgs,
    #[command(flatten)]
    watch: WatchArgs,
}

/// Show the history of the connection to Slack, and what it amounts to
///
/// Connected since when; refreshes, which are healthy, told from losses; the last disconnect and why; when the next attempt
/// comes. data.verdict names what it is: connected, connected-silent, flapping, never-pinged, disconnected, backoff,
/// app-token-refused, socket-refused, start-failed, needs-login, nobody-logged-in, stopped, hidden.
///
/// Check: bridge.socket, one for each login; value: seconds connected without a loss.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-bridge socket
  ops-bridge socket --since 1d --json | jq .data.episodes
  ssh ops-jrz1 journalctl -o json --all -u mautrix-slack | ops-bridge socket -")]
struct SocketArgs {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    hosts: HostArgs,
    #[command(flatten)]
    watch: WatchArgs,
}

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
struct LogArgs {
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
struct ErrorsArgs {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    hosts: HostArgs,
}

/// Judge the bridge over time: losses, errors, delays, availability
///
/// All of `status`, and the journal of a window against limits.
///
/// Checks: those of status, and bridge.error_count, bridge.error_rate (an hour), bridge.messages_lost, bridge.latency (p50, p95,
/// p99 each way), bridge.reactions, bridge.edits, bridge.attachments, bridge.uptime.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-bridge health
  ops-bridge health --stale 1d --latency 2s --format nagios
  ops-bridge health --json | ops-deploy gate --expect bridge.messages_lost,bridge.uptime
  ops-bridge health journal.json")]
struct HealthArgs {
    /// Look at so much of the journal
    #[arg(long, value_name = "TIME", default_value = "1h")]
    window: Span,

    /// Fail with more errors than this in the window
    #[arg(long, value_name = "N", default_value_t = 10)]
    errors: u64,

    /// Fail with more lost messages than this in the window, each way
    #[arg(long, value_name = "N", default_value_t = 0)]
    lost: u64,

    /// Fail if a quantile of the delay is longer [default: bridge.latency_limit of ops.yaml, else 5s]
    #[arg(long, value_name = "TIME")]
    latency: Option<Span>,

    /// Fail if the last message of a direction is older
    #[arg(long, value_name = "TIME")]
    stale: Option<Span>,

    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    hosts: HostArgs,
    #[command(flatten)]
    watch: WatchArgs,
}

/// Measure how long messages take, each way
///
/// Slack to Matrix: from Slack's time of a message to the line that it is in its room. Matrix to Slack: from the line of sending
/// to the line of Slack's echo. Needs the level debug. The counts of the histogram are under data.
///
/// Check: bridge.latency, one for each direction and quantile; value and limit in seconds.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-bridge latency --since 1d
  ops-bridge latency --json | jq -c '{subject, value}'
  ops-bridge latency --limit 2s journal.json")]
struct LatencyArgs {
    /// Fail if a quantile is longer [default: bridge.latency_limit of ops.yaml, else 5s]
    #[arg(long, value_name = "TIME")]
    limit: Option<Span>,

    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    hosts: HostArgs,
    #[command(flatten)]
    watch: WatchArgs,
}

/// Show for what share of the time the bridge was connected, and what took the rest
///
/// Down is: the unit stopped, until a login is connected again; or another state than CONNECTED for more than 30 s. A time
/// without any line, after a power cut or where the journal begins later, is a gap: it counts for nothing. FILE may also be what
/// `status --every 1m --json` recorded.
///
/// Check: bridge.uptime; value and limit in percent; data.outages, data.gaps, data.days, data.budget_s, data.left_s.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-bridge uptime
  ops-bridge uptime --since 30d --target 99.5%
  ops-bridge uptime --json | jq '.data.outages[] | [.from, .length_s, .cause]'")]
struct UptimeArgs {
    /// Fail below this share [default: bridge.uptime_target of ops.yaml, else 99%]
    #[arg(long, value_name = "SHARE")]
    target: Option<String>,

    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    hosts: HostArgs,
    #[command(flatten)]
    watch: WatchArgs,
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
struct PortalsArgs {
    /// Show only those with this in their id, name or room
    #[arg(value_name = "TEXT")]
    filter: Option<String>,

    #[command(flatten)]
    hosts: HostArgs,
}

/// List who is logged in to Slack; tokens are never read
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-bridge logins
  ops-bridge logins --json | jq -r 'select(.has_token | not) | .id'")]
struct LoginsArgs {
    #[command(flatten)]
    hosts: HostArgs,
}

/// Examine the set-up, and say what to change
///
/// Checks: bridge.config, bridge.provisioning, bridge.auto_reconnect, bridge.log_level, bridge.schema, bridge.listener (127.0.0.1
/// and ::1), bridge.to_homeserver, bridge.from_homeserver (value: the round trip), bridge.file_events, and with --tokens
/// bridge.token.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-bridge doctor
  ops-bridge doctor --tokens secrets/slack.yaml
  ops-bridge doctor --json | jq -r 'select(.status != \"ok\") | [.check, .message, .fix] | @tsv'")]
struct DoctorArgs {
    /// Ask Slack, from the host, whether it accepts bot_token and app_token of this sops file
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,

    #[command(flatten)]
    hosts: HostArgs,
    #[command(flatten)]
    watch: WatchArgs,
}

/// Send a message, an edit, a reaction, a deletion and a file each way, and time them
///
/// The only proof that messages flow. The sops file has the keys slack_token and slack_channel (a person's token, xoxp-, and the
/// channel's id), matrix_token and matrix_room (a person's, and the room of that channel). What was sent is removed again. This
/// writes into the rooms, so --host must be given.
///
/// Check: bridge.ping, one for each direction and operation; value and limit in seconds.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-bridge ping --tokens secrets/ping.yaml --host ops-jrz1
  ops-bridge ping --limit 2s --host ops-jrz1 --format nagios
  ops-bridge ping --host ops-jrz1 --every 10m --on-change 'mail -s bridge op@chat.example'")]
struct PingArgs {
    /// The sops file with the tokens [default: bridge.tokens of ops.yaml]
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,

    /// Fail if something takes longer [default: bridge.latency_limit of ops.yaml, else 5s]
    #[arg(long, value_name = "TIME")]
    limit: Option<Span>,

    /// Give something up after this time
    #[arg(long, value_name = "TIME", default_value = "30s")]
    patience: Span,

    #[command(flatten)]
    hosts: HostArgs,
    #[command(flatten)]
    watch: WatchArgs,
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
struct LoginArgs {
    /// The sops file with the tokens [default: bridge.tokens of ops.yaml]
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,

    /// The Matrix user whose login it is [default: the one that the bridge's permissions name]
    #[arg(long, value_name = "MXID")]
    user: Option<String>,

    #[command(flatten)]
    hosts: HostArgs,
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
struct ExplainArgs {
    /// What to explain (can be repeated); `-` reads one on each line of stdin
    #[arg(required = true, value_name = "CODE|LINE")]
    what: Vec<OsString>,
}

/// Where lines come from, and which.
#[derive(Debug, Args)]
struct SourceArgs {
    /// Read this file, or stdin for `-`, instead of a host's journal: journald JSON or export, or the bridge's own forms
    #[arg(value_name = "FILE", conflicts_with = "names")]
    file: Option<OsString>,

    /// From here on: a time before now, or an instant
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,

    /// Up to here: a time before now, or an instant
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
}

impl SourceArgs {
    /// The window in time; for a host from `default` on where nothing is said.
    fn window(&self, default: &str) -> Window {
        let since = self
            .since
            .or_else(|| self.file.is_none().then(|| default.parse().ok()).flatten());
        Window {
            since,
            until: self.until,
        }
    }
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
            Verb::Explain(args) => args.run(context),
        }
    }
}

fn settings(context: &Context) -> Result<Settings, Error> {
    Ok(context.config()?.section("bridge")?)
}

/// Judges the lines of a file, or those of hosts.
fn judge(
    context: &Context,
    check: &str,
    (source, hosts, watch): (&SourceArgs, &HostArgs, &WatchArgs),
    of_file: impl Fn(&OsStr) -> Result<Vec<Check>, Error>,
    of_host: impl Fn(&Host) -> Result<Vec<Check>, Error> + Sync,
) -> Result<Status, Error> {
    match &source.file {
        Some(file) => watch::judge_here(context, check, watch, || of_file(file)),
        None => watch::judge(context, check, hosts, watch, of_host),
    }
}

/// Lists the records of a file, or those of hosts.
fn list<R: Record + Send>(
    context: &Context,
    (source, hosts): (&SourceArgs, &HostArgs),
    of_file: impl Fn(&OsStr) -> Result<Vec<R>, Error>,
    of_host: impl Fn(&Host) -> Result<Vec<R>, Error> + Sync,
) -> Result<Status, Error> {
    match &source.file {
        Some(file) => print(context, &of_file(file)?),
        None => hosts::ask(context, hosts, of_host),
    }
}

fn print<R: Record>(context: &Context, records: &[R]) -> Result<Status, Error> {
    let mut output = context.output()?;
    let host = hosts::this_machine();
    records
        .iter()
        .try_for_each(|record| output.record(&host, record))?;
    output.finish()?;
    Ok(Status::Done)
}

impl StatusArgs {
    fn run(self, context: &Context) -> Result<Status, Error> {
        let settings = settings(context)?;
        watch::judge(context, status::CHECK, &self.hosts, &self.watch, |host| {
            status::look(host, &settings)
        })
    }
}

impl SocketArgs {
    fn run(self, context: &Context) -> Result<Status, Error> {
        let (settings, window) = (settings(context)?, self.source.window("7d"));
        let arguments = (&self.source, &self.hosts, &self.watch);
        judge(
            context,
            socket::CHECK,
            arguments,
            |file| socket::look_file(file, window),
            |host| socket::look_host(host, &settings, window),
        )
    }
}

impl LogArgs {
    fn run(self, context: &Context) -> Result<Status, Error> {
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
        if let Some(file) = &self.source.file {
            let mut printer = Printer::new(context.output()?, hosts::this_machine());
            return log::print_file(file, &wish, &mut printer);
        }
        let unit = settings(context)?.unit;
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

impl ErrorsArgs {
    fn run(self, context: &Context) -> Result<Status, Error> {
        let (unit, window) = (settings(context)?.unit, self.source.window("1d"));
        let arguments = (&self.source, &self.hosts);
        list(
            context,
            arguments,
            |file| errors::list_file(file, window),
            |host| errors::list_host(host, &unit, window),
        )
    }
}

impl HealthArgs {
    fn run(self, context: &Context) -> Result<Status, Error> {
        let settings = settings(context)?;
        let usual = Limits::of(&settings)?;
        let latency = self.latency.unwrap_or(usual.latency);
        let limits = Limits {
            window: self.window,
            errors: self.errors,
            lost: self.lost,
            latency,
            stale: self.stale,
            ..usual
        };
        let window = Window {
            since: self.source.since,
            until: self.source.until,
        };
        let arguments = (&self.source, &self.hosts, &self.watch);
        judge(
            context,
            health::CHECK,
            arguments,
            |file| health::look_file(file, window, &limits),
            |host| health::look_host(host, &settings, &limits),
        )
    }
}

impl LatencyArgs {
    fn run(self, context: &Context) -> Result<Status, Error> {
        let (settings, window) = (settings(context)?, self.source.window("1d"));
        let limit = self.limit.unwrap_or(settings.latency_limit).duration();
        let arguments = (&self.source, &self.hosts, &self.watch);
        judge(
            context,
            delays::CHECK,
            arguments,
            |file| delays::look_file(file, window, limit),
            |host| delays::look_host(host, &settings.unit, window, limit),
        )
    }
}

impl UptimeArgs {
    fn run(self, context: &Context) -> Result<Status, Error> {
        let (settings, window) = (settings(context)?, self.source.window("7d"));
        let target = uptime::target(self.target.as_deref().unwrap_or(&settings.uptime_target))?;
        let arguments = (&self.source, &self.hosts, &self.watch);
        judge(
            context,
            uptime::CHECK,
            arguments,
            |file| uptime::look_file(file, window, target),
            |host| uptime::look_host(host, &settings.unit, window, target),
        )
    }
}

impl PortalsArgs {
    fn run(self, context: &Context) -> Result<Status, Error> {
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

impl LoginsArgs {
    fn run(self, context: &Context) -> Result<Status, Error> {
        let settings = settings(context)?;
        hosts::ask(context, &self.hosts, |host| {
            Ok::<_, Error>(database::ask(host, &settings)?.logins)
        })
    }
}

impl DoctorArgs {
    fn run(self, context: &Context) -> Result<Status, Error> {
        let settings = settings(context)?;
        let tokens = self.tokens.as_deref().map(Tokens::read).transpose()?;
        watch::judge(context, doctor::CHECK, &self.hosts, &self.watch, |host| {
            doctor::look(host, &settings, tokens.as_ref())
        })
    }
}

impl PingArgs {
    fn run(self, context: &Context) -> Result<Status, Error> {
        let settings = settings(context)?;
        if self.hosts.names.is_empty() {
            return Err(Error::Hosts(hosts::Error::Unnamed));
        }
        let tokens = tokens(context, self.tokens, &settings)?;
        let limit = self.limit.unwrap_or(settings.latency_limit).duration();
        let limits = ping::Limits {
            limit,
            patience: self.patience.duration(),
        };
        watch::judge(context, ping::CHECK, &self.hosts, &self.watch, |host| {
            ping::look(host, &settings, &tokens, limits)
        })
    }
}

impl LoginArgs {
    fn run(self, context: &Context) -> Result<Status, Error> {
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

/// The tokens of the file that was named, else of the one in ops.yaml.
fn tokens(context: &Context, named: Option<PathBuf>, settings: &Settings) -> Result<Tokens, Error> {
    let path = match (named, &settings.tokens) {
        (Some(path), _) => path,
        (None, Some(path)) => context.config()?.resolve(path),
        (None, None) => return Err(Error::NoTokens),
    };
    Tokens::read(&path)
}

impl ExplainArgs {
    fn run(self, context: &Context) -> Result<Status, Error> {
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
