//! Whether the homeserver answers, on every address, and the federation reaches it.
//!
//! What it reads: the client and federation APIs, DNS, well-known files, certificates, and on a host systemd, the journal,
//! `/proc/net` and nginx's configuration. What it writes: nothing; only `ping` sends a message into a room and takes it
//! back.
//!
//! ```text
//! cli ── a verb ── view ── ground (this machine, or a host behind ssh)
//!          │         └── dns
//!          ├── probe ── tls, http           one address, one connection, every phase timed
//!          └── pure: name discovery document keys canonical chain cache nginx proxies listeners unit journal family answer
//! ```

pub mod answer;
pub mod base;
pub mod bridges;
pub mod cache;
pub mod canonical;
pub mod chain;
pub mod cli;
pub mod delegated;
pub mod discovery;
pub mod dns;
pub mod document;
pub mod error;
pub mod explore;
pub mod family;
pub mod federation;
pub mod fetch;
pub mod ground;
pub mod http;
mod includes;
pub mod journal;
pub mod keys;
pub mod limit;
pub mod listeners;
pub mod listens;
mod lua;
pub mod name;
pub mod nginx;
pub mod notary;
pub mod outbound;
pub mod paths;
pub mod peer;
pub mod ping;
pub mod probe;
pub mod proxies;
pub mod public;
pub mod reach;
pub mod resolve;
pub mod settings;
pub mod socket;
pub mod status;
mod target;
pub mod tls;
pub mod tokens;
pub mod trust;
pub mod unit;
pub mod upstreams;
pub mod versions;
pub mod view;
pub mod wellknown;
