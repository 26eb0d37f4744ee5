//! The outer namespace: one process tree, one set of mounts, one network without a way out.
//!
//! `ops-lab run CMD` is three processes: this one, which hands signals down; `unshare`, which makes the namespaces;
//! and the first process inside, which sets them up, runs CMD and collects orphans. Each dies with the one above it
//! (and the first with whoever started it), and the kernel ends everything in a process namespace when its first
//! process dies. So kill -9 of any of them, or of the test runner above, leaves nothing.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::{env, fs, thread};

use rustix::process::{Pid, Signal, WaitOptions};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::program::{
    During, Error, Result, exists, program, read, run as run_program, variable, write,
};
use crate::{address, cgroup, ssh, tree};

/// The folder inside the namespace that holds everything the lab keeps while it runs.
pub const RUN: &str = "/run/ops-lab";
/// The name of the lab, drawn by lot.
const ID: &str = "/run/ops-lab/id";
/// The folders that hosts are made of.
pub(crate) const LAYERS: &str = "/run/ops-lab/layers";
/// This program as seen from inside, where it is the first process.
pub(crate) const MYSELF: &str = "/proc/1/exe";
const NEEDED: [&str; 7] = [
    "unshare",
    "setpriv",
    "mount",
    "ip",
    "systemd-nspawn",
    "nsenter",
    "ssh",
];

/// The name of the lab that this process is in.
#[must_use]
pub fn id() -> Option<u32> {
    u32::from_str_radix(&fs::read_to_string(ID).ok()?, 16).ok()
}

/// Why there can be no lab on this machine.
#[must_use]
pub fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("the lab needs root".to_owned());
    }
    let absent: Vec<_> = NEEDED.into_iter().filter(|name| !exists(name)).collect();
    if !absent.is_empty() {
        let absent = absent.join(", ");
        return Some(format!(
            "the lab needs {absent} (tests/setup.sh installs it)"
        ));
    }
    let probe = ["--pid", "--fork", "--mount", "--net", "true"];
    run_program("unshare", probe)
        .err()
        .map(|error| format!("the lab needs namespaces: {error}"))
}

/// Runs `command` in a new lab and returns how it ended. Inside a lab, just runs it.
pub fn run(command: &[OsString]) -> Result<ExitStatus> {
    if id().is_some() {
        return here(command);
    }
    anew(command)
}

fn here(command: &[OsString]) -> Result<ExitStatus> {
    let (name, args) = command
        .split_first()
        .ok_or_else(|| Error::new("no command given"))?;
    program(name)
        .args(args)
        .status()
        .during(|| format!("run '{}'", name.display()))
}

/// Runs `command` in a new lab, also when this is one, which cannot be seen from there.
pub fn anew(command: &[OsString]) -> Result<ExitStatus> {
    if let Some(reason) = missing() {
        return Err(Error::new(reason));
    }
    die_with_parent()?;
    let layers = tree::build()?;
    let _in_use = tree::hold()?;
    cgroup::sweep();
    in_new_lab(command, &layers.to_string())
}

/// Runs `command` in a new lab whose hosts have these layers.
pub(crate) fn in_new_lab(command: &[OsString], layers: &str) -> Result<ExitStatus> {
    let myself = myself()?;
    let mut signals =
        Signals::new([SIGHUP, SIGINT, SIGTERM]).during(|| "listen for signals".to_owned())?;
    let child = program("setpriv")
        .args([
            "--pdeathsig",
            "KILL",
            "unshare",
            "--pid",
            "--fork",
            "--mount",
            "--net",
            "--kill-child=KILL",
        ])
        .arg(myself)
        .arg("inside")
        .args(command)
        .env("OPS_LAB_ID", draw()?)
        .env("OPS_LAB_LAYERS", layers)
        .spawn()
        .during(|| "run 'setpriv'".to_owned())?;
    let handle = signals.handle();
    let caught = Arc::new(AtomicI32::new(0));
    let seen = Arc::clone(&caught);
    let target = pid_of(&child)?;
    thread::spawn(move || {
        for signal in signals.forever() {
            seen.store(signal, Ordering::SeqCst);
            rustix::process::kill_process(target, Signal::KILL).ok();
        }
    });
    let status = wait_for_all(target)?;
    handle.close();
    cgroup::sweep();
    match caught.load(Ordering::SeqCst) {
        0 => Ok(status),
        signal => Ok(ExitStatus::from_raw(signal)),
    }
}

/// This program, also when a build has put another in its place meanwhile.
fn myself() -> Result<PathBuf> {
    let path = env::current_exe().during(|| "find the program itself".to_owned())?;
    if path.exists() {
        return Ok(path);
    }
    Ok(format!("/proc/{}/exe", std::process::id()).into())
}

fn draw() -> Result<String> {
    let uuid = read(Path::new("/proc/sys/kernel/random/uuid"))?;
    Ok(uuid.chars().take(8).collect())
}

fn pid_of(child: &Child) -> Result<Pid> {
    Pid::from_raw(child.id().cast_signed())
        .ok_or_else(|| Error::new("a child without a process number"))
}

/// Makes this process end when the one that started it does.
fn die_with_parent() -> Result<()> {
    let parent = rustix::process::getppid();
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .during(|| "ask for the parent's end".into())?;
    if rustix::process::getppid() == parent {
        return Ok(());
    }
    Err(Error::new("whoever started this has gone already"))
}

/// Waits for `child` and for what it leaves behind: the first process of the namespace is handed to this one when
/// `unshare` is killed, and its end is the end of all that was inside.
fn wait_for_all(child: Pid) -> Result<ExitStatus> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .during(|| "adopt orphans".to_owned())?;
    let mut ended = None;
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == child => {
                ended = Some(ExitStatus::from_raw(status.as_raw()));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::CHILD) => break,
            Err(cause) => return Err(cause).during(|| "wait for the lab".to_owned()),
        }
    }
    ended.ok_or_else(|| Error::new("the lab ended without a status"))
}

/// The first process inside: sets the namespaces up, runs `command`, collects orphans, ends with it.
pub fn inside(command: &[OsString]) -> Result<ExitStatus> {
    let id = variable("OPS_LAB_ID").ok_or_else(|| Error::new("'inside' is for 'run' to call"))?;
    make_mounts()?;
    address::make_bridges()?;
    ssh::make_keys()?;
    write(
        Path::new(LAYERS),
        variable("OPS_LAB_LAYERS").unwrap_or_default(),
    )?;
    // Last, since its being there says that the lab is ready.
    write(Path::new(ID), id)?;
    let (name, args) = command
        .split_first()
        .ok_or_else(|| Error::new("no command given"))?;
    let child = program(name)
        .args(args)
        .env("TMPDIR", format!("{RUN}/tmp"))
        .env_remove("OPS_LAB_ID")
        .env_remove("OPS_LAB_LAYERS")
        .spawn()
        .during(|| format!("run '{}'", name.display()))?;
    let target = pid_of(&child)?;
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == target => {
                return Ok(ExitStatus::from_raw(status.as_raw()));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(cause) => return Err(cause).during(|| "wait for the command".to_owned()),
        }
    }
}

/// What must be the lab's own: processes, everything under /run (so no service of the machine can be reached), the
/// Nix store, and the files that say who is who on the network. /sys is left alone: with a new one systemd-nspawn
/// does not find its control groups.
fn make_mounts() -> Result<()> {
    run_program("mount", ["-t", "proc", "proc", "/proc"])?;
    tmpfs(Path::new("/run"), "mode=755,size=80%")?;
    for folder in [
        "netns",
        "lock",
        "ops-lab/addresses",
        "ops-lab/names",
        "ops-lab/hosts",
        "ops-lab/tmp",
        "ops-lab/home",
    ] {
        let path = Path::new("/run").join(folder);
        fs::create_dir_all(&path).during(|| format!("make '{}'", path.display()))?;
    }
    tmpfs(&ssh::folder()?, "mode=700")?;
    tmpfs(Path::new("/nix"), "mode=755")?;
    tmpfs(Path::new("/etc/nix"), "mode=755")?;
    fs::copy(
        tree::source("tree/files/etc/nix/nix.conf"),
        "/etc/nix/nix.conf",
    )
    .during(|| "write nix.conf".to_owned())?;
    replace("/etc/hosts", ssh::HOSTS_HEAD)?;
    // Nobody listens there: a name that is not in /etc/hosts fails at once.
    replace(
        "/etc/resolv.conf",
        "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
    )
}

fn tmpfs(path: &Path, options: &str) -> Result<()> {
    fs::create_dir_all(path).during(|| format!("make '{}'", path.display()))?;
    let path = path.display().to_string();
    run_program("mount", ["-t", "tmpfs", "-o", options, "tmpfs", &path])
}

/// Puts a file of the lab's own over one of the machine's.
fn replace(path: &str, content: &str) -> Result<()> {
    let own = PathBuf::from(format!("{RUN}{path}"));
    write(&own, content)?;
    // Where there is none, or a link into a /run that is covered now, a file to mount upon must be made.
    let path = Path::new(path);
    if !path.exists() {
        let end = fs::read_link(path).unwrap_or_else(|_| path.to_owned());
        write(&path.parent().unwrap_or(path).join(end), "")?;
    }
    let mount = [Path::new("--bind"), &own, path];
    run_program("mount", mount)
}
