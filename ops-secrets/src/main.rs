//! The `ops-secrets` program.

fn main() {}
