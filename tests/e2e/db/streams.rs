//! Backups in several streams: directories of archives, which every other verb understands.

use std::fs;
use std::path::{Path, PathBuf};

use ops_tests::{Lab, LabHost, command, skip, tool};

use crate::scene::{backup, drill, psql, shaped, states, verify};

fn with_tables(lab: Lab, name: &str) -> LabHost {
    let host = shaped(lab, name);
    psql(
        &host,
        "mautrix_slack",
        "CREATE TABLE big AS SELECT i AS id, md5(i::text) AS v FROM generate_series(1, 20000) i; ALTER TABLE big ADD PRIMARY KEY (id);
         CREATE SCHEMA \"s.x\"; CREATE TABLE \"s.x\".\"*\" AS SELECT * FROM big LIMIT 10000;
         CREATE TABLE numbered (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, ref int REFERENCES big); INSERT INTO numbered (ref) SELECT id FROM big LIMIT 77;
         CREATE TABLE split (a int) PARTITION BY LIST (a); CREATE TABLE split_1 PARTITION OF split FOR VALUES IN (1); INSERT INTO split VALUES (1), (1);
         CREATE MATERIALIZED VIEW seen AS SELECT count(*) FROM big; CREATE EXTENSION hstore",
    );
    host
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn part(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.dump.zst"))
}

/// What tells two databases apart: rows of all tables, sequences, large objects, views.
fn fingerprint(host: &LabHost, database: &str) -> String {
    psql(
        host,
        database,
        "SELECT string_agg(schemaname || relname || n_live_tup, ',' ORDER BY schemaname, relname) FROM (SELECT schemaname, relname, (xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c, md5(string_agg(x::text, chr(10) ORDER BY x::text)) FROM ONLY %I.%I x', schemaname, relname), false, true, '')))[1]::text AS n_live_tup FROM pg_stat_user_tables ORDER BY 1, 2) t;
         SELECT count(*) FROM pg_largeobject_metadata; SELECT * FROM seen; SELECT last_value FROM numbered_id_seq;
         SELECT string_agg(indexrelid::regclass::text, ',' ORDER BY indexrelid::regclass::text) FROM pg_index WHERE indrelid::regclass::text !~ 'pg_';
         SELECT string_agg(conname, ',' ORDER BY conname) FROM pg_constraint WHERE connamespace = 'public'::regnamespace",
    )
}

#[test]
fn a_backup_in_streams_is_whole_and_every_verb_understands_it() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = with_tables(lab, "db-streams");
    let folder = tempfile::tempdir().unwrap();
    let more = ["--count", "--checksum", "--streams", "3"];
    let taken = backup("db-streams", "mautrix_slack", folder.path(), &more);
    assert!(taken.to_str().unwrap().ends_with("Z.parts"), "{taken:?}");
    let parts = ["data-1", "data-2", "data-3", "post-data", "pre-data"];
    assert_eq!(names(&taken), parts.map(|name| format!("{name}.dump.zst")));
    assert_eq!(names(folder.path()).len(), 2);
    let beside = format!("{}.manifest.json", taken.display());
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(&beside).unwrap()).unwrap();
    assert!(
        manifest["globals"]
            .as_str()
            .unwrap()
            .contains("CREATE ROLE mautrix_slack")
    );
    assert_eq!(manifest["large_objects"]["count"], 2);
    let tables = manifest["tables"].as_array().unwrap();
    assert!(tables.iter().all(|table| table["rows"] == table["counted"]));
    // Each part is an ordinary archive.
    for name in parts {
        host.sh_with(
            "cat > /tmp/part.zst; zstd -qdc /tmp/part.zst | pg_restore -f /dev/null",
            &fs::read(part(&taken, name)).unwrap(),
        )
        .expect(0);
    }
    let verdict = verify(&taken, &["--json"]).expect(0).json();
    assert_eq!(verdict[0]["value"], 30_102.0);
    assert_eq!(states(folder.path()), ["ok"]);
    for (database, jobs) in [("one", "1"), ("four", "4")] {
        tool("ops-db")
            .arg("restore")
            .arg(&taken)
            .args([database, "--jobs", jobs, "--host", "db-streams"])
            .run()
            .expect(0);
        assert_eq!(
            fingerprint(&host, database),
            fingerprint(&host, "mautrix_slack")
        );
    }
    drill(&host, &taken, &[]).expect(0);
    // Without the manifest beside it, too.
    fs::remove_file(&beside).unwrap();
    verify(&taken, &[]).expect(0);
    assert_eq!(states(folder.path()), ["unverified"]);
    let left = host.sh("ls /tmp/ops-db-* 2>/dev/null; true");
    assert_eq!(left.expect(0).out(), "");
}

/// Takes a lock that no dump passes, and holds it until the session is ended with [`unlock`].
fn lock(host: &LabHost, table: &str) {
    let held = format!("BEGIN; LOCK TABLE {table}; SELECT pg_sleep(600)");
    host.sh(&format!(
        "runuser -u postgres -- sh -c 'PGAPPNAME=holder psql -X -d mautrix_slack -c \"{held}\" >/dev/null 2>&1 &'"
    ))
    .expect(0);
    until(
        host,
        &format!(
            "SELECT FROM pg_locks WHERE relation = '{table}'::regclass AND mode = 'AccessExclusiveLock' AND granted"
        ),
    );
}

fn unlock(host: &LabHost) {
    psql(
        host,
        "postgres",
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'holder'",
    );
}

/// Waits on the server until a query has rows.
fn until(host: &LabHost, query: &str) {
    psql(
        host,
        "mautrix_slack",
        &format!(
            "DO $$ BEGIN WHILE NOT EXISTS ({query}) LOOP PERFORM pg_sleep(0.01), pg_stat_clear_snapshot(); END LOOP; END $$"
        ),
    );
}

fn visible(folder: &Path) -> Vec<String> {
    let is_visible = |name: &String| !name.starts_with('.');
    names(folder).into_iter().filter(is_visible).collect()
}

#[test]
fn a_backup_in_streams_waits_behind_a_lock_no_longer_than_it_may() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = with_tables(lab, "db-stream-dies");
    let folder = tempfile::tempdir().unwrap();
    let take = |wait: &str| {
        tool("ops-db")
            .args(["backup", "mautrix_slack", "--host", "db-stream-dies"])
            .args(["--streams", "2", "--lock-wait", wait, "-o"])
            .arg(folder.path())
    };
    // The sizes of tables wait behind a lock on one, no longer than pg_dump would.
    lock(&host, "big");
    take("1s").run().expect(75).complains("lock timeout");
    unlock(&host);
    assert_eq!(visible(folder.path()), Vec::<String>::new());
    assert!(
        !names(folder.path())
            .iter()
            .any(|name| Path::new(name).extension().is_some_and(|is| is == "tmp"))
    );
}

#[test]
fn damage_in_any_part_is_seen_and_a_directory_is_pruned_as_a_whole() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = with_tables(lab, "db-parts");
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    let made = command("age-keygen").arg("-o").arg(&key).run().expect(0);
    let recipient = made.err().trim().rsplit(' ').next().unwrap().to_owned();
    let backups = folder.path().join("backups");
    fs::create_dir(&backups).unwrap();
    let more = ["--streams", "2", "--recipient", &recipient];
    let sealed = backup("db-parts", "mautrix_slack", &backups, &more);
    let identity = ["--identity", key.to_str().unwrap()];
    verify(&sealed, &identity).expect(0);
    assert!(
        verify(&sealed, &[])
            .expect(0)
            .out()
            .contains("not decrypted")
    );
    let open = backup("db-parts", "mautrix_slack", &backups, &["--streams", "2"]);
    let beside = PathBuf::from(format!("{}.manifest.json", open.display()));
    let known = fs::read(&beside).unwrap();
    for name in names(&open) {
        let path = open.join(&name);
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for (bytes, with_manifest) in [
            (&flipped[..], true),
            (&flipped, false),
            (&whole[..whole.len() - 1], false),
        ] {
            fs::write(&path, bytes).unwrap();
            fs::write(&beside, &known).unwrap();
            if !with_manifest {
                fs::remove_file(&beside).unwrap();
            }
            verify(&open, &[]).expect(65);
            let restored = tool("ops-db")
                .arg("restore")
                .arg(&open)
                .args(["damaged", "--host", host.name()])
                .run();
            assert_ne!(restored.status, 0, "{name}");
        }
        fs::remove_file(&path).unwrap();
        assert!(verify(&open, &[]).expect(65).out().contains("is missing"));
        fs::write(&path, &whole).unwrap();
    }
    fs::write(&beside, &known).unwrap();
    verify(&open, &[]).expect(0);
    assert_eq!(
        psql(
            &host,
            "postgres",
            "SELECT count(*) FROM pg_database WHERE datname ~ 'damaged'"
        ),
        "0"
    );
    tool("ops-db")
        .arg("prune")
        .arg(&backups)
        .args(["--last", "1", "--yes"])
        .run()
        .expect(0);
    assert!(open.exists() && !sealed.exists());
    assert_eq!(names(&backups).len(), 2);
}

#[test]
fn a_part_of_a_backup_is_restored_with_its_schema_or_refused() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = with_tables(lab, "db-part");
    let folder = tempfile::tempdir().unwrap();
    let file = backup("db-part", "mautrix_slack", folder.path(), &[]);
    let parts = backup(
        "db-part",
        "mautrix_slack",
        folder.path(),
        &["--streams", "2"],
    );
    let restore = |from: &Path, database: &str, more: &[&str]| {
        tool("ops-db")
            .arg("restore")
            .arg(from)
            .args([database, "--host", "db-part"])
            .args(more)
            .run()
    };
    for (number, from) in [&file, &parts].into_iter().enumerate() {
        let database = format!("schema_{number}");
        restore(from, &database, &["--schema", "s.x"]).expect(0);
        assert_eq!(
            psql(&host, &database, "SELECT count(*) FROM \"s.x\".\"*\""),
            "10000"
        );
        assert_eq!(
            psql(&host, &database, "SELECT to_regclass('big') IS NULL"),
            "t"
        );
        let database = format!("table_{number}");
        restore(
            from,
            &database,
            &["--table", "*", "--table", "numbered", "--jobs", "2"],
        )
        .expect(0);
        assert_eq!(
            psql(&host, &database, "SELECT count(*) FROM numbered"),
            "77"
        );
        restore(from, "none", &["--table", "typo"])
            .expect(65)
            .complains("holds no table 'typo'");
        restore(from, "none", &["--schema", "typo"])
            .expect(65)
            .complains("holds no schema 'typo'");
    }
    // One file in several processes: its temporary file on the host is gone.
    restore(&file, "by_four", &["--jobs", "4"]).expect(0);
    assert_eq!(
        fingerprint(&host, "by_four"),
        fingerprint(&host, "mautrix_slack")
    );
    let left = host.sh("ls /tmp/ops-db-* 2>/dev/null; true");
    assert_eq!(left.expect(0).out(), "");
}
