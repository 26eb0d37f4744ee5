//! The `ops-deploy` program.

fn main() {}
