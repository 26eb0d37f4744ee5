//! A lab for a person: the same machines, kept until they are sent away.

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::host::Lab;
use crate::options::{Kind, Options};
use crate::outer::{self, RUN};
use crate::program::{During, Error, Result, program, read, write};
use crate::tree;

const READY: &str = "ready";

fn pid_file() -> PathBuf {
    tree::cache().join("lab.pid")
}

/// The process on the outside that holds a person's lab.
fn holder() -> Option<Pid> {
    let pid = Pid::from_raw(fs::read_to_string(pid_file()).ok()?.trim().parse().ok()?)?;
    let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).ok()?;
    String::from_utf8_lossy(&line)
        .contains("ops-lab\0hold")
        .then_some(pid)
}

/// Starts a lab with these hosts (`NAME:KIND`), and returns when they are up.
pub fn up(hosts: &[OsString]) -> Result<()> {
    if holder().is_some() {
        return Err(Error::new(
            "there is a lab already: `make lab-down` ends it",
        ));
    }
    if let Some(reason) = outer::missing() {
        return Err(Error::new(reason));
    }
    tree::make()?;
    let myself = std::env::current_exe().during(|| "find the program itself".to_owned())?;
    let log = tree::cache().join("lab.log");
    write(&log, "")?;
    let errors = fs::File::options()
        .append(true)
        .open(&log)
        .during(|| format!("open '{}'", log.display()))?;
    // In a session of its own, so that the end of the caller's terminal does not reach it.
    let mut child = program("setsid")
        .arg(myself)
        .arg("hold")
        .args(hosts)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .during(|| "run 'setsid'".to_owned())?;
    write(&pid_file(), child.id().to_string())?;
    let stdout = child
        .stdout
        .take()
        .ok_or_else(|| Error::new("no pipe to the lab"))?;
    for line in BufReader::new(stdout).lines().map_while(io::Result::ok) {
        if line == READY {
            return write_enter(child.id());
        }
        writeln!(io::stdout(), "{line}").ok();
    }
    Err(Error::new(format!(
        "the lab did not come up: {}",
        read(&log)?.trim()
    )))
}

/// The outer side of such a lab: not bound to the life of whoever started it.
pub fn hold(hosts: &[OsString]) -> Result<ExitStatus> {
    let layers = tree::build()?;
    let _in_use = tree::hold()?;
    let command: Vec<_> = [outer::MYSELF, "hosts"]
        .into_iter()
        .map(OsString::from)
        .chain(hosts.iter().cloned())
        .collect();
    outer::in_new_lab(&command, &layers.to_string())
}

/// The inner side: boots the hosts, says so, and waits for the end.
pub fn hosts(hosts: &[OsString]) -> Result<()> {
    let lab = Lab::get().ok_or_else(|| Error::new("'hosts' is for 'up' to call"))?;
    let kept: Vec<_> = hosts
        .iter()
        .map(|host| {
            let (name, options) = parse(&host.to_string_lossy())?;
            Ok(lab.host(&name, options))
        })
        .collect::<Result<_>>()?;
    for host in &kept {
        writeln!(
            io::stdout(),
            "{:<20} {:<16} {}",
            host.name(),
            host.v4(),
            host.v6()
        )
        .ok();
    }
    writeln!(io::stdout(), "{READY}").ok();
    loop {
        thread::park();
    }
}

fn parse(host: &str) -> Result<(String, Options)> {
    let (name, kind) = host.split_once(':').unwrap_or((host, "plain"));
    let kind = match kind {
        "plain" => Kind::Plain,
        "postgres" => Kind::Postgres,
        "platform" => Kind::Platform,
        _ => {
            return Err(Error::new(format!(
                "'{kind}' is no kind of host: plain, postgres, platform"
            )));
        }
    };
    Ok((name.to_owned(), kind.into()))
}

/// Writes the program that enters the lab.
fn write_enter(holder: u32) -> Result<()> {
    let first = child_of(&child_of(&holder.to_string())?)?;
    let path = tree::cache().join("enter");
    let script = format!(
        "#!/bin/sh\n# Runs a command in the lab that `make lab` has started.\n\
         exec nsenter --target {first} --pid --mount --net -- /usr/bin/env -C \"$PWD\" TMPDIR={RUN}/tmp \"$@\"\n"
    );
    write(&path, script)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
        .during(|| format!("chmod '{}'", path.display()))?;
    writeln!(
        io::stdout(),
        "\ntarget/lab/enter CMD ... runs a command beside them: target/lab/enter ssh NAME"
    )
    .ok();
    Ok(())
}

fn child_of(pid: &str) -> Result<String> {
    let children = read(format!("/proc/{pid}/task/{pid}/children").as_ref())?;
    let first = children.split_whitespace().next();
    first
        .map(str::to_owned)
        .ok_or_else(|| Error::new(format!("process {pid} has no child")))
}

/// Ends the lab that `up` has started; returns when nothing of it is left.
pub fn down() -> Result<()> {
    let Some(pid) = holder() else {
        return Err(Error::new("there is no lab"));
    };
    let process = rustix::process::pidfd_open(pid, PidfdFlags::empty())
        .during(|| "watch the lab".to_owned())?;
    rustix::process::kill_process(pid, Signal::TERM).during(|| "end the lab".to_owned())?;
    poll(&mut [PollFd::new(&process, PollFlags::IN)], None)
        .during(|| "wait for the end of the lab".to_owned())?;
    fs::remove_file(tree::cache().join("enter")).ok();
    fs::remove_file(pid_file()).during(|| "forget the lab".to_owned())
}
