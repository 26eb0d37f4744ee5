//! Puts a NixOS system on a host, proves that it is healthy, or puts the old one back; writes down what happened.
//!
//! Reads ops.yaml (sections `hosts` and `deploy`), the flake and its repository, and the state of the host in one exec.
//! Changes on a host: the store, the system profile, `/run/ops-deploy`, `/var/lib/ops-deploy`, and transient units named
//! `ops-deploy-*`. Writes here: worklog entries.
//!
//! | file | what is in it |
//! |---|---|
//! | `cli.rs`, `cli/` | arguments; what the verbs do with them, printing |
//! | `switch.rs`, `rollout.rs`, `ballot.rs` | several hosts: looked at, deployed to; all or nothing |
//! | `deployment.rs`, `begin.rs`, `activate.rs`, `watch.rs`, `put_back.rs`, `interrupted.rs`, `reboot.rs` | the safe order on one host: lock and timer, the system tried and kept, the health window, back, Ctrl-C, with a reboot |
//! | `handoff.rs` | how the steps hand systems to each other |
//! | `line.rs`, `follow.rs`, `sh/` | the line to a host, what it tells while it works, and what runs there |
//! | `state.rs`, `units.rs`, `listeners.rs` | what a host is and does |
//! | `health.rs`, `probe.rs`, `verify.rs`, `gate.rs` | is it well, or worse than before |
//! | `preview.rs`, `dry_run.rs`, `plan.rs`, `fstab.rs`, `unit_tree.rs`, `unit_file.rs`, `closure.rs` | what would change |
//! | `nix.rs`, `build_there.rs`, `git.rs`, `facts.rs`, `copy.rs` | what is deployed, from where |
//! | `record.rs`, `worklog.rs`, `log.rs`, `status.rs` | what is written down, and what is live |
//! | `rollback.rs`, `promote.rs` | where to go back to; what may go on |
//! | `lint.rs`, `lint/`, `nginx.rs`, `ahead.rs` | traps, and what is told of them before a switch |
//! | `stc.rs` | the statuses of `switch-to-configuration` |

pub mod activate;
pub mod ahead;
pub mod ballot;
pub mod begin;
pub mod build_there;
pub mod cli;
pub mod closure;
pub mod copy;
pub mod deployment;
pub mod dry_run;
pub mod error;
pub mod facts;
mod follow;
pub mod fstab;
pub mod gate;
pub mod git;
pub mod handoff;
pub mod health;
pub mod interrupted;
pub mod line;
pub mod lint;
pub mod listeners;
pub mod log;
pub mod nginx;
pub mod nix;
pub mod plan;
pub mod preview;
pub mod probe;
pub mod promote;
pub mod put_back;
pub mod reboot;
pub mod record;
pub mod rollback;
pub mod rollout;
pub mod settings;
pub mod state;
pub mod status;
pub mod stc;
pub mod switch;
pub mod unit_file;
pub mod unit_tree;
pub mod units;
pub mod verify;
pub mod watch;
pub mod worklog;
