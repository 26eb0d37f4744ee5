//! The lab itself: what every other test relies on.

mod ends;
mod harness;
mod network;

use ops_tests::nixos::{self, System};
use ops_tests::{Kind, Lab, command, skip};

const BROKEN: &str =
    "[Service]\nType=oneshot\nExecStart=/bin/false\n[Install]\nWantedBy=multi-user.target\n";

#[test]
fn a_platform_host_runs_all_of_the_platform() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = lab.host("platform-1", Kind::Platform);
    assert_eq!(
        host.ssh("systemctl is-system-running").expect(0).out(),
        "running\n"
    );
    let units = "systemctl is-active postgresql nginx matrix-continuwuity mautrix-slack";
    assert_eq!(
        host.ssh(units).expect(0).out(),
        "active\nactive\nactive\nactive\n"
    );
    host.wait_for_log("mautrix-slack", "No user logins found");
    host.sh("curl --fail -sS https://chat.example/_matrix/client/versions | jq -e .versions")
        .expect(0);
}

#[test]
fn a_host_survives_a_reboot_and_a_power_cut() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = lab.host("phoenix", Kind::Plain);
    host.sh("echo kept > /etc/kept; touch /run/lost; cat /proc/sys/kernel/random/boot_id")
        .expect(0);
    host.reboot();
    host.sh("test -e /etc/kept && test ! -e /run/lost && touch /run/lost")
        .expect(0);
    host.kill();
    assert_ne!(
        host.ssh("true").status,
        0,
        "a host without power must not answer"
    );
    assert_eq!(host.read("/etc/kept"), b"kept\n");
    host.start();
    host.ssh("test -e /etc/kept && test ! -e /run/lost")
        .expect(0);
    assert_eq!(host.boots(), 3);
}

/// Builds a system with Nix and copies it to the host `nixos`; returns its store path.
fn build_and_copy(folder: &std::path::Path, system: System) -> String {
    nixos::flake(folder, &[system]);
    let target = ".#nixosConfigurations.nixos.config.system.build.toplevel";
    command("nix")
        .args(["build", target])
        .dir(folder)
        .run()
        .expect(0);
    let path = folder.join("result").canonicalize();
    let path = path.expect("nix leaves a link").display().to_string();
    command("nix")
        .args(["copy", "--no-check-sigs", "--to", "ssh-ng://nixos", &path])
        .run()
        .expect(0);
    path
}

#[test]
fn a_system_built_by_nix_follows_the_contract_of_switching() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = lab.host("nixos", Kind::Plain);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let build = |system| build_and_copy(folder.path(), system);
    let switch = |path: &str, action: &str| {
        host.ssh(&format!("{path}/bin/switch-to-configuration {action}"))
    };
    let first = host.sh("readlink /run/current-system").expect(0).out();

    let good =
        build(System::new("nixos").service("hello", "echo \"it's ${HOME:-up}\"; exec sleep inf"));
    switch(&good, "test")
        .expect(0)
        .complains("the following new units were started: hello.service");
    host.wait_for_log("hello", "it's up");
    host.reboot();
    assert_eq!(
        host.sh("readlink /run/current-system").out(),
        first,
        "'test' must not last"
    );
    switch(&good, "switch").expect(0);
    host.reboot();
    host.ssh("systemctl is-active hello").expect(0);

    let bad = build(
        System::new("nixos")
            .version("25.05.2")
            .unit("hello.service", BROKEN),
    );
    switch(&bad, "test")
        .expect(4)
        .complains("the following units failed: hello.service");
    switch(&good, "test")
        .expect(0)
        .complains("the following new units were started: hello.service");
    switch(first.trim(), "switch")
        .expect(0)
        .complains("stopping the following units: hello.service");
}
