//! What `status --every 1m --json` recorded: one state of a login at one time.

use jiff::Timestamp;

use crate::event::State;
use crate::json;

/// One look at one login.
#[derive(Debug)]
pub(crate) struct Sample<'a> {
    pub(crate) at: Timestamp,
    /// Nothing where it could not be told.
    pub(crate) state: Option<State<'a>>,
}

/// Whether a text is a record of some check.
pub(crate) fn is_record(text: &str) -> bool {
    text.starts_with(r#"{"check":"#)
}

/// Reads a record. Nothing if it tells of no connection.
pub(crate) fn read(text: &str) -> Option<Sample<'_>> {
    if !text.starts_with(r#"{"check":"bridge.connection_status""#) {
        return None;
    }
    let mut record = [None, None, None, None];
    let names = ["at", "status", "message", "subject"];
    for (key, value) in json::members(text).flatten() {
        if let Some(place) = names.iter().position(|name| *name == key) {
            record[place] = Some(value.text());
        }
    }
    let [Some(at), Some(status), message, login] = record else {
        return None;
    };
    let at = at.parse().ok()?;
    let told = match &*status {
        "ok" | "warn" => Some(("CONNECTED", None)),
        "fail" => Some(("DOWN", message)),
        _ => None,
    };
    let state = told.map(|(name, message)| State {
        login: login.unwrap_or_default(),
        name: name.into(),
        message: message.unwrap_or_default(),
        ..State::default()
    });
    Some(Sample { at, state })
}
