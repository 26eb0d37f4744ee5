//! A command while it runs.

use std::{
    io::{self, Read, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Error, Finished,
    ending::{self, Subject, Token},
    lane::{Broken, Lane},
    transport::Transport,
};

/// A command that runs on a host, with its standard streams.
///
/// The parts may be moved to different threads: `let Process { stdin, stdout, running } = host.spawn(&command)?;`
#[derive(Debug)]
pub struct Process {
    /// Its standard input. Dropping it says that no more comes.
    pub stdin: Input,
    /// Its standard output.
    pub stdout: Output,
    /// The command itself. Dropping it gives the command up.
    pub running: Running,
}

impl Process {
    pub(super) fn new(running: Running) -> Process {
        Process {
            stdin: Input {
                lane: Arc::clone(&running.lane),
                deadline: running.deadline(),
            },
            stdout: Output {
                lane: Arc::clone(&running.lane),
                deadline: running.deadline(),
            },
            running,
        }
    }

    /// Closes the standard input, throws away what is left of the output, and waits for the end.
    ///
    /// # Errors
    ///
    /// It did not finish: lost, killed, or out of time.
    pub fn wait(self) -> Result<Finished, Error> {
        drop(self.stdin);
        self.running.wait()
    }
}

/// The standard input of a command.
pub struct Input {
    lane: Arc<Lane>,
    deadline: Option<Instant>,
}

impl Write for Input {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lane.write(bytes, self.deadline)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.lane.close_input();
    }
}

/// The standard output of a command. Its end is not the command's: [`Running::wait`] tells whether it has finished.
pub struct Output {
    lane: Arc<Lane>,
    deadline: Option<Instant>,
}

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.lane.read(buffer, self.deadline)
    }
}

/// A command that runs on a host. Dropping it gives the command up: it is killed, where the transport can do that.
pub struct Running {
    lane: Arc<Lane>,
    subject: Subject,
    /// Of the wrapper around it; none for a plain child of ours.
    token: Option<Token>,
    /// When it has to be over, and how long that was from the start.
    limit: Option<(Instant, Duration)>,
    /// The connection stays until the command is done with.
    _transport: Arc<Transport>,
}

impl Running {
    pub(super) fn new(
        lane: Arc<Lane>,
        subject: Subject,
        token: Option<Token>,
        limit: Option<(Instant, Duration)>,
        transport: Arc<Transport>,
    ) -> Running {
        Running {
            lane,
            subject,
            token,
            limit,
            _transport: transport,
        }
    }

    /// Waits for the end, throwing away output that nobody has read.
    ///
    /// # Errors
    ///
    /// It did not finish: lost, killed, or out of time.
    pub fn wait(self) -> Result<Finished, Error> {
        self.end(Vec::new())
    }

    fn deadline(&self) -> Option<Instant> {
        self.limit.map(|(deadline, _)| deadline)
    }

    /// Sends what has to come before all other input.
    pub(super) fn send_first(&self, line: Vec<u8>) {
        self.lane.push_input(line);
    }

    /// Sends all of the input, and no more after it.
    pub(super) fn send(&self, input: Vec<u8>) {
        self.lane.push_input(input);
        self.lane.close_input();
    }

    /// Collects the output.
    pub(super) fn collect(self) -> Result<Finished, Error> {
        let mut output = Vec::new();
        self.copy_to(&mut output)?;
        self.end(output)
    }

    /// Moves the output to `sink` as it comes.
    pub(super) fn stream(self, sink: &mut dyn Write) -> Result<Finished, Error> {
        self.copy_to(sink)?;
        sink.flush().map_err(|source| self.sink_failed(source))?;
        self.end(Vec::new())
    }

    /// Moves `source` to the input, then collects the output.
    pub(super) fn upload(self, source: &mut dyn Read) -> Result<Finished, Error> {
        let mut buffer = vec![0; 256 << 10];
        loop {
            let count = match source.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => {
                    return Err(Error::Source {
                        subject: self.subject.to_string(),
                        source,
                    });
                }
            };
            let mut rest = &buffer[..count];
            while !rest.is_empty() {
                match self.lane.write(rest, self.deadline()) {
                    Ok(written) => rest = &rest[written..],
                    Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                        return Err(self.out_of_time());
                    }
                    // It wants no more; its end says why.
                    Err(_) => return self.collect(),
                }
            }
            if count == 0 {
                self.lane.close_input();
                return self.collect();
            }
        }
    }

    fn copy_to(&self, sink: &mut dyn Write) -> Result<(), Error> {
        loop {
            match self.lane.read_piece(self.deadline()) {
                Ok(Some(piece)) => sink
                    .write_all(&piece)
                    .map_err(|source| self.sink_failed(source))?,
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return Err(self.out_of_time());
                }
                // Where it was cut, the end tells the reason.
                Ok(None) | Err(_) => return Ok(()),
            }
        }
    }

    fn end(self, output: Vec<u8>) -> Result<Finished, Error> {
        let Some((end, errors)) = self.lane.wait_end(self.deadline()) else {
            return Err(self.out_of_time());
        };
        match (end, &self.token) {
            (Ok(closing), Some(token)) => {
                ending::judge(&self.subject, token, &closing, output, errors)
            }
            (Ok(closing), None) => ending::judge_child(&self.subject, &closing, output, errors),
            (Err(Broken::Refused(reason) | Broken::Lost(reason)), _) => Err(Error::Lost {
                subject: self.subject.to_string(),
                reason,
            }),
        }
    }

    fn out_of_time(&self) -> Error {
        let limit = self.limit.map(|(_, limit)| limit).unwrap_or_default();
        Error::Deadline {
            subject: self.subject.to_string(),
            limit,
        }
    }

    fn sink_failed(&self, source: io::Error) -> Error {
        Error::Sink {
            subject: self.subject.to_string(),
            source,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.lane.abandon();
    }
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Input")
    }
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Output")
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("subject", &self.subject.to_string())
            .finish_non_exhaustive()
    }
}
