//! Questions to a name server that the resolver of the system does not ask: SRV records, and whether a name is an alias.
//!
//! The messages are hickory-proto's. A question goes over UDP and again over TCP if the answer was cut, or at once over
//! TCP where the name server is reached through a host.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::str::FromStr as _;
use std::time::Duration;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use ops_common::hosts::fan_out;

use crate::discovery::{Answer, SrvRecord};
use crate::socket::{Deadline, Socket};

const PORT: u16 = 53;

/// How long one name server has for one answer before the question is repeated.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often each name server is asked.
const TRIES: usize = 2;

/// Questions asked at a time.
const AT_A_TIME: usize = 16;

/// The longest answer that UDP can carry.
const LARGEST_DATAGRAM: usize = 65535;

/// Opens a TCP connection to a name server.
pub type Dial<'a> = dyn Fn(SocketAddr, Deadline) -> io::Result<Box<dyn Socket>> + Send + Sync + 'a;

/// The name servers to ask, and the way to them.
pub struct Client<'a> {
    /// In the order they are asked.
    pub servers: Vec<SocketAddr>,
    /// Whether UDP reaches them.
    pub udp: bool,
    /// How TCP reaches them.
    pub dial: Box<Dial<'a>>,
}

/// Reads the name servers of a resolv.conf.
#[must_use]
pub fn servers_of(resolv_conf: &str) -> Vec<SocketAddr> {
    let server = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let address = (words.next()? == "nameserver").then(|| words.next())??;
        // A link-local address may name its interface, which only the system's resolver can use.
        Some(SocketAddr::new(address.parse().ok()?, PORT))
    };
    resolv_conf.lines().filter_map(server).collect()
}

/// Reads `ADDR[:PORT]` as `--dns` has it.
pub fn parse_server(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address: IpAddr = bare
        .parse()
        .map_err(|_| format!("'{text}' is no address of a name server"))?;
    Ok(SocketAddr::new(address, PORT))
}

impl Client<'_> {
    /// The SRV records of `name`, in the order that clients try them.
    #[must_use]
    pub fn srv(&self, name: &str, deadline: Deadline) -> Answer<Vec<SrvRecord>> {
        let answer = match self.ask(name, RecordType::SRV, deadline) {
            Ok(Some(answer)) => answer,
            Ok(None) => return Answer::Absent,
            Err(reason) => return Answer::Failed(reason),
        };
        let mut records: Vec<SrvRecord> = answer
            .answers
            .iter()
            .filter_map(|record| match &record.data {
                RData::SRV(srv) => Some(SrvRecord {
                    priority: srv.priority,
                    weight: srv.weight,
                    port: srv.port,
                    target: plain(&srv.target),
                    alias_of: None,
                }),
                _ => None,
            })
            .collect();
        records.sort_by_key(|record| (record.priority, u16::MAX - record.weight));
        let aliases = fan_out(&records, AT_A_TIME, |record| {
            self.alias(&record.target, deadline)
        });
        for (record, alias) in records.iter_mut().zip(aliases) {
            record.alias_of = alias;
        }
        if records.is_empty() {
            Answer::Absent
        } else {
            Answer::Found(records)
        }
    }

    /// The name that `name` is an alias of, if it is one.
    fn alias(&self, name: &str, deadline: Deadline) -> Option<String> {
        if name == "." {
            return None;
        }
        let answer = self.ask(name, RecordType::CNAME, deadline).ok()??;
        answer.answers.iter().find_map(|record| match &record.data {
            RData::CNAME(alias) => Some(plain(&alias.0)),
            _ => None,
        })
    }

    /// The addresses of `name`, those of IPv6 first as the default policy of hosts has it.
    #[must_use]
    pub fn addresses(&self, name: &str, deadline: Deadline) -> Answer<Vec<IpAddr>> {
        let mut found = Vec::new();
        let mut failed = None;
        let kinds = [RecordType::AAAA, RecordType::A];
        for answer in fan_out(&kinds, kinds.len(), |kind| self.ask(name, *kind, deadline)) {
            match answer {
                Ok(Some(answer)) => {
                    let addresses = answer
                        .answers
                        .iter()
                        .filter_map(|record| match &record.data {
                            RData::A(address) => Some(IpAddr::V4(address.0)),
                            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
                            _ => None,
                        });
                    found.extend(addresses);
                }
                Ok(None) => (),
                Err(reason) => failed = Some(reason),
            }
        }
        match (found.is_empty(), failed) {
            (false, _) => Answer::Found(found),
            (true, Some(reason)) => Answer::Failed(reason),
            (true, None) => Answer::Absent,
        }
    }

    /// Asks one server after the other. None is a name that does not exist.
    fn ask(
        &self,
        name: &str,
        kind: RecordType,
        deadline: Deadline,
    ) -> Result<Option<Message>, String> {
        let mut name =
            Name::from_str(name).map_err(|error| format!("'{name}' is no DNS name: {error}"))?;
        name.set_fqdn(true);
        let mut query = Message::query();
        query.metadata.recursion_desired = true;
        query.add_query(Query::query(name, kind));
        let bytes = query.to_vec().map_err(|error| error.to_string())?;
        let mut last = "no name server is known".to_owned();
        for server in self.servers.iter().cycle().take(self.servers.len() * TRIES) {
            let told = match self.ask_one(*server, &query, &bytes, deadline.or_after(PATIENCE)) {
                Ok(answer) => answer,
                Err(error) => {
                    last = format!("name server {server}: {}", told(&error));
                    continue;
                }
            };
            match told.metadata.response_code {
                ResponseCode::NoError => return Ok(Some(told)),
                ResponseCode::NXDomain => return Ok(None),
                code => last = format!("name server {server}: {code}"),
            }
        }
        Err(last)
    }

    fn ask_one(
        &self,
        server: SocketAddr,
        query: &Message,
        bytes: &[u8],
        deadline: Deadline,
    ) -> io::Result<Message> {
        if self.udp {
            let answer = over_udp(server, query, bytes, deadline)?;
            if !answer.metadata.truncation {
                return Ok(answer);
            }
        }
        self.over_tcp(server, query, bytes, deadline)
    }

    fn over_tcp(
        &self,
        server: SocketAddr,
        query: &Message,
        bytes: &[u8],
        deadline: Deadline,
    ) -> io::Result<Message> {
        let mut socket = (self.dial)(server, deadline)?;
        socket.set_timeout(Some(deadline.left()?))?;
        let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
        socket.write_all(&[&length.to_be_bytes(), bytes].concat())?;
        socket.flush()?;
        let mut length = [0; 2];
        socket.read_exact(&mut length)?;
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        socket.set_timeout(Some(deadline.left()?))?;
        socket.read_exact(&mut answer)?;
        matching(&answer, query).ok_or_else(|| io::Error::other("an answer to another question"))
    }
}

fn over_udp(
    server: SocketAddr,
    query: &Message,
    bytes: &[u8],
    deadline: Deadline,
) -> io::Result<Message> {
    let any: SocketAddr = if server.is_ipv4() {
        ([0; 4], 0).into()
    } else {
        ([0u16; 8], 0).into()
    };
    let socket = UdpSocket::bind(any)?;
    // Connected, so that the kernel drops what comes from anybody else.
    socket.connect(server)?;
    socket.send(bytes)?;
    let mut buffer = vec![0; LARGEST_DATAGRAM];
    loop {
        socket.set_read_timeout(Some(deadline.left()?))?;
        let length = socket.recv(&mut buffer)?;
        if let Some(answer) = matching(&buffer[..length], query) {
            return Ok(answer);
        }
    }
}

/// The answer, if it is one to this question.
fn matching(bytes: &[u8], query: &Message) -> Option<Message> {
    let answer = Message::from_vec(bytes).ok()?;
    (answer.metadata.id == query.metadata.id && answer.queries == query.queries).then_some(answer)
}

fn plain(name: &Name) -> String {
    let text = name.to_ascii();
    if text.len() > 1 {
        text.trim_end_matches('.').to_owned()
    } else {
        text
    }
}

fn told(error: &io::Error) -> String {
    if crate::socket::is_timeout(error) {
        "no answer in time".to_owned()
    } else {
        error.to_string()
    }
}
