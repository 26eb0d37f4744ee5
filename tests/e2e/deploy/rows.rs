//! The rows of the fault matrix that are one deployment each, and how many points the whole matrix has.

use std::collections::BTreeSet;

use crate::bed::System;

/// Settings under which a deployment fails soon, and has time for that on a busy machine.
pub(crate) const QUICK: &str = "health_window: 500ms, rollback_after: 20s, health: []";

/// Settings for what ends only when the armed time is over.
const ARMED: &str = "health_window: 500ms, rollback_after: 8s, health: []";

/// A deployment that must fail.
#[derive(Clone)]
pub(crate) struct Row {
    /// What is wrong, for messages.
    pub(crate) fault: &'static str,
    /// The system that is deployed.
    pub(crate) new: System,
    /// The `deploy` section.
    pub(crate) settings: &'static str,
    /// The status of the tool.
    pub(crate) status: i32,
    /// What it must say on stderr.
    pub(crate) says: &'static str,
    /// What its record must have as outcome and in its reason.
    pub(crate) outcome: &'static str,
    /// Part of the reason.
    pub(crate) reason: &'static str,
    /// Whether it is for the long run: another row goes the same way through the tool.
    pub(crate) long: bool,
}

impl Row {
    fn rolled_back(fault: &'static str, new: System, reason: &'static str) -> Self {
        Self {
            fault,
            new,
            settings: QUICK,
            status: 1,
            says: "is not kept",
            outcome: "rolled-back",
            reason,
            long: false,
        }
    }

    fn settings(mut self, settings: &'static str) -> Self {
        self.settings = settings;
        self
    }

    fn long(mut self) -> Self {
        self.long = true;
        self
    }

    fn refused(mut self) -> Self {
        self.outcome = "refused";
        self.says = "activate --reboot";
        self
    }
}

/// Shell text for the build of a system whose pre-switch check is this code.
fn pre_switch_check(code: &str) -> String {
    format!(
        "printf '#!/bin/sh\\n%s\\n' '{code}' >$out/pre-switch-check; /bin/chmod 755 $out/pre-switch-check\n"
    )
}

fn new() -> System {
    System::new("2")
}

/// The activation does not go well.
pub(crate) fn activation() -> Vec<Row> {
    vec![
        Row::rolled_back(
            "pre-switch check says no",
            new().extra(&pre_switch_check("exit 1")),
            "status 1",
        )
        .long(),
        Row::rolled_back(
            "inhibitors",
            new().extra(&pre_switch_check("echo inhibitors: dbus; exit 1")),
            "reboot needed",
        )
        .refused(),
        Row::rolled_back(
            "init interface",
            new().extra("echo systemd 999 >$out/init-interface-version"),
            "status 100",
        )
        .refused(),
        Row::rolled_back(
            "activation script fails",
            new().hook("activate", "exit 1"),
            "status 2",
        ),
        Row::rolled_back(
            "some other status",
            new().hook("settled", "return 37"),
            "status 37",
        )
        .long(),
        Row::rolled_back("a panic", new().hook("settled", "return 101"), "status 101").long(),
        Row::rolled_back("killed", new().hook("settled", "kill -9 $$"), "signal 9"),
        Row::rolled_back(
            "it says that it is killed",
            new().hook("settled", "return 137"),
            "status 137",
        )
        .long(),
        Row::rolled_back(
            "it takes too long",
            new().hook("activate", "sleep 1000"),
            "armed time",
        )
        .settings(ARMED),
        Row::rolled_back(
            "the boot loader fails",
            new().hook("boot", "return 1"),
            "boot loader",
        ),
        Row::rolled_back(
            "no program",
            new().extra("/bin/rm $out/bin/switch-to-configuration"),
            "could not start the activation",
        ),
        Row::rolled_back(
            "a program that cannot be run",
            new().extra("echo \"#!/no/such/shell\" >$out/bin/switch-to-configuration"),
            "status 203",
        )
        .long(),
        Row::rolled_back(
            "another switch-to-configuration",
            new().hook("before", "return 11"),
            "status 11",
        )
        .long()
        .refused(),
    ]
}

/// Units of the new system are not well, or its health commands are not.
pub(crate) fn units() -> Vec<Row> {
    vec![
        Row::rolled_back("fails at once", new().service("bad", "exit 3"), "bad.service: failed (exit-code, status 3)"),
        Row::rolled_back("cannot start", new().service_with("bad", "exit 1", "Type=oneshot\n"), "bad.service").long(),
        Row::rolled_back("fails after a while", new().service("bad", "sleep 0.3; exit 1"), "bad.service").long(),
        Row::rolled_back("flaps", new().service_with("bad", "sleep 0.2; exit 1", "Restart=always\nRestartSec=0.1\n"), "bad.service"),
        Row::rolled_back("flaps with success", new().service_with("bad", "sleep 0.2", "Restart=always\nRestartSec=0.1\n"), "bad.service").long()
            .settings("health_window: 2s, rollback_after: 20s, health: []"),
        Row::rolled_back("its own service breaks", new().service("app", "exit 1"), "app.service").long(),
        Row::rolled_back("stops listening", new().service("web", "exec sleep 1000"), "web.service: no longer listens")
            .settings("health_window: 500ms, rollback_after: 20s, health: [], units: [web]"),
        Row::rolled_back(
            "health command fails",
            new(),
            "status 1",
        )
        .settings("health_window: 500ms, rollback_after: 20s, health: ['ssh units-1 readlink /run/current-system | grep -q -- -1$']"),
        Row::rolled_back("health command hangs", new(), "did not end within")
            .settings("health_window: 500ms, rollback_after: 20s, health: ['ssh units-1 readlink /run/current-system | grep -q -- -1$ || sleep 1000']"),
    ]
}

/// Nobody can log in any more.
pub(crate) fn logins() -> Vec<Row> {
    // A drop-in of the new system, which its sshd reads when it starts again at the end of the switch.
    let sshd = |line: &str, restart: &'static str| {
        new()
            .file("ssh/sshd_config.d/00-system.conf", line)
            .hook("settled", restart)
    };
    let restart = "systemctl restart ssh";
    let no_login = "a new login does not work";
    let rows = vec![
        Row::rolled_back(
            "sshd is stopped",
            new().hook("activate", "systemctl stop ssh.socket ssh"),
            no_login,
        ),
        Row::rolled_back(
            "sshd is stopped and every connection cut",
            new().hook(
                "activate",
                "systemctl stop ssh.socket ssh; pkill -9 sshd; :",
            ),
            "",
        ),
        Row::rolled_back(
            "sshd cannot read its configuration",
            sshd("NoSuchOption yes\n", "systemctl restart ssh || :"),
            "ssh.service",
        ),
        Row::rolled_back(
            "sshd lets nobody in",
            sshd("AllowUsers nobody\n", restart),
            no_login,
        ),
        Row::rolled_back(
            "sshd lets nobody in and every connection is cut",
            sshd(
                "AllowUsers nobody\n",
                "systemctl restart ssh; pkill -9 sshd-session; :",
            ),
            "",
        ),
        Row::rolled_back(
            "sshd listens elsewhere",
            sshd("ListenAddress 127.0.0.1\n", restart),
            no_login,
        )
        .long(),
        Row::rolled_back(
            "sshd looks for keys elsewhere",
            sshd("AuthorizedKeysFile /etc/no/such/file\n", restart),
            no_login,
        )
        .long(),
    ];
    rows.into_iter().map(|row| row.settings(ARMED)).collect()
}

/// The points that are scenarios of their own, by the words that they have in their file.
const SCENARIOS: [(&str, &[&str]); 4] = [
    (
        include_str!("matrix.rs"),
        &[
            "fn what_was_broken_before_is_nobodys_fault",
            "fn a_system_deployed_again_keeps_its_generation",
            "fn a_full_disk",
        ],
    ),
    (
        include_str!("killed.rs"),
        &[
            "\"in the activation\"",
            "\"after the activation\"",
            "\"at the boot loader\"",
            "\"while putting back\"",
            "fn an_interrupt_puts_back_at_once",
            "\"in the build\"",
            "\"in the baseline\"",
            "\"in the copy\"",
        ],
    ),
    (
        include_str!("cut.rs"),
        &[
            "// For so long that the host gives up",
            "// For a moment",
            "(\"in the activation\"",
            "\"before the boot loader\"",
            "// In the baseline",
            "// In the copy",
            "// While the old one is put back",
            "fn the_next_run_repairs_what_host_and_tool_died_of",
        ],
    ),
    (
        include_str!("race.rs"),
        &[
            "fn others_at_the_same_time",
            "fn the_timer_is_faster_than_the_commit",
            "fn the_timer_ends_what_was_committed_while_we_slept",
            "fn who_slept_too_long_changes_nothing_of_the_next",
        ],
    ),
];

#[test]
fn the_matrix_has_at_least_forty_points() {
    let rows = [activation(), units(), logins()].concat();
    let mut points: BTreeSet<String> = rows.iter().map(|row| row.fault.to_owned()).collect();
    assert_eq!(points.len(), rows.len(), "each row has a name of its own");
    for (place, (file, words)) in SCENARIOS.iter().enumerate() {
        for word in *words {
            assert!(file.contains(word), "{word} is no longer there");
            assert!(points.insert(format!("{place}: {word}")), "{word} twice");
        }
    }
    assert!(points.len() >= 40, "{} points: {points:?}", points.len());
}
