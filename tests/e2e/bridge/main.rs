//! `ops-bridge` against the real mautrix-slack and a stand-in for Slack.

#[path = "../../slack/mod.rs"]
mod slack;

mod bed;
mod failures;
mod flow;
mod nobody;
mod probing;
mod recorded;
