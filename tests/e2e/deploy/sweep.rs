//! Faults at random moments: wherever one strikes, the host runs and boots one system, the old one or a verified new one.
//!
//! `OPS_TEST_LONG=1` makes it many; `OPS_TEST_SEED=N` repeats a run.

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ops_tests::relay::{Link, Relay};
use ops_tests::{Kind, Lab, LabHost, Options, Ran, skip};
use rustix::process::Signal;

use crate::bed::{After, Bed, System, long_run};
use crate::cut::network;

const QUICK: &str = "health_window: 300ms, rollback_after: 3s, health: []";

/// For what must go well, however busy this machine is.
const PATIENT: &str = "health_window: 300ms, rollback_after: 60s, health: []";

/// How long the host may take until it has settled by itself: the armed time, the way back, and a slow machine.
const PATIENCE_S: u32 = 90;

/// What strikes, and where.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The tool is killed after this time.
    Kill(Duration),
    /// All connections close once, when so many bytes have gone to the host.
    CutToHost(u64),
    /// The same with bytes from the host.
    CutToClient(u64),
    /// Every connection closes after so many bytes to the host.
    Deaf(u64),
    /// The host loses power after this time.
    Power(Duration),
    /// The host loses power, and the tool is killed before it is back.
    Both(Duration),
    /// The tool is sent this signal after this time.
    Signal(Duration, Signal),
    /// The tool sleeps from this time on, for so long.
    Sleep(Duration, Duration),
    /// The network is away from this time on, for so long.
    Away(Duration, Duration),
    /// Nobody can log in from this time on, for so long.
    Sshd(Duration, Duration),
    /// The host is restarted properly after this time.
    Reboot(Duration),
    /// Its disk is full from this time on.
    Full(Duration),
    /// Somebody else deploys another system to it after this time.
    Rival(Duration),
}

/// A generator of random numbers that can be started again from its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % limit.max(1)
    }

    fn fault(&mut self, whole: Whole) -> Fault {
        let moment = Duration::from_micros(self.below(whole.time));
        let length = Duration::from_millis(self.below(6000));
        match self.below(14) {
            0 => Fault::Kill(moment),
            1 => Fault::CutToHost(self.below(whole.to_host)),
            2 => Fault::CutToClient(self.below(whole.to_client)),
            3 => Fault::Deaf(self.below(whole.to_host)),
            4 => Fault::Power(moment),
            5 => Fault::Both(moment),
            6 => Fault::Signal(moment, Signal::TERM),
            7 => Fault::Signal(moment, Signal::INT),
            8 => Fault::Sleep(moment, length),
            9 => Fault::Away(moment, length),
            10 => Fault::Sshd(moment, length),
            11 => Fault::Reboot(moment),
            12 => Fault::Full(moment),
            _ => Fault::Rival(moment),
        }
    }
}

/// What a deployment takes that meets no fault.
#[derive(Debug, Clone, Copy)]
struct Whole {
    time: u64,
    to_host: u64,
    to_client: u64,
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test has no other way to be told"
)]
fn seed() -> u64 {
    let given = std::env::var("OPS_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.map_or(1, |now| {
            now.as_secs() << 20 | u64::from(now.subsec_micros())
        })
    })
}

#[test]
fn faults_at_random_moments() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let (seed, count) = (seed(), if long_run() { 150 } else { 4 });
    let mut random = Random(seed);
    let disk = Options::from(Kind::Plain).disk("96M");
    let (host, bed) = (lab.host("sweep-1", disk), Bed::new().settings(PATIENT));
    let whole = undisturbed(&bed, &host);
    println!("OPS_TEST_SEED={seed}; {whole:?}");
    for round in 0..count {
        let fault = random.fault(whole);
        // One in four is sick, so that faults meet the way back too.
        let sick = random.below(4) == 0;
        println!("round {round}: {fault:?}, sick: {sick}");
        strike(&bed, &host, fault, round, sick);
    }
    bed.systems(&[("sweep-1", &System::new("end"))]);
    let end = bed.ops(&["switch", "sweep-1"]).run().expect(0);
    assert_eq!(After::of(&host), After::settled(end.out().trim()));
}

/// Deploys twice without a fault, the second time with the link watched.
fn undisturbed(bed: &Bed, host: &LabHost) -> Whole {
    bed.deployed("sweep-1", &System::new("a"));
    let relay = Relay::before(host, "sweep-link", Link::new());
    let ran = bed.switch("sweep-link", &System::new("b")).expect(0);
    let count = relay.count();
    Whole {
        time: u64::try_from(ran.took.as_micros()).unwrap_or(u64::MAX),
        to_host: count.to_host,
        to_client: count.to_client,
    }
}

fn strike(bed: &Bed, host: &LabHost, fault: Fault, round: u32, sick: bool) {
    let old = After::of(host).current;
    let link = match fault {
        Fault::Deaf(bytes) => Link::new().fault(
            ops_tests::relay::Toward::Host,
            bytes,
            ops_tests::relay::Fault::Cut,
        ),
        _ => Link::new(),
    };
    let relay = Relay::before(host, "sweep-link", link);
    let mut system = System::new(&format!("r{round}"));
    if sick {
        system = system.service("bad", "exit 1");
    }
    bed.set(QUICK);
    let new = bed.build("sweep-link", &system);
    bed.set(PATIENT);
    let tool = bed
        .ops(&["switch", "sweep-link", "--store-path", &new])
        .timeout(Duration::from_mins(3))
        .spawn();
    let dead = apply(host, (&relay, &tool), fault, round);
    let ran = tool.finish();
    host.sh("rm -f /fill").expect(0);
    let told = format!("round {round}: {fault:?}, sick: {sick}\n{ran}");
    // What a dead tool had begun on the host may still be at work, before it has taken the lock too.
    let busy = "pgrep -f \"[s]shd-session: root|[T]he part of a deployment\" >/dev/null || systemctl is-active -q ops-deploy-lock ops-deploy-revert.timer ops-deploy-revert";
    let settle = format!("timeout {PATIENCE_S} sh -c 'while {busy}; do sleep 0.1; done'");
    assert_eq!(host.sh(&settle).status, 0, "it is never over\n{told}");
    let mut after = After::of(host);
    let unfinished = matches!(fault, Fault::Both(_) | Fault::Full(_));
    if unfinished && !after.left.is_empty() {
        // Nobody was left to clean up, or there was no room for it: the next run does, whatever it is for.
        assert_eq!(after.left, "/var/lib/ops-deploy/pending.json", "{told}");
        assert_eq!(after.current, after.boots, "{told}");
        bed.systems(&[("sweep-link", &system)]);
        let again = bed
            .ops(&["switch", "sweep-link", "--store-path", &after.current])
            .run()
            .expect(0);
        after = After::of(host);
        assert_eq!(after.left, "", "{told}\n{again}");
    }
    assert_eq!(after, After::settled(&after.current), "{told}");
    judge(
        bed,
        &ran,
        (&old, &new, &after.current),
        fault,
        dead,
        sick,
        &told,
    );
}

/// Lets a fault strike. Says whether the tool is dead after it.
fn apply(
    host: &LabHost,
    (relay, tool): (&Relay, &ops_tests::Running),
    fault: Fault,
    round: u32,
) -> bool {
    match fault {
        Fault::Kill(moment) => {
            thread::sleep(moment);
            tool.signal(Signal::KILL);
            return true;
        }
        Fault::Signal(moment, signal) => {
            thread::sleep(moment);
            tool.signal(signal);
            return true;
        }
        Fault::Sleep(moment, length) => {
            thread::sleep(moment);
            tool.signal(Signal::STOP);
            thread::sleep(length);
            tool.signal(Signal::CONT);
        }
        // A deployment that ends before so many bytes have passed has met no fault, and must have done well.
        Fault::CutToHost(bytes) => cut_at(relay, tool, |relay| relay.count().to_host >= bytes),
        Fault::CutToClient(bytes) => {
            cut_at(relay, tool, |relay| relay.count().to_client >= bytes);
        }
        Fault::Deaf(_) => {}
        Fault::Power(moment) => {
            thread::sleep(moment);
            host.kill();
            host.start();
        }
        Fault::Both(moment) => {
            thread::sleep(moment);
            host.kill();
            tool.signal(Signal::KILL);
            host.start();
            return true;
        }
        Fault::Away(moment, length) => {
            thread::sleep(moment);
            network(host, "down");
            thread::sleep(length);
            network(host, "up");
        }
        Fault::Sshd(moment, length) => {
            thread::sleep(moment);
            host.sh("systemctl stop ssh.socket ssh; pkill -9 sshd; :")
                .expect(0);
            thread::sleep(length);
            host.sh("systemctl start ssh").expect(0);
        }
        Fault::Reboot(moment) => {
            thread::sleep(moment);
            host.reboot();
        }
        Fault::Full(moment) => {
            thread::sleep(moment);
            host.sh("dd if=/dev/zero of=/fill bs=64k status=none; sync; :")
                .expect(0);
        }
        Fault::Rival(moment) => {
            thread::sleep(moment);
            rival(host, round);
        }
    }
    false
}

/// Deploys another system, in another folder and to another name of the host.
fn rival(host: &LabHost, round: u32) {
    let rival = Bed::new().settings(PATIENT);
    let path = rival.build("sweep-1", &System::new(&format!("rival-{round}")));
    let name = format!("root@{}", host.v4());
    let ran = rival.ops(&["switch", &name, "--store-path", &path]).run();
    assert!([0, 75].contains(&ran.status), "the rival: {ran}");
}

/// Cuts the link when it has carried so much, or never if the tool ends before.
fn cut_at(relay: &Relay, tool: &ops_tests::Running, is_time: impl Fn(&Relay) -> bool) {
    while !is_time(relay) {
        if tool.has_ended() {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    relay.cut();
}

/// The host has the system that its record and the tool's status tell.
fn judge(
    bed: &Bed,
    ran: &Ran,
    (old, new, runs): (&str, &str, &str),
    fault: Fault,
    dead: bool,
    sick: bool,
    told: &str,
) {
    let is_rivals = matches!(fault, Fault::Rival(_)) && runs.contains("-rival-");
    assert!(
        runs == old || (runs == new && !sick) || is_rivals,
        "{told}\nruns {runs}, not {old} or {new}"
    );
    let records = bed.records("sweep-1");
    let record = records.iter().find(|record| record["new"] == new);
    let outcome = record.map_or("none", |record| {
        record["outcome"].as_str().unwrap_or_default()
    });
    let told = format!("{told}\noutcome {outcome}, runs {runs}, was {old}, is to be {new}");
    let ids: Vec<_> = records.iter().map(|record| &record["id"]).collect();
    let mut once = ids.clone();
    once.dedup();
    assert_eq!(ids, once, "one record for each deployment\n{told}");
    if runs == new {
        assert!(matches!(outcome, "deployed" | "interrupted"), "{told}");
    } else if !is_rivals {
        assert_ne!(outcome, "deployed", "{told}");
    }
    if !dead && !is_rivals {
        assert_eq!(ran.status == 0, runs == new, "{told}");
        assert_ne!(outcome, "unknown", "{told}");
    }
}
