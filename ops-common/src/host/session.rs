//! The way to a session: dial, handshake, host key, login, all within the connect timeout.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags};
use ssh2::{BlockDirections, DisconnectCode, ErrorCode, MethodType, Session};

use super::{
    Error, HostKeyProblem, auth,
    dial::Line,
    error::reason,
    heard,
    known_hosts::{self, Identity, KnownHosts, Verdict},
    link::{self, Link},
    settings::Settings,
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
    let identity = Identity::new(
        settings.host_key_alias.as_deref(),
        &settings.host_name,
        settings.port,
    );
    let known =
        KnownHosts::read(&settings.known_hosts).map_err(|(file, error)| Error::Settings {
            host: name.to_owned(),
            reason: format!("cannot read '{}': {}", file.display(), reason(&error)),
        })?;
    let deadline = Instant::now() + timeout;
    let mut line = Line::dial(name, settings, deadline)?;
    let session = new_session(&line, &known.key_types(&identity)).map_err(fail)?;
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
    check_host_key(name, settings, &session, &known, &identity)?;
    auth::login(name, settings, &driver)?;
    Link::start(session, line).map_err(|error| fail(reason(&error)))
}

fn new_session(line: &Line, known_types: &[&str]) -> Result<Session, String> {
    let mut session = Session::new().map_err(|error| error.message().to_owned())?;
    session.set_tcp_stream(line.handle().map_err(|error| reason(&error))?);
    session.set_blocking(false);
    session.set_keepalive(true, 1);
    heard::count(&session);
    session
        .method_pref(MethodType::HostKey, &key_preference(known_types).join(","))
        .map_err(|error| error.message().to_owned())?;
    Ok(session)
}

/// The algorithms for the host key, those of the keys on file first: a host that is known by one type shows that one.
fn key_preference(known_types: &[&str]) -> Vec<&'static str> {
    const ALGORITHMS: [(&str, &str); 6] = [
        ("ssh-ed25519", "ssh-ed25519"),
        ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256"),
        ("ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384"),
        ("ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521"),
        ("ssh-rsa", "rsa-sha2-512"),
        ("ssh-rsa", "rsa-sha2-256"),
    ];
    let (known, other): (Vec<_>, Vec<_>) = ALGORITHMS
        .into_iter()
        .partition(|(key_type, _)| known_types.contains(key_type));
    known
        .into_iter()
        .chain(other)
        .map(|(_, algorithm)| algorithm)
        .collect()
}

fn check_host_key(
    name: &str,
    settings: &Settings,
    session: &Session,
    known: &KnownHosts,
    identity: &Identity,
) -> Result<(), Error> {
    let (key, _) = session
        .host_key()
        .unwrap_or((&[], ssh2::HostKeyType::Unknown));
    let key_type = known_hosts::key_type_of(key)
        .unwrap_or("unknown")
        .to_owned();
    let fingerprint = known_hosts::fingerprint(key);
    let problem = match known.judge(identity, &key_type, key) {
        Verdict::Known => return Ok(()),
        Verdict::Unknown => HostKeyProblem::Unknown {
            fingerprint,
            key_type,
        },
        Verdict::Changed(place) => HostKeyProblem::Changed {
            fingerprint,
            key_type,
            file: place.file,
            line: place.line,
        },
        Verdict::Revoked(place) => HostKeyProblem::Revoked {
            fingerprint,
            file: place.file,
            line: place.line,
        },
        Verdict::Authority(place) => {
            return Err(Error::Setting {
                host: name.to_owned(),
                setting: "@cert-authority".to_owned(),
                reason: format!(
                    "{}:{} wants a host certificate",
                    place.file.display(),
                    place.line
                ),
            });
        }
    };
    drop(session.disconnect(
        Some(DisconnectCode::HostKeyNotVerifiable),
        "host key not verified",
        None,
    ));
    Err(Error::HostKey {
        host: name.to_owned(),
        known_as: identity.name().to_owned(),
        address: (settings.host_name.clone(), settings.port),
        problem: Box::new(problem),
    })
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
            let left = self
                .deadline
                .get()
                .saturating_duration_since(Instant::now());
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

    /// Does something that waits for a person; that time does not count.
    pub(super) fn pause<T>(&self, ask: impl FnOnce() -> T) -> T {
        let before = Instant::now();
        let answer = ask();
        self.deadline.set(self.deadline.get() + before.elapsed());
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_on_file_come_first() {
        assert_eq!(
            key_preference(&["ssh-rsa"])[..3],
            ["rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519"]
        );
        assert_eq!(key_preference(&[]).len(), 6);
    }
}
