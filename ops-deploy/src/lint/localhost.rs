//! Names that mean several addresses, of which the service may answer only one.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ops_common::check::Check;
use ops_common::host::Host;

use super::System;
use crate::listeners::Listener;
use crate::nginx;

/// What `localhost` means.
const LOOPBACK: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];

/// A file, and a port behind `localhost` in it.
type Place = (String, Option<u16>);

/// Judges every `localhost` by who answers there: those who were dialled, those who listen, those who are configured to.
pub(super) fn checks(system: &System, listeners: Option<&[Listener]>) -> Vec<Check> {
    let configured = configured(system);
    let answers = |address: IpAddr, port: u16| -> Option<bool> {
        if let Some(answered) = system.dialled.get(&(address, port)) {
            return Some(*answered);
        }
        let is_known = |listener: &&Listener| listener.port == port;
        let known = listeners.or(Some(&configured)
            .filter(|configured| configured.iter().any(|one| is_known(&one)))
            .map(Vec::as_slice))?;
        Some(known.iter().any(|one| one.answers(address, port)))
    };
    places(system)
        .into_iter()
        .filter_map(|(path, port)| localhost_check(&path, port, answers))
        .collect()
}

/// Where `localhost` is written.
fn places(system: &System) -> BTreeSet<Place> {
    let mut places = BTreeSet::new();
    for (path, text) in &system.files {
        let found = if nginx::looks_like(text) {
            nginx::upstreams(text)
        } else {
            urls(text)
        };
        places.extend(
            found
                .into_iter()
                .filter(|(host, _)| host == "localhost")
                .map(|(_, port)| (path.clone(), port)),
        );
    }
    places
}

/// Dials both addresses of every `localhost`, from the host. Where neither answers, that may have other reasons.
pub(super) fn dial(system: &mut System, host: &Host) {
    let ports: BTreeSet<u16> = places(system)
        .into_iter()
        .filter_map(|place| place.1)
        .collect();
    for port in ports {
        let answered = LOOPBACK.map(|address| host.connect_tcp(address, port).is_ok());
        if answered.contains(&true) {
            let pairs = LOOPBACK.into_iter().zip(answered);
            system
                .dialled
                .extend(pairs.map(|(address, answered)| ((address, port), answered)));
        }
    }
}

/// Who will listen where, by the configuration files: continuwuity.toml, app.ini, a bridge's config.yaml, socket units.
fn configured(system: &System) -> Vec<Listener> {
    let sockets = system.units.texts().flat_map(|text| {
        let streams = text
            .lines()
            .filter_map(|line| line.strip_prefix("ListenStream="));
        streams.filter_map(|place| place.trim().parse::<SocketAddr>().ok())
    });
    let files = system.files.values().flat_map(|text| bound(text));
    sockets
        .chain(files)
        .map(|place| Listener {
            address: place.ip(),
            port: place.port(),
            unit: String::new(),
        })
        .collect()
}

/// The addresses that a service binds by its configuration, if that names both addresses and port.
fn bound(text: &str) -> Vec<SocketAddr> {
    let values = |keys: &[&str]| -> Vec<&str> {
        let pairs = text.lines().filter_map(|line| line.split_once(['=', ':']));
        let is_key = |key: &str| keys.contains(&key.trim().to_ascii_lowercase().as_str());
        pairs
            .filter(|(key, _)| is_key(key))
            .map(|(_, value)| value)
            .flat_map(|value| value.split(|c: char| c.is_whitespace() || "[],\"'".contains(c)))
            .filter(|word| !word.is_empty())
            .collect()
    };
    let ports: Vec<u16> = values(&["port", "http_port"])
        .iter()
        .filter_map(|port| port.parse().ok())
        .collect();
    let addresses = values(&["address", "http_addr", "hostname"]);
    let parsed: Vec<IpAddr> = addresses
        .iter()
        .filter_map(|text| text.parse().ok())
        .collect();
    // A name among them may be anything.
    if parsed.len() != addresses.len() {
        return Vec::new();
    }
    let pairs = parsed
        .iter()
        .flat_map(|address| ports.iter().map(|port| SocketAddr::new(*address, *port)));
    pairs.collect()
}

fn localhost_check(
    path: &str,
    port: Option<u16>,
    answers: impl Fn(IpAddr, u16) -> Option<bool>,
) -> Option<Check> {
    let name = "deploy.lint.localhost";
    let place = port.map_or_else(
        || "localhost".to_owned(),
        |port| format!("localhost:{port}"),
    );
    let [v4, v6] = LOOPBACK.map(|address| answers(address, port?));
    let fix = |address: &str| {
        format!(
            "write {address} instead of localhost",
            address = match port {
                Some(port) => format!("{address}:{port}"),
                None => address.to_owned(),
            }
        )
    };
    match (v4, v6) {
        (Some(true), Some(true)) => None,
        (Some(true), Some(false)) => {
            let told = format!(
                "'{place}' means [::1] too, where nobody listens: every other try is refused"
            );
            Some(Check::fail(name, path, told).fix(fix("127.0.0.1")))
        }
        (Some(false), Some(true)) => {
            let told = format!("'{place}' means 127.0.0.1 too, where nobody listens");
            Some(Check::fail(name, path, told).fix(fix("[::1]")))
        }
        (Some(false), Some(false)) => Some(Check::warn(
            name,
            path,
            format!("nobody listens on '{place}'"),
        )),
        _ => {
            let told = format!(
                "'{place}' means two addresses, and the service may answer only one of them"
            );
            Some(Check::warn(name, path, told).fix(fix("127.0.0.1")))
        }
    }
}

/// Hosts and ports of URLs, as bridge registrations and database settings have them.
pub(super) fn urls(text: &str) -> Vec<(String, Option<u16>)> {
    let schemes = [
        "http://",
        "https://",
        "postgres://",
        "postgresql://",
        "ws://",
    ];
    let active = text
        .lines()
        .filter(|line| !line.trim_start().starts_with(['#', ';']));
    active
        .flat_map(|line| {
            schemes.iter().flat_map(move |scheme| {
                line.match_indices(scheme)
                    .map(move |(at, _)| &line[at + scheme.len()..])
            })
        })
        .map(|rest| {
            let end = rest
                .find(|c: char| c.is_whitespace() || "/\"'?,;".contains(c))
                .unwrap_or(rest.len());
            let authority = rest[..end].rsplit('@').next().unwrap_or("");
            let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
            (host.to_owned(), port.parse().ok())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(configuration: &str) -> Vec<String> {
        let nginx = "http { server { location / { proxy_pass http://localhost:6167; } } }";
        let system = System::default()
            .with_file("/nix/store/x-nginx.conf", nginx)
            .with_file("/nix/store/y-continuwuity.toml", configuration);
        let checks = checks(&system, None);
        let told = checks.iter().map(|check| {
            format!(
                "{} {}",
                check.status.word(),
                check.fix.clone().unwrap_or_default()
            )
        });
        told.collect()
    }

    #[test]
    fn a_configuration_says_who_will_listen() {
        let v4 = told("[global]\naddress = [\"127.0.0.1\"]\nport = [6167]\n");
        assert_eq!(v4, ["fail write 127.0.0.1:6167 instead of localhost"]);
        let v6 = told("address = \"::1\"\nport = 6167\n");
        assert_eq!(v6, ["fail write [::1]:6167 instead of localhost"]);
        let both = told("[global]\naddress = [\"127.0.0.1\", \"::1\"]\nport = 6167\n");
        assert_eq!(both, [""; 0]);
        let other = told("address = \"127.0.0.1\"\nport = 8080\n");
        assert_eq!(other, ["warn write 127.0.0.1:6167 instead of localhost"]);
        let named = told("HTTP_ADDR = box.example\nHTTP_PORT = 6167\n");
        assert_eq!(named, ["warn write 127.0.0.1:6167 instead of localhost"]);
    }
}
