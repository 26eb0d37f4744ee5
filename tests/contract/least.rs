//! The least that a program with a command line can be: what `make bench` measures the start of the tools against.

use clap::Parser;

/// Does nothing
#[derive(Parser)]
#[command(version)]
struct Cli {}

fn main() {
    Cli::parse();
}
