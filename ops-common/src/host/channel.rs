//! One channel of an ssh session, driven a step at a time without ever blocking.

use std::{
    io::{self, Read, Write},
    sync::Arc,
};

use ssh2::{BlockDirections, ErrorCode, Session};

use super::{
    lane::{Broken, Closing, Lane, Supply},
    link::Lease,
};

/// What a channel is for.
pub(super) enum Purpose {
    /// Run a command line; `window` bytes may be under way to us.
    Run {
        /// For the login shell of the other side.
        line: String,
        /// The receive window.
        window: u32,
    },
    /// Connect to a Unix socket of the host.
    Unix(String),
    /// Connect to an address from the host.
    Tcp(String, u16),
    /// Nothing, and be gone: libssh2 looks at what the other side has to say only while it is about a channel.
    Errand,
}

/// How a step of a channel ended.
#[derive(PartialEq, Eq)]
pub(super) enum Turn {
    /// Something has moved: try again.
    Progress,
    /// Nothing to do until the socket or the caller has something.
    Idle,
    /// Half a packet is in the socket, and nothing else may be sent before the other half. The same step must be next.
    Blocked,
    /// The channel is gone.
    Gone,
}

/// The steps, in the order in which they are tried.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Open,
    Output,
    Errors,
    Input,
    Start,
    Close,
}

const STEPS: [Step; 6] = [
    Step::Open,
    Step::Output,
    Step::Errors,
    Step::Input,
    Step::Start,
    Step::Close,
];

/// One channel and the lane that it serves.
pub(super) struct Channel {
    purpose: Purpose,
    lane: Arc<Lane>,
    /// What it has of the link, until it is open or until it is gone.
    lease: Option<Lease>,
    ssh: Option<ssh2::Channel>,
    /// The request to open it is out.
    opening: bool,
    /// The host has accepted the request to run the command, or there is none to run.
    started: bool,
    /// The request has left in full, so that input may follow it without waiting for the reply.
    requested: bool,
    input: Vec<u8>,
    input_sent: usize,
    /// The caller has closed the input; the other side does not know it yet.
    ending_input: bool,
    input_over: bool,
    output_over: bool,
    errors_over: bool,
    blocked: Option<Step>,
    /// Both sides have closed.
    closed: bool,
}

/// Large enough for many packets at a time, small enough for the cache.
const PIECE: usize = 128 << 10;
/// What fits into the packet of a request, with what libssh2 puts around it.
pub(super) const LONGEST_LINE: usize = 32 << 10;
/// The largest packet that we take, as OpenSSH's.
const PACKET: u32 = 32 << 10;

impl Channel {
    pub(super) fn new(purpose: Purpose, lane: Arc<Lane>, lease: Option<Lease>) -> Channel {
        let started = !matches!(purpose, Purpose::Run { .. });
        Channel {
            purpose,
            lane,
            lease,
            ssh: None,
            opening: false,
            started,
            requested: started,
            input: Vec::new(),
            input_sent: 0,
            ending_input: false,
            input_over: false,
            output_over: false,
            errors_over: started,
            blocked: None,
            closed: false,
        }
    }

    /// A channel that only makes libssh2 listen.
    pub(super) fn errand() -> Channel {
        let lane = Arc::new(Lane::new(true, |_| {}));
        lane.release();
        Channel::new(Purpose::Errand, lane, None)
    }

    /// Whether something that was written has still to leave, though nobody waits for it.
    pub(super) fn owes(&self) -> bool {
        self.lane.is_released() && !self.input_over
    }

    pub(super) fn lane(&self) -> &Lane {
        &self.lane
    }

    /// Whether its opening is under way; libssh2 can have but one of these in a session.
    pub(super) fn is_opening(&self) -> bool {
        self.opening
    }

    /// Whether it has use for what the socket may bring.
    pub(super) fn wants_to_read(&self) -> bool {
        self.ssh.is_none()
            || !self.started
            || self.lane.has_output_room()
            || self.lane.is_abandoned()
    }

    /// Whether half a packet of this channel is in the socket.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// Does what can be done now. `may_open`: no other channel of the session is being opened.
    ///
    /// # Errors
    ///
    /// The connection is lost, for all its channels. What concerns only this channel goes to its lane.
    pub(super) fn turn(&mut self, session: &Session, may_open: bool) -> Result<Turn, String> {
        if self.ssh.is_none() && self.lane.is_abandoned() && !self.opening {
            return Ok(Turn::Gone);
        }
        let mut turn = Turn::Idle;
        for step in STEPS {
            if self.blocked.is_some_and(|blocked| blocked != step)
                || (step == Step::Open && !may_open)
            {
                continue;
            }
            self.blocked = None;
            match self.step(step, session) {
                Ok(true) => turn = Turn::Progress,
                Ok(false) => {}
                Err(Fault::Again) if is_sending(session) => {
                    self.blocked = Some(step);
                    return Ok(Turn::Blocked);
                }
                // The request is out and only its reply is missing; what follows it need not wait for that.
                Err(Fault::Again) if step == Step::Start && !self.requested => {
                    self.requested = true;
                    turn = Turn::Progress;
                }
                Err(Fault::Again) => {}
                Err(Fault::Refused(reason)) => {
                    self.lane.finish(Err(Broken::Refused(reason)));
                    return Ok(Turn::Gone);
                }
                Err(Fault::Lost(reason)) => return Err(reason),
            }
        }
        let is_gone = self.closed;
        Ok(if is_gone { Turn::Gone } else { turn })
    }

    fn step(&mut self, step: Step, session: &Session) -> Result<bool, Fault> {
        match step {
            Step::Open => self.open(session),
            Step::Output => self.read_output(session),
            Step::Errors => self.read_errors(session),
            Step::Input => self.write_input(session),
            Step::Start => self.start(),
            Step::Close => self.close(),
        }
    }

    fn open(&mut self, session: &Session) -> Result<bool, Fault> {
        if self.ssh.is_some() {
            return Ok(false);
        }
        self.opening = true;
        let opened = match &self.purpose {
            Purpose::Run { window, .. } => session.channel_open("session", *window, PACKET, None),
            Purpose::Unix(path) => session.channel_direct_streamlocal(path, None),
            Purpose::Tcp(address, port) => session.channel_direct_tcpip(address, *port, None),
            Purpose::Errand => session.channel_session(),
        };
        let opened = opened.map_err(Fault::from);
        self.opening = matches!(opened, Err(Fault::Again));
        if !self.opening && matches!(self.purpose, Purpose::Tcp(..)) {
            self.lease = None;
        }
        self.ssh = Some(opened?);
        if self.started {
            self.lane.set_opened();
        }
        Ok(true)
    }

    fn start(&mut self) -> Result<bool, Fault> {
        let (Some(channel), false, Purpose::Run { line, .. }) =
            (&mut self.ssh, self.started, &self.purpose)
        else {
            return Ok(false);
        };
        channel.exec(line)?;
        self.started = true;
        self.requested = true;
        self.lane.set_opened();
        Ok(true)
    }

    fn read_output(&mut self, session: &Session) -> Result<bool, Fault> {
        let (Some(channel), false, true) = (&self.ssh, self.output_over, self.requested) else {
            return Ok(false);
        };
        if !self.lane.has_output_room() {
            return Ok(false);
        }
        let mut piece = vec![0; PIECE];
        let count = channel
            .stream(0)
            .read(&mut piece)
            .map_err(|error| Fault::of_io(session, &error))?;
        self.output_over = count == 0;
        if self.output_over {
            self.lane.end_output();
        } else {
            piece.truncate(count);
            self.lane.push_output(piece);
        }
        Ok(true)
    }

    fn read_errors(&mut self, session: &Session) -> Result<bool, Fault> {
        let (Some(channel), false, true) = (&self.ssh, self.errors_over, self.requested) else {
            return Ok(false);
        };
        let mut piece = [0; 4096];
        let count = channel
            .stderr()
            .read(&mut piece)
            .map_err(|error| Fault::of_io(session, &error))?;
        self.errors_over = count == 0;
        self.lane.push_errors(&piece[..count]);
        Ok(true)
    }

    fn write_input(&mut self, session: &Session) -> Result<bool, Fault> {
        let (Some(channel), false, true) = (&mut self.ssh, self.input_over, self.requested) else {
            return Ok(false);
        };
        if self.input_sent == self.input.len() {
            self.input_sent = 0;
            self.input.clear();
            match self.lane.next_input() {
                Supply::Piece(piece) => self.input = piece,
                Supply::Empty => return Ok(false),
                Supply::Closed => self.ending_input = true,
            }
        }
        let sent = if self.ending_input {
            channel
                .send_eof()
                .map_err(Fault::from)
                .map(|()| self.input_over = true)
        } else {
            let written = channel.stream(0).write(&self.input[self.input_sent..]);
            written
                .map_err(|error| Fault::of_io(session, &error))
                .map(|count| self.input_sent += count)
        };
        match sent {
            // The other side has closed and wants no more; what it has to say about that comes with its end.
            Err(Fault::Refused(_)) => {
                self.lane.refuse_input();
                self.input_over = true;
            }
            other => other?,
        }
        Ok(true)
    }

    /// Once the other side has closed, or the caller has given up, closes our side.
    fn close(&mut self) -> Result<bool, Fault> {
        let Some(channel) = &mut self.ssh else {
            return Ok(false);
        };
        let is_left = self.lane.is_abandoned() || (self.lane.is_released() && self.input_over);
        if !is_left {
            let is_run = matches!(self.purpose, Purpose::Run { .. });
            if !(self.output_over && self.errors_over && (is_run || self.input_over)) {
                return Ok(false);
            }
            if is_run {
                channel.wait_close()?;
            }
            self.lane.finish(Ok(closing(channel)));
        }
        channel.close()?;
        self.closed = true;
        Ok(true)
    }
}

fn closing(channel: &ssh2::Channel) -> Closing {
    let status = channel
        .exit_status()
        .ok()
        .and_then(|status| u8::try_from(status).ok());
    let signal = channel
        .exit_signal()
        .ok()
        .and_then(|signal| signal.exit_signal);
    Closing { status, signal }
}

/// Whether half a packet waits for the socket.
fn is_sending(session: &Session) -> bool {
    matches!(
        session.block_directions(),
        BlockDirections::Outbound | BlockDirections::Both
    )
}

/// What a step may fail with.
enum Fault {
    /// Not now.
    Again,
    /// The other side does not do that, on this channel.
    Refused(String),
    /// The connection is gone.
    Lost(String),
}

impl Fault {
    /// ssh2's streams speak of `io::Error`, which has lost the code; the session still has it.
    fn of_io(session: &Session, error: &io::Error) -> Fault {
        match ssh2::Error::last_session_error(session) {
            _ if error.kind() == io::ErrorKind::WouldBlock => Fault::Again,
            Some(error) => error.into(),
            None => Fault::Lost(error.to_string()),
        }
    }
}

impl From<ssh2::Error> for Fault {
    fn from(error: ssh2::Error) -> Fault {
        use libssh2_sys as raw;
        let ErrorCode::Session(code) = error.code() else {
            return Fault::Lost(error.message().to_owned());
        };
        match code {
            raw::LIBSSH2_ERROR_EAGAIN => Fault::Again,
            raw::LIBSSH2_ERROR_CHANNEL_FAILURE
            | raw::LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED
            | raw::LIBSSH2_ERROR_CHANNEL_CLOSED
            | raw::LIBSSH2_ERROR_CHANNEL_EOF_SENT => Fault::Refused(words(error.message())),
            raw::LIBSSH2_ERROR_SOCKET_DISCONNECT | raw::LIBSSH2_ERROR_SOCKET_RECV => {
                Fault::Lost("the connection was closed".to_owned())
            }
            _ => Fault::Lost(error.message().to_owned()),
        }
    }
}

/// The reason out of libssh2's message: `Channel open failure (connect failed)`.
fn words(message: &str) -> String {
    let inner = message
        .rsplit_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(message).to_lowercase()
}
