//! Whether messages flow between Slack and Matrix.

pub mod cli;
pub mod error;
