//! Health commands: run here, with the host's name in the environment; what they find are check records.

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use ops_common::check::Check;
use ops_common::program::Program;

/// How often to look whether a command has ended.
const TICK: Duration = Duration::from_millis(20);

/// The surroundings of health commands.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The host that `OPS_HOST` names; `None` leaves the variable as it is.
    pub host: Option<&'a str>,
    /// The file that `OPS_CONFIG` names.
    pub config: Option<&'a Path>,
    /// How long a command may take.
    pub limit: Duration,
}

/// Runs all commands at the same time and returns their findings in the order of the commands.
#[must_use]
pub fn run(commands: &[String], surroundings: Surroundings<'_>) -> Vec<Check> {
    let mut checks: Vec<Check> = std::thread::scope(|scope| {
        let running: Vec<_> = commands
            .iter()
            .map(|command| scope.spawn(move || one(command, surroundings)))
            .collect();
        let lost = |command: &String| {
            vec![Check::unknown(
                "deploy.health",
                command,
                "the check itself broke",
            )]
        };
        running
            .into_iter()
            .zip(commands)
            .flat_map(|(thread, command)| thread.join().unwrap_or_else(|_| lost(command)))
            .collect()
    });
    for check in &mut checks {
        if let Some(host) = surroundings.host {
            host.clone_into(&mut check.host);
        }
    }
    checks
}

/// Runs one command: the records on its stdout count, else its status does.
fn one(command: &str, surroundings: Surroundings<'_>) -> Vec<Check> {
    let (status, stdout) = match status_and_output(command, surroundings) {
        Ok(ended) => ended,
        Err(reason) => return vec![Check::unknown("deploy.health", command, reason)],
    };
    let lines = stdout.lines().filter(|line| !line.trim().is_empty());
    match lines
        .map(serde_json::from_str::<Check>)
        .collect::<Result<Vec<_>, _>>()
    {
        // Records that say all is well do not outweigh a status that says it is not.
        Ok(records) if !records.is_empty() && (status != Some(1) || records.iter().any(is_bad)) => {
            records
        }
        _ => vec![by_status(command, status)],
    }
}

fn is_bad(check: &Check) -> bool {
    check.status > ops_common::check::State::Warn
}

fn by_status(command: &str, status: Option<i32>) -> Check {
    match status {
        Some(0) => Check::ok("deploy.health", command, "status 0"),
        Some(1) => Check::fail("deploy.health", command, "status 1"),
        Some(127) => Check::unknown(
            "deploy.health",
            command,
            "status 127: the program is not there",
        ),
        Some(status) => Check::unknown("deploy.health", command, format!("status {status}")),
        None => Check::unknown("deploy.health", command, "was killed"),
    }
}

fn status_and_output(
    command: &str,
    surroundings: Surroundings<'_>,
) -> Result<(Option<i32>, String), String> {
    let mut shell = Program::find("sh")
        .map_err(|error| error.to_string())?
        .args(["-c", command]);
    if let Some(host) = surroundings.host {
        shell = shell.env("OPS_HOST", host);
    }
    if let Some(config) = surroundings.config {
        shell = shell.env("OPS_CONFIG", config);
    }
    // A group of its own, so that a hanging pipeline can be ended as a whole.
    shell
        .command()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0);
    let mut child = shell.spawn().map_err(|error| error.to_string())?;
    let group = rustix::process::Pid::from_child(&child);
    let _ended_with_us = ops_common::interrupt::guard(move || end(group));
    let stdout = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        // What was read before a failure still counts: the status says the rest.
        if let Some(mut stdout) = stdout {
            drop(stdout.read_to_end(&mut text));
        }
        String::from_utf8_lossy(&text).into_owned()
    });
    let status = wait(&mut child, surroundings.limit);
    if status.is_none() {
        end(group);
        drop(child.wait());
    }
    // The group is gone, and with it every writer; a process that left the group may hold the pipe, but not this thread.
    match status {
        None => Err(format!(
            "did not end within {}s",
            surroundings.limit.as_secs()
        )),
        Some(status) if status.signal().is_some() => Ok((None, String::new())),
        Some(status) => Ok((status.code(), reader.join().unwrap_or_default())),
    }
}

fn wait(child: &mut Child, limit: Duration) -> Option<std::process::ExitStatus> {
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if started.elapsed() < limit => std::thread::sleep(TICK),
            _ => return None,
        }
    }
}

fn end(group: rustix::process::Pid) {
    // Fails only if the group has ended by itself.
    let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
}

#[cfg(test)]
mod tests {
    use super::*;
    use ops_common::check::State;

    fn found(command: &str) -> Vec<(State, String, String)> {
        let surroundings = Surroundings {
            host: Some("box"),
            config: None,
            limit: Duration::from_secs(5),
        };
        let checks = run(&[command.to_owned()], surroundings);
        checks
            .into_iter()
            .map(|check| (check.status, check.check, check.host))
            .collect()
    }

    fn one(state: State, name: &str) -> Vec<(State, String, String)> {
        vec![(state, name.to_owned(), "box".to_owned())]
    }

    #[test]
    fn the_status_counts_where_there_are_no_records() {
        assert_eq!(found("true"), one(State::Ok, "deploy.health"));
        assert_eq!(
            found("echo hello; exit 1"),
            one(State::Fail, "deploy.health")
        );
        assert_eq!(found("exit 69"), one(State::Unknown, "deploy.health"));
        assert_eq!(
            found("no-such-program"),
            one(State::Unknown, "deploy.health")
        );
        assert_eq!(found("kill -9 $$"), one(State::Unknown, "deploy.health"));
    }

    #[test]
    fn records_count_where_there_are_some() {
        let record = r#"echo '{"check":"m.v","status":"warn","at":"2026-01-31T12:00:00Z"}'"#;
        assert_eq!(found(record), one(State::Warn, "m.v"));
        assert_eq!(
            found(&format!("{record}; exit 1")),
            one(State::Fail, "deploy.health")
        );
        assert_eq!(
            found(r#"echo '{"check":1}'"#),
            one(State::Ok, "deploy.health")
        );
    }

    #[test]
    fn the_host_is_in_the_environment() {
        assert_eq!(
            found("[ \"$OPS_HOST\" = box ]"),
            one(State::Ok, "deploy.health")
        );
    }

    #[test]
    fn a_command_that_hangs_is_ended_with_all_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let command = format!("sleep 1000 & echo $! >{}; wait", pid.display());
        let surroundings = Surroundings {
            host: None,
            config: None,
            limit: Duration::from_millis(300),
        };
        let checks = run(&[command], surroundings);
        assert_eq!(checks[0].status, State::Unknown);
        let child = std::fs::read_to_string(pid).unwrap();
        // The kernel may take a moment to end what has been killed.
        let started = Instant::now();
        let runs = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.trim()));
            stat.is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
        };
        while runs() {
            assert!(started.elapsed() < Duration::from_secs(10), "still running");
            std::thread::yield_now();
        }
    }
}
