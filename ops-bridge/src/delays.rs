//! `latency`: how long messages take, each way.

use std::time::Duration;

use ops_common::check::{Check, State};
use ops_common::host::Host;
use serde_json::{Value, json};

use crate::error::Error;
use crate::event;
use crate::known::Direction;
use crate::latency::{Histogram, Traffic};
use crate::source::{self, File, Window};
use crate::verdict;

/// The name of the check.
pub(crate) const CHECK: &str = "bridge.latency";

/// The lines that are measured; the rest stays on the host.
const PATTERN: &str = "Sent message part|Sent reaction|Sent redaction|Sending message to Slack|Uploading attachment|\
    Ignoring duplicate|Received remote echo|Not bridging edit|Target reaction not found|Target message not found";

/// The upper edges of the histogram that people see.
const EDGES: [u64; 8] = [100, 250, 500, 1000, 2500, 5000, 10_000, 60_000];

/// Looks at a host.
pub(crate) fn look_host(
    host: &Host,
    unit: &str,
    window: Window,
    limit: Duration,
) -> Result<Vec<Check>, Error> {
    let mut traffic = Traffic::default();
    let mut arguments = source::journalctl(unit, window);
    arguments.push(format!("--grep={PATTERN}"));
    arguments.push("--case-sensitive=yes".to_owned());
    source::read_host(host, unit, &arguments, |line| {
        traffic.observe(line, &event::of(line));
    })?;
    Ok(judge(&traffic, limit))
}

/// Looks at a file or stdin.
pub(crate) fn look_file(
    file: File<'_>,
    window: Window,
    limit: Duration,
) -> Result<Vec<Check>, Error> {
    let mut traffic = Traffic::default();
    source::read_file(file, window, |line| traffic.observe(line, &event::of(line)))?;
    Ok(judge(&traffic, limit))
}

/// Three quantiles of each direction against the limit.
pub(crate) fn judge(traffic: &Traffic, limit: Duration) -> Vec<Check> {
    let directions = Direction::BOTH.into_iter();
    directions
        .flat_map(|direction| {
            [50, 95, 99].map(|hundredths| {
                quantile(traffic.histogram(direction), direction, hundredths, limit)
            })
        })
        .collect()
}

fn quantile(
    histogram: &Histogram,
    direction: Direction,
    hundredths: u64,
    limit: Duration,
) -> Check {
    let subject = format!("{direction} p{hundredths}");
    let Some(length) = histogram.quantile(hundredths) else {
        // Silence is no delay; whether it is too long is for the age of the last message to say.
        return Check::ok(CHECK, subject, "no message to measure")
            .limit(limit.as_secs_f64())
            .data(json!({"count": 0}));
    };
    let status = if length > limit {
        State::Fail
    } else {
        State::Ok
    };
    let (count, above) = (histogram.count(), histogram.above(limit));
    let message = format!(
        "{count} messages, {above} above the limit {}",
        drawn(histogram)
    );
    let seconds = (length.as_secs_f64() * 1000.0).round() / 1000.0;
    let check = Check::new(status, CHECK, subject, message)
        .value(seconds, "s")
        .limit(limit.as_secs_f64());
    verdict::advise(check, "ops-bridge log --level warn")
        .data(json!({"count": count, "above": above, "histogram": counted(histogram)}))
}

fn edges() -> [Duration; EDGES.len()] {
    EDGES.map(Duration::from_millis)
}

fn counted(histogram: &Histogram) -> Value {
    let counts = histogram.within(&edges());
    let edges = EDGES
        .iter()
        .map(|edge| json!(Duration::from_millis(*edge).as_secs_f64()))
        .chain([Value::Null]);
    edges
        .zip(counts)
        .map(|(edge, count)| json!({"up_to_s": edge, "count": count}))
        .collect()
}

/// One sign for each step of the histogram, as high as its share.
fn drawn(histogram: &Histogram) -> String {
    const SIGNS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let counts = histogram.within(&edges());
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let sign = |count: u64| {
        SIGNS[usize::try_from((count * 8).div_ceil(most))
            .unwrap_or(8)
            .min(8)]
    };
    format!("[{}]", counts.into_iter().map(sign).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_against_the_limit() {
        let mut traffic = Traffic::default();
        for millis in [100, 200, 6000] {
            traffic.to_matrix.add(Duration::from_millis(millis));
        }
        let checks = judge(&traffic, Duration::from_secs(5));
        let told: Vec<_> = checks
            .iter()
            .map(|check| (check.subject.as_str(), check.status))
            .collect();
        assert_eq!(
            told[..2],
            [
                ("slack->matrix p50", State::Ok),
                ("slack->matrix p95", State::Fail)
            ]
        );
        assert_eq!((checks.len(), checks[3].status), (6, State::Ok));
        assert_eq!(
            checks[0].data["histogram"][0],
            json!({"up_to_s": 0.1, "count": 1})
        );
        assert_eq!(checks[0].data["above"], 1);
    }
}
