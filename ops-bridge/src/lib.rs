//! Whether messages flow between Slack and Matrix.

pub mod cli;
pub mod error;
mod connection;
mod event;
mod json;
mod known;
mod line;
mod pretty;
mod reader;
mod verdict;
