//! A standby: what it says of its own health, and what can be done with it.

use std::fs;

use ops_tests::{Lab, Ran, skip, tool};

use crate::scene::{psql, server, verify, wait_until};

/// A standby of the host's server beside it, with a socket of its own.
const STANDBY: &str = "echo local replication all peer >> /var/lib/postgresql/17/pg_hba.conf && systemctl reload postgresql
install -d -o postgres -m 700 /srv/standby && install -d -o postgres /srv/socket
for i in $(seq 100); do runuser -u postgres -- pg_basebackup -D /srv/standby -R -d host=/run/postgresql 2>/dev/null && break; sleep 0.1; done
runuser -u postgres -- /usr/lib/postgresql/17/bin/pg_ctl -D /srv/standby -w -l /srv/standby/log -o '-c unix_socket_directories=/srv/socket -c port=5434 -c archive_mode=on' start >/dev/null";
const CUT_OFF: &str = "sed -i 's/^primary_conninfo.*/primary_conninfo = '\\''host=\\/nowhere'\\''/' /srv/standby/postgresql.auto.conf
runuser -u postgres -- /usr/lib/postgresql/17/bin/pg_ctl -D /srv/standby reload >/dev/null";

#[test]
fn a_standby_is_looked_at_and_backed_up() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-standby");
    let folder = tempfile::tempdir().unwrap();
    psql(
        &host,
        "mautrix_slack",
        "CREATE TABLE t AS SELECT generate_series(1, 100); CREATE UNLOGGED TABLE u AS SELECT 1 AS a",
    );
    host.sh(STANDBY).expect(0);
    wait_until(
        &host,
        "EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming')",
    );
    let yaml = "db: {socket: /srv/socket/.s.PGSQL.5434}\n";
    fs::write(folder.path().join("ops.yaml"), yaml).unwrap();
    let ask = |words: &[&str]| {
        tool("ops-db")
            .args(words)
            .args(["--host", "db-standby"])
            .dir(folder.path())
            .run()
    };
    let finding = |ran: &Ran, check: &str| {
        let found = ran
            .json()
            .into_iter()
            .find(|record| record["check"] == check);
        found.unwrap_or_else(|| panic!("{check} in {}", ran.out()))
    };
    let well = ask(&["health", "--json"]).expect(0);
    let own = finding(&well, "db.replication");
    assert_eq!(
        (&own["status"], &own["subject"]),
        (&"ok".into(), &"this standby".into())
    );
    assert_eq!(
        finding(&well, "db.archiver")["message"],
        "WAL is not archived"
    );
    // What is unlogged is not on a standby.
    for more in [&[][..], &["--streams", "2"]] {
        let taken = ask(&[&["backup", "mautrix_slack", "-o", ".", "--count"], more].concat());
        let file = folder.path().join(taken.expect(0).out().trim_end());
        verify(&file, &[]).expect(0);
        let restored = tool("ops-db")
            .arg("restore")
            .arg(&file)
            .args(["again", "--host", "db-standby"])
            .dir(folder.path())
            .run();
        restored.expect(77).complains("on a standby nothing does");
    }
    host.sh(CUT_OFF).expect(0);
    wait_until(&host, "NOT EXISTS (SELECT FROM pg_stat_replication)");
    let cut_off = finding(&ask(&["health", "--json"]).expect(0), "db.replication");
    assert_eq!(cut_off["status"], "warn", "{cut_off}");
    assert!(
        cut_off["message"]
            .as_str()
            .unwrap()
            .contains("not connected to its primary")
    );
}

#[test]
fn a_prepared_transaction_that_was_forgotten_is_named() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-prepared");
    let folder = tempfile::tempdir().unwrap();
    psql(
        &host,
        "postgres",
        "ALTER SYSTEM SET max_prepared_transactions = 5",
    );
    host.sh("systemctl restart postgresql").expect(0);
    psql(
        &host,
        "mautrix_slack",
        "BEGIN; CREATE TABLE t (); PREPARE TRANSACTION 'it''s'",
    );
    let yaml = "db: {limits: {oldest_transaction: {fail: 0s}}}\n";
    fs::write(folder.path().join("ops.yaml"), yaml).unwrap();
    let ran = tool("ops-db")
        .args(["health", "--host", "db-prepared", "--json"])
        .dir(folder.path())
        .run()
        .expect(1);
    let is_it = |record: &serde_json::Value| record["check"] == "db.oldest_transaction";
    let found = ran.json().into_iter().find(is_it).unwrap();
    assert_eq!(
        (&found["status"], &found["subject"]),
        (&"fail".into(), &"mautrix_slack".into())
    );
    assert!(
        found["fix"]
            .as_str()
            .unwrap()
            .contains("ROLLBACK PREPARED 'it''s'"),
        "{found}"
    );
}
