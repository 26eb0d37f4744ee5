//! The fault matrix of backups in several streams: one that dies takes the others with it, and no directory passes for a backup.

use std::fs;
use std::path::{Path, PathBuf};

use ops_tests::relay::{Link, Relay};
use ops_tests::{Lab, skip, tool};
use rustix::process::Signal;

use crate::scene::{LARGE, assert_no_backup, backup, psql, server, verify, wait_clean, wait_until};

/// Two streams have come to their rows, and wait for the link.
const BOTH_IN_ROWS: &str = "(SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg_dump' AND query LIKE 'COPY public.%' AND wait_event = 'ClientWrite') = 2";
const TERMINATE_ONE: &str = "runuser -u postgres -- psql -XAtqc \"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pg_dump' AND query LIKE 'COPY public.big%'\"";

/// Kills the one `pg_dump` that has a flag, and no other program that speaks of it.
fn kill_one(signal: &str, flag: &str) -> String {
    format!(
        "hit=0
         for pid in $(pgrep -x pg_dump); do
           tr '\\0' '\\n' < /proc/$pid/cmdline | grep -q -- '^{flag}=' && kill -{signal} $pid && hit=$((hit + 1))
         done
         [ $hit = 1 ]"
    )
}

enum Strike {
    OnHost(String),
    Signal(Signal),
}

fn rows() -> Vec<(&'static str, Strike, i32, &'static str)> {
    vec![
        (
            "the pg_dump of the named tables is killed",
            Strike::OnHost(kill_one("KILL", "--table")),
            69,
            "pg_dump",
        ),
        (
            "the pg_dump of the rest is killed",
            Strike::OnHost(kill_one("KILL", "--exclude-table-data")),
            69,
            "pg_dump",
        ),
        (
            "one pg_dump is told to end",
            Strike::OnHost(kill_one("TERM", "--table")),
            74,
            "terminated by user",
        ),
        (
            "the backend of one is terminated",
            Strike::OnHost(TERMINATE_ONE.to_owned()),
            74,
            "pg_dump failed on",
        ),
        ("Ctrl-C", Strike::Signal(Signal::INT), 130, ""),
        ("kill", Strike::Signal(Signal::TERM), 143, ""),
        ("kill -9", Strike::Signal(Signal::KILL), 137, ""),
    ]
}

/// What a run that was killed has left is listed as that, fails its proof, and is told apart from a backup by its name.
fn assert_only_partial(folder: &Path) {
    let listed = tool("ops-db")
        .arg("backups")
        .arg(folder)
        .arg("--json")
        .run()
        .expect(0)
        .json();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0]["state"], "partial");
    let left = PathBuf::from(listed[0]["file"].as_str().unwrap());
    assert_eq!(left.extension().unwrap(), "tmp");
    verify(&left, &[]).expect(65);
    fs::remove_dir_all(left).unwrap();
    assert_no_backup(folder, "what is left after kill -9");
}

#[test]
fn one_stream_that_dies_takes_the_others_with_it() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-streams-die");
    psql(
        &host,
        "mautrix_slack",
        &format!("{LARGE}; CREATE TABLE other AS TABLE big"),
    );
    let folder = tempfile::tempdir().unwrap();
    for (place, (fault, strike, status, says)) in rows().into_iter().enumerate() {
        let relay = Relay::before(
            &host,
            &format!("db-streams-die-{place}"),
            Link::new().throttle(4 << 20),
        );
        let running = tool("ops-db")
            .args(["backup", "mautrix_slack", "--host", relay.alias()])
            .args(["--streams", "2", "-o"])
            .arg(folder.path())
            .spawn();
        wait_until(&host, BOTH_IN_ROWS);
        match &strike {
            Strike::OnHost(line) => drop(host.sh(line).expect(0)),
            Strike::Signal(signal) => running.signal(*signal),
        }
        let ran = running.finish();
        assert_eq!(ran.status, status, "{fault}: {}", ran.err());
        assert!(ran.err().contains(says), "{fault}: {}", ran.err());
        assert_eq!(ran.out(), "", "{fault}");
        if status == 137 {
            assert_only_partial(folder.path());
        } else {
            assert_no_backup(folder.path(), fault);
        }
        drop(relay);
        wait_clean(&host, fault);
    }
    // After all that it works.
    let whole = backup(
        "db-streams-die",
        "mautrix_slack",
        folder.path(),
        &["--streams", "2"],
    );
    verify(&whole, &[]).expect(0);
}
