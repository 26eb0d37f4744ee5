//! The TCP connections of the bridge's process, from `ss`: the one witness of a socket that is open and dead.

use std::time::Duration;

/// An established connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Socket {
    pub(crate) local_port: u16,
    pub(crate) peer: String,
    pub(crate) peer_port: u16,
    /// Since the last byte from the other side.
    pub(crate) silent: Option<Duration>,
}

/// Reads the lines of `ss -tniHpO state established`.
pub(crate) fn read(text: &str) -> Vec<Socket> {
    text.lines().filter_map(read_line).collect()
}

fn read_line(line: &str) -> Option<Socket> {
    let mut ends = line.split_whitespace().filter_map(|word| {
        let (address, port) = word.rsplit_once(':')?;
        Some((address, port.parse::<u16>().ok()?))
            .filter(|(address, _)| address.contains(['.', ':']))
    });
    let ((_, local_port), (peer, peer_port)) = (ends.next()?, ends.next()?);
    let silent = line
        .split_whitespace()
        .find_map(|word| word.strip_prefix("lastrcv:")?.parse().ok());
    let peer = peer
        .trim_matches(['[', ']'])
        .trim_start_matches("::ffff:")
        .to_owned();
    Some(Socket {
        local_port,
        peer,
        peer_port,
        silent: silent.map(Duration::from_millis),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_ss() {
        let text = r#"0      0      127.0.0.1:41234 127.0.0.1:3000 users:(("mautrix-slack",pid=99,fd=12)) cubic wscale:7,7 rto:204 bytes_received:511 lastsnd:40 lastrcv:36120 lastack:40
0 0 [::ffff:10.0.0.1]:29335 [2001:db8::1]:443 users:(("mautrix-slack",pid=99,fd=13)) cubic
junk
"#;
        let sockets = read(text);
        assert_eq!(sockets.len(), 2);
        assert_eq!(
            (sockets[0].peer_port, sockets[0].silent),
            (3000, Some(Duration::from_millis(36_120)))
        );
        assert_eq!(
            (sockets[1].local_port, &*sockets[1].peer, sockets[1].silent),
            (29335, "2001:db8::1", None)
        );
    }
}
