//! Puts a NixOS system on a host, proves that it is healthy, or puts the old one back.

pub mod cli;
pub mod error;
