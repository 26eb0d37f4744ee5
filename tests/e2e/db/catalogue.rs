//! A folder of backups and what is told of it: of which host they are, what they are worth, what a dead run has left.

use std::fs;
use std::path::Path;

use ops_tests::{Lab, Ran, command, skip, tool};
use rustix::process::Signal;
use serde_json::Value;

use crate::faults::IN_ROWS;
use crate::scene::{
    LARGE, attempt, backup, beside, psql, server, states, verify, wait_until, with_tool,
};

fn prune(folder: &Path, more: &[&str]) -> Ran {
    tool("ops-db")
        .arg("prune")
        .arg(folder)
        .args(["--last", "1"])
        .args(more)
        .run()
}

#[test]
fn backups_of_two_hosts_in_one_folder_are_not_mixed() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let (one, _other) = (server(lab, "db-one"), server(lab, "db-other"));
    let folder = tempfile::tempdir().unwrap();
    let yaml = format!("db: {{backups: \"{}\"}}\n", folder.path().display());
    fs::write(folder.path().join("ops.yaml"), yaml).unwrap();
    let first = backup("db-one", "mautrix_slack", folder.path(), &[]);
    let asked = |verb: &str, host: &str| -> Value {
        let ran = tool("ops-db")
            .args([verb, "--host", host, "--json"])
            .dir(folder.path())
            .run()
            .expect(0);
        let is_it = |record: &Value| {
            record["name"] == "mautrix_slack"
                || record["check"] == "db.backup_age" && record["subject"] == "mautrix_slack"
        };
        ran.json().into_iter().find(is_it).unwrap()
    };
    for name in ["db-one", "root@db-one"] {
        assert!(asked("list", name)["backup_age_s"].is_number(), "{name}");
        assert_eq!(asked("health", name)["status"], "ok", "{name}");
    }
    assert_eq!(asked("list", "db-other")["backup_age_s"], Value::Null);
    assert_eq!(asked("health", "db-other")["status"], "warn");
    // Where no session can be had the machine is still known.
    one.sh("chmod -x /usr/lib/systemd/systemd-socket-proxyd")
        .expect(0);
    assert!(asked("list", "root@db-one")["backup_age_s"].is_number());
    one.sh("chmod +x /usr/lib/systemd/systemd-socket-proxyd")
        .expect(0);
    let second = backup("db-other", "mautrix_slack", folder.path(), &[]);
    let kept = prune(folder.path(), &["--yes"]).expect(0);
    assert!(
        kept.tsv().iter().all(|row| row[0] == "keep"),
        "{}",
        kept.out()
    );
    // Taken under another name of the same machine, it is one more of the same.
    let third = backup("root@db-one", "mautrix_slack", folder.path(), &[]);
    prune(folder.path(), &["--yes"]).expect(0);
    assert_eq!(
        [&first, &second, &third].map(|file| file.exists()),
        [false, true, true]
    );
    // A failure over there holds the backups from there, and no others.
    attempt("db-other", folder.path(), &["--role", "games"]).expect(77);
    backup("db-one", "mautrix_slack", folder.path(), &[]);
    backup("root@db-one", "mautrix_slack", folder.path(), &[]);
    let held = prune(folder.path(), &["--yes"])
        .expect(1)
        .complains("the last backup of 'mautrix_slack' failed");
    assert_eq!(
        held.tsv().iter().filter(|row| row[0] == "remove").count(),
        2,
        "{}",
        held.out()
    );
    assert!(second.exists());
}

#[test]
fn two_machines_of_one_name_are_two() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let hosts = [server(lab, "db-twin-1"), server(lab, "db-twin-2")];
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for host in &hosts {
        host.sh("hostname twin").expect(0);
        files.push(backup(host.name(), "mautrix_slack", folder.path(), &[]));
    }
    attempt("db-twin-1", folder.path(), &["--role", "games"]).expect(77);
    files.push(backup("db-twin-2", "mautrix_slack", folder.path(), &[]));
    prune(folder.path(), &["--yes"])
        .expect(1)
        .complains("the last backup of 'mautrix_slack' failed");
    let exist = |files: &[std::path::PathBuf]| -> Vec<bool> {
        files.iter().map(|file| file.exists()).collect()
    };
    assert_eq!(exist(&files), [true, false, true]);
    files.push(backup("db-twin-1", "mautrix_slack", folder.path(), &[]));
    prune(folder.path(), &["--yes"]).expect(0);
    assert_eq!(exist(&files), [false, false, true, true]);
}

#[test]
fn a_killed_backup_holds_prune_until_the_next_succeeds() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-held");
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        backup("db-held", "mautrix_slack", folder.path(), &[]);
    }
    psql(&host, "mautrix_slack", LARGE);
    for signal in [Signal::KILL, Signal::INT] {
        let relay = ops_tests::relay::Relay::before(
            &host,
            &format!("db-held-{}", signal.as_raw()),
            ops_tests::relay::Link::new().throttle(4 << 20),
        );
        let running = tool("ops-db")
            .args(["backup", "mautrix_slack", "--host", relay.alias(), "-o"])
            .arg(folder.path())
            .spawn();
        wait_until(&host, IN_ROWS);
        running.signal(signal);
        assert_eq!(running.finish().signal, Some(signal.as_raw()));
        assert_eq!(states(folder.path()), ["ok", "ok"]);
        prune(folder.path(), &["--yes"])
            .expect(1)
            .complains("the last backup of 'mautrix_slack' failed");
        assert_eq!(states(folder.path()), ["ok", "ok"]);
    }
    backup("db-held", "mautrix_slack", folder.path(), &[]);
    prune(folder.path(), &["--yes"]).expect(0);
    assert_eq!(states(folder.path()), ["ok"]);
}

#[test]
fn manifests_that_were_swapped_changed_or_lost_pass_for_nothing() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-mixed");
    let folder = tempfile::tempdir().unwrap();
    psql(&host, "postgres", "CREATE DATABASE forgejo");
    let slack = backup("db-mixed", "mautrix_slack", folder.path(), &[]);
    let forgejo = backup("db-mixed", "forgejo", folder.path(), &[]);
    let [of_slack, of_forgejo] = [&slack, &forgejo].map(|file| fs::read(beside(file)).unwrap());
    let verdict = |file: &Path, says: &str| {
        let ran = verify(file, &[]).expect(65);
        assert!(ran.out().contains(says), "{says}: {}", ran.out());
    };
    // The manifests, and then the files, of two backups.
    fs::write(beside(&slack), &of_forgejo).unwrap();
    fs::write(beside(&forgejo), &of_slack).unwrap();
    assert_eq!(states(folder.path()), ["damaged", "damaged"]);
    verdict(&slack, "manifest");
    assert_eq!(prune(folder.path(), &["--yes"]).expect(0).out(), "");
    fs::write(beside(&slack), &of_slack).unwrap();
    fs::write(beside(&forgejo), &of_forgejo).unwrap();
    assert_eq!(states(folder.path()), ["ok", "ok"]);
    // Whoever changes what it says, changes it beside only.
    let text = String::from_utf8(of_slack.clone()).unwrap();
    for (from, to, seen_by_backups) in [
        (
            "\"database\": \"mautrix_slack\"",
            "\"database\": \"forgejo\"",
            true,
        ),
        ("\"host\": \"db-mixed\"", "\"host\": \"db-other\"", true),
        ("\"pg_dump_version\": \"", "\"pg_dump_version\": \"9", false),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        fs::write(beside(&slack), &changed).unwrap();
        assert_eq!(
            states(folder.path()).contains(&"damaged".to_owned()),
            seen_by_backups,
            "{to}"
        );
        verdict(&slack, "the manifest beside it is not the one inside");
    }
    for torn in ["", "{", &text[..text.len() / 2]] {
        fs::write(beside(&slack), torn).unwrap();
        assert!(states(folder.path()).contains(&"damaged".to_owned()));
        verdict(&slack, "manifest.json' is damaged");
    }
    // What a dead run leaves: a manifest without its backup, a file without its name.
    fs::write(beside(&slack), &of_slack).unwrap();
    fs::remove_file(&slack).unwrap();
    fs::write(folder.path().join(".ops-x.tmp"), "half").unwrap();
    let mut found = states(folder.path());
    found.sort();
    assert_eq!(found, ["ok", "partial", "partial"]);
    assert_eq!(prune(folder.path(), &[]).expect(0).tsv().len(), 1);
}

#[test]
fn who_has_the_wrong_key_is_told_so_and_nothing_is_noted() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let _host = server(lab, "db-keys");
    let folder = tempfile::tempdir().unwrap();
    let key = |name: &str| {
        let path = folder.path().join(name);
        command("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&path)
            .run()
            .expect(0);
        path
    };
    let (own, other) = (key("own"), key("other"));
    let public = fs::read_to_string(own.with_extension("pub")).unwrap();
    let file = backup(
        "db-keys",
        "mautrix_slack",
        folder.path(),
        &["--recipient", public.trim()],
    );
    let other = ["--identity", other.to_str().unwrap()];
    let judged = verify(&file, &other).expect(0);
    assert!(judged.out().contains("not decrypted"), "{}", judged.out());
    assert_eq!(states(folder.path()), ["ok"]);
    tool("ops-db")
        .arg("restore")
        .arg(&file)
        .args(["again", "--host", "db-keys"])
        .args(other)
        .run()
        .expect(65)
        .complains("none of the keys given is one of its recipients'");
    fs::remove_file(beside(&file)).unwrap();
    let judged = verify(&file, &other).expect(3);
    assert!(
        judged.out().contains("none of the keys"),
        "{}",
        judged.out()
    );
    verify(&file, &["--identity", own.to_str().unwrap()]).expect(0);
}

#[test]
fn dumps_of_other_kinds_are_named_and_never_pass() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = with_tool(lab, "db-kinds");
    psql(
        &host,
        "mautrix_slack",
        "CREATE TABLE t AS SELECT i, md5(i::text) AS h FROM generate_series(1, 3000) i",
    );
    host.sh("install -d -o postgres /srv/dumps && cd /srv/dumps && for f in c t d; do runuser -u postgres -- pg_dump -F$f -f x.$f mautrix_slack; done
        for z in gzip:6 zstd:3 lz4:1; do runuser -u postgres -- pg_dump -Fc -Z$z -f x.$z mautrix_slack; done")
        .expect(0);
    let judge = |name: &str, status: i32, says: &str| {
        let ran = verify(&host.path(&format!("/srv/dumps/{name}")), &[]).expect(status);
        assert!(ran.out().contains(says), "{name}: {}", ran.out());
    };
    for name in ["c", "gzip:6", "zstd:3", "lz4:1"] {
        judge(&format!("x.{name}"), 3, "no checksum");
    }
    // Without a manifest the archive itself says of which database it is, and a script whether it has its end.
    let script = tool("ops-db")
        .args(["backup", "mautrix_slack", "--host", "db-kinds"])
        .run()
        .expect(0)
        .stdout;
    let bare = tempfile::tempdir().unwrap();
    fs::copy(host.path("/srv/dumps/x.c"), bare.path().join("a.dump")).unwrap();
    fs::write(bare.path().join("b.sql"), &script).unwrap();
    fs::write(bare.path().join("c.sql"), &script[..script.len() - 200]).unwrap();
    let listed = tool("ops-db").arg("backups").arg(bare.path()).run();
    let listed: Vec<_> = listed
        .expect(0)
        .tsv()
        .into_iter()
        .map(|row| (row[1].clone(), row[4].clone()))
        .collect();
    let row = |database: &str, state: &str| (database.to_owned(), state.to_owned());
    assert_eq!(
        listed,
        [
            row("mautrix_slack", "unverified"),
            row("", "unverified"),
            row("", "partial")
        ]
    );
    judge("x.t", 3, "a tar archive of pg_dump");
    judge("x.d", 3, "a directory archive of pg_dump");
    for (name, says) in [("t", "tar archive"), ("d", "directory archive")] {
        tool("ops-db")
            .arg("restore")
            .arg(host.path(&format!("/srv/dumps/x.{name}")))
            .args(["again", "--host", "db-kinds"])
            .run()
            .expect(65)
            .complains(says);
    }
    for name in ["c", "gzip:6", "zstd:3", "lz4:1"] {
        let database = format!("again_{}", &name[..1]);
        tool("ops-db")
            .arg("restore")
            .arg(host.path(&format!("/srv/dumps/x.{name}")))
            .args([&database, "--host", "db-kinds"])
            .run()
            .expect(0);
        assert_eq!(psql(&host, &database, "SELECT count(*) FROM t"), "3000");
    }
}
