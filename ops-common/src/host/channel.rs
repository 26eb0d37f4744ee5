//! One channel of an ssh session, driven a step at a time without ever blocking.

mod fault;
mod flow;

use std::sync::Arc;

use ssh2::{BlockDirections, Session};

use self::fault::Fault;
use super::{
    lane::{Broken, Closing, Lane},
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
#[derive(Clone, Copy, PartialEq, Eq)]
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
    phase: Phase,
    feed: Feed,
    input: Vec<u8>,
    input_sent: usize,
    /// For what is read, before it goes to the lane in its real length.
    buffer: Vec<u8>,
    output_over: bool,
    errors_over: bool,
    /// The step that has left half a packet in the socket.
    blocked: Option<Step>,
}

/// How far a channel has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Waiting,
    /// The request to open it is out.
    Opening,
    Open,
    /// The request to run the command is out; its reply is missing, but what follows it need not wait for that.
    Requested,
    /// It carries data.
    Running,
    /// Both sides have closed.
    Closed,
}

/// How far the input has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Feed {
    Flowing,
    /// The caller has closed it; the other side does not know it yet.
    Ending,
    Over,
}

/// What fits into the packet of a request, with what libssh2 puts around it.
pub(super) const LONGEST_LINE: usize = 32 << 10;
/// The largest packet that we take, as OpenSSH's.
const PACKET: u32 = 32 << 10;

impl Channel {
    pub(super) fn new(purpose: Purpose, lane: Arc<Lane>, lease: Option<Lease>) -> Channel {
        // Only commands have a second output.
        let errors_over = !matches!(purpose, Purpose::Run { .. });
        Channel {
            purpose,
            lane,
            lease,
            ssh: None,
            phase: Phase::Waiting,
            feed: Feed::Flowing,
            input: Vec::new(),
            input_sent: 0,
            buffer: Vec::new(),
            output_over: false,
            errors_over,
            blocked: None,
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
        self.lane.is_released() && self.feed != Feed::Over
    }

    pub(super) fn lane(&self) -> &Lane {
        &self.lane
    }

    /// Whether its opening is under way; libssh2 can have but one of these in a session.
    pub(super) fn is_opening(&self) -> bool {
        self.phase == Phase::Opening
    }

    /// Whether it has use for what the socket may bring.
    pub(super) fn wants_to_read(&self) -> bool {
        self.phase < Phase::Running || self.lane.has_output_room() || self.lane.is_abandoned()
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
        if self.phase == Phase::Waiting && self.lane.is_abandoned() {
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
                Err(Fault::Again) if is_sending(session) => {
                    self.blocked = Some(step);
                    return Ok(Turn::Blocked);
                }
                Err(Fault::Again) if step == Step::Start && self.phase == Phase::Open => {
                    self.phase = Phase::Requested;
                    turn = Turn::Progress;
                }
                Ok(false) | Err(Fault::Again) => {}
                Err(Fault::Refused(reason)) => {
                    self.lane.finish(Err(Broken::Refused(reason)));
                    return Ok(Turn::Gone);
                }
                Err(Fault::Lost(reason)) => return Err(reason),
            }
        }
        Ok(if self.phase == Phase::Closed {
            Turn::Gone
        } else {
            turn
        })
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
        if self.phase > Phase::Opening {
            return Ok(false);
        }
        self.phase = Phase::Opening;
        let opened = match &self.purpose {
            Purpose::Run { window, .. } => session.channel_open("session", *window, PACKET, None),
            Purpose::Unix(path) => session.channel_direct_streamlocal(path, None),
            Purpose::Tcp(address, port) => session.channel_direct_tcpip(address, *port, None),
            Purpose::Errand => session.channel_session(),
        };
        self.ssh = Some(opened.map_err(|error| self.told(error.into()))?);
        self.phase = Phase::Open;
        if !matches!(self.purpose, Purpose::Run { .. }) {
            // What a dial has of the link it gives back now: others may open theirs.
            self.lease = None;
            self.run();
        }
        Ok(true)
    }

    /// A refused session has one reason, which sshd does not tell.
    fn told(&self, fault: Fault) -> Fault {
        match (fault, &self.purpose) {
            (Fault::Refused(reason), Purpose::Run { .. }) => Fault::Refused(format!(
                "{reason}: sshd lets no further session into this connection, see its MaxSessions"
            )),
            (fault, _) => fault,
        }
    }

    fn start(&mut self) -> Result<bool, Fault> {
        let (Some(channel), Purpose::Run { line, .. }) = (&mut self.ssh, &self.purpose) else {
            return Ok(false);
        };
        if self.phase >= Phase::Running {
            return Ok(false);
        }
        channel.exec(line)?;
        self.run();
        Ok(true)
    }

    fn run(&mut self) {
        self.phase = Phase::Running;
        self.lane.set_opened();
    }

    /// Once the other side has closed, or the caller has given up, closes our side.
    fn close(&mut self) -> Result<bool, Fault> {
        let Some(channel) = &mut self.ssh else {
            return Ok(false);
        };
        let is_fed = self.feed == Feed::Over;
        let is_left = self.lane.is_abandoned() || (self.lane.is_released() && is_fed);
        if !is_left {
            let is_run = matches!(self.purpose, Purpose::Run { .. });
            if !(self.output_over && self.errors_over && (is_run || is_fed)) {
                return Ok(false);
            }
            if is_run {
                channel.wait_close()?;
            }
            self.lane.finish(Ok(closing(channel)));
        }
        channel.close()?;
        self.phase = Phase::Closed;
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
