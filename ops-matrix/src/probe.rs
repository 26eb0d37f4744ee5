//! One address, one connection: dialled, encrypted and asked, with the time of every phase.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ops_common::check::State;
use serde::Serialize;

use crate::answer::AnswerFault;
use crate::ground::DialFailure;
use crate::http::{BODY_LIMIT, HttpError, Reply, Request, Session};
use crate::tls::{self, TlsFacts, TlsFailure};
use crate::view::View;

/// Where to connect, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The one address that is dialled.
    pub address: SocketAddr,
    /// The name of the certificate, if TLS is spoken.
    pub tls_name: Option<String>,
    /// What is sent as `Host`.
    pub host_header: String,
}

/// How long each phase took, in seconds; none for a phase that did not happen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Phases {
    /// Looking the name up.
    pub resolve_s: Option<f64>,
    /// Connecting.
    pub connect_s: Option<f64>,
    /// The TLS handshake.
    pub tls_s: Option<f64>,
    /// From the request to the first byte of the answer.
    pub first_byte_s: Option<f64>,
    /// Everything, to the last byte of the answer.
    pub total_s: Option<f64>,
}

/// Why a probe has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ProbeFailure {
    /// No connection.
    #[error(transparent)]
    Dial(#[from] DialFailure),
    /// No TLS.
    #[error(transparent)]
    Tls(#[from] TlsFailure),
    /// No HTTP.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Another answer than the one asked for.
    #[error(transparent)]
    Answer(#[from] AnswerFault),
}

impl ProbeFailure {
    /// One word for machines.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Dial(DialFailure::Refused | DialFailure::Failed) => "refused",
            Self::Dial(DialFailure::Timeout) => "connect_timeout",
            Self::Dial(DialFailure::Unreachable) => "unreachable",
            Self::Dial(DialFailure::Other(_)) => "connect",
            Self::Dial(DialFailure::Lost(_)) => "lost",
            Self::Tls(TlsFailure::Timeout) => "tls_timeout",
            Self::Tls(TlsFailure::NotTls) => "not_tls",
            Self::Tls(TlsFailure::Closed) => "tls_closed",
            Self::Tls(TlsFailure::UnknownName(_)) => "unknown_name",
            Self::Tls(TlsFailure::NoCertificate(_)) => "no_certificate",
            Self::Tls(TlsFailure::Incompatible) => "tls_incompatible",
            Self::Tls(_) => "tls",
            Self::Http(HttpError::Timeout) => "timeout",
            Self::Http(HttpError::Closed) => "closed",
            Self::Http(HttpError::NotHttp(_)) => "not_http",
            Self::Http(HttpError::TooLarge(_)) => "too_large",
            Self::Http(_) => "http",
            Self::Answer(fault) => fault.word(),
        }
    }

    /// How bad it is: what was not seen because our own way broke is not the server's fault.
    #[must_use]
    pub fn state(&self) -> State {
        match self {
            Self::Dial(DialFailure::Lost(_)) | Self::Http(HttpError::Request { .. }) => {
                State::Unknown
            }
            Self::Answer(fault) => fault.state(),
            _ => State::Fail,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn fix(&self) -> Option<&'static str> {
        match self {
            Self::Answer(fault) => fault.fix(),
            Self::Tls(TlsFailure::NotTls) => {
                Some("serve TLS on this port, or point discovery at the port that does")
            }
            Self::Tls(TlsFailure::NoCertificate(_)) => {
                Some("give the server a default certificate that is for its address")
            }
            Self::Tls(TlsFailure::Incompatible) => Some("enable TLS 1.2 and 1.3"),
            Self::Tls(TlsFailure::UnknownName(_)) => {
                Some("give the server a certificate and a server block for this name")
            }
            _ => None,
        }
    }
}

/// A connection that can be asked, and what making it has shown.
pub struct Opened {
    /// Asks.
    pub session: Session,
    /// The phases so far.
    pub phases: Phases,
    /// What the handshake showed, if there was one.
    pub tls: Option<TlsFacts>,
}

/// Connects, and shakes hands if the endpoint has a certificate name.
pub fn open(view: &View<'_>, endpoint: &Endpoint) -> Result<Opened, ProbeFailure> {
    let started = Instant::now();
    let socket = view.dial(endpoint.address)?;
    let mut phases = Phases {
        connect_s: Some(seconds(started.elapsed())),
        ..Phases::default()
    };
    let Some(name) = &endpoint.tls_name else {
        return Ok(Opened {
            session: Session::over(socket),
            phases,
            tls: None,
        });
    };
    let started = Instant::now();
    let (socket, facts) = tls::handshake(socket, name, view.soon())?;
    phases.tls_s = Some(seconds(started.elapsed()));
    Ok(Opened {
        session: Session::over(Box::new(socket)),
        phases,
        tls: Some(facts),
    })
}

impl Opened {
    /// Asks for a path and adds the time it took.
    pub fn get(
        &mut self,
        view: &View<'_>,
        endpoint: &Endpoint,
        path: &str,
    ) -> Result<Reply, ProbeFailure> {
        let request = Request {
            host: &endpoint.host_header,
            path,
            ..Request::default()
        };
        let reply = self.session.ask(&request, BODY_LIMIT, view.soon())?;
        self.phases.first_byte_s = Some(seconds(reply.first_byte));
        let before = [
            self.phases.resolve_s,
            self.phases.connect_s,
            self.phases.tls_s,
        ];
        let total = before.into_iter().flatten().sum::<f64>() + reply.total.as_secs_f64();
        self.phases.total_s = Some(micros(total));
        Ok(reply)
    }
}

/// Asks on the open connection, or on a new one where the server has closed it.
pub fn get_again(
    view: &View<'_>,
    opened: &mut Opened,
    endpoint: &Endpoint,
    path: &str,
) -> Result<Reply, ProbeFailure> {
    match opened.get(view, endpoint, path) {
        Err(ProbeFailure::Http(HttpError::Closed)) => {
            let (reply, anew) = get(view, endpoint, path)?;
            *opened = anew;
            Ok(reply)
        }
        other => other,
    }
}

/// Connects anew and asks one thing.
pub fn get(
    view: &View<'_>,
    endpoint: &Endpoint,
    path: &str,
) -> Result<(Reply, Opened), ProbeFailure> {
    let mut opened = open(view, endpoint)?;
    let reply = opened.get(view, endpoint, path)?;
    Ok((reply, opened))
}

/// A time in seconds.
#[must_use]
pub fn seconds(duration: Duration) -> f64 {
    micros(duration.as_secs_f64())
}

/// Seconds with the resolution of microseconds, which is what the clock is good for.
fn micros(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}
