//! `ops-bridge` against the real mautrix-slack and a stand-in for Slack.

#[path = "../../slack/mod.rs"]
mod slack;

mod bed;
mod flow;
mod nobody;
