//! The fault matrix of restores and drills: the old database is there at every moment, and nothing is left for good.

use std::fs;
use std::path::{Path, PathBuf};

use ops_tests::relay::{Link, Relay};
use ops_tests::{Lab, LabHost, Running, skip, tool};
use rustix::process::Signal;

use crate::faults::{IN_ROWS as IN_DUMP, Strike};
use crate::scene::{LARGE, backup, psql, server, wait_clean, wait_until, with_tool};

/// Rows are on their way into the new database: the barrier that every strike needs.
const IN_ROWS: &str = "EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'pg_restore' AND query LIKE 'COPY public.big%')";
const DATABASES: &str = "SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY datname";

struct Row {
    fault: &'static str,
    strike: Strike,
    status: i32,
    says: &'static str,
}

fn rows() -> Vec<Row> {
    let row = |fault, strike, status, says| Row {
        fault,
        strike,
        status,
        says,
    };
    vec![
        row(
            "pg_restore is killed",
            Strike::OnHost("pkill -KILL -x pg_restore"),
            69,
            "pg_restore",
        ),
        row(
            "its backend is terminated",
            Strike::OnHost(
                "runuser -u postgres -- psql -XAtqc \"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pg_restore'\"",
            ),
            74,
            "pg_restore failed on",
        ),
        row(
            "the server is restarted",
            Strike::OnHost("systemctl restart postgresql"),
            74,
            "pg_restore failed on",
        ),
        row(
            "sshd's child is killed",
            Strike::OnHost("pkill -KILL -f '[s]shd-session: root'"),
            74,
            "db-back",
        ),
        row("the link is cut", Strike::Cut, 74, "db-back"),
        row("Ctrl-C", Strike::Signal(Signal::INT), 130, ""),
        row("kill", Strike::Signal(Signal::TERM), 143, ""),
        row("kill -9", Strike::Signal(Signal::KILL), 137, ""),
    ]
}

fn restore(host: &str, file: &Path, database: &str) -> Running {
    tool("ops-db")
        .arg("restore")
        .arg(file)
        .args([database, "--host", host, "--replace", database])
        .spawn()
}

/// A host whose database is to be replaced by a large one, and backups of a large and of a small one.
fn scene(lab: Lab, name: &str, folder: &Path) -> (LabHost, PathBuf, PathBuf) {
    let host = server(lab, name);
    let small = backup(name, "mautrix_slack", folder, &[]);
    psql(&host, "mautrix_slack", LARGE);
    let large = backup(name, "mautrix_slack", folder, &[]);
    psql(
        &host,
        "mautrix_slack",
        "DROP TABLE big; CREATE TABLE old AS SELECT 7 AS a",
    );
    (host, small, large)
}

fn strike(strike: &Strike, host: &LabHost, relay: &Relay, running: &Running) {
    match strike {
        Strike::OnHost(line) => drop(host.sh(line).expect(0)),
        Strike::Cut => relay.cut(),
        Strike::Signal(signal) => running.signal(*signal),
    }
}

#[test]
fn whatever_strikes_a_restore_leaves_the_old_database() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let folder = tempfile::tempdir().unwrap();
    let (host, small, large) = scene(lab, "db-back", folder.path());
    for (place, row) in rows().into_iter().enumerate() {
        let relay = Relay::before(
            &host,
            &format!("db-back-{place}"),
            Link::new().throttle(4 << 20),
        );
        let running = restore(relay.alias(), &large, "mautrix_slack");
        wait_until(&host, IN_ROWS);
        strike(&row.strike, &host, &relay, &running);
        let ran = running.finish();
        assert_eq!(ran.status, row.status, "{}: {}", row.fault, ran.err());
        assert!(ran.err().contains(row.says), "{}: {}", row.fault, ran.err());
        assert_eq!(ran.out(), "", "{}", row.fault);
        drop(relay);
        wait_clean(&host, row.fault);
        assert_eq!(
            psql(&host, "mautrix_slack", "SELECT a FROM old"),
            "7",
            "{}",
            row.fault
        );
        let left = psql(&host, "postgres", DATABASES);
        let is_told = ran.err().contains("is left over until the next restore");
        let may_be_left = is_told || matches!(row.strike, Strike::Signal(Signal::KILL));
        assert!(
            may_be_left || left == "mautrix_slack\npostgres",
            "{}: {left}",
            row.fault
        );
        // The next one clears away what is left, says so, and touches nothing else.
        let next = restore(host.name(), &small, "after").finish().expect(0);
        assert_eq!(
            next.err().contains("was left over by a restore that died"),
            left.contains("_restore_"),
            "{}: {left}: {}",
            row.fault,
            next.err()
        );
        assert_eq!(
            psql(&host, "postgres", DATABASES),
            "after\nmautrix_slack\npostgres",
            "{}",
            row.fault
        );
        psql(&host, "postgres", "DROP DATABASE after");
    }
    let swapped = restore(host.name(), &large, "mautrix_slack")
        .finish()
        .expect(0);
    assert_eq!(swapped.err(), "");
    assert_eq!(
        psql(&host, "mautrix_slack", "SELECT count(*) FROM big"),
        "30000"
    );
}

#[test]
fn a_stream_that_ends_early_replaces_nothing() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let folder = tempfile::tempdir().unwrap();
    let (host, small, large) = scene(lab, "db-short", folder.path());
    let sealed = fs::read(&large).unwrap();
    let bare = tool("ops-db")
        .args(["backup", "mautrix_slack", "--custom", "--host", "db-short"])
        .run()
        .expect(0)
        .stdout;
    let script = tool("ops-db")
        .args(["backup", "mautrix_slack", "--host", "db-short"])
        .run()
        .expect(0)
        .stdout;
    for whole in [sealed, bare, script] {
        for short in [3, 37, whole.len() / 2, whole.len() - 5] {
            let ran = tool("ops-db")
                .args(["restore", "-", "mautrix_slack", "--host", "db-short"])
                .args(["--replace", "mautrix_slack"])
                .stdin(&whole[..whole.len() - short])
                .run();
            ran.expect(65);
            assert_eq!(psql(&host, "mautrix_slack", "SELECT a FROM old"), "7");
            assert_eq!(
                psql(&host, "postgres", DATABASES),
                "mautrix_slack\npostgres",
                "{short} bytes missing"
            );
        }
    }
    drop(small);
}

/// Somebody's open transaction that keeps a database from being renamed, without being connected to it.
const HOLD: &str = "runuser -u postgres -- sh -c 'psql -XAtq -c \"BEGIN; COMMENT ON DATABASE mautrix_slack IS NULL; SELECT pg_sleep(600)\" >/dev/null 2>&1 &'";
const HELD: &str = "EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%COMMENT%pg_sleep(600)%' AND wait_event = 'PgSleep')";
const RELEASE: &str = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE query LIKE '%COMMENT%pg_sleep(600)%' AND pid <> pg_backend_pid()";
const AT_THE_SWAP: &str = "EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'ops-db' AND query LIKE '%RENAME TO%' AND wait_event_type = 'Lock')";

#[test]
fn a_restore_that_dies_at_the_swap_leaves_one_database_of_the_name() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let folder = tempfile::tempdir().unwrap();
    let (host, small, _) = scene(lab, "db-swap", folder.path());
    let open = "SELECT count(*) FROM pg_database WHERE datname = 'mautrix_slack' AND datallowconn";
    for signal in [Signal::KILL, Signal::INT] {
        host.sh(HOLD).expect(0);
        wait_until(&host, HELD);
        let running = restore(host.name(), &small, "mautrix_slack");
        wait_until(&host, AT_THE_SWAP);
        assert_eq!(psql(&host, "postgres", open), "1", "{signal:?}");
        running.signal(signal);
        assert_eq!(running.finish().signal, Some(signal.as_raw()));
        psql(&host, "postgres", RELEASE);
        wait_clean(&host, "a death at the swap");
        wait_until(
            &host,
            "NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'ops-db')",
        );
        assert_eq!(psql(&host, "postgres", open), "1", "{signal:?}");
        // Swapped or not, the old one is there, under one of two names.
        let kept = psql(
            &host,
            "postgres",
            "SELECT datname FROM pg_database WHERE datname LIKE 'mautrix_slack_replaced_%'",
        );
        let old = if kept.is_empty() {
            "mautrix_slack"
        } else {
            &kept
        };
        assert_eq!(psql(&host, old, "SELECT a FROM old"), "7", "{signal:?}");
        if !kept.is_empty() {
            psql(
                &host,
                "postgres",
                &format!(
                    "DROP DATABASE mautrix_slack; ALTER DATABASE \"{kept}\" RENAME TO mautrix_slack"
                ),
            );
        }
    }
    restore(host.name(), &small, "after").finish().expect(0);
    assert_eq!(
        psql(&host, "postgres", DATABASES),
        "after\nmautrix_slack\npostgres"
    );
}

#[test]
fn clients_are_sent_away_and_come_back_to_the_new_database() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let folder = tempfile::tempdir().unwrap();
    let (host, small, _) = scene(lab, "db-busy", folder.path());
    // Ten clients that connect again as soon as they are sent away, and one that looks whether the name is ever gone.
    let crowd = "for i in 1 2 3 4 5 6 7 8 9 10; do
        setsid runuser -u postgres -- sh -c 'while [ ! -e /tmp/enough ]; do psql -XAtq -d mautrix_slack -c \"SELECT pg_sleep(600)\"; done' >/dev/null 2>&1 </dev/null &
      done
      setsid runuser -u postgres -- psql -XAtq -o /tmp/moments -c \"DO \\$\\$ DECLARE lost int := 0; BEGIN
          WHILE (SELECT count(*) FROM pg_database WHERE datname LIKE 'mautrix_slack_replaced_%') < 3 LOOP
            IF (SELECT count(*) FROM pg_database WHERE datname = 'mautrix_slack' AND datallowconn) <> 1 THEN lost := lost + 1; END IF;
          END LOOP; PERFORM set_config('ops.lost', lost::text, false); END \\$\\$\" -c \"SELECT 'lost ' || current_setting('ops.lost')\" >/dev/null 2>&1 </dev/null &";
    host.sh(crowd).expect(0);
    wait_until(
        &host,
        "(SELECT count(*) FROM pg_stat_activity WHERE datname = 'mautrix_slack') = 10 AND EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'DO %ops.lost%' AND pid <> pg_backend_pid())",
    );
    for _ in 0..3 {
        restore(host.name(), &small, "mautrix_slack")
            .finish()
            .expect(0);
        wait_until(
            &host,
            "(SELECT count(*) FROM pg_stat_activity WHERE datname = 'mautrix_slack' AND state = 'active') = 10",
        );
    }
    let told = host.sh("for i in $(seq 300); do grep -q lost /tmp/moments && break; sleep 0.1; done; touch /tmp/enough; cat /tmp/moments");
    assert_eq!(told.expect(0).out(), "lost 0\n");
}

/// Everything that a drill makes on its host.
const DRILLS: &str = "ls -d /tmp/ops-db-drill.* 2>/dev/null; pgrep -af '[p]ostgres -D /tmp/ops-db-drill|[i]nitdb'; true";

fn wait_no_drill(host: &LabHost, fault: &str) {
    let gone = host.sh(&format!(
        "for i in $(seq 300); do [ -z \"$({DRILLS})\" ] && exit 0; sleep 0.1; done; {DRILLS}; exit 1"
    ));
    assert_eq!(gone.status, 0, "after '{fault}': {}", gone.out());
}

#[test]
fn whatever_strikes_a_drill_leaves_no_cluster() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let folder = tempfile::tempdir().unwrap();
    let (host, small, large) = scene(lab, "db-drill", folder.path());
    let drill = |host: &str, file: &Path| {
        tool("ops-db")
            .arg("drill")
            .arg(file)
            .args(["--host", host])
            .spawn()
    };
    let holder = "pkill -KILL -f '^sh -c for bin in'";
    for (place, (fault, blow, status)) in [
        (
            "pg_restore is killed",
            Strike::OnHost("pkill -KILL -x pg_restore"),
            69,
        ),
        (
            "its server is killed",
            Strike::OnHost("pkill -KILL -f '[p]ostgres -D /tmp/ops-db-drill'"),
            74,
        ),
        ("the link is cut", Strike::Cut, 74),
        ("Ctrl-C", Strike::Signal(Signal::INT), 130),
        ("kill", Strike::Signal(Signal::TERM), 143),
        ("kill -9", Strike::Signal(Signal::KILL), 137),
        (
            "kill -9 of the holder, and then of the drill",
            Strike::OnHost(holder),
            137,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let relay = Relay::before(
            &host,
            &format!("db-drill-{place}"),
            Link::new().throttle(4 << 20),
        );
        let running = drill(relay.alias(), &large);
        host.sh("for i in $(seq 600); do pgrep -f '[p]ostgres: postgres drill .*COPY' && exit 0; sleep 0.1; done; exit 1")
            .expect(0);
        strike(&blow, &host, &relay, &running);
        let is_orphaned = matches!(blow, Strike::OnHost(line) if line == holder);
        if is_orphaned {
            running.signal(Signal::KILL);
        }
        let ran = running.finish();
        assert_eq!(ran.status, status, "{fault}: {}", ran.err());
        assert_eq!(ran.out(), "", "{fault}");
        drop(relay);
        if is_orphaned {
            assert_ne!(host.sh(DRILLS).out(), "", "the fault has struck");
            drill(host.name(), &small).finish().expect(0);
        }
        wait_no_drill(&host, fault);
        let proofs = fs::read_to_string(format!("{}.manifest.json", large.display())).unwrap();
        assert!(!proofs.contains("\"drill\""), "{fault}: {proofs}");
    }
}

/// Keeps a table locked until its process ends.
const LOCK: &str = "setsid runuser -u postgres -- psql -XAtq -d mautrix_slack -c 'BEGIN; LOCK TABLE big; SELECT pg_sleep(600)' >/dev/null 2>&1 </dev/null &";
const LOCKED: &str = "EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%LOCK TABLE big; SELECT%' AND wait_event = 'PgSleep')";
const UNLOCK: &str = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE query LIKE '%LOCK TABLE big; SELECT%' AND pid <> pg_backend_pid()";

#[test]
fn kill_9_on_the_host_itself_leaves_nothing_that_runs() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = with_tool(lab, "db-here");
    psql(&host, "mautrix_slack", LARGE);
    host.sh("install -d -o postgres /srv/here && runuser -u postgres -- pg_dump -Fc -Z0 -f /srv/here/x.dump mautrix_slack && mkfifo /srv/here/fifo")
        .expect(0);
    // The dump waits for a lock; the program is stopped before it reads any rows, and never goes on.
    host.sh(LOCK).expect(0);
    wait_until(&host, LOCKED);
    host.sh("setsid ops-db backup mautrix_slack -o /srv/here/ >/dev/null 2>&1 </dev/null &")
        .expect(0);
    wait_until(
        &host,
        "EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'pg_dump' AND wait_event_type = 'Lock')",
    );
    host.sh("pkill -STOP -x ops-db").expect(0);
    psql(&host, "postgres", UNLOCK);
    wait_until(&host, IN_DUMP);
    host.sh("pkill -KILL -x ops-db").expect(0);
    wait_clean(&host, "kill -9 of a backup");
    let listed = host.tool("ops-db").args(["backups", "/srv/here"]).run();
    let listed = listed.expect(0);
    assert!(listed.out().starts_with("/srv/here/x.dump\t") && listed.tsv().len() == 1);
    // One that waits for a lock writes nothing, and ends all the same: long before its limit on waiting, the default of 60 s.
    host.sh(LOCK).expect(0);
    wait_until(&host, LOCKED);
    let waits = "EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'pg_dump' AND wait_event_type = 'Lock')";
    for is_here in [true, false] {
        let mut over_ssh = None;
        if is_here {
            host.sh(
                "setsid ops-db backup mautrix_slack -o /srv/here/ >/dev/null 2>&1 </dev/null &",
            )
            .expect(0);
        } else {
            let run = tool("ops-db").args(["backup", "mautrix_slack", "--host", "db-here", "-o"]);
            over_ssh = Some(run.arg(host.path("/srv/here")).spawn());
        }
        wait_until(&host, waits);
        match over_ssh {
            None => drop(host.sh("pkill -KILL -x ops-db").expect(0)),
            Some(running) => {
                running.signal(Signal::KILL);
                assert_eq!(running.finish().signal, Some(9));
            }
        }
        wait_clean(&host, "kill -9 of a backup that waits for a lock");
    }
    assert_eq!(psql(&host, "postgres", &format!("SELECT {LOCKED}")), "t");
    psql(&host, "postgres", UNLOCK);
    // Half an archive comes, and then nothing more.
    for verb in [
        &["restore", "-", "again", "--host", "localhost"][..],
        &["drill", "/srv/here/fifo"],
    ] {
        let feed = if verb[0] == "drill" {
            "/srv/here/fifo"
        } else {
            "/srv/here/feed"
        };
        host.sh("rm -f /srv/here/feed; mkfifo /srv/here/feed")
            .expect(0);
        host.sh(&format!("setsid sh -c '{{ head -c 20000000 /srv/here/x.dump; exec sleep 600; }} > {feed}' >/dev/null 2>&1 </dev/null &"))
            .expect(0);
        let through = if verb[0] == "drill" {
            "exec \"$@\""
        } else {
            "exec \"$@\" < /srv/here/feed"
        };
        let line = format!("set -- ops-db {}; {through}", verb.join(" "));
        host.sh(&format!(
            "setsid sh -c '{line}' >/dev/null 2>&1 </dev/null &"
        ))
        .expect(0);
        host.sh("for i in $(seq 600); do pgrep -f '[p]ostgres: postgres (again_restore|drill).* COPY' && exit 0; sleep 0.1; done; exit 1")
            .expect(0);
        host.sh("pkill -KILL -x ops-db").expect(0);
        wait_clean(&host, verb[0]);
        wait_no_drill(&host, verb[0]);
        host.sh("pkill -f '[s]leep 600'").expect(0);
    }
}
