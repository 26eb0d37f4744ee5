//! What a server or a backup can put in the way: each obstacle with its status and its name, and no backup made of it.

use std::fs;
use std::path::Path;

use ops_tests::{Lab, LabHost, Ran, skip, tool};

use crate::scene::{
    SHAPE, assert_no_backup, attempt, backup, drill, fill, psql, server, verify, wait_clean,
    wait_until,
};

/// A connection that stays until its process is terminated.
fn client(host: &LabHost, sql: &str) {
    let line = format!(
        "setsid runuser -u postgres -- psql -XAtq -d mautrix_slack -c \"{sql}\" >/dev/null 2>&1 </dev/null &"
    );
    host.sh(&line).expect(0);
}

fn end_clients(host: &LabHost, like: &str) {
    psql(
        host,
        "postgres",
        &format!(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE query LIKE '{like}' AND pid <> pg_backend_pid()"
        ),
    );
}

fn restore(host: &LabHost, dump: &[u8], database: &str) -> Ran {
    tool("ops-db")
        .args(["restore", "-", database, "--host", host.name()])
        .stdin(dump)
        .run()
}

fn dump(host: &LabHost, more: &[&str]) -> Vec<u8> {
    let ran = tool("ops-db")
        .args(["backup", "mautrix_slack", "--host", host.name()])
        .args(more)
        .run();
    ran.expect(0).stdout
}

fn databases(host: &LabHost) -> String {
    psql(
        host,
        "postgres",
        "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE NOT datistemplate",
    )
}

#[test]
fn a_server_that_wants_a_password_is_told_apart_from_one_that_fails() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-password");
    let folder = tempfile::tempdir().unwrap();
    let ask = "sed -i.kept 's/^local all all .*/local all all scram-sha-256/' /var/lib/postgresql/17/pg_hba.conf && systemctl reload postgresql && sleep 0";
    psql(
        &host,
        "postgres",
        "SET password_encryption = 'scram-sha-256'; ALTER ROLE postgres PASSWORD 'made-up'",
    );
    host.sh(ask).expect(0);
    // The server re-reads its rules a moment after it was told to.
    host.sh("for i in $(seq 100); do runuser -u postgres -- psql -wXAtqc 'SELECT 1' >/dev/null 2>&1 || exit 0; sleep 0.1; done; exit 1")
        .expect(0);
    let refused = attempt("db-password", folder.path(), &[])
        .expect(77)
        .complains("password missing");
    assert!(refused.err().contains("peer"), "{}", refused.err());
    assert_no_backup(folder.path(), "a password is wanted");
    let streamed = tool("ops-db")
        .args(["backup", "mautrix_slack", "--host", "db-password"])
        .run();
    let streamed = streamed.expect(77).complains("no password supplied");
    assert_eq!(streamed.out(), "");
    for verb in ["list", "health"] {
        tool("ops-db")
            .args([verb, "--host", "db-password"])
            .run()
            .expect(77)
            .complains("password missing");
    }
    wait_clean(&host, "a password is wanted");
}

#[test]
fn two_backups_of_one_database_do_not_meet() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-twice");
    let folder = tempfile::tempdir().unwrap();
    psql(&host, "mautrix_slack", "CREATE TABLE t (a int)");
    client(&host, "BEGIN; LOCK TABLE t; SELECT pg_sleep(600)");
    wait_until(
        &host,
        "EXISTS (SELECT FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation IS NOT NULL AND database <> 0)",
    );
    let first = tool("ops-db")
        .args(["backup", "mautrix_slack", "--host", "db-twice", "-o"])
        .arg(folder.path())
        .spawn();
    wait_until(
        &host,
        "EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'pg_dump' AND wait_event_type = 'Lock')",
    );
    for host in ["db-twice", "root@db-twice"] {
        attempt(host, folder.path(), &[])
            .expect(75)
            .complains("another backup of 'mautrix_slack' is running");
    }
    end_clients(&host, "%pg_sleep(600)%");
    first.finish().expect(0);
    let listed = tool("ops-db").arg("backups").arg(folder.path()).run();
    assert_eq!(listed.expect(0).tsv().len(), 1);
    attempt("db-twice", folder.path(), &[]).expect(0);
}

#[test]
fn a_table_that_is_dropped_meanwhile_is_named() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-dropped");
    let folder = tempfile::tempdir().unwrap();
    psql(&host, "mautrix_slack", "CREATE TABLE going (a int)");
    // The barrier: one client keeps another from dropping the table until the dump waits for it.
    client(&host, "SELECT pg_advisory_lock(42), pg_sleep(600)");
    wait_until(
        &host,
        "EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted)",
    );
    client(
        &host,
        "BEGIN; LOCK TABLE going; SELECT pg_advisory_xact_lock(42); DROP TABLE going; COMMIT",
    );
    wait_until(
        &host,
        "EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)",
    );
    let running = tool("ops-db")
        .args(["backup", "mautrix_slack", "--host", "db-dropped", "-o"])
        .arg(folder.path())
        .spawn();
    wait_until(
        &host,
        "EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'pg_dump' AND wait_event_type = 'Lock')",
    );
    end_clients(&host, "%pg_sleep(600)%");
    running.finish().expect(75).complains("public.going");
    assert_no_backup(folder.path(), "a table was dropped");
    wait_clean(&host, "a table was dropped");
    attempt("db-dropped", folder.path(), &[]).expect(0);
}

#[test]
fn a_full_disk_of_the_host_is_told_as_such() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-full");
    let folder = tempfile::tempdir().unwrap();
    psql(
        &host,
        "mautrix_slack",
        "CREATE TABLE t AS SELECT md5(i::text) FROM generate_series(1, 100000) i",
    );
    let whole = dump(&host, &["--custom"]);
    // Where the server writes its snapshots.
    let full = |path: &str| {
        format!(
            "mount -t tmpfs -o size=16k,mode=777 tmpfs {path} && {{ dd if=/dev/zero of={path}/fill 2>/dev/null; true; }}"
        )
    };
    host.sh(&full("/var/lib/postgresql/17/pg_snapshots"))
        .expect(0);
    attempt("db-full", folder.path(), &[])
        .expect(74)
        .complains("pg_snapshots");
    assert_no_backup(folder.path(), "the host's disk is full");
    host.sh("umount /var/lib/postgresql/17/pg_snapshots")
        .expect(0);
    // Where a restore writes its tables.
    let small = "systemctl stop postgresql && cd /var/lib/postgresql/17 && mount -t tmpfs -o size=90M,mode=700 tmpfs /mnt && chown postgres: /mnt \
        && cp -a base/. /mnt/ && mount --bind /mnt base && systemctl start postgresql \
        && dd if=/dev/zero of=/mnt/fill bs=1k count=$(($(df --output=avail -k /mnt | tail -1) - 6000))";
    host.sh(small).expect(0);
    let ran = restore(&host, &whole, "again");
    ran.expect(74).complains("No space left on device");
    assert_eq!(databases(&host), "mautrix_slack postgres");
    // Where a drill makes its cluster.
    let small = folder.path().join("x.dump");
    fs::write(&small, &whole).unwrap();
    host.sh(&full("/tmp")).expect(0);
    drill(&host, &small, &[])
        .expect(74)
        .complains("No space left on device");
    host.sh("umount /tmp").expect(0);
    wait_clean(&host, "the host's disk is full");
    // Where the way to the server is made: whoever looks asks psql then, the others say what is missing.
    host.sh("mount -o remount,size=16M /run; dd if=/dev/zero of=/run/fill bs=4k 2>/dev/null; true")
        .expect(0);
    attempt("db-full", folder.path(), &[])
        .expect(69)
        .complains("cannot reach the server on 'db-full'");
    tool("ops-db")
        .args(["list", "--host", "db-full"])
        .run()
        .expect(0);
    host.sh("rm /run/fill").expect(0);
    attempt("db-full", folder.path(), &[]).expect(0);
}

#[test]
fn extensions_come_back_and_one_that_is_missing_is_named() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-extended");
    let folder = tempfile::tempdir().unwrap();
    psql(
        &host,
        "mautrix_slack",
        "CREATE EXTENSION hstore; CREATE TABLE h AS SELECT hstore('a', i::text) AS v FROM generate_series(1, 9) i",
    );
    let file = backup(
        "db-extended",
        "mautrix_slack",
        folder.path(),
        &["--checksum"],
    );
    drill(&host, &file, &[]).expect(0);
    let bytes = fs::read(&file).unwrap();
    restore(&host, &bytes, "again").expect(0);
    assert_eq!(
        psql(&host, "again", "SELECT sum((v->'a')::int) FROM h"),
        "45"
    );
    host.sh("mv /usr/share/postgresql/17/extension/hstore.control /root/")
        .expect(0);
    restore(&host, &bytes, "without")
        .expect(69)
        .complains("extension \"hstore\" is not available");
    let drilled = drill(&host, &file, &[]);
    drilled
        .expect(69)
        .complains("extension \"hstore\" is not available");
    assert_eq!(databases(&host), "again mautrix_slack postgres");
}

#[test]
fn odd_names_and_roles_travel_and_a_missing_role_is_named() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-roles");
    let folder = tempfile::tempdir().unwrap();
    let odd = "q\"u'o te\n\\é";
    let sql = r#"CREATE ROLE "q""u'o te
\é"; CREATE SCHEMA "q""u'o te
\é" AUTHORIZATION "q""u'o te
\é"; CREATE TABLE "q""u'o te
\é"."q""u'o te
\é" ("q""u'o te
\é" text); ALTER TABLE "q""u'o te
\é"."q""u'o te
\é" OWNER TO "q""u'o te
\é"; INSERT INTO "q""u'o te
\é"."q""u'o te
\é" VALUES ('x')"#;
    psql(&host, "postgres", "CREATE DATABASE \"q\"\"u'o te\n\\é\"");
    // The name of the database has to pass a shell, psql's arguments and the server.
    host.write("/srv/odd.sql", sql);
    host.write("/srv/odd.name", odd);
    host.sh("runuser -u postgres -- sh -c 'psql -Xq -v ON_ERROR_STOP=1 -f /srv/odd.sql \"$(cat /srv/odd.name)\"'")
        .expect(0);
    let file = backup("db-roles", odd, folder.path(), &["--count", "--checksum"]);
    verify(&file, &[]).expect(0);
    let listed = tool("ops-db")
        .arg("backups")
        .arg(folder.path())
        .arg("--json")
        .run()
        .expect(0)
        .json();
    assert_eq!(listed[0]["database"], odd);
    drill(&host, &file, &[]).expect(0);
    let restored = tool("ops-db")
        .arg("restore")
        .arg(&file)
        .args([odd, "--host", "db-roles", "--replace", odd])
        .run();
    restored.expect(0);
    let query = tool("ops-db")
        .args(["query", odd, "-P"])
        .arg(format!("name={odd}"))
        .arg("SELECT count(*) FROM :\"name\".:\"name\" WHERE :'name' <> ''")
        .args(["--host", "db-roles"])
        .run();
    assert_eq!(query.expect(0).out(), "1\n");
    // A bare archive knows no roles, so the target has to.
    let bare = tool("ops-db")
        .args(["backup", odd, "--custom", "--host", "db-roles"])
        .run()
        .expect(0)
        .stdout;
    let other = server(lab, "db-roleless");
    let refused = restore(&other, &bare, "again");
    refused.expect(77).complains("does not exist");
    assert_eq!(databases(&other), "mautrix_slack postgres");
}

#[test]
fn an_archive_of_a_newer_version_is_no_restore_and_no_proof() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-newer");
    let folder = tempfile::tempdir().unwrap();
    let mut bare = dump(&host, &["--custom"]);
    bare[6] = 99;
    restore(&host, &bare, "again")
        .expect(65)
        .complains("archive format 1.99 is newer than 1.16");
    assert_eq!(databases(&host), "mautrix_slack postgres");
    let file = folder.path().join("newer.dump");
    fs::write(&file, &bare).unwrap();
    let judged = verify(&file, &[]);
    assert!(matches!(judged.status, 3 | 65), "{}", judged.status);
    assert!(
        judged.out().contains("1.99 is newer than 1.16"),
        "{}",
        judged.out()
    );
}

/// A plain dump with its key, and the same without, as before August 2025.
fn with_and_without_key(script: &[u8]) -> [Vec<u8>; 2] {
    let text = String::from_utf8(script.to_vec()).unwrap();
    assert!(text.contains("\n\\restrict ") && text.contains("\n\\unrestrict "));
    let bare: String = text
        .split_inclusive('\n')
        .filter(|line| !line.starts_with("\\restrict ") && !line.starts_with("\\unrestrict "))
        .collect();
    [text.into_bytes(), bare.into_bytes()]
}

#[test]
fn plain_dumps_with_and_without_a_key_are_whole_or_refused() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-key");
    let folder = tempfile::tempdir().unwrap();
    fill(&host, "mautrix_slack", SHAPE);
    let scripts = with_and_without_key(&dump(&host, &[]));
    for (number, script) in scripts.iter().enumerate() {
        let judge = |bytes: &[u8]| {
            let file = folder.path().join("script.sql");
            fs::write(&file, bytes).unwrap();
            verify(Path::new(&file), &[]).status
        };
        assert_eq!(judge(script), 3, "an end, and no checksum");
        restore(&host, script, &format!("again{number}")).expect(0);
        assert_eq!(
            psql(
                &host,
                &format!("again{number}"),
                "SELECT count(*) FROM pg_largeobject_metadata"
            ),
            "2"
        );
        // Cut behind each statement: psql would take every one of these for whole.
        let ends: Vec<usize> = script
            .windows(2)
            .enumerate()
            .filter_map(|(at, pair)| (pair == b";\n").then_some(at + 2))
            .collect();
        assert!(ends.len() > 20);
        for end in &ends {
            assert_eq!(judge(&script[..*end]), 65, "cut at {end}");
        }
        let last = &script[..*ends.last().unwrap()];
        restore(&host, last, "cut")
            .expect(65)
            .complains("ends early");
    }
    // Head and tail of two dumps.
    let other = dump(&host, &[]);
    let tail = String::from_utf8(other).unwrap();
    let tail = &tail[tail.rfind("\\unrestrict ").unwrap()..];
    let head = String::from_utf8(scripts[0].clone()).unwrap();
    let head = &head[..head.rfind("\\unrestrict ").unwrap()];
    restore(&host, format!("{head}{tail}").as_bytes(), "two")
        .expect(65)
        .complains("with the key of its head");
    assert_eq!(databases(&host), "again0 again1 mautrix_slack postgres");
}
