//! One machine: a systemd-nspawn container, watched by a thread of its own that starts it again when it reboots.
//!
//! The thread lives as long as the machine, since the container is bound to die with the thread that started it:
//! so it also ends when a test process is killed. Nothing here waits by sleeping: the container says by itself when
//! its boot is complete, and its end shows on a file descriptor.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::program::{During, Error, Result, program};

/// How long a boot may take.
const BOOT: Duration = Duration::from_mins(2);
/// What systemd-nspawn exits with when the system inside asks for a reboot.
const REBOOT: i32 = 133;

/// Enters the control groups before the `--`, then runs what is after it. Again, if a sweep has taken an empty one away
/// between its making and its first process.
const ENTER_GROUPS: &str = r#"
enter() { mkdir -p "$1" && echo $$ > "$1/cgroup.procs"; }
while [ "$1" != -- ]; do
    enter "$1" 2> /dev/null || enter "$1"
    shift
done
shift
exec unshare --pid --fork --mount-proc --kill-child=KILL "$@""#;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Power {
    On,
    Off,
    /// Off for good.
    Gone,
}

#[derive(Debug)]
struct State {
    wanted: Power,
    up: bool,
    running: bool,
    boots: u32,
    /// What systemd-nspawn runs in.
    container: Option<Pid>,
    /// The first process of the system inside.
    leader: Option<Pid>,
    error: Option<String>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    folder: PathBuf,
    cgroups: Vec<PathBuf>,
    state: Mutex<State>,
    changed: Condvar,
}

/// A machine that can be switched on and off.
#[derive(Debug)]
pub(crate) struct Machine {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Machine {
    /// A machine whose disk is `folder/root`, on the network namespace of that name; off.
    pub(crate) fn new(name: &str, folder: &Path, cgroups: Vec<PathBuf>) -> Self {
        let state = State {
            wanted: Power::Off,
            up: false,
            running: false,
            boots: 0,
            container: None,
            leader: None,
            error: None,
        };
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            folder: folder.to_owned(),
            cgroups,
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let watched = Arc::clone(&shared);
        Self {
            shared,
            thread: Some(thread::spawn(move || watched.supervise())),
        }
    }

    /// Switches it on and waits until its boot is complete.
    pub(crate) fn start(&self) -> Result<()> {
        let before = self.shared.want(Power::On);
        self.wait_boot(before)
    }

    /// How often it was booted.
    pub(crate) fn boots(&self) -> u32 {
        self.shared.lock().boots
    }

    /// Waits until it is up after more than `before` boots.
    pub(crate) fn wait_boot(&self, before: u32) -> Result<()> {
        let state = self
            .shared
            .wait(|state| (state.up && state.boots > before) || state.error.is_some())?;
        match &state.error {
            None => Ok(()),
            Some(error) => Err(Error::new(format!("host '{}': {error}", self.shared.name))),
        }
    }

    /// Waits until it is off.
    pub(crate) fn wait_off(&self) -> Result<()> {
        self.shared
            .wait(|state| !state.running && state.wanted != Power::On)
            .map(drop)
    }

    /// The first process of the system inside, as seen from here.
    pub(crate) fn leader(&self) -> Result<i32> {
        let leader = self.shared.lock().leader;
        leader
            .map(|pid| pid.as_raw_nonzero().get())
            .ok_or_else(|| Error::new(format!("host '{}' is off", self.shared.name)))
    }

    /// Cuts the power.
    pub(crate) fn kill(&self) -> Result<()> {
        self.shared.want(Power::Off);
        self.shared.strike();
        self.shared.wait(|state| !state.running).map(drop)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.shared.want(Power::Gone);
        self.shared.strike();
        self.thread.take().map(JoinHandle::join);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is wanted; returns the boots so far.
    fn want(&self, wanted: Power) -> u32 {
        let mut state = self.lock();
        state.wanted = wanted;
        state.error = None;
        self.changed.notify_all();
        state.boots
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn wait(&self, mut until: impl FnMut(&State) -> bool) -> Result<MutexGuard<'_, State>> {
        let (state, timeout) = self
            .changed
            .wait_timeout_while(self.lock(), BOOT + BOOT, |state| !until(state))
            .unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            return Err(Error::new(format!(
                "host '{}' did not get there in time: {state:?}",
                self.name
            )));
        }
        Ok(state)
    }

    /// Kills the system inside, or the container where there is no system yet.
    fn strike(&self) {
        let state = self.lock();
        if let Some(pid) = state.leader.or(state.container) {
            rustix::process::kill_process(pid, Signal::KILL).ok();
        }
    }

    /// Starts the machine whenever it is wanted, until it is gone.
    fn supervise(&self) {
        loop {
            let state = self.lock();
            let mut state = self
                .changed
                .wait_while(state, |state| state.wanted == Power::Off)
                .unwrap_or_else(PoisonError::into_inner);
            if state.wanted == Power::Gone {
                return;
            }
            state.running = true;
            state.boots += 1;
            drop(state);
            let end = self.run();
            self.change(|state| {
                (state.running, state.up) = (false, false);
                (state.leader, state.container) = (None, None);
                let rebooted = matches!(end, Ok(REBOOT));
                if !rebooted && state.wanted == Power::On {
                    state.wanted = Power::Off;
                }
                state.error = end.err().map(|error| error.to_string());
            });
        }
    }

    /// One life of the container; returns its exit status.
    fn run(&self) -> Result<i32> {
        let address = self.folder.join("notify");
        fs::remove_file(&address).ok();
        let notify =
            UnixDatagram::bind(&address).during(|| format!("bind '{}'", address.display()))?;
        let mut child = self.spawn(&address)?;
        let pid = Pid::from_raw(child.id().cast_signed())
            .ok_or_else(|| Error::new("no process number"))?;
        self.change(|state| state.container = Some(pid));
        // Gone or cut before there was anything to strike at?
        if self.lock().wanted != Power::On {
            self.strike();
        }
        let watched = self.watch(&notify, pid);
        if watched.is_err() {
            self.strike();
        }
        let status = child
            .wait()
            .during(|| "wait for systemd-nspawn".to_owned())?;
        let up = self.lock().up;
        let wanted = self.lock().wanted;
        watched?;
        if up || wanted != Power::On {
            return Ok(status.code().unwrap_or(-1));
        }
        Err(Error::new(format!(
            "the boot failed: {status}: {}",
            self.console()
        )))
    }

    fn spawn(&self, notify: &Path) -> Result<Child> {
        let console = self.folder.join("console");
        let console = fs::File::options()
            .create(true)
            .append(true)
            .open(&console)
            .during(|| format!("open '{}'", console.display()))?;
        let errors = console
            .try_clone()
            .during(|| "share the console".to_owned())?;
        // The process namespace ends the system inside together with systemd-nspawn, which alone would leave it running.
        program("setpriv")
            .args(["--pdeathsig", "KILL", "sh", "-ec"])
            .arg(ENTER_GROUPS)
            .arg("sh")
            .args(&self.cgroups)
            .args([
                "--",
                "systemd-nspawn",
                "--quiet",
                "--register=no",
                "--keep-unit",
                "--notify-ready=yes",
            ])
            .args([
                "--resolv-conf=off",
                "--link-journal=no",
                "--timezone=off",
                "--console=pipe",
            ])
            .arg(format!("--network-namespace-path=/run/netns/{}", self.name))
            .arg(format!("--machine={}", self.name))
            .arg(format!(
                "--directory={}",
                self.folder.join("root").display()
            ))
            .arg("/usr/local/sbin/lab-init")
            .env("NOTIFY_SOCKET", notify)
            .stdin(Stdio::null())
            .stdout(console)
            .stderr(errors)
            .spawn()
            .during(|| "run 'systemd-nspawn'".to_owned())
    }

    /// Follows what the container says of itself until it ends.
    fn watch(&self, notify: &UnixDatagram, pid: Pid) -> Result<()> {
        let process = rustix::process::pidfd_open(pid, PidfdFlags::empty())
            .during(|| "watch the container".to_owned())?;
        let deadline = Instant::now() + BOOT;
        loop {
            let limit =
                (!self.lock().up).then(|| deadline.saturating_duration_since(Instant::now()));
            let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
            let mut ready = [
                PollFd::new(notify, PollFlags::IN),
                PollFd::from_borrowed_fd(process.as_fd(), PollFlags::IN),
            ];
            let count = match poll(&mut ready, limit.as_ref()) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other.during(|| "wait for the container".to_owned())?,
            };
            if count == 0 {
                return Err(Error::new(format!(
                    "no boot within {BOOT:?}: {}",
                    self.console()
                )));
            }
            if !ready[0].revents().is_empty() {
                let mut message = [0; 4096];
                let length = notify
                    .recv(&mut message)
                    .during(|| "hear the container".to_owned())?;
                self.hear(&String::from_utf8_lossy(&message[..length]));
            } else if !ready[1].revents().is_empty() {
                return Ok(());
            }
        }
    }

    fn hear(&self, message: &str) {
        for line in message.lines() {
            // It names the system's first process by a number that counts in its own namespace only.
            if line.starts_with("X_NSPAWN_LEADER_PID=") {
                let container = self.lock().container;
                let leader = container.and_then(child_of).and_then(child_of);
                self.change(|state| state.leader = leader);
            }
            if line == "READY=1" {
                self.change(|state| state.up = true);
            }
        }
    }

    /// The end of what the console showed.
    fn console(&self) -> String {
        let text = fs::read(self.folder.join("console")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().rev().take(15).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

fn child_of(pid: Pid) -> Option<Pid> {
    let pid = pid.as_raw_nonzero();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
}
