//! Server discovery: from a server name to the addresses, the Host header and the certificate name that peers use.
//!
//! The algorithm of the specification ("resolving server names"), over a trait, so that it can be tested without a network.

use std::net::{IpAddr, SocketAddr};

use ops_common::span::Span;

use crate::name::{FEDERATION_PORT, HostPart, ServerName};

/// What the algorithm has to ask others.
pub trait Lookups {
    /// Where connections to a port of a host go; a host that is an address is its own answer.
    fn endpoints(&self, host: &str, port: u16) -> Answer<Vec<SocketAddr>>;
    /// The SRV records of a name, in the order of their priority.
    fn srv(&self, name: &str) -> Answer<Vec<SrvRecord>>;
    /// The name that a host delegates to in its well-known, or why it does not.
    fn delegation(&self, host: &str) -> Result<Delegation, String>;
}

/// What a well-known delegates to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegation {
    /// The name in `m.server`.
    pub name: ServerName,
    /// How many seconds peers may keep it.
    pub kept_s: u64,
}

/// The answer to a look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    /// What was asked for.
    Found(T),
    /// It certainly does not exist.
    Absent,
    /// Nobody could tell: a name server that fails or is silent.
    Failed(String),
}

/// One SRV record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SrvRecord {
    /// Lower is asked first.
    pub priority: u16,
    /// The share among equals.
    pub weight: u16,
    /// The port of the service.
    pub port: u16,
    /// The host of the service.
    pub target: String,
    /// The name that the target is an alias of, which RFC 2782 forbids.
    pub alias_of: Option<String>,
}

/// The outcome of discovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Every question in the order it was asked.
    pub steps: Vec<Step>,
    /// Where peers connect, in the order they would try.
    pub targets: Vec<Target>,
    /// What peers send as Host.
    pub host_header: String,
    /// What the certificate must be for; also the SNI, if it is a name.
    pub certificate_name: String,
    /// A look-up failed for a reason that is not the server's: the route may be another.
    pub doubtful: bool,
}

impl Route {
    /// The name of the TLS extension: none for an address, and without the dot of the root (RFC 6066, 3).
    #[must_use]
    pub fn sni(&self) -> Option<&str> {
        let name = self.certificate_name.as_str();
        name.parse::<IpAddr>()
            .is_err()
            .then(|| name.strip_suffix('.').unwrap_or(name))
    }
}

/// One question and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The number in the specification, such as `3.2`.
    pub number: &'static str,
    /// What was asked.
    pub question: String,
    /// What the answer was.
    pub answer: String,
}

/// One place to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The host that the address belongs to.
    pub host: String,
    /// The address and port.
    pub address: SocketAddr,
    /// The number of the step that gave it.
    pub step: &'static str,
}

/// The numbers that the steps have, under a delegation and without.
struct Numbers {
    literal: &'static str,
    port: &'static str,
    srv: &'static str,
    old_srv: &'static str,
    plain: &'static str,
}

const OF_NAME: Numbers = Numbers {
    literal: "1",
    port: "2",
    srv: "4",
    old_srv: "5",
    plain: "6",
};
const OF_DELEGATED: Numbers = Numbers {
    literal: "3.1",
    port: "3.2",
    srv: "3.3",
    old_srv: "3.4",
    plain: "3.5",
};

/// Finds where peers of `server` connect to.
pub fn resolve(server: &ServerName, lookups: &impl Lookups) -> Route {
    let mut walk = Walk {
        lookups,
        steps: Vec::new(),
        targets: Vec::new(),
        doubtful: false,
    };
    let (name, numbers) = match (&server.host, server.port) {
        (HostPart::Dns(host), None) => match walk.delegation(host) {
            Some(delegated) => (delegated, OF_DELEGATED),
            None => (server.clone(), OF_NAME),
        },
        _ => (server.clone(), OF_NAME),
    };
    walk.locate(&name, &numbers);
    Route {
        steps: walk.steps,
        targets: walk.targets,
        host_header: name.as_str().to_owned(),
        certificate_name: name.host_text(),
        doubtful: walk.doubtful,
    }
}

struct Walk<'a, L> {
    lookups: &'a L,
    steps: Vec<Step>,
    targets: Vec<Target>,
    doubtful: bool,
}

impl<L: Lookups> Walk<'_, L> {
    fn tell(
        &mut self,
        number: &'static str,
        question: impl Into<String>,
        answer: impl Into<String>,
    ) {
        self.steps.push(Step {
            number,
            question: question.into(),
            answer: answer.into(),
        });
    }

    fn delegation(&mut self, host: &str) -> Option<ServerName> {
        let question = format!("https://{host}/.well-known/matrix/server");
        let answer = self.lookups.delegation(host);
        match answer {
            Ok(Delegation { name, kept_s }) => {
                let kept = Span::seconds(kept_s);
                self.tell(
                    "3",
                    question,
                    format!("m.server {name}, which peers may keep for {kept}"),
                );
                Some(name)
            }
            Err(reason) => {
                self.tell("3", question, reason);
                None
            }
        }
    }

    /// Steps 1, 2, 4, 5 and 6, which are also 3.1 to 3.5.
    fn locate(&mut self, name: &ServerName, numbers: &Numbers) {
        match (&name.host, name.port) {
            (HostPart::Literal(address), port) => {
                let port = port.unwrap_or(FEDERATION_PORT);
                self.endpoints(&address.to_string(), port, numbers.literal);
            }
            (HostPart::Dns(host), Some(port)) => self.endpoints(host, port, numbers.port),
            (HostPart::Dns(host), None) => {
                let found = self.srv(host, "_matrix-fed._tcp", numbers.srv)
                    || self.srv(host, "_matrix._tcp", numbers.old_srv);
                if !found {
                    self.endpoints(host, FEDERATION_PORT, numbers.plain);
                }
            }
        }
    }

    /// Follows the SRV records of a service; false if there are none, so that the next step is due.
    fn srv(&mut self, host: &str, service: &str, number: &'static str) -> bool {
        let question = format!("SRV {service}.{host}");
        let records = match self.lookups.srv(&format!("{service}.{host}")) {
            Answer::Found(records) if !records.is_empty() => records,
            Answer::Found(_) | Answer::Absent => {
                self.tell(number, question, "none");
                return false;
            }
            Answer::Failed(reason) => {
                self.doubtful = true;
                self.tell(number, question, format!("cannot tell: {reason}"));
                return false;
            }
        };
        for record in records {
            let SrvRecord {
                priority,
                weight,
                port,
                target,
                alias_of,
            } = record;
            let answer = format!("{priority} {weight} {port} {target}");
            match alias_of {
                // RFC 2782 has a dot for "decidedly not available here".
                _ if target.is_empty() || target == "." => {
                    self.tell(
                        number,
                        question.clone(),
                        format!("{answer}: the service is declared absent"),
                    );
                }
                Some(real) => {
                    let refused = format!("{answer}: refused, '{target}' is an alias of '{real}'");
                    self.tell(number, question.clone(), refused);
                }
                None => {
                    self.tell(number, question.clone(), answer);
                    self.endpoints(&target, port, number);
                }
            }
        }
        true
    }

    fn endpoints(&mut self, host: &str, port: u16, number: &'static str) {
        let question = format!("addresses of {host}");
        match self.lookups.endpoints(host, port) {
            Answer::Found(endpoints) if !endpoints.is_empty() => {
                let listed: Vec<_> = endpoints.iter().map(SocketAddr::to_string).collect();
                self.tell(number, question, listed.join(" "));
                for address in endpoints {
                    let host = host.to_owned();
                    self.targets.push(Target {
                        host,
                        address,
                        step: number,
                    });
                }
            }
            Answer::Found(_) | Answer::Absent => self.tell(number, question, "none"),
            Answer::Failed(reason) => {
                self.doubtful = true;
                self.tell(number, question, format!("cannot tell: {reason}"));
            }
        }
    }
}

#[cfg(test)]
#[path = "discovery_tests.rs"]
mod tests;
