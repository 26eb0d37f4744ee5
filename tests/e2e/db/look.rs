//! The verbs that look: list, tables, query, health.

use std::time::Duration;

use ops_tests::{Kind, Lab, LabHost, Ran, Running, Tool, bin_dir, skip, tool};
use rustix::process::Signal;
use serde_json::Value;

/// A host with a server, and with ops-db on it.
pub(crate) fn server(lab: Lab, name: &str) -> LabHost {
    let host = lab.host(name, Kind::Postgres);
    std::fs::copy(bin_dir().join("ops-db"), host.path("/usr/local/bin/ops-db"))
        .expect("cannot install ops-db");
    host
}

/// Runs SQL with the host's own psql.
pub(crate) fn psql(host: &LabHost, database: &str, sql: &str) -> String {
    let ran = host.sh_with(
        &format!("runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 -d {database}"),
        sql.as_bytes(),
    );
    ran.expect(0).out().trim_end().to_owned()
}

/// The same command from here over ssh and on the host; both must end alike.
fn both(host: &LabHost, args: &[&str], status: i32) -> [Ran; 2] {
    let here = tool("ops-db")
        .args(args)
        .args(["--host", host.name()])
        .run();
    let there = host.tool("ops-db").args(args).run();
    [here.expect(status), there.expect(status)]
}

fn query(host: &LabHost, args: &[&str]) -> Ran {
    tool("ops-db")
        .args(["query", "mautrix_slack", "--host", host.name()])
        .args(args)
        .run()
}

#[test]
fn databases_and_tables_are_those_that_psql_shows() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-look");
    psql(&host, "postgres", "CREATE DATABASE \"odd \"\"name\né\"");
    psql(
        &host,
        "mautrix_slack",
        "CREATE SCHEMA \"s\tp\"; CREATE TABLE \"s\tp\".t AS SELECT generate_series(1, 20) AS id; ANALYZE; VACUUM \"s\tp\".t;",
    );
    for ran in both(&host, &["list", "--json"], 0) {
        let found = ran.json();
        let names: Vec<_> = found
            .iter()
            .map(|record| record["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["mautrix_slack", "odd \"name\né", "postgres"]);
        assert_eq!(found[0]["owner"], "mautrix_slack");
        let size = found[0]["size_bytes"].as_u64().unwrap();
        assert!(size > 1 << 20, "{size}");
        assert_eq!(found[0]["backup_age_s"], Value::Null);
    }
    for ran in both(&host, &["tables", "mautrix_slack"], 0) {
        let rows = ran.tsv();
        let row: Vec<_> = rows[0].iter().map(String::as_str).collect();
        assert_eq!(
            (row[0], row[1], row[2], row[4]),
            ("s\\tp", "t", "20", "0"),
            "{rows:?}"
        );
        assert!(
            row[3].parse::<u64>().is_ok_and(|size| size >= 8192),
            "{rows:?}"
        );
        assert!(
            row[5].starts_with("20") && row[5].ends_with('Z'),
            "{rows:?}"
        );
    }
    let connected = tool("ops-db")
        .args(["list", "--host", host.name(), "--format", "csv"])
        .run()
        .expect(0);
    assert!(
        connected
            .out()
            .starts_with("name,owner,size_bytes,connections,backup_age_s\n"),
        "{}",
        connected.out()
    );
}

#[test]
fn a_query_looks_the_same_whichever_way_it_went() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-query");
    let values = "SELECT 1 AS n, NULL AS nothing, E'a\\tb\\\\c\\nd' AS text, '' AS empty";
    for ran in both(&host, &["query", "mautrix_slack", values], 0) {
        assert_eq!(ran.out(), "1\t\\N\ta\\tb\\\\c\\nd\t\n");
    }
    // The same rows through the simple protocol, which --write asks for.
    assert_eq!(
        query(&host, &[values, "--write"]).expect(0).out(),
        "1\t\\N\ta\\tb\\\\c\\nd\t\n"
    );
    for more in [&["--format", "csv"][..], &["--format", "csv", "--write"]] {
        assert_eq!(
            query(&host, &[&[values], more].concat()).expect(0).out(),
            "n,nothing,text,empty\n1,,\"a\tb\\c\nd\",\"\"\n"
        );
    }
    let json = query(&host, &[values, "--json"]).expect(0).json();
    assert_eq!(json[0]["host"], "db-query");
    assert_eq!(
        (&json[0]["n"], &json[0]["nothing"], &json[0]["text"]),
        (&1.into(), &Value::Null, &"a\tb\\c\nd".into())
    );
    let shown = tool("ops-db")
        .args([
            "query",
            "mautrix_slack",
            "VALUES (1, 'x'), (22, NULL)",
            "--host",
            host.name(),
        ])
        .terminal(80, 24)
        .run()
        .expect(0);
    assert_eq!(
        shown.out().replace('\r', ""),
        "column1  column2\n1        x\n22\n"
    );
}

#[test]
fn a_query_is_filled_read_from_stdin_and_explained() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-fill");
    let hostile = "who=it's '; DROP TABLE x; -- \\";
    assert_eq!(
        query(&host, &["SELECT :'who', ':''who'''", "-P", hostile])
            .expect(0)
            .out(),
        "it's '; DROP TABLE x; -- \\\\\t:'who'\n"
    );
    let ran = tool("ops-db")
        .args(["query", "mautrix_slack", "-", "--host", host.name()])
        .stdin("SHOW server_version_num -- end\n")
        .run();
    assert!(
        ran.expect(0)
            .out()
            .trim_end()
            .parse::<u32>()
            .is_ok_and(|version| version >= 170_000)
    );
    assert!(
        query(&host, &["EXPLAIN SELECT 1"])
            .expect(0)
            .out()
            .starts_with("Result")
    );
    assert_eq!(
        query(&host, &["SELECT 1 -- a comment hides no parenthesis"])
            .expect(0)
            .out(),
        "1\n"
    );
    for (sql, status, says) in [
        ("selec 1", 65, "syntax error"),
        ("SELECT :'x'", 2, ":'x'"),
        ("SELECT 1; SELECT 2", 2, "--write"),
        (" -- nothing", 2, "no query"),
    ] {
        let ran = query(&host, &[sql]).expect(status).complains(says);
        assert_eq!(ran.out(), "");
    }
    let ran = tool("ops-db")
        .args(["query", "nowhere", "SELECT 1", "--host", host.name()])
        .run();
    ran.expect(69)
        .complains("database \"nowhere\" does not exist");
}

#[test]
fn only_write_changes_anything_and_only_where_it_was_told_to() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-write");
    let exists = || {
        psql(
            &host,
            "mautrix_slack",
            "SELECT to_regclass('t') IS NOT NULL",
        )
    };
    for statement in [
        "CREATE TABLE t (a int)",
        "WITH x AS (SELECT 1) SELECT 1 INTO t",
        "SELECT 1) TO STDOUT; CREATE TABLE t (a int); COPY (SELECT 1",
        "DO $$ BEGIN CREATE TABLE t (a int); END $$",
        "COMMIT; CREATE TABLE t (a int)",
    ] {
        let ran = query(&host, &[statement]);
        assert!(
            matches!(ran.status, 2 | 65 | 77),
            "{statement}: {} {}",
            ran.status,
            ran.err()
        );
        assert_eq!(exists(), "f", "{statement}");
    }
    query(&host, &["CREATE TABLE t (a int)"])
        .expect(77)
        .complains("--write lets a query change things");
    let unnamed = tool("ops-db")
        .args([
            "query",
            "mautrix_slack",
            "CREATE TABLE t (a int)",
            "--write",
        ])
        .env("OPS_HOST", host.name())
        .run();
    unnamed.expect(2).complains("--host");
    assert_eq!(exists(), "f");
    let ran = query(
        &host,
        &[
            "CREATE TABLE t (a int); INSERT INTO t VALUES (7) RETURNING a",
            "--write",
        ],
    );
    assert_eq!(ran.expect(0).out(), "7\n");
    assert_eq!(psql(&host, "mautrix_slack", "SELECT a FROM t"), "7");
}

#[test]
fn an_answer_of_any_size_takes_the_same_memory() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-large");
    let rows = "SELECT repeat('x', 1000) FROM generate_series(1, 200000)";
    for more in [&[][..], &["--json"], &["--write"]] {
        // 200 MB go through a program that may not have as much.
        let args = [
            &["query", "mautrix_slack", rows, "--host", host.name()],
            more,
        ]
        .concat();
        let ran = tool("ops-db")
            .args(args)
            .through(r#"ulimit -v 160000; exec "$@" | wc -l"#)
            .timeout(Duration::from_mins(1))
            .run();
        assert_eq!(ran.expect(0).out().trim(), "200000", "{more:?}");
    }
}

/// Starts a query that would take ten minutes, and waits until the server runs it.
pub(crate) fn sleeper(host: &LabHost, run: Tool, more: &[&str]) -> Running {
    let running = run
        .args(["query", "mautrix_slack", "SELECT pg_sleep(600)"])
        .args(more)
        .spawn();
    wait_until(
        host,
        "EXISTS (SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid())",
    );
    running
}

/// Waits until a condition holds on the server; what it waits for is a state, and the server has no other way to tell it.
pub(crate) fn wait_until(host: &LabHost, condition: &str) {
    let wait = format!(
        "DO $$ BEGIN FOR i IN 1..300 LOOP PERFORM pg_stat_clear_snapshot(); IF {condition} THEN RETURN; END IF; PERFORM pg_sleep(0.1); END LOOP;
         RAISE EXCEPTION 'it never came to that'; END $$"
    );
    psql(host, "postgres", &wait);
}

pub(crate) const NOBODY_SLEEPS: &str = "NOT EXISTS (SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid())";

#[test]
fn ctrl_c_cancels_the_query_on_the_server() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-cancel");
    let running = sleeper(&host, tool("ops-db"), &["--host", host.name()]);
    running.signal(Signal::INT);
    wait_until(&host, NOBODY_SLEEPS);
    assert_eq!(running.finish().signal, Some(2));
    let running = sleeper(&host, host.tool("ops-db"), &[]);
    host.sh("pkill -INT -x ops-db").expect(0);
    wait_until(&host, NOBODY_SLEEPS);
    assert_eq!(running.finish().status, 130);
}

#[test]
fn health_says_what_is_wrong() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-health");
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
    let host = server(lab, "db-narrow");
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
