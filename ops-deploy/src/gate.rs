//! One answer for many findings: lets pass only what is known to be well.

use std::io::BufRead;

use ops_common::check::{Check, State};
use ops_common::exit::Status;

use crate::error::Error;

/// What must hold beside that nothing fails.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Checks that must have come.
    pub expect: Vec<String>,
    /// Whether what could not be looked at may pass.
    pub allow_unknown: bool,
}

/// Reads check records, one JSON object a line.
pub fn read(input: impl BufRead) -> Result<Vec<Check>, Error> {
    let mut checks = Vec::new();
    for (index, line) in input.lines().enumerate() {
        let wrong = |reason: String| Error::NotARecord {
            line: index + 1,
            reason,
        };
        let line = line.map_err(|error| wrong(error.to_string()))?;
        if !line.trim().is_empty() {
            checks.push(serde_json::from_str(&line).map_err(|error| wrong(error.to_string()))?);
        }
    }
    Ok(checks)
}

/// Says which findings hold the gate shut, expected ones that never came included, and the answer.
#[must_use]
pub fn judge(checks: &[Check], rules: &Rules) -> (Vec<Check>, Status) {
    let bad = |check: &&Check| match check.status {
        State::Fail => true,
        State::Unknown => !rules.allow_unknown,
        State::Ok | State::Warn => false,
    };
    let mut shut: Vec<Check> = checks.iter().filter(bad).cloned().collect();
    let missing = rules
        .expect
        .iter()
        .filter(|name| !checks.iter().any(|check| check.check == **name));
    shut.extend(missing.map(|name| Check::fail(name, "", "expected, but no such record came")));
    if checks.is_empty() {
        shut.push(Check::fail("deploy.gate", "", "no record came at all"));
    }
    let status = if shut.is_empty() {
        Status::Done
    } else {
        Status::No
    };
    (shut, status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: State) -> Check {
        Check::new(status, "a.b", "s", "m")
    }

    fn answer(states: &[State], rules: &Rules) -> Status {
        let checks: Vec<_> = states.iter().map(|state| check(*state)).collect();
        judge(&checks, rules).1
    }

    #[test]
    fn only_ok_and_warn_pass() {
        let rules = Rules::default();
        assert_eq!(answer(&[State::Ok, State::Warn], &rules), Status::Done);
        assert_eq!(answer(&[State::Ok, State::Fail], &rules), Status::No);
        assert_eq!(answer(&[State::Ok, State::Unknown], &rules), Status::No);
    }

    #[test]
    fn no_record_at_all_is_no() {
        let lenient = Rules {
            allow_unknown: true,
            ..Rules::default()
        };
        assert_eq!(answer(&[], &lenient), Status::No);
        assert_eq!(answer(&[State::Unknown], &lenient), Status::Done);
        assert_eq!(answer(&[State::Fail], &lenient), Status::No);
    }

    #[test]
    fn what_was_expected_must_come() {
        let rules = Rules {
            expect: vec!["a.b".to_owned(), "c.d".to_owned()],
            ..Rules::default()
        };
        let (shut, status) = judge(&[check(State::Ok)], &rules);
        assert_eq!(
            (shut[0].check.as_str(), shut.len(), status),
            ("c.d", 1, Status::No)
        );
    }

    #[test]
    fn a_line_that_is_no_record_is_named() {
        let good = r#"{"check":"a.b","status":"ok","at":"2026-01-31T12:00:00Z"}"#;
        let error = read(format!("{good}\n\nnonsense\n").as_bytes()).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("line 3 is not a check record"),
            "{error}"
        );
        assert_eq!(
            read(format!("{good}\n{good}\n").as_bytes()).unwrap().len(),
            2
        );
        assert!(
            read(r#"{"check":"a.b","status":"fine","at":"2026-01-31T12:00:00Z"}"#.as_bytes())
                .is_err()
        );
    }
}
