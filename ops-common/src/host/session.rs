//! The way to a session: dial, handshake, host key, login, all within the connect timeout.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags};
use ssh2::{BlockDirections, ErrorCode, Session};

use super::{
    Error,
    algorithms::{self, NothingLeft},
    auth,
    dial::Line,
    error::reason,
    heard,
    link::{self, Link},
    settings::Settings,
    trust::Trust,
};

/// Connects and logs in.
pub(super) fn connect(name: &str, settings: &Settings, timeout: Duration) -> Result<Link, Error> {
    let timeout = settings
        .connect_timeout
        .map_or(timeout, |ssh| ssh.min(timeout));
    let fail = |reason: String| Error::Connect {
        host: name.to_owned(),
        reason,
    };
    let trust = Trust::new(name, settings)?;
    let deadline = Instant::now() + timeout;
    let mut line = Line::dial(name, settings, deadline)?;
    let session = new_session(&line).map_err(fail)?;
    algorithms::limit(&session, &settings.allowed, &trust.key_types()).map_err(
        |NothingLeft(setting)| Error::Setting {
            host: name.to_owned(),
            setting: setting.to_owned(),
            reason: "none of its algorithms is known here".to_owned(),
        },
    )?;
    let driver = Driver {
        session: &session,
        line: &line,
        deadline: Cell::new(deadline),
    };
    let mut handshaking = session.clone();
    if let Err(stop) = driver.drive(|| handshaking.handshake()) {
        return Err(match (stop, line.proxy_words()) {
            (_, Some(words)) => fail(words),
            (Stop::Deadline, None) => fail("ssh handshake timed out".to_owned()),
            (Stop::Ssh(error), None) => Error::Handshake {
                host: name.to_owned(),
                reason: error.message().to_owned(),
            },
        });
    }
    trust.check(&session, line.peer())?;
    auth::login(name, settings, &driver)?;
    Link::start(session, line).map_err(|error| fail(reason(&error)))
}

fn new_session(line: &Line) -> Result<Session, String> {
    let mut session = Session::new().map_err(|error| error.message().to_owned())?;
    session.set_tcp_stream(line.handle().map_err(|error| reason(&error))?);
    session.set_blocking(false);
    session.set_keepalive(true, 1);
    heard::count(&session);
    Ok(session)
}

/// Runs calls of a session that never blocks to their end, within the time there is.
pub(super) struct Driver<'a> {
    pub(super) session: &'a Session,
    line: &'a Line,
    deadline: Cell<Instant>,
}

/// Why a call did not get to its end.
pub(super) enum Stop {
    Deadline,
    Ssh(ssh2::Error),
}

impl Driver<'_> {
    pub(super) fn drive<T>(
        &self,
        mut call: impl FnMut() -> Result<T, ssh2::Error>,
    ) -> Result<T, Stop> {
        loop {
            match call() {
                Err(error)
                    if error.code() == ErrorCode::Session(libssh2_sys::LIBSSH2_ERROR_EAGAIN) => {}
                other => return other.map_err(Stop::Ssh),
            }
            let left = self.left();
            if left.is_zero() {
                return Err(Stop::Deadline);
            }
            let events = match self.session.block_directions() {
                BlockDirections::Outbound => PollFlags::OUT,
                BlockDirections::Both => PollFlags::IN | PollFlags::OUT,
                BlockDirections::Inbound | BlockDirections::None => PollFlags::IN,
            };
            // An error of poll shows again in the call.
            drop(link::wait(
                &mut [PollFd::from_borrowed_fd(self.line.socket(), events)],
                Some(left),
            ));
        }
    }

    /// How much time there is.
    pub(super) fn left(&self) -> Duration {
        self.deadline
            .get()
            .saturating_duration_since(Instant::now())
    }

    /// Does something that waits for a person; that time does not count.
    pub(super) fn pause<T>(&self, ask: impl FnOnce() -> T) -> T {
        let before = Instant::now();
        let answer = ask();
        self.deadline.set(self.deadline.get() + before.elapsed());
        answer
    }
}
