//! `ops-bridge` against the real mautrix-slack and a stand-in for Slack.

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
mod month;
mod neighbours;
mod nobody;
mod probing;
mod pushes;
mod recorded;
mod trace;
