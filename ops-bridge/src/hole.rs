//! Times that were not up, and moments by two clocks.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::connection::between;

/// So many holes are kept one by one.
const KEPT: usize = 10_000;

/// A time that was not up.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Hole {
    /// By the clock on the wall, as the lines say.
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    /// By a clock that was never set.
    pub(crate) length_s: f64,
    pub(crate) cause: String,
    #[serde(skip)]
    pub(crate) steady: (Timestamp, Timestamp),
}

/// A moment, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Moment {
    pub(crate) wall: Timestamp,
    pub(crate) steady: Timestamp,
}

/// So much later, by both clocks.
pub(crate) fn later(at: Moment, by: Duration) -> Moment {
    let add = |at: Timestamp| at.checked_add(by).unwrap_or(at);
    Moment {
        wall: add(at.wall),
        steady: add(at.steady),
    }
}

/// The time between two moments.
pub(crate) fn hole(from: Moment, to: Moment, cause: String) -> Hole {
    Hole {
        from: from.wall,
        to: to.wall,
        length_s: between(from.steady, to.steady).as_secs_f64(),
        cause,
        steady: (from.steady, to.steady),
    }
}

/// Keeps a hole, as long as there are not too many: the length of further ones is only added up.
pub(crate) fn keep(holes: &mut Vec<Hole>, hole: Hole, further_s: &mut f64) {
    if holes.len() < KEPT {
        holes.push(hole);
    } else {
        *further_s += hole.length_s;
    }
}
