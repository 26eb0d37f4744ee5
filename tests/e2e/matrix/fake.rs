//! A server that answers as a test says: on loopback, with or without TLS, and as wrong as can be.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What a client asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) host: String,
    pub(crate) sni: Option<String>,
}

/// What the server does about it.
pub(crate) enum Act {
    /// Sends these bytes and keeps the connection for the next request.
    Send(Vec<u8>),
    /// Sends these bytes and closes.
    SendAndClose(Vec<u8>),
    /// Sends these bytes, then one more at a time, as slowly as the client's patience allows.
    Drip(Vec<u8>),
    /// Sends these bytes, then others without end.
    Flood(Vec<u8>),
    /// Says nothing until the client leaves.
    Silence,
}

/// How a connection begins.
pub(crate) enum Start {
    /// With a TLS handshake.
    Tls(Arc<ServerConfig>),
    /// With the first request.
    Plain,
    /// With this answer to whatever comes first, and then the end.
    Raw(Vec<u8>),
    /// Never.
    Silence,
}

pub(crate) type Answers = dyn Fn(&Asked) -> Act + Send + Sync;

/// A running server; it ends with the test's process.
#[derive(Clone)]
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Fake {
    /// Starts a server at a free port of a loopback address.
    pub(crate) fn start(
        ip: &str,
        start: Start,
        answers: impl Fn(&Asked) -> Act + Send + Sync + 'static,
    ) -> Self {
        Self::at(
            SocketAddr::new(ip.parse::<IpAddr>().unwrap(), 0),
            start,
            answers,
        )
    }

    /// Starts a server at this address.
    pub(crate) fn at(
        address: SocketAddr,
        start: Start,
        answers: impl Fn(&Asked) -> Act + Send + Sync + 'static,
    ) -> Self {
        let listener =
            TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        let fake = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            asked: Arc::default(),
        };
        let (start, answers): (Arc<Start>, Arc<Answers>) = (Arc::new(start), Arc::new(answers));
        let own = fake.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                own.connections.fetch_add(1, Ordering::SeqCst);
                let (start, answers, own) = (Arc::clone(&start), Arc::clone(&answers), own.clone());
                // A client that has seen enough leaves in the middle: that is its right.
                std::thread::spawn(move || own.serve(stream, &start, &*answers).ok());
            }
        });
        fake
    }

    /// How many connections came: proof that a fault was met.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Everything that was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn serve(&self, mut stream: TcpStream, start: &Start, answers: &Answers) -> io::Result<()> {
        match start {
            Start::Tls(config) => {
                let mut connection =
                    ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
                while connection.is_handshaking() {
                    connection.complete_io(&mut stream)?;
                }
                let sni = connection.server_name().map(str::to_owned);
                self.talk(
                    StreamOwned::new(connection, stream),
                    sni.as_deref(),
                    answers,
                )
            }
            Start::Plain => self.talk(stream, None, answers),
            Start::Raw(bytes) => {
                // The client's first words are read, or closing would reset what is sent.
                let heard = stream.read(&mut [0; 4096])?;
                if heard == 0 {
                    Ok(())
                } else {
                    stream.write_all(bytes)
                }
            }
            Start::Silence => until_it_leaves(&mut stream),
        }
    }

    fn talk(
        &self,
        stream: impl Read + Write,
        sni: Option<&str>,
        answers: &Answers,
    ) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        while let Some(asked) = request(&mut reader, sni)? {
            self.asked.lock().unwrap().push(asked.clone());
            let stream = reader.get_mut();
            match answers(&asked) {
                Act::Send(bytes) => stream.write_all(&bytes).and_then(|()| stream.flush())?,
                Act::SendAndClose(bytes) => {
                    return stream.write_all(&bytes).and_then(|()| stream.flush());
                }
                Act::Drip(bytes) => {
                    stream.write_all(&bytes)?;
                    loop {
                        stream.write_all(b" ").and_then(|()| stream.flush())?;
                        // The pace of the fault itself, not a wait for anything.
                        std::thread::park_timeout(std::time::Duration::from_millis(100));
                    }
                }
                Act::Flood(bytes) => {
                    stream.write_all(&bytes)?;
                    loop {
                        stream.write_all(&[b'x'; 16384])?;
                    }
                }
                Act::Silence => return until_it_leaves(stream),
            }
        }
        Ok(())
    }
}

fn until_it_leaves(stream: &mut impl Read) -> io::Result<()> {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer)? > 0 {}
    Ok(())
}

fn request(reader: &mut impl BufRead, sni: Option<&str>) -> io::Result<Option<Asked>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_ascii_whitespace().map(str::to_owned);
    let mut asked = Asked {
        method: words.next().unwrap_or_default(),
        path: words.next().unwrap_or_default(),
        sni: sni.map(str::to_owned),
        ..Asked::default()
    };
    let mut length = 0;
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "host" => value.trim().clone_into(&mut asked.host),
            "content-length" => length = value.trim().parse().unwrap_or(0),
            _ => (),
        }
    }
    io::copy(&mut reader.take(length), &mut io::sink())?;
    Ok(Some(asked))
}

/// An HTTP/1.1 answer with these headers, one on a line.
pub(crate) fn reply(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let mut text = format!(
        "HTTP/1.1 {status} Whatever\r\nContent-Length: {}\r\n",
        body.len()
    );
    for header in headers
        .lines()
        .map(str::trim)
        .filter(|header| !header.is_empty())
    {
        text.push_str(header);
        text.push_str("\r\n");
    }
    format!("{text}\r\n{body}").into_bytes()
}

/// A JSON answer of a server that is well.
pub(crate) fn json(body: &str) -> Vec<u8> {
    reply(
        200,
        "Content-Type: application/json\nAccess-Control-Allow-Origin: *",
        body,
    )
}
