//! Who listens where on a host, from `ss -Hltnp` and the control groups of the processes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A listening TCP socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// Where.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// The unit whose process holds it; empty where the host does not tell (only root may ask).
    pub unit: String,
}

impl Listener {
    /// Whether a connection to `address` reaches this socket.
    #[must_use]
    pub fn answers(&self, address: IpAddr, port: u16) -> bool {
        let any = match self.address {
            IpAddr::V4(own) => own.is_unspecified() && address.is_ipv4(),
            // The kernel's default: a socket on :: takes IPv4 too.
            IpAddr::V6(own) => own.is_unspecified(),
        };
        self.port == port && (any || self.address == address)
    }
}

/// Reads the two blocks: lines of `ss`, and lines of `PID CGROUP`.
#[must_use]
pub fn parse(sockets: &str, groups: &str) -> Vec<Listener> {
    let units: BTreeMap<&str, &str> = groups
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(pid, group)| Some((pid, unit_of(group)?)))
        .collect();
    let mut listeners: Vec<_> = sockets
        .lines()
        .filter_map(|line| listener(line, &units))
        .collect();
    listeners.sort();
    listeners.dedup();
    listeners
}

fn listener(line: &str, units: &BTreeMap<&str, &str>) -> Option<Listener> {
    let mut words = line.split_whitespace();
    let local = words.nth(3)?;
    let (address, port) = local.rsplit_once(':')?;
    let pid = line
        .split_once("pid=")
        .map(|(_, rest)| rest.split(',').next().unwrap_or(""));
    let unit = pid.and_then(|pid| units.get(pid)).copied().unwrap_or("");
    Some(Listener {
        address: address_of(address)?,
        port: port.parse().ok()?,
        unit: unit.to_owned(),
    })
}

/// Reads an address of `ss`: `*`, `0.0.0.0`, `[::1]`, `127.0.0.1%lo`.
fn address_of(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let bare = bare.split('%').next().unwrap_or(bare).trim_end_matches(']');
    match bare {
        "*" => Some(Ipv6Addr::UNSPECIFIED.into()),
        "0.0.0.0" => Some(Ipv4Addr::UNSPECIFIED.into()),
        other => other.parse().ok(),
    }
}

/// The unit of a control group's path: its last part that is a service, or a socket.
fn unit_of(group: &str) -> Option<&str> {
    group
        .rsplit('/')
        .find(|part| matches!(part.rsplit('.').next(), Some("service" | "scope")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOCKETS: &str = "\
LISTEN 0      511        127.0.0.1:8008      0.0.0.0:*    users:((\"conduwuit\",pid=41,fd=9))
LISTEN 0      128        0.0.0.0:22        0.0.0.0:*    users:((\"sshd\",pid=7,fd=3),(\"systemd\",pid=1,fd=5))
LISTEN 0      128                *:443             *:*
LISTEN 0      5              [::1]:5432         [::]:*    users:((\"postgres\",pid=9,fd=6))
LISTEN 0      5   127.0.0.53%lo:53        0.0.0.0:*
";
    const GROUPS: &str = "41 0::/system.slice/continuwuity.service\n7 0::/system.slice/sshd.service\n\
9 0::/system.slice/system-postgres.slice/postgresql@16.service/child\n";

    #[test]
    fn sockets_have_addresses_and_units() {
        let found = parse(SOCKETS, GROUPS);
        let unit = |port: u16| found.iter().find(|l| l.port == port).unwrap();
        assert_eq!(unit(8008).unit, "continuwuity.service");
        assert_eq!(unit(5432).unit, "postgresql@16.service");
        assert_eq!(unit(443).unit, "");
        assert_eq!(unit(53).address, "127.0.0.53".parse::<IpAddr>().unwrap());
        assert_eq!(found.len(), 5);
    }

    #[test]
    fn a_wildcard_answers_its_family() {
        let found = parse(SOCKETS, GROUPS);
        let reached = |address: &str, port: u16| {
            found
                .iter()
                .any(|l| l.answers(address.parse().unwrap(), port))
        };
        assert!(reached("127.0.0.1", 443) && reached("::1", 443));
        assert!(reached("203.0.113.1", 22) && !reached("::1", 22));
        assert!(reached("127.0.0.1", 8008) && !reached("::1", 8008));
    }
}
