//! Whether the homeserver answers, on every address, and the federation reaches it.

pub mod cache;
pub mod canonical;
pub mod chain;
pub mod cli;
pub mod discovery;
pub mod dns;
pub mod document;
pub mod error;
pub mod family;
pub mod http;
pub mod keys;
pub mod listeners;
pub mod name;
pub mod nginx;
pub mod proxies;
pub mod socket;
pub mod tls;
