//! A process of this machine on a lane: three threads move the bytes, and the end of the process is the end of the lane.

use std::{
    io::{Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid,
};

use super::{
    ending::signal_name,
    lane::{Broken, Closing, Lane, Supply},
};
use crate::{
    interrupt,
    program::{self, Program},
};

/// What giving up kills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kill {
    /// The process and all that it has started: they get a process group of their own.
    Group,
    /// The process. It stays in our group, so that it may ask something on the terminal.
    Process,
}

/// Starts a program on a lane. It does not outlive us when a signal ends us.
pub(super) fn start(
    mut program: Program,
    kill: Kill,
    collect: bool,
) -> Result<Arc<Lane>, program::Error> {
    let command = program.command();
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if kill == Kill::Group {
        command.process_group(0);
    }
    let mut child = program.spawn()?;
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let pid = Pid::from_raw(child.id().cast_signed());
    let target = Arc::new(Target {
        pid: Mutex::new(pid),
        kill,
    });
    let lane = Arc::new(Lane::new(collect, {
        let target = Arc::clone(&target);
        move |is_given_up| {
            if is_given_up {
                target.kill();
            }
        }
    }));
    lane.set_opened();
    if let (Some(stdin), Some(stdout), Some(stderr)) = pipes {
        let feeder = Arc::clone(&lane);
        thread::spawn(move || feed(&feeder, stdin));
        let owner = Arc::clone(&lane);
        thread::spawn(move || carry(&owner, child, &target, stdout, stderr));
    }
    Ok(lane)
}

/// The process, for as long as it has not been waited for: after that the number may be another's.
struct Target {
    pid: Mutex<Option<Pid>>,
    kill: Kill,
}

impl Target {
    fn lock(&self) -> MutexGuard<'_, Option<Pid>> {
        self.pid.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kill(&self) {
        // Gone already is as good.
        let _ = match (*self.lock(), self.kill) {
            (None, _) => Ok(()),
            (Some(pid), Kill::Group) => kill_process_group(pid, Signal::KILL),
            (Some(pid), Kill::Process) => kill_process(pid, Signal::KILL),
        };
    }

    /// Waits for the end, and forgets the number before the system can give it away again.
    fn wait(&self, child: &mut Child) -> std::io::Result<ExitStatus> {
        let pid = *self.lock();
        if let Some(pid) = pid {
            // An error shows again below.
            let _ = waitid(
                WaitId::Pid(pid),
                WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
            );
        }
        let mut pid = self.lock();
        *pid = None;
        child.wait()
    }
}

/// Moves the output, then waits for the process.
fn carry(
    lane: &Arc<Lane>,
    mut child: Child,
    target: &Arc<Target>,
    stdout: ChildStdout,
    stderr: ChildStderr,
) {
    let doomed = Arc::clone(target);
    let guard = interrupt::guard(move || doomed.kill());
    let errors = thread::spawn({
        let lane = Arc::clone(lane);
        move || listen(&lane, stderr)
    });
    pump(lane, stdout);
    lane.end_output();
    drop(errors.join());
    let status = target.wait(&mut child);
    drop(guard);
    lane.finish(
        status
            .map(closing)
            .map_err(|error| Broken::Lost(error.to_string())),
    );
}

/// Large enough for a pipe's whole buffer.
const PIECE: usize = 64 << 10;

fn pump(lane: &Lane, mut stdout: ChildStdout) {
    let mut buffer = vec![0; PIECE];
    while lane.wait_output_room() {
        match stdout.read(&mut buffer) {
            Ok(count @ 1..) => lane.push_output(buffer[..count].to_vec()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return,
        }
    }
}

fn listen(lane: &Lane, mut stderr: ChildStderr) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stderr.read(&mut buffer) {
        lane.push_errors(&buffer[..count]);
    }
}

fn feed(lane: &Lane, mut stdin: ChildStdin) {
    while let Supply::Piece(piece) = lane.wait_input() {
        // A process that wants no more input says with its status whether that was right.
        if stdin.write_all(&piece).is_err() {
            lane.refuse_input();
            return;
        }
    }
}

fn closing(status: ExitStatus) -> Closing {
    Closing {
        status: status.code().and_then(|code| u8::try_from(code).ok()),
        signal: status
            .signal()
            .and_then(|number| u8::try_from(number).ok())
            .map(|number| signal_name(number).to_owned()),
    }
}
