//! `socket`: the history of the connection, and what it amounts to.

use jiff::Timestamp;
use ops_common::check::{Check, State};
use ops_common::host::Host;
use serde_json::{Value, json};

use crate::connection::{Connection, between};
use crate::error::Error;
use crate::half_open;
use crate::history::{self, History, Run};
use crate::probe;
use crate::settings::Settings;
use crate::source::{self, File, Window};
use crate::verdict::{self, Verdict};

/// The name of the check.
pub(crate) const CHECK: &str = "bridge.socket";

/// The lines that the history is made of; the rest stays on the host.
const PATTERN: &str = "bridge state|socket mode|Initializing bridge|Bridge started|No user logins found|Shutting down bridge|Shutdown complete|\
    reconnecting login|Not reconnecting|uplicate |Sent message part|Sent reaction|Sending message to Slack|Received remote echo|process exited|\
    ^(Started|Starting|Stopping|Stopped) |Scheduled restart|Deactivated|Configuration error|Failed to |Request failed|\
    Starting handling of transaction|taking long|took long|took too long|queue will block|still full|\
    Reconnecting due to|WebSocket connection succeeded|Received WebSocket message.{0,300}hello";

/// Looks at the journal of a host, and at the kernel's table of sockets.
pub(crate) fn look_host(
    host: &Host,
    settings: &Settings,
    window: Window,
) -> Result<Vec<Check>, Error> {
    let mut history = History::default();
    let mut arguments = source::journalctl(&settings.unit, window);
    arguments.push(format!("--grep={PATTERN}"));
    arguments.push("--case-sensitive=yes".to_owned());
    let now = source::read_host(host, &settings.unit, &arguments, |line| {
        history::observe(&mut history, line);
    })?;
    let answer = probe::ask(host, settings, "configuration sockets")?;
    let dead = match (&answer.sockets, &answer.configuration) {
        (Ok(sockets), Ok(configuration)) => half_open::judge(sockets, configuration),
        _ => None,
    };
    let checks = judge(&history, now);
    Ok(match dead {
        Some(dead) => checks
            .into_iter()
            .map(|check| refute(check, &dead))
            .collect(),
        None => checks,
    })
}

/// What the log believes to be connected, and the kernel knows to be dead.
fn refute(mut check: Check, dead: &Verdict) -> Check {
    if check.status > State::Warn || check.data["state"] != "CONNECTED" {
        return check;
    }
    check.status = dead.status;
    check.message.clone_from(&dead.message);
    check.data["verdict"] = json!(dead.code);
    verdict::advise(check.identity(dead.code), dead.fix)
}

/// Looks at a file or stdin; now is the time of its last line.
pub(crate) fn look_file(file: File<'_>, window: Window) -> Result<Vec<Check>, Error> {
    let mut history = History::default();
    source::read_file(file, window, |line| history::observe(&mut history, line))?;
    let now = history.last_at.unwrap_or_else(Timestamp::now);
    Ok(judge(&history, now))
}

/// The check of each login, or the one that stands for none.
pub(crate) fn judge(history: &History, now: Timestamp) -> Vec<Check> {
    if history.logins.is_empty() {
        return vec![without_login(CHECK, history, now).at(now)];
    }
    history
        .logins
        .iter()
        .map(|(login, connection)| of_login(CHECK, login, history, connection, now))
        .collect()
}

/// The check of one login.
pub(crate) fn of_login(
    name: &str,
    login: &str,
    history: &History,
    connection: &Connection,
    now: Timestamp,
) -> Check {
    let verdict = verdict::of(history, connection, now);
    let connected = connection
        .connected_since
        .map(|since| between(since, now).as_secs_f64());
    let check = check(name, login, &verdict)
        .at(now)
        .data(facts(connection, &verdict));
    match connected {
        Some(seconds) => check.value(seconds, "s"),
        None => check,
    }
}

/// A verdict as a check.
pub(crate) fn check(name: &str, subject: &str, verdict: &Verdict) -> Check {
    let check =
        Check::new(verdict.status, name, subject, verdict.message.clone()).identity(verdict.code);
    verdict::advise(check, verdict.fix).data(json!({"verdict": verdict.code}))
}

fn facts(connection: &Connection, verdict: &Verdict) -> Value {
    let last = connection.episodes.back();
    json!({
        "verdict": verdict.code,
        "state": connection.state,
        "error": connection.error,
        "since": connection.since,
        "connected_since": connection.connected_since,
        "refreshes": connection.refreshes,
        "losses": connection.losses,
        "starts": connection.starts,
        "attempts": connection.gap.as_ref().map(|gap| gap.attempts),
        "next_attempt_at": connection.next_attempt(),
        "last_disconnect": connection.gap.as_ref().map_or_else(
            || json!(last),
            |gap| json!({"at": gap.since, "reason": gap.reason, "attempts": gap.attempts}),
        ),
        "episodes": connection.episodes,
    })
}

/// What can be said where no state of any login was seen.
pub(crate) fn without_login(name: &str, history: &History, now: Timestamp) -> Check {
    let run = &history.run;
    let verdict = match run.is_running {
        Some(false) => stopped(run),
        _ if run.has_no_logins => verdict::nobody(),
        _ if run.login_failed => verdict::start_failed(history, "", "see the log"),
        _ => verdict::neighbours(history, now)
            .filter(|verdict| verdict.status == State::Fail)
            .unwrap_or_else(verdict::hidden),
    };
    check(name, "", &verdict).data(
        json!({"verdict": verdict.code, "started_at": run.started_at, "version": run.version}),
    )
}

fn stopped(run: &Run) -> Verdict {
    let why = run.exit.map_or_else(String::new, |code| {
        format!(": {}", crate::exit_code::words(code))
    });
    let words = if run.last_words.is_empty() {
        String::new()
    } else {
        format!(" ({})", crate::mask::secrets(&run.last_words))
    };
    Verdict {
        code: "stopped",
        status: State::Fail,
        message: format!("the bridge is stopped{why}{words}"),
        fix: "ops-bridge errors",
    }
}
