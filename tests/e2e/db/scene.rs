//! What the tests begin with: hosts with a server, databases with something in them, backups of them, and what is asked of
//! all of these again and again.

use std::fs;
use std::path::{Path, PathBuf};

use ops_tests::{Kind, Lab, LabHost, Ran, bin_dir, command, tool};

/// Tables with all that can go wrong in names and values, large objects, a rule, functions of both kinds.
pub(crate) const SHAPE: &str = include_str!("../../../ops-db/golden/shape.sql");
/// Thirty megabytes that do not compress, so that a dump over a slow link takes its time.
pub(crate) const LARGE: &str = "CREATE TABLE big AS SELECT i, (SELECT string_agg(md5(random()::text || i || j), '') FROM generate_series(1, 30) j) AS t
    FROM generate_series(1, 30000) i";

/// A host with a server.
pub(crate) fn server(lab: Lab, name: &str) -> LabHost {
    lab.host(name, Kind::Postgres)
}

/// A host with a server, and with ops-db on it.
pub(crate) fn with_tool(lab: Lab, name: &str) -> LabHost {
    let host = server(lab, name);
    fs::copy(bin_dir().join("ops-db"), host.path("/usr/local/bin/ops-db"))
        .expect("cannot install ops-db");
    host
}

/// A host whose database holds [`SHAPE`].
pub(crate) fn shaped(lab: Lab, name: &str) -> LabHost {
    let host = server(lab, name);
    fill(&host, "mautrix_slack", SHAPE);
    host
}

/// Runs SQL with the host's own psql, each statement by itself.
pub(crate) fn fill(host: &LabHost, database: &str, sql: &str) {
    let psql =
        format!("runuser -u postgres -- psql -Xq -v ON_ERROR_STOP=1 -d {database} -f - >/dev/null");
    host.sh_with(&psql, sql.as_bytes()).expect(0);
}

/// What the host's own psql answers.
pub(crate) fn psql(host: &LabHost, database: &str, sql: &str) -> String {
    let ran = host.sh_with(
        &format!("runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 -d {database}"),
        sql.as_bytes(),
    );
    ran.expect(0).out().trim_end().to_owned()
}

/// Waits until a condition holds on the server; what it waits for is a state, and the server has no other way to tell it.
pub(crate) fn wait_until(host: &LabHost, condition: &str) {
    let wait = format!(
        "DO $$ BEGIN FOR i IN 1..300 LOOP PERFORM pg_stat_clear_snapshot(); IF {condition} THEN RETURN; END IF; PERFORM pg_sleep(0.1); END LOOP;
         RAISE EXCEPTION 'it never came to that'; END $$"
    );
    psql(host, "postgres", &wait);
}

/// Waits until nothing of ours is left on the host.
pub(crate) fn wait_clean(host: &LabHost, fault: &str) {
    let gone = host.sh(
        "for i in $(seq 300); do
           [ -z \"$(systemctl list-units --all --plain --no-legend 'ops-db-*'; ls -d /run/ops-db-* 2>/dev/null; pgrep -x 'pg_dump|pg_restore')\" ] && exit 0
           sleep 0.1
         done; systemctl list-units --all 'ops-db-*'; pgrep -af 'pg_dump|pg_restore'; exit 1",
    );
    assert_eq!(gone.status, 0, "after '{fault}': {}", gone.out());
}

/// Tries to take a backup over ssh.
pub(crate) fn attempt(host: &str, folder: &Path, more: &[&str]) -> Ran {
    tool("ops-db")
        .args(["backup", "mautrix_slack", "--host", host, "-o"])
        .arg(folder)
        .args(more)
        .run()
}

/// Takes a backup over ssh; its file.
pub(crate) fn backup(host: &str, database: &str, folder: &Path, more: &[&str]) -> PathBuf {
    let ran = tool("ops-db")
        .args(["backup", database, "--host", host, "-o"])
        .arg(folder)
        .args(more)
        .run();
    PathBuf::from(ran.expect(0).out().trim_end_matches('\n'))
}

/// Tries to prove a backup without a server.
pub(crate) fn verify(file: &Path, more: &[&str]) -> Ran {
    tool("ops-db").arg("verify").arg(file).args(more).run()
}

/// Tries to prove a backup by a restore on a host.
pub(crate) fn drill(host: &LabHost, file: &Path, more: &[&str]) -> Ran {
    tool("ops-db")
        .arg("drill")
        .arg(file)
        .args(["--host", host.name()])
        .args(more)
        .run()
}

/// Tries to restore a backup on a host.
pub(crate) fn restore(host: &LabHost, file: &Path, database: &str, more: &[&str]) -> Ran {
    tool("ops-db")
        .arg("restore")
        .arg(file)
        .args([database, "--host", host.name()])
        .args(more)
        .run()
}

/// The manifest beside a backup.
pub(crate) fn beside(file: &Path) -> PathBuf {
    format!("{}.manifest.json", file.display()).into()
}

/// What the backups in a folder are worth, oldest first.
pub(crate) fn states(folder: &Path) -> Vec<String> {
    let listed = tool("ops-db")
        .arg("backups")
        .arg(folder)
        .arg("--json")
        .run();
    let listed = listed.expect(0).json();
    listed
        .iter()
        .map(|backup| backup["state"].as_str().expect("no state").to_owned())
        .collect()
}

/// No file here is one that `backups` would count, nor anything else than the note that the backup failed.
pub(crate) fn assert_no_backup(folder: &Path, fault: &str) {
    let listed = tool("ops-db").arg("backups").arg(folder).run().expect(0);
    assert_eq!(listed.out(), "", "{fault}");
    for entry in fs::read_dir(folder).expect("no folder") {
        let name = entry.expect("no entry").file_name();
        let name = name.to_string_lossy();
        assert!(
            name.starts_with('.') && name.ends_with(".failed"),
            "{fault} left '{name}'"
        );
    }
}

/// An SSH key in a folder: its file, and what others may know of it.
pub(crate) fn key(folder: &Path) -> (String, String) {
    let key = folder.join("key");
    command("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key)
        .run()
        .expect(0);
    let public = fs::read_to_string(folder.join("key.pub")).expect("no public key");
    (key.display().to_string(), public.trim().to_owned())
}
