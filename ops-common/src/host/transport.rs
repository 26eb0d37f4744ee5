//! A host, and the three ways to it.

use std::{
    io::{Read, Write},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Command, Error, Finished, Process, Stream,
    address::Address,
    channel,
    command::Sudo,
    ending::{Subject, Token},
    external::External,
    lane::{Broken, Lane},
    local,
    process::Running,
    settings::Settings,
    ssh::Ssh,
    stream::Keep,
    sudo::Door,
};

/// How to reach a host, and how long things may take: the house flags.
#[derive(Debug, Clone)]
pub struct Options {
    /// For dialling, handshake and login together.
    pub connect_timeout: Duration,
    /// For everything after that, counted from the connection; see [`Host::with_timeout`].
    pub timeout: Option<Duration>,
    /// Runs everything over this program instead of our own connection, as `--ssh-command`.
    pub ssh_command: Option<String>,
    /// Runs every command as root through sudo.
    pub sudo: bool,
    /// Where sudo's password comes from if it wants one; else it is asked for on the terminal.
    pub sudo_password_fd: Option<i32>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            connect_timeout: Duration::from_secs(10),
            timeout: None,
            ssh_command: None,
            sudo: false,
            sudo_password_fd: None,
        }
    }
}

/// One machine. Clones share its one connection, and may be used by several threads at once.
#[derive(Clone)]
pub struct Host {
    transport: Arc<Transport>,
    /// When everything has to be over, and how long that was from the start.
    limit: Option<(Instant, Duration)>,
}

pub(super) struct Transport {
    name: String,
    options: Options,
    door: Arc<Door>,
    way: Way,
}

enum Way {
    Local,
    Ssh(Box<Ssh>),
    External(External),
}

impl Host {
    /// Connects to a host and logs in. `address` is `[user@]host[:port]`, or else the name is: an alias of ssh's configuration.
    ///
    /// # Errors
    ///
    /// It cannot be reached or trusted, does not let us in, or its ssh settings are not for us.
    pub fn connect(name: &str, address: Option<&str>, options: &Options) -> Result<Host, Error> {
        let address = Address::parse(address.unwrap_or(name))?;
        let way = if let Some(command) = &options.ssh_command {
            Way::External(External::new(name, command, address)?)
        } else {
            let settings = Settings::of(name, &address)?;
            let ssh = Ssh::connect(name, settings, options.connect_timeout)?;
            Way::Ssh(Box::new(ssh))
        };
        Ok(Host::new(name, way, options))
    }

    /// This machine. `name` is what it is called in messages and records.
    #[must_use]
    pub fn local(name: &str, options: &Options) -> Host {
        Host::new(name, Way::Local, options)
    }

    fn new(name: &str, way: Way, options: &Options) -> Host {
        let transport = Transport {
            name: name.to_owned(),
            options: options.clone(),
            door: Arc::default(),
            way,
        };
        Host {
            transport: Arc::new(transport),
            limit: None,
        }
        .with_timeout(options.timeout)
    }

    /// The same host with the time for everything counted anew: for verbs that come back again and again.
    #[must_use]
    pub fn with_timeout(&self, timeout: Option<Duration>) -> Host {
        let limit = timeout.map(|timeout| (Instant::now() + timeout, timeout));
        Host {
            transport: Arc::clone(&self.transport),
            limit,
        }
    }

    /// The same host with what another connection to it knows about sudo: nobody is asked for a password twice.
    #[must_use]
    pub fn with_sudo_of(mut self, other: &Host) -> Host {
        if let Some(transport) = Arc::get_mut(&mut self.transport) {
            transport.door = Arc::clone(&other.transport.door);
        }
        self
    }

    /// Its name, as the user gave it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.transport.name
    }

    /// Whether it is this machine, without ssh.
    #[must_use]
    pub fn is_local(&self) -> bool {
        matches!(self.transport.way, Way::Local)
    }

    /// Runs a command to its end, whatever its status.
    ///
    /// # Errors
    ///
    /// It did not finish: lost, killed, or out of time.
    pub fn run(&self, command: &Command) -> Result<Finished, Error> {
        let running = self.start(command, Size::Question)?;
        running.send(command.stdin.clone());
        running.collect()
    }

    /// Runs a command that has to succeed, and returns its output.
    ///
    /// # Errors
    ///
    /// It did not finish, or its status is not 0.
    pub fn output(&self, command: &Command) -> Result<Vec<u8>, Error> {
        let finished = self.run(command)?;
        if finished.success() {
            return Ok(finished.stdout);
        }
        Err(Error::Remote {
            host: self.name().to_owned(),
            command: command.program(),
            status: finished.status,
            stderr: finished.complaint(),
        })
    }

    /// Runs a command and moves its output to `sink` as it comes, in constant memory.
    ///
    /// # Errors
    ///
    /// It did not finish, or the sink did not take it. What the sink has got by then is worth nothing.
    pub fn stream(&self, command: &Command, sink: &mut dyn Write) -> Result<Finished, Error> {
        let running = self.start(command, Size::Bulk)?;
        running.send(command.stdin.clone());
        running.stream(sink)
    }

    /// Runs a command and moves `source` to its standard input, in constant memory.
    ///
    /// # Errors
    ///
    /// It did not finish, or the source could not be read.
    pub fn upload(&self, command: &Command, source: &mut dyn Read) -> Result<Finished, Error> {
        self.start(command, Size::Question)?.upload(source)
    }

    /// Starts a command, to read and write while it runs. What [`Command::stdin`] holds is sent first.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn spawn(&self, command: &Command) -> Result<Process, Error> {
        let running = self.start(command, Size::Bulk)?;
        running.send_first(command.stdin.clone());
        Ok(Process::new(running))
    }

    /// Connects to a Unix socket of the host.
    ///
    /// # Errors
    ///
    /// There is none, or the host does not let us.
    pub fn connect_unix(&self, path: &str) -> Result<Stream, Error> {
        match &self.transport.way {
            Way::Local => self.limited(local::connect_unix(self.name(), path)?),
            Way::Ssh(ssh) => self.forwarded(ssh.connect_unix(path)?, path),
            Way::External(external) => {
                self.limited(external.connect_unix(path, self.connect_deadline())?)
            }
        }
    }

    /// Connects to an address as seen from the host.
    ///
    /// # Errors
    ///
    /// Nobody listens there, or the host does not let us.
    pub fn connect_tcp(&self, address: IpAddr, port: u16) -> Result<Stream, Error> {
        let target = std::net::SocketAddr::from((address, port)).to_string();
        match &self.transport.way {
            Way::Local => {
                let timeout = self
                    .connect_deadline()
                    .saturating_duration_since(Instant::now());
                self.limited(local::connect_tcp(self.name(), address, port, timeout)?)
            }
            Way::Ssh(ssh) => self.forwarded(ssh.connect_tcp(address.to_string(), port)?, &target),
            Way::External(external) => self.limited(external.connect_tcp(&target)?),
        }
    }

    /// A stream whose reads and writes take no longer than the verb may.
    fn limited(&self, stream: Stream) -> Result<Stream, Error> {
        if let Some((deadline, limit)) = self.limit {
            let left = deadline.saturating_duration_since(Instant::now());
            let subject = || format!("the connection to '{}'", self.name());
            if left.is_zero() || stream.set_timeout(Some(left)).is_err() {
                return Err(Error::Deadline {
                    subject: subject(),
                    limit,
                });
            }
        }
        Ok(stream)
    }

    fn connect_deadline(&self) -> Instant {
        let deadline = Instant::now() + self.transport.options.connect_timeout;
        self.limit
            .map_or(deadline, |(limit, _)| limit.min(deadline))
    }

    fn forwarded(&self, lane: Arc<Lane>, target: &str) -> Result<Stream, Error> {
        let fail = |reason| Error::Forward {
            host: self.name().to_owned(),
            target: target.to_owned(),
            reason,
        };
        match lane.wait_opened(Some(self.connect_deadline())) {
            Some(Ok(())) => {
                let stream = Stream::of_lane(lane, Keep::Transport(Arc::clone(&self.transport)));
                self.limited(stream)
            }
            Some(Err(Broken::Refused(reason))) => Err(fail(reason)),
            Some(Err(Broken::Lost(reason))) => Err(Error::Lost {
                subject: format!("'{target}' on '{}'", self.name()),
                reason,
            }),
            None => {
                lane.abandon();
                Err(fail("connection timed out".to_owned()))
            }
        }
    }

    fn start(&self, command: &Command, size: Size) -> Result<Running, Error> {
        let options = &self.transport.options;
        if !options.sudo {
            return self.start_as(command, size, Sudo::No);
        }
        let ask = |question: &Command| {
            let running = self.start_as(question, Size::Question, Sudo::No)?;
            running.send(Vec::new());
            running.collect()
        };
        let (sudo, password) =
            self.transport
                .door
                .open(self.name(), options.sudo_password_fd, ask)?;
        let running = self.start_as(command, size, sudo)?;
        running.send_first(password);
        Ok(running)
    }

    fn start_as(&self, command: &Command, size: Size, sudo: Sudo) -> Result<Running, Error> {
        let collect = size == Size::Question;
        let token = Token::random();
        let needs_wrapper = command.user.is_some() || sudo != Sudo::No;
        let (lane, token) = match &self.transport.way {
            Way::Local if !needs_wrapper => (local::start(&command.argv, collect)?, None),
            Way::Local => (
                local::start(&command.wrapped(&token, sudo), collect)?,
                Some(token),
            ),
            Way::Ssh(ssh) => (
                ssh.run(self.line(command, &token, sudo)?, collect)?,
                Some(token),
            ),
            Way::External(external) => (
                external.run(&command.line(&token, sudo)?, collect)?,
                Some(token),
            ),
        };
        let own = command
            .deadline
            .map(|after| (Instant::now() + after, after));
        let limit = own.into_iter().chain(self.limit).min();
        let subject = self.subject(command, sudo);
        Ok(Running::new(
            lane,
            subject,
            token,
            limit,
            Arc::clone(&self.transport),
        ))
    }

    /// The command line as ssh2 wants it. It is UTF-8: everything else was quoted away.
    fn line(&self, command: &Command, token: &Token, sudo: Sudo) -> Result<String, Error> {
        let line = command.line(token, sudo)?;
        let length = line.len();
        let fits = String::from_utf8(line)
            .ok()
            .filter(|_| length <= channel::LONGEST_LINE);
        let subject = self.subject(command, sudo);
        fits.ok_or_else(|| Error::TooLong {
            subject: subject.to_string(),
            length,
        })
    }

    fn subject(&self, command: &Command, sudo: Sudo) -> Subject {
        let user = match &command.user {
            Some(user) => Some(user.clone()),
            None => (sudo != Sudo::No).then(|| "root".to_owned()),
        };
        Subject {
            host: self.name().to_owned(),
            command: command.program(),
            user,
        }
    }
}

/// How much output a command is expected to have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Size {
    /// It is kept in memory.
    Question,
    /// It is passed on as it comes.
    Bulk,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host")
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}
