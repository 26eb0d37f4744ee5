//! The verbs that judge: they print check records, and end with 0, 1 or 3.

use std::path::PathBuf;

use clap::Args;
use ops_common::exit::Status;
use ops_common::hosts::{self, HostArgs};
use ops_common::span::Span;
use ops_common::tool::Context;
use ops_common::watch::{self, WatchArgs};

use super::lines::JudgedLines;
use super::{settings, tokens};
use crate::error::Error;
use crate::health::Limits;
use crate::source::{File, Window};
use crate::tokens::Tokens;
use crate::{delays, doctor, health, ping, socket, status, uptime};

/// Tell whether messages can flow now, from all sources
///
/// One exec asks for the unit, the journal, the database, the configuration and the sockets; one forwarded connection asks the
/// bridge itself. A source that fails is named in data.sources, and the answer is then unknown, never yes.
///
/// Checks: bridge.unit (value: seconds since its start), bridge.connection_status (one for each login; value: seconds
/// connected), bridge.to_homeserver (where it is an address of the host), bridge.last_successful_message (one for each direction;
/// value: age), bridge.error_count (the last hour), bridge.log_level.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-bridge status
  ops-bridge status --host ops-jrz1 --wait 2m
  ops-bridge status --every 1m --json >> status.jsonl
  ops-bridge status --json | jq 'select(.check == \"bridge.connection_status\").data.sources'")]
pub(super) struct StatusArgs {
    #[command(flatten)]
    hosts: HostArgs,
    #[command(flatten)]
    watch: WatchArgs,
}

impl StatusArgs {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let settings = settings(context)?;
        watch::judge(context, status::CHECK, &self.hosts, &self.watch, |host| {
            status::look(host, &settings)
        })
    }
}

/// Show the history of the connection to Slack, and what it amounts to
///
/// Connected since when; refreshes, which are healthy, told from losses; the last disconnect and why; when the next attempt
/// comes. data.verdict names what it is: connected, connected-silent, flapping, never-pinged, disconnected, backoff,
/// app-token-refused, socket-refused, no-hello, half-open, no-socket, start-failed, needs-login, nobody-logged-in, stopped,
/// database-away, homeserver-away, bot-token-refused, sending-refused, back-pressure, hidden.
///
/// Check: bridge.socket, one for each login; value: seconds connected without a loss.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-bridge socket
  ops-bridge socket --since 1d --json | jq .data.episodes
  ssh ops-jrz1 journalctl -o json --all -u mautrix-slack | ops-bridge socket -")]
pub(super) struct SocketArgs {
    #[command(flatten)]
    lines: JudgedLines,
}

impl SocketArgs {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let (settings, window) = (settings(context)?, self.lines.source.window("7d"));
        self.lines.judge(
            context,
            socket::CHECK,
            |name| {
                socket::look_file(
                    File {
                        name,
                        unit: &settings.unit,
                    },
                    window,
                )
            },
            |host| socket::look_host(host, &settings, window),
        )
    }
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
pub(super) struct HealthArgs {
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
    lines: JudgedLines,
}

impl HealthArgs {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
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
            since: self.lines.source.since,
            until: self.lines.source.until,
        };
        self.lines.judge(
            context,
            health::CHECK,
            |name| {
                health::look_file(
                    File {
                        name,
                        unit: &settings.unit,
                    },
                    window,
                    &limits,
                )
            },
            |host| health::look_host(host, &settings, &limits),
        )
    }
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
pub(super) struct LatencyArgs {
    /// Fail if a quantile is longer [default: bridge.latency_limit of ops.yaml, else 5s]
    #[arg(long, value_name = "TIME")]
    limit: Option<Span>,

    #[command(flatten)]
    lines: JudgedLines,
}

impl LatencyArgs {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let (settings, window) = (settings(context)?, self.lines.source.window("1d"));
        let limit = self.limit.unwrap_or(settings.latency_limit).duration();
        self.lines.judge(
            context,
            delays::CHECK,
            |name| {
                delays::look_file(
                    File {
                        name,
                        unit: &settings.unit,
                    },
                    window,
                    limit,
                )
            },
            |host| delays::look_host(host, &settings.unit, window, limit),
        )
    }
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
pub(super) struct UptimeArgs {
    /// Fail below this share [default: bridge.uptime_target of ops.yaml, else 99%]
    #[arg(long, value_name = "SHARE")]
    target: Option<String>,

    #[command(flatten)]
    lines: JudgedLines,
}

impl UptimeArgs {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let (settings, window) = (settings(context)?, self.lines.source.window("7d"));
        let target = uptime::target(self.target.as_deref().unwrap_or(&settings.uptime_target))?;
        self.lines.judge(
            context,
            uptime::CHECK,
            |name| {
                uptime::look_file(
                    File {
                        name,
                        unit: &settings.unit,
                    },
                    window,
                    target,
                )
            },
            |host| uptime::look_host(host, &settings.unit, window, target),
        )
    }
}

/// Examine the set-up, and say what to change
///
/// Checks: bridge.config, bridge.provisioning, bridge.auto_reconnect, bridge.log_level, bridge.schema, bridge.registration (the
/// bridge's, and what a Synapse on the host was given of it, against the configuration), bridge.permissions (who may read
/// configuration and registration), bridge.listener (127.0.0.1 and ::1), bridge.to_homeserver, bridge.from_homeserver (value: the
/// round trip), bridge.file_events, and with --tokens bridge.token and bridge.scopes (what the Slack app may do, against what the
/// bridge does with it).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ops-bridge doctor
  ops-bridge doctor --tokens secrets/slack.yaml
  ops-bridge doctor --json | jq -r 'select(.status != \"ok\") | [.check, .message, .fix] | @tsv'")]
pub(super) struct DoctorArgs {
    /// Ask Slack, from the host, whether it accepts bot_token and app_token of this sops file
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,

    #[command(flatten)]
    hosts: HostArgs,
    #[command(flatten)]
    watch: WatchArgs,
}

impl DoctorArgs {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let settings = settings(context)?;
        let tokens = self.tokens.as_deref().map(Tokens::read).transpose()?;
        watch::judge(context, doctor::CHECK, &self.hosts, &self.watch, |host| {
            doctor::look(host, &settings, tokens.as_ref())
        })
    }
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
pub(super) struct PingArgs {
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

impl PingArgs {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
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
