//! Whether the homeserver answers, on every address, and the federation reaches it.

pub mod cli;
pub mod error;
