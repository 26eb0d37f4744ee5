//! HTTP over a connection that the host made for us: its own ports, looked at from where they are. The protocol is ureq's.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ops_common::host::Stream;
use serde_json::Value;
use ureq::config::Config;
use ureq::http::{self, Uri};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};
use ureq::{Agent, Timeout};

/// No answer is longer.
const BODY_LIMIT: u64 = 16 << 20;

/// What a connection is made of, plain or under TLS.
pub(crate) trait Wire: Read + Write + Send {
    /// Lets reads and writes fail after this time.
    fn limit(&mut self, time: Option<Duration>) -> io::Result<()>;
}

impl Wire for Stream {
    fn limit(&mut self, time: Option<Duration>) -> io::Result<()> {
        self.set_timeout(time)
    }
}

/// No complete answer came.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not in time.
    #[error("no answer in time")]
    Timeout,
    /// The connection broke, or what came is no HTTP.
    #[error("{0}")]
    Broken(String),
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The body as JSON; null if it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header, if it is there and is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    /// Content type and body.
    pub(crate) body: Option<(&'a str, Vec<u8>)>,
}

impl<'a> Request<'a> {
    /// Asks for a path.
    pub(crate) fn get(path: &'a str) -> Self {
        Self {
            method: "GET",
            path,
            body: None,
        }
    }

    /// Sends JSON to a path.
    pub(crate) fn json(method: &'a str, path: &'a str, body: &Value) -> Self {
        Self {
            method,
            path,
            body: Some(("application/json", body.to_string().into_bytes())),
        }
    }
}

/// A connection on which one request after another is asked.
pub(crate) struct Session {
    agent: Agent,
    host: String,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Speaks HTTP over `wire`, with `host` in the header of that name.
    pub(crate) fn over(wire: impl Wire + 'static, host: &str, timeout: Duration) -> Self {
        let wire = Line {
            wire: Mutex::new(Box::new(wire)),
            buffers: LazyBuffers::new(16 * 1024, 4 * 1024),
            is_open: true,
        };
        let config = Config::builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_per_call(Some(timeout))
            .user_agent(concat!("ops-bridge/", env!("CARGO_PKG_VERSION")))
            .proxy(None)
            .build();
        let agent = Agent::with_parts(config, OneConnection(Mutex::new(Some(wire))), NoResolver);
        Self {
            agent,
            host: host.to_owned(),
        }
    }

    /// Asks, with `bearer` in the Authorization header unless it is empty.
    pub(crate) fn ask(&self, request: &Request<'_>, bearer: &str) -> Result<Reply, Error> {
        let broken = |error: &dyn fmt::Display| Error::Broken(error.to_string());
        // The authority only decides which connection of ureq's pool is used, and there is just one.
        let uri: Uri = format!("http://peer{}", request.path)
            .parse()
            .map_err(|error| broken(&error))?;
        let mut builder = http::Request::builder()
            .method(request.method)
            .uri(uri)
            .header("host", &self.host);
        if !bearer.is_empty() {
            builder = builder.header("authorization", format!("Bearer {bearer}"));
        }
        let answer = match &request.body {
            Some((kind, body)) => {
                let ready = builder
                    .header("content-type", *kind)
                    .body(body.as_slice())
                    .map_err(|error| broken(&error))?;
                self.agent.run(ready)
            }
            None => self
                .agent
                .run(builder.body(()).map_err(|error| broken(&error))?),
        };
        let mut answer = answer.map_err(classify)?;
        let body = answer
            .body_mut()
            .with_config()
            .limit(BODY_LIMIT)
            .read_to_vec()
            .map_err(classify)?;
        Ok(Reply {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            body,
        })
    }
}

fn classify(error: ureq::Error) -> Error {
    match error {
        ureq::Error::Timeout(_) => Error::Timeout,
        ureq::Error::ConnectionFailed => Error::Broken("the connection was closed".to_owned()),
        ureq::Error::Io(error) if is_timeout(&error) => Error::Timeout,
        other => Error::Broken(other.to_string()),
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
    )
}

/// Text for a path or a form, with everything escaped that could mean something there.
pub(crate) fn escape(text: &str) -> String {
    use fmt::Write as _;
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte));
            }
            // Writing to a string cannot fail.
            _ => drop(write!(escaped, "%{byte:02X}")),
        }
    }
    escaped
}

/// Hands out the one connection there is. A second request for one means that the server closed the first.
struct OneConnection(Mutex<Option<Line>>);

impl Connector for OneConnection {
    type Out = Line;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Line>, ureq::Error> {
        let line = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        line.map(Some).ok_or(ureq::Error::ConnectionFailed)
    }
}

impl fmt::Debug for OneConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneConnection")
    }
}

/// The connection exists already, so there is nothing to look up.
#[derive(Debug)]
struct NoResolver;

impl Resolver for NoResolver {
    fn resolve(
        &self,
        _: &Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        addresses.push(([0, 0, 0, 0], 0).into());
        Ok(addresses)
    }
}

struct Line {
    // ureq wants to share what it never uses from two threads at once.
    wire: Mutex<Box<dyn Wire>>,
    buffers: LazyBuffers,
    is_open: bool,
}

impl Line {
    fn wire(&mut self, timeout: NextTimeout) -> Result<&mut Box<dyn Wire>, ureq::Error> {
        let wire = self.wire.get_mut().unwrap_or_else(PoisonError::into_inner);
        if timeout.after.is_zero() {
            return Err(ureq::Error::Timeout(timeout.reason));
        }
        wire.limit(timeout.not_zero().map(|limit| *limit))?;
        Ok(wire)
    }

    fn failed(&mut self, error: io::Error) -> ureq::Error {
        self.is_open = false;
        if is_timeout(&error) {
            ureq::Error::Timeout(Timeout::PerCall)
        } else {
            ureq::Error::Io(error)
        }
    }
}

impl Transport for Line {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let bytes = self.buffers.output()[..amount].to_vec();
        let wire = self.wire(timeout)?;
        wire.write_all(&bytes)
            .and_then(|()| wire.flush())
            .map_err(|error| self.failed(error))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.wire(timeout)?;
        let wire = self.wire.get_mut().unwrap_or_else(PoisonError::into_inner);
        let read = loop {
            match wire.read(self.buffers.input_append_buf()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                read => break read,
            }
        };
        let amount = read.map_err(|error| self.failed(error))?;
        self.buffers.input_appended(amount);
        self.is_open &= amount > 0;
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.is_open
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_for_paths() {
        assert_eq!(escape("@op:chat.example"), "%40op%3Achat.example");
        assert_eq!(escape("a b/ä"), "a%20b%2F%C3%A4");
    }
}
