//! Whose line it is. What an operator hands over may be the journal of a whole machine, with other bridges in it that write
//! just the same lines, and systemd's words about every unit.

use crate::envelope::Envelope;

/// The name of the program.
const PROGRAM: &str = "mautrix-slack";

/// What others of its family are called.
const FAMILY: &str = "mautrix-";

/// Tells the lines of one bridge from those of others.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    unit: String,
    /// The unit that turned out to be the bridge's, whatever it is called.
    found: String,
}

impl Origin {
    /// Starts to look for lines of a unit.
    pub(crate) fn of(unit: &str) -> Self {
        let unit = unit.strip_suffix(".service").unwrap_or(unit).to_owned();
        Self {
            unit,
            found: String::new(),
        }
    }

    /// Whether that is the bridge's unit, by its name.
    pub(crate) fn is_named(&self, unit: &str) -> bool {
        unit.contains(&self.unit) || !self.found.is_empty() && unit == self.found
    }

    /// Whether a line is the bridge's, or about it. What tells nothing of where it comes from is taken.
    pub(crate) fn takes(&mut self, envelope: &Envelope, text: &str) -> bool {
        if envelope.from_systemd {
            return match envelope.unit() {
                "" => self.takes_unit_of(text),
                unit => self.is_named(unit),
            };
        }
        let (unit, program) = (envelope.unit(), envelope.command.as_str());
        if self.is_named(unit) || unit.is_empty() && program.is_empty() {
            return true;
        }
        let is_other = |name: &str| name.contains(FAMILY) && !name.contains(PROGRAM);
        if is_other(unit) || is_other(program) {
            return false;
        }
        // Only the name of the program is known: it may be that of a container.
        if unit.is_empty() {
            return true;
        }
        let is_it = program.contains(PROGRAM) || self.found.is_empty() && is_proof(text);
        if is_it {
            unit.clone_into(&mut self.found);
        }
        is_it
    }

    /// Whether words of systemd are about the bridge: the unit stands in them, or, before systemd 249, what it is described as.
    fn takes_unit_of(&self, text: &str) -> bool {
        match unit_in(text) {
            Some(unit) => self.is_named(unit),
            None => text.to_ascii_lowercase().contains("slack"),
        }
    }
}

/// The unit that systemd's words name.
fn unit_in(text: &str) -> Option<&str> {
    text.split([' ', ':'])
        .map(|word| word.trim_end_matches('.'))
        .find(|word| word.ends_with(".service"))
}

/// Whether a text is systemd's about a unit, by its words alone: nothing else stands in `journalctl -o cat`.
pub(crate) fn is_of_systemd(text: &str) -> bool {
    const CHANGES: [&str; 4] = ["Starting ", "Started ", "Stopping ", "Stopped "];
    const AFTER: [&str; 4] = [
        ".service: Main process exited, code=",
        ".service: Scheduled restart job",
        ".service: Deactivated successfully.",
        ".service: Failed with result '",
    ];
    let is_unit = |text: &str| !text.contains(' ');
    let change = CHANGES.iter().find_map(|start| text.strip_prefix(start));
    match change {
        Some(rest) => rest
            .split_once(".service")
            .is_some_and(|(unit, _)| is_unit(unit)),
        None => AFTER.iter().any(|after| {
            text.split_once(after)
                .is_some_and(|(unit, _)| is_unit(unit))
        }),
    }
}

/// Whether a line can only be this bridge's.
fn is_proof(text: &str) -> bool {
    text.contains(PROGRAM) || text.contains("bridge_state") && text.contains("slack")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(fields: &[(&str, &str)]) -> Envelope {
        let mut envelope = Envelope::default();
        for (key, value) in fields {
            envelope.take(key, value, &mut String::new());
        }
        envelope
    }

    #[test]
    fn lines_of_other_units_are_not_taken() {
        let mut origin = Origin::of("mautrix-slack.service");
        let mut takes = |fields: &[(&str, &str)], text: &str| origin.takes(&envelope(fields), text);
        let systemd = [("_COMM", "systemd"), ("_SYSTEMD_UNIT", "init.scope")];
        let about = |unit| [&systemd[..], &[("UNIT", unit)]].concat();
        assert!(takes(&[], "anything"));
        assert!(takes(&about("mautrix-slack.service"), "Started x."));
        assert!(takes(&about("matrix-mautrix-slack.service"), "Started x."));
        assert!(!takes(&about("nginx.service"), "Started x."));
        assert!(takes(&systemd, "Started mautrix-slack.service - bridge."));
        assert!(takes(&systemd, "Started Mautrix-Slack bridge."));
        assert!(!takes(&systemd, "Started nginx.service - a proxy."));
        assert!(!takes(&systemd, "Started Session 4 of User op."));
        let signal = [
            ("_COMM", "mautrix-signal"),
            ("_SYSTEMD_UNIT", "mautrix-signal.service"),
        ];
        assert!(!takes(
            &signal,
            r#"{"level":"info","message":"Bridge started"}"#
        ));
        assert!(!takes(&[("_COMM", "mautrix-signal")], "INF Bridge started"));
        let sshd = [("_COMM", "sshd"), ("_SYSTEMD_UNIT", "ssh.service")];
        assert!(!takes(&sshd, "Accepted publickey"));
        // Another name, found by its program or by what it says.
        assert!(!takes(&about("bridge.service"), "Started bridge.service."));
        let renamed = [
            ("_COMM", "mautrix-slack"),
            ("_SYSTEMD_UNIT", "bridge.service"),
        ];
        assert!(takes(&renamed, "x"));
        assert!(takes(&about("bridge.service"), "Stopped bridge.service."));
    }

    #[test]
    fn a_container_is_known_by_what_it_says() {
        let mut origin = Origin::of("mautrix-slack");
        let docker = envelope(&[("_COMM", "docker"), ("_SYSTEMD_UNIT", "chat.service")]);
        assert!(!origin.takes(&docker, r#"{"level":"info","message":"x"}"#));
        let first = r#"{"level":"info","name":"mautrix-slack","message":"Initializing bridge"}"#;
        assert!(origin.takes(&docker, first));
        assert!(origin.takes(&docker, r#"{"level":"info","message":"x"}"#));
    }

    #[test]
    fn words_of_systemd_are_known_without_their_writer() {
        for text in [
            "Started mautrix-slack.service - Mautrix-Slack bridge.",
            "Stopping mautrix-slack.service...",
            "mautrix-slack.service: Main process exited, code=exited, status=11/n/a",
            "mautrix-slack.service: Failed with result 'exit-code'.",
        ] {
            assert!(is_of_systemd(text), "{text}");
        }
        for text in [
            "Started",
            "Started the engine",
            "Started by a b.service",
            "x y.service: Failed with result '",
        ] {
            assert!(!is_of_systemd(text), "{text}");
        }
    }
}
