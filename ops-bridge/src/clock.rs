//! How much time has really passed between two lines, also when somebody set the clock in between.
//!
//! journald stamps every line with the clock on the wall and with one that only counts forward from the boot. Where the two
//! disagree about a length of time, the wall's clock was set (or the machine slept): then the other one is right.

use jiff::{SignedDuration, Timestamp};

use crate::line::Line;

/// Lines of several writers may be out of order by so much.
pub(crate) const DISORDER: SignedDuration = SignedDuration::from_secs(5);

/// A disagreement below this is no set clock.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(1);

/// So many lengths must have agreed before the forward counting clock is believed against the wall's: a journal that was put
/// together by hand may have anything there.
const AGREED: u32 = 3;

/// Reads the time of one line after the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock {
    last: Option<Reading>,
    boot: String,
    agreed: u32,
    /// What the wall's clock was set forward by, in all.
    set: SignedDuration,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    wall: Timestamp,
    counted: Option<SignedDuration>,
}

/// A jump of the wall's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Jump {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
}

impl Clock {
    /// Takes in a line, which was written at `at`; returns a jump if there was one before it.
    pub(crate) fn read(&mut self, line: &Line<'_>, at: Timestamp) -> Option<Jump> {
        let envelope = line.envelope;
        let now = Reading {
            wall: envelope.at.unwrap_or(at),
            counted: envelope.counted,
        };
        let same_boot = self.boot == envelope.boot;
        if !same_boot {
            self.boot.clone_from(&envelope.boot);
        }
        let last = self.last.replace(now)?;
        let by_wall = now.wall.duration_since(last.wall);
        let counted = match (last.counted, now.counted) {
            (Some(before), Some(after)) if same_boot => Some(after - before),
            _ => None,
        };
        let agrees = counted.is_some_and(|counted| (by_wall - counted).abs() <= TOLERANCE);
        if !same_boot {
            self.agreed = 0;
        } else if agrees && by_wall > TOLERANCE {
            self.agreed = self.agreed.saturating_add(1);
        }
        let believed = counted
            .filter(|counted| !agrees && self.agreed >= AGREED && *counted >= SignedDuration::ZERO);
        let set = match believed {
            Some(counted) => by_wall - counted,
            // Without a second opinion only a clock that was set back shows, and nobody knows how much time passed.
            None if by_wall < -DISORDER && !agrees => by_wall,
            None => return None,
        };
        self.set += set;
        Some(Jump {
            from: last.wall,
            to: now.wall,
        })
    }

    /// A time as a clock would have shown it that was never set.
    pub(crate) fn steady(&self, at: Timestamp) -> Timestamp {
        at.checked_sub(self.set).unwrap_or(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::Envelope;

    /// Jumps in seconds, from pairs of the wall's clock and the other.
    fn jumps(readings: &[(i64, i64)]) -> (usize, i64) {
        let mut clock = Clock::default();
        let mut jumps = 0;
        for (wall, counted) in readings {
            let envelope = Envelope {
                at: Timestamp::from_second(1_787_130_000 + wall).ok(),
                counted: Some(SignedDuration::from_secs(*counted)),
                boot: "b".to_owned(),
                ..Envelope::default()
            };
            let line = Line::read("x", &envelope);
            jumps += usize::from(clock.read(&line, envelope.at.unwrap()).is_some());
        }
        (jumps, clock.set.as_secs())
    }

    #[test]
    fn a_clock_that_is_set_is_found_both_ways() {
        let even = [(0, 0), (10, 10), (20, 20), (30, 30), (40, 40)];
        assert_eq!(jumps(&even), (0, 0));
        assert_eq!(jumps(&[&even[..], &[(3650, 50)]].concat()), (1, 3600));
        assert_eq!(jumps(&[&even[..], &[(-3550, 50)]].concat()), (1, -3600));
    }

    #[test]
    fn a_count_that_was_made_up_is_not_believed() {
        assert_eq!(jumps(&[(0, 1), (10, 1), (500, 1), (9000, 1)]), (0, 0));
        assert_eq!(jumps(&[(0, 1), (10, 2), (500, 3), (9000, 4)]), (0, 0));
        assert_eq!(jumps(&[(9000, 1), (10, 1)]), (1, -8990));
    }
}
