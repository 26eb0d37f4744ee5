//! The transport of `ops-common` against real sshds: what it costs, when it says that something has succeeded, whom it
//! trusts, which of ssh's settings it follows.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot set its scene says so by a panic, and its files are its own"
)]

mod as_ssh;
mod budget;
mod external;
mod fanout;
mod host_keys;
mod local;
mod quoting;
mod settings;
mod signals;
mod success;
mod sudo;

use std::time::Duration;

use ops_common::host::{Host, Options};
use ops_tests::Lab;

/// The lab, or none, which has then been said.
fn lab() -> Option<Lab> {
    let lab = Lab::get();
    if lab.is_none() {
        ops_tests::skip("lab");
    }
    lab
}

/// Limits that no test comes near unless something hangs, however loaded the machine is.
fn options() -> Options {
    Options {
        connect_timeout: Duration::from_mins(1),
        timeout: Some(Duration::from_mins(2)),
        ..Options::default()
    }
}

#[track_caller]
fn connect(name: &str) -> Host {
    Host::connect(name, None, &options()).unwrap_or_else(|error| panic!("{error}"))
}
