//! One finding of a verb that judges, and the forms in which it is printed beside the usual ones.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::exit::Status;
use crate::output::Record;

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// Works, but a person should look.
    Warn,
    /// Could not be looked at.
    Unknown,
    /// Not as it should be.
    Fail,
}

impl State {
    /// The word in records.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Unknown => "unknown",
            Self::Fail => "fail",
        }
    }

    /// The number that monitoring plugins exit with.
    #[must_use]
    pub fn nagios(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warn => 1,
            Self::Fail => 2,
            Self::Unknown => 3,
        }
    }
}

/// One finding: a check record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// `SECTION.NAME`, with the section of ops.yaml.
    pub check: String,
    /// The host by the name it was given, or this machine's.
    #[serde(default)]
    pub host: String,
    /// What was looked at: a unit, a login, an address.
    #[serde(default)]
    pub subject: String,
    /// The finding.
    pub status: State,
    /// What was measured.
    #[serde(default)]
    pub value: Option<f64>,
    /// The unit of `value` and `limit`: `s`, `B`, `%`, or none for a count.
    #[serde(default)]
    pub unit: Option<String>,
    /// The value from which on it fails.
    #[serde(default)]
    pub limit: Option<f64>,
    /// The finding in words.
    #[serde(default)]
    pub message: String,
    /// What to do about it.
    #[serde(default)]
    pub fix: Option<String>,
    /// When it was looked at, in UTC.
    pub at: Timestamp,
    /// More facts.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
    /// What, beside the status, counts as a change for `--on-change`.
    #[serde(skip)]
    pub identity: Value,
}

impl Record for Check {
    const COLUMNS: &'static [&'static str] = &[
        "status", "check", "host", "subject", "value", "unit", "limit", "message",
    ];
}

impl Check {
    /// A finding of the check `name` about `subject`.
    #[must_use]
    pub fn new(
        status: State,
        name: &str,
        subject: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            check: name.to_owned(),
            host: String::new(),
            subject: subject.into(),
            status,
            value: None,
            unit: None,
            limit: None,
            message: message.into(),
            fix: None,
            at: Timestamp::now(),
            data: Value::Null,
            identity: Value::Null,
        }
    }

    /// It is as it should be.
    #[must_use]
    pub fn ok(name: &str, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(State::Ok, name, subject, message)
    }

    /// It works, but a person should look.
    #[must_use]
    pub fn warn(name: &str, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(State::Warn, name, subject, message)
    }

    /// It is not as it should be.
    #[must_use]
    pub fn fail(name: &str, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(State::Fail, name, subject, message)
    }

    /// It could not be looked at.
    #[must_use]
    pub fn unknown(name: &str, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(State::Unknown, name, subject, message)
    }

    /// Adds what was measured, in `unit` (`""` for a count).
    #[must_use]
    pub fn value(mut self, value: f64, unit: &str) -> Self {
        self.value = Some(value);
        self.unit = (!unit.is_empty()).then(|| unit.to_owned());
        self
    }

    /// Adds the value from which on it fails, in the same unit.
    #[must_use]
    pub fn limit(mut self, limit: f64) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// Adds more facts.
    #[must_use]
    pub fn data(mut self, data: Value) -> Self {
        self.data = data;
        self
    }

    /// Sets when it was looked at, where that is not now.
    #[must_use]
    pub fn at(mut self, at: Timestamp) -> Self {
        self.at = at;
        self
    }

    /// Names what, beside the status, counts as a change for `--on-change`: a version, a key, a certificate.
    #[must_use]
    pub fn identity(mut self, identity: impl Into<Value>) -> Self {
        self.identity = identity.into();
        self
    }
}

/// The answer of all findings together: no as soon as one fails, unknown as soon as one could not be looked at. No finding
/// is no answer.
#[must_use]
pub fn verdict(checks: &[Check]) -> Status {
    match checks.iter().map(|check| check.status).max() {
        Some(State::Ok | State::Warn) => Status::Done,
        Some(State::Fail) => Status::No,
        Some(State::Unknown) | None => Status::Unknown,
    }
}

/// The line of a monitoring plugin, with performance data, and its status.
#[must_use]
pub fn nagios(tool: &str, checks: &[Check]) -> (String, u8) {
    // Plugins rank critical before unknown, as the order of State does.
    let worst = checks.iter().max_by_key(|check| check.status);
    let state = worst.map_or(State::Unknown, |check| check.status);
    let word = ["OK", "WARNING", "CRITICAL", "UNKNOWN"][usize::from(state.nagios())];
    let told: Vec<_> = checks
        .iter()
        .filter(|check| check.status == state)
        .map(|check| format!("{} {}: {}", check.check, check.subject, check.message))
        .collect();
    let told = if told.is_empty() {
        "nothing was looked at".to_owned()
    } else {
        told.join("; ")
    };
    let mut line = format!(
        "{} {word} - {}",
        tool.to_uppercase(),
        told.replace(['\n', '\r', '|'], " ")
    );
    let measured = checks
        .iter()
        .filter_map(|check| Some((check, check.value?)));
    for (number, (check, value)) in measured.enumerate() {
        line.push_str(if number == 0 { " |" } else { "" });
        let label = format!("{} {}", check.check, check.subject);
        let label = label.replace(['\'', '=', '|', '\n', '\r'], "_");
        let limit = check.limit.map_or_else(String::new, plugin_number);
        line += &format!(
            " '{}'={}{};;{limit}",
            label.trim_end(),
            plugin_number(value),
            check.unit.as_deref().unwrap_or("")
        );
    }
    (line, state.nagios())
}

/// A number as plugins write it, with `U` for one that is none.
fn plugin_number(value: f64) -> String {
    if value.is_finite() {
        value.to_string()
    } else {
        "U".to_owned()
    }
}

/// The text format of the `node_exporter` textfile collector. It refuses a file in which two lines have the same labels, so of
/// findings that nothing tells apart the worst is told.
#[must_use]
pub fn prometheus(checks: &[Check]) -> String {
    let mut text = String::from(
        "# HELP ops_check_status 0 ok, 1 warn, 2 fail, 3 unknown\n# TYPE ops_check_status gauge\n",
    );
    let labels = |check: &Check| {
        let (name, host, subject) = (
            escape(&check.check),
            escape(&check.host),
            escape(&check.subject),
        );
        format!("check=\"{name}\",host=\"{host}\",subject=\"{subject}\"")
    };
    let checks = told_apart(checks);
    for check in &checks {
        text += &format!(
            "ops_check_status{{{}}} {}\n",
            labels(check),
            check.status.nagios()
        );
    }
    let measured: Vec<_> = checks
        .iter()
        .filter_map(|check| Some((check, check.value?)))
        .collect();
    if !measured.is_empty() {
        text.push_str(
            "# HELP ops_check_value what the check measured\n# TYPE ops_check_value gauge\n",
        );
    }
    for (check, value) in measured {
        let unit = escape(check.unit.as_deref().unwrap_or(""));
        text += &format!(
            "ops_check_value{{{},unit=\"{unit}\"}} {value}\n",
            labels(check)
        );
    }
    text
}

/// The findings in their order, of each check of each subject only the worst.
fn told_apart(checks: &[Check]) -> Vec<&Check> {
    let mut places = HashMap::new();
    let mut apart: Vec<&Check> = Vec::with_capacity(checks.len());
    for check in checks {
        let place = *places
            .entry((&check.check, &check.host, &check.subject))
            .or_insert(apart.len());
        match apart.get_mut(place) {
            Some(other) if other.status < check.status => *other = check,
            Some(_) => {}
            None => apart.push(check),
        }
    }
    apart
}

fn escape(label: &str) -> String {
    label
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks() -> Vec<Check> {
        vec![
            Check::ok("bridge.socket", "T1-U1", "connected")
                .value(3.2, "s")
                .limit(5.0),
            Check::fail("bridge.unit", "mautrix \"x\"", "not running"),
        ]
    }

    #[test]
    fn the_verdict_of_several_findings() {
        assert_eq!(verdict(&checks()), Status::No);
        assert_eq!(verdict(&checks()[..1]), Status::Done);
        assert_eq!(verdict(&[Check::warn("a.b", "", "")]), Status::Done);
        assert_eq!(
            verdict(&[Check::ok("a.b", "", ""), Check::unknown("a.c", "", "")]),
            Status::Unknown
        );
        assert_eq!(verdict(&[]), Status::Unknown);
    }

    #[test]
    fn the_plugin_line() {
        let (line, status) = nagios("ops-bridge", &checks());
        assert_eq!(
            line,
            "OPS-BRIDGE CRITICAL - bridge.unit mautrix \"x\": not running | 'bridge.socket T1-U1'=3.2s;;5"
        );
        assert_eq!(status, 2);
        assert_eq!(nagios("ops-db", &[]).1, 3);
    }

    #[test]
    fn the_textfile_collector() {
        let text = prometheus(&checks());
        assert!(text.contains(
            "ops_check_status{check=\"bridge.unit\",host=\"\",subject=\"mautrix \\\"x\\\"\"} 2\n"
        ));
        assert!(text.contains(
            "ops_check_value{check=\"bridge.socket\",host=\"\",subject=\"T1-U1\",unit=\"s\"} 3.2\n"
        ));
        assert_eq!(text.matches("# TYPE").count(), 2);
    }

    #[test]
    fn hostile_text_stays_where_it_belongs() {
        let check = Check::ok("a.b", "x'=|\ny", "one\ntwo|'three'=3;;\r")
            .value(f64::NAN, "s")
            .limit(1.0);
        let (line, _) = nagios("ops-db", std::slice::from_ref(&check));
        assert_eq!(
            line,
            "OPS-DB OK - a.b x'=  y: one two 'three'=3;;  | 'a.b x____y'=Us;;1"
        );
        let text = prometheus(&[check]);
        assert!(text.contains("subject=\"x'=|\\ny\""), "{text}");
    }

    #[test]
    fn the_collector_gets_each_set_of_labels_once() {
        let checks = [
            Check::ok("a.b", "x", "").value(1.0, "s"),
            Check::fail("a.b", "x", "").value(2.0, "s"),
            Check::ok("a.b", "y", ""),
            Check::warn("a.b", "x", "").value(3.0, "s"),
        ];
        let text = prometheus(&checks);
        let told: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(told.len(), 3, "{text}");
        assert!(
            told[0].ends_with("subject=\"x\"} 2") && told[2].ends_with(" 2"),
            "{text}"
        );
    }

    #[test]
    fn a_record_is_read_back() {
        let check = checks().remove(0);
        let line = serde_json::to_string(&check).unwrap();
        assert_eq!(serde_json::from_str::<Check>(&line).unwrap(), check);
    }
}
