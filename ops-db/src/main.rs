//! The `ops-db` program.

fn main() {}
