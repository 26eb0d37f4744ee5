//! End-to-end tests of the ops tools, and the lab they run in.
//!
//! The lab is a set of real machines made on the spot: Debian trees booted with systemd-nspawn inside one network
//! namespace that has no way out. `ops-lab run CMD` makes such a namespace and runs CMD in it; when CMD or anything
//! above it ends, however it ends, all of the lab ends. Inside, a test asks for machines:
//!
//! ```no_run
//! use ops_tests::{Kind, Lab};
//!
//! let Some(lab) = Lab::get() else { return ops_tests::skip("lab") };
//! let host = lab.host("db-1", Kind::Postgres); // booted when this returns, gone when `host` is dropped
//! ops_tests::tool("ops-db").args(["list", "--host", "db-1"]).run().expect(0);
//! assert!(host.sh("systemctl is-active postgresql").out().contains("active"));
//! ```
//!
//! The lab deliberately uses nothing of `ops-common`: it must not share the faults of what it tests.

mod address;
mod alias;
mod cgroup;
mod disk;
mod host;
#[doc(hidden)]
pub mod layer;
mod machine;
pub mod nixos;
mod options;
pub mod outer;
#[doc(hidden)]
pub mod person;
#[doc(hidden)]
pub mod program;
mod ran;
pub mod relay;
mod running;
mod skip;
mod ssh;
mod terminal;
mod tool;
pub mod tree;

pub use address::Address;
pub use alias::Alias;
pub use host::{Lab, LabHost};
pub use options::{Kind, Options};
pub use ran::Ran;
pub use skip::skip;
pub use tool::{Running, Tool, bin_dir, command, tool};
