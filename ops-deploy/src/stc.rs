//! The exit statuses of `switch-to-configuration`, told apart and explained.

/// What an activation's status says about the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The new system runs, as far as it can tell.
    Live,
    /// The new system runs; some unit is not well, which may or may not have to do with it.
    LiveWithSickUnits,
    /// Nothing was changed; the host has to be rebooted into the new system.
    RebootNeeded,
    /// Nothing was changed, and nothing was tried.
    Refused,
    /// Something was changed, and it broke.
    Broken,
}

/// How an activation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this status.
    Exited(u8),
    /// By this signal.
    Killed(u8),
    /// It took longer than it may.
    TooLong,
    /// Its unit is gone, and nobody knows.
    Lost,
    /// The host could not start it.
    NotStarted,
    /// The host has ended the deployment before, and starts nothing more of it.
    Over,
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "ended with status {status}"),
            Self::Killed(signal) => write!(f, "was killed by signal {signal}"),
            Self::TooLong => f.write_str("took too long"),
            Self::Lost => f.write_str("was lost"),
            Self::NotStarted => f.write_str("could not be started"),
            Self::Over => f.write_str("came too late: the armed time was over"),
        }
    }
}

/// Words in the journal of the activation that show that switch inhibitors stood in its way.
const INHIBITED: [&str; 2] = [
    "inhibitors",
    "Switching into this system is not recommended",
];

/// Judges the end of `switch-to-configuration test`, with what it said.
#[must_use]
pub fn meaning(ending: Ending, said: &[String]) -> Meaning {
    let inhibited = said
        .iter()
        .any(|line| INHIBITED.iter().any(|words| line.contains(words)));
    match ending {
        Ending::Exited(0) => Meaning::Live,
        Ending::Exited(4) => Meaning::LiveWithSickUnits,
        Ending::Exited(100) => Meaning::RebootNeeded,
        Ending::Exited(1) if inhibited => Meaning::RebootNeeded,
        Ending::Exited(11) => Meaning::Refused,
        _ => Meaning::Broken,
    }
}

/// Explains the end of an activation in a few words.
#[must_use]
pub fn explain(ending: Ending, said: &[String]) -> String {
    match (ending, meaning(ending, said)) {
        (Ending::Exited(0), _) => "activation done".to_owned(),
        (Ending::Exited(1), Meaning::RebootNeeded) => {
            "reboot needed: critical components differ, so the system refuses to be switched to (status 1)".to_owned()
        }
        (Ending::Exited(1), _) => "activation refused or failed (status 1: pre-switch check, boot loader, or a general error)".to_owned(),
        (Ending::Exited(2), _) => {
            "the activation script failed (status 2: a secret that cannot be decrypted ends like this, without a failed unit)".to_owned()
        }
        (Ending::Exited(4), _) => "activation done, but units failed (status 4)".to_owned(),
        (Ending::Exited(11), _) => "another switch-to-configuration holds the lock of the host (status 11)".to_owned(),
        (Ending::Exited(100), _) => {
            "reboot needed: systemd cannot go over to the new system while it runs (status 100)".to_owned()
        }
        (Ending::Exited(101), _) => "switch-to-configuration crashed (status 101)".to_owned(),
        (Ending::Exited(203), _) => "its switch-to-configuration cannot be run (status 203)".to_owned(),
        (Ending::Exited(status), _) => format!("activation failed with status {status}"),
        (Ending::Killed(signal), _) => format!("activation was killed by signal {signal}"),
        (Ending::TooLong, _) => "activation did not end within the armed time".to_owned(),
        (Ending::NotStarted, _) => "the host could not start the activation".to_owned(),
        (Ending::Over, _) => "the armed time was over before the activation".to_owned(),
        (Ending::Lost, _) => "nobody knows how the activation ended: its unit is gone".to_owned(),
    }
}

/// Reads how a transient unit ended from its properties, `KEY=VALUE` separated by spaces.
#[must_use]
pub fn ending(properties: &str) -> Ending {
    let value = |key: &str| {
        let found = properties
            .split_whitespace()
            .find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        found.unwrap_or("")
    };
    let status = value("ExecMainStatus").parse().unwrap_or(u8::MAX);
    match (value("LoadState"), value("Result"), value("ExecMainCode")) {
        ("not-found", ..) => Ending::Lost,
        (_, "not-started", _) => Ending::NotStarted,
        (_, "over", _) => Ending::Over,
        (_, "timeout", _) => Ending::TooLong,
        // CLD_EXITED, CLD_KILLED and CLD_DUMPED
        (_, _, "1") => Ending::Exited(status),
        (_, _, "2" | "3") => Ending::Killed(status),
        _ => Ending::Lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_meaning() {
        let plain = ["warning: something".to_owned()];
        let inhibited = ["There are changes: inhibitors: dbus".to_owned()];
        let cases = [
            (Ending::Exited(0), Meaning::Live),
            (Ending::Exited(1), Meaning::Broken),
            (Ending::Exited(2), Meaning::Broken),
            (Ending::Exited(4), Meaning::LiveWithSickUnits),
            (Ending::Exited(11), Meaning::Refused),
            (Ending::Exited(100), Meaning::RebootNeeded),
            (Ending::Exited(101), Meaning::Broken),
            (Ending::Killed(9), Meaning::Broken),
            (Ending::TooLong, Meaning::Broken),
            (Ending::Lost, Meaning::Broken),
        ];
        for (ending, expected) in cases {
            assert_eq!(meaning(ending, &plain), expected, "{ending:?}");
        }
        assert_eq!(
            meaning(Ending::Exited(1), &inhibited),
            Meaning::RebootNeeded
        );
        assert_eq!(meaning(Ending::Exited(2), &inhibited), Meaning::Broken);
    }

    #[test]
    fn explanations_name_the_status() {
        for status in [1, 2, 4, 11, 100, 101, 37] {
            let told = explain(Ending::Exited(status), &[]);
            assert!(told.contains(&status.to_string()), "{told}");
        }
    }

    #[test]
    fn the_end_of_a_unit_is_read_from_its_properties() {
        let cases = [
            (
                "LoadState=loaded ActiveState=active SubState=exited Result=success ExecMainCode=1 ExecMainStatus=0 ",
                Ending::Exited(0),
            ),
            (
                "LoadState=loaded ActiveState=failed SubState=failed Result=exit-code ExecMainCode=1 ExecMainStatus=4 ",
                Ending::Exited(4),
            ),
            (
                "LoadState=loaded ActiveState=failed Result=signal ExecMainCode=2 ExecMainStatus=9 ",
                Ending::Killed(9),
            ),
            (
                "LoadState=loaded ActiveState=failed Result=timeout ExecMainCode=2 ExecMainStatus=15 ",
                Ending::TooLong,
            ),
            (
                "LoadState=not-found ActiveState=inactive Result=success ExecMainCode=0 ExecMainStatus=0",
                Ending::Lost,
            ),
            ("", Ending::Lost),
        ];
        for (text, expected) in cases {
            assert_eq!(ending(text), expected, "{text}");
        }
    }
}
