//! Whether messages flow between Slack and Matrix.

pub mod cli;
pub mod error;
mod connection;
mod event;
mod exit_code;
mod json;
mod known;
mod latency;
mod line;
mod mask;
mod pretty;
mod problems;
mod reader;
mod verdict;
