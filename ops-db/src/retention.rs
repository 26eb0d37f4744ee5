//! Which backups to keep: the newest, and the newest of each hour, day, week, month and year.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// How many to keep of what. All zero keeps nothing, so [`Policy::is_empty`] is asked first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The newest ones.
    pub last: usize,
    /// One of each of the newest hours that have any.
    pub hourly: usize,
    /// The same by day.
    pub daily: usize,
    /// The same by week, from Monday.
    pub weekly: usize,
    /// The same by month.
    pub monthly: usize,
    /// The same by year.
    pub yearly: usize,
    /// All that are younger.
    pub within: Duration,
}

impl Policy {
    /// Whether nothing would be kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Why each of these backups is kept; no reason: it goes. Hours and days are those of UTC.
    #[must_use]
    pub fn reasons(&self, taken: &[Timestamp], now: Timestamp) -> Vec<Vec<&'static str>> {
        let mut reasons = vec![Vec::new(); taken.len()];
        let mut newest_first: Vec<usize> = (0..taken.len()).collect();
        newest_first.sort_by_key(|index| std::cmp::Reverse(taken[*index]));
        for index in newest_first.iter().take(self.last) {
            reasons[*index].push("last");
        }
        for (name, count, period) in self.periods() {
            let mut seen = BTreeSet::new();
            for index in &newest_first {
                if seen.len() < count && seen.insert(period(taken[*index])) {
                    reasons[*index].push(name);
                }
            }
        }
        for (index, at) in taken.iter().enumerate() {
            if !self.within.is_zero() && now.duration_since(*at).unsigned_abs() <= self.within {
                reasons[index].push("within");
            }
        }
        reasons
    }

    fn periods(&self) -> [(&'static str, usize, Period); 5] {
        [
            ("hourly", self.hourly, |at| {
                at.strftime("%Y%m%d%H").to_string()
            }),
            ("daily", self.daily, |at| at.strftime("%Y%m%d").to_string()),
            ("weekly", self.weekly, week),
            ("monthly", self.monthly, |at| {
                at.strftime("%Y%m").to_string()
            }),
            ("yearly", self.yearly, |at| at.strftime("%Y").to_string()),
        ]
    }
}

/// What all instants of one period have in common.
type Period = fn(Timestamp) -> String;

fn week(at: Timestamp) -> String {
    let week = at.to_zoned_datetime(TimeZone::UTC).date().iso_week_date();
    format!("{}W{:02}", week.year(), week.week())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn kept(policy: Policy, taken: &[Timestamp]) -> Vec<usize> {
        let reasons = policy.reasons(taken, at("2026-03-31T12:00:00Z"));
        (0..taken.len())
            .filter(|index| !reasons[*index].is_empty())
            .collect()
    }

    /// Every six hours for 400 days, newest first.
    fn many() -> Vec<Timestamp> {
        let newest = at("2026-03-31T12:00:00Z");
        (0..1600_u64)
            .map(|back| {
                newest
                    .checked_sub(Duration::from_secs(back * 6 * 3600))
                    .unwrap()
            })
            .collect()
    }

    #[test]
    fn the_newest_of_each_period_stays() {
        let taken = many();
        assert_eq!(
            kept(
                Policy {
                    last: 3,
                    ..Policy::default()
                },
                &taken
            ),
            [0, 1, 2]
        );
        assert_eq!(
            kept(
                Policy {
                    daily: 3,
                    ..Policy::default()
                },
                &taken
            ),
            [0, 3, 7]
        );
        assert_eq!(
            kept(
                Policy {
                    hourly: 2,
                    ..Policy::default()
                },
                &taken
            ),
            [0, 1]
        );
    }

    #[test]
    fn months_and_weeks_end_where_the_calendar_says() {
        let taken = many();
        let monthly = kept(
            Policy {
                monthly: 3,
                ..Policy::default()
            },
            &taken,
        );
        let monthly: Vec<_> = monthly
            .iter()
            .map(|index| taken[*index].to_string())
            .collect();
        assert_eq!(
            monthly,
            [
                "2026-03-31T12:00:00Z",
                "2026-02-28T18:00:00Z",
                "2026-01-31T18:00:00Z"
            ]
        );
        let weekly = kept(
            Policy {
                weekly: 2,
                ..Policy::default()
            },
            &taken,
        );
        assert_eq!(
            taken[weekly[1]].to_string(),
            "2026-03-29T18:00:00Z",
            "a week ends on Sunday"
        );
    }

    #[test]
    fn a_year_with_few_weeks_counts_its_weeks_by_iso() {
        let taken = [
            at("2026-01-01T00:00:00Z"),
            at("2025-12-31T00:00:00Z"),
            at("2025-12-28T00:00:00Z"),
        ];
        assert_eq!(
            kept(
                Policy {
                    weekly: 5,
                    ..Policy::default()
                },
                &taken
            ),
            [0, 2]
        );
        assert_eq!(
            kept(
                Policy {
                    yearly: 5,
                    ..Policy::default()
                },
                &taken
            ),
            [0, 1]
        );
    }

    #[test]
    fn order_is_by_time_and_not_by_place() {
        let taken = [
            at("2026-03-01T00:00:00Z"),
            at("2026-03-30T00:00:00Z"),
            at("2026-03-02T00:00:00Z"),
        ];
        assert_eq!(
            kept(
                Policy {
                    last: 1,
                    ..Policy::default()
                },
                &taken
            ),
            [1]
        );
    }

    #[test]
    fn within_keeps_all_that_are_young() {
        let taken = many();
        let policy = Policy {
            within: Duration::from_hours(24),
            ..Policy::default()
        };
        assert_eq!(kept(policy, &taken), [0, 1, 2, 3, 4]);
        assert!(!policy.is_empty() && Policy::default().is_empty());
    }

    #[test]
    fn more_periods_never_keep_less() {
        let taken = many();
        let few = kept(
            Policy {
                daily: 7,
                weekly: 4,
                ..Policy::default()
            },
            &taken,
        );
        let more = kept(
            Policy {
                daily: 7,
                weekly: 4,
                monthly: 12,
                yearly: 2,
                ..Policy::default()
            },
            &taken,
        );
        assert!(few.iter().all(|index| more.contains(index)) && more.len() > few.len());
    }
}
