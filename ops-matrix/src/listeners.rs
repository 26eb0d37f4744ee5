//! What really listens on a host: `/proc/net/tcp` and `tcp6`, and the sockets that a process holds.
//!
//! A homeserver's log says what it meant to bind. Only the kernel says what it did.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The state of a listening socket in the kernel's tables.
const LISTEN: &str = "0A";

/// A listening TCP socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// Where it is bound.
    pub address: SocketAddr,
    /// The number by which the processes that hold it know it.
    pub inode: u64,
}

impl Listener {
    /// Whether a client that dials this address would reach the socket.
    #[must_use]
    pub fn answers(&self, address: IpAddr, port: u16) -> bool {
        if self.address.port() != port {
            return false;
        }
        match self.address.ip() {
            IpAddr::V4(bound) if bound.is_unspecified() => address.is_ipv4(),
            // A wildcard of IPv6 takes both families, unless a sysctl or an option that /proc does not show says no.
            IpAddr::V6(bound) if bound.is_unspecified() => true,
            bound => bound == address,
        }
    }
}

/// Reads the text of `/proc/net/tcp` and `/proc/net/tcp6`; lines that are none of a listener are passed over.
#[must_use]
pub fn parse(tables: &str) -> Vec<Listener> {
    tables
        .lines()
        .filter_map(line)
        .map(|(listener, _)| listener)
        .collect()
}

/// The listeners whose socket belongs to a user.
#[must_use]
pub fn of_user(tables: &str, user: u32) -> Vec<Listener> {
    tables
        .lines()
        .filter_map(line)
        .filter(|(_, uid)| *uid == user)
        .map(|(listener, _)| listener)
        .collect()
}

/// A listener and the user that its socket belongs to.
fn line(line: &str) -> Option<(Listener, u32)> {
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    if fields.nth(1)? != LISTEN {
        return None;
    }
    let user = fields.nth(3)?.parse().ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some((
        Listener {
            address: SocketAddr::new(parse_address(address)?, port),
            inode,
        },
        user,
    ))
}

/// The kernel prints each 32-bit word of an address in the machine's order, which is little-endian here.
fn parse_address(text: &str) -> Option<IpAddr> {
    let word = |index: usize| {
        let digits = text.get(index * 8..index * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.swap_bytes())
    };
    match text.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from_bits(word(0)?))),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let bits = words
                .into_iter()
                .fold(0u128, |bits, word| bits << 32 | u128::from(word));
            let address = Ipv6Addr::from_bits(bits);
            Some(
                address
                    .to_ipv4_mapped()
                    .map_or(IpAddr::V6(address), IpAddr::V4),
            )
        }
        _ => None,
    }
}

/// Reads the inodes of sockets from `ls -l`-like or `readlink` output of `/proc/<pid>/fd`.
#[must_use]
pub fn socket_inodes(links: &str) -> BTreeSet<u64> {
    links
        .split("socket:[")
        .skip(1)
        .filter_map(|rest| rest.split(']').next()?.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F48 00000000:0000 0A 00000000:00000000 00:00000000 00000000   998        0 41234 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1F48 0100007F:C350 01 00000000:00000000 00:00000000 00000000   998        0 41300 1 0000000000000000 20 4 30 10 -1
   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 17 1 0000000000000000 100 0 0 10 0
";
    const TCP6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000001000000:1F48 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000   998        0 41235 1 0000000000000000 100 0 0 10 0
   1: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 99 1 0000000000000000 100 0 0 10 0
   2: B80D0120000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 100 1 0000000000000000 100 0 0 10 0
";

    fn listener(address: &str, inode: u64) -> Listener {
        Listener {
            address: address.parse().expect("an address"),
            inode,
        }
    }

    #[test]
    fn listeners_are_read_and_connections_are_not() {
        assert_eq!(
            parse(TCP),
            [
                listener("127.0.0.1:8008", 41234),
                listener("0.0.0.0:22", 17)
            ]
        );
        assert_eq!(
            parse(TCP6),
            [
                listener("[::1]:8008", 41235),
                listener("[::]:443", 99),
                listener("[2001:db8::1]:80", 100)
            ]
        );
    }

    #[test]
    fn the_sockets_of_one_user_are_picked() {
        assert_eq!(of_user(TCP, 998), [listener("127.0.0.1:8008", 41234)]);
        assert_eq!(of_user(TCP, 1), []);
    }

    #[test]
    fn damaged_lines_are_passed_over() {
        assert_eq!(
            parse("x\n 0: 01:2 00 0A\n 0: 0100007F 0 0A 0 0 0 0 0 1\n\n"),
            []
        );
    }

    #[test]
    fn a_socket_answers_at_its_address_and_a_wildcard_at_all_of_its_family() {
        let at = |text: &str| text.parse::<IpAddr>().expect("an address");
        for (bound, address, port, expected) in [
            ("127.0.0.1:8008", "127.0.0.1", 8008, true),
            ("127.0.0.1:8008", "127.0.0.1", 80, false),
            ("127.0.0.1:8008", "::1", 8008, false),
            ("0.0.0.0:8008", "203.0.113.7", 8008, true),
            ("0.0.0.0:8008", "::1", 8008, false),
            ("[::]:8008", "::1", 8008, true),
            ("[::]:8008", "127.0.0.1", 8008, true),
        ] {
            assert_eq!(
                listener(bound, 1).answers(at(address), port),
                expected,
                "{bound} {address}:{port}"
            );
        }
    }

    #[test]
    fn the_sockets_of_a_process_are_found_among_its_descriptors() {
        let links = "/dev/null\nsocket:[41234]\npipe:[7]\n/x/socket:[41235]\nsocket:[bad]\n";
        assert_eq!(
            socket_inodes(links).into_iter().collect::<Vec<_>>(),
            [41234, 41235]
        );
    }
}
