//! Databases that hold what most do not: what comes back is what `pg_dump` and psql bring back, and a drill agrees.

use std::fs;

use ops_tests::{Lab, LabHost, skip, tool};

use crate::scene::{assert_no_backup, attempt, backup, drill, fill, psql, restore, server, verify};

/// An extension that brings rows along, of which only the others are dumped.
const EXTENSION: &str = "cd /usr/share/postgresql/17/extension && echo \"default_version = '1.0'\" > settled.control && cat > settled--1.0.sql <<'END'
CREATE TABLE settled (id int, is_own bool); INSERT INTO settled SELECT i, true FROM generate_series(1, 100) i;
SELECT pg_catalog.pg_extension_config_dump('settled', 'WHERE NOT is_own');
END
install -d -o postgres /srv/elsewhere && runuser -u postgres -- psql -Xqc \"CREATE TABLESPACE elsewhere LOCATION '/srv/elsewhere'\"";

/// The lines of a database as text, without the key that each dump has, and whatever is set for it; sorted, since the rows of
/// a hashed table may stand in other partitions and in another order.
fn lines(host: &LabHost, database: &str) -> Vec<String> {
    let options = "PGOPTIONS='-c TimeZone=UTC -c bytea_output=hex'";
    let dump = format!(
        "runuser -u postgres -- env {options} pg_dump {database} | grep -v '^.\\(un\\)\\?restrict '"
    );
    let text = host.sh(&dump).expect(0).out();
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

/// What only one of them has.
fn difference(one: &[String], other: &[String]) -> Vec<String> {
    let only = |one: &[String], other: &[String]| -> Vec<String> {
        let is_not_there = |line: &&String| other.binary_search(line).is_err();
        one.iter().filter(is_not_there).cloned().collect()
    };
    [only(one, other), only(other, one)].concat()
}

#[test]
fn what_comes_back_is_what_pg_dump_and_psql_bring_back() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-unusual");
    let folder = tempfile::tempdir().unwrap();
    host.sh(EXTENSION).expect(0);
    psql(&host, "postgres", "CREATE DATABASE unusual");
    // What text looks like is set otherwise, and that may change nothing.
    for setting in [
        "TimeZone = 'Asia/Tokyo'",
        "DateStyle = 'SQL, DMY'",
        "IntervalStyle = 'iso_8601'",
        "bytea_output = 'escape'",
        "extra_float_digits = -10",
        "search_path = odd",
    ] {
        psql(
            &host,
            "postgres",
            &format!("ALTER DATABASE unusual SET {setting}"),
        );
    }
    fill(&host, "unusual", include_str!("unusual.sql"));
    let columns: Vec<_> = (1..=1600).map(|column| format!("c{column} int")).collect();
    psql(
        &host,
        "unusual",
        &format!(
            "CREATE TABLE odd.wide ({}); INSERT INTO odd.wide (c1, c1600) VALUES (1, 1600)",
            columns.join(", ")
        ),
    );
    let by_psql = "createdb -U postgres by_psql && pg_dump -U postgres unusual | psql -U postgres -Xq -v ON_ERROR_STOP=1 -d by_psql >/dev/null";
    host.sh(&format!("runuser -u postgres -- sh -c '{by_psql}'"))
        .expect(0);
    let expected = lines(&host, "by_psql");
    assert!(expected.len() > 2000, "{}", expected.len());
    for (number, more) in [&[][..], &["--streams", "2"]].into_iter().enumerate() {
        let more = [more, &["--count", "--checksum"]].concat();
        let file = backup("db-unusual", "unusual", folder.path(), &more);
        verify(&file, &[]).expect(0);
        drill(&host, &file, &[]).expect(0);
        for (jobs, way) in [("1", "one"), ("2", "two")] {
            let database = format!("by_us_{way}_{number}");
            restore(&host, &file, &database, &["--jobs", jobs]).expect(0);
            let found = lines(&host, &database);
            let differs = difference(&found, &expected);
            assert!(
                differs.is_empty() && found.len() == expected.len(),
                "{database}: {differs:?}"
            );
        }
    }
    // The same as plain SQL, which knows no more than what it says.
    let script = tool("ops-db")
        .args(["backup", "unusual", "--host", "db-unusual"])
        .run();
    let script_file = folder.path().join("x.sql");
    fs::write(&script_file, script.expect(0).stdout).unwrap();
    restore(&host, &script_file, "by_script", &[]).expect(0);
    drill(&host, &script_file, &[])
        .expect(65)
        .complains("role \"the owner\" does not exist");
    // An archive with nothing beside it names its roles itself.
    let foreign = folder.path().join("x.dump");
    fs::write(
        &foreign,
        host.sh("runuser -u postgres -- pg_dump -Fc unusual")
            .expect(0)
            .stdout,
    )
    .unwrap();
    drill(&host, &foreign, &[]).expect(0);
}

#[test]
fn a_restore_that_fails_leaves_no_subscription_in_the_way_of_the_next() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-subscribes");
    let folder = tempfile::tempdir().unwrap();
    psql(
        &host,
        "mautrix_slack",
        "CREATE SUBSCRIPTION inward CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false, slot_name = 'not_ours')",
    );
    let file = backup("db-subscribes", "mautrix_slack", folder.path(), &[]);
    let bad = folder.path().join("bad.sql");
    fs::write(&bad, "SELECT 1 / 0").unwrap();
    let failed = restore(
        &host,
        &file,
        "again",
        &["--before-swap", bad.to_str().unwrap()],
    );
    assert!(!failed.expect(65).err().contains("left over"));
    let names =
        "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE NOT datistemplate";
    assert_eq!(psql(&host, "postgres", names), "mautrix_slack postgres");
    restore(&host, &file, "again", &[]).expect(0);
}

#[test]
fn names_in_another_encoding_are_read_as_they_are_meant() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-latin");
    let folder = tempfile::tempdir().unwrap();
    psql(
        &host,
        "postgres",
        "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'",
    );
    fill(
        &host,
        "latin",
        "SET client_encoding = 'UTF8'; CREATE TABLE \"é\" (a text); INSERT INTO \"é\" VALUES ('ü'); COMMENT ON TABLE \"é\" IS 'à'",
    );
    for more in [&[][..], &["--streams", "2"]] {
        let more = [more, &["--count", "--checksum"]].concat();
        let file = backup("db-latin", "latin", folder.path(), &more);
        drill(&host, &file, &[]).expect(0);
    }
    // To stdout nobody asks what the names are in: it is whole all the same, and what cannot be restored of it says so.
    let streamed = |more: &[&str]| {
        let ran = tool("ops-db")
            .args(["backup", "latin", "--host", "db-latin"])
            .args(more)
            .run();
        let file = folder.path().join(format!("x{}", more.len()));
        fs::write(&file, ran.expect(0).stdout).unwrap();
        file
    };
    restore(&host, &streamed(&["--custom"]), "custom", &[]).expect(0);
    restore(&host, &streamed(&[]), "plain", &[])
        .expect(65)
        .complains("plain SQL in another encoding than UTF-8");
}

#[test]
fn limits_of_time_are_for_clients() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-limits");
    let folder = tempfile::tempdir().unwrap();
    psql(
        &host,
        "mautrix_slack",
        "CREATE TABLE big AS SELECT i, md5(i::text) AS v FROM generate_series(1, 400000) i;
         ALTER ROLE postgres SET statement_timeout = '50ms'; ALTER ROLE postgres SET transaction_timeout = '100ms';
         ALTER ROLE postgres SET idle_session_timeout = '100ms'; ALTER ROLE postgres SET idle_in_transaction_session_timeout = '100ms'",
    );
    // They do strike whoever is not spared.
    let slow = host.sh("runuser -u postgres -- psql -Xc 'SELECT pg_sleep(10)'");
    assert!(slow.err().contains("timeout"), "{}", slow.err());
    let file = backup(
        "db-limits",
        "mautrix_slack",
        folder.path(),
        &["--count", "--checksum"],
    );
    restore(&host, &file, "again", &[]).expect(0);
}

#[test]
fn what_the_owner_of_a_table_has_made_is_not_run_by_who_sums_it_up() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-traps");
    let folder = tempfile::tempdir().unwrap();
    fill(
        &host,
        "mautrix_slack",
        "SET ROLE mautrix_slack; CREATE SCHEMA traps; SET search_path = traps; CREATE TABLE t (x int, y text); INSERT INTO t VALUES (1, 'a');
         CREATE FUNCTION trap(t) RETURNS text LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'CREATE TABLE traps.sprung ()'; RETURN ''; END $$;
         CREATE FUNCTION hashtext(text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'CREATE TABLE traps.sprung ()'; RETURN 1; END $$;
         CREATE CAST (t AS text) WITH FUNCTION trap(t); RESET ROLE; ALTER DATABASE mautrix_slack SET search_path = traps, pg_catalog",
    );
    let sum = |folder: &std::path::Path| {
        let file = backup("db-traps", "mautrix_slack", folder, &["--checksum"]);
        drill(&host, &file, &[]).expect(0);
        let manifest = fs::read_to_string(format!("{}.manifest.json", file.display())).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        manifest["tables"][0]["checksum"].clone()
    };
    let before = sum(folder.path());
    // A column that is called like the row is not all of it.
    psql(&host, "mautrix_slack", "UPDATE traps.t SET y = 'b'");
    assert_ne!(sum(folder.path()), before);
    assert_eq!(
        psql(
            &host,
            "mautrix_slack",
            "SELECT to_regclass('traps.sprung') IS NULL"
        ),
        "t"
    );
}

#[test]
fn a_row_that_pg_dump_cannot_write_is_told() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-huge");
    let folder = tempfile::tempdir().unwrap();
    // 600 MB that are no trouble on disk, and twice as many as text.
    psql(
        &host,
        "mautrix_slack",
        "CREATE TABLE huge (b bytea); ALTER TABLE huge ALTER b SET COMPRESSION pglz; INSERT INTO huge SELECT decode(repeat('00', 300000000), 'hex') || decode(repeat('00', 300000000), 'hex')",
    );
    attempt("db-huge", folder.path(), &[])
        .expect(74)
        .complains("invalid memory alloc request size");
    assert_no_backup(folder.path(), "a row that is too long");
}
