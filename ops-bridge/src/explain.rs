//! `explain`: what an exit code or a line means, and what to do.

use ops_common::output::Record;
use serde::Serialize;

use crate::error::Error;
use crate::event::{self, Event, State, UnitChange};
use crate::known::{self, Class};
use crate::line::Line;
use crate::reader::Reader;
use crate::source::Depth;
use crate::{bridge_state, exit_code};

/// What is known of one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Explanation {
    pub(crate) subject: String,
    pub(crate) meaning: String,
    pub(crate) remedy: String,
    /// What a line counts as: `normal`, `healthy`, `twin`, `lost`, `trouble`; `exit`, `slack` and `state` for codes, `unit` for what
    /// systemd says.
    pub(crate) class: &'static str,
}

impl Record for Explanation {
    const COLUMNS: &'static [&'static str] = &["subject", "class", "meaning", "remedy"];
}

/// Explains an exit code, an error code of Slack, or a line of any form.
pub(crate) fn explain(text: &str) -> Result<Explanation, Error> {
    let text = text.trim();
    if let Some(known) = text.parse().ok().and_then(exit_code::find) {
        return Ok(explanation(
            &format!("exit {text}"),
            known.meaning,
            known.remedy,
            "exit",
        ));
    }
    if let Some((meaning, remedy)) = known::slack_error(text) {
        return Ok(explanation(text, meaning, remedy, "slack"));
    }
    if let Some((meaning, remedy)) = bridge_state::find(text) {
        return Ok(explanation(text, meaning, remedy, "state"));
    }
    let mut reader = Reader::to(Depth::All, text.as_bytes());
    // Reading from memory does not fail.
    let line = reader.next().ok().flatten();
    let line = line.ok_or_else(|| Error::NotKnown(text.to_owned()))?;
    match event::of(&line) {
        Event::Unit(change) => Ok(of_unit(&line.message, change)),
        Event::State(state) => Ok(of_state(&state)),
        _ => of_line(&line),
    }
}

fn of_line(line: &Line<'_>) -> Result<Explanation, Error> {
    let known = known::find(&line.message).or_else(|| known::find_plain(&line.message));
    let known = known.ok_or_else(|| Error::NotKnown(line.message.to_string()))?;
    let cause = line
        .field("error")
        .and_then(|error| known::slack_error(&error));
    let meaning = cause.map_or_else(
        || known.meaning.to_owned(),
        |(cause, _)| format!("{}: {cause}", known.meaning),
    );
    Ok(explanation(
        known.text,
        &meaning,
        cause.map_or(known.remedy, |(_, remedy)| remedy),
        class(known.class),
    ))
}

/// What systemd says about the unit.
fn of_unit(text: &str, change: UnitChange) -> Explanation {
    let (meaning, remedy) = match change {
        UnitChange::Exited(code) => match exit_code::find(code) {
            Some(known) => {
                return explanation(&format!("exit {code}"), known.meaning, known.remedy, "exit");
            }
            None => ("the bridge ended by itself", "ops-bridge log --level warn"),
        },
        UnitChange::Killed => (
            "the bridge was killed by a signal: by somebody, or for want of memory",
            "journalctl -k | grep -i oom",
        ),
        UnitChange::Restarting => (
            "systemd starts the unit again, since it ended by itself",
            "ops-bridge status",
        ),
        UnitChange::Starting | UnitChange::Started => ("the unit is started", ""),
        UnitChange::Stopping | UnitChange::Stopped => ("the unit is stopped", ""),
    };
    explanation(text, meaning, remedy, "unit")
}

/// A state that the bridge sent: its code tells most.
fn of_state(state: &State<'_>) -> Explanation {
    let known = [&state.error, &state.name].map(|code| bridge_state::find(code));
    let (meaning, remedy) = known.into_iter().flatten().next().unwrap_or_default();
    let cause = known::slack_error(&state.message);
    let meaning = cause.map_or_else(
        || meaning.to_owned(),
        |(cause, _)| format!("{meaning}: {cause}"),
    );
    let remedy = cause.map_or(remedy, |(_, remedy)| remedy);
    let subject = format!("{} {}", state.name, state.error);
    explanation(subject.trim_end(), &meaning, remedy, "state")
}

fn explanation(subject: &str, meaning: &str, remedy: &str, class: &'static str) -> Explanation {
    Explanation {
        subject: subject.to_owned(),
        meaning: meaning.to_owned(),
        remedy: remedy.to_owned(),
        class,
    }
}

fn class(class: Class) -> &'static str {
    match class {
        Class::Normal => "normal",
        Class::Healthy => "healthy",
        Class::Twin => "twin",
        Class::Lost(..) => "lost",
        Class::Trouble => "trouble",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_lines_are_explained() {
        assert!(
            explain("11")
                .unwrap()
                .meaning
                .contains("configuration error")
        );
        assert_eq!(explain("not_in_channel").unwrap().class, "slack");
        let line = explain(r#"{"level":"error","error":"msg_too_long","message":"Failed to handle Matrix message"}"#).unwrap();
        assert_eq!(
            (line.class, line.subject.as_str()),
            ("lost", "Failed to handle Matrix message")
        );
        assert!(line.meaning.contains("longer than Slack takes"));
        assert_eq!(
            explain("WRN Target reaction not found").unwrap().class,
            "healthy"
        );
        assert!(matches!(explain("what is this"), Err(Error::NotKnown(_))));
        assert!(matches!(explain("99"), Err(Error::NotKnown(_))));
    }

    /// A text, its class, and a part of what it means.
    const CASES: &[(&str, &str, &str)] = &[
        (
            "mautrix-slack.service: Main process exited, code=exited, status=11/n/a",
            "exit",
            "configuration error",
        ),
        (
            "Nov 24 08:56:51 h systemd[1]: x.service: Main process exited, code=killed, status=9/KILL",
            "unit",
            "killed",
        ),
        ("Started mautrix-slack.service - bridge.", "unit", "started"),
        (
            "Nov 24 08:56:51 h mautrix-slack[12]: 2026-11-24T08:56:51Z FTL Configuration error error=x",
            "trouble",
            "exit 11",
        ),
        (
            r#"{"MESSAGE":"{\"level\":\"error\",\"error\":\"EOF\",\"message\":\"Failed to handle Matrix message\"}"}"#,
            "lost",
            "refused",
        ),
        (
            "2026-11-24T08:56:51Z DBG Sent new bridge state bridge_state={\"error\":\"slack-socketmode-error\",\"message\":\"invalid_auth\",\"state_event\":\"TRANSIENT_DISCONNECT\"} login_id=T1-U1",
            "state",
            "does not accept the token",
        ),
        ("slack-unknown-fetch-error", "state", "failed at start"),
        ("BAD_CREDENTIALS", "state", "does not accept the login"),
        (
            "panic: runtime error: index out of range",
            "trouble",
            "exit 2",
        ),
        (
            "Legacy bridge config detected, but hacky network config migrator is not set",
            "trouble",
            "exit 1",
        ),
    ];

    #[test]
    fn lines_of_every_form_and_of_systemd_are_explained() {
        for (text, class, words) in CASES {
            let explained = explain(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert!(
                explained.class == *class && explained.meaning.contains(words),
                "{explained:?}"
            );
        }
    }
}
