//! The fault matrix of backups: whatever strikes, the status and the words are these, and no file passes for a backup.

use std::fs;
use std::path::Path;

use ops_tests::relay::{Fault, Link, Relay, Toward};
use ops_tests::{Lab, command, skip, tool};
use rustix::process::Signal;

use crate::scene::{
    LARGE, assert_no_backup, attempt, backup, psql, server, shaped, verify, wait_clean, wait_until,
};

/// The dump has come to its rows, and waits for the link: the barrier that every strike needs.
pub(crate) const IN_ROWS: &str = "EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'pg_dump' AND query LIKE 'COPY public.big%' AND wait_event = 'ClientWrite')";

/// What strikes while rows are on their way.
pub(crate) enum Strike {
    /// A line of shell on the host.
    OnHost(&'static str),
    /// The end of the link.
    Cut,
    /// A signal to the program.
    Signal(Signal),
}

struct Row {
    fault: &'static str,
    strike: Strike,
    status: i32,
    says: &'static str,
}

fn rows() -> Vec<Row> {
    let row = |fault, strike, status, says| Row {
        fault,
        strike,
        status,
        says,
    };
    let terminate = "runuser -u postgres -- psql -XAtqc \"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pg_dump'\"";
    vec![
        row(
            "pg_dump is killed",
            Strike::OnHost("pkill -KILL -x pg_dump"),
            69,
            "pg_dump",
        ),
        row(
            "pg_dump is told to end",
            Strike::OnHost("pkill -TERM -x pg_dump"),
            74,
            "terminated by user",
        ),
        row(
            "its backend is terminated",
            Strike::OnHost(terminate),
            74,
            "pg_dump failed on",
        ),
        row(
            "the server is restarted",
            Strike::OnHost("systemctl restart postgresql"),
            74,
            "pg_dump failed on",
        ),
        row(
            "sshd's child is killed",
            Strike::OnHost("pkill -KILL -f '[s]shd-session: root'"),
            74,
            "db-slow",
        ),
        row("the link is cut", Strike::Cut, 74, "db-slow"),
        row("Ctrl-C", Strike::Signal(Signal::INT), 130, ""),
        row("kill", Strike::Signal(Signal::TERM), 143, ""),
        row("kill -9", Strike::Signal(Signal::KILL), 137, ""),
    ]
}

#[test]
fn whatever_strikes_a_backup_on_its_way_leaves_none() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-slow");
    psql(&host, "mautrix_slack", LARGE);
    let folder = tempfile::tempdir().unwrap();
    for (place, row) in rows().into_iter().enumerate() {
        let relay = Relay::before(
            &host,
            &format!("db-slow-{place}"),
            Link::new().throttle(4 << 20),
        );
        let running = tool("ops-db")
            .args(["backup", "mautrix_slack", "--host", relay.alias(), "-o"])
            .arg(folder.path())
            .spawn();
        wait_until(&host, IN_ROWS);
        match row.strike {
            Strike::OnHost(line) => drop(host.sh(line).expect(0)),
            Strike::Cut => relay.cut(),
            Strike::Signal(signal) => running.signal(signal),
        }
        let ran = running.finish();
        assert_eq!(ran.status, row.status, "{}: {}", row.fault, ran.err());
        assert!(ran.err().contains(row.says), "{}: {}", row.fault, ran.err());
        assert_eq!(ran.out(), "", "{}", row.fault);
        assert_no_backup(folder.path(), row.fault);
        drop(relay);
        wait_clean(&host, row.fault);
    }
    // After all that it works, and the note of failure is gone.
    let file = backup("db-slow", "mautrix_slack", folder.path(), &[]);
    verify(&file, &[]).expect(0);
    let is_mark = |name: std::ffi::OsString| name.to_string_lossy().ends_with(".failed");
    let marked = |entry: std::io::Result<fs::DirEntry>| is_mark(entry.unwrap().file_name());
    assert!(!fs::read_dir(folder.path()).unwrap().any(marked));
}

#[test]
fn what_stands_in_the_way_is_named() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-ways-off");
    psql(
        &host,
        "mautrix_slack",
        "CREATE TABLE t AS SELECT md5(i::text) FROM generate_series(1, 200000) i",
    );
    let folder = tempfile::tempdir().unwrap();
    let small = folder.path().join("small");
    fs::create_dir(&small).unwrap();
    command("mount")
        .args(["-t", "tmpfs", "-o", "size=1M", "tmpfs"])
        .arg(&small)
        .run()
        .expect(0);
    attempt("db-ways-off", &small, &[])
        .expect(74)
        .complains("cannot write");
    assert_no_backup(&small, "the local disk is full");
    command("umount").arg(&small).run().expect(0);
    command("mount")
        .args(["-t", "tmpfs", "-o", "ro", "tmpfs"])
        .arg(&small)
        .run()
        .expect(0);
    attempt("db-ways-off", &small, &[])
        .expect(77)
        .complains("cannot create");
    assert_no_backup(&small, "the target is read only");
    command("umount").arg(&small).run().expect(0);
    let target = folder.path().join("target");
    fs::create_dir(&target).unwrap();
    attempt("db-ways-off", &folder.path().join("nowhere/"), &[])
        .expect(74)
        .complains("nowhere");
    for (more, status, says) in [
        (
            &["--role", "nobody-at-all"][..],
            77,
            "no system user 'nobody-at-all'",
        ),
        (&["--role", "games"], 77, "role \"games\" does not exist"),
        (&["--role", "mautrix_slack"], 77, "permission denied"),
    ] {
        attempt("db-ways-off", &target, more)
            .expect(status)
            .complains(says);
        assert_no_backup(&target, says);
    }
    let absent = tool("ops-db")
        .args(["backup", "nowhere", "--host", "db-ways-off", "-o"])
        .arg(&target)
        .run();
    absent
        .expect(69)
        .complains("database \"nowhere\" does not exist");
    let locker = "runuser -u postgres -- sh -c 'psql -XAtq -d mautrix_slack -c \"BEGIN; LOCK TABLE t; SELECT pg_sleep(600)\" >/dev/null 2>&1 &'";
    host.sh(locker).expect(0);
    wait_until(
        &host,
        "EXISTS (SELECT FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation IS NOT NULL AND database <> 0)",
    );
    attempt("db-ways-off", &target, &["--lock-wait", "100ms"])
        .expect(75)
        .complains("lock");
    psql(
        &host,
        "postgres",
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE query LIKE '%LOCK TABLE%' AND pid <> pg_backend_pid()",
    );
    assert_no_backup(&target, "a lock is held");
    host.sh("for path in /usr/bin/pg_dump /usr/local/bin/pg_dump; do [ ! -L $path ] && [ ! -e $path ] || mv $path $path.away; done").expect(0);
    attempt("db-ways-off", &target, &[])
        .expect(69)
        .complains("pg_dump");
    host.sh("for path in /usr/bin/*.away /usr/local/bin/*.away; do [ ! -L $path ] && [ ! -e $path ] || mv $path ${path%.away}; done; systemctl stop postgresql").expect(0);
    attempt("db-ways-off", &target, &[]).expect(69);
    assert_no_backup(&target, "the server is down");
}

#[test]
fn a_link_cut_at_any_byte_leaves_no_backup() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = shaped(lab, "db-cut");
    let folder = tempfile::tempdir().unwrap();
    let whole = Relay::before(&host, "db-cut-whole", Link::new());
    let file = backup("db-cut-whole", "mautrix_slack", folder.path(), &[]);
    let total = whole.count().to_client;
    fs::remove_file(format!("{}.manifest.json", file.display())).unwrap();
    fs::remove_file(file).unwrap();
    let rounds = if std::env::var_os("OPS_TEST_LONG").is_some() {
        200
    } else {
        16
    };
    for round in 0..rounds {
        // Spread over the whole run by the golden ratio: the same places every time, and no two alike.
        let at = (round + 1) * 618_033_988 % 1_000_000_000 * total / 1_000_000_000;
        let relay = Relay::before(
            &host,
            &format!("db-cut-{round}"),
            Link::new().fault(Toward::Client, at, Fault::Cut),
        );
        let ran = attempt(relay.alias(), folder.path(), &[]);
        relay.wait_fault();
        let what = format!("cut at byte {at} of {total}: {}", ran.err());
        if ran.status == 0 {
            // All of the dump was here, and only the farewell was lost.
            let file = ran.out().trim_end().to_owned();
            verify(Path::new(&file), &[]).expect(0);
            fs::remove_file(format!("{file}.manifest.json")).unwrap();
            fs::remove_file(file).unwrap();
        } else {
            assert!(matches!(ran.status, 69 | 74), "{what}");
        }
        assert_no_backup(folder.path(), &what);
    }
    wait_clean(&host, "cuts");
}
