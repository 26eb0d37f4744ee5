//! The `ops-matrix` program.

fn main() -> std::process::ExitCode {
    ops_common::tool::main::<ops_matrix::cli::Cli>()
}
