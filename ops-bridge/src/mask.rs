//! What must not leave the host in a log line: texts of messages, tokens, tickets. And what only differs between two lines
//! that say the same: identifiers.

use crate::line::Line;

/// Fields that hold texts of messages, at every level.
const BODIES: [&str; 2] = ["req_body", "notice_message"];

/// Messages that are followed by whole events of Slack, at trace.
const EVENTS: [&str; 3] = [
    "Received WebSocket message",
    "Incoming WebSocket message",
    "Sending WebSocket message",
];

/// A line as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) message: String,
    pub(crate) fields: Vec<(String, String)>,
}

/// Makes a line fit to be shown. Texts of messages stay only if `with_bodies`; tokens and tickets never.
pub(crate) fn shown(line: &Line<'_>, with_bodies: bool) -> Shown {
    let body = |text: &str| {
        if with_bodies {
            secrets(text)
        } else {
            hidden(text)
        }
    };
    let mut message = line.message.to_string();
    let event = EVENTS.iter().find(|start| message.starts_with(**start));
    if let Some(start) = event.filter(|_| !with_bodies) {
        let rest = &message[start.len()..];
        message = format!("{start}: {}", hidden(rest));
    } else if !with_bodies {
        message = cut_bodies(&message);
    }
    let fields = line.fields().into_iter().map(|(key, value)| {
        let value = if BODIES.contains(&key) {
            body(&value)
        } else {
            secrets(&value)
        };
        (key.to_owned(), value)
    });
    Shown {
        fields: fields.collect(),
        message: secrets(&message),
    }
}

fn hidden(text: &str) -> String {
    format!("({} bytes hidden)", text.len())
}

/// A line of no known form, half a line of JSON for one: what follows the name of a field with a text is not shown.
fn cut_bodies(text: &str) -> String {
    let found = BODIES
        .iter()
        .chain(&EVENTS)
        .filter_map(|name| text.find(name).map(|at| at + name.len()))
        .min();
    match found {
        Some(end) => format!("{}{}", &text[..end], hidden(&text[end..])),
        None => text.to_owned(),
    }
}

/// Hides Slack's tokens (`xoxb-…`, `xapp-…`) and the tickets of socket addresses.
pub(crate) fn secrets(text: &str) -> String {
    const STARTS: [(&str, &str); 3] = [("xox", "-"), ("xapp", "-"), ("ticket", "=")];
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((at, start)) = STARTS
        .iter()
        .filter_map(|(start, _)| rest.find(start).map(|at| (at, *start)))
        .min()
    {
        let after = &rest[at + start.len()..];
        let kind = if start == "xox" {
            after
                .bytes()
                .take(1)
                .take_while(u8::is_ascii_lowercase)
                .count()
        } else {
            0
        };
        let body = &after[kind..];
        let separators = ["-", "=", "%3D", "\\u003d"];
        let separator = separators
            .iter()
            .find(|separator| body.starts_with(**separator))
            .map_or(0, |separator| separator.len());
        let secret = body[separator..]
            .bytes()
            .take_while(|b| {
                b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'%' | b'.' | b'~')
            })
            .count();
        let end = at + start.len() + kind + separator;
        safe.push_str(&rest[..end]);
        if separator > 0 && secret > 0 {
            safe.push_str("(hidden)");
            rest = &rest[end + secret..];
        } else {
            rest = &rest[end..];
        }
    }
    safe.push_str(rest);
    safe
}

/// Replaces identifiers, so that lines about different messages fall into one group.
pub(crate) fn identifiers(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    for (number, word) in text
        .split_inclusive([' ', '"', '/', ',', ';', '(', ')'])
        .enumerate()
    {
        let split = word
            .trim_end_matches([' ', '"', '/', ',', ';', '(', ')'])
            .len();
        let (word, end) = word.split_at(split);
        masked.push_str(if number > 0 && is_identifier(word) {
            "…"
        } else {
            word
        });
        masked.push_str(end);
    }
    masked
}

/// `$event`, `!room:server`, `@user:server`, `C0123ABC`, `T1-C1-1787…`, numbers of five digits and more, addresses with a port
/// that differs each time.
fn is_identifier(word: &str) -> bool {
    let word = word
        .trim_end_matches([':', '.', '\''])
        .trim_start_matches('\'');
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let is_slack = word.len() >= 2
        && digits > 0
        && word.starts_with(['C', 'D', 'F', 'G', 'T', 'U', 'W'])
        && word.bytes().all(|b| {
            b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b'_')
        });
    let is_matrix = word.starts_with(['$', '!', '@']) && word.len() > 1;
    let is_ephemeral = word.contains(':') && word.contains("->");
    is_slack || is_matrix || is_ephemeral || digits >= 5
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::Envelope;

    fn show(text: &str, with_bodies: bool) -> String {
        format!(
            "{:?}",
            shown(&Line::read(text, &Envelope::default()), with_bodies)
        )
    }

    #[test]
    fn texts_of_messages_are_hidden_in_every_form() {
        let forms = [
            r#"{"level":"debug","req_body":{"body":"CANARY"},"message":"Request completed"}"#,
            r#"{"level":"error","req_body":{"body":"CANARY"},"req_body":"CANARY","message":"Request failed"}"#,
            r#"{"level":"error","notice_message":"CANARY","message":"Failed to send notice event"}"#,
            r#"{"level":"debug","new":1,"req_body":{"body":"CANARY"},"message":"Nobody knows this line"}"#,
            r#"2026-08-19T09:00:01Z DBG Request completed req_body={"body":"CANARY x"} status_code=200"#,
            r#"2026-08-19T09:00:01Z ERR Failed notice_message="a \" CANARY""#,
            r#"{"level":"debug","req_body":{"body":"CANARY half a li"#,
            r#"2026-08-19T09:00:01Z DBG Received WebSocket message: {"text":"CANARY"}"#,
            r#"junk notice_message="CANARY"#,
        ];
        for form in forms {
            assert!(!show(form, false).contains("CANARY"), "{form}");
            assert!(show(form, true).contains("CANARY"), "{form}");
        }
    }

    #[test]
    fn tokens_and_tickets_are_hidden_always() {
        let text = r#"{"level":"debug","x":"xoxb-12-CANARY","y":{"z":"xapp-1-CANARY"},"message":"Dialing to websocket on url ws://x/?ticket=CANARY-1&a=b xoxc-CANARY"}"#;
        let shown = show(text, true);
        assert!(!shown.contains("CANARY"), "{shown}");
        assert!(
            shown.contains("xoxb-(hidden)") && shown.contains("&a=b"),
            "{shown}"
        );
        assert_eq!(
            secrets("a xox xapp- ticket= xoxb-"),
            "a xox xapp- ticket= xoxb-"
        );
    }

    #[test]
    fn lines_about_different_things_fall_together() {
        let one = identifiers(
            r#"failed to get user info for "U9AB1": user_not_found at 1787130001.000100 in !r:ex.org"#,
        );
        let other = identifiers(
            r#"failed to get user info for "U77": user_not_found at 1787130009.000200 in !s:ex.org"#,
        );
        assert_eq!(one, other);
        assert!(one.contains("user_not_found"));
        assert_eq!(
            identifiers("slack server error: 503 Service Unavailable"),
            "slack server error: 503 Service Unavailable"
        );
    }
}
