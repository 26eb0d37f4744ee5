//! A name server on loopback that answers as a test says.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, SRV};
use hickory_proto::rr::{Name, RData, Record};

/// What is known about a name.
#[derive(Clone)]
pub(crate) enum Known {
    /// Records; what does not fit the question is left out.
    Records(Vec<RData>),
    /// The server fails.
    Fails,
    /// The server says nothing.
    Silent,
    /// Over UDP the answer is cut; over TCP it is whole.
    Cut(Vec<RData>),
}

/// A running name server.
pub(crate) struct Names {
    pub(crate) address: SocketAddr,
    questions: Arc<AtomicUsize>,
}

impl Names {
    /// Starts one at a free port of loopback.
    pub(crate) fn start(known: &[(&str, Known)]) -> Self {
        Self::at((Ipv4Addr::LOCALHOST, 0).into(), known)
    }

    /// Starts one at this address.
    pub(crate) fn at(address: SocketAddr, known: &[(&str, Known)]) -> Self {
        let known: HashMap<String, Known> = known
            .iter()
            .map(|(name, known)| (format!("{name}."), known.clone()))
            .collect();
        let known = Arc::new(known);
        let tcp = TcpListener::bind(address).unwrap();
        let address = tcp.local_addr().unwrap();
        let udp = UdpSocket::bind(address).unwrap();
        let questions: Arc<AtomicUsize> = Arc::default();
        let (own, counted) = (Arc::clone(&known), Arc::clone(&questions));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((length, client)) = udp.recv_from(&mut buffer) {
                counted.fetch_add(1, Ordering::SeqCst);
                if let Some(answer) = answer(&buffer[..length], &own, true) {
                    udp.send_to(&answer, client).ok();
                }
            }
        });
        std::thread::spawn(move || {
            for stream in tcp.incoming().map_while(Result::ok) {
                // A client that connects and says nothing must not keep others waiting.
                let known = Arc::clone(&known);
                std::thread::spawn(move || over_tcp(stream, &known).ok());
            }
        });
        Self { address, questions }
    }

    /// How many questions came over UDP.
    pub(crate) fn questions(&self) -> usize {
        self.questions.load(Ordering::SeqCst)
    }
}

fn over_tcp(mut stream: TcpStream, known: &HashMap<String, Known>) -> std::io::Result<()> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut question)?;
    let Some(answer) = answer(&question, known, false) else {
        return Ok(());
    };
    let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length, answer.as_slice()].concat())
}

fn answer(question: &[u8], known: &HashMap<String, Known>, udp: bool) -> Option<Vec<u8>> {
    let question = Message::from_vec(question).unwrap();
    let query = question.queries[0].clone();
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.add_query(query.clone());
    let records = match known.get(&query.name.to_ascii().to_lowercase()) {
        None => {
            answer.metadata.response_code = ResponseCode::NXDomain;
            Vec::new()
        }
        Some(Known::Fails) => {
            answer.metadata.response_code = ResponseCode::ServFail;
            Vec::new()
        }
        Some(Known::Silent) => return None,
        Some(Known::Cut(_)) if udp => {
            answer.metadata.truncation = true;
            Vec::new()
        }
        Some(Known::Cut(records) | Known::Records(records)) => records.clone(),
    };
    for record in records {
        if record.record_type() == query.query_type {
            answer.add_answer(Record::from_rdata(query.name.clone(), 60, record));
        }
    }
    Some(answer.to_vec().unwrap())
}

pub(crate) fn v4(address: &str) -> RData {
    RData::A(A(address.parse().unwrap()))
}

pub(crate) fn v6(address: &str) -> RData {
    RData::AAAA(AAAA(address.parse().unwrap()))
}

pub(crate) fn srv(priority: u16, port: u16, target: &str) -> RData {
    RData::SRV(SRV::new(
        priority,
        0,
        port,
        Name::from_ascii(target).unwrap(),
    ))
}

pub(crate) fn alias(of: &str) -> RData {
    RData::CNAME(CNAME(Name::from_ascii(of).unwrap()))
}
