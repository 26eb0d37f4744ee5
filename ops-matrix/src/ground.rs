//! The machine from which everything is looked at: this one, or a host behind ssh.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::mpsc;

use ops_common::host::{self, Host};

use crate::discovery::Answer;
use crate::dns;
use crate::socket::{Deadline, Socket, is_timeout};

/// A machine that can look names up and dial addresses.
pub trait Ground: Send + Sync {
    /// The addresses of a name as the programs of that machine see them, /etc/hosts and all.
    fn addresses(&self, name: &str, deadline: Deadline) -> Answer<Vec<IpAddr>>;
    /// A connection from there to one address, which is never exchanged for another.
    fn dial(&self, address: SocketAddr, deadline: Deadline)
    -> Result<Box<dyn Socket>, DialFailure>;
    /// The text of its resolv.conf.
    fn resolv_conf(&self) -> Result<String, String>;
    /// Whether UDP reaches what is reached from there.
    fn has_udp(&self) -> bool;
}

/// Why an address cannot be connected to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialFailure {
    /// Nobody listens there.
    #[error("connection refused")]
    Refused,
    /// The host behind ssh got no connection, and its sshd does not say why.
    #[error("the host cannot connect there: refused or unreachable")]
    Failed,
    /// Nothing comes back: a firewall, or a machine that is not there.
    #[error("no answer to the connection attempt")]
    Timeout,
    /// The machine that we look from has no way there.
    #[error("no route to that address")]
    Unreachable,
    /// Whatever else.
    #[error("{0}")]
    Other(String),
    /// The way to the machine that we look from broke.
    #[error("cannot look: {0}")]
    Lost(String),
}

/// This machine.
pub struct Here;

impl Ground for Here {
    /// What glibc says, in a thread of its own: it takes no deadline.
    fn addresses(&self, name: &str, deadline: Deadline) -> Answer<Vec<IpAddr>> {
        let Ok(left) = deadline.left() else {
            return Answer::Failed("no time left".to_owned());
        };
        let (sender, receiver) = mpsc::channel();
        let host = name.to_owned();
        std::thread::spawn(move || {
            let found = (host.as_str(), 0)
                .to_socket_addrs()
                .map(Iterator::collect::<Vec<_>>);
            // Nobody listens any more once the deadline is over.
            sender.send(found).ok();
        });
        match receiver.recv_timeout(left) {
            Ok(Ok(found)) => Answer::Found(distinct(found.iter().map(SocketAddr::ip))),
            Ok(Err(error)) => absent_or_failed(&error),
            Err(_) => Answer::Failed("the resolver did not answer in time".to_owned()),
        }
    }

    fn dial(
        &self,
        address: SocketAddr,
        deadline: Deadline,
    ) -> Result<Box<dyn Socket>, DialFailure> {
        let left = deadline.left().map_err(|_| DialFailure::Timeout)?;
        let stream =
            TcpStream::connect_timeout(&address, left).map_err(|error| classify(&error))?;
        stream.set_nodelay(true).map_err(|error| classify(&error))?;
        Ok(Box::new(stream))
    }

    fn resolv_conf(&self) -> Result<String, String> {
        std::fs::read_to_string("/etc/resolv.conf")
            .map_err(|error| format!("cannot read /etc/resolv.conf: {error}"))
    }

    fn has_udp(&self) -> bool {
        true
    }
}

/// glibc's error says no more than its text: a name that does not exist, or a resolver that does not work.
fn absent_or_failed(error: &io::Error) -> Answer<Vec<IpAddr>> {
    let text = error.to_string();
    if text.contains("not known") || text.contains("No address associated") {
        return Answer::Absent;
    }
    Answer::Failed(
        text.trim_start_matches("failed to lookup address information: ")
            .to_lowercase(),
    )
}

fn classify(error: &io::Error) -> DialFailure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => DialFailure::Refused,
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::AddrNotAvailable => DialFailure::Unreachable,
        _ if is_timeout(error) => DialFailure::Timeout,
        _ => DialFailure::Other(error.to_string()),
    }
}

/// A host behind ssh: names are looked up there, and every connection is a channel of the one ssh session.
pub struct Afar<'a>(pub &'a Host);

impl Ground for Afar<'_> {
    fn addresses(&self, name: &str, deadline: Deadline) -> Answer<Vec<IpAddr>> {
        let Ok(left) = deadline.left() else {
            return Answer::Failed("no time left".to_owned());
        };
        let question = host::Command::new("getent")
            .arg("ahosts")
            .arg(name)
            .deadline(left);
        match self.0.run(&question) {
            Ok(ended) if ended.status == 0 => {
                Answer::Found(of_getent(&String::from_utf8_lossy(&ended.stdout)))
            }
            // getent(1): one or more supplied keys could not be found.
            Ok(ended) if ended.status == 2 => Answer::Absent,
            Ok(ended) => Answer::Failed(format!("getent failed with status {}", ended.status)),
            Err(error) => Answer::Failed(error.to_string()),
        }
    }

    fn dial(
        &self,
        address: SocketAddr,
        deadline: Deadline,
    ) -> Result<Box<dyn Socket>, DialFailure> {
        deadline.left().map_err(|_| DialFailure::Timeout)?;
        match self.0.connect_tcp(address.ip(), address.port()) {
            Ok(stream) => Ok(Box::new(stream)),
            Err(host::Error::Forward { reason, .. }) => Err(of_reason(&reason)),
            Err(error) => Err(DialFailure::Lost(error.to_string())),
        }
    }

    fn resolv_conf(&self) -> Result<String, String> {
        let text = self
            .0
            .output(&host::Command::new("cat").arg("/etc/resolv.conf"));
        text.map(|text| String::from_utf8_lossy(&text).into_owned())
            .map_err(|error| error.to_string())
    }

    fn has_udp(&self) -> bool {
        false
    }
}

/// The machine that a host is.
#[must_use]
pub fn of(host: &Host) -> Box<dyn Ground + '_> {
    if host.is_local() {
        Box::new(Here)
    } else {
        Box::new(Afar(host))
    }
}

/// The addresses of `getent ahosts`, one line per address and kind of socket.
fn of_getent(text: &str) -> Vec<IpAddr> {
    distinct(
        text.lines()
            .filter_map(|line| line.split_ascii_whitespace().next()?.parse().ok()),
    )
}

fn distinct(addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut kept = Vec::new();
    for address in addresses {
        if !kept.contains(&address) {
            kept.push(address);
        }
    }
    kept
}

/// sshd tells why it could not connect in words only.
fn of_reason(reason: &str) -> DialFailure {
    let lower = reason.to_lowercase();
    match () {
        () if lower.contains("refused") => DialFailure::Refused,
        () if lower == "connect failed" => DialFailure::Failed,
        () if lower.contains("timed out") || lower.contains("in time") => DialFailure::Timeout,
        () if lower.contains("unreachable")
            || lower.contains("no route")
            || lower.contains("cannot assign") =>
        {
            DialFailure::Unreachable
        }
        () => DialFailure::Other(reason.to_owned()),
    }
}

/// The name servers of a machine, asked the way that it can be reached.
pub fn name_servers(ground: &dyn Ground) -> Result<Vec<SocketAddr>, String> {
    let servers = dns::servers_of(&ground.resolv_conf()?);
    if servers.is_empty() {
        Err("resolv.conf names no name server".to_owned())
    } else {
        Ok(servers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn getent_tells_an_address_once_for_each_kind_of_socket() {
        let text = "::1             STREAM localhost\n::1             DGRAM\n::1             RAW\n127.0.0.1       STREAM\n127.0.0.1       DGRAM\n";
        let expected: [IpAddr; 2] = ["::1".parse().unwrap(), "127.0.0.1".parse().unwrap()];
        assert_eq!(of_getent(text), expected);
        assert_eq!(of_getent(""), [] as [IpAddr; 0]);
    }

    #[test]
    fn the_words_of_sshd_are_understood() {
        for (reason, expected) in [
            ("Connection refused", DialFailure::Refused),
            ("connect failed", DialFailure::Failed),
            ("connect failed: Connection timed out", DialFailure::Timeout),
            ("Network is unreachable", DialFailure::Unreachable),
            ("No route to host", DialFailure::Unreachable),
            (
                "administratively prohibited",
                DialFailure::Other("administratively prohibited".into()),
            ),
        ] {
            assert_eq!(of_reason(reason), expected, "{reason}");
        }
    }

    #[test]
    fn a_closed_port_of_this_machine_is_refused() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        drop(listener);
        let dialled = Here.dial(address, Deadline::after(Duration::from_secs(5)));
        assert_eq!(dialled.err(), Some(DialFailure::Refused));
    }
}
