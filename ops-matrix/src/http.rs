//! HTTP over a connection that was made by ourselves, so that every address is dialled on its own and every phase is
//! measured where it happens. The protocol itself is ureq's.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::{self, Uri};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};
use ureq::{Agent, Error, Timeout};

use crate::socket::{Deadline, Socket, is_timeout};

/// The most that a well-known, key or version reply may hold: what peers in use accept.
pub const BODY_LIMIT: u64 = 50 * 1024;

/// What to ask.
#[derive(Debug, Clone, Default)]
pub struct Request<'a> {
    /// `GET` where nothing else is said.
    pub method: Option<&'a str>,
    /// What goes into `Host`.
    pub host: &'a str,
    /// Path and query, sent as they are.
    pub path: &'a str,
    /// Further headers.
    pub headers: Vec<(&'a str, String)>,
    /// The body, for the methods that have one.
    pub body: Option<Vec<u8>>,
}

/// An answer, complete.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// `HTTP/1.0` or `HTTP/1.1`.
    pub version: String,
    /// Every header in its order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, decoded of its transfer encoding.
    pub body: Vec<u8>,
    /// From the request to the first byte of the answer.
    pub first_byte: Duration,
    /// From the request to the last byte of the answer.
    pub total: Duration,
}

impl Reply {
    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }

    /// All headers of this name.
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }

    /// The media type without its parameters, in lower case.
    #[must_use]
    pub fn media_type(&self) -> Option<String> {
        let text = self.header("content-type")?;
        Some(
            text.split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .to_ascii_lowercase(),
        )
    }
}

/// Why there is no complete answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// Not complete in time.
    #[error("no complete answer in time")]
    Timeout,
    /// Closed before the first byte, or in the middle.
    #[error("the connection was closed before the answer was complete")]
    Closed,
    /// Something, but no HTTP.
    #[error("the answer is not HTTP: {0}")]
    NotHttp(String),
    /// More than anybody would read.
    #[error("the body is longer than {0} bytes")]
    TooLarge(u64),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The request cannot be sent as it is.
    #[error("cannot ask for '{path}': {reason}")]
    Request {
        /// What was to be asked for.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// A connection on which one request after another is asked.
pub struct Session {
    agent: Agent,
    clock: Arc<Mutex<Clock>>,
}

/// When the last request left and the first byte of its answer came.
#[derive(Debug, Default)]
struct Clock {
    first_byte: Option<Instant>,
}

impl Session {
    /// Speaks HTTP over `socket`, on which any TLS is already set up.
    #[must_use]
    pub fn over(socket: Box<dyn Socket>) -> Self {
        let clock = Arc::new(Mutex::new(Clock::default()));
        let buffers = LazyBuffers::new(16 * 1024, 4 * 1024);
        let wire = Wire {
            socket: Mutex::new(socket),
            buffers,
            clock: Arc::clone(&clock),
            open: true,
        };
        let config = Config::builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .allow_non_standard_methods(true)
            .accept("*/*")
            .accept_encoding("identity")
            .user_agent(concat!("ops-matrix/", env!("CARGO_PKG_VERSION")))
            .proxy(None)
            .build();
        let agent = Agent::with_parts(config, OneConnection(Mutex::new(Some(wire))), NoResolver);
        Self { agent, clock }
    }

    /// Asks, and reads the answer to its end but never beyond `limit` bytes of body.
    pub fn ask(
        &self,
        request: &Request<'_>,
        limit: u64,
        deadline: Deadline,
    ) -> Result<Reply, HttpError> {
        let left = deadline.left().map_err(|_| HttpError::Timeout)?;
        let unsendable = |reason: String| HttpError::Request {
            path: request.path.to_owned(),
            reason,
        };
        // The authority only decides which connection of ureq's pool is used, and there is just one.
        let uri: Uri = format!("http://peer{}", request.path)
            .parse()
            .map_err(|error| unsendable(format!("{error}")))?;
        let mut builder = http::Request::builder()
            .method(request.method.unwrap_or("GET"))
            .uri(uri);
        builder = builder.header("host", request.host);
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        let started = Instant::now();
        self.clock().first_byte = None;
        let sent = match &request.body {
            Some(body) => builder
                .body(body.as_slice())
                .map(|ready| self.run(ready, left)),
            None => builder.body(()).map(|ready| self.run(ready, left)),
        };
        let mut answer = sent.map_err(|error| unsendable(error.to_string()))??;
        let body = answer
            .body_mut()
            .with_config()
            .limit(limit)
            .read_to_vec()
            .map_err(|error| classify(error, limit))?;
        let first_byte = self
            .clock()
            .first_byte
            .map_or_else(|| started.elapsed(), |instant| instant - started);
        let text =
            |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        Ok(Reply {
            status: answer.status().as_u16(),
            version: format!("{:?}", answer.version()),
            headers: answer
                .headers()
                .iter()
                .map(|(name, value)| (name.as_str().to_owned(), text(value)))
                .collect(),
            body,
            first_byte,
            total: started.elapsed(),
        })
    }

    fn run(
        &self,
        request: http::Request<impl ureq::AsSendBody>,
        left: Duration,
    ) -> Result<http::Response<ureq::Body>, HttpError> {
        let request = self
            .agent
            .configure_request(request)
            .timeout_global(Some(left))
            .build();
        self.agent
            .run(request)
            .map_err(|error| classify(error, BODY_LIMIT))
    }

    fn clock(&self) -> std::sync::MutexGuard<'_, Clock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn classify(error: Error, limit: u64) -> HttpError {
    match error {
        Error::Timeout(_) => HttpError::Timeout,
        Error::BodyExceedsLimit(_) => HttpError::TooLarge(limit),
        Error::ConnectionFailed => HttpError::Closed,
        Error::Io(error) => classify_io(error, limit),
        Error::LargeResponseHeader(..) => HttpError::NotHttp("its header is too long".to_owned()),
        other => HttpError::NotHttp(other.to_string()),
    }
}

fn classify_io(error: io::Error, limit: u64) -> HttpError {
    match error.kind() {
        _ if is_timeout(&error) => HttpError::Timeout,
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe => HttpError::Closed,
        _ => match error.downcast::<Error>() {
            Ok(inner) => classify(inner, limit),
            Err(error) => HttpError::Broken(error.to_string()),
        },
    }
}

/// Hands out the one connection there is. A second request for one means that the server closed the first.
struct OneConnection(Mutex<Option<Wire>>);

impl Connector for OneConnection {
    type Out = Wire;

    fn connect(&self, _: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Wire>, Error> {
        let wire = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        wire.map(Some).ok_or(Error::ConnectionFailed)
    }
}

impl fmt::Debug for OneConnection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("OneConnection")
    }
}

/// The connection exists already, so there is nothing to look up.
#[derive(Debug)]
struct NoResolver;

impl Resolver for NoResolver {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut addresses = self.empty();
        addresses.push(([0, 0, 0, 0], 0).into());
        Ok(addresses)
    }
}

struct Wire {
    // ureq wants to share what it never uses from two threads at once.
    socket: Mutex<Box<dyn Socket>>,
    buffers: LazyBuffers,
    clock: Arc<Mutex<Clock>>,
    open: bool,
}

impl Wire {
    fn socket(&mut self, timeout: NextTimeout) -> Result<&mut Box<dyn Socket>, Error> {
        let socket = self
            .socket
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if timeout.after.is_zero() {
            return Err(Error::Timeout(timeout.reason));
        }
        socket.set_timeout(timeout.not_zero().map(|limit| *limit))?;
        Ok(socket)
    }

    fn failed(&mut self, error: io::Error) -> Error {
        self.open = false;
        if is_timeout(&error) {
            Error::Timeout(Timeout::Global)
        } else {
            Error::Io(error)
        }
    }
}

impl Transport for Wire {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let bytes = self.buffers.output()[..amount].to_vec();
        let socket = self.socket(timeout)?;
        socket
            .write_all(&bytes)
            .and_then(|()| socket.flush())
            .map_err(|error| self.failed(error))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.socket(timeout)?;
        let socket = self
            .socket
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let space = self.buffers.input_append_buf();
        if space.is_empty() {
            // A header that fills the whole buffer is longer than anybody needs.
            let held = self.buffers.input().len();
            return Err(Error::LargeResponseHeader(held, held));
        }
        let read = loop {
            match socket.read(space) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                result => break result,
            }
        };
        let amount = read.map_err(|error| self.failed(error))?;
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        clock.first_byte.get_or_insert_with(Instant::now);
        drop(clock);
        self.buffers.input_appended(amount);
        self.open &= amount > 0;
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.open
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Wire")
    }
}
