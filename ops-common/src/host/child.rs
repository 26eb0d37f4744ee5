//! A process of this machine on a lane: three threads move the bytes, and the end of the process is the end of the lane.

use std::{
    io::{Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use rustix::process::{Pid, Signal, kill_process_group};

use super::{
    ending::signal_name,
    lane::{Broken, Closing, Lane, Supply},
};
use crate::program::{self, Program};

/// Large enough for a pipe's whole buffer.
const PIECE: usize = 64 << 10;

/// Starts a program in a process group of its own, so that giving up ends what it has started as well.
pub(super) fn start(mut program: Program, collect: bool) -> Result<Arc<Lane>, program::Error> {
    program
        .command()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child = program.spawn()?;
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let group = Arc::new(Group {
        leader: Mutex::new(Pid::from_raw(child.id().cast_signed())),
    });
    let lane = Arc::new(Lane::new(collect, {
        let group = Arc::clone(&group);
        move |abandoned| {
            if abandoned {
                group.kill();
            }
        }
    }));
    lane.set_opened();
    if let (Some(stdin), Some(stdout), Some(stderr)) = pipes {
        let feeder = Arc::clone(&lane);
        thread::spawn(move || feed(&feeder, stdin));
        let owner = Arc::clone(&lane);
        thread::spawn(move || carry(&owner, child, &group, stdout, stderr));
    }
    Ok(lane)
}

/// The process group, for as long as its leader has not been waited for: after that the number may be another's.
struct Group {
    leader: Mutex<Option<Pid>>,
}

impl Group {
    fn kill(&self) {
        let leader = self.leader.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(leader) = *leader {
            // Gone already is as good.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// Moves the output, then waits for the process.
fn carry(
    lane: &Arc<Lane>,
    mut child: Child,
    group: &Group,
    stdout: ChildStdout,
    stderr: ChildStderr,
) {
    let errors = thread::spawn({
        let lane = Arc::clone(lane);
        move || listen(&lane, stderr)
    });
    pump(lane, stdout);
    lane.end_output();
    drop(errors.join());
    let status = child.wait();
    *group.leader.lock().unwrap_or_else(PoisonError::into_inner) = None;
    lane.finish(
        status
            .map(closing)
            .map_err(|error| Broken::Lost(error.to_string())),
    );
}

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
