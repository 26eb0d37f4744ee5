//! Backups of `ops-db` beside the pipelines that do the same work, on the host itself and over ssh: what `make bench` runs
//! in a lab.
//!
//! Every round runs each of them once, so that all see the same machine; what counts is the middle of the ratios of the
//! rounds. The peak of the memory is the kernel's own mark, read until the process is gone.
//!
//! What it costs that a backup proves itself is measured on the same dump, with the parse and the sums and without them: in
//! time, and in processor time of everything that takes part, the server included.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use ops_tests::{Kind, Lab, LabHost, bin_dir, command, tool};

const ROUNDS: usize = 5;
/// What `ops-db` may need at most, whatever the size of the database.
const MEMORY: u64 = 64 << 20;

/// 420 MB on disk, 340 MB as SQL: what a bridge of a chat keeps.
const TABLES: &str = "
    CREATE TABLE message AS SELECT i AS id, 'T1-C' || i % 500 AS portal, '$' || md5(i::text) || ':chat.example' AS mxid,
        1700000000000 + i * 977 AS ts, '@slack_t1-u' || i % 1000 || ':chat.example' AS sender,
        'message number ' || i || ' of the bridge in which somebody says something' AS body FROM generate_series(1, 1000000) i;
    CREATE TABLE reaction AS SELECT * FROM message LIMIT 900000;
    CREATE TABLE portal AS SELECT i AS id, md5(i::text) AS name FROM generate_series(1, 20000) i;
    ALTER TABLE message ADD PRIMARY KEY (id);
    VACUUM ANALYZE;";

/// What ops-db is compared with, in bash; `$R` is the recipient. Those that do the same work bring it to the disk, too.
const HERE: [(&str, &str); 4] = [
    ("pg_dump -Fc", "pg_dump -Fc bench > out/x"),
    ("pg_dump -Fd -j2", "pg_dump -Fd -j2 -f out/x bench"),
    (
        "pg_dump | zstd | age",
        "pg_dump bench | zstd -q | age -r $R > out/x && sync out/x",
    ),
    (
        "pg_dump -Fc -Z0 | zstd | age",
        "pg_dump -Fc -Z0 bench | zstd -q | age -r $R > out/x && sync out/x",
    ),
];
const THERE: [(&str, &str); 2] = [
    (
        "ssh pg_dump",
        "ssh bench runuser -u postgres pg_dump bench > out/x",
    ),
    (
        "ssh pg_dump -Fc -Z0 | zstd | age",
        "ssh bench runuser -u postgres -- pg_dump -Fc -Z0 bench | zstd -q | age -r $R > out/x && sync out/x",
    ),
];
/// ops-db against one of them: the least that its speed may be as a multiple of the other's.
const LEAST: [(&str, &str, f64); 8] = [
    ("one stream", "pg_dump -Fc", 1.8),
    ("one stream", "pg_dump | zstd | age", 1.0),
    ("one stream", "pg_dump -Fc -Z0 | zstd | age", 1.0),
    ("two streams", "pg_dump -Fd -j2", 1.8),
    ("two streams", "one stream", 1.0),
    ("over ssh", "ssh pg_dump", 0.5),
    ("over ssh", "ssh pg_dump -Fc -Z0 | zstd | age", 1.0),
    ("two over ssh", "over ssh", 1.0),
];
/// The proof against nothing: the most that a backup with it may take as a multiple of one without.
const MOST: [(&str, &str, &str, f64); 2] = [
    ("time", "proven", "bare", 1.1),
    (
        "processor time",
        "proven's processors",
        "bare's processors",
        1.25,
    ),
];

type Times = BTreeMap<&'static str, f64>;

fn main() -> Result<(), Box<dyn Error>> {
    let lab = Lab::get().ok_or("this runs in a lab: make bench")?;
    let host = lab.host("bench", Kind::Postgres);
    let folder = tempfile::tempdir()?;
    host.install_tools();
    let recipient = prepare(&host, folder.path())?;
    let mut rounds = Vec::new();
    let mut memory = 0;
    for _ in 0..ROUNDS {
        let (times, peak) = round(&host, folder.path(), &recipient)?;
        rounds.push(times);
        memory = memory.max(peak);
    }
    let missed = LEAST
        .iter()
        .filter(|comparison| !holds(comparison, &rounds))
        .count();
    let missed = missed
        + MOST
            .iter()
            .filter(|cost| !costs_little(cost, &rounds))
            .count();
    let fits = memory < MEMORY;
    say(&format!(
        "db  peak memory of ops-db {} MiB (at most {})  {}",
        memory >> 20,
        MEMORY >> 20,
        verdict(fits)
    ));
    match missed + usize::from(!fits) {
        0 => Ok(()),
        missed => Err(format!("{missed} missed").into()),
    }
}

/// Fills a database, and gives the host and us a key and the programs that it lacks; the recipient.
fn prepare(host: &LabHost, folder: &Path) -> Result<String, Box<dyn Error>> {
    let psql = "createdb -U postgres bench; psql -U postgres -Xq -v ON_ERROR_STOP=1 -d bench -f -";
    host.sh_with(
        &format!("runuser -u postgres -- sh -c '{psql}'"),
        TABLES.as_bytes(),
    )
    .expect(0);
    let age = command("sh").args(["-c", "command -v age"]).run().expect(0);
    let age = Path::new(age.out().trim()).to_owned();
    for program in [age, bin_dir().join("examples/ops-db-stream")] {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let install = format!("cat > /usr/local/bin/{name} && chmod 755 /usr/local/bin/{name}");
        host.sh_with(&install, &fs::read(&program)?).expect(0);
    }
    host.sh("install -d -m 777 /srv/bench").expect(0);
    let key = command("age-keygen")
        .args(["-o", "key"])
        .dir(folder)
        .run()
        .expect(0);
    drop(key);
    let text = fs::read_to_string(folder.join("key"))?;
    let recipient = text
        .lines()
        .find_map(|line| line.strip_prefix("# public key: "));
    Ok(recipient
        .ok_or("age-keygen names no public key")?
        .to_owned())
}

/// Everything once, in turn: seconds, and the most memory that ops-db took.
fn round(host: &LabHost, folder: &Path, recipient: &str) -> Result<(Times, u64), Box<dyn Error>> {
    let mut times = Times::new();
    on_the_host(host, recipient, &mut times)?;
    let peak = from_here(folder, recipient, &mut times)?;
    Ok((times, peak))
}

fn on_the_host(host: &LabHost, recipient: &str, times: &mut Times) -> Result<(), Box<dyn Error>> {
    let here = |line: &str| {
        let fresh = "cd /srv/bench && rm -rf out && install -d -m 777 out && set -o pipefail";
        let line = format!("bash -c '{fresh}; R={recipient}; {line}'");
        host.sh(&line).expect(0);
    };
    let as_postgres = |line: &str| {
        here(&format!(
            "runuser -u postgres -- bash -o pipefail -c \"R=$R; {line}\""
        ));
    };
    for (name, line) in HERE {
        times.insert(name, timed(|| as_postgres(&line.replace("$R", recipient))));
    }
    let own = "ops-db backup bench --host localhost -o out/ --recipient";
    times.insert("one stream", timed(|| here(&format!("{own} $R"))));
    times.insert(
        "two streams",
        timed(|| here(&format!("{own} $R --streams 2"))),
    );
    for (way, processors) in [
        ("proven", "proven's processors"),
        ("bare", "bare's processors"),
    ] {
        let (seconds, of_processors) = stream(host, way, recipient)?;
        times.insert(way, seconds);
        times.insert(processors, of_processors);
    }
    Ok(())
}

/// From another machine; the most memory that ops-db took.
fn from_here(folder: &Path, recipient: &str, times: &mut Times) -> Result<u64, Box<dyn Error>> {
    let fresh = || {
        drop(fs::remove_dir_all(folder.join("out")));
        fs::create_dir(folder.join("out"))
    };
    for (name, line) in THERE {
        fresh()?;
        let line = line.replace("$R", recipient);
        times.insert(
            name,
            timed(|| {
                let ran = command("bash")
                    .args(["-o", "pipefail", "-c", &line])
                    .dir(folder);
                drop(ran.run().expect(0));
            }),
        );
    }
    fresh()?;
    let (seconds, peak) = over_ssh(folder, recipient, &[]);
    times.insert("over ssh", seconds);
    fresh()?;
    let (seconds, peak_of_two) = over_ssh(folder, recipient, &["--streams", "2"]);
    times.insert("two over ssh", seconds);
    Ok(peak.max(peak_of_two))
}

/// The way of a backup on the host, with its proof or without: its seconds, and those of all processors. What the server
/// did for it is what its children that have ended have used since.
fn stream(host: &LabHost, way: &str, recipient: &str) -> Result<(f64, f64), Box<dyn Error>> {
    const LINE: &str = r#"cd /srv/bench && rm -rf out && install -d -m 777 out && set -o pipefail
used() { cut -d' ' -f16,17 "/proc/$(head -n 1 /var/lib/postgresql/17/postmaster.pid)/stat" | { read -r user system; echo $((user + system)); }; }
before=$(used); TIMEFORMAT='%R %U %S'
time { runuser -u postgres -- pg_dump -Fc -Z0 bench | ops-db-stream WAY RECIPIENT > out/x && sync out/x; } || exit
sleep 0.1; echo "$before $(used) $(getconf CLK_TCK)""#;
    let line = LINE.replace("WAY", way).replace("RECIPIENT", recipient);
    let ran = host.sh_with("bash -s 2>&1", line.as_bytes()).expect(0);
    let said = ran.out();
    let numbers: Vec<f64> = said
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [seconds, user, system, before, after, ticks] = numbers[..] else {
        return Err(format!("not six numbers: {said}").into());
    };
    Ok((seconds, user + system + (after - before) / ticks))
}

/// Our own way from another machine: its time, and the most memory that it took.
fn over_ssh(folder: &Path, recipient: &str, more: &[&str]) -> (f64, u64) {
    let mut peak = 0;
    let seconds = timed(|| {
        let running = tool("ops-db")
            .args(["backup", "bench", "--host", "bench", "-o", "out/"])
            .args(["--recipient", recipient])
            .args(more)
            .dir(folder)
            .spawn();
        peak = peak_of(running.pid());
        drop(running.finish().expect(0));
    });
    (seconds, peak)
}

fn timed(work: impl FnOnce()) -> f64 {
    let begin = Instant::now();
    work();
    begin.elapsed().as_secs_f64()
}

/// The kernel's mark of the most memory that a process ever had, as it stood last.
fn peak_of(pid: u32) -> u64 {
    let mut peak = 0;
    let path = format!("/proc/{pid}/status");
    while let Ok(status) = fs::read_to_string(&path) {
        let mark = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let Some(kib) = mark.and_then(|mark| mark.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        else {
            break;
        };
        peak = peak.max(kib << 10);
        std::thread::sleep(Duration::from_millis(5));
    }
    peak
}

/// The middle of the ratios of the rounds, and how far they spread.
fn ratios(one: &str, other: &str, rounds: &[Times]) -> (f64, String) {
    let ratio = |times: &Times| times[one] / times[other];
    let mut ratios: Vec<_> = rounds.iter().map(ratio).collect();
    ratios.sort_by(f64::total_cmp);
    let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
    (ratios[ratios.len() / 2], format!("{least:.2} to {most:.2}"))
}

/// Says how a comparison came out over the rounds.
fn holds((own, other, least): &(&str, &str, f64), rounds: &[Times]) -> bool {
    let (middle, spread) = ratios(other, own, rounds);
    say(&format!(
        "db  {own:<12} {middle:5.2} times as fast as {other} ({spread}; at least {least})  {}",
        verdict(middle >= *least)
    ));
    middle >= *least
}

/// Says what the proof costs.
fn costs_little((what, proven, bare, most): &(&str, &str, &str, f64), rounds: &[Times]) -> bool {
    let (middle, spread) = ratios(proven, bare, rounds);
    say(&format!(
        "db  with the parse and the sums {middle:5.2} times the {what} of without ({spread}; at most {most})  {}",
        verdict(middle <= *most)
    ));
    middle <= *most
}

fn verdict(holds: bool) -> &'static str {
    if holds { "ok" } else { "MISSED" }
}

#[expect(
    clippy::print_stdout,
    reason = "the ratios are what this program is for"
)]
fn say(line: &str) {
    println!("{line}");
}
