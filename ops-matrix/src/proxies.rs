//! The parts of an nginx configuration that decide where requests for the homeserver go.

use std::collections::HashMap;

use crate::nginx::Directive;

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
    /// The target carries a path, so nginx decodes and rewrites the URI.
    pub rewrites_uri: bool,
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
}

/// Finds the `proxy_pass` directives of a configuration.
#[must_use]
pub fn proxies(directives: &[Directive]) -> Vec<Proxy> {
    let mut upstreams = HashMap::new();
    collect_upstreams(directives, &mut upstreams);
    let mut found = Vec::new();
    let top = Surroundings {
        server_names: Vec::new(),
        location: String::new(),
        body_limit_bytes: DEFAULT_BODY_LIMIT,
        rewritten: false,
        listens: Vec::new(),
    };
    collect_proxies(directives, top, &upstreams, &mut found);
    found
}

fn collect_upstreams(directives: &[Directive], upstreams: &mut HashMap<String, Vec<Backend>>) {
    for directive in directives {
        if let ("upstream", [name]) = (directive.name(), directive.args()) {
            let servers = directive
                .block
                .iter()
                .filter(|inner| inner.name() == "server");
            upstreams.insert(name.clone(), servers.filter_map(upstream_server).collect());
        } else {
            collect_upstreams(&directive.block, upstreams);
        }
    }
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
            ("upstream", _) => (),
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
    let (scheme, rest) = target.split_once("://")?;
    let default_port = if scheme == "https" { 443 } else { 80 };
    let end = rest.find(['/', '$']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let backends = match upstreams.get(authority) {
        Some(backends) => backends.clone(),
        None => backend(authority, default_port, directive.place())
            .into_iter()
            .collect(),
    };
    // A target of variables alone (`$request_uri`) passes the URI as it came.
    let rewrites_uri = path.starts_with('/') || (around.rewritten && path.is_empty());
    Some(Proxy {
        place: directive.place(),
        target: target.to_owned(),
        server_names: around.server_names.clone(),
        location: around.location.clone(),
        backends,
        rewrites_uri,
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
mod tests {
    use super::*;
    use crate::nginx;

    fn of(text: &str) -> Vec<Proxy> {
        proxies(
            &nginx::read("nginx.conf", text, &|_| Vec::new()).expect("the configuration is good"),
        )
    }

    fn backends(proxy: &Proxy) -> Vec<String> {
        proxy
            .backends
            .iter()
            .map(|backend| format!("{} {} {}", backend.host, backend.port, backend.place))
            .collect()
    }

    #[test]
    fn a_target_is_its_own_backend_or_an_upstream() {
        let text = "http {
          upstream hs { server localhost:8008 weight=2; server [::1]:6167; server unix:/run/hs; server 127.0.0.1; }
          server {
            server_name chat.example matrix.chat.example;
            location /_matrix/ { proxy_pass http://hs; }
            location ~ ^/x { proxy_pass https://[2001:db8::1]; }
            location /y { proxy_pass http://localhost:8008; }
            location /z { proxy_pass http://$backend; }
          } }";
        let found = of(text);
        assert_eq!(found.len(), 4);
        assert_eq!(
            backends(&found[0]),
            [
                "localhost 8008 nginx.conf:2",
                "::1 6167 nginx.conf:2",
                "127.0.0.1 80 nginx.conf:2"
            ]
        );
        assert_eq!(
            found[0].server_names,
            ["chat.example", "matrix.chat.example"]
        );
        assert_eq!(
            (found[0].location.as_str(), found[1].location.as_str()),
            ("/_matrix/", "^/x")
        );
        assert_eq!(backends(&found[1]), ["2001:db8::1 443 nginx.conf:6"]);
        assert_eq!(backends(&found[2]), ["localhost 8008 nginx.conf:7"]);
        assert_eq!(found[3].backends, []);
    }

    #[test]
    fn how_long_a_server_is_left_alone_after_a_failure() {
        for (parameters, expected) in [
            ("", Some(10)),
            ("weight=2 fail_timeout=30s", Some(30)),
            ("fail_timeout=2m", Some(120)),
            ("fail_timeout=5", Some(5)),
            ("fail_timeout=1500ms", Some(2)),
            ("fail_timeout=30s max_fails=0", Some(0)),
            ("fail_timeout=soon", Some(10)),
            ("down", None),
        ] {
            let text = format!(
                "upstream hs {{ server h:1 {parameters}; }} server {{ location /_matrix {{ proxy_pass http://hs; }} }}"
            );
            let found = of(&text);
            let marked = found[0]
                .backends
                .first()
                .map(|backend| backend.marked_down_s);
            assert_eq!(marked, expected, "{parameters}");
        }
    }

    #[test]
    fn a_proxy_knows_where_its_server_listens() {
        let found = of("server { listen 443 ssl; listen [::]:443 ssl; location /_matrix { proxy_pass http://h; } }
          server { location /_matrix { proxy_pass http://h; } }");
        let words: Vec<_> = found[0]
            .listens
            .iter()
            .map(|listen| listen.words.join(" "))
            .collect();
        assert_eq!(words, ["443 ssl", "[::]:443 ssl"]);
        assert_eq!(found[1].listens, []);
    }

    /// The forms whose effect was seen with a real nginx: a path in the target decodes `%2F`.
    #[test]
    fn what_rewrites_the_uri() {
        for (inside, expected) in [
            ("proxy_pass http://h:1;", false),
            ("proxy_pass http://h:1$request_uri;", false),
            ("proxy_pass http://h:1/;", true),
            ("proxy_pass http://h:1/_matrix/;", true),
            ("rewrite ^(.*)$ $1 break; proxy_pass http://h:1;", true),
            ("rewrite ^/old /new last; proxy_pass http://h:1;", false),
        ] {
            let found = of(&format!("server {{ location /_matrix/ {{ {inside} }} }}"));
            assert_eq!(found[0].rewrites_uri, expected, "{inside}");
        }
    }

    #[test]
    fn the_body_limit_is_inherited() {
        let text = "client_max_body_size 2k; server { client_max_body_size 20M;
          location /a { proxy_pass http://h; } location /b { client_max_body_size 0; proxy_pass http://h; } }
          server { location /c { proxy_pass http://h; } }";
        let limits: Vec<u64> = of(text)
            .iter()
            .map(|proxy| proxy.body_limit_bytes)
            .collect();
        assert_eq!(limits, [20 << 20, 0, 2048]);
        assert_eq!(
            of("server { location / { proxy_pass http://h; } }")[0].body_limit_bytes,
            DEFAULT_BODY_LIMIT
        );
    }
}
