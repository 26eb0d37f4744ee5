//! What a homeserver's log says that an operator must see, without the secrets in it.

use crate::unit::Line;

/// What is kept of one message.
const LONGEST: usize = 300;

/// The shortest run of letters and digits behind the word "token" that is taken for one.
const SHORTEST_TOKEN: usize = 16;

/// The errors of a log, the newest last: continuwuity logs everything with the same priority, so only the text tells.
#[must_use]
pub fn errors(lines: &[Line]) -> Vec<Line> {
    let is_error = |text: &str| {
        let mut words = text.split_ascii_whitespace().take(4);
        words.any(|word| {
            matches!(word, "ERROR" | "CRITICAL" | "FATAL") || word.starts_with("panicked")
        }) || text.starts_with("Error: ")
            || text.contains(" - ERROR - ")
            || text.contains(" - CRITICAL - ")
    };
    let clean = lines.iter().map(|line| Line {
        at_s: line.at_s,
        text: plain(&line.text),
    });
    clean
        .filter(|line| is_error(&line.text))
        .map(|line| Line {
            text: cut(&redact(&line.text)),
            ..line
        })
        .collect()
}

/// The signature of a continuwuity that lives without a listener: it said that it listens, then shut its services down
/// although nobody asked it to.
#[must_use]
pub fn gave_up_listening(lines: &[Line]) -> bool {
    let said = |what: &str| {
        lines
            .iter()
            .rposition(|line| plain(&line.text).contains(what))
    };
    let Some(down) = said("Shutting down services") else {
        return false;
    };
    said("Listening on").is_some_and(|listening| listening < down)
        && said("Received SIGTERM").is_none()
        && said("Shutdown complete").is_none()
}

/// Takes the colours out that continuwuity writes into its log even where nobody sees them.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            // A colour ends with its first letter.
            characters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(character);
        }
    }
    plain.trim().to_owned()
}

/// Masks what a log should not have told: tokens in URLs, and long words behind the word "token".
fn redact(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("access_token=") {
        let (before, after) = rest.split_at(at + "access_token=".len());
        masked.push_str(before);
        masked.push_str("...");
        rest = after.trim_start_matches(|character: char| {
            !character.is_whitespace() && !matches!(character, '&' | ')' | '"')
        });
    }
    masked.push_str(rest);
    let mut after_token = false;
    let mut hide = |word: &str| {
        let bare = word.trim_matches(|character: char| !character.is_ascii_alphanumeric());
        let hidden = after_token
            && bare.len() >= SHORTEST_TOKEN
            && bare.bytes().all(|byte| byte.is_ascii_alphanumeric());
        after_token |= word.to_ascii_lowercase().contains("token");
        if hidden {
            word.replace(bare, "...")
        } else {
            word.to_owned()
        }
    };
    masked
        .split(' ')
        .map(&mut hide)
        .collect::<Vec<_>>()
        .join(" ")
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Vec<Line> {
        texts
            .iter()
            .map(|text| Line {
                at_s: 1.0,
                text: (*text).to_owned(),
            })
            .collect()
    }

    #[test]
    fn errors_are_known_by_their_text_colours_or_not() {
        let log = lines(&[
            "2026-11-23T16:10:08.492267Z  INFO conduwuit_router::serve::plain: Listening on [127.0.0.1:8008]",
            "  2026-11-23T16:21:33.618723Z ERROR conduwuit: Critical error starting server: no resolver",
            "\u{1b}[2m2026-11-23T16:21:34Z\u{1b}[0m \u{1b}[31mERROR\u{1b}[0m conduwuit: red",
            "    at src/main/mod.rs:79 on main ThreadId(1)",
            "2026-11-23 16:00:00,000 - synapse.http - 100 - ERROR - GET-1 - boom",
            "Error: missing field `server_name`",
            "2026-11-23T16:10:08Z  WARN x: an ERROR that somebody quotes later in the line",
        ]);
        let found: Vec<_> = errors(&log).into_iter().map(|line| line.text).collect();
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found[1].contains("ERROR conduwuit: red"), "{found:?}");
    }

    #[test]
    fn secrets_are_masked() {
        let told = |text: &str| errors(&lines(&[text]))[0].text.clone();
        assert_eq!(
            told("x ERROR a: GET http://127.0.0.1/ping?access_token=s3cr3t&x=1 failed"),
            "x ERROR a: GET http://127.0.0.1/ping?access_token=...&x=1 failed"
        );
        assert_eq!(
            told("x ERROR the registration token: AbCdEf0123456789x."),
            "x ERROR the registration token: ...."
        );
        assert_eq!(
            told("x ERROR room !aUAcUrCbn5TwJp5hSG5cj0iWrD6w"),
            "x ERROR room !aUAcUrCbn5TwJp5hSG5cj0iWrD6w"
        );
        assert_eq!(
            told(&format!("x ERROR {}", "long ".repeat(100)))
                .chars()
                .count(),
            LONGEST + 3
        );
    }

    #[test]
    fn a_server_that_gave_up_listening_is_known_by_two_lines() {
        assert!(gave_up_listening(&lines(&[
            "INFO a: Listening on [127.0.0.1:8008]",
            "INFO b: Shutting down services..."
        ])));
        assert!(!gave_up_listening(&lines(&[
            "INFO a: Listening on [127.0.0.1:8008]"
        ])));
        assert!(!gave_up_listening(&lines(&[
            "INFO a: Listening on [x]",
            "INFO b: Received SIGTERM",
            "INFO b: Shutting down services...",
        ])));
    }
}
