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
    channel::Purpose,
    ending::{Subject, Token},
    external::External,
    lane::{Broken, Lane},
    link::Link,
    local,
    process::Running,
    session,
    settings::Settings,
    stream::Keep,
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
    way: Way,
}

enum Way {
    Local,
    Ssh(Link),
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
        let way = match &options.ssh_command {
            Some(command) => Way::External(External::new(name, command, address)?),
            None => Way::Ssh(session::connect(
                name,
                &Settings::of(name, &address)?,
                options.connect_timeout,
            )?),
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
        let mut process = Process::new(self.start(command, Size::Bulk)?);
        let subject = || self.subject(command).to_string();
        process
            .stdin
            .write_all(&command.stdin)
            .map_err(|source| Error::Source {
                subject: subject(),
                source,
            })?;
        Ok(process)
    }

    /// Connects to a Unix socket of the host.
    ///
    /// # Errors
    ///
    /// There is none, or the host does not let us.
    pub fn connect_unix(&self, path: &str) -> Result<Stream, Error> {
        match &self.transport.way {
            Way::Local => local::connect_unix(self.name(), path),
            Way::Ssh(link) => self.forwarded(link.open(Purpose::Unix(path.to_owned())), path),
            Way::External(external) => external.connect_unix(path, self.connect_deadline()),
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
            Way::Local => local::connect_tcp(
                self.name(),
                address,
                port,
                self.transport.options.connect_timeout,
            ),
            Way::Ssh(link) => {
                self.forwarded(link.open(Purpose::Tcp(address.to_string(), port)), &target)
            }
            Way::External(external) => external.connect_tcp(&target),
        }
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
            Some(Ok(())) => Ok(Stream::of_lane(
                lane,
                Keep::Transport(Arc::clone(&self.transport)),
            )),
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
        let collect = matches!(size, Size::Question);
        let sudo = self.transport.options.sudo;
        let token = Token::random();
        let (lane, token) = match &self.transport.way {
            Way::Local if command.user.is_none() && !sudo => {
                (local::start(command, None, collect)?, None)
            }
            Way::Local => (
                local::start(command, Some((&token, sudo)), collect)?,
                Some(token),
            ),
            Way::Ssh(link) => {
                let line = self.line(command, &token)?;
                (link.run(line, collect), Some(token))
            }
            Way::External(external) => (
                external.run(&command.line(&token, sudo)?, collect)?,
                Some(token),
            ),
        };
        let limit = match command
            .deadline
            .map(|after| (Instant::now() + after, after))
        {
            Some(own) => Some(self.limit.map_or(own, |whole| whole.min(own))),
            None => self.limit,
        };
        Ok(Running::new(
            lane,
            self.subject(command),
            token,
            limit,
            Arc::clone(&self.transport),
        ))
    }

    /// The command line as ssh2 wants it. It is UTF-8: everything else was quoted away.
    fn line(&self, command: &Command, token: &Token) -> Result<String, Error> {
        let line = command.line(token, self.transport.options.sudo)?;
        let length = line.len();
        let fits = String::from_utf8(line)
            .ok()
            .filter(|_| length <= super::channel::LONGEST_LINE);
        fits.ok_or_else(|| Error::TooLong {
            subject: self.subject(command).to_string(),
            length,
        })
    }

    fn subject(&self, command: &Command) -> Subject {
        let user = match &command.user {
            Some(user) => Some(user.clone()),
            None => self.transport.options.sudo.then(|| "root".to_owned()),
        };
        Subject {
            host: self.name().to_owned(),
            command: command.program(),
            user,
        }
    }
}

/// How much output a command is expected to have.
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
