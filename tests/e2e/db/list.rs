//! `list` and `tables`, from here and on the host itself.

use ops_tests::{Lab, LabHost, Ran, skip, tool};
use serde_json::Value;

use crate::scene::{psql, with_tool};

/// The same command from here over ssh and on the host; both must end alike.
pub(crate) fn both(host: &LabHost, args: &[&str], status: i32) -> [Ran; 2] {
    let here = tool("ops-db")
        .args(args)
        .args(["--host", host.name()])
        .run();
    let there = host.tool("ops-db").args(args).run();
    [here.expect(status), there.expect(status)]
}

#[test]
fn databases_and_tables_are_those_that_psql_shows() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = with_tool(lab, "db-look");
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
