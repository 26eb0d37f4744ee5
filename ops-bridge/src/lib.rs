//! Whether messages flow between Slack and Matrix, and for how long they have.
//!
//! Reads, on a host: the unit's properties, its journal, the bridge's configuration and database, its TCP connections, and the
//! bridge's provisioning API. Changes nothing, except what `login` and `ping` are there for.
//!
//! ```text
//! journal, file, stdin ─► reader ─► line ─► event ─► connection (what is it now)   ─► verdict ─► socket, status
//!                                              │───► problems   (what was lost)     ─► errors, health
//!                                              └───► latency    (how long it took)  ─► latency, health
//! ```
//!
//! Lines are borrowed from the reader and looked at once, so a journal of any length is read in constant memory.

mod availability;
mod bridge_state;
#[cfg(test)]
mod chance;
pub mod cli;
mod clock;
mod configuration;
mod connection;
mod connection_status;
mod database;
mod delays;
mod doctor;
mod envelope;
pub mod error;
mod errors;
mod event;
mod exit_code;
mod explain;
pub mod form;
mod half_open;
mod health;
mod history;
mod hole;
mod homeserver;
pub mod http;
mod json;
mod known;
mod latency;
mod light;
mod line;
mod log;
mod login;
mod mask;
mod matrix_api;
#[cfg(test)]
mod mutation_tests;
mod neighbour;
mod origin;
mod permissions;
mod ping;
mod prefix;
mod pretty;
mod probe;
mod problems;
mod provisioning;
mod reader;
mod receive;
mod registration;
mod retry;
mod sample;
mod scopes;
mod settings;
mod slack_api;
mod socket;
mod socket_table;
mod source;
mod status;
mod tls;
mod tokens;
mod transfer;
#[cfg(test)]
mod truth_tests;
mod twin;
mod unit;
mod uptime;
mod verdict;
mod weight;
