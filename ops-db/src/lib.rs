//! PostgreSQL on a host: look, back up, prove the backup, restore.

pub mod cli;
pub mod error;
