//! sops files with age and SSH keys: encrypt, decrypt, edit, rotate, hand to a program, install at boot.
//!
//! Reads and writes sops files (YAML, JSON, dotenv, INI, binary) in a way that sops can read and write too; edits their
//! source text, so that formatting stays. Reads `.sops.yaml`, the keys and variables that sops reads, and, for `install`,
//! the manifest of sops-nix. Changes only the files it is told to, in one go each; writes plain text to stdout, to files of
//! mode 0600, or to memory.

#![expect(
    clippy::similar_names,
    reason = "plan and plain, opened and opener: the words of the domain"
)]

pub mod change;
pub mod cipher;
pub mod cli;
pub mod creation;
pub mod crypt;
pub mod decrypt;
pub mod dotenv;
pub mod edit;
pub mod encrypt;
pub mod environment;
pub mod error;
pub mod exec;
pub mod file;
pub mod filestatus;
pub mod format;
#[cfg(test)]
mod fuzz;
pub mod generation;
pub mod ini;
pub mod install;
pub mod json;
pub mod keygen;
pub mod keys;
pub mod lint;
pub mod manifest;
pub mod merge;
pub mod metadata;
pub mod patch;
pub mod path;
pub mod private;
pub mod recipient;
pub mod rotate;
pub mod rules;
pub mod seal;
pub mod set;
pub mod sops_link;
pub mod tree;
pub mod updatekeys;
pub mod verify;
pub mod walk;
pub mod yaml;

use std::process::ExitCode;

/// Runs the program from the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    private::no_core_dumps();
    let mut words = std::env::args_os();
    if sops_link::is_called(words.next().as_ref()) {
        return sops_link::main(&words.collect::<Vec<_>>());
    }
    ops_common::tool::main::<cli::Cli>()
}
