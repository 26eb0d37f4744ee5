//! How long ops-deploy takes beside deploy-rs, nh and the commands that nixos-rebuild runs, behind a relay that adds no delay
//! and one that adds 50 ms to each round trip. It is what `make bench` runs in a lab.
//!
//! Each contender brings the same small system, whose version is all that changes, from one machine to one host. What a peer
//! cannot do here is said in one line.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ops_tests::relay::{Link, Relay};
use ops_tests::{Kind, Lab, LabHost, Tool, command, nixos, tool};

type Outcome<T> = Result<T, Box<dyn Error>>;

const RUNS: usize = 5;

/// How much the relay adds to a round trip.
const DELAYS: [Duration; 2] = [Duration::ZERO, Duration::from_millis(50)];

const HOSTS: usize = 8;

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
    kept.push(many_hosts(lab)?);
    let missed = kept.iter().filter(|kept| !**kept).count();
    if missed == 0 {
        Ok(())
    } else {
        Err(format!("{missed} of them missed").into())
    }
}

/// A program that brings a system to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contender {
    Ours,
    Sequence,
    DeployRs,
    Nh,
}

impl Contender {
    const ALL: [Self; 4] = [Self::Ours, Self::Sequence, Self::DeployRs, Self::Nh];

    fn name(self) -> &'static str {
        match self {
            Self::Ours => "ops-deploy",
            Self::Sequence => "nixos-rebuild's commands",
            Self::DeployRs => "deploy-rs",
            Self::Nh => "nh",
        }
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

/// What nixos-rebuild does with a target host, over one connection as it does.
const SEQUENCE: &str = r#"
set -e
sockets=$(mktemp -d)
options="-o ControlMaster=auto -o ControlPath=$sockets/%n -o ControlPersist=60"
export NIX_SSHOPTS=$options
new=$(nix --extra-experimental-features "nix-command flakes" build --json --no-link \
    '.#nixosConfigurations."bench".config.system.build.toplevel' | jq -r '.[0].outputs.out')
nix-copy-closure --to "$1" "$new"
ssh $options "$1" -- test -f "$new/nixos-version"
ssh $options "$1" -- nix-env -p /nix/var/nix/profiles/system --set "$new"
ssh $options "$1" -- test -d /run/systemd/system
ssh $options "$1" -- systemd-run -E LOCALE_ARCHIVE -E NIXOS_INSTALL_BOOTLOADER --collect --no-ask-password --pipe --quiet \
    --service-type=exec --unit=nixos-rebuild-switch-to-configuration "$new/bin/switch-to-configuration" switch
ssh $options -O exit "$1"
"#;

/// Nix, with the flag that Nix 2.8 does not have and deploy-rs needs.
const NIX: &str = r#"#!/bin/bash
case " $* " in
*" --print-out-paths "*) ;;
*) exec /usr/bin/nix "$@" ;;
esac
words=()
for word; do [ "$word" = --print-out-paths ] || words+=("${word%^*}"); done
/usr/bin/nix "${words[@]}" --json | jq -r '.[].outputs.out'
"#;

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

    /// What brings the system of now to the host.
    fn tool(&self, contender: Contender, link: &str) -> Outcome<Tool> {
        Ok(match contender {
            Contender::Ours => tool("ops-deploy").args(["switch", link]),
            Contender::Sequence => command("bash").args(["-c", SEQUENCE, "sequence", link]),
            Contender::DeployRs => {
                let program = peer("deploy").ok_or("it is not built")?;
                // It asks old Nix whether the system is built in a way that fails where it is not: so it is, before.
                let nix = [
                    "--extra-experimental-features",
                    "nix-command flakes",
                    "build",
                    "--no-link",
                ];
                let path = ".#deploy.nodes.bench.profiles.system.path";
                run(command("nix").args(nix).arg(path).dir(self.folder.path()))?;
                let programs = format!("{}:/usr/bin:/bin", self.path("programs").display());
                command(program)
                    .env("PATH", programs)
                    .args(["-s", "--hostname", link, ".#bench"])
            }
            Contender::Nh => {
                let program = peer("nh").ok_or("it is not built")?;
                command(program)
                    .env("NH_NO_CHECKS", "1")
                    .args([
                        "os", "switch", ".", "-H", "bench", "--no-nom", "--diff", "never",
                    ])
                    .args([
                        "--elevation-strategy",
                        "none",
                        "--target-host",
                        &format!("root@{link}"),
                    ])
            }
        })
    }

    /// Brings the system of now to the host, and returns how long that took.
    fn deploy(&self, contender: Contender, link: &str) -> Outcome<f64> {
        let tool = self.tool(contender, link)?;
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
                .args([relay.alias(), "sh", "-s", "Id,ActiveState"])
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
        for _ in 0..RUNS {
            for (contender, times) in contenders.iter().zip(&mut times) {
                self.next_version();
                times.extend(self.deploy(*contender, relay.alias()).ok());
            }
        }
        let ours = middle(times.first()?);
        let name = format!("small deployment, {} ms", delay.as_millis());
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

/// Eight hosts behind 100 ms take about as long as one.
fn many_hosts(lab: Lab) -> Outcome<bool> {
    let hosts: Vec<LabHost> = (1..=HOSTS)
        .map(|number| lab.host(&format!("fleet-{number}"), Kind::Plain))
        .collect();
    let folder = tempfile::tempdir()?;
    let link = Link::new().delay(Duration::from_millis(50));
    let names: Vec<String> = (1..=HOSTS)
        .map(|number| format!("fleet-link-{number}"))
        .collect();
    let relays: Vec<Relay> = hosts
        .iter()
        .zip(&names)
        .map(|(host, name)| Relay::before(host, name, link))
        .collect();
    nixos::flake(
        folder.path(),
        &[nixos::System::new("fleet").service("app", "exec sleep 100000")],
    );
    let entry = |name: &String| format!("  {name}: {{flake: \".#fleet\", groups: [all]}}\n");
    let entries = names.iter().map(entry).collect::<Vec<_>>().concat();
    let settings = "deploy: {health_window: 0s, rollback_after: 120s, health: []}\n";
    write(
        &folder.path().join("ops.yaml"),
        &format!("hosts:\n{entries}{settings}"),
    );
    let switch = |names: &[&str]| {
        let ran = tool("ops-deploy")
            .arg("switch")
            .args(names)
            .dir(folder.path());
        ran.timeout(Duration::from_mins(5))
            .run()
            .expect(0)
            .took
            .as_secs_f64()
    };
    switch(&["@all"]);
    let ratios = (0..RUNS).map(|_| switch(&["@all"]) / switch(&[&names[0]]));
    let kept = tell(
        "8 hosts, 100 ms: beside one they take",
        ratios.collect(),
        Some(Limit::AtMost(2.0)),
    );
    drop(relays);
    Ok(kept)
}

/// The node of deploy-rs: a system with the two programs that it wants to find there.
fn node(activate: &str) -> String {
    format!(
        r#"deploy.nodes.bench = {{ hostname = "bench"; sshUser = "root"; profiles.system = {{ user = "root"; path = derivation {{
  name = "activatable"; system = "x86_64-linux"; builder = "/bin/sh";
  top = self.nixosConfigurations.bench.config.system.build.toplevel;
  args = [ "-c" ''
    /bin/mkdir $out; /bin/ln -s $top/* $out/; /bin/ln -s {activate} $out/activate-rs
    printf '#!/bin/sh\nexec %s/bin/switch-to-configuration switch\n' $top > $out/deploy-rs-activate
    /bin/chmod 755 $out/deploy-rs-activate
  '' ]; }}; }}; }};
"#
    )
}

/// A program that was built to be measured beside.
fn peer(name: &str) -> Option<PathBuf> {
    let path = Path::new("target/tools/bin").join(name);
    path.canonicalize().ok()
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

/// What a ratio must keep.
#[derive(Debug, Clone, Copy)]
enum Limit {
    AtLeast(f64),
    AtMost(f64),
}

fn middle(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Prints the middle of the ratios with their spread, and whether it is within the limit.
fn tell(what: &str, mut ratios: Vec<f64>, limit: Option<Limit>) -> bool {
    ratios.sort_by(f64::total_cmp);
    let middle = middle(&ratios);
    let (kept, wanted) = match limit {
        None => (true, String::new()),
        Some(Limit::AtLeast(least)) => (middle >= least, format!("at least {least}, ")),
        Some(Limit::AtMost(most)) => (middle <= most, format!("at most {most}, ")),
    };
    let spread = match (ratios.first(), ratios.last()) {
        (Some(first), Some(last)) => format!("{first:.2} to {last:.2}"),
        _ => "never".to_owned(),
    };
    let verdict = match (limit, kept) {
        (None, _) => "",
        (_, true) => "  ok",
        (_, false) => "  MISSED",
    };
    say(&format!(
        "deploy  {what} {middle:.2} times ({wanted}{spread}){verdict}"
    ));
    kept
}

#[expect(clippy::print_stdout, reason = "it is what a bench is run for")]
fn say(line: &str) {
    println!("{line}");
}
