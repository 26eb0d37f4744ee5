//! The `ops-secrets` program, and `sops` when it is called by that name.

fn main() -> std::process::ExitCode {
    ops_secrets::main()
}
