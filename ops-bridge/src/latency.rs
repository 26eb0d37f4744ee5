//! How long messages take: each delivery measured, in memory that does not grow with their number.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use crate::connection::between;
use crate::event::Event;
use crate::known::{Direction, Operation};
use crate::line::Line;

/// Each doubling is divided into so many buckets, which bounds the error of a quantile to 1/64.
const STEPS: usize = 64;

/// The doublings from one microsecond to two weeks.
const DOUBLINGS: usize = 41;

/// Messages that wait for their echo; older ones are given up.
const WAITING: usize = 4096;

/// A counted set of durations.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    longest: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: vec![0; STEPS * DOUBLINGS],
            count: 0,
            longest: Duration::ZERO,
        }
    }
}

impl Histogram {
    /// Counts a duration.
    pub(crate) fn add(&mut self, length: Duration) {
        let last = self.buckets.len() - 1;
        self.buckets[bucket(length).min(last)] += 1;
        self.count += 1;
        self.longest = self.longest.max(length);
    }

    /// How many were counted.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The duration that `hundredths` of all do not exceed. Nothing if none were counted.
    pub(crate) fn quantile(&self, hundredths: u64) -> Option<Duration> {
        let rank = (self.count * hundredths).div_ceil(100).max(1);
        let mut seen = 0;
        let found = self.buckets.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(upper_edge(found).min(self.longest))
    }

    /// How many lie above a duration.
    pub(crate) fn above(&self, limit: Duration) -> u64 {
        self.buckets[(bucket(limit) + 1).min(self.buckets.len())..]
            .iter()
            .sum()
    }

    /// How many lie within each of the given limits but not within the one before; the last count is of those above all.
    pub(crate) fn within(&self, limits: &[Duration]) -> Vec<u64> {
        let above: Vec<_> = limits.iter().map(|limit| self.above(*limit)).collect();
        let mut rest = self.count;
        let mut counts: Vec<_> = above
            .iter()
            .map(|above| std::mem::replace(&mut rest, *above) - above)
            .collect();
        counts.push(rest);
        counts
    }
}

fn bucket(length: Duration) -> usize {
    let micros = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
    let steps = STEPS as u64;
    if micros < steps {
        return usize::try_from(micros).unwrap_or(0);
    }
    let doubling = micros.ilog2() - steps.ilog2();
    let step = (micros >> doubling) - steps;
    (doubling as usize + 1) * STEPS + usize::try_from(step).unwrap_or(0)
}

fn upper_edge(bucket: usize) -> Duration {
    let (doubling, step) = (bucket / STEPS, (bucket % STEPS) as u64);
    match doubling {
        0 => Duration::from_micros(step),
        _ => Duration::from_micros(((STEPS as u64 + step + 1) << (doubling - 1)) - 1),
    }
}

/// What was bridged, and how long it took.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traffic {
    /// Slack to Matrix: from Slack's time of the event to the line that it is in its room.
    pub(crate) to_matrix: Histogram,
    /// Matrix to Slack: from the line of sending to the line of Slack's echo.
    pub(crate) to_slack: Histogram,
    /// Sent to Slack, and no echo so far.
    waiting: HashMap<String, (Operation, Timestamp)>,
    order: VecDeque<String>,
    /// Bridged, by direction and operation.
    counts: HashMap<(Direction, Operation), u64>,
    pub(crate) last: HashMap<Direction, Timestamp>,
}

impl Traffic {
    /// Takes in a line.
    pub(crate) fn observe(&mut self, line: &Line<'_>, event: &Event<'_>) {
        let Some(at) = line.at else { return };
        match event {
            Event::Delivered { operation, sent_at } => {
                self.count(Direction::ToMatrix, *operation, at);
                if let Some(sent_at) = sent_at {
                    self.to_matrix.add(between(*sent_at, at));
                }
            }
            Event::Sending { operation, id } => self.wait(id, *operation, at),
            Event::Echo { operation, id } => self.echo(*operation, id, at),
            _ => {}
        }
    }

    fn wait(&mut self, id: &str, operation: Operation, at: Timestamp) {
        if id.is_empty() {
            return;
        }
        if self
            .waiting
            .insert(id.to_owned(), (operation, at))
            .is_none()
        {
            self.order.push_back(id.to_owned());
        }
        while self.order.len() > WAITING {
            self.order
                .pop_front()
                .map(|oldest| self.waiting.remove(&oldest));
        }
    }

    fn echo(&mut self, operation: Operation, id: &str, at: Timestamp) {
        match self.waiting.remove(id) {
            Some((sent, since)) => {
                self.order.retain(|waiting| waiting != id);
                self.count(Direction::ToSlack, sent, at);
                self.to_slack.add(between(since, at));
            }
            // Nothing is written when these are sent, so there is nothing to measure; they arrived all the same.
            None if matches!(operation, Operation::Reaction | Operation::Deletion) => {
                self.count(Direction::ToSlack, operation, at);
            }
            // A duplicate of something that was not sent in this log.
            None => {}
        }
    }

    fn count(&mut self, direction: Direction, operation: Operation, at: Timestamp) {
        *self.counts.entry((direction, operation)).or_default() += 1;
        self.last.insert(direction, at);
    }

    /// How many of one kind were bridged.
    pub(crate) fn bridged(&self, direction: Direction, operation: Operation) -> u64 {
        self.counts
            .get(&(direction, operation))
            .copied()
            .unwrap_or(0)
    }

    /// The measured durations of one direction.
    pub(crate) fn histogram(&self, direction: Direction) -> &Histogram {
        match direction {
            Direction::ToMatrix => &self.to_matrix,
            Direction::ToSlack => &self.to_slack,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event;
    use crate::reader::Reader;

    #[test]
    fn quantiles_are_exact_to_a_sixty_fourth() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(50), None);
        for millis in 1..=1000_u64 {
            histogram.add(Duration::from_millis(millis));
        }
        for (hundredths, wanted) in [(50, 0.5), (95, 0.95), (99, 0.99), (100, 1.0)] {
            let got = histogram.quantile(hundredths).unwrap().as_secs_f64();
            assert!(
                got >= wanted && got <= wanted * (1.0 + 1.0 / 64.0),
                "p{hundredths} is {got}"
            );
        }
        let within = histogram.within(&[Duration::from_millis(100), Duration::from_millis(500)]);
        assert_eq!(within.iter().sum::<u64>(), 1000);
        assert!(
            within[0].abs_diff(100) <= 2 && within[2].abs_diff(500) <= 8,
            "{within:?}"
        );
    }

    #[test]
    fn any_length_has_a_bucket_and_its_edge_is_not_below_it() {
        let mut histogram = Histogram::default();
        for length in [
            Duration::ZERO,
            Duration::from_micros(63),
            Duration::from_micros(64),
            Duration::from_secs(5),
            Duration::MAX,
        ] {
            histogram.add(length);
            if length < Duration::from_secs(1_000_000) {
                assert!(upper_edge(bucket(length)) >= length, "{length:?}");
            }
        }
        assert_eq!(histogram.count(), 5);
    }

    #[test]
    fn sendings_are_paired_with_their_echoes() {
        let log = r#"2026-08-19T09:00:01Z DBG Sending message to Slack event_id=$1
2026-08-19T09:00:02Z DBG Sending message to Slack edit_target_mxid=$1 edit_target_remote_id=T1-C1-1.2 event_id=$2
2026-08-19T09:00:03Z DBG Uploading attachment to Slack event_id=$3
2026-08-19T09:00:03.5Z DBG Ignoring duplicate message existing_mxid=$1
2026-08-19T09:00:04Z WRN Not bridging edit: sender doesn't match original message sender remote_target_message_id=T1-C1-1.2 remote_sender={"is_from_me":true}
2026-08-19T09:00:08Z DBG Received remote echo for message event_id=$3
2026-08-19T09:00:09Z DBG Ignoring duplicate message existing_mxid=$1
2026-08-19T09:00:09Z DBG Ignoring duplicate reaction remote_sender={"is_from_me":true}
2026-08-19T09:00:10Z DBG Sent message part to Matrix action="handle remote event" remote_timestamp=2026-08-19T09:00:09.9Z
"#;
        let mut traffic = Traffic::default();
        let mut reader = Reader::new(log.as_bytes());
        while let Some(line) = reader.next().unwrap() {
            traffic.observe(&line, &event::of(&line));
        }
        let counts = Operation::ALL.map(|operation| traffic.bridged(Direction::ToSlack, operation));
        assert_eq!(counts, [1, 1, 1, 0, 1]);
        assert_eq!(traffic.to_slack.count(), 3);
        assert_eq!(
            traffic.to_slack.quantile(100).unwrap(),
            Duration::from_secs(5)
        );
        assert_eq!(
            traffic.to_matrix.quantile(50).unwrap(),
            Duration::from_millis(100)
        );
    }
}
