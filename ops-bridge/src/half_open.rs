//! What the kernel says against a state of CONNECTED: the one witness of a line that is dead and open.

use std::time::Duration;

use ops_common::check::State;

use crate::configuration::Configuration;
use crate::socket_table::Socket;
use crate::verdict::{Verdict, words};

/// Slack pings every few seconds; the bridge itself gives up after 30 to 60.
const SILENT: Duration = Duration::from_secs(20);

/// Where PostgreSQL listens, if it is asked over the network.
const POSTGRESQL: u16 = 5432;

/// Judges the connections of the bridge's process, which believes to be connected.
pub(crate) fn judge(sockets: &[Socket], configuration: &Configuration) -> Option<Verdict> {
    let homeserver = configuration.homeserver_port();
    let to_slack: Vec<_> = sockets
        .iter()
        .filter(|socket| {
            socket.local_port != configuration.appservice.port
                && Some(socket.peer_port) != homeserver
                && socket.peer_port != POSTGRESQL
        })
        .collect();
    let fail = |code, message: String| {
        Some(Verdict {
            code,
            status: State::Fail,
            message,
            fix: "restart the unit",
        })
    };
    if to_slack.is_empty() {
        return fail(
            "no-socket",
            "the bridge believes to be connected, but has no connection to Slack".to_owned(),
        );
    }
    let silent = to_slack.iter().filter_map(|socket| socket.silent).min()?;
    if silent < SILENT {
        return None;
    }
    fail(
        "half-open",
        format!(
            "connected, but nothing came from Slack for {}, not even a ping",
            words(silent)
        ),
    )
}
