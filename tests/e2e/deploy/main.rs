//! Deployments on real hosts: systemd, sshd and Nix are what they are; only the systems are small.
//!
//! `matrix.rs` is the fault matrix: one row a fault. `OPS_TEST_LONG=1` runs all rows, otherwise those marked so are left out.

#![expect(
    clippy::too_many_lines,
    reason = "a scenario is read from its beginning to its end"
)]

mod bed;
mod judge;
mod matrix;
mod way;
