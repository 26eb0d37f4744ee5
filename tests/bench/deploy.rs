//! How long ops-deploy takes beside deploy-rs, nh and the commands that nixos-rebuild runs, behind a relay that adds no delay
//! and one that adds 50 ms to each round trip. It is what `make bench` runs in a lab.
//!
//! Each contender brings the same small system, whose version is all that changes, from one machine to one host. What a peer
//! cannot do here is said in one line.
//!
//! The small deployment has to be twice as fast as the fastest peer, and is not. All have to wait for the build here and the
//! activation there; the rows say how long these take alone, and what each contender takes beside them. Measured on an idle
//! machine: without delay they are 0.50 s of the 0.88 s of the fastest peer, more than the half that would be allowed in all;
//! at 50 ms they are 0.49 s of its 1.69 s, and the 0.35 s that would be left are 7 round trips, which is one login.
//!
//! What ops-deploy does beside that and no peer does: look at all units twice before and once after, take a lock and arm a
//! timer (two transient units), log in anew, and install the boot loader in a second run, since only a verified system may
//! boot. The peers' work is all of theirs: deploy-rs with its confirmation over a new connection (its system is built before,
//! outside the time), nh with its second run for the boot loader. nixos-rebuild's commands are those after its own start,
//! without the second evaluation that it does first.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ops_tests::relay::{Link, Relay};
use ops_tests::{Kind, Lab, LabHost, Tool, command, nixos, tool};

#[path = "deploy/contender.rs"]
mod contender;
#[path = "deploy/fleet.rs"]
mod fleet;
#[path = "deploy/tell.rs"]
mod tell;

use contender::{Contender, NIX, node, peer};
use tell::{Limit, middle, say, tell};

type Outcome<T> = Result<T, Box<dyn Error>>;

const RUNS: usize = 5;

/// How much the relay adds to a round trip.
const DELAYS: [Duration; 2] = [Duration::ZERO, Duration::from_millis(50)];

fn main() -> Outcome<()> {
    let lab = Lab::get().ok_or("this runs in a lab: make bench")?;
    let host = lab.host("deploy-bench", Kind::Plain);
    let mut bench = Bench::new(host)?;
    let mut kept = Vec::new();
    for delay in DELAYS {
        kept.extend(bench.nothing_to_do(delay));
        kept.extend(bench.small_deployment(delay));
    }
    kept.push(bench.many_paths()?);
    kept.extend(fleet::rows(lab)?);
    let missed = kept.iter().filter(|kept| !**kept).count();
    if missed == 0 {
        Ok(())
    } else {
        Err(format!("{missed} of them missed").into())
    }
}

struct Bench {
    host: LabHost,
    folder: tempfile::TempDir,
    version: usize,
    contenders: Vec<Contender>,
    /// What deploy-rs wants to find in each system: its own program, known here and there.
    activate: Option<String>,
}

impl Bench {
    fn new(host: LabHost) -> Outcome<Self> {
        let mut bench = Self {
            host,
            folder: tempfile::tempdir()?,
            version: 0,
            contenders: Contender::ALL.to_vec(),
            activate: None,
        };
        if let Some(program) = peer("activate") {
            let small = bench.path("activate");
            run(command("strip").arg("-o").arg(&small).arg(program))?;
            let added = run(command("nix-store").arg("--add").arg(&small))?;
            std::fs::remove_file(small)?;
            let path = added.trim().to_owned();
            run(command("nix-copy-closure").args(["--to", bench.host.name(), &path]))?;
            bench.activate = Some(path);
        }
        std::fs::create_dir_all(bench.path("programs"))?;
        let nix = bench.path("programs/nix");
        write(&nix, NIX);
        run(command("chmod").arg("755").arg(nix))?;
        // Whoever cannot do it once is left out, and said.
        let relay = Relay::before(&bench.host, "bench-link", Link::new());
        for contender in Contender::ALL {
            bench.next_version();
            let ran = bench.deploy(contender, relay.alias());
            if let Err(why) = ran {
                say(&format!(
                    "deploy  {} cannot be had: {why}",
                    contender.name()
                ));
                bench.contenders.retain(|other| *other != contender);
            }
        }
        Ok(bench)
    }

    fn next_version(&mut self) {
        self.version += 1;
        let line = format!("exec sleep 100000 # {}", self.version);
        let system = nixos::System::new("bench")
            .version(&self.version.to_string())
            .service("app", &line);
        nixos::flake(self.folder.path(), &[system]);
        let flake = self.path("flake.nix");
        let text = std::fs::read_to_string(&flake).unwrap_or_default();
        let node = self.activate.as_deref().map_or_else(String::new, node);
        let text = text.replacen(
            "outputs = { self }: {",
            &format!("outputs = {{ self }}: {{\n{node}"),
            1,
        );
        write(&flake, &text);
        let settings = "hosts:\n  bench-link: {flake: \".#bench\"}\ndeploy: {health_window: 0s, rollback_after: 60s, health: []}\n";
        write(&self.path("ops.yaml"), settings);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Brings the system of now to the host, and returns how long that took.
    fn deploy(&self, contender: Contender, link: &str) -> Outcome<f64> {
        let tool = contender.tool(self.folder.path(), link)?;
        let ran = tool
            .dir(self.folder.path())
            .timeout(Duration::from_mins(2))
            .run();
        let live = self.host.sh("readlink -e /run/current-system").out();
        if ran.status != 0 {
            let last = ran
                .err()
                .lines()
                .rev()
                .find(|line| !line.trim().is_empty())
                .unwrap_or_default()
                .to_owned();
            return Err(format!("status {}: {last}", ran.status).into());
        }
        if !live.trim().ends_with(&format!("bench-{}", self.version)) {
            return Err(format!("it said that it had, but the host runs {live}").into());
        }
        Ok(ran.took.as_secs_f64())
    }

    /// The system is there. The floor is one connection and one exec of OpenSSH's client that asks the same.
    fn nothing_to_do(&mut self, delay: Duration) -> Option<bool> {
        let relay = Relay::before(&self.host, "bench-link", Link::new().delay(delay / 2));
        self.next_version();
        self.deploy(Contender::Ours, relay.alias()).ok()?;
        let new = self.host.sh("readlink -e /run/current-system").out();
        let question = include_str!("../../ops-deploy/src/sh/state.sh");
        let (mut floor, mut ours) = (Vec::new(), Vec::new());
        let mut others: Vec<(Contender, Vec<f64>)> = Vec::new();
        for _ in 0..RUNS {
            let asked = command("ssh")
                .args([relay.alias(), "sh", "-s", "''", "Id,ActiveState"])
                .stdin(question)
                .run()
                .expect(0);
            floor.push(asked.took.as_secs_f64());
            let ran = tool("ops-deploy")
                .args(["switch", relay.alias(), "--store-path", new.trim()])
                .dir(self.folder.path())
                .run()
                .expect(0);
            ours.push(ran.took.as_secs_f64());
        }
        for contender in self.contenders.iter().skip(1) {
            let times = (0..2).filter_map(|_| self.deploy(*contender, relay.alias()).ok());
            others.push((*contender, times.collect()));
        }
        let name = format!("nothing to do, {} ms", delay.as_millis());
        for (contender, times) in others {
            let ratios = times.iter().map(|theirs| theirs / middle(&ours)).collect();
            tell(&format!("{name}: {} takes", contender.name()), ratios, None);
        }
        let ratios = ours.iter().zip(&floor).map(|(ours, floor)| ours / floor);
        Some(tell(
            &format!("{name}: the floor"),
            ratios.collect(),
            Some(Limit::AtMost(1.2)),
        ))
    }

    /// One unit changes. The health window is nothing, as it is with all others.
    fn small_deployment(&mut self, delay: Duration) -> Option<bool> {
        let relay = Relay::before(&self.host, "bench-link", Link::new().delay(delay / 2));
        let contenders = self.contenders.clone();
        let mut times = vec![Vec::new(); contenders.len()];
        let mut shared = Vec::new();
        for _ in 0..RUNS {
            for (contender, times) in contenders.iter().zip(&mut times) {
                self.next_version();
                times.extend(self.deploy(*contender, relay.alias()).ok());
            }
            self.next_version();
            shared.extend(self.shared().ok());
        }
        let ours = middle(times.first()?);
        let name = format!("small deployment, {} ms", delay.as_millis());
        tell_shares(&name, &contenders, &times, middle(&shared));
        let mut least = Vec::new();
        for (contender, times) in contenders.iter().zip(&times).skip(1) {
            let ratios: Vec<f64> = times.iter().map(|theirs| theirs / ours).collect();
            if least.is_empty() || middle(&ratios) < middle(&least) {
                least.clone_from(&ratios);
            }
            tell(&format!("{name}: {} takes", contender.name()), ratios, None);
        }
        Some(tell(
            &format!("{name}: the fastest peer takes"),
            least,
            Some(Limit::AtLeast(2.0)),
        ))
    }

    /// What every contender has to wait for, however it goes about the rest: Nix builds the system here, and the system's own
    /// program switches the host to it.
    fn shared(&self) -> Outcome<f64> {
        let nix = [
            "--extra-experimental-features",
            "nix-command flakes",
            "build",
            "--no-link",
            "--json",
        ];
        let system = ".#nixosConfigurations.bench.config.system.build.toplevel";
        let built = command("nix")
            .args(nix)
            .arg(system)
            .dir(self.folder.path())
            .run()
            .expect(0);
        let answer: serde_json::Value = serde_json::from_str(&built.out())?;
        let new = answer[0]["outputs"]["out"].as_str().ok_or("no path")?;
        run(command("nix-copy-closure").args(["--to", self.host.name(), new]))?;
        let switch = format!(
            "s=$(date +%s%N); {new}/bin/switch-to-configuration test 2>/dev/null; echo $(($(date +%s%N) - s))"
        );
        let took: f64 = self.host.sh(&switch).out().trim().parse()?;
        Ok(built.took.as_secs_f64() + took / 1e9)
    }

    /// 200 small paths that the host does not have, at 50 ms.
    fn many_paths(&mut self) -> Outcome<bool> {
        let relay = Relay::before(
            &self.host,
            "bench-link",
            Link::new().delay(Duration::from_millis(25)),
        );
        let link = relay.alias();
        let (mut ng, mut closure) = (Vec::new(), Vec::new());
        for run_number in 0..RUNS {
            let path = |name: &str| self.many(&format!("{name}-{run_number}"));
            let took = |tool: Tool| tool.run().expect(0).took.as_secs_f64();
            let (a, b, c) = (path("a")?, path("b")?, path("c")?);
            let nix = [
                "--extra-experimental-features",
                "nix-command",
                "copy",
                "--no-check-sigs",
                "--to",
            ];
            let theirs = took(
                command("nix")
                    .args(nix)
                    .args([&format!("ssh-ng://root@{link}"), &a]),
            );
            let ours = took(
                tool("ops-deploy")
                    .args(["copy", link, "--store-path", &b])
                    .dir(self.folder.path()),
            );
            ng.push(ours / theirs);
            // It takes so long that once tells enough.
            if run_number == 0 {
                closure.push(took(command("nix-copy-closure").args(["--to", link, &c])) / ours);
            }
        }
        let kept = tell(
            "200 paths, 50 ms: beside ssh-ng it takes",
            ng,
            Some(Limit::AtMost(1.6)),
        );
        let faster = tell(
            "200 paths, 50 ms: nix-copy-closure takes",
            closure,
            Some(Limit::AtLeast(7.0)),
        );
        Ok(kept && faster)
    }

    /// A path that refers to 200 new ones.
    fn many(&self, name: &str) -> Outcome<String> {
        let flake = format!(
            "{{ outputs = _: {{ all = derivation {{ name = \"all\"; system = \"x86_64-linux\"; builder = \"/bin/sh\"; args = [ \"-c\" \"echo $paths > $out\" ];\n\
             paths = builtins.genList (n: builtins.toFile \"one\" \"{name} ${{toString n}}\") 200; }}; }}; }}"
        );
        std::fs::create_dir_all(self.path("many"))?;
        write(&self.path("many/flake.nix"), &flake);
        let nix = [
            "--extra-experimental-features",
            "nix-command flakes",
            "build",
            "--no-link",
            "--json",
        ];
        let built = run(command("nix")
            .args(nix)
            .arg("./many#all")
            .dir(self.folder.path()))?;
        let built: serde_json::Value = serde_json::from_str(&built)?;
        Ok(built[0]["outputs"]["out"]
            .as_str()
            .ok_or("no path")?
            .to_owned())
    }
}

/// How long each takes, and how much of that is its own: nobody can be faster than what all share.
fn tell_shares(name: &str, contenders: &[Contender], times: &[Vec<f64>], shared: f64) {
    say(&format!(
        "deploy  {name}: build and activation alone take {shared:.2} s"
    ));
    for (contender, times) in contenders.iter().zip(times) {
        let all = middle(times);
        say(&format!(
            "deploy  {name}: {} takes {all:.2} s, {:.2} s beside those",
            contender.name(),
            all - shared
        ));
    }
}

fn run(tool: Tool) -> Outcome<String> {
    let ran = tool.run();
    if ran.status == 0 {
        Ok(ran.out())
    } else {
        Err(ran.to_string().into())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "half a file of a bench harms nobody"
)]
fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a file");
}
