//! Deployments on real hosts: systemd, sshd and Nix are what they are; only the systems are small.
//!
//! The fault matrix is in `rows.rs` and `matrix.rs` (what the new system does), `killed.rs` (our process dies), `cut.rs` (network and power),
//! `race.rs` (others at the same time) and `sweep.rs` (faults at random moments). `OPS_TEST_LONG=1` runs all rows, otherwise
//! those marked so are left out.

#![expect(
    clippy::too_many_lines,
    reason = "a scenario is read from its beginning to its end"
)]

mod ahead;
mod bed;
mod cut;
mod judge;
mod killed;
mod matrix;
mod odd;
mod race;
mod rows;
mod sweep;
mod trips;
mod way;
