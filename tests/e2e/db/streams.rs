//! Backups in several streams: directories of archives, which every other verb understands.

use std::fs;
use std::path::{Path, PathBuf};

use ops_tests::{Lab, LabHost, skip, tool};

use crate::backup::{SHAPE, backup, server, verify};
use crate::look::psql;

fn with_tables(lab: Lab, name: &str) -> LabHost {
    let host = server(lab, name);
    host.sh_with(
        "runuser -u postgres -- psql -Xq -v ON_ERROR_STOP=1 -d mautrix_slack -f -",
        SHAPE.as_bytes(),
    )
    .expect(0);
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

fn listed(folder: &Path) -> Vec<String> {
    let ran = tool("ops-db")
        .arg("backups")
        .arg(folder)
        .arg("--json")
        .run();
    let listed = ran.expect(0).json();
    listed
        .iter()
        .map(|backup| backup["state"].as_str().unwrap().to_owned())
        .collect()
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
    assert_eq!(listed(folder.path()), ["ok"]);
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
    tool("ops-db")
        .arg("drill")
        .arg(&taken)
        .args(["--host", "db-streams"])
        .run()
        .expect(0);
    // Without the manifest beside it, too.
    fs::remove_file(&beside).unwrap();
    verify(&taken, &[]).expect(0);
    assert_eq!(listed(folder.path()), ["unverified"]);
    let left = host.sh("ls /tmp/ops-db-* 2>/dev/null; true");
    assert_eq!(left.expect(0).out(), "");
}
