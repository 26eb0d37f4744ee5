//! `explain`: what an exit code or a line means, and what to do.

use ops_common::output::Record;
use serde::Serialize;

use crate::error::Error;
use crate::known::{self, Class};
use crate::line::{Envelope, Line};
use crate::{exit_code, pretty};

/// What is known of one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Explanation {
    pub(crate) subject: String,
    pub(crate) meaning: String,
    pub(crate) remedy: String,
    /// What a line counts as: `normal`, `healthy`, `twin`, `lost`, `trouble`; `exit` and `slack` for codes.
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
    let mut plain = text.to_owned();
    pretty::without_colours(&mut plain);
    let envelope = Envelope::default();
    let line = Line::read(&plain, &envelope);
    let known =
        known::find(&line.message).ok_or_else(|| Error::NotKnown(line.message.to_string()))?;
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
}
