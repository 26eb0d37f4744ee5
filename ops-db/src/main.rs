//! The `ops-db` program.

fn main() -> std::process::ExitCode {
    ops_common::tool::main::<ops_db::cli::Cli>()
}
