//! Backups that are whole: taken, verified, restored, drilled, listed and pruned.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ops_tests::{Lab, command, skip, tool};

use crate::scene::{SHAPE, backup, beside, drill, fill, key, psql, server, shaped, verify};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn manifest(file: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(beside(file)).unwrap()).unwrap()
}

#[test]
fn a_backup_proves_itself_and_comes_back_whole() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-whole");
    let odd = "odd \"name\"\n'é";
    fill(&host, "mautrix_slack", SHAPE);
    psql(
        &host,
        "postgres",
        "CREATE DATABASE \"odd \"\"name\"\"\n'é\" TEMPLATE mautrix_slack",
    );
    let folder = tempfile::tempdir().unwrap();
    let file = backup("db-whole", odd, folder.path(), &["--count", "--checksum"]);
    assert_eq!((mode(&file), mode(&beside(&file))), (0o600, 0o600));
    let known = manifest(&file);
    assert_eq!(
        (known["database"].as_str(), known["host"].as_str()),
        (Some(odd), Some("db-whole"))
    );
    assert_eq!(known["large_objects"]["count"], 2);
    for table in known["tables"].as_array().unwrap() {
        assert_eq!(table["rows"], table["counted"], "{table}");
        assert!(table["checksum"].is_string(), "{table}");
    }
    let verdict = verify(&file, &["--json"]).expect(0).json();
    assert_eq!(
        (&verdict[0]["status"], &verdict[0]["value"]),
        (&"ok".into(), &23.0.into())
    );
    let restored = tool("ops-db")
        .arg("restore")
        .arg(&file)
        .args(["again", "--host", "db-whole", "--json"])
        .run()
        .expect(0);
    assert_eq!(restored.json()[0]["rows"], 23);
    assert_eq!(
        psql(
            &host,
            "again",
            "SELECT count(*) FROM pg_largeobject_metadata"
        ),
        "2"
    );
    assert_eq!(
        psql(
            &host,
            "again",
            "SELECT \"b c\" FROM \"Odd \"\"name\"\"\né\" WHERE a = 1"
        ),
        "\\."
    );
    let drilled = drill(&host, &file, &[]);
    assert!(drilled.expect(0).out().contains("restored and compared"));
    assert_eq!(
        manifest(&file)["proofs"]
            .as_array()
            .unwrap()
            .last()
            .unwrap()["by"],
        "drill"
    );
    let left = host.sh("ls -d /tmp/ops-db-drill* 2>/dev/null; pgrep -af '[p]ostgres -D /tmp/ops'; systemctl list-units --all --plain --no-legend 'ops-db-*'; true");
    assert_eq!(left.expect(0).out(), "");
}

#[test]
fn plain_sql_goes_to_stdout_and_to_a_file_and_is_restored_without_psql() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = shaped(lab, "db-plain");
    let streamed = tool("ops-db")
        .args(["backup", "mautrix_slack", "--host", "db-plain"])
        .run()
        .expect(0);
    assert!(
        streamed
            .out()
            .contains("-- PostgreSQL database dump complete")
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup.sql");
    tool("ops-db")
        .args(["backup", "mautrix_slack", "--host", "db-plain", "-o"])
        .arg(&file)
        .run()
        .expect(0);
    assert_eq!(mode(&file), 0o600);
    verify(&file, &[]).expect(3).complains("");
    let again = tool("ops-db")
        .args(["restore", "-", "again", "--host", "db-plain"])
        .stdin(streamed.stdout.clone())
        .run();
    again.expect(0);
    let state = "SELECT count(*) || ' ' || (SELECT count(*) FROM pg_rules WHERE schemaname = 's p') || ' ' || atomic(1) FROM portal";
    assert_eq!(psql(&host, "again", state), "20 1 2");
    // A dump that was cut, and one that hides a command for psql: neither becomes a database.
    let cut = streamed.stdout[..streamed.stdout.len() - 200].to_vec();
    tool("ops-db")
        .args(["restore", "-", "cut", "--host", "db-plain"])
        .stdin(cut)
        .run()
        .expect(65)
        .complains("ends early");
    let evil = streamed.out().replacen(
        "\n\n--\n-- Name:",
        "\n\\! touch /tmp/evil\n\n--\n-- Name:",
        1,
    );
    tool("ops-db")
        .args(["restore", "-", "evil", "--host", "db-plain"])
        .stdin(evil)
        .run()
        .expect(65)
        .complains("command of psql");
    assert_eq!(
        psql(
            &host,
            "postgres",
            "SELECT count(*) FROM pg_database WHERE datname ~ 'cut|evil|restore'"
        ),
        "0"
    );
}

#[test]
fn staging_is_refreshed_in_one_stream_and_the_old_one_is_kept() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let production = server(lab, "db-prod");
    let staging = server(lab, "db-stage");
    psql(
        &production,
        "mautrix_slack",
        "CREATE TABLE person AS SELECT i AS id, 'secret' AS mail FROM generate_series(1, 50) i",
    );
    psql(&staging, "mautrix_slack", "CREATE TABLE old (a int)");
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("scrub.sql"),
        "UPDATE person SET mail = 'x'",
    )
    .unwrap();
    let refresh = |more: &str| {
        let line = format!(
            "ops-db backup mautrix_slack --custom --host db-prod | ops-db restore - mautrix_slack --host db-stage {more}"
        );
        command("sh").args(["-c", &line]).dir(folder.path()).run()
    };
    refresh("")
        .expect(1)
        .complains("'mautrix_slack' exists and was not replaced");
    assert_eq!(
        psql(
            &staging,
            "mautrix_slack",
            "SELECT to_regclass('old') IS NOT NULL"
        ),
        "t"
    );
    let broken = refresh("--replace mautrix_slack --before-swap nowhere.sql");
    broken.expect(74).complains("nowhere.sql");
    // Somebody is connected, and is sent away.
    let client = staging.sh("runuser -u postgres -- sh -c 'psql -X -d mautrix_slack -c \"SELECT pg_sleep(600)\" >/dev/null 2>&1 &'");
    client.expect(0);
    refresh("--replace mautrix_slack --before-swap scrub.sql").expect(0);
    assert_eq!(
        psql(
            &staging,
            "mautrix_slack",
            "SELECT count(*), min(mail) FROM person"
        ),
        "50|x"
    );
    let kept = psql(
        &staging,
        "postgres",
        "SELECT datname FROM pg_database WHERE datname LIKE 'mautrix_slack_replaced_%'",
    );
    assert_eq!(
        psql(&staging, &kept, "SELECT to_regclass('old') IS NOT NULL"),
        "t"
    );
    assert_eq!(
        psql(
            &staging,
            "postgres",
            "SELECT count(*) FROM pg_database WHERE datname LIKE '%restore%'"
        ),
        "0"
    );
}

#[test]
fn encrypted_backups_are_for_their_recipients() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = shaped(lab, "db-age");
    let folder = tempfile::tempdir().unwrap();
    let (key, public) = key(folder.path());
    let file = backup(
        "db-age",
        "mautrix_slack",
        folder.path(),
        &["--recipient", &public],
    );
    assert!(file.extension().is_some_and(|ending| ending == "age"));
    let raw = fs::read(&file).unwrap();
    assert!(
        raw.starts_with(b"age-encryption.org/v1")
            && !raw.windows(6).any(|window| window == b"portal")
    );
    let identity = ["--identity", &key];
    verify(&file, &identity).expect(0);
    assert!(verify(&file, &[]).expect(0).out().contains("not decrypted"));
    fs::remove_file(beside(&file)).unwrap();
    verify(&file, &[]).expect(3);
    verify(&file, &identity).expect(0);
    drill(&host, &file, &identity).expect(0);
    let listed = tool("ops-db")
        .arg("backups")
        .arg(folder.path())
        .arg("--json")
        .run()
        .expect(0)
        .json();
    assert_eq!(
        (listed.len(), &listed[0]["state"]),
        (1, &"unverified".into())
    );
    tool("ops-db")
        .arg("backup")
        .args([
            "mautrix_slack",
            "--host",
            "db-age",
            "--recipient",
            "age1nonsense",
            "-o",
        ])
        .arg(folder.path())
        .run()
        .expect(78);
}

#[test]
fn all_databases_are_taken_listed_and_pruned() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-all");
    psql(&host, "postgres", "CREATE DATABASE scratch");
    psql(&host, "postgres", "CREATE DATABASE forgejo");
    let folder = tempfile::tempdir().unwrap();
    let all = |more: &[&str]| {
        tool("ops-db")
            .args(["backup", "--all", "--host", "db-all", "-o"])
            .arg(folder.path())
            .args(more)
            .run()
    };
    assert_eq!(
        all(&["--exclude", "scratch"])
            .expect(0)
            .out()
            .lines()
            .count(),
        3
    );
    let listed = tool("ops-db")
        .arg("backups")
        .arg(folder.path())
        .arg("--json")
        .run()
        .expect(0)
        .json();
    assert!(
        listed
            .iter()
            .all(|backup| backup["state"] == "ok" && backup["verified_at"].is_string()),
        "{listed:?}"
    );
    let mut names: Vec<_> = listed
        .iter()
        .map(|backup| backup["database"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["forgejo", "mautrix_slack", "postgres"]);
    let prune = |more: &[&str]| {
        tool("ops-db")
            .arg("prune")
            .arg(folder.path())
            .args(["--last", "1"])
            .args(more)
            .run()
    };
    assert!(
        prune(&[])
            .expect(0)
            .tsv()
            .iter()
            .all(|row| row[0] == "keep")
    );
    tool("ops-db")
        .arg("prune")
        .arg(folder.path())
        .run()
        .expect(2)
        .complains("what to keep");
    // Damage is seen, told, and no longer counts.
    let first = PathBuf::from(listed[0]["file"].as_str().unwrap());
    let mut bytes = fs::read(&first).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&first, bytes).unwrap();
    assert!(verify(&first, &[]).expect(65).out().starts_with("fail"));
    let listed = tool("ops-db")
        .arg("backups")
        .arg(folder.path())
        .arg("--json")
        .run()
        .expect(0)
        .json();
    assert_eq!(listed[0]["state"], "damaged");
    assert_eq!(prune(&["--yes"]).expect(0).out().lines().count(), 2);
    assert!(first.exists());
}
