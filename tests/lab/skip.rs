//! Tests that cannot run here say so.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::program::variable;

static SKIPPED: AtomicU32 = AtomicU32::new(0);

/// Says loudly that a test did not run because `what` is missing here. Where `OPS_TEST_REQUIRE` names it (a list with
/// commas), that is a failure.
pub fn skip(what: &str) {
    let required = variable("OPS_TEST_REQUIRE").unwrap_or_default();
    assert!(
        !required.split(',').any(|name| name.trim() == what),
        "'{what}' is missing here, and OPS_TEST_REQUIRE asks for it"
    );
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let count = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
    // Not `eprintln`: the test runner swallows that when a test passes.
    writeln!(
        io::stderr(),
        "SKIPPED ({count}): {test}: '{what}' is missing here"
    )
    .ok();
}
