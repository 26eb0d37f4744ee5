//! What every tool and every verb of it promises (docs/conventions.md), put to the real programs with real invocations.
//!
//! `table.rs` has one entry for each verb, `rules_here.rs` the rules that need no host, `rules_real.rs` those that run the
//! entries against a lab host.

#[path = "../../slack/mod.rs"]
#[expect(
    dead_code,
    reason = "the stand-in can do more than is asked of it here"
)]
mod slack;

mod rules_cost;
mod rules_here;
mod rules_install;
mod rules_real;
mod rules_secret;
mod scene;
mod spy;
mod table;
mod verbs;
