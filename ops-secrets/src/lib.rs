//! sops files with age and SSH keys.

pub mod cli;
pub mod error;
