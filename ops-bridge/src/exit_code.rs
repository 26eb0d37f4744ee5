//! What the exit status of the bridge's process means.

/// A status and what is known of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExitCode {
    pub(crate) code: u8,
    pub(crate) meaning: &'static str,
    pub(crate) remedy: &'static str,
}

/// What is known of a status.
pub(crate) fn find(code: u8) -> Option<&'static ExitCode> {
    CODES.iter().find(|known| known.code == code)
}

/// The meaning in one line, for any status.
pub(crate) fn words(code: u8) -> String {
    find(code).map_or_else(
        || format!("exit {code}"),
        |known| format!("exit {code}: {}", known.meaning),
    )
}

const fn exit(code: u8, meaning: &'static str, remedy: &'static str) -> ExitCode {
    ExitCode {
        code,
        meaning,
        remedy,
    }
}

#[rustfmt::skip]
static CODES: &[ExitCode] = &[
    exit(0, "stopped on request", ""),
    exit(1, "wrong command line, configuration of the old generation, or database of the old generation", "read the last line: ops-bridge log -n 5; an old configuration or database must be migrated with the release before bridgev2"),
    exit(2, "the bridge crashed (Go panic)", "report the trace to the authors of the bridge: ops-bridge log -n 50"),
    exit(5, "-g and -n were given together", "correct the unit's command line"),
    exit(10, "the configuration file cannot be read or is no valid YAML", "check the file's path, owner and syntax"),
    exit(11, "configuration error: something required is missing or still has the example's value (not missing Slack credentials)", "the log names it: bridge.permissions must hold more than '*', homeserver.domain, as_token and hs_token must be set, username_template needs its placeholder"),
    exit(12, "the logger cannot be set up", "a log file that cannot be written, or an unknown format: set logging.writers to stdout"),
    exit(13, "the homeserver cannot reach the bridge", "compare appservice.address, port and hs_token with the registration that the homeserver has; is another program on the port?"),
    exit(14, "the database type is unknown", "database.type must be postgres or sqlite3-fk-wal"),
    exit(15, "the database cannot be used: not reachable, missing, owned by another program, or too new", "ops-db status; does the database exist and does the role own it?"),
    exit(16, "the homeserver does not accept the as_token", "register the bridge's registration.yaml with the homeserver and restart it"),
    exit(17, "the as_token belongs to another bridge", "use the registration that was made for this bridge"),
    exit(18, "the homeserver is too old, or a SQLite database is damaged", "update the homeserver"),
    exit(20, "no registration could be made: homeserver.domain is not set", "set homeserver.domain"),
    exit(21, "the registration could not be written", "check the folder's owner"),
    exit(22, "the configuration could not be written", "check the file's owner"),
    exit(23, "neither a port nor a websocket is configured", "set appservice.hostname and appservice.port"),
    exit(31, "the migration to split portals failed", "ops-bridge log -n 50"),
    exit(32, "split portals cannot be undone", "set bridge.split_portals back to true"),
    exit(33, "encryption: the bridge's own keys are broken", "ops-bridge log -n 50"),
    exit(34, "encryption: the bridge could not sign itself", "ops-bridge log -n 50"),
    exit(50, "encryption: the machine could not be set up again", "ops-bridge log -n 50"),
    exit(51, "encryption: the sync failed for good", "ops-bridge log -n 50"),
    exit(200, "systemd: the working directory is missing", "create it, or correct WorkingDirectory="),
    exit(203, "systemd: the program could not be started", "check ExecStart= of the unit"),
    exit(217, "systemd: the user does not exist", "create it, or correct User="),
    exit(226, "systemd: the sandbox could not be set up", "a path of ReadWritePaths= or the like does not exist"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eleven_is_a_configuration_error_and_fifteen_the_database() {
        assert!(
            words(11).starts_with("exit 11: configuration error")
                && words(11).contains("not missing Slack credentials")
        );
        assert!(words(15).contains("the database cannot be used"));
        assert_eq!(words(99), "exit 99");
        assert!(CODES.is_sorted_by_key(|known| known.code));
    }
}
