//! All or nothing: hosts that are deployed to at the same time agree before any of them keeps its new system.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

/// The votes of a fixed number of hosts.
#[derive(Debug)]
pub struct Ballot {
    votes: Mutex<(usize, bool)>,
    changed: Condvar,
    hosts: usize,
}

impl Ballot {
    /// A ballot of so many hosts.
    #[must_use]
    pub fn new(hosts: usize) -> Self {
        Self {
            votes: Mutex::new((0, true)),
            changed: Condvar::new(),
            hosts,
        }
    }

    /// Casts a vote and waits for the others', but not beyond `until`. Says whether all are well.
    pub fn vote(&self, well: bool, until: Instant) -> bool {
        let mut votes = self.votes.lock().unwrap_or_else(PoisonError::into_inner);
        votes.0 += 1;
        votes.1 &= well;
        self.changed.notify_all();
        let left = until.saturating_duration_since(Instant::now());
        let waiting = |votes: &mut (usize, bool)| votes.0 < self.hosts && votes.1;
        let (mut votes, late) = self
            .changed
            .wait_timeout_while(votes, left, waiting)
            .unwrap_or_else(PoisonError::into_inner);
        if late.timed_out() {
            votes.1 = false;
            self.changed.notify_all();
        }
        votes.1
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn votes(given: &[bool], hosts: usize) -> Vec<bool> {
        let ballot = Ballot::new(hosts);
        let until =
            Instant::now() + Duration::from_millis(if given.len() == hosts { 10_000 } else { 50 });
        std::thread::scope(|scope| {
            let voters: Vec<_> = given
                .iter()
                .map(|well| scope.spawn(|| ballot.vote(*well, until)))
                .collect();
            voters
                .into_iter()
                .map(|voter| voter.join().unwrap())
                .collect()
        })
    }

    #[test]
    fn all_must_be_well() {
        assert_eq!(votes(&[true, true, true], 3), [true, true, true]);
        assert!(votes(&[true, false, true], 3).contains(&false));
    }

    #[test]
    fn nobody_waits_for_a_host_that_never_votes() {
        assert_eq!(votes(&[true, true], 3), [false, false]);
    }
}
