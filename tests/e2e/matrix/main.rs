//! ops-matrix against real homeservers, and against a server that does everything wrong.

#![expect(
    clippy::unwrap_used,
    reason = "a fixture that cannot be made is a test that has failed"
)]
#![expect(
    clippy::too_many_lines,
    reason = "a scenario is read from its beginning to its end"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "what a test writes into its own folder need not survive a failure"
)]

mod certificates;
mod deviations;
mod fake;
mod families;
mod faults;
mod federating;
mod federation;
mod homeserver;
mod names;
mod paths;
mod ping;
mod platform;
mod watching;
mod wire;
