//! How much ops-matrix costs: beside `curl | jq` in the same run, over a long link, and for many names with little memory.
//! It is what `make bench` runs in a lab.

use std::collections::BTreeSet;
use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ops_tests::relay::{Link, Relay};
use ops_tests::{Kind, Lab, LabHost, Options, bin_dir, tool, tree};

type Outcome<T> = Result<T, Box<dyn Error>>;

const RUNS: usize = 5;

/// How often the two programs are compared, and how often each is started in turn for that.
const ROUNDS: usize = 7;
const REPEATS: usize = 100;

/// How many times less than `curl | jq` `versions` must cost, in time and in CPU time.
const LEAST_RATIO: f64 = 10.0;

/// How long each byte is under way.
const DELAY: Duration = Duration::from_millis(50);

/// How long `federation` may take, as a multiple of its longest chain of round trips.
const MOST_CHAINS: f64 = 1.3;

const NAMES: usize = 500;
const MEMORY_MIB: u64 = 64;

fn main() -> Outcome<()> {
    let lab = Lab::get().ok_or("this runs in a lab: make bench")?;
    let options = Options::from(Kind::Platform).without("mautrix-slack");
    let host = lab.host("matrix-bench", options);
    host.install_tools();
    host.sh("timeout 60 sh -c 'until curl -fs http://127.0.0.1:8008/health; do :; done'")
        .expect(0);
    let kept = [beside_curl()?, over_a_long_link(&host)?, many_names(&host)];
    let missed = kept.iter().filter(|kept| !**kept).count();
    if missed == 0 {
        Ok(())
    } else {
        Err(format!("{missed} of them missed").into())
    }
}

/// The runbook's line and ours, in turn, at a server whose own time does not count: it has continuwuity's answers ready.
fn beside_curl() -> Outcome<bool> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    std::thread::spawn(move || serve(&listener));
    // A pipe needs a shell.
    let pipe = format!("curl -s {url}/_matrix/client/versions | jq -r '.versions[-1]'");
    let theirs = ["sh", "-c", &pipe];
    let own = bin_dir().join("ops-matrix").display().to_string();
    let ours = [own.as_str(), "versions", &url];
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        rounds.push(Round::of(&theirs, &ours)?);
    }
    let time = at_least("versions, time", rounds.iter().map(|round| round.time));
    let cpu = at_least("versions, CPU time", rounds.iter().map(|round| round.cpu));
    Ok(time && cpu)
}

/// One client after the other: each asks, and leaves.
fn serve(listener: &TcpListener) {
    for client in listener.incoming().flatten() {
        // A client that leaves in the middle has measured nothing: its run fails.
        answer(&client).ok();
    }
}

fn answer(client: &TcpStream) -> io::Result<()> {
    const VERSIONS: &str = include_str!("../../ops-matrix/fixtures/continuwuity/versions.json");
    const VERSION: &str =
        include_str!("../../ops-matrix/fixtures/continuwuity/federation_version.json");
    client.set_nodelay(true)?;
    let mut reader = BufReader::new(client);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 {
        let body = if line.contains("/_matrix/client/versions ") {
            VERSIONS
        } else {
            VERSION
        };
        while line.trim() != "" {
            line.clear();
            reader.read_line(&mut line)?;
        }
        line.clear();
        let length = body.len();
        let reply = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        { client }.write_all(reply.as_bytes())?;
    }
    Ok(())
}

/// How many times more the one costs than the other.
struct Round {
    time: f64,
    cpu: f64,
}

impl Round {
    /// Many runs of the one, then many of the other. Time is that of the run in the middle: one that had to wait for a
    /// processor says nothing about the program. CPU time is counted in ticks, so all runs are added up.
    fn of(theirs: &[&str], ours: &[&str]) -> Outcome<Self> {
        let (their, our) = (Cost::of(theirs)?, Cost::of(ours)?);
        Ok(Self {
            time: their.time / our.time,
            cpu: their.ticks / our.ticks,
        })
    }
}

/// What a run of one program costs.
struct Cost {
    time: f64,
    ticks: f64,
}

impl Cost {
    #[expect(
        clippy::disallowed_methods,
        reason = "what starts the programs must cost nothing itself"
    )]
    fn of(words: &[&str]) -> Outcome<Self> {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).stdout(Stdio::null());
        let mut times = Vec::with_capacity(REPEATS);
        let before = cpu_of_children()?;
        for _ in 0..REPEATS {
            let begin = Instant::now();
            let status = command.status()?;
            times.push(begin.elapsed().as_secs_f64());
            if !status.success() {
                return Err(format!("{}: {status}", words.join(" ")).into());
            }
        }
        times.sort_by(f64::total_cmp);
        Ok(Self {
            time: times[REPEATS / 2],
            ticks: cpu_of_children()? - before,
        })
    }
}

/// What all children that have ended worked, in ticks of the kernel: proc_pid_stat(5), fields 16 and 17.
fn cpu_of_children() -> Outcome<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("/proc/self/stat has no name")?;
    let ticks: Vec<f64> = fields
        .split_ascii_whitespace()
        .skip(13)
        .take(2)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum())
}

fn at_least(what: &str, ratios: impl Iterator<Item = f64>) -> bool {
    let mut ratios: Vec<f64> = ratios.collect();
    ratios.sort_by(f64::total_cmp);
    let middle = ratios[ratios.len() / 2];
    let kept = middle >= LEAST_RATIO;
    say(&format!(
        "matrix  {what:<22} {middle:5.1} times less than curl | jq ({:.1} to {:.1}; at least {LEAST_RATIO})  {}",
        ratios[0],
        ratios[ratios.len() - 1],
        verdict(kept)
    ));
    kept
}

/// One name with two addresses, each behind a link of its own: what can be asked at the same time is.
fn over_a_long_link(host: &LabHost) -> Outcome<bool> {
    let target = SocketAddr::new(host.v4().parse()?, 443);
    let link = Link::new().delay(DELAY);
    let ca = tree::authority().join("ca.pem");
    let mut ratios = Vec::new();
    for _ in 0..RUNS {
        let one = Relay::start(target, link);
        let port = one.address().port();
        let second = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), port);
        let two = Relay::at(second, target, link);
        let run = tool("ops-matrix")
            .args(["federation", "chat.example", "--json", "--cafile"])
            .arg(&ca)
            .arg("--connect-to")
            .arg(format!("chat.example:443:both.example:{port}"))
            .arg("--resolve")
            .arg(format!("both.example:{port}:127.0.0.1,127.0.0.2"));
        let begin = Instant::now();
        let ran = run.run().expect(0);
        let took = begin.elapsed();
        assert_eq!(ran.json().len(), 14, "{}", ran.out());
        // The chain is the well-known, and then what is asked of one address: all of it goes over that address's relay.
        let chain = one.count().round_trips.max(two.count().round_trips);
        ratios.push(
            took.as_secs_f64() / (2.0 * DELAY.as_secs_f64() * f64::from(u32::try_from(chain)?)),
        );
    }
    ratios.sort_by(f64::total_cmp);
    let kept = ratios[RUNS / 2] <= MOST_CHAINS;
    say(&format!(
        "matrix  {:<22} {:5.2} times its longest chain of round trips ({:.2} to {:.2}; at most {MOST_CHAINS})  {}",
        "federation, far away",
        ratios[RUNS / 2],
        ratios[0],
        ratios[RUNS - 1],
        verdict(kept)
    ));
    Ok(kept)
}

/// Many names at once, with a limit on memory at which the kernel gives no more.
fn many_names(host: &LabHost) -> bool {
    let names: Vec<String> = (1..=NAMES)
        .map(|number| format!("n{number}.example:8448"))
        .collect();
    let run = tool("ops-matrix")
        .args(["federation", "-", "--json", "--timeout", "10m", "--cafile"])
        .arg(tree::authority().join("ca.pem"))
        .args(["--connect-to", &format!("::{}:443", host.v4())]);
    let bounded = format!("ulimit -d {}; exec \"$@\"", MEMORY_MIB << 10);
    let ran = run
        .through(&bounded)
        .stdin(names.join("\n"))
        .timeout(Duration::from_mins(10))
        .run();
    // All of them lead to one server, which is none of them: each is a fault, and none is missing.
    let told: BTreeSet<String> = ran
        .json()
        .iter()
        .filter(|record| record["check"] == "matrix.keys")
        .map(|record| record["subject"].to_string())
        .collect();
    let kept = ran.status == 1 && told.len() == NAMES;
    say(&format!(
        "matrix  {:<22} {} of {NAMES} names within {MEMORY_MIB} MiB  {}",
        "federation, many",
        told.len(),
        verdict(kept)
    ));
    kept
}

fn verdict(kept: bool) -> &'static str {
    if kept { "ok" } else { "MISSED" }
}

#[expect(
    clippy::print_stdout,
    reason = "the ratios are what this program is for"
)]
fn say(line: &str) {
    println!("{line}");
}
