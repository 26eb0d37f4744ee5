//! What the ops tools do the same way: parse, run, report, print, reach a host.
//!
//! The library knows no domain noun. A thing moves in when a second tool needs it.

pub mod atomic;
pub mod check;
pub mod config;
pub mod environment;
pub mod exit;
pub mod host;
pub mod hosts;
pub mod input;
pub mod interrupt;
pub mod output;
pub mod program;
pub mod report;
pub mod span;
mod streams;
pub mod tool;
pub mod watch;
