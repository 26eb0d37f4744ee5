//! The `ops-deploy` program.

fn main() -> std::process::ExitCode {
    ops_common::tool::main::<ops_deploy::cli::Cli>()
}
