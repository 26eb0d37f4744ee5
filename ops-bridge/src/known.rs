//! The lines that the bridge is known to write: what each means for the messages, and what to do about it.
//!
//! Strings as mautrix-slack v0.2605.0 to v0.2608.0 write them. A text that ends in `…` is matched up to there.

use std::fmt;

/// Which way a message was going.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Direction {
    /// From Slack to Matrix.
    ToMatrix,
    /// From Matrix to Slack.
    ToSlack,
}

impl Direction {
    /// Both, in the order of every output.
    pub(crate) const BOTH: [Self; 2] = [Self::ToMatrix, Self::ToSlack];
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ToMatrix => "slack->matrix",
            Self::ToSlack => "matrix->slack",
        })
    }
}

/// What was being bridged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Operation {
    Message,
    Edit,
    Reaction,
    Deletion,
    File,
}

impl Operation {
    /// All, in the order of every output.
    pub(crate) const ALL: [Self; 5] = [
        Self::Message,
        Self::Edit,
        Self::Reaction,
        Self::Deletion,
        Self::File,
    ];
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Message => "message",
            Self::Edit => "edit",
            Self::Reaction => "reaction",
            Self::Deletion => "deletion",
            Self::File => "file",
        })
    }
}

/// What a line counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Part of normal work.
    Normal,
    /// Written at warning or error by a healthy bridge.
    Healthy,
    /// Tells of a failure that another line tells too.
    Twin,
    /// Something was not bridged.
    Lost(Direction, Operation),
    /// An error that loses nothing by itself.
    Trouble,
}

/// A line and what is known of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) text: &'static str,
    pub(crate) class: Class,
    pub(crate) meaning: &'static str,
    pub(crate) remedy: &'static str,
}

/// What is known of a message.
pub(crate) fn find(message: &str) -> Option<&'static Known> {
    LINES
        .iter()
        .find(|known| match known.text.strip_suffix('…') {
            Some(start) => message.starts_with(start),
            None => message == known.text,
        })
}

/// What is known of a text that no logger wrote: what goes wrong before there is one, and what the runtime of Go says.
pub(crate) fn find_plain(text: &str) -> Option<&'static Known> {
    PLAIN
        .iter()
        .find(|known| text.starts_with(known.text.trim_end_matches('…')))
}

const fn line(
    text: &'static str,
    class: Class,
    meaning: &'static str,
    remedy: &'static str,
) -> Known {
    Known {
        text,
        class,
        meaning,
        remedy,
    }
}

use Class::{Healthy, Lost, Normal, Trouble, Twin};
use Direction::{ToMatrix, ToSlack};
use Operation::{Deletion, Edit, File, Message, Reaction};

const DATABASE: &str = "look at the database: ops-db status";
const HOMESERVER: &str = "look at the homeserver: ops-matrix status";
const RESEND: &str = "it is not retried: send it again";

#[rustfmt::skip]
static LINES: &[Known] = &[
    // Slack to Matrix.
    line("Sent message part to Matrix", Normal, "a message or file from Slack is in its room", ""),
    line("Ignoring duplicate message", Normal, "the echo of the bridge's own message, or Slack delivered twice", ""),
    line("Handling remote event", Normal, "an event from Slack is being worked on", ""),
    line("Failed to send message part to Matrix", Lost(ToMatrix, Message), "the homeserver or the database did not take a message from Slack; it is lost", "look at the homeserver and the database, and post it again in Slack"),
    line("Failed to convert remote message", Lost(ToMatrix, Message), "a message from Slack could not be turned into a Matrix event; it is lost", "report it to the authors of the bridge"),
    line("Failed to edit message part", Lost(ToMatrix, Edit), "an edit made in Slack did not reach Matrix", HOMESERVER),
    line("Failed to redact message part", Lost(ToMatrix, Deletion), "a deletion made in Slack did not reach Matrix", HOMESERVER),
    line("Failed to send reaction to Matrix", Lost(ToMatrix, Reaction), "a reaction made in Slack did not reach Matrix", HOMESERVER),
    line("Target message for reaction not found", Lost(ToMatrix, Reaction), "a reaction to a message that was never bridged", ""),
    line("Edit target message not found", Lost(ToMatrix, Edit), "an edit of a message that was never bridged", ""),
    line("Failed to create portal to handle event", Lost(ToMatrix, Message), "no room could be made for a channel; its message is lost", HOMESERVER),
    line("Failed to get portal to handle remote event", Lost(ToMatrix, Message), "the database did not tell the room of a channel; its message is lost", DATABASE),
    line("Failed to wrap Slack event", Lost(ToMatrix, Message), "an event from Slack could not be understood; it is lost, though Slack was told it arrived", "channel_not_found: invite the bot to the channel"),
    line("Failed to convert remote edit", Lost(ToMatrix, Edit), "an edit made in Slack could not be turned into a Matrix event", "report it to the authors of the bridge"),
    line("Failed to get edit target message", Lost(ToMatrix, Edit), "the database was away while an edit made in Slack was handled", DATABASE),
    line("Failed to get target message for reaction", Lost(ToMatrix, Reaction), "the database was away while a reaction made in Slack was handled", DATABASE),
    line("Failed to check if reaction is a duplicate", Lost(ToMatrix, Reaction), "the database was away while a reaction was handled", DATABASE),
    line("Failed to get target reaction for removal", Lost(ToMatrix, Reaction), "the database was away while the removal of a reaction was handled", DATABASE),
    line("Failed to redact reaction", Lost(ToMatrix, Reaction), "the removal of a reaction made in Slack did not reach Matrix", HOMESERVER),
    line("Failed to get target message for removal", Lost(ToMatrix, Deletion), "the database was away while a deletion made in Slack was handled", DATABASE),
    line("Proxy rejected too large file", Lost(ToMatrix, File), "a file from Slack is larger than the proxy before the homeserver allows", "raise client_max_body_size of nginx"),
    line("Failed to save message part to database", Trouble, "a message from Slack was sent, but later edits and reactions will not find it", DATABASE),
    line("Failed to check if message is a duplicate", Twin, "the database was away while a message from Slack was handled", DATABASE),
    line("Failed to download file from Slack", Lost(ToMatrix, File), "a file from Slack was replaced by a notice in the room", "check the scope files:read of the app"),
    line("Failed to upload file to Matrix", Lost(ToMatrix, File), "the homeserver did not take a file from Slack", HOMESERVER),
    line("Homeserver rejected too large file", Lost(ToMatrix, File), "a file from Slack is larger than the homeserver allows", "raise max_upload_size of the homeserver and client_max_body_size of nginx"),
    line("Failed to convert voice message", Lost(ToMatrix, File), "a voice message from Slack was not bridged", "is ffmpeg installed?"),
    line("Failed to fetch slack connect file info", Lost(ToMatrix, File), "a file shared from another workspace was not bridged", "check the scope files:read of the app"),
    line("No usable URL found in file object", Lost(ToMatrix, File), "a file from Slack without a usable address was not bridged", ""),
    line("Received HTML file from Slack, retrying in 5 seconds", Trouble, "Slack answered a download with a web page; if it does so twice the page is bridged in place of the file", "check the scope files:read of the app"),
    line("Portal event channel is …", Trouble, "a room's queue is full: events wait, and Slack is not told that they arrived", "look for what holds the room: ops-bridge log --level warn"),
    line("Event handling is taking long", Trouble, "an event has been worked on for 30 s: the homeserver or Slack does not answer", HOMESERVER),
    line("Event handling is taking too long, continuing in background", Trouble, "an event was given up on after 5 minutes", HOMESERVER),
    line("Event handling panicked", Lost(ToMatrix, Message), "a bug in the bridge; what it was handling is lost", "report it to the authors of the bridge"),
    line("Failed to get info to update ghost", Healthy, "the name of a Slack user could not be read; the message is bridged all the same", ""),
    // Matrix to Slack.
    line("Sending message to Slack", Normal, "a message or edit is being sent to Slack", ""),
    line("Received remote echo for message", Normal, "Slack confirmed a file", ""),
    line("Failed to handle Matrix message", Lost(ToSlack, Message), "Slack refused a message, or could not be reached; the sender was not told", RESEND),
    line("Failed to upload attachment to Slack", Lost(ToSlack, File), "a file did not reach Slack; the sender was not told", RESEND),
    line("Failed to share attachment to Slack", Lost(ToSlack, File), "a file did not reach Slack; the sender was not told", RESEND),
    line("Failed to get file upload URL", Lost(ToSlack, File), "a file did not reach Slack; the sender was not told", RESEND),
    line("Failed to upload file", Lost(ToSlack, File), "a file did not reach Slack; the sender was not told", RESEND),
    line("Failed to complete file upload", Lost(ToSlack, File), "a file did not reach Slack; the sender was not told", RESEND),
    line("Failed to handle Matrix message: all contents are nil?", Lost(ToSlack, Message), "a message was not sent to Slack", "report it to the authors of the bridge"),
    line("Failed to format message for relaying", Lost(ToSlack, Message), "a message could not be put into another's name, and was not sent", "report it to the authors of the bridge"),
    line("Unexpected parsed content type", Lost(ToSlack, Message), "a message that the bridge does not understand was not sent", ""),
    line("Failed to get sender user for incoming Matrix event", Lost(ToSlack, Message), "the database was away; the message is lost", DATABASE),
    line("Failed to get portal for incoming Matrix event", Lost(ToSlack, Message), "the database was away; the message is lost", DATABASE),
    line("Failed to get edit target message from database", Lost(ToSlack, Edit), "the database was away; the edit is lost", DATABASE),
    line("Edit target message not found in database", Lost(ToSlack, Edit), "an edit of a message that was never bridged", ""),
    line("Failed to get reaction target message from database", Lost(ToSlack, Reaction), "the database was away; the reaction is lost", DATABASE),
    line("Reaction target message not found in database", Lost(ToSlack, Reaction), "a reaction to a message that was never bridged", ""),
    line("Failed to get redaction target message from database", Lost(ToSlack, Deletion), "the database was away; the deletion is lost", DATABASE),
    line("Failed to get redaction target reaction from database", Lost(ToSlack, Deletion), "the database was away; the removal of a reaction is lost", DATABASE),
    line("Failed to download Matrix attachment", Lost(ToSlack, File), "a file could not be fetched from the homeserver", HOMESERVER),
    line("Failed to handle Matrix edit", Lost(ToSlack, Edit), "an edit did not reach Slack", RESEND),
    line("Failed to handle Matrix reaction…", Lost(ToSlack, Reaction), "a reaction did not reach Slack", RESEND),
    line("Failed to pre-handle Matrix reaction", Lost(ToSlack, Reaction), "a reaction did not reach Slack: its emoji has no name there", ""),
    line("Failed to handle Matrix redaction", Lost(ToSlack, Deletion), "a deletion did not reach Slack", RESEND),
    line("Failed to get user login to handle Matrix event", Lost(ToSlack, Message), "nobody to send as, or the database was away; the message is lost", "ops-bridge logins"),
    line("Failed to save message to database", Trouble, "a message is in Slack, but later edits and reactions will not find it", DATABASE),
    line("Network connector didn't return a message to save", Trouble, "a message is in Slack, but later edits and reactions will not find it", ""),
    line("Timed out waiting for file_created event from Slack", Trouble, "a file held its room's queue for 5 s; the file itself is shared", "add file_created to the bot events of the Slack app"),
    line("Failed to get membership", Twin, "follows another failure while the database is away", DATABASE),
    line("Failed to send notice event", Twin, "a notice about another failure could not be posted", HOMESERVER),
    line("Not bridging edit: sender doesn't match original message sender", Healthy, "the echo of an edit made in Matrix", ""),
    line("Target reaction not found", Healthy, "the echo of a reaction removed in Matrix", ""),
    line("Failed to handle Matrix membership change", Trouble, "a join or leave could not be bridged", ""),
    // The connection to Slack.
    line("Sent new bridge state", Normal, "the state of the connection changed", ""),
    line("Error in socket mode connection", Trouble, "Slack refuses to open a socket; tried again every 10 s", "invalid_auth: make a new app-level token with connections:write and log in again"),
    line("Unexpected event type in socket mode", Trouble, "an event that the bridge does not know was not acknowledged; Slack will send it again", ""),
    line("Failed to fetch team info", Trouble, "the login failed at start; it is tried again, once, only where bridge.unknown_error_auto_reconnect is set", "systemctl restart the unit once Slack answers, and set bridge.unknown_error_auto_reconnect: 1m"),
    line("Failed to fetch user info", Trouble, "the login failed at start; it is tried again, once, only where bridge.unknown_error_auto_reconnect is set", "systemctl restart the unit once Slack answers, and set bridge.unknown_error_auto_reconnect: 1m"),
    line("Failed to connect", Trouble, "a login could not be set up on the homeserver's side", HOMESERVER),
    line("Failed to fetch conversations for sync", Trouble, "the list of channels could not be read: a scope is missing, or a rate limit", "ops-bridge doctor --tokens FILE"),
    line("Failed to fetch channel info", Trouble, "a channel could not be read: a scope is missing, or the bot is not in it", "invite the bot to the channel"),
    line("Disconnecting and reconnecting login due to unknown error", Normal, "the bridge tries a failed login again", ""),
    line("Got RTM error", Trouble, "the connection of a user's token (xoxc-) failed", "ops-bridge logins"),
    line("Disconnected from Slack", Trouble, "the connection of a user's token (xoxc-) was closed", ""),
    // Start and stop.
    line("Initializing bridge", Normal, "the process starts", ""),
    line("Bridge started", Normal, "the start is finished; says nothing about Slack", ""),
    line("No user logins found", Normal, "nobody is logged in to Slack; the bridge waits", "ops-bridge login --tokens FILE --host HOST"),
    line("Shutting down bridge", Normal, "a clean stop begins", ""),
    line("Shutdown complete", Normal, "a clean stop is finished", ""),
    line("Configuration error", Trouble, "exit 11: the configuration is incomplete or wrong", "ops-bridge explain 11"),
    line("Failed to initialize database connection", Trouble, "exit 14: the database type is unknown", "ops-bridge explain 14"),
    line("Failed to initialize database", Trouble, "exit 15: the database cannot be used", "ops-bridge explain 15"),
    line("Failed to check if database_owner table exists", Twin, "the database cannot be reached; exit 15 follows", DATABASE),
    line("Error in HTTP listener", Trouble, "the port of the appservice is taken; exit 13 follows", "find who listens there: ss -ltnp"),
    line("Failed to connect to homeserver, retrying in 10 seconds...", Trouble, "the homeserver does not answer; the bridge waits for it, without end", HOMESERVER),
    line("The as_token was not accepted.…", Trouble, "exit 16: the homeserver does not know the bridge", "ops-bridge explain 16"),
    line("Homeserver -> appservice connection is not working…", Trouble, "the homeserver cannot reach the bridge; exit 13 after seven tries", "ops-bridge explain 13"),
    // The homeserver and the receivers of states.
    line("Disconnecting and reconnecting login due to unknown error", Normal, "a login that failed is tried again", ""),
    line("Not reconnecting as the maximum number of unknown error reconnects has been reached", Trouble, "a login failed too often: nothing tries again", "systemctl restart the unit"),
    line("Failed to start bridge", Trouble, "exit 1: the bridge could not start", "ops-bridge log --level error"),
    line("Sending delayed transient disconnect notice", Normal, "there has been no socket for 3 minutes; the user is told in the management room", "ops-bridge socket"),
    line("Unrecognized Slack event type", Normal, "an event that the bridge does nothing about", ""),
    line("M_FORBIDDEN in /versions, trying to register before retrying", Normal, "the first start against a homeserver", ""),
    line("Database is up to date", Normal, "the database has the schema that this release wants", ""),
    line("Upgrading database", Normal, "the database gets the schema that this release wants", ""),
    line("Sent new global bridge state", Normal, "the state of the whole bridge changed", ""),
    line("Query took long", Healthy, "a query of the database took more than a second", DATABASE),
    line("Incoming event error", Trouble, "the connection of a user's token (xoxc-) had trouble", "ops-bridge socket"),
    line("Reconnecting due to disconnection requested…", Normal, "Slack asked for a new socket", ""),
    line("Reconnecting due to …", Normal, "the socket ended and is replaced", "ops-bridge socket"),
    line("Failed to dial to the websocket…", Normal, "the socket could not be opened; the next attempt waits twice as long", "ops-bridge socket"),
    line("WebSocket connection succeeded…", Normal, "the socket is open", ""),
    line("Request failed", Twin, "a request to the homeserver failed for good; another line says what was lost", HOMESERVER),
    line("Request failed, retrying", Healthy, "a request to the homeserver failed and will be tried again", HOMESERVER),
    line("Access", Healthy, "somebody called the provisioning API", ""),
    line("Provisioning API request contained invalid auth", Healthy, "somebody called the provisioning API with a wrong secret", ""),
    line("Failed to update bridge state", Healthy, "the receiver of bridge states does not answer", "look at homeserver.status_endpoint"),
    line("Failed to send checkpoint", Healthy, "the receiver of checkpoints does not answer", "look at homeserver.message_send_checkpoint_endpoint"),
    line("Failed to send message checkpoint", Healthy, "the receiver of checkpoints does not answer", "look at homeserver.message_send_checkpoint_endpoint"),
];

#[rustfmt::skip]
static PLAIN: &[Known] = &[
    line("Legacy bridge config detected…", Trouble, "exit 1: the configuration is from before bridgev2", "write a new configuration: mautrix-slack -e, then carry the settings over"),
    line("Unsupported database version…", Trouble, "exit 1: the database is from before bridgev2, and not of the last version there", "run the named release once, then this one"),
    line("Error updating config: failed to create temp file…", Healthy, "the configuration cannot be rewritten; the bridge starts all the same", ""),
    line("Error updating config…", Trouble, "exit 10: the configuration cannot be read", "ops-bridge explain 10"),
    line("Failed to parse config…", Trouble, "exit 10: the configuration cannot be understood", "ops-bridge explain 10"),
    line("Failed to initialize logger…", Trouble, "exit 12: the log cannot be written", "ops-bridge explain 12"),
    line("Unknown flag:…", Trouble, "exit 1: the unit gives the bridge a flag that it does not know", "look at ExecStart of the unit"),
    line("panic: …", Trouble, "exit 2: a bug in the bridge; what it was handling is lost", "report it to the authors of the bridge"),
    line("fatal error: …", Trouble, "exit 2: the runtime of Go gave up: no memory, or a bug in the bridge", "look at the memory of the host; report it to the authors of the bridge"),
];

/// What an error code of Slack means, and what to do. An error of the network is found by what it contains.
pub(crate) fn slack_error(code: &str) -> Option<(&'static str, &'static str)> {
    let exact = CODES.iter().find(|(known, ..)| *known == code);
    let found = exact.or_else(|| CAUSES.iter().find(|(part, ..)| code.contains(part)));
    found.map(|(_, meaning, remedy)| (*meaning, *remedy))
}

const LOGIN: &str = "make a new one and run ops-bridge login --tokens FILE --host HOST";

#[rustfmt::skip]
static CODES: &[(&str, &str, &str)] = &[
    ("not_in_channel", "the bot is not in the channel", "invite it there: /invite @BOT"),
    ("channel_not_found", "the channel is gone, or the bot may not see it", "invite the bot: /invite @BOT"),
    ("is_archived", "the channel is archived", "unarchive it in Slack"),
    ("msg_too_long", "the message is longer than Slack takes", "send it in parts, or as a file"),
    ("invalid_auth", "Slack does not accept the token", LOGIN),
    ("not_authed", "Slack does not accept the token", LOGIN),
    ("token_revoked", "the token was revoked", LOGIN),
    ("token_expired", "the token has expired", LOGIN),
    ("account_inactive", "the bot's account was disabled", "reinstall the app in the workspace"),
    ("user_removed_from_team", "the bot was removed from the workspace", "reinstall the app and log in again"),
    ("missing_scope", "the app lacks a scope", "add it in the app's settings and reinstall the app"),
    ("restricted_action", "the workspace does not allow this to the bot", "ask an administrator of the workspace"),
    ("ratelimited", "Slack limits the rate", "wait"),
    ("too_many_websockets", "more than ten sockets are open for the app", "stop the other bridge that uses this app"),
];

#[rustfmt::skip]
static CAUSES: &[(&str, &str, &str)] = &[
    ("slack rate limit exceeded", "Slack limits the rate", "wait"),
    ("slack server error: 5", "Slack has trouble of its own", "wait; see status.slack.com"),
    ("not logged in", "nobody is logged in to Slack", "ops-bridge login --tokens FILE --host HOST"),
    ("dial unix", "the database did not answer", DATABASE),
    ("connection refused", "the other side was not running", HOMESERVER),
    ("no such host", "a name could not be resolved", "look at the resolver of the host"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_found_as_itself() {
        for known in LINES {
            let found = find(known.text.trim_end_matches('…')).unwrap();
            assert_eq!(found.text, known.text);
        }
        assert!(
            find("Homeserver -> appservice connection is not working, retrying in 5 seconds...")
                .is_some()
        );
        assert!(find("No user logins found for backfill task").is_none());
    }
}
