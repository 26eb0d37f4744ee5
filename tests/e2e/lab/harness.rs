//! Running programs: the harness must see what a person would see, and must not see what is not there.

use std::time::Duration;

use ops_tests::{bin_dir, command};
use rustix::process::Signal;

#[test]
fn the_environment_is_clean() {
    let names = command("env").run().expect(0).out();
    let mut names: Vec<_> = names
        .lines()
        .filter_map(|line| line.split('=').next())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["HOME", "LANG", "PATH", "TMPDIR", "TZ"]);
    let given = command("env").env("OPS_HOST", "db-1").run().expect(0).out();
    assert!(given.contains("OPS_HOST=db-1\n"));
}

#[test]
fn streams_and_statuses_are_kept_apart() {
    let ran = command("sh")
        .args(["-c", "cat; echo told >&2; exit 65"])
        .stdin("asked")
        .run();
    assert_eq!(
        (ran.status, ran.out().as_str(), ran.err().as_str()),
        (65, "asked", "told\n")
    );
    let ran = command("sh").args(["-c", "kill -TERM $$"]).run();
    assert_eq!((ran.status, ran.signal), (143, Some(15)));
}

#[test]
fn standard_input_is_empty_unless_it_is_given() {
    assert_eq!(command("cat").run().expect(0).out(), "");
    command("cat")
        .through("exec \"$@\" <&-")
        .run()
        .expect(1)
        .complains("Bad file descriptor");
    command("echo")
        .arg("text")
        .through("exec \"$@\" > /dev/full")
        .run()
        .expect(1);
}

#[test]
fn a_terminal_is_one() {
    let text = "tty > /dev/null && stty size && printf 'name? ' && read name && echo \"it is $name\" > /dev/tty";
    let mut running = command("sh").args(["-c", text]).terminal(132, 50).spawn();
    running.wait_for("name? ");
    running.type_in("ada\n");
    let ran = running.finish().expect(0);
    assert!(
        ran.out().starts_with("50 132\r\n") && ran.out().ends_with("it is ada\r\n"),
        "{ran}"
    );
    let mut running = command("sh")
        .args(["-c", "echo up; read line"])
        .terminal(80, 24)
        .spawn();
    running.wait_for("up");
    running.type_in("\u{3}");
    assert_eq!(running.finish().signal, Some(2));
}

#[test]
fn what_is_running_can_be_watched() {
    let running = command("sh")
        .args([
            "-c",
            "trap 'echo end >&2; exit 3' USR1; echo begin; while :; do :; done",
        ])
        .spawn();
    running.wait_for("begin");
    running.signal(Signal::USR1);
    running.wait_for_complaint("end");
    assert_eq!(running.finish().status, 3);
}

#[test]
#[should_panic(expected = "did not end within")]
fn a_program_that_hangs_fails_the_test() {
    let ran = command("sleep")
        .arg("infinity")
        .timeout(Duration::from_millis(200))
        .run();
    unreachable!("{ran}");
}

#[test]
#[should_panic(expected = "never said \"spring\"")]
fn a_text_that_does_not_come_fails_the_test() {
    command("echo").arg("autumn").spawn().wait_for("spring");
}

/// Runs one of the tests here by itself, with another idea of what must not be missing.
fn with_requirement(names: &str) -> ops_tests::Ran {
    let myself = std::env::current_exe().expect("a test is a program");
    command("unshare")
        .args([
            "--mount",
            "sh",
            "-ec",
            "mount -t tmpfs tmpfs /run; exec \"$@\"",
            "sh",
        ])
        .arg(myself)
        .args(["--exact", "a_host_survives_a_reboot_and_a_power_cut"])
        .env("OPS_TEST_REQUIRE", names)
        .env("OPS_BIN_DIR", bin_dir())
        .run()
}

#[test]
fn a_test_that_cannot_run_is_loud_and_fails_where_it_must_run() {
    if ops_tests::Lab::get().is_none() {
        return ops_tests::skip("lab");
    }
    let skipped = with_requirement("bridge");
    assert_eq!(skipped.status, 0, "{skipped}");
    assert!(
        skipped.err().contains("SKIPPED (1): a_host_survives"),
        "{skipped}"
    );
    let failed = with_requirement("bridge,lab");
    assert_eq!(failed.status, 101, "{failed}");
    assert!(
        failed.out().contains("OPS_TEST_REQUIRE asks for it"),
        "{failed}"
    );
}

/// A person without root, and one on another system, is told what is left out and why, in one line each, and goes on.
#[test]
fn what_cannot_be_had_here_is_said_in_one_line() {
    if ops_tests::Lab::get().is_none() {
        return ops_tests::skip("lab");
    }
    let without_root = || command("/usr/bin/unshare").arg("--user");
    let lab = without_root()
        .arg(bin_dir().join("ops-lab"))
        .arg("missing")
        .run();
    assert_eq!(
        (lab.status, lab.out().as_str()),
        (1, "the lab needs root\n"),
        "{lab}"
    );
    // A machine that has next to nothing.
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["bash", "env", "id", "sort", "dirname", "realpath"] {
        let program = format!("/usr/bin/{name}");
        let link = folder.path().join(name);
        std::os::unix::fs::symlink(program, link).expect("a folder to write to");
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/setup.sh");
    let setup = without_root().arg(script).env("PATH", folder.path()).run();
    let setup = setup.expect(0);
    assert_eq!(
        (setup.out().lines().count(), setup.err()),
        (1, String::new()),
        "{setup}"
    );
    for text in [
        "setup: left out, since this is not root on Debian: ",
        "systemd-container",
        "nix-bin",
    ] {
        assert!(setup.out().contains(text), "{setup}");
    }
}
