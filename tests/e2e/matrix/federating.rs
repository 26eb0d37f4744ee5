//! Two real homeservers that federate behind nginx and a private authority: one is found by its well-known, the other by an
//! SRV record of a real name server.

use std::net::SocketAddr;

use ops_tests::{Address, Kind, Lab, LabHost, Options, Ran, command, skip, tool};
use serde_json::{Value, json};

use crate::names::{Known, Names, srv, v4, v6};

const OTHER: &str = "other.example";

/// Everything that both servers need to find each other.
struct Two {
    here: LabHost,
    other: LabHost,
    _folder: tempfile::TempDir,
    _names: Names,
    _address: Address,
}

impl Two {
    /// Boots both; `more` says what else the name server knows, given the records of the other one's addresses.
    fn start(lab: Lab, name: &str, more: fn(&Known) -> Vec<(&'static str, Known)>) -> Self {
        let options = || Options::from(Kind::Platform).without("mautrix-slack");
        let (here, other) = (
            lab.host(&format!("{name}-a"), options()),
            lab.host(&format!("{name}-b"), options()),
        );
        let folder = tempfile::tempdir().unwrap();
        rename(&other, folder.path());
        let addresses = |host: &LabHost| Known::Records(vec![v4(&host.v4()), v6(&host.v6())]);
        let address = lab.address();
        let ours = SocketAddr::new(address.v4().parse().unwrap(), 53);
        let mut known = vec![
            ("chat.example", addresses(&here)),
            (OTHER, addresses(&other)),
            ("srv.example", addresses(&other)),
            (
                "_matrix-fed._tcp.other.example",
                Known::Records(vec![srv(10, 443, "srv.example")]),
            ),
        ];
        known.extend(more(&addresses(&other)));
        let names = Names::at(ours, &known);
        for host in [&here, &other] {
            host.write(
                "/etc/resolv.conf",
                format!("nameserver {}\noptions timeout:1 attempts:1\n", ours.ip()),
            );
        }
        // Twisted reads resolv.conf when it starts.
        here.sh("systemctl restart matrix-continuwuity").expect(0);
        Self {
            here,
            other,
            _folder: folder,
            _names: names,
            _address: address,
        }
    }
}

/// A run of ops-matrix that looks from one of them.
fn matrix(host: &LabHost, line: &str) -> Ran {
    let ca = ops_tests::tree::authority().join("ca.pem");
    let run = tool("ops-matrix")
        .args(line.split_ascii_whitespace())
        .args(["--json", "--host", host.name()]);
    run.arg("--cafile").arg(ca).run()
}

/// Makes a host's homeserver one of another name, without a well-known.
fn rename(host: &LabHost, folder: &std::path::Path) {
    let authority = ops_tests::tree::authority();
    let openssl = "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout other.key -out other.csr -subj /CN=other.example &&
        openssl x509 -req -in other.csr -CA \"$0/ca.pem\" -CAkey \"$0/ca.key\" -CAserial ca.srl -CAcreateserial -days 90 -out other.pem \
            -extfile /dev/stdin";
    command("sh")
        .args(["-c", openssl])
        .arg(&authority)
        .stdin(format!(
            "subjectAltName=DNS:other.example,DNS:*.other.example,IP:{},IP:{}\n",
            host.v4(),
            host.v6()
        ))
        .dir(folder)
        .run()
        .expect(0);
    for (name, kind) in [("other.pem", "pem"), ("other.key", "key")] {
        host.write(
            &format!("/etc/ops-lab/chat.example.{kind}"),
            std::fs::read(folder.join(name)).unwrap(),
        );
    }
    host.sh(
        "set -e
        systemctl stop matrix-continuwuity
        sed -i 's/chat\\.example/other.example/g' /etc/matrix/homeserver.yaml
        sed -i '/app_service_config_files/d' /etc/matrix/homeserver.yaml
        rm -f /var/lib/continuwuity/homeserver.db* /var/lib/continuwuity/signing.key
        sed -i 's/ chat\\.example//' /etc/hosts
        site=/etc/nginx/sites-enabled/chat.example
        sed -i 's/server_name chat.example/server_name other.example/; s/well-known.matrix/no-well-known/' $site
        cd /var/lib/continuwuity
        setpriv --reuid=continuwuity --regid=continuwuity --clear-groups \
            /opt/synapse/bin/python -m synapse.app.homeserver -c /etc/matrix/homeserver.yaml --generate-keys",
    )
    .expect(0);
}

/// Starts the renamed server and gives the token of an account of it.
fn register(host: &LabHost) -> String {
    let ran = host.sh(
        "set -e
        nginx -s reload
        systemctl start matrix-continuwuity
        /opt/synapse/bin/register_new_matrix_user -u op -p made-up -a -c /etc/matrix/homeserver.yaml http://127.0.0.1:8008 >&2
        curl -fsS http://127.0.0.1:8008/_matrix/client/v3/login -d '{\"type\": \"m.login.password\",
            \"identifier\": {\"type\": \"m.id.user\", \"user\": \"op\"}, \"password\": \"made-up\"}' | jq -r .access_token",
    );
    ran.expect(0).out().trim().to_owned()
}

/// Makes a room and gives its id.
pub(crate) fn room(host: &LabHost, token: &str, body: &Value) -> String {
    let ask = format!(
        "curl -fsS http://127.0.0.1:8008/_matrix/client/v3/createRoom -H 'Authorization: Bearer {token}' -d @- | jq -r .room_id"
    );
    host.sh_with(&ask, body.to_string().as_bytes())
        .expect(0)
        .out()
        .trim()
        .to_owned()
}

fn states(ran: &Ran) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    ran.json()
        .iter()
        .map(|record| format!("{} {}", text(&record["check"]), text(&record["status"])))
        .collect()
}

#[test]
fn two_homeservers_find_and_believe_each_other() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let two = Two::start(lab, "federation", |_| Vec::new());
    let token = register(&two.other);
    // One by its well-known, the other by its SRV record, each seen from its peer.
    let ran = matrix(&two.other, "resolve chat.example").expect(0);
    let targets: Vec<Value> = ran
        .json()
        .into_iter()
        .filter(|row| row["kind"] == "target")
        .collect();
    assert_eq!(targets.len(), 2, "{}", ran.out());
    assert!(
        targets
            .iter()
            .all(|row| row["step"] == "3.2" && row["host_header"] == "chat.example:443"),
        "{}",
        ran.out()
    );
    let ran = matrix(&two.here, "resolve other.example").expect(0);
    let targets: Vec<Value> = ran
        .json()
        .into_iter()
        .filter(|row| row["kind"] == "target")
        .collect();
    assert!(
        targets.len() == 2
            && targets
                .iter()
                .all(|row| row["step"] == "4" && row["sni"] == OTHER),
        "{}",
        ran.out()
    );
    for (from, name, checks) in [(&two.other, "chat.example", 14), (&two.here, OTHER, 14)] {
        let ran = matrix(from, &format!("federation {name}")).expect(0);
        let found = states(&ran);
        assert!(
            found.len() == checks && found.iter().all(|one| one.ends_with(" ok")),
            "{found:?}"
        );
    }
    // Each reaches the other with its signature; the alias of a room proves it for every homeserver.
    matrix(&two.here, "outbound other.example").expect(0);
    matrix(&two.other, "outbound chat.example").expect(0);
    room(
        &two.other,
        &token,
        &json!({"room_alias_name": "lobby", "preset": "public_chat"}),
    );
    let ran = matrix(&two.here, "outbound other.example --alias lobby").expect(0);
    assert!(
        ran.json()[0]["data"]["room_id"]
            .as_str()
            .is_some_and(|room| room.starts_with('!')),
        "{}",
        ran.out()
    );
    matrix(&two.here, "outbound other.example --alias nowhere").expect(3);
    // What the other one sees of us, which it has to fetch anew.
    let ran = matrix(&two.here, "federation chat.example --notary other.example").expect(0);
    assert!(
        states(&ran).contains(&"matrix.notary ok".to_owned()),
        "{}",
        ran.out()
    );
    // A dead peer is told as such by the one that cannot reach it.
    two.here.sh("systemctl stop nginx").expect(0);
    let ran = matrix(&two.other, "federation chat.example").expect(1);
    assert!(
        states(&ran).contains(&"matrix.connect fail".to_owned()),
        "{}",
        ran.out()
    );
}

/// What a real server is called, the step at which its peers find it, and what is published for it. `V4` and `V6` stand
/// for its addresses.
struct Found {
    name: &'static str,
    step: &'static str,
    well_known: Option<&'static str>,
}

#[rustfmt::skip]
const STEPS: [Found; 9] = [
    Found { name: "V4:8449", step: "1", well_known: None },
    Found { name: "[V6]", step: "1", well_known: None },
    Found { name: "port.other.example:8449", step: "2", well_known: None },
    Found { name: "literal.other.example", step: "3.1", well_known: Some("V4:8449") },
    Found { name: "to-srv.other.example", step: "3.3", well_known: Some("srv.other.example") },
    Found { name: "to-old.other.example", step: "3.4", well_known: Some("old.other.example") },
    Found { name: "to-name.other.example", step: "3.5", well_known: Some("plain.other.example") },
    Found { name: "old.other.example", step: "5", well_known: None },
    Found { name: "plain.other.example", step: "6", well_known: None },
];

/// What the name server knows of them: their addresses, and SRV records of either name to a port of their own.
fn steps_in_dns(addresses: &Known) -> Vec<(&'static str, Known)> {
    let srv_to = |port| Known::Records(vec![srv(10, port, "srv.example")]);
    let mut known: Vec<_> = STEPS
        .iter()
        .filter_map(|found| found.name.split(':').next())
        .map(|name| (name, addresses.clone()))
        .collect();
    known.extend([
        ("_matrix-fed._tcp.srv.other.example", srv_to(443)),
        ("_matrix._tcp.old.other.example", srv_to(8449)),
    ]);
    known
}

/// One homeserver under one name after the other: its peer, a Synapse, finds it by itself, and we say how.
#[test]
fn a_real_server_is_found_at_every_step() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let two = Two::start(lab, "steps", steps_in_dns);
    let (v4, v6) = (two.other.v4(), two.other.v6());
    let filled = |text: &str| text.replace("V4", &v4).replace("V6", &v6);
    let well_knowns: Vec<String> = STEPS
        .iter()
        .filter_map(|found| Some((found.name, filled(found.well_known?))))
        .map(|(name, to)| {
            format!("if ($host = {name}) {{ return 200 '{{\"m.server\":\"{to}\"}}'; }}")
        })
        .collect();
    let well_knowns = well_knowns.join(" ");
    let site = format!(
        "s|location = /.no-well-known/server|location = /.well-known/matrix/server {{ default_type application/json; {well_knowns} return 404; }} location = /none|; \
         s|listen 443 ssl;|&listen 8448 ssl; listen [::]:8448 ssl; listen 8449 ssl; listen [::]:8449 ssl;|"
    );
    two.other
        .sh_with(
            "sed -i -f - /etc/nginx/sites-enabled/chat.example && nginx -t -q && nginx -s reload",
            site.as_bytes(),
        )
        .expect(0);
    for found in &STEPS {
        let name = filled(found.name);
        let restart = format!(
            "systemctl stop matrix-continuwuity
            sed -i \"s|^server_name:.*|server_name: '{name}'|\" /etc/matrix/homeserver.yaml
            systemctl reset-failed matrix-continuwuity
            systemctl start matrix-continuwuity
            timeout 60 sh -c 'until curl -fs http://127.0.0.1:8008/health; do :; done'"
        );
        two.other.sh(&restart).expect(0);
        let ran = matrix(&two.here, &format!("resolve {name}")).expect(0);
        let targets: Vec<Value> = ran
            .json()
            .into_iter()
            .filter(|row| row["kind"] == "target")
            .collect();
        assert!(
            !targets.is_empty() && targets.iter().all(|row| row["step"] == found.step),
            "{name}: {}",
            ran.out()
        );
        // Every address of it is the server, by its keys and its certificate.
        let ran = matrix(&two.here, &format!("federation {name}")).expect(0);
        assert!(
            states(&ran).iter().all(|one| one.ends_with(" ok")),
            "{name}: {}",
            ran.out()
        );
        // Its peer goes the same way there, and it finds the keys of its peer: both really do.
        matrix(&two.here, &format!("outbound {name}")).expect(0);
        matrix(&two.other, "outbound chat.example").expect(0);
    }
}
