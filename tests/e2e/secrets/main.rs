//! ops-secrets beside the real sops: what one writes, the other reads; and what neither must do.
//!
//! The tests need no machine of the lab. Those that compare with sops take the one that the lab has built.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::too_many_lines,
    clippy::format_collect,
    reason = "tests write plain files, say what they covered, and read as one story each"
)]

mod activation;
mod aliases;
mod asked;
mod bed;
mod crash;
mod documents;
mod exec;
mod foreign;
mod golden;
mod hostile;
mod hosts;
mod install;
mod interop;
mod keys;
mod leaks;
mod link;
mod memory;
mod places;
mod plugins;
mod shapes;
mod statuses;
mod suites;
mod tamper;
mod tree;
mod verbs;
