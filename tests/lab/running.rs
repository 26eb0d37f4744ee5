//! A program that is running: what it has said so far, and its end. Waiting is always for something that happens.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdin, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::ran::Ran;
use crate::terminal;
use crate::tool::Tool;

/// What came out of a stream so far.
#[derive(Debug, Default)]
struct Heard {
    state: Mutex<(Vec<u8>, bool)>,
    changed: Condvar,
}

impl Heard {
    /// Reads a stream to its end in a thread.
    fn listen(mut from: impl Read + Send + 'static) -> (Arc<Self>, JoinHandle<()>) {
        let heard = Arc::new(Self::default());
        let told = Arc::clone(&heard);
        let thread = thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            // A terminal whose last writer is gone fails instead of ending.
            while let Ok(length @ 1..) = from.read(&mut buffer) {
                told.state
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
                    .extend_from_slice(&buffer[..length]);
                told.changed.notify_all();
            }
            told.state.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
            told.changed.notify_all();
        });
        (heard, thread)
    }

    fn contains(content: &[u8], text: &str) -> bool {
        content
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    }

    /// Waits until `text` has come; returns whether it has.
    fn wait_for(&self, text: &str, limit: Duration) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let wait =
            |(content, ended): &mut (Vec<u8>, bool)| !*ended && !Self::contains(content, text);
        let (state, _) = self
            .changed
            .wait_timeout_while(state, limit, wait)
            .unwrap_or_else(PoisonError::into_inner);
        Self::contains(&state.0, text)
    }

    fn so_far(&self) -> Vec<u8> {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .clone()
    }
}

/// A program that is running; killed when dropped.
#[derive(Debug)]
pub struct Running {
    line: String,
    timeout: Duration,
    started: Instant,
    child: Child,
    stdin: Option<ChildStdin>,
    /// The other end of the program's terminal.
    terminal: Option<File>,
    stdout: Arc<Heard>,
    stderr: Arc<Heard>,
    threads: Vec<JoinHandle<()>>,
}

impl Running {
    #[track_caller]
    pub(crate) fn start(tool: Tool) -> Self {
        match tool.screen {
            Some(size) => Self::on_terminal(tool, size),
            None => Self::on_pipes(tool),
        }
    }

    #[track_caller]
    fn on_pipes(tool: Tool) -> Self {
        let line = tool.to_string();
        let mut command = tool.prepare();
        let stdin = if tool.stdin.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        };
        command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|cause| panic!("cannot run '{line}': {cause}"));
        // The streams were asked for three lines above.
        let (stdout, first) = Heard::listen(child.stdout.take().expect("piped"));
        let (stderr, second) = Heard::listen(child.stderr.take().expect("piped"));
        let mut threads = vec![first, second];
        if let (Some(content), Some(mut stdin)) = (tool.stdin, child.stdin.take()) {
            // A program need not read all it is given.
            threads.push(thread::spawn(move || drop(stdin.write_all(&content))));
        }
        let (timeout, started) = (tool.timeout, Instant::now());
        Self {
            line,
            timeout,
            started,
            child,
            stdin: None,
            terminal: None,
            stdout,
            stderr,
            threads,
        }
    }

    #[track_caller]
    fn on_terminal(tool: Tool, size: (u16, u16)) -> Self {
        let line = tool.to_string();
        let (ours, theirs) =
            terminal::open(size).unwrap_or_else(|cause| panic!("cannot open a terminal: {cause}"));
        let stream =
            |fd: &OwnedFd| Stdio::from(fd.try_clone().expect("a file descriptor can be copied"));
        let mut command = tool.prepare();
        command
            .stdin(stream(&theirs))
            .stdout(stream(&theirs))
            .stderr(stream(&theirs));
        let child = command
            .spawn()
            .unwrap_or_else(|cause| panic!("cannot run '{line}': {cause}"));
        // As long as this side keeps the program's end open, its reader never sees the end.
        drop((command, theirs));
        let ours = File::from(ours);
        let (stdout, thread) =
            Heard::listen(ours.try_clone().expect("a file descriptor can be copied"));
        let mut running = Self {
            line,
            timeout: tool.timeout,
            started: Instant::now(),
            child,
            stdin: None,
            terminal: Some(ours),
            stdout,
            stderr: Arc::default(),
            threads: vec![thread],
        };
        if let Some(content) = tool.stdin {
            running.type_in(&String::from_utf8_lossy(&content));
        }
        running
    }

    /// Its process number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until its standard output (or terminal) has shown `text`.
    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        assert!(
            self.stdout.wait_for(text, self.timeout),
            "'{}' never said {text:?}:\n{}",
            self.line,
            self.said()
        );
    }

    /// Waits until its standard error has shown `text`.
    #[track_caller]
    pub fn wait_for_complaint(&self, text: &str) {
        assert!(
            self.stderr.wait_for(text, self.timeout),
            "'{}' never complained {text:?}:\n{}",
            self.line,
            self.said()
        );
    }

    /// All it has said on both streams, for messages.
    fn said(&self) -> String {
        let [out, err] = [&self.stdout, &self.stderr]
            .map(|heard| String::from_utf8_lossy(&heard.so_far()).into_owned());
        format!("{out}\n[stderr]\n{err}")
    }

    /// Types into its terminal; `\u{3}` is Ctrl-C.
    #[track_caller]
    pub fn type_in(&mut self, text: &str) {
        let terminal = self
            .terminal
            .as_mut()
            .expect("it was started on a terminal");
        terminal
            .write_all(text.as_bytes())
            .unwrap_or_else(|cause| panic!("cannot type into '{}': {cause}", self.line));
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.process(), signal).ok();
    }

    fn process(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed()).expect("a process has a number")
    }

    /// Whether it is over.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended_within(Duration::ZERO)
    }

    /// Waits for its end.
    #[must_use = "a test that does not look at the end of a program proves nothing"]
    #[track_caller]
    pub fn finish(mut self) -> Ran {
        let limit = self.timeout.saturating_sub(self.started.elapsed());
        if !self.ended_within(limit) {
            self.child.kill().ok();
            panic!(
                "'{}' did not end within {:?}:\n{}",
                self.line,
                self.timeout,
                self.said()
            );
        }
        let status = self
            .child
            .wait()
            .unwrap_or_else(|cause| panic!("cannot wait for '{}': {cause}", self.line));
        let took = self.started.elapsed();
        drop(self.stdin.take());
        for thread in self.threads.drain(..) {
            thread.join().ok();
        }
        let output = Output {
            status,
            stdout: self.stdout.so_far(),
            stderr: self.stderr.so_far(),
        };
        Ran::new(self.line.clone(), output, took)
    }

    fn ended_within(&self, limit: Duration) -> bool {
        let Ok(process) = rustix::process::pidfd_open(self.process(), PidfdFlags::empty()) else {
            return true;
        };
        let deadline = Instant::now() + limit;
        loop {
            let left = Timespec::try_from(deadline.saturating_duration_since(Instant::now())).ok();
            match poll(&mut [PollFd::new(&process, PollFlags::IN)], left.as_ref()) {
                Err(rustix::io::Errno::INTR) => {}
                other => return other.is_ok_and(|count| count > 0),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}
