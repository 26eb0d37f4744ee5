//! The lab itself: what every other test relies on.

use ops_tests::{Kind, Lab, skip};

#[test]
fn a_platform_host_runs_all_of_the_platform() {
    let Some(lab) = Lab::get() else { return skip("lab") };
    let host = lab.host("platform-1", Kind::Platform);
    assert_eq!(host.ssh("systemctl is-system-running").expect(0).out(), "running\n");
    let units = "systemctl is-active postgresql nginx matrix-continuwuity mautrix-slack";
    assert_eq!(host.ssh(units).expect(0).out(), "active\nactive\nactive\nactive\n");
    host.wait_for_log("mautrix-slack", "No user logins found");
    host.sh("curl --fail -sS https://chat.example/_matrix/client/versions | jq -e .versions").expect(0);
}

#[test]
fn a_host_survives_a_reboot_and_a_power_cut() {
    let Some(lab) = Lab::get() else { return skip("lab") };
    let host = lab.host("phoenix", Kind::Plain);
    host.sh("echo kept > /etc/kept; touch /run/lost; cat /proc/sys/kernel/random/boot_id").expect(0);
    host.reboot();
    host.sh("test -e /etc/kept && test ! -e /run/lost && touch /run/lost").expect(0);
    host.kill();
    assert_ne!(host.ssh("true").status, 0, "a host without power must not answer");
    assert_eq!(host.read("/etc/kept"), b"kept\n");
    host.start();
    host.ssh("test -e /etc/kept && test ! -e /run/lost").expect(0);
    assert_eq!(host.boots(), 3);
}
