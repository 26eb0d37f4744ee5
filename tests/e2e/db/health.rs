//! `health` against servers that really have what it looks for, and the thresholds of ops.yaml.

use std::fs;
use std::path::Path;

use ops_tests::{Lab, LabHost, Ran, skip, tool};
use serde_json::Value;

use crate::list::both;
use crate::scene::{assert_no_backup, backup, drill, psql, wait_until, with_tool};

fn health(host: &LabHost, folder: &Path, limits: &str) -> Ran {
    let yaml = format!(
        "db: {{backups: \"{}\", limits: {limits}}}\n",
        folder.display()
    );
    fs::write(folder.join("ops.yaml"), yaml).unwrap();
    tool("ops-db")
        .args(["health", "--host", host.name(), "--json"])
        .dir(folder)
        .run()
}

fn finding(ran: &Ran, check: &str) -> Value {
    let of_ours = |record: &Value| {
        let is_home = record["subject"] == "postgres" && check != "db.wraparound";
        record["check"] == check && !is_home
    };
    ran.json()
        .into_iter()
        .find(of_ours)
        .unwrap_or_else(|| panic!("{check} in {} {}", ran.out(), ran.err()))
}

fn assert_finding(ran: &Ran, check: &str, status: &str, says: &str) {
    let found = finding(ran, check);
    assert_eq!(found["status"], status, "{found}");
    let told = format!("{} {}", found["message"], found["fix"]);
    assert!(told.contains(says), "{says}: {told}");
}

/// A session that runs these statements and stays.
fn stay(host: &LabHost, sql: &str) {
    let line = format!(
        "setsid sh -c '{{ echo \"{sql}\"; exec sleep 600; }} | runuser -u postgres -- psql -XAtq -d mautrix_slack' >/dev/null 2>&1 </dev/null &"
    );
    host.sh(&line).expect(0);
}

#[test]
fn health_says_what_is_wrong() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = with_tool(lab, "db-health");
    psql(
        &host,
        "mautrix_slack",
        "CREATE TABLE t (a int); CREATE INDEX broken ON t (a)",
    );
    let found = |ran: &Ran, check: &str, subject: &str| -> Value {
        let fits = |record: &Value| record["check"] == check && record["subject"] == subject;
        ran.json()
            .into_iter()
            .find(fits)
            .unwrap_or_else(|| panic!("{check} {subject} in {}", ran.out()))
    };
    for ran in both(&host, &["health", "--json"], 0) {
        let backup = found(&ran, "db.backup_age", "mautrix_slack");
        assert_eq!(backup["status"], "warn");
        assert!(
            backup["fix"]
                .as_str()
                .is_some_and(|fix| fix.starts_with("ops-db backup mautrix_slack"))
        );
        for check in [
            "connections",
            "oldest_transaction",
            "blocked",
            "wraparound",
            "checksum_failures",
            "slots",
            "replication",
            "archiver",
        ] {
            let check = format!("db.{check}");
            assert!(
                ran.json()
                    .iter()
                    .any(|record| record["check"] == check.as_str() && record["status"] == "ok"),
                "{check}: {}",
                ran.out()
            );
        }
        let disk = ran
            .json()
            .into_iter()
            .find(|record| record["check"] == "db.disk")
            .unwrap();
        assert!(
            disk["value"].as_f64().is_some_and(|free| free > 1e6)
                && disk["data"]["free_percent"].as_f64().is_some()
        );
    }
    psql(
        &host,
        "mautrix_slack",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'broken'::regclass",
    );
    for ran in both(&host, &["health", "--json"], 1) {
        let index = found(&ran, "db.invalid_indexes", "mautrix_slack");
        assert_eq!(
            (&index["status"], &index["fix"]),
            (&"fail".into(), &"REINDEX INDEX public.broken".into())
        );
    }
    psql(
        &host,
        "mautrix_slack",
        "UPDATE pg_index SET indisvalid = true WHERE indexrelid = 'broken'::regclass",
    );
    for ran in both(&host, &["health", "--json", "--max-backup-age", "1d"], 1) {
        assert_eq!(
            found(&ran, "db.backup_age", "mautrix_slack")["status"],
            "fail"
        );
    }
}

#[test]
fn what_a_role_may_not_see_is_unknown_and_nothing_more() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = with_tool(lab, "db-narrow");
    psql(
        &host,
        "postgres",
        "CREATE DATABASE closed; REVOKE CONNECT ON DATABASE closed FROM PUBLIC",
    );
    for ran in both(&host, &["health", "--role", "mautrix_slack", "--json"], 3) {
        let unknown: Vec<_> = ran
            .json()
            .into_iter()
            .filter(|record| record["status"] == "unknown")
            .collect();
        assert!(
            unknown.iter().any(|record| record["subject"] == "closed"),
            "{}",
            ran.out()
        );
        assert!(
            ran.json()
                .iter()
                .any(|record| record["check"] == "db.connections" && record["status"] == "ok")
        );
    }
    let list = tool("ops-db")
        .args([
            "list",
            "--role",
            "mautrix_slack",
            "--json",
            "--host",
            host.name(),
        ])
        .run()
        .expect(0);
    assert_eq!(list.json()[0]["size_bytes"], Value::Null, "{}", list.out());
}

#[test]
fn sessions_that_hold_others_up_are_named() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = with_tool(lab, "db-held-up");
    let folder = tempfile::tempdir().unwrap();
    psql(&host, "mautrix_slack", "CREATE TABLE t (a int)");
    let calm = health(&host, folder.path(), "{}").expect(0);
    for check in [
        "db.oldest_transaction",
        "db.idle_in_transaction",
        "db.blocked",
    ] {
        assert_finding(&calm, check, "ok", "no session");
    }
    stay(&host, "BEGIN; LOCK TABLE t;");
    wait_until(
        &host,
        "EXISTS (SELECT FROM pg_stat_activity WHERE state = 'idle in transaction')",
    );
    stay(&host, "SELECT * FROM t;");
    wait_until(
        &host,
        "EXISTS (SELECT FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0)",
    );
    // By default it is too early to say anything of the first two.
    let early = health(&host, folder.path(), "{}").expect(0);
    assert_finding(
        &early,
        "db.idle_in_transaction",
        "ok",
        "is idle in a transaction",
    );
    let limits = "{oldest_transaction: {fail: 0s}, idle_in_transaction: {warn: 0s}, blocked: {fail: 0s}, connections: {warn: 1, fail: 90}}";
    let late = health(&host, folder.path(), limits).expect(1);
    assert_finding(
        &late,
        "db.oldest_transaction",
        "fail",
        "pg_terminate_backend(",
    );
    assert_finding(&late, "db.idle_in_transaction", "warn", "mautrix_slack");
    assert_finding(&late, "db.blocked", "fail", "waits for a lock");
    assert_finding(&late, "db.connections", "warn", "of 100 connections");
    let pid = finding(&late, "db.idle_in_transaction")["data"]["pid"].clone();
    let holder = psql(
        &host,
        "postgres",
        "SELECT pid FROM pg_stat_activity WHERE state = 'idle in transaction'",
    );
    assert_eq!(pid.to_string(), holder);
    let unknown = health(&host, folder.path(), "{blokced: {fail: 0s}}");
    unknown.expect(78).complains("blokced");
}

#[test]
fn rows_and_indexes_that_went_bad_are_named() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = with_tool(lab, "db-bad");
    let folder = tempfile::tempdir().unwrap();
    let table = "CREATE TABLE \"Odd t\" (a int) WITH (autovacuum_enabled = off); INSERT INTO \"Odd t\" SELECT i / 2 FROM generate_series(1, 60000) i; DELETE FROM \"Odd t\" WHERE a < 15000;";
    psql(&host, "mautrix_slack", table);
    wait_until(&host, "true");
    let dead = "SELECT n_dead_tup > 10000 FROM pg_stat_user_tables";
    while psql(&host, "mautrix_slack", dead) != "t" {
        psql(&host, "mautrix_slack", "SELECT pg_stat_force_next_flush()");
    }
    // What a build that failed really leaves.
    let failed = host.sh("runuser -u postgres -- psql -XAtq -d mautrix_slack -c 'CREATE UNIQUE INDEX CONCURRENTLY \"Odd i\" ON \"Odd t\" (a)'");
    assert_ne!(failed.status, 0);
    let ran = health(&host, folder.path(), "{wraparound: {warn: 1}}").expect(1);
    assert_finding(&ran, "db.dead_rows", "warn", "VACUUM public.\\\"Odd t\\\"");
    assert_finding(
        &ran,
        "db.invalid_indexes",
        "fail",
        "REINDEX INDEX public.\\\"Odd i\\\"",
    );
    assert_finding(&ran, "db.wraparound", "warn", "vacuumdb --freeze");
    psql(
        &host,
        "mautrix_slack",
        "VACUUM public.\"Odd t\"; DROP INDEX public.\"Odd i\"",
    );
    let ran = health(&host, folder.path(), "{}").expect(0);
    for check in ["db.dead_rows", "db.invalid_indexes", "db.wraparound"] {
        assert_finding(&ran, check, "ok", "");
    }
    let full = health(&host, folder.path(), "{disk: {warn: 0, fail: 0.001}}").expect(1);
    assert_finding(&full, "db.disk", "fail", "of the disk are free");
}

#[test]
fn copies_of_the_wal_that_stall_are_named() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = with_tool(lab, "db-wal");
    let folder = tempfile::tempdir().unwrap();
    psql(
        &host,
        "postgres",
        "ALTER SYSTEM SET archive_mode = on; ALTER SYSTEM SET archive_command = 'false'",
    );
    host.sh("systemctl restart postgresql").expect(0);
    psql(
        &host,
        "postgres",
        "SELECT pg_create_physical_replication_slot('unused', true)",
    );
    psql(
        &host,
        "mautrix_slack",
        "CREATE TABLE t AS SELECT generate_series(1, 1000); SELECT pg_switch_wal()",
    );
    wait_until(&host, "(SELECT failed_count > 0 FROM pg_stat_archiver)");
    let ran = health(&host, folder.path(), "{slots: {fail: 1000}}").expect(1);
    assert_finding(&ran, "db.archiver", "fail", "archive_command failed");
    assert_finding(
        &ran,
        "db.slots",
        "fail",
        "pg_drop_replication_slot('unused')",
    );
    assert_finding(&ran, "db.replication", "ok", "nobody replicates");
    // The slot comes into use, and the archive works.
    psql(
        &host,
        "postgres",
        "ALTER SYSTEM SET archive_command = 'true'",
    );
    let copy = "echo local replication all peer >> /var/lib/postgresql/17/pg_hba.conf; install -d -o postgres /srv/wal && systemctl restart postgresql && { setsid runuser -u postgres -- pg_receivewal -D /srv/wal -S unused >/dev/null 2>&1 </dev/null & }";
    host.sh(copy).expect(0);
    psql(
        &host,
        "mautrix_slack",
        "CREATE TABLE u (); SELECT pg_switch_wal()",
    );
    wait_until(
        &host,
        "EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming') AND (SELECT last_archived_time > last_failed_time FROM pg_stat_archiver)",
    );
    let ran = health(&host, folder.path(), "{slots: {fail: 1000}}").expect(0);
    assert_finding(&ran, "db.archiver", "ok", "WAL is archived");
    assert_finding(&ran, "db.slots", "ok", "is in use");
    assert_finding(&ran, "db.replication", "ok", "'pg_receivewal' is streaming");
}

#[test]
fn a_disk_that_lies_is_named() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = with_tool(lab, "db-lies");
    let folder = tempfile::tempdir().unwrap();
    assert_finding(
        &health(&host, folder.path(), "{}").expect(0),
        "db.checksum_failures",
        "ok",
        "keeps no checksums",
    );
    host.sh("systemctl stop postgresql && runuser -u postgres -- pg_checksums --enable -D /var/lib/postgresql/17 >/dev/null && systemctl start postgresql")
        .expect(0);
    psql(
        &host,
        "mautrix_slack",
        "CREATE TABLE t AS SELECT i, md5(i::text) FROM generate_series(1, 1000) i",
    );
    let path = psql(&host, "mautrix_slack", "SELECT pg_relation_filepath('t')");
    assert_finding(
        &health(&host, folder.path(), "{}").expect(0),
        "db.checksum_failures",
        "ok",
        "no block has failed",
    );
    host.sh(&format!("systemctl stop postgresql && printf x | dd of=/var/lib/postgresql/17/{path} bs=1 seek=5000 conv=notrunc 2>/dev/null && systemctl start postgresql"))
        .expect(0);
    let folder_of_backups = folder.path().join("backups");
    fs::create_dir(&folder_of_backups).unwrap();
    let ran = tool("ops-db")
        .args(["backup", "mautrix_slack", "--host", host.name(), "-o"])
        .arg(&folder_of_backups)
        .run();
    ran.expect(74).complains("invalid page in block 0");
    assert_no_backup(&folder_of_backups, "the disk lies");
    wait_until(
        &host,
        "(SELECT sum(checksum_failures) > 0 FROM pg_stat_database)",
    );
    let ran = health(&host, folder.path(), "{}").expect(1);
    assert_finding(
        &ran,
        "db.checksum_failures",
        "fail",
        "have failed their checksum",
    );
}

#[test]
fn old_backups_and_missing_drills_are_faults_where_ops_yaml_says_so() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = with_tool(lab, "db-aged");
    let folder = tempfile::tempdir().unwrap();
    let file = backup("db-aged", "mautrix_slack", folder.path(), &[]);
    let ran = health(&host, folder.path(), "{}").expect(0);
    assert_finding(&ran, "db.backup_age", "ok", "the newest backup is");
    assert_finding(&ran, "db.drill_age", "warn", "ever restored");
    let both = "{backup_age: 1h, drill_age: 8d}";
    let ran = health(&host, folder.path(), both).expect(1);
    assert_finding(&ran, "db.backup_age", "ok", "");
    assert_finding(&ran, "db.drill_age", "fail", "ops-db drill");
    drill(&host, &file, &[]).expect(0);
    let ran = health(&host, folder.path(), both).expect(0);
    assert_finding(&ran, "db.drill_age", "ok", "the last proven restore is");
    let ran = health(&host, folder.path(), "{backup_age: 1ms}").expect(1);
    assert_finding(&ran, "db.backup_age", "fail", "ops-db backup mautrix_slack");
    // The flag comes first.
    let ran = tool("ops-db")
        .args(["health", "--host", host.name(), "--max-backup-age", "1h"])
        .dir(folder.path())
        .run();
    ran.expect(0);
}
