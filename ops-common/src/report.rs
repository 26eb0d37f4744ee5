//! Everything for people: messages and progress on stderr. Data never passes here.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::sync::Arc;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::exit::{self, Failure, Status};

/// The stderr of one run.
#[derive(Clone, Debug)]
pub struct Report {
    tool: &'static str,
    about: Option<Arc<str>>,
    quiet: bool,
    verbose: bool,
    color: bool,
    bars: MultiProgress,
}

impl Report {
    /// A report that speaks as `tool`.
    #[must_use]
    pub fn new(tool: &'static str, quiet: bool, verbose: bool, color: bool) -> Self {
        let bars = MultiProgress::new();
        if quiet || !std::io::stderr().is_terminal() {
            bars.set_draw_target(ProgressDrawTarget::hidden());
        }
        Self {
            tool,
            about: None,
            quiet,
            verbose,
            color,
            bars,
        }
    }

    /// The same report, whose messages carry the name of one of several hosts.
    #[must_use]
    pub fn about(&self, host: &str) -> Self {
        Self {
            about: Some(host.into()),
            ..self.clone()
        }
    }

    /// Tells that something failed, why, and what to do. A reader of stdout that left is not worth a word.
    pub fn failure(&self, failure: &dyn Failure, described: &str) {
        if failure.status() == Status::ReaderLeft {
            return;
        }
        self.error(described);
        if let Some(hint) = failure.hint() {
            self.hint(hint);
        }
    }

    /// Tells an error. Errors are told under `--quiet` too.
    pub fn error(&self, message: impl Display) {
        self.line("error", "31", &message.to_string());
    }

    /// Tells something that does not stop the work but should not be missed.
    pub fn warn(&self, message: impl Display) {
        if !self.quiet {
            self.line("warning", "33", &message.to_string());
        }
    }

    /// Tells what to do about the message before.
    pub fn hint(&self, message: impl Display) {
        if !self.quiet {
            self.line("hint", "36", &message.to_string());
        }
    }

    /// Tells what a person who asked for more (`-v`) wants to know.
    pub fn note(&self, message: impl Display) {
        if self.verbose && !self.quiet {
            self.line("note", "2", &message.to_string());
        }
    }

    /// Whether `-v` was given: for notes that are costly to make.
    #[must_use]
    pub fn is_verbose(&self) -> bool {
        self.verbose && !self.quiet
    }

    /// Shows progress over `total` bytes, or of unknown length, while stderr is a terminal.
    #[must_use]
    pub fn progress(&self, what: &str, total: Option<u64>) -> ProgressBar {
        let bar = self
            .bars
            .add(total.map_or_else(ProgressBar::no_length, ProgressBar::new));
        let template = match total {
            Some(_) => "{msg} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            None => "{msg} {bytes} {bytes_per_sec}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.with_message(what.to_owned())
    }

    fn line(&self, kind: &str, color: &str, message: &str) {
        let (on, off) = if self.color {
            (format!("\x1b[{color}m"), "\x1b[0m")
        } else {
            (String::new(), "")
        };
        let about = self
            .about
            .as_deref()
            .filter(|host| !message.contains(*host));
        let about = about.map(|host| format!("{host}: ")).unwrap_or_default();
        let line = format!(
            "{}: {on}{kind}:{off} {about}{}\n",
            self.tool,
            printable(message)
        );
        // Nothing can be told about a stderr that fails.
        self.bars
            .suspend(|| drop(std::io::stderr().write_all(line.as_bytes())));
    }
}

/// Text from outside made harmless for a terminal: what acts there, except newline and tab, in its escaped form.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if acts_on_terminal(c) && c != '\n' && c != '\t' {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Whether a terminal does something for a character in place of showing it: controls, line separators, and what turns the
/// direction of text, which makes it read as another.
pub(crate) fn acts_on_terminal(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Tells a failure with its causes.
pub(crate) fn tell(report: &Report, failure: &impl Failure) {
    report.failure(failure, &exit::describe(failure));
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn control_characters_cannot_reach_a_terminal() {
        assert_eq!(
            printable("a\x1b[31mb\r\u{9b}c\nd\te"),
            "a\\u{1b}[31mb\\r\\u{9b}c\nd\te"
        );
        assert_eq!(
            printable("\u{202e}txt.exe\u{2028}"),
            "\\u{202e}txt.exe\\u{2028}"
        );
        assert_eq!(printable("e\u{301} 漢 \u{200d}"), "e\u{301} 漢 \u{200d}");
    }
}
