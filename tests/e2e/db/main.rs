//! `ops-db` against real servers, over ssh and on the host itself.

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

mod backup;
mod catalogue;
mod chance;
mod dice;
mod doors;
mod escapes;
mod faults;
mod foreign;
mod health;
mod hooks;
mod interrupted;
mod list;
mod memory;
mod names;
mod nature;
mod obstacles;
mod query;
mod reach;
mod replication;
mod rot;
mod scene;
mod stream_faults;
mod streams;
mod unusual;
