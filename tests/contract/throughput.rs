//! How fast bytes go from a host and to it, beside OpenSSH's client in the same run: what `make bench` runs in a lab.
//!
//! The window rules a long link: OpenSSH's is 2 MiB, ours for what comes from a host is 32 MiB. Toward the host it is the
//! window of its sshd, for both.

use std::error::Error;
use std::io::{Read, sink};
use std::time::{Duration, Instant};

use ops_common::host::{Command, Host, Options};
use ops_tests::relay::{Link, Relay};
use ops_tests::{Kind, Lab, command};

const RUNS: usize = 5;
const BYTES: u64 = 512 << 20;

/// A direction over a link, and the least that our speed may be as a multiple of OpenSSH's.
struct Way {
    name: &'static str,
    delay: Duration,
    upload: bool,
    least: f64,
}

const WAYS: [Way; 4] = [
    Way {
        name: "from the host",
        delay: Duration::ZERO,
        upload: false,
        least: 0.7,
    },
    Way {
        name: "from the host, 40 ms away",
        delay: Duration::from_millis(20),
        upload: false,
        least: 3.0,
    },
    Way {
        name: "to the host",
        delay: Duration::ZERO,
        upload: true,
        least: 0.7,
    },
    Way {
        name: "to the host, 40 ms away",
        delay: Duration::from_millis(20),
        upload: true,
        least: 0.7,
    },
];

fn main() -> Result<(), Box<dyn Error>> {
    let lab = Lab::get().ok_or("this runs in a lab: make bench")?;
    let machine = lab.host("throughput", Kind::Plain);
    let mut missed = 0;
    for (number, way) in WAYS.iter().enumerate() {
        let alias = format!("throughput-{number}");
        let relay = Relay::before(&machine, &alias, Link::new().delay(way.delay));
        let mut ratios = Vec::new();
        for _ in 0..RUNS {
            let theirs = timed(|| openssh(relay.alias(), way.upload))?;
            let ours = timed(|| own(relay.alias(), way.upload))?;
            ratios.push(theirs / ours);
        }
        ratios.sort_by(f64::total_cmp);
        let (middle, spread) = (ratios[RUNS / 2], (ratios[0], ratios[RUNS - 1]));
        let verdict = if middle >= way.least { "ok" } else { "MISSED" };
        missed += usize::from(middle < way.least);
        say(&format!(
            "throughput  {:<26} {middle:.2} times OpenSSH ({:.2} to {:.2}; at least {})  {verdict}",
            way.name, spread.0, spread.1, way.least
        ));
    }
    if missed == 0 {
        Ok(())
    } else {
        Err(format!("{missed} ratios missed").into())
    }
}

fn timed(work: impl FnOnce() -> Result<(), Box<dyn Error>>) -> Result<f64, Box<dyn Error>> {
    let begin = Instant::now();
    work()?;
    Ok(begin.elapsed().as_secs_f64())
}

fn openssh(alias: &str, upload: bool) -> Result<(), Box<dyn Error>> {
    let line = if upload {
        format!("head -c {BYTES} /dev/zero | ssh {alias} 'cat > /dev/null'")
    } else {
        format!("ssh {alias} 'head -c {BYTES} /dev/zero' > /dev/null")
    };
    let ran = command("bash").args(["-o", "pipefail", "-c", &line]).run();
    if ran.status == 0 {
        Ok(())
    } else {
        Err(ran.to_string().into())
    }
}

fn own(alias: &str, upload: bool) -> Result<(), Box<dyn Error>> {
    let host = Host::connect(alias, None, &Options::default())?;
    let finished = if upload {
        let command = Command::script("cat > /dev/null", &[""; 0]);
        host.upload(&command, &mut std::io::repeat(0).take(BYTES))?
    } else {
        let command = Command::new("head")
            .arg("-c")
            .arg(BYTES.to_string())
            .arg("/dev/zero");
        host.stream(&command, &mut sink())?
    };
    if finished.success() {
        Ok(())
    } else {
        Err("the command on the host failed".into())
    }
}

#[expect(
    clippy::print_stdout,
    reason = "the ratios are what this program is for"
)]
fn say(line: &str) {
    println!("{line}");
}
