//! The parts of an nginx configuration that decide where requests for the homeserver go.

use std::collections::HashMap;

use crate::nginx::Directive;
use crate::target::{self, Variables};

/// One `proxy_pass`, with what decides whether it serves Matrix well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Where the directive stands.
    pub place: String,
    /// Its argument, as written.
    pub target: String,
    /// The names of the server block.
    pub server_names: Vec<String>,
    /// The location it serves.
    pub location: String,
    /// The hosts and ports that requests may go to: of the upstream block, or of the argument itself.
    pub backends: Vec<Backend>,
    /// The variables in the argument of which nobody knows here where they lead.
    pub unresolved: Vec<String>,
    /// The target carries a path, so nginx decodes and rewrites the URI.
    pub rewrites_uri: bool,
    /// The target without that path.
    pub without_path: String,
    /// `client_max_body_size` where the location is, in bytes; 0 is no limit.
    pub body_limit_bytes: u64,
    /// Where its server block listens.
    pub listens: Vec<Listen>,
}

/// A `listen` directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Its arguments, as written.
    pub words: Vec<String>,
    /// Where it stands.
    pub place: String,
}

/// A host and port that nginx may send requests to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// A name or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Where it is written.
    pub place: String,
    /// For how many seconds nginx leaves it alone after a failure, if it has another; 0 is never.
    pub marked_down_s: u64,
    /// How many other servers its upstream block has, those at a socket of Unix too: nginx marks none down that is alone.
    pub beside: usize,
}

/// nginx's own default of `client_max_body_size`.
const DEFAULT_BODY_LIMIT: u64 = 1 << 20;

/// nginx's own default of `fail_timeout`.
const DEFAULT_FAIL_TIMEOUT_S: u64 = 10;

/// Everything that a location inherits on the way down to it.
#[derive(Clone)]
struct Surroundings {
    server_names: Vec<String>,
    location: String,
    body_limit_bytes: u64,
    rewritten: bool,
    listens: Vec<Listen>,
    variables: Variables,
}

/// Finds the `proxy_pass` directives of a configuration.
#[must_use]
pub fn proxies(directives: &[Directive]) -> Vec<Proxy> {
    let mut upstreams = HashMap::new();
    collect_upstreams(directives, &mut upstreams);
    let mut variables = Variables::new();
    target::mapped(directives, &mut variables);
    let mut found = Vec::new();
    let top = Surroundings {
        server_names: Vec::new(),
        location: String::new(),
        body_limit_bytes: DEFAULT_BODY_LIMIT,
        rewritten: false,
        listens: Vec::new(),
        variables,
    };
    collect_proxies(directives, top, &upstreams, &mut found);
    found
}

fn collect_upstreams(directives: &[Directive], upstreams: &mut HashMap<String, Vec<Backend>>) {
    for directive in directives {
        if let ("upstream", [name]) = (directive.name(), directive.args()) {
            upstreams.insert(name.to_lowercase(), upstream_servers(directive));
        } else {
            collect_upstreams(&directive.block, upstreams);
        }
    }
}

/// The servers of an upstream block that are reached over the network.
fn upstream_servers(upstream: &Directive) -> Vec<Backend> {
    let is_server = |inner: &&Directive| inner.name() == "server";
    let all: Vec<_> = upstream.block.iter().filter(is_server).collect();
    let beside = all.len().saturating_sub(1);
    let reached = all.into_iter().filter_map(upstream_server);
    reached
        .map(|backend| Backend { beside, ..backend })
        .collect()
}

/// `server ADDRESS [parameter...];` of an upstream block.
fn upstream_server(server: &Directive) -> Option<Backend> {
    let (address, parameters) = server.args().split_first()?;
    if parameters.iter().any(|parameter| parameter == "down") {
        return None;
    }
    let value = |name: &str| {
        parameters
            .iter()
            .find_map(|parameter| parameter.strip_prefix(name))
    };
    let mut backend = backend(address, 80, server.place())?;
    if let Some(told) = value("fail_timeout=").and_then(seconds) {
        backend.marked_down_s = told;
    }
    if value("max_fails=") == Some("0") {
        backend.marked_down_s = 0;
    }
    Some(backend)
}

/// A time as nginx writes it, in whole seconds.
fn seconds(time: &str) -> Option<u64> {
    let end = time
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(time.len());
    let (number, unit) = time.split_at(end);
    let number: u64 = number.parse().ok()?;
    match unit {
        "" | "s" => Some(number),
        "ms" => Some(number.div_ceil(1000)),
        "m" => number.checked_mul(60),
        "h" => number.checked_mul(3600),
        "d" => number.checked_mul(86400),
        _ => None,
    }
}

fn collect_proxies(
    directives: &[Directive],
    mut around: Surroundings,
    upstreams: &HashMap<String, Vec<Backend>>,
    found: &mut Vec<Proxy>,
) {
    for directive in directives {
        match (directive.name(), directive.args()) {
            ("client_max_body_size", [size]) => {
                around.body_limit_bytes = bytes(size).unwrap_or(DEFAULT_BODY_LIMIT);
            }
            ("server_name", names) => around.server_names = names.to_vec(),
            ("listen", words) => around.listens.push(Listen {
                words: words.to_vec(),
                place: directive.place(),
            }),
            ("rewrite", [.., flag]) if flag == "break" => around.rewritten = true,
            ("set", _) => target::set(directive, &mut around.variables),
            _ => (),
        }
    }
    for directive in directives {
        match (directive.name(), directive.args()) {
            ("proxy_pass", [target]) => found.extend(proxy(directive, target, &around, upstreams)),
            ("location", [.., path]) => {
                let inner = Surroundings {
                    location: path.clone(),
                    ..around.clone()
                };
                collect_proxies(&directive.block, inner, upstreams, found);
            }
            ("upstream" | "map" | "geo" | "split_clients" | "types", _) => (),
            _ => collect_proxies(&directive.block, around.clone(), upstreams, found),
        }
    }
}

fn proxy(
    directive: &Directive,
    target: &str,
    around: &Surroundings,
    upstreams: &HashMap<String, Vec<Backend>>,
) -> Option<Proxy> {
    let ways = target::targets(target, &around.variables);
    let first = ways.first()?;
    let mut backends: Vec<Backend> = Vec::new();
    let mut unresolved: Vec<String> = Vec::new();
    for way in &ways {
        for variable in way.unresolved() {
            if !unresolved.iter().any(|known| known == variable) {
                unresolved.push(variable.to_owned());
            }
        }
        let default_port = if way.scheme == "https" { 443 } else { 80 };
        match upstreams.get(&way.authority.to_lowercase()) {
            Some(servers) => backends.extend(servers.iter().cloned()),
            None => backends.extend(backend(&way.authority, default_port, directive.place())),
        }
    }
    let rewrites_uri = ways
        .iter()
        .any(|way| !way.keeps_uri() || (around.rewritten && way.path.is_empty()));
    Some(Proxy {
        place: directive.place(),
        target: target.to_owned(),
        server_names: around.server_names.clone(),
        location: around.location.clone(),
        backends,
        unresolved,
        rewrites_uri,
        without_path: first.without_path(),
        body_limit_bytes: around.body_limit_bytes,
        listens: around.listens.clone(),
    })
}

fn backend(authority: &str, default_port: u16, place: String) -> Option<Backend> {
    if authority.is_empty() || authority.starts_with("unix:") || authority.contains('$') {
        return None;
    }
    let bracket = authority.rfind(']').unwrap_or(0);
    let (host, port) = match authority[bracket..].rfind(':') {
        Some(colon) => (
            &authority[..bracket + colon],
            authority[bracket + colon + 1..].parse().ok()?,
        ),
        None => (authority, default_port),
    };
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    Some(Backend {
        host,
        port,
        place,
        marked_down_s: DEFAULT_FAIL_TIMEOUT_S,
        beside: 0,
    })
}

fn bytes(size: &str) -> Option<u64> {
    let (digits, unit) = match size.to_ascii_lowercase().as_bytes() {
        [.., b'k'] => (&size[..size.len() - 1], 1 << 10),
        [.., b'm'] => (&size[..size.len() - 1], 1 << 20),
        [.., b'g'] => (&size[..size.len() - 1], 1 << 30),
        _ => (size, 1),
    };
    Some(digits.parse::<u64>().ok()?.saturating_mul(unit))
}

#[cfg(test)]
#[path = "proxies_tests.rs"]
mod tests;
