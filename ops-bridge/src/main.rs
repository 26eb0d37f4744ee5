//! The `ops-bridge` program.

fn main() -> std::process::ExitCode {
    ops_common::tool::main::<ops_bridge::cli::Cli>()
}
