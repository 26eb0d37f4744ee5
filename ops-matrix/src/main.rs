//! The `ops-matrix` program.

fn main() {}
