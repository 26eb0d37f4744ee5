//! Two of a kind within one second: each gets a name of its own, and whatever reads names understands both.

use std::fs;
use std::path::Path;

use ops_tests::{Lab, Running, command, skip, tool};

use crate::scene::{backup, psql, server, verify};

/// The seconds from now on, as names of files have them.
fn seconds_to_come(count: u32) -> Vec<String> {
    let line = format!(
        "now=$(date +%s); for s in $(seq 0 {count}); do date -u -d @$((now + s)) +%Y%m%dT%H%M%SZ; done"
    );
    let ran = command("sh").args(["-c", &line]).run().expect(0);
    ran.out().lines().map(str::to_owned).collect()
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[test]
fn backups_of_one_second_have_names_of_their_own_and_all_read_them() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-second");
    let folder = tempfile::tempdir().unwrap();
    // Whenever the backup is taken within ten minutes, there is one of the same second.
    let occupied: Vec<_> = seconds_to_come(600)
        .iter()
        .map(|second| {
            folder
                .path()
                .join(format!("mautrix_slack.{second}.dump.zst"))
        })
        .collect();
    for path in &occupied {
        fs::write(path, "").unwrap();
    }
    let second = backup("db-second", "mautrix_slack", folder.path(), &[]);
    assert!(name(&second).ends_with("Z-2.dump.zst"), "{second:?}");
    for path in &occupied {
        fs::remove_file(path).unwrap();
    }
    let first = backup("db-second", "mautrix_slack", folder.path(), &[]);
    assert!(name(&first).ends_with("Z.dump.zst"), "{first:?}");
    for file in [&first, &second] {
        verify(file, &[]).expect(0);
    }
    let folder = folder.path().to_str().unwrap();
    let listed = tool("ops-db")
        .args(["backups", folder, "--json"])
        .run()
        .expect(0)
        .json();
    let states: Vec<_> = listed.iter().map(|backup| &backup["state"]).collect();
    assert_eq!(states, ["ok", "ok"], "{listed:?}");
    let configuration = format!("db: {{backups: \"{folder}\"}}\n");
    fs::write(Path::new(folder).join("ops.yaml"), configuration).unwrap();
    let ask = |verb: &str| {
        let ran = tool("ops-db")
            .args([verb, "--host", host.name(), "--json"])
            .dir(Path::new(folder))
            .run();
        ran.json()
    };
    let databases = ask("list");
    let slack = databases
        .iter()
        .find(|database| database["name"] == "mautrix_slack");
    assert!(slack.unwrap()["backup_age_s"].as_f64().unwrap() < 600.0);
    assert!(
        ask("health")
            .iter()
            .any(|check| check["check"] == "db.backup_age" && check["value"].is_number())
    );
    let pruned = tool("ops-db")
        .args(["prune", folder, "--last", "1", "--yes"])
        .run()
        .expect(0);
    assert_eq!(pruned.tsv().len(), 2);
    assert!(first.exists() && !second.exists());
}

#[test]
fn restores_of_one_second_keep_both_old_databases() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-swaps");
    let folder = tempfile::tempdir().unwrap();
    let file = backup("db-swaps", "mautrix_slack", folder.path(), &[]);
    let restore = || -> Running {
        tool("ops-db")
            .arg("restore")
            .arg(&file)
            .args(["again", "--host", host.name(), "--replace", "again"])
            .spawn()
    };
    restore().finish().expect(0);
    let kept = || {
        psql(
            &host,
            "postgres",
            "SELECT datname FROM pg_database WHERE datname LIKE 'again%'",
        )
    };
    // Two at once begin in the same second, unless a second ends between them: then once more.
    let mut pairs = 0;
    while !kept().lines().any(|name| name.ends_with("Z_2")) {
        pairs += 1;
        assert!(pairs < 20, "twenty pairs, and no two of one second");
        for running in [restore(), restore()] {
            running.finish().expect(0);
        }
    }
    let names = kept();
    assert_eq!(names.lines().count(), 1 + 2 * pairs, "{names}");
    assert!(!names.contains("_restore_"), "{names}");
}
