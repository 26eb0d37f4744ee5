//! What every tool and every verb of it promises (docs/conventions.md), put to the real programs with real invocations.
//!
//! `table.rs` has one entry for each verb, `rules_here.rs` the rules that need no host, `rules_real.rs` those that run the
//! entries against a lab host.

mod rules_cost;
mod rules_here;
mod rules_real;
mod scene;
mod table;
mod verbs;
