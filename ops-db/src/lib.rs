//! PostgreSQL on a host: look, back up, prove the backup, restore.
//!
//! It reads: the catalogues and tables of the server, backups and their manifests. It writes: backups, manifests, and with
//! `restore` and `query --write` databases. On a host it leaves nothing behind.

pub mod archive;
pub mod backup;
pub mod catalogue;
pub mod cli;
pub mod copied;
pub mod count;
pub mod draft;
pub mod drill;
pub mod dump;
pub mod error;
pub mod grid;
pub mod groups;
pub mod health;
pub mod hex;
pub mod hooks;
pub mod keys;
pub mod list;
pub mod manifest;
pub mod mark;
pub mod origin;
pub mod parameters;
pub mod parts;
pub mod plain;
pub mod prune;
pub mod query;
pub mod reach;
pub mod restore;
pub mod retention;
pub mod seal;
pub mod server;
pub mod settings;
pub mod source;
pub mod sql;
pub mod table;
pub mod tables;
pub mod tee;
pub mod verify;
