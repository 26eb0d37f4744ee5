//! ops-secrets beside the real sops: what one writes, the other reads; and what neither must do.
//!
//! The tests need no machine of the lab. Those that compare with sops take it from `OPS_SOPS`, else from `target/tools`.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::too_many_lines,
    clippy::format_collect,
    reason = "tests write plain files, say what they covered, and read as one story each"
)]

mod bed;
mod documents;
mod exec;
mod golden;
mod hostile;
mod install;
mod interop;
mod keys;
mod link;
mod shapes;
mod tamper;
mod tree;
mod verbs;
