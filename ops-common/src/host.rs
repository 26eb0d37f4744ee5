//! One machine, local or over ssh: run commands, move bytes, reach sockets.
//!
//! A [`Host`] is cheap to clone and may be used by several threads at once. Over ssh all of them share one connection:
//!
//! ```text
//! Host ── Command ─► quote ─► Lane ◄──► link (one thread, owns the ssh session) ◄──► sshd
//!                              │
//!                              └─◄──► child (three pump threads around a process), for this machine and --ssh-command
//! ```
//!
//! A lane is what a caller and a transport share of one command: three bounded byte queues and an end. Deadlines,
//! back-pressure and the rule of success are written once, against lanes, and hold for every transport.
//!
//! | file | what is in it |
//! |---|---|
//! | `command.rs` | what to run, and the little shell program around it |
//! | `quote.rs` | argument vectors to shell words |
//! | `lane.rs`, `chunks.rs`, `process.rs`, `stream.rs` | bytes to and from the host, with deadlines |
//! | `ending.rs` | when a command counts as finished |
//! | `ssh.rs`, `link.rs`, `channel.rs`, `heard.rs` | the thread that owns an ssh session, and one channel of it |
//! | `address.rs`, `settings.rs`, `answer.rs`, `tokens.rs` | `user@address:port`, and what `ssh -G` says about it |
//! | `session.rs`, `dial.rs`, `algorithms.rs` | the way to a session: socket, handshake |
//! | `trust.rs`, `known_hosts.rs` | is this the right machine |
//! | `auth.rs`, `key_file.rs`, `agent.rs`, `prompt.rs` | logging in |
//! | `wire.rs` | a public key as ssh sends it |
//! | `local.rs`, `external.rs`, `child.rs` | this machine, and `--ssh-command` |
//! | `sudo.rs` | becoming root where the login is not |

mod address;
mod agent;
mod algorithms;
mod answer;
mod auth;
mod channel;
mod child;
mod chunks;
mod command;
mod dial;
mod ending;
mod error;
mod external;
mod heard;
mod key_file;
mod known_hosts;
mod lane;
mod link;
mod local;
mod process;
mod prompt;
mod quote;
mod session;
mod settings;
mod ssh;
mod stream;
mod sudo;
mod tokens;
mod transport;
mod trust;
mod wire;

pub use self::{
    command::Command,
    ending::Finished,
    error::{Error, HostKeyProblem},
    process::{Input, Output, Process, Running},
    quote::{quote, quote_all},
    stream::Stream,
    transport::{Host, Options},
};
