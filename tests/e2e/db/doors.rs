//! Databases and folders that are not there or not open: each with its status, its name and what to do.

use ops_tests::{Lab, skip, tool};

use crate::scene::{assert_no_backup, backup, psql, restore, server, with_tool};

#[test]
fn what_is_not_there_or_not_open_comes_with_what_to_do() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-doors");
    let folder = tempfile::tempdir().unwrap();
    psql(
        &host,
        "postgres",
        "CREATE DATABASE closed ALLOW_CONNECTIONS false",
    );
    psql(&host, "postgres", "CREATE DATABASE half");
    psql(&host, "postgres", "CREATE DATABASE \"my db\"");
    // What an interrupted DROP DATABASE leaves.
    psql(
        &host,
        "postgres",
        "UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'half'",
    );
    let ask = |args: &[&str]| {
        tool("ops-db")
            .args(args)
            .args(["--host", "db-doors"])
            .dir(folder.path())
            .run()
    };
    for (args, status, says) in [
        (
            &["backup", "nonesuch"][..],
            69,
            "ops-db list shows the databases",
        ),
        (
            &["backup", "nonesuch", "-o", "."],
            69,
            "ops-db list shows the databases",
        ),
        (
            &["query", "nonesuch", "SELECT 1"],
            69,
            "ops-db list shows the databases",
        ),
        (
            &["backup", "closed"],
            69,
            "not currently accepting connections",
        ),
        (
            &["backup", "closed", "-o", "."],
            69,
            "not currently accepting connections",
        ),
        (
            &["query", "closed", "SELECT 1"],
            69,
            "not currently accepting connections",
        ),
        (&["backup", "half", "-o", "."], 69, "invalid database"),
        (
            &["backup", "my db", "-o", "no where/"],
            74,
            "make the folder first: mkdir -p 'no where/'",
        ),
    ] {
        ask(args).expect(status).complains(says);
    }
    // All means those that can be had.
    std::fs::create_dir(folder.path().join("all")).unwrap();
    let all = ask(&["backup", "--all", "-o", "all/"]).expect(0);
    assert_eq!(all.out().lines().count(), 3, "{}", all.out());
    ask(&["health", "--json"]).expect(0);
    let file = backup("db-doors", "my db", folder.path(), &[]);
    restore(&host, &file, "my db", &[])
        .expect(1)
        .complains("--replace 'my db' says that you mean it");
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            !name.starts_with("half") && !name.starts_with("closed"),
            "{name}"
        );
    }
    let empty = tempfile::tempdir().unwrap();
    assert_no_backup(empty.path(), "nothing");
}

#[test]
fn whoever_is_neither_root_nor_postgres_drills_as_himself() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = with_tool(lab, "db-himself");
    psql(
        &host,
        "mautrix_slack",
        "CREATE TABLE t AS SELECT generate_series(1, 77)",
    );
    host.sh("install -d -o op /srv/mine && ops-db backup mautrix_slack -o /srv/mine/ --checksum && chown op: /srv/mine/*")
        .expect(0);
    let drilled = host
        .sh("cd /; runuser -u op -- sh -c 'exec ops-db drill /srv/mine/*.zst --json'")
        .expect(0)
        .json();
    assert_eq!(drilled[0]["value"], 77.0);
    let noted =
        host.sh("grep -c '\"by\": \"drill\"' /srv/mine/*.json; stat -c %U /srv/mine/*.json");
    assert_eq!(noted.expect(0).out(), "1\nop\n");
    let left = host.sh("ls -d /tmp/ops-db-drill.* 2>/dev/null; pgrep -u op -a postgres; true");
    assert_eq!(left.expect(0).out(), "");
}
