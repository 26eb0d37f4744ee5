//! Where the server blocks of nginx listen: a block that listens on one family is not there for whoever has an address of
//! the other one.

use ops_common::check::Check;

use crate::proxies::{Listen, Proxy};

/// Whether the server block listens on both families.
pub const CHECK: &str = "matrix.listen";

/// Judges where the server blocks of the proxies listen, each once.
#[must_use]
pub fn checks(proxies: &[&Proxy]) -> Vec<Check> {
    let mut seen: Vec<&[Listen]> = Vec::new();
    let mut checks = Vec::new();
    for proxy in proxies {
        let listens = proxy.listens.as_slice();
        if listens.is_empty() || seen.contains(&listens) {
            continue;
        }
        seen.push(listens);
        checks.push(families(proxy, listens));
    }
    checks
}

fn families(proxy: &Proxy, listens: &[Listen]) -> Check {
    let sockets: Vec<Socket> = listens.iter().filter_map(Socket::of).collect();
    let has = |port: &str, v6: bool| {
        sockets
            .iter()
            .any(|socket| socket.port == port && (socket.v6 == v6 || socket.both))
    };
    let lacking = |v6: bool| sockets.iter().find(|socket| !has(&socket.port, v6));
    let names = proxy.server_names.join(" ");
    let place = &listens[0].place;
    let one_sided = |socket: &Socket, has: &str, lacks: &str, address: &str| {
        let message = format!(
            "port {} of '{names}' is on {has} only: whoever takes an {lacks} address of the name is refused, or ends at another server block",
            socket.port
        );
        Check::warn(CHECK, place, message).fix(format!(
            "add 'listen {address}{};' at {place}",
            socket.rest()
        ))
    };
    match (lacking(true), lacking(false)) {
        (Some(socket), _) => one_sided(socket, "IPv4", "IPv6", "[::]:"),
        (None, Some(socket)) => one_sided(socket, "IPv6", "IPv4", ""),
        (None, None) => Check::ok(CHECK, place, "both families"),
    }
}

/// What a `listen` directive opens.
struct Socket {
    port: String,
    v6: bool,
    /// One socket of IPv6 that takes IPv4 too.
    both: bool,
    parameters: Vec<String>,
}

impl Socket {
    /// None for a socket file or the loopback, which no other machine reaches.
    fn of(listen: &Listen) -> Option<Self> {
        let (address, parameters) = listen.words.split_first()?;
        if address.starts_with("unix:") {
            return None;
        }
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port),
            None if address.bytes().all(|byte| byte.is_ascii_digit()) => ("*", address.as_str()),
            _ => (address.as_str(), "80"),
        };
        if host.starts_with("127.") || host == "[::1]" || host == "localhost" {
            return None;
        }
        let (of_v6, parameters): (Vec<String>, Vec<String>) = parameters
            .iter()
            .cloned()
            .partition(|one| one.starts_with("ipv6only="));
        Some(Self {
            port: port.to_owned(),
            v6: address.starts_with('['),
            both: of_v6.iter().any(|one| one == "ipv6only=off"),
            parameters,
        })
    }

    /// Port and parameters, as its twin of the other family has them.
    fn rest(&self) -> String {
        let mut words = vec![self.port.as_str()];
        words.extend(self.parameters.iter().map(String::as_str));
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{nginx, proxies};
    use ops_common::check::State;

    #[test]
    fn a_block_on_one_family_is_told_with_the_line_that_is_missing() {
        let judged = |listens: &str| {
            let text = format!(
                "server {{ server_name chat.example; {listens} location /a {{ proxy_pass http://h:1; }} location /b {{ proxy_pass http://h:1; }} }}"
            );
            let read = nginx::read("n", &text, &|_| Vec::new()).expect("good");
            let proxies = proxies::proxies(&read);
            let checks = checks(&proxies.iter().collect::<Vec<_>>());
            // Two locations of one block are judged once.
            assert!(checks.len() <= 1, "{listens}");
            checks
                .first()
                .map(|check| (check.status, check.fix.clone().unwrap_or_default()))
        };
        let warn = |fix: &str| Some((State::Warn, format!("add 'listen {fix};' at n:1")));
        let ok = Some((State::Ok, String::new()));
        for (listens, expected) in [
            ("listen 443 ssl; listen [::]:443 ssl;", ok.clone()),
            ("listen 443 ssl;", warn("[::]:443 ssl")),
            ("listen *:443 ssl; listen [::]:80;", warn("[::]:443 ssl")),
            ("listen [::]:8448 ssl;", warn("8448 ssl")),
            ("listen [::]:8448 ssl ipv6only=off;", ok.clone()),
            ("listen 203.0.113.1:443 ssl;", warn("[::]:443 ssl")),
            ("listen [2001:db8::1]; listen 203.0.113.1;", ok.clone()),
            ("listen 127.0.0.1:8080; listen unix:/run/x;", ok),
            ("", None),
        ] {
            assert_eq!(judged(listens), expected, "{listens}");
        }
    }
}
