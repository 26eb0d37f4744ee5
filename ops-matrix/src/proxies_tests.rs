//! Configurations of nginx, and where their proxies lead.

use super::*;
use crate::nginx;

fn of(text: &str) -> Vec<Proxy> {
    proxies(&nginx::read("nginx.conf", text, &|_| Vec::new()).expect("the configuration is good"))
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
    assert_eq!(found[3].unresolved, ["$backend"]);
}

#[test]
fn what_a_variable_holds_is_followed_where_it_is_set() {
    let text = "http {
      map $host $mapped { default localhost:8008; x.example 127.0.0.1:1; hostnames; }
      upstream Tuwunel { server unix:/run/t; server 127.0.0.1:6167 backup; }
      server {
        set $backend http://localhost:8008;
        location /a { proxy_pass $backend; }
        location /b { set $up tuwunel; proxy_pass http://$up; }
        location /c { if ($x) { proxy_pass http://$mapped; } }
        location /d { proxy_pass http://unix:/run/hs.sock; }
      }
      server { location /e { proxy_pass http://$backend; } } }
      stream { server { proxy_pass 127.0.0.1:8448; } }";
    let found = of(text);
    let hosts: Vec<_> = found
        .iter()
        .map(|proxy| {
            let hosts = proxy.backends.iter();
            let hosts: Vec<_> = hosts
                .map(|backend| format!("{}:{}", backend.host, backend.port))
                .collect();
            format!("{} {}", proxy.location, hosts.join(" "))
        })
        .collect();
    assert_eq!(
        hosts,
        [
            "/a localhost:8008",
            "/b 127.0.0.1:6167",
            "/c localhost:8008 127.0.0.1:1",
            "/d ",
            "/e "
        ]
    );
    assert!(found.iter().all(|proxy| !proxy.rewrites_uri), "{found:?}");
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
    let found = of(
        "server { listen 443 ssl; listen [::]:443 ssl; location /_matrix { proxy_pass http://h; } }
      server { location /_matrix { proxy_pass http://h; } }",
    );
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
