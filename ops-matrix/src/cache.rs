//! How long a peer may keep what it was told: the lifetimes of well-known replies.

use std::time::Duration;

const HOUR: Duration = Duration::from_hours(1);

/// What a peer does without any word of the server.
pub const DEFAULT: Duration = Duration::from_hours(24);

/// The longest that the specification lets a good answer be kept.
pub const LONGEST: Duration = Duration::from_hours(48);

/// The longest that it lets an error be kept.
pub const LONGEST_ERROR: Duration = HOUR;

/// The shortest that peers in use (Synapse) keep a good answer, whatever the server says.
pub const SHORTEST: Duration = Duration::from_mins(5);

/// How long peers may keep a good answer, from its headers.
///
/// `expires_in` is `Expires` minus `Date`, where both could be read.
#[must_use]
pub fn lifetime(cache_control: Option<&str>, expires_in: Option<i64>) -> Duration {
    told(cache_control, expires_in).map_or(DEFAULT, |told| told.clamp(SHORTEST, LONGEST))
}

/// How long peers may keep an answer that is an error: never longer than an hour, whatever its headers say.
#[must_use]
pub fn error_lifetime(cache_control: Option<&str>, expires_in: Option<i64>) -> Duration {
    told(cache_control, expires_in).map_or(LONGEST_ERROR, |told| told.min(LONGEST_ERROR))
}

fn told(cache_control: Option<&str>, expires_in: Option<i64>) -> Option<Duration> {
    cache_control
        .and_then(max_age)
        .or_else(|| expires_in.map(|left| u64::try_from(left).unwrap_or(0)))
        .map(Duration::from_secs)
}

/// The seconds of `max-age`, or none for the directives that forbid keeping.
fn max_age(header: &str) -> Option<u64> {
    let mut seconds = None;
    for directive in header.split(',') {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => return Some(0),
            "max-age" => seconds = value.trim().trim_matches('"').parse().ok(),
            _ => (),
        }
    }
    seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headers_decide_within_the_bounds_of_the_specification() {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        for (cache_control, expires_in, expected) in [
            (None, None, DEFAULT),
            (Some("max-age=7200"), None, hours(2)),
            (Some("public, Max-Age=\"7200\""), Some(60), hours(2)),
            (Some("max-age=7200, no-store"), None, SHORTEST),
            (Some("max-age=0"), None, SHORTEST),
            (Some("max-age=31536000"), None, LONGEST),
            (Some("public"), Some(3600), hours(1)),
            (None, Some(-5), SHORTEST),
            (Some("max-age=soon"), None, DEFAULT),
            (Some("foo, Max-Age = 7200, bar"), None, hours(2)),
            (Some("max-age=, bar"), None, DEFAULT),
            // A semicolon makes it one directive that nobody knows.
            (Some("private; max-age=0"), None, DEFAULT),
            (Some("max-age=0, private, must-revalidate"), None, SHORTEST),
            (Some("private, max-age=0"), None, SHORTEST),
        ] {
            assert_eq!(
                lifetime(cache_control, expires_in),
                expected,
                "{cache_control:?} {expires_in:?}"
            );
        }
    }

    #[test]
    fn an_error_is_forgotten_after_an_hour() {
        for (cache_control, expires_in, expected) in [
            (None, None, LONGEST_ERROR),
            (Some("max-age=86400"), None, LONGEST_ERROR),
            (Some("max-age=60"), None, Duration::from_mins(1)),
            (None, Some(-5), Duration::ZERO),
        ] {
            let found = error_lifetime(cache_control, expires_in);
            assert_eq!(found, expected, "{cache_control:?} {expires_in:?}");
        }
    }
}
