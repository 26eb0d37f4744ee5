//! The `ops-bridge` program.

fn main() {}
