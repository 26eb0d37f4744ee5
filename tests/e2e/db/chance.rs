//! Faults of any kind at any point of any verb that writes: whatever happens, what passes for a backup is one, the database is
//! there, and nothing is left on the host. The points are bytes on the link, so a seed says where they are.

use std::fs;
use std::path::{Path, PathBuf};

use ops_tests::relay::{Link, Relay};
use ops_tests::{Lab, LabHost, Ran, Tool, skip, tool};
use rustix::process::Signal;

use crate::dice::Dice;
use crate::scene::{LARGE, SHAPE, attempt, fill, key, psql, restore, server, verify, wait_clean};

/// What is tried.
#[derive(Clone, Copy, Debug)]
enum Try {
    Backup,
    Encrypted,
    Streams,
    Plain,
    Restore,
    RestoreOfStreams,
    Drill,
}

const TRIES: [Try; 7] = [
    Try::Backup,
    Try::Encrypted,
    Try::Streams,
    Try::Plain,
    Try::Restore,
    Try::RestoreOfStreams,
    Try::Drill,
];

/// What strikes.
#[derive(Clone, Copy, Debug)]
enum Strike {
    Signal(Signal),
    /// Stopped for a while, and then killed or not.
    Stop(Option<Signal>),
    Cut,
    Freeze,
    OnHost(&'static str),
}

const STRIKES: [Strike; 12] = [
    Strike::Signal(Signal::KILL),
    Strike::Signal(Signal::TERM),
    Strike::Signal(Signal::INT),
    Strike::Stop(None),
    Strike::Stop(Some(Signal::KILL)),
    Strike::Cut,
    Strike::Freeze,
    Strike::OnHost("pkill -KILL -x 'pg_dump|pg_restore'"),
    Strike::OnHost("pkill -TERM -x 'pg_dump|pg_restore'"),
    Strike::OnHost(
        "runuser -u postgres -- psql -XAtqc \"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name IN ('pg_dump', 'pg_restore')\"",
    ),
    Strike::OnHost(
        "runuser -u postgres -- psql -XAtqc \"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ops-db'\"",
    ),
    Strike::OnHost("systemctl restart postgresql"),
];

/// The host and the folder that all of it happens to, and a backup of each kind that is whole.
struct Scene {
    host: LabHost,
    folder: PathBuf,
    key: (String, String),
    file: PathBuf,
    parts: PathBuf,
}

impl Scene {
    fn new(lab: Lab, folder: &Path) -> Self {
        let host = server(lab, "db-chance");
        fill(&host, "mautrix_slack", SHAPE);
        psql(
            &host,
            "mautrix_slack",
            &LARGE.replace("(1, 30000)", "(1, 4000)"),
        );
        let take = |more: &[&str]| {
            let kept = folder.join("kept");
            fs::create_dir_all(&kept).unwrap();
            PathBuf::from(attempt("db-chance", &kept, more).expect(0).out().trim_end())
        };
        let (file, parts) = (take(&["--checksum"]), take(&["--streams", "2"]));
        let own = folder.join("own");
        fs::create_dir(&own).unwrap();
        Self {
            host,
            key: key(folder),
            folder: own,
            file,
            parts,
        }
    }

    fn tool(&self, what: Try, host: &str) -> Tool {
        let backup = tool("ops-db").args(["backup", "mautrix_slack", "--host", host, "-o"]);
        let restored = |file: &Path| {
            let words = [
                "mautrix_slack",
                "--replace",
                "mautrix_slack",
                "--host",
                host,
            ];
            tool("ops-db").arg("restore").arg(file).args(words)
        };
        match what {
            Try::Backup => backup.arg(&self.folder),
            Try::Encrypted => backup.arg(&self.folder).args(["--recipient", &self.key.1]),
            Try::Streams => backup.arg(&self.folder).args(["--streams", "2"]),
            Try::Plain => backup.arg(self.folder.join("plain.sql")),
            Try::Restore => restored(&self.file),
            Try::RestoreOfStreams => restored(&self.parts).args(["--jobs", "2"]),
            Try::Drill => tool("ops-db")
                .args(["drill", "--host", host])
                .arg(&self.file),
        }
    }

    /// How many bytes pass either way if nothing happens.
    fn length(&self, what: Try) -> u64 {
        let relay = Relay::before(
            &self.host,
            &format!("db-calm-{what:?}").to_lowercase(),
            Link::new(),
        );
        self.tool(what, relay.alias()).run().expect(0);
        self.forget();
        let count = relay.count();
        count.to_client + count.to_host
    }

    /// Removes what was backed up, and the databases that restores have replaced.
    fn forget(&self) {
        fs::remove_dir_all(&self.folder).unwrap();
        fs::create_dir(&self.folder).unwrap();
        let old = "SELECT format('DROP DATABASE %I WITH (FORCE)', datname) FROM pg_database WHERE datname ~ '_replaced_'";
        let drops = psql(&self.host, "postgres", old);
        for drop in drops.lines() {
            psql(&self.host, "postgres", drop);
        }
    }

    fn strike(&self, what: Try, strike: Strike, at: u64, round: usize) -> Ran {
        let relay = Relay::before(
            &self.host,
            &format!("db-chance-{round}"),
            Link::new().throttle(6 << 20),
        );
        let running = self.tool(what, relay.alias()).spawn();
        relay.wait_until(|count| count.to_client + count.to_host >= at || running.has_ended());
        match strike {
            Strike::Signal(signal) => running.signal(signal),
            Strike::Stop(then) => {
                running.signal(Signal::STOP);
                psql(&self.host, "postgres", "SELECT pg_sleep(0.3)");
                running.signal(then.unwrap_or(Signal::CONT));
            }
            Strike::Cut => relay.cut(),
            Strike::Freeze => {
                relay.freeze();
                psql(&self.host, "postgres", "SELECT pg_sleep(0.3)");
                relay.cut();
            }
            // It may have ended meanwhile.
            Strike::OnHost(line) => drop(self.host.sh(line)),
        }
        running.finish()
    }

    /// What passes for a backup is one, and everything else is what a run that failed may leave.
    fn assert_honest(&self, ran: &Ran, told: &str) {
        let listed = tool("ops-db")
            .arg("backups")
            .arg(&self.folder)
            .arg("--json")
            .run();
        for backup in listed.expect(0).json() {
            let file = PathBuf::from(backup["file"].as_str().unwrap());
            let judged = verify(&file, &["--identity", &self.key.0]);
            match backup["state"].as_str().unwrap() {
                "ok" => assert_eq!(judged.status, 0, "{told}: {}", judged.out()),
                "unverified" => assert_eq!(judged.status, 3, "{told}: {}", judged.out()),
                "partial" => assert_ne!(judged.status, 0, "{told}: {}", judged.out()),
                other => panic!("{told}: {other}"),
            }
            let is_kept = backup["state"] != "partial";
            assert!(
                !is_kept || ran.status == 0 || ran.signal.is_some(),
                "{told}: {backup}"
            );
        }
    }
}

fn seed() -> u64 {
    let given = std::env::var("OPS_TEST_SEED").ok();
    given.and_then(|given| given.parse().ok()).unwrap_or(1)
}

fn rounds() -> usize {
    if std::env::var_os("OPS_TEST_LONG").is_some() {
        200
    } else {
        14
    }
}

#[test]
fn whatever_strikes_wherever_nothing_passes_that_is_not_whole() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::new(lab, folder.path());
    let lengths = TRIES.map(|what| scene.length(what));
    let mut dice = Dice::new(seed());
    let mut died = 0;
    for round in 0..rounds() {
        // Every verb in turn, so that none is left to chance.
        let place = round % TRIES.len();
        let strike = STRIKES[dice.roll(STRIKES.len())];
        let at = lengths[place] * dice.roll(1000) as u64 / 1000;
        let ran = scene.strike(TRIES[place], strike, at, round);
        let told = format!(
            "seed {}, round {round}: {:?} and {strike:?} at byte {at} of {}: status {}: {}",
            seed(),
            TRIES[place],
            lengths[place],
            ran.status,
            ran.err()
        );
        let is_signal =
            matches!(strike, Strike::Signal(_) | Strike::Stop(Some(_))) && ran.signal.is_some();
        assert!(
            is_signal || matches!(ran.status, 0 | 69 | 74 | 75),
            "{told}"
        );
        died += usize::from(ran.status != 0);
        wait_clean(&scene.host, &told);
        let wait = "for i in $(seq 300); do [ -z \"$(ls -d /tmp/ops-db-* 2>/dev/null)\" ] && runuser -u postgres -- psql -Xqc 'SELECT 1' >/dev/null 2>&1 && exit 0; sleep 0.1; done; ls /tmp; exit 1";
        assert_eq!(scene.host.sh(wait).status, 0, "{told}");
        scene.assert_honest(&ran, &told);
        assert_eq!(
            psql(&scene.host, "mautrix_slack", "SELECT count(*) FROM big"),
            "4000",
            "{told}"
        );
        scene.forget();
    }
    assert!(died > rounds() / 4, "the faults have struck: {died}");
    // After all that it works, and what was left is removed.
    restore(&scene.host, &scene.file, "after", &[]).expect(0);
    let left = "SELECT count(*) FROM pg_database WHERE datname ~ '_restore_'";
    assert_eq!(psql(&scene.host, "postgres", left), "0");
}
