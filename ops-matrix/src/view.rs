//! What can be asked from where we look: names, SRV records and addresses, with the exceptions of the command line.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::discovery::{Answer, SrvRecord};
use crate::dns;
use crate::ground::{DialFailure, Ground, name_servers};
use crate::socket::{Deadline, Socket};

/// The exceptions that the command line makes.
#[derive(Debug, Clone, Default)]
pub struct Exceptions {
    /// Ask this name server instead of the system's resolver.
    pub dns: Option<SocketAddr>,
    /// Addresses for a host and port that are not looked up.
    pub resolve: Vec<Resolve>,
    /// Another host and port to connect to.
    pub connect_to: Vec<ConnectTo>,
}

/// `HOST:PORT:ADDRESS[,ADDRESS...]`, as curl has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolve {
    host: String,
    port: u16,
    addresses: Vec<IpAddr>,
}

/// `HOST1:PORT1:HOST2:PORT2`, as curl has it; an empty HOST1 or PORT1 is any, an empty HOST2 or PORT2 the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectTo {
    from: (String, Option<u16>),
    to: (String, Option<u16>),
}

impl FromStr for Resolve {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is not HOST:PORT:ADDRESS");
        let (host, rest) = host_and_rest(text).ok_or_else(wrong)?;
        let (port, addresses) = rest.split_once(':').ok_or_else(wrong)?;
        let address = |text: &str| text.trim_matches(['[', ']']).parse().map_err(|_| wrong());
        let addresses = addresses
            .split(',')
            .map(address)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            host: host.to_owned(),
            port: port.parse().map_err(|_| wrong())?,
            addresses,
        })
    }
}

impl FromStr for ConnectTo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is not HOST1:PORT1:HOST2:PORT2");
        let port = |text: &str| {
            if text.is_empty() {
                Ok(None)
            } else {
                text.parse().map(Some).map_err(|_| wrong())
            }
        };
        let (from, rest) = host_and_rest(text).ok_or_else(wrong)?;
        let (from_port, rest) = rest.split_once(':').ok_or_else(wrong)?;
        let (to, to_port) = host_and_rest(rest).ok_or_else(wrong)?;
        Ok(Self {
            from: (from.to_owned(), port(from_port)?),
            to: (to.to_owned(), port(to_port)?),
        })
    }
}

/// Splits a host, which may be an IPv6 address in brackets, from what follows its colon.
fn host_and_rest(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('[') {
        Some(inner) => {
            let (host, rest) = inner.split_once(']')?;
            Some((host, rest.strip_prefix(':')?))
        }
        None => text.split_once(':'),
    }
}

/// The longest that one question may take, however long the whole may.
const PATIENCE: Duration = Duration::from_secs(10);

/// Questions that follow one another, such as well-known, SRV, keys, have the time of the whole between them.
const SHARES: u32 = 4;

type Addresses = Answer<Vec<IpAddr>>;

/// The view from a machine.
pub struct View<'a> {
    ground: &'a dyn Ground,
    exceptions: &'a Exceptions,
    connect_timeout: Duration,
    deadline: Deadline,
    patience: Duration,
    seen: Mutex<HashMap<String, Arc<OnceLock<Addresses>>>>,
    servers: OnceLock<Result<Vec<SocketAddr>, String>>,
}

impl<'a> View<'a> {
    /// Looks from `ground`; everything is over after `whole`.
    #[must_use]
    pub fn new(
        ground: &'a dyn Ground,
        exceptions: &'a Exceptions,
        connect_timeout: Duration,
        whole: Duration,
    ) -> Self {
        Self {
            ground,
            exceptions,
            connect_timeout,
            deadline: Deadline::after(whole),
            patience: (whole / SHARES).min(PATIENCE),
            seen: Mutex::default(),
            servers: OnceLock::new(),
        }
    }

    /// When everything is over.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// How long one question may take, so that a silent peer leaves time for the next question.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// When a question that is asked now has to be answered.
    #[must_use]
    pub fn soon(&self) -> Deadline {
        self.deadline.or_after(self.patience)
    }

    /// The sockets that a client of `host` and `port` may connect to, in the order it would.
    #[must_use]
    pub fn endpoints(&self, host: &str, port: u16) -> Answer<Vec<SocketAddr>> {
        let (host, port) = self.redirected(host, port);
        let fixed = self
            .exceptions
            .resolve
            .iter()
            .find(|one| one.port == port && one.host.eq_ignore_ascii_case(&host));
        let addresses = match (fixed, host.trim_matches(['[', ']']).parse::<IpAddr>()) {
            (Some(fixed), _) => Answer::Found(fixed.addresses.clone()),
            (None, Ok(address)) => Answer::Found(vec![address]),
            (None, Err(_)) => self.addresses(&host),
        };
        match addresses {
            Answer::Found(addresses) => Answer::Found(
                addresses
                    .into_iter()
                    .map(|address| SocketAddr::new(address, port))
                    .collect(),
            ),
            Answer::Absent => Answer::Absent,
            Answer::Failed(reason) => Answer::Failed(reason),
        }
    }

    fn redirected(&self, host: &str, port: u16) -> (String, u16) {
        let applies = |one: &&ConnectTo| {
            let (from, from_port) = &one.from;
            (from.is_empty() || from.eq_ignore_ascii_case(host))
                && from_port.is_none_or(|from| from == port)
        };
        match self.exceptions.connect_to.iter().find(applies) {
            Some(ConnectTo {
                to: (to, to_port), ..
            }) => {
                let to = if to.is_empty() { host } else { to };
                (to.to_owned(), to_port.unwrap_or(port))
            }
            None => (host.to_owned(), port),
        }
    }

    /// Each name is looked up once in a run, and a slow one keeps only those waiting that want the same.
    fn addresses(&self, name: &str) -> Answer<Vec<IpAddr>> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = Arc::clone(seen.entry(name.to_owned()).or_default());
        drop(seen);
        let look_up = || match self.exceptions.dns {
            Some(server) => self.client(vec![server]).addresses(name, self.soon()),
            None => self.confirmed(name, self.ground.addresses(name, self.soon())),
        };
        answer.get_or_init(look_up).clone()
    }

    /// getent(1) of a host says the same of a name that does not exist and of a resolver that is dead: its name servers
    /// tell which.
    fn confirmed(&self, name: &str, answer: Answer<Vec<IpAddr>>) -> Answer<Vec<IpAddr>> {
        if answer != Answer::Absent || self.ground.has_udp() {
            return answer;
        }
        let servers = self.servers.get_or_init(|| name_servers(self.ground));
        let Ok(servers) = servers.clone() else {
            return answer;
        };
        match self.client(servers).addresses(name, self.soon()) {
            Answer::Failed(reason) => Answer::Failed(reason),
            _ => answer,
        }
    }

    /// The SRV records of a name.
    #[must_use]
    pub fn srv(&self, name: &str) -> Answer<Vec<SrvRecord>> {
        let servers = match self.exceptions.dns {
            Some(server) => Ok(vec![server]),
            None => self
                .servers
                .get_or_init(|| name_servers(self.ground))
                .clone(),
        };
        match servers {
            Ok(servers) => self.client(servers).srv(name, self.soon()),
            Err(reason) => Answer::Failed(reason),
        }
    }

    fn client(&self, servers: Vec<SocketAddr>) -> dns::Client<'_> {
        let dial = |address, deadline| {
            self.ground
                .dial(address, deadline)
                .map_err(std::io::Error::other)
        };
        dns::Client {
            servers,
            udp: self.ground.has_udp(),
            dial: Box::new(dial),
        }
    }

    /// Connects to one address.
    pub fn dial(&self, address: SocketAddr) -> Result<Box<dyn Socket>, DialFailure> {
        self.ground
            .dial(address, self.soon().or_after(self.connect_timeout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine that knows one name, and counts how often it is asked. A name `slow` is known only once another was
    /// asked for.
    #[derive(Default)]
    struct Desk {
        asked: std::sync::atomic::AtomicUsize,
        other_asked: OnceLock<()>,
    }

    impl Ground for Desk {
        fn addresses(&self, name: &str, _: Deadline) -> Answer<Vec<IpAddr>> {
            self.asked
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if name == "slow.example" {
                self.other_asked.wait();
                return Answer::Absent;
            }
            self.other_asked.get_or_init(|| ());
            if name == "hs.example" {
                Answer::Found(vec![[203, 0, 113, 1].into()])
            } else {
                Answer::Absent
            }
        }

        fn dial(&self, _: SocketAddr, _: Deadline) -> Result<Box<dyn Socket>, DialFailure> {
            Err(DialFailure::Refused)
        }

        fn resolv_conf(&self) -> Result<String, String> {
            Ok(String::new())
        }

        fn has_udp(&self) -> bool {
            false
        }
    }

    fn endpoints(exceptions: &Exceptions, host: &str, port: u16) -> String {
        let desk = Desk::default();
        let view = View::new(&desk, exceptions, Duration::ZERO, Duration::from_secs(9));
        match view.endpoints(host, port) {
            Answer::Found(found) => found
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" "),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_makes_exceptions() {
        let exceptions = Exceptions {
            dns: None,
            resolve: vec!["HS.example:443:203.0.113.9,[2001:db8::9]".parse().unwrap()],
            connect_to: vec![
                "a.example:1:hs.example:2".parse().unwrap(),
                "[2001:db8::7]::[2001:db8::8]:".parse().unwrap(),
            ],
        };
        for (host, port, expected) in [
            ("hs.example", 443, "203.0.113.9:443 [2001:db8::9]:443"),
            ("hs.example", 8448, "203.0.113.1:8448"),
            ("a.example", 1, "203.0.113.1:2"),
            ("a.example", 9, "Absent"),
            ("2001:db8::7", 5, "[2001:db8::8]:5"),
            ("203.0.113.4", 5, "203.0.113.4:5"),
        ] {
            assert_eq!(
                endpoints(&exceptions, host, port),
                expected,
                "{host} {port}"
            );
        }
    }

    #[test]
    fn exceptions_of_another_form_are_refused() {
        for text in ["", "a", "a:1", "a:x:203.0.113.1", "a:1:b"] {
            assert!(text.parse::<Resolve>().is_err(), "{text}");
        }
        for text in ["", "a", "a:1:b", "a:x:b:1", "[a:1:b:1"] {
            assert!(text.parse::<ConnectTo>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_is_looked_up_once() {
        let (desk, exceptions) = (Desk::default(), Exceptions::default());
        let view = View::new(&desk, &exceptions, Duration::ZERO, Duration::from_secs(9));
        for port in 1..4 {
            assert!(matches!(
                view.endpoints("hs.example", port),
                Answer::Found(_)
            ));
        }
        assert_eq!(desk.asked.into_inner(), 1);
    }

    #[test]
    fn a_slow_name_keeps_no_other_waiting() {
        let (desk, exceptions) = (Desk::default(), Exceptions::default());
        let view = View::new(&desk, &exceptions, Duration::ZERO, Duration::from_secs(9));
        std::thread::scope(|scope| {
            let slow = scope.spawn(|| view.endpoints("slow.example", 1));
            // The slow one is answered only after this question.
            assert!(matches!(view.endpoints("hs.example", 1), Answer::Found(_)));
            assert_eq!(slow.join().expect("no panic"), Answer::Absent);
        });
    }
}
