//! Nothing outlives a lab, whatever ends it: each test makes a lab inside this one, boots a host in it, and strikes.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use ops_tests::{Lab, Running, Tool, bin_dir, command, skip};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

fn ops_lab() -> Tool {
    command(bin_dir().join("ops-lab"))
}

/// A lab with a booted host, as `make test` would run a test binary in it.
fn lab() -> Tool {
    let inside = bin_dir().join("ops-lab");
    ops_lab()
        .args(["run", "--new", "--"])
        .arg(inside)
        .args(["hosts", "mortal:plain"])
}

fn booted(tool: Tool) -> Running {
    let running = tool.spawn();
    running.wait_for("ready");
    running
}

/// The processes below this one, with what tells of their end.
struct Below(Vec<(u32, String, OwnedFd)>);

impl Below {
    fn of(pid: u32) -> Self {
        let mut found = Vec::new();
        let mut parents = vec![pid];
        while let Some(parent) = parents.pop() {
            for child in children(parent).split_whitespace() {
                let pid: u32 = child.parse().expect("a process number");
                let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                let raw = Pid::from_raw(pid.cast_signed()).expect("a process number");
                if let Ok(end) = pidfd_open(raw, PidfdFlags::empty()) {
                    found.push((pid, name.trim().to_owned(), end));
                    parents.push(pid);
                }
            }
        }
        Self(found)
    }

    fn find(&self, name: &str) -> Pid {
        let (pid, ..) = self
            .0
            .iter()
            .rfind(|(_, found, _)| found == name)
            .expect("it runs");
        Pid::from_raw(pid.cast_signed()).expect("a process number")
    }

    /// Requires all of them to end, and to have been a whole host.
    fn end(self) {
        for name in ["systemd-nspawn", "systemd", "systemd-journal", "sshd"] {
            self.find(name);
        }
        let limit = Timespec {
            tv_sec: 20,
            tv_nsec: 0,
        };
        for (pid, name, end) in self.0 {
            let ready = poll(&mut [PollFd::new(&end, PollFlags::IN)], Some(&limit));
            assert_eq!(ready, Ok(1), "'{name}' ({pid}) outlives its lab");
        }
    }
}

/// The children that any thread of a process has started.
fn children(parent: u32) -> String {
    let threads = fs::read_dir(format!("/proc/{parent}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let lists = threads.map(|thread| fs::read_to_string(thread.path().join("children")));
    lists.filter_map(Result::ok).collect::<Vec<_>>().join(" ")
}

/// The control groups of labs in which nothing runs.
fn empty_groups(folder: &Path) -> Vec<String> {
    let list = command("find")
        .arg(folder)
        .args(["-name", "ops-lab-*-mortal"])
        .run()
        .expect(0)
        .out();
    let empty = |group: &&str| {
        command("find")
            .args([group, "-name", "cgroup.procs", "-exec", "cat", "{}", ";"])
            .run()
            .out()
            .is_empty()
    };
    list.lines().filter(empty).map(str::to_owned).collect()
}

#[test]
fn a_lab_ends_with_its_command() {
    if Lab::get().is_none() {
        return skip("lab");
    }
    let running = booted(lab());
    let below = Below::of(running.pid());
    rustix::process::kill_process(below.find("ops-lab"), Signal::KILL).expect("it runs");
    below.end();
    assert_eq!(running.finish().status, 128 + 9);
}

#[test]
fn a_lab_ends_when_it_is_killed() {
    if Lab::get().is_none() {
        return skip("lab");
    }
    let running = booted(lab());
    let below = Below::of(running.pid());
    running.signal(Signal::KILL);
    below.end();
    assert_eq!(running.finish().signal, Some(9));
    ops_lab()
        .args(["run", "--new", "--", "true"])
        .run()
        .expect(0);
    assert_eq!(
        empty_groups(Path::new("/sys/fs/cgroup")),
        [""; 0],
        "the next lab sweeps"
    );
}

#[test]
fn a_lab_ends_when_it_is_asked_to() {
    if Lab::get().is_none() {
        return skip("lab");
    }
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let running = booted(lab());
        let below = Below::of(running.pid());
        running.signal(signal);
        assert_eq!(running.finish().signal, Some(signal.as_raw()));
        below.end();
    }
}

#[test]
fn a_lab_ends_by_ctrl_c() {
    if Lab::get().is_none() {
        return skip("lab");
    }
    let mut running = booted(lab().terminal(80, 24));
    let below = Below::of(running.pid());
    running.type_in("\u{3}");
    below.end();
    assert_eq!(running.finish().signal, Some(2));
}

#[test]
fn a_lab_ends_when_make_is_killed() {
    if Lab::get().is_none() {
        return skip("lab");
    }
    // As in the Makefile, with a process that has left its group and its parent, as a compiler of a killed cargo.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tests = env!("CARGO_MANIFEST_DIR");
    let makefile = format!(
        "test:\n\t@exec {tests}/bound.sh bash -c '(setsid sleep 86399 &); . {tests}/stages.sh; stage lab {}; report'\n",
        lab()
    );
    command("tee")
        .arg(folder.path().join("Makefile"))
        .stdin(makefile)
        .run()
        .expect(0);
    let make = || command("make").arg("test").dir(folder.path());
    for signal in [Some(Signal::KILL), Some(Signal::TERM), None] {
        let mut running = booted(make().terminal(80, 24));
        let below = Below::of(running.pid());
        below.find("sleep");
        match signal {
            Some(signal) => running.signal(signal),
            None => running.type_in("\u{3}"),
        }
        below.end();
        drop(running);
    }
}

#[test]
fn a_host_ends_with_the_process_that_booted_it() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let running = booted(ops_lab().args(["hosts", "orphan:plain"]));
    let below = Below::of(running.pid());
    running.signal(Signal::KILL);
    below.end();
    drop(running);
    // Its name, its mounts and its network are there to be had again.
    lab.host("orphan", ops_tests::Kind::Plain)
        .ssh("hostname")
        .expect(0);
}
