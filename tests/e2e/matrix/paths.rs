//! The ways to the homeserver of a real host: nginx, its names and addresses, the bridge, and what browsers are told.

use ops_tests::{Kind, Lab, LabHost, Ran, skip, tool};
use serde_json::json;

use crate::platform::{both, platform, record};

const NGINX: &str = "/etc/nginx/sites-enabled/chat.example";

/// Changes the site's configuration with sed, and has nginx take it.
fn edit(host: &LabHost, sed: &str) {
    host.sh(&format!(
        "sed -i '{sed}' {NGINX} && nginx -t -q && nginx -s reload"
    ))
    .expect(0);
}

#[test]
fn the_localhost_trap_is_named_with_its_fix() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = platform(lab, "matrix-trap");
    let proxy_pass = |target: &str| edit(&host, &format!("s|proxy_pass .*|proxy_pass {target};|"));
    for ran in both(&host, &["paths", "--json"], 0) {
        assert_eq!(
            record(&ran, "matrix.upstream", "127.0.0.1:8008")["status"],
            "ok"
        );
    }
    proxy_pass("http://localhost:8008");
    // The runbook's line sees nothing, and neither does a request through nginx: the trap is silent.
    host.sh("curl -fsS http://localhost:8008/_matrix/client/versions | jq -e .versions")
        .expect(0);
    host.sh("for i in 1 2 3 4; do curl -fsS https://chat.example/_matrix/client/versions >/dev/null || exit 1; done").expect(0);
    // Yet nginx runs into the dead side.
    host.sh(
        "grep -q 'connect() failed (111.*upstream: .http://.::1.:8008' /var/log/nginx/error.log",
    )
    .expect(0);
    for ran in both(&host, &["versions", "http://localhost:8008", "--json"], 1) {
        assert_eq!(
            record(&ran, "matrix.versions", "[::1]:8008")["data"]["fault"],
            "refused"
        );
        assert_eq!(
            record(&ran, "matrix.versions", "127.0.0.1:8008")["status"],
            "ok"
        );
    }
    for ran in both(&host, &["paths", "--json"], 1) {
        let found = record(&ran, "matrix.upstream", "localhost:8008");
        assert_eq!(found["status"], "fail");
        assert!(found["message"].as_str().is_some_and(|text| {
            text.contains("'localhost' is also [::1]:8008, where nobody listens")
        }));
        assert_eq!(
            found["data"]["hit"],
            json!({"first_address": true, "happy_eyeballs": false, "nginx": true})
        );
        let fix = found["fix"].as_str().unwrap_or_default();
        assert!(fix.starts_with("write 'proxy_pass http://127.0.0.1:8008;' at /etc/nginx/sites-enabled/chat.example:"), "{fix}");
    }
    // The configuration alone, as it travels through a pipe.
    let text = host.read(NGINX);
    let lint = tool("ops-matrix")
        .args(["paths", "--nginx-config", "-"])
        .stdin(text)
        .run()
        .expect(0);
    assert!(
        lint.out()
            .contains("'localhost' is usually ::1 and 127.0.0.1"),
        "{}",
        lint.out()
    );
    // What the fix says is what cures it.
    proxy_pass("http://127.0.0.1:8008");
    both(&host, &["paths", "--json"], 0);
}

/// The hole that a restart leaves, with a server that is there at once, so that all of the hole is nginx's.
#[test]
fn after_a_restart_nginx_asks_nobody_where_it_has_two_addresses() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = lab.host("matrix-hole", Kind::Platform);
    // Down, and back: the answers of nginx, and how often it had nobody to ask.
    let behind = |name: &str| {
        let script = format!(
            "set -e
            sed -i 's|proxy_pass .*|proxy_pass http://{name}:8010;|' {NGINX}
            sed -i 's/^worker_processes .*/worker_processes 1;/' /etc/nginx/nginx.conf # each has a memory of its own
            systemctl restart nginx
            : > /var/log/nginx/error.log
            asked() {{ curl -so /dev/null -w '%{{http_code}} ' https://chat.example/_matrix/; }}
            asked
            systemd-run --quiet --unit=back python3 -m http.server 8010 --bind 127.0.0.1
            timeout 30 sh -c 'until curl -so /dev/null http://127.0.0.1:8010/; do :; done'
            asked
            systemctl stop back
            grep -c 'no live upstreams' /var/log/nginx/error.log || true"
        );
        host.sh(&script).expect(0).out()
    };
    let upstream = |name: &str| {
        let ran = tool("ops-matrix")
            .args(["paths", "--json", "--host", host.name()])
            .run()
            .expect(1);
        record(&ran, "matrix.upstream", name)
    };
    assert_eq!(behind("localhost"), "502 502 1\n");
    assert_eq!(upstream("localhost:8010")["data"]["marked_down_s"], 10);
    // With one address there is no hole, and that is what is told.
    assert_eq!(behind("127.0.0.1"), "502 404 0\n");
    assert_eq!(upstream("127.0.0.1:8010")["data"]["marked_down_s"], 0);
}

#[test]
fn the_names_in_the_files_of_a_bridge_are_looked_at_too() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = platform(lab, "matrix-bridge");
    if !host.path("/usr/local/bin/mautrix-slack").exists() {
        return skip("bridge");
    }
    let folder = "/var/lib/mautrix-slack";
    let keys = [
        ("config", "homeserver.address"),
        ("config", "appservice.address"),
        ("config", "appservice.hostname"),
        ("registration", "url"),
    ];
    let found = |ran: &Ran, key: &str| record(ran, "matrix.bridge_url", &format!(" {key}"));
    for ran in both(&host, &["paths", "--json"], 0) {
        for (file, key) in keys {
            let one = found(&ran, key);
            let subject = one["subject"].as_str().unwrap();
            assert!(
                subject.starts_with(&format!("{folder}/{file}.yaml:")),
                "{one}"
            );
            assert_eq!(one["status"], "ok", "{one}");
        }
    }
    // The bridge listens on 127.0.0.1, and the homeserver too: localhost is each time also where nobody listens.
    host.sh(&format!(
        "sed -i 's|127.0.0.1|localhost|' {folder}/config.yaml {folder}/registration.yaml"
    ))
    .expect(0);
    for ran in both(&host, &["paths", "--json"], 1) {
        for (key, dead, fix) in [
            ("homeserver.address", "[::1]:8008", "http://127.0.0.1:8008"),
            (
                "appservice.address",
                "[::1]:29335",
                "http://127.0.0.1:29335",
            ),
            ("url", "[::1]:29335", "http://127.0.0.1:29335"),
        ] {
            let one = found(&ran, key);
            assert_eq!(
                (&one["status"], &one["data"]["dead"]),
                (&json!("fail"), &json!([dead]))
            );
            assert_eq!(one["fix"], format!("name the address that answers: {fix}"));
        }
        let bound = found(&ran, "appservice.hostname");
        assert_eq!(bound["status"], "warn", "{bound}");
        // What is nobody's business has not even left the host.
        assert!(
            !ran.out().contains("as_token") && !ran.out().contains("secret"),
            "{}",
            ran.out()
        );
    }
    // Who may not read the files is told so, and a bridge that is stopped is no fault of a name.
    let guest = format!("guest@{}", host.v4());
    let ran = tool("ops-matrix")
        .args(["paths", "--json", "--host", &guest])
        .run()
        .expect(3);
    assert_eq!(
        record(&ran, "matrix.bridge_url", "config.yaml")["fix"],
        "use --sudo"
    );
    host.sh(&format!(
        "systemctl stop mautrix-slack; sed -i 's|localhost|127.0.0.1|' {folder}/config.yaml {folder}/registration.yaml"
    ))
    .expect(0);
    for ran in both(&host, &["paths", "--json"], 0) {
        let one = found(&ran, "url");
        assert_eq!(
            (&one["status"], &one["message"]),
            (&json!("warn"), &json!("nothing answers at 127.0.0.1:29335"))
        );
    }
}

#[test]
fn a_proxy_that_spoils_paths_and_headers_is_found_out() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = lab.host("matrix-proxy", Kind::Platform);
    let before = host.read(NGINX);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("ops.yaml"),
        "matrix: {server_name: chat.example}\n",
    )
    .unwrap();
    let ca = ops_tests::tree::authority().join("ca.pem");
    let paths = |status: i32| {
        let run = tool("ops-matrix")
            .args(["paths", "--json", "--host", host.name(), "--cafile"])
            .arg(&ca);
        run.dir(folder.path()).run().expect(status)
    };
    let ran = paths(0);
    assert_eq!(
        record(&ran, "matrix.identity", &format!("{}:443", host.v4()))["message"],
        "the same keys and version as the local server"
    );
    let client = format!("{}:443 client", host.v4());
    assert_eq!(
        record(&ran, "matrix.path_encoding", &client)["status"],
        "ok"
    );
    assert_eq!(record(&ran, "matrix.cors", &client)["status"], "ok");
    assert_eq!(
        record(&ran, "matrix.body_limit", "chat.example")["status"],
        "warn"
    );
    assert_eq!(
        record(&ran, "matrix.listen", "chat.example")["status"],
        "ok"
    );
    let wellknown = |ran: &Ran, kind: &str| {
        record(
            ran,
            &format!("matrix.wellknown_{kind}"),
            &format!("{}:443", host.v4()),
        )
    };
    assert_eq!(wellknown(&ran, "server")["status"], "ok");
    assert_eq!(wellknown(&ran, "client")["status"], "ok");
    // Each line of what follows is one mistake, or one cure.
    edit(
        &host,
        "/listen .::.:443/d; s|server_name chat|client_max_body_size 50M; server_name chat|; s|default_type application/json;||; \
        s|location /_matrix {|location = /_matrix/key/v2/server { default_type application/json; return 200 '\\''{\"verify_keys\":{\"ed25519:x\":{\"key\":\"AAAA\"}}}'\\''; } location /_matrix { proxy_hide_header Access-Control-Allow-Origin; add_header Access-Control-Allow-Origin *;|",
    );
    let ran = paths(1);
    assert_eq!(
        record(&ran, "matrix.body_limit", "chat.example")["status"],
        "ok"
    );
    let listen = record(&ran, "matrix.listen", "chat.example");
    assert!(
        listen["fix"]
            .as_str()
            .unwrap()
            .starts_with("add 'listen [::]:443 ssl;' at"),
        "{listen}"
    );
    let of_type = "its Content-Type is not application/json";
    assert_eq!(wellknown(&ran, "server")["message"], of_type);
    // The name has an address of IPv6, where clients are refused now.
    let client_kind = wellknown(&ran, "client");
    let message = client_kind["message"].as_str().unwrap();
    assert!(
        message.contains("does not answer: [2001:db8::") && message.ends_with(of_type),
        "{message}"
    );
    let found = record(&ran, "matrix.cors", &client);
    assert_eq!(
        found["message"],
        "browsers refuse: errors have no Access-Control-Allow-Origin"
    );
    let found = record(&ran, "matrix.identity", &format!("{}:443", host.v4()));
    assert!(
        found["message"]
            .as_str()
            .unwrap()
            .starts_with("the public address shows other keys"),
        "{found}"
    );
    host.write(NGINX, &before);
    host.sh(&format!("sed -i 's|location /_matrix {{|location /_matrix/ {{ add_header Access-Control-Allow-Origin * always;|; s|proxy_pass .*|proxy_pass http://127.0.0.1:8008/_matrix/;|' {NGINX} && nginx -s reload")).expect(0);
    let ran = paths(1);
    assert_eq!(
        record(&ran, "matrix.proxy_uri", "chat.example")["status"],
        "fail"
    );
    for port in ["client", "federation"] {
        let found = record(
            &ran,
            "matrix.path_encoding",
            &format!("{}:443 {port}", host.v4()),
        );
        assert!(
            found["message"]
                .as_str()
                .is_some_and(|text| text.contains("decodes the URI")),
            "{found}"
        );
    }
    let found = record(&ran, "matrix.cors", &client);
    assert!(found["message"].as_str().is_some_and(|text| text.contains("answers have 2 Access-Control-Allow-Origin headers")), "{found}");
}
