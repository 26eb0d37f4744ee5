//! What the states of a login mean, and the codes that come with them.

/// What is known of a state or of its code: meaning and remedy.
pub(crate) fn find(code: &str) -> Option<(&'static str, &'static str)> {
    let known = STATES.iter().find(|(known, ..)| *known == code);
    known.map(|(_, meaning, remedy)| (*meaning, *remedy))
}

const LOGIN: &str = "ops-bridge login --tokens FILE --host HOST";
const SOCKET: &str = "ops-bridge socket";

#[rustfmt::skip]
static STATES: &[(&str, &str, &str)] = &[
    ("STARTING", "the bridge starts", ""),
    ("RUNNING", "the bridge runs; each login has a state of its own", ""),
    ("UNCONFIGURED", "nobody is logged in to Slack", LOGIN),
    ("BRIDGE_UNREACHABLE", "the bridge itself could not be asked", "ops-bridge status"),
    ("CONNECTING", "a socket to Slack is being opened", ""),
    ("BACKFILLING", "older messages are being fetched", ""),
    ("CONNECTED", "the socket was dialled; whether events come only traffic proves", "ops-bridge ping --tokens FILE --host HOST"),
    ("TRANSIENT_DISCONNECT", "no socket for now; the bridge tries again by itself", SOCKET),
    ("BAD_CREDENTIALS", "Slack does not accept the login: only a new one helps", LOGIN),
    ("UNKNOWN_ERROR", "the login failed; it is tried again, once, only where bridge.unknown_error_auto_reconnect is set", "systemctl restart the unit; ops-bridge socket"),
    ("LOGGED_OUT", "the user logged out", LOGIN),
    ("slack-socketmode-connection-error", "the socket could not be opened; each attempt waits twice as long as the one before, without end", SOCKET),
    ("slack-socketmode-error", "Slack refused to open a socket; it is asked again every 10 s, and sending goes on working", "ops-bridge doctor --tokens FILE"),
    ("slack-unknown-fetch-error", "the login failed at start: Slack could not be asked for the team or the user", "systemctl restart the unit, and set bridge.unknown_error_auto_reconnect: 1m"),
    ("slack-unknown-connect-error", "the login failed at start", "systemctl restart the unit, and set bridge.unknown_error_auto_reconnect: 1m"),
    ("slack-invalid-auth", "Slack does not accept the bot's token; the bridge has removed it", LOGIN),
    ("slack-user-removed-from-team", "the bot was removed from the workspace; the bridge has removed its token", "reinstall the app and log in again"),
    ("slack-not-logged-in", "the login has no token any more", LOGIN),
    ("slack-rtm-disconnected", "the connection of a user's token (xoxc-) was closed; it is dialled again", SOCKET),
    ("slack-rtm-fatal-error", "the connection of a user's token (xoxc-) failed for good", "systemctl restart the unit"),
    ("bridgev2-network-reset-fail", "the connection to Slack could not be reset", "systemctl restart the unit"),
];
