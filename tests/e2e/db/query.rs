//! `query`: what is asked, what comes back, and what may be changed.

use std::time::Duration;

use ops_tests::{Lab, LabHost, Ran, Running, Tool, skip, tool};
use rustix::process::Signal;
use serde_json::Value;

use crate::list::both;
use crate::scene::{psql, wait_until, with_tool};

fn query(host: &LabHost, args: &[&str]) -> Ran {
    tool("ops-db")
        .args(["query", "mautrix_slack", "--host", host.name()])
        .args(args)
        .run()
}

#[test]
fn a_query_looks_the_same_whichever_way_it_went() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = with_tool(lab, "db-query");
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
    // What one name cannot hold twice, and what no number of JSON can hold.
    for more in [&["--json"][..], &["--json", "--write"]] {
        let ask = |sql: &str| query(&host, &[&[sql], more].concat());
        ask("SELECT 1 AS a, 2 AS a")
            .expect(65)
            .complains("two columns are called 'a'");
        let odd = ask(
            "SELECT 'NaN'::numeric AS n, 9007199254740993 AS big, 'infinity'::date AS d, '\\x00ff'::bytea AS b, 1",
        );
        let text = odd.expect(0).out();
        assert!(text.contains("9007199254740993"), "{text}");
        let odd: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&odd["n"], &odd["d"], &odd["b"]),
            (&"NaN".into(), &"infinity".into(), &"\\x00ff".into())
        );
        assert!(odd.get("?column?").is_some(), "{odd}");
    }
    let odd = r"SELECT E'\\N' AS a, NULL AS b, E'\b\f\x0b' AS c, '\x00'::bytea AS d";
    let expected = [r"\\N", r"\N", r"\b\f\v", r"\\x00"].join("\t") + "\n";
    for more in [&[][..], &["--write"]] {
        let asked = query(&host, &[&[odd], more].concat());
        assert_eq!(asked.expect(0).out(), expected);
    }
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
    let host = with_tool(lab, "db-fill");
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
    let host = with_tool(lab, "db-write");
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
    let host = with_tool(lab, "db-large");
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

const NOBODY_SLEEPS: &str = "NOT EXISTS (SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid())";

#[test]
fn ctrl_c_cancels_the_query_on_the_server() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = with_tool(lab, "db-cancel");
    let running = sleeper(&host, tool("ops-db"), &["--host", host.name()]);
    running.signal(Signal::INT);
    wait_until(&host, NOBODY_SLEEPS);
    assert_eq!(running.finish().signal, Some(2));
    let running = sleeper(&host, host.tool("ops-db"), &[]);
    host.sh("pkill -INT -x ops-db").expect(0);
    wait_until(&host, NOBODY_SLEEPS);
    assert_eq!(running.finish().status, 130);
}
