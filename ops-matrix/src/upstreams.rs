//! Where a proxy's requests really go: each address that the names in its configuration have, and who is hit when one of
//! them is dead.

use ops_common::check::{Check, State};
use serde_json::json;

use crate::proxies::{Backend, Proxy};
use crate::reach::{self, hit, listed};

/// A backend of the proxy that is a name with a dead side, or another trap.
pub const UPSTREAM: &str = "matrix.upstream";
/// A proxy that decodes or rewrites the URI.
pub const URI: &str = "matrix.proxy_uri";
/// The largest body that the proxy lets through.
pub const BODY: &str = "matrix.body_limit";

/// What homeservers accept as the largest upload where nobody says otherwise.
const MAX_REQUEST_BYTES: u64 = 20 * 1000 * 1000;

/// What a backend's addresses did when they were dialled; none where nothing was dialled.
pub type Dialled = Option<Vec<reach::Dialled>>;

/// Picks the proxies that serve Matrix: by their location, or because they go to the homeserver's port.
#[must_use]
pub fn of_matrix(proxies: &[Proxy], port: Option<u16>) -> Vec<&Proxy> {
    let serves = |proxy: &Proxy| {
        [
            "_matrix",
            "matrix/",
            "_synapse",
            "_conduwuit",
            "_continuwuity",
            "_tuwunel",
        ]
        .iter()
        .any(|part| proxy.location.contains(part))
            || proxy
                .backends
                .iter()
                .any(|backend| Some(backend.port) == port)
            || (!proxy.unresolved.is_empty() && may_get_matrix(&proxy.location))
    };
    proxies.iter().filter(|proxy| serves(proxy)).collect()
}

/// Whether requests for the homeserver may come to a location, as far as its path tells.
fn may_get_matrix(location: &str) -> bool {
    // A regular expression or a named location says nothing by its beginning.
    !location.starts_with('/') || "/_matrix/".starts_with(location)
}

/// A proxy of which variables hide where it leads.
#[must_use]
pub fn unresolved(proxy: &Proxy) -> Option<Check> {
    if proxy.unresolved.is_empty() {
        return None;
    }
    let (place, variables) = (&proxy.place, proxy.unresolved.join(" and "));
    let message = format!(
        "'proxy_pass {}' at {place} leads where {variables} says, which no 'set', 'map' or 'geo' around it tells",
        proxy.target
    );
    let data =
        json!({"target": proxy.target, "location": proxy.location, "unresolved": proxy.unresolved});
    let fix = format!("write the address of the homeserver into the proxy_pass at {place}");
    let subject = format!("{place} {variables}");
    Some(
        Check::unknown(UPSTREAM, subject, message)
            .fix(fix)
            .data(data),
    )
}

/// Judges one backend of a proxy by its addresses.
#[must_use]
pub fn judge(proxy: &Proxy, backend: &Backend, dialled: &Dialled) -> Check {
    let subject = format!("{} {}:{}", backend.place, backend.host, backend.port);
    let Some(dialled) = dialled else {
        return unseen(subject, proxy, backend);
    };
    let (alive, dead) = (listed(dialled, true), listed(dialled, false));
    // nginx leaves a server alone after a failure only where it has another one.
    let peers = backend.beside + dialled.len();
    let marked_down_s = if peers > 1 { backend.marked_down_s } else { 0 };
    let data = json!({
        "target": proxy.target, "location": proxy.location, "alive": alive, "dead": dead,
        "hit": hit(dialled), "server_names": proxy.server_names, "marked_down_s": marked_down_s,
    });
    let (state, message) = verdict(&backend.host, &alive, &dead, marked_down_s);
    let check = Check::new(state, UPSTREAM, subject, message).data(data);
    if check.status == State::Ok {
        return check;
    }
    check.fix(fix(proxy, backend, alive.first()))
}

/// What the living and the dead addresses of a backend come to.
fn verdict(host: &str, alive: &[String], dead: &[String], marked_down_s: u64) -> (State, String) {
    let (living, others) = (alive.join(" and "), dead.join(" and "));
    let gap = if marked_down_s > 0 {
        format!(
            "a restart of the server costs {marked_down_s} s of 502 more, in which nginx asks nobody"
        )
    } else {
        "a restart of the server costs no more than itself".to_owned()
    };
    match (alive, dead) {
        ([], []) => (State::Fail, format!("'{host}' has no address")),
        ([], _) => (State::Fail, format!("nothing answers at {others}")),
        ([one], []) if marked_down_s == 0 => (
            State::Ok,
            format!("one address, which nginx never marks down: {one}"),
        ),
        (_, []) if marked_down_s == 0 => (State::Ok, format!("all answer: {living}; {gap}")),
        (_, []) => (
            State::Warn,
            format!(
                "'{host}' is one of several that nginx marks down together, {living} answers: {gap}"
            ),
        ),
        (_, _) => (
            State::Fail,
            format!(
                "'{host}' is also {others}, where nobody listens (only {living} answers): nginx tries it again and again, and {gap}"
            ),
        ),
    }
}

/// Without dialling, a name is a trap if it usually has more than one address.
fn unseen(subject: String, proxy: &Proxy, backend: &Backend) -> Check {
    if backend.host.eq_ignore_ascii_case("localhost") {
        let message = "'localhost' is usually ::1 and 127.0.0.1: if the homeserver listens on one of them, every restart costs 10 s of 502";
        return Check::warn(UPSTREAM, subject, message).fix(fix(proxy, backend, None));
    }
    Check::ok(UPSTREAM, subject, "not dialled")
}

fn fix(proxy: &Proxy, backend: &Backend, alive: Option<&String>) -> String {
    let address = alive
        .cloned()
        .unwrap_or_else(|| format!("127.0.0.1:{}", backend.port));
    if proxy.place == backend.place {
        return format!(
            "write 'proxy_pass http://{address};' at {}: an upstream with a single address is never marked down",
            proxy.place
        );
    }
    format!(
        "write 'server {address};' at {}: an upstream with a single address is never marked down",
        backend.place
    )
}

/// Judges what a proxy does to the URI and to large bodies.
#[must_use]
pub fn lint(proxy: &Proxy) -> Vec<Check> {
    let subject = format!("{} {}", proxy.place, proxy.location);
    let uri = if proxy.rewrites_uri {
        Check::fail(
            URI,
            &subject,
            format!(
                "'proxy_pass {}' decodes the URI: a %2F in an alias or an event id arrives as /",
                proxy.target
            ),
        )
        .fix(format!(
            "write 'proxy_pass {};' without a path behind the port, and no 'rewrite ... break' before it",
            proxy.without_path
        ))
    } else if proxy.unresolved.is_empty() {
        Check::ok(URI, &subject, "the URI passes unchanged")
    } else {
        let variables = proxy.unresolved.join(" and ");
        let message = format!("a path in {variables} would decode the URI");
        Check::unknown(URI, &subject, message)
    };
    let limit = proxy.body_limit_bytes;
    #[expect(
        clippy::cast_precision_loss,
        reason = "a size is shown, not counted with"
    )]
    let shown = limit as f64;
    let body = match limit {
        0 => Check::ok(BODY, &subject, "no limit"),
        MAX_REQUEST_BYTES.. => Check::ok(BODY, &subject, "enough for the homeserver's own limit"),
        _ => Check::warn(BODY, &subject, format!("bodies over {limit} bytes get a 413 in HTML from the proxy, though homeservers take 20 MB"))
            .fix("set 'client_max_body_size 20M;' or the homeserver's max_request_size where Matrix is served"),
    };
    vec![uri, body.value(shown, "B")]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{nginx, proxies};

    fn proxies_of(text: &str) -> Vec<Proxy> {
        proxies::proxies(&nginx::read("n", text, &|_| Vec::new()).expect("good"))
    }

    fn judged(dialled: &[(&str, bool)]) -> Check {
        let proxy =
            &proxies_of("server { location /_matrix { proxy_pass http://localhost:8008; } }")[0];
        let answer = |ok: bool| {
            if ok {
                Ok(())
            } else {
                Err("connection refused".to_owned())
            }
        };
        let dialled = dialled
            .iter()
            .map(|(address, ok)| (address.parse().expect("an address"), answer(*ok)))
            .collect();
        judge(proxy, &proxy.backends[0], &Some(dialled))
    }

    #[test]
    fn the_localhost_trap_is_named_with_its_fix() {
        let check = judged(&[("[::1]:8008", false), ("127.0.0.1:8008", true)]);
        assert_eq!(check.status, State::Fail);
        assert!(
            check
                .message
                .contains("'localhost' is also [::1]:8008, where nobody listens"),
            "{}",
            check.message
        );
        assert_eq!(
            check.fix.as_deref(),
            Some(
                "write 'proxy_pass http://127.0.0.1:8008;' at n:1: an upstream with a single address is never marked down"
            )
        );
        assert_eq!(
            check.data["hit"],
            json!({"first_address": true, "happy_eyeballs": false, "nginx": true})
        );
    }

    #[test]
    fn the_other_sides_of_the_trap() {
        assert_eq!(judged(&[("127.0.0.1:8008", true)]).status, State::Ok);
        assert_eq!(
            judged(&[("[::1]:8008", true), ("127.0.0.1:8008", true)]).status,
            State::Warn
        );
        assert_eq!(judged(&[("127.0.0.1:8008", false)]).status, State::Fail);
        assert_eq!(judged(&[]).message, "'localhost' has no address");
        let proxy =
            &proxies_of("server { location /_matrix { proxy_pass http://localhost:8008; } }")[0];
        assert_eq!(judge(proxy, &proxy.backends[0], &None).status, State::Warn);
    }

    /// Two servers in one block are marked down together, whatever the number of their addresses.
    #[test]
    fn how_long_a_restart_is_made_by_the_proxy() {
        let of_block = |servers: &str| {
            let text = format!(
                "upstream hs {{ {servers} }} server {{ location /_matrix {{ proxy_pass http://hs; }} }}"
            );
            let proxies = proxies_of(&text);
            let backend = &proxies[0].backends[0];
            let dialled = vec![("127.0.0.1:8008".parse().expect("an address"), Ok(()))];
            let check = judge(&proxies[0], backend, &Some(dialled));
            (check.status, check.data["marked_down_s"].clone())
        };
        assert_eq!(of_block("server 127.0.0.1:8008;"), (State::Ok, json!(0)));
        assert_eq!(
            of_block("server 127.0.0.1:8008 fail_timeout=30s; server [::1]:8008;"),
            (State::Warn, json!(30))
        );
        assert_eq!(
            of_block("server 127.0.0.1:8008 max_fails=0; server [::1]:8008 max_fails=0;"),
            (State::Ok, json!(0))
        );
        let check = judged(&[("[::1]:8008", true), ("127.0.0.1:8008", true)]);
        assert_eq!(
            (check.status, &check.data["marked_down_s"]),
            (State::Warn, &json!(10))
        );
        assert!(
            check.message.contains("10 s of 502 more"),
            "{}",
            check.message
        );
    }

    /// A socket of Unix is a server as well, though nobody dials it.
    #[test]
    fn a_server_beside_is_counted_wherever_it_listens() {
        for (servers, beside) in [
            ("server 127.0.0.1:8008;", 0),
            ("server 127.0.0.1:8008; server unix:/run/hs.sock;", 1),
            ("server unix:/run/hs.sock; server 127.0.0.1:8008 backup;", 1),
        ] {
            let text = format!(
                "upstream hs {{ {servers} }} server {{ location /_matrix {{ proxy_pass http://hs; }} }}"
            );
            let proxy = &proxies_of(&text)[0];
            let dialled = vec![("127.0.0.1:8008".parse().expect("an address"), Ok(()))];
            let check = judge(proxy, &proxy.backends[0], &Some(dialled));
            let expected = if beside > 0 { State::Warn } else { State::Ok };
            assert_eq!(
                (proxy.backends[0].beside, check.status),
                (beside, expected),
                "{servers}"
            );
        }
        // Each way of a map is an upstream of its own.
        let text = "map $host $up { default 127.0.0.1:8008; x 127.0.0.1:8009; } server { location /_matrix { proxy_pass http://$up; } }";
        let ways = &proxies_of(text)[0].backends;
        assert_eq!(
            ways.iter().map(|way| way.beside).collect::<Vec<_>>(),
            [0, 0]
        );
    }

    #[test]
    fn a_target_in_a_variable_that_nobody_sets_is_not_known_to_be_good() {
        for (location, target, variables) in [
            ("/_matrix", "http://$hs", Some("$hs")),
            ("/_matrix", "$hs", Some("$hs")),
            ("/", "http://127.0.0.1:$port", Some("$port")),
            ("~ ^/(a|_matrix)", "http://${a}$b", Some("${a} and $b")),
            ("/git", "http://$hs", None),
            ("/_matrix", "http://127.0.0.1:1$request_uri", None),
        ] {
            let all = proxies_of(&format!(
                "server {{\nlocation {location} {{ proxy_pass {target}; }} }}"
            ));
            let picked = of_matrix(&all, Some(8008));
            let found = picked.first().and_then(|proxy| unresolved(proxy));
            let Some(variables) = variables else {
                assert_eq!(found, None, "{location} {target}");
                continue;
            };
            let check = found.unwrap_or_else(|| panic!("{location} {target}"));
            assert_eq!(check.status, State::Unknown);
            assert_eq!(check.subject, format!("n:2 {variables}"));
            assert!(check.message.contains(target), "{}", check.message);
            assert_eq!(lint(picked[0])[0].status, State::Unknown);
        }
    }

    #[test]
    fn what_serves_matrix_is_picked() {
        let all = proxies_of(
            "server { location /_matrix/ { proxy_pass http://a:1; } location / { proxy_pass http://b:8008; } location /git { proxy_pass http://c:3; } }",
        );
        let picked: Vec<_> = of_matrix(&all, Some(8008))
            .iter()
            .map(|proxy| proxy.target.as_str())
            .collect();
        assert_eq!(picked, ["http://a:1", "http://b:8008"]);
    }

    #[test]
    fn a_rewritten_uri_and_a_small_body_are_told() {
        let states = |text: &str| {
            lint(&proxies_of(text)[0])
                .iter()
                .map(|check| check.status)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            states("server { location /_matrix { proxy_pass http://h:1/; } }"),
            [State::Fail, State::Warn]
        );
        assert_eq!(
            states(
                "client_max_body_size 50M; server { location /_matrix { proxy_pass http://h:1; } }"
            ),
            [State::Ok, State::Ok]
        );
        let proxies =
            proxies_of("server { location /_matrix { proxy_pass http://h:1/_matrix/; } }");
        let fix = lint(&proxies[0])[0].fix.clone().expect("a fix");
        assert!(fix.starts_with("write 'proxy_pass http://h:1;'"), "{fix}");
    }
}
