//! `ops-bridge` against the real mautrix-slack and a stand-in for Slack.
//!
//! Each way in which messages are lost or late while the unit is active, and where it is produced:
//!
//! | what happens | verdict of `status` and `socket` | file |
//! |---|---|---|
//! | the app token is revoked | `app-token-refused` | `failures.rs` |
//! | Slack opens no socket for another reason | `socket-refused` | `refusals.rs` |
//! | Slack cannot be dialled | `disconnected`, after some 100 s `backoff` | `failures.rs`, `refusals.rs` |
//! | Slack asks for a new socket, or it is cut and replaced at once | `connected`: a refresh | `failures.rs` |
//! | the start fails for good | `start-failed` | `failures.rs` |
//! | the start fails and is tried again | `start-failed-retrying`, and `connected` after a minute | `refusals.rs` |
//! | connected, and nothing comes | `connected-silent`; at trace `no-hello` | `failures.rs`, `trace.rs` |
//! | the line is dead and open | `half-open` | `failures.rs` |
//! | pings do not arrive | `never-pinged` | `trace.rs` |
//! | the bot's token is revoked | `bot-token-refused`, at the next start `needs-login` | `refusals.rs`, `failures.rs` |
//! | Slack refuses one message | `sending-refused`, and counted | `refusals.rs`, `losses.rs` |
//! | an event holds its room | `back-pressure` | `refusals.rs` |
//! | the database is away | `database-away`, and counted | `failures.rs`, `neighbours.rs` |
//! | the homeserver is away | `homeserver-away`, and counted | `neighbours.rs` |
//! | the log level hides the states | `status` asks the process | `failures.rs` |
//! | nobody is logged in | `nobody-logged-in` | `nobody.rs` |
//! | the unit is stopped, or ends by itself | `stopped`; the exit code in words | `failures.rs`, `refusals.rs` |

#![expect(
    clippy::too_many_lines,
    reason = "a scenario is read from its beginning to its end"
)]

#[path = "../../slack/mod.rs"]
mod slack;

mod bed;
mod doctor;
mod failures;
mod flow;
mod following;
mod legacy;
mod losses;
mod memory;
mod month;
mod neighbours;
mod nobody;
mod probing;
mod pushes;
mod recorded;
mod refusals;
mod trace;
