//! Discovery and federation over names: SRV, delegation, several addresses, and the mistakes of the public testers.

use std::sync::Arc;

use ops_tests::tool;

use crate::certificates::{GOOD, Leaf};
use crate::fake::{Act, Asked, Fake, Start, json, reply};
use crate::faults::{Bed, Row, Scene, all};
use crate::homeserver::{keys, well};
use crate::names::{Known, Names, alias, srv, v4, v6};

/// A name server, and `verb chat.example` that asks it.
pub(crate) fn named(
    bed: &Bed,
    verb: &str,
    known: &[(&str, Known)],
    fakes: Vec<Fake>,
    more: &str,
) -> Scene {
    let names = Names::start(known);
    let args = format!(
        "{verb} --dns {} --cafile {} --timeout 4s {more}",
        names.address,
        bed.ca()
    );
    Scene {
        args: Scene::args(&args),
        fakes,
        names: Some(names),
    }
}

pub(crate) fn homeserver(bed: &Bed, ip: &str) -> Fake {
    Fake::start(ip, Start::Tls(Arc::clone(&bed.good)), well("chat.example"))
}

pub(crate) fn records(records: &[hickory_proto::rr::RData]) -> Known {
    Known::Records(records.to_vec())
}

/// A well-known at a loopback address that delegates to `to`, reached by the port of HTTPS.
pub(crate) fn delegating(bed: &Bed, ip: &str, to: &str) -> Fake {
    let body = format!(r#"{{"m.server":"{to}"}}"#);
    Fake::start(ip, Start::Tls(Arc::clone(&bed.good)), move |_| {
        Act::Send(json(&body))
    })
}

#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = &[
    Row { name: "a name server that fails", scene: |bed| named(bed, "federation chat.example", &[("chat.example", Known::Fails), ("_matrix-fed._tcp.chat.example", Known::Fails)], vec![], ""), status: 3, check: "matrix.discovery", state: "unknown", fault: "", says: "Server Failure" },
    Row { name: "a name that does not exist", scene: |bed| named(bed, "federation chat.example", &[], vec![], ""), status: 1, check: "matrix.discovery", state: "fail", fault: "", says: "no address to connect to" },
    Row { name: "an SRV target that is an alias", scene: |bed| named(bed, "federation chat.example", &[("_matrix-fed._tcp.chat.example", records(&[srv(1, 1, "hs.example")])), ("hs.example", records(&[alias("real.example"), v4("127.0.0.1")]))], vec![], ""), status: 1, check: "matrix.discovery", state: "fail", fault: "", says: "refused, 'hs.example' is an alias of 'real.example'" },
    Row { name: "one dead family", scene: |bed| {
        let fake = homeserver(bed, "127.0.0.1");
        let port = fake.address.port();
        named(bed, "federation chat.example", &[("_matrix-fed._tcp.chat.example", records(&[srv(1, port, "hs.example")])), ("hs.example", records(&[v4("127.0.0.1"), v6("::1")]))], vec![fake], "")
    }, status: 1, check: "matrix.connect", state: "fail", fault: "refused", says: "refused" },
    Row { name: "two servers behind one name", scene: |bed| {
        let first = homeserver(bed, "127.0.0.1");
        let body = keys("chat.example", 9, |_| (), |_| ());
        let at = std::net::SocketAddr::new("::1".parse().unwrap(), first.address.port());
        let second = Fake::at(at, Start::Tls(Arc::clone(&bed.good)), move |_| Act::Send(json(&body)));
        named(bed, "federation chat.example", &[("_matrix-fed._tcp.chat.example", records(&[srv(1, at.port(), "hs.example")])), ("hs.example", records(&[v4("127.0.0.1"), v6("::1")]))], vec![first, second], "")
    }, status: 1, check: "matrix.same_server", state: "fail", fault: "", says: "different keys" },
    Row { name: "a silent well-known hides no SRV record", scene: |bed| {
        let fake = homeserver(bed, "127.0.0.1");
        let silent = Fake::start("127.0.0.1", Start::Tls(Arc::clone(&bed.good)), |_| Act::Silence);
        let (port, at) = (fake.address.port(), silent.address.port());
        let known = [("chat.example", records(&[v4("127.0.0.1")])), ("_matrix-fed._tcp.chat.example", records(&[srv(1, port, "hs.example")])), ("hs.example", records(&[v4("127.0.0.1")]))];
        named(bed, "federation chat.example", &known, vec![fake, silent], &format!("--connect-to chat.example:443:127.0.0.1:{at}"))
    }, status: 1, check: "matrix.server_version", state: "ok", fault: "", says: "Fixture 1.0" },
    Row { name: "split-brain", scene: |bed| {
        let (one, other) = split(bed, "hs.example:1", "hs.example:2");
        split_scene(bed, one, other)
    }, status: 1, check: "matrix.wellknown", state: "fail", fault: "", says: "different well-knowns: hs.example:1, hs.example:2" },
    Row { name: "a well-known on one family only", scene: |bed| {
        let one = delegating(bed, "127.0.0.1", "hs.example:1");
        let at = std::net::SocketAddr::new("::1".parse().unwrap(), one.address.port());
        let other = Fake::at(at, Start::Tls(Arc::clone(&bed.good)), |_| Act::Send(reply(404, "", "")));
        split_scene(bed, one, other)
    }, status: 1, check: "matrix.wellknown", state: "fail", fault: "not_found", says: "HTTP 404" },
    Row { name: "a well-known with a bad certificate", scene: |bed| {
        let config = bed.root.server(Leaf { name: "other.example", ..GOOD }, &[]);
        let fake = Fake::start("127.0.0.1", Start::Tls(config), |_| Act::Send(json(r#"{"m.server":"hs.example:1"}"#)));
        let port = fake.address.port();
        named(bed, "federation chat.example", &[("chat.example", records(&[v4("127.0.0.1")]))], vec![fake], &format!("--connect-to chat.example:443:127.0.0.1:{port}"))
    }, status: 1, check: "matrix.wellknown", state: "fail", fault: "wrong_name", says: "not for 'chat.example'" },
];

fn split(bed: &Bed, one: &str, other: &str) -> (Fake, Fake) {
    let first = delegating(bed, "127.0.0.1", one);
    let at = std::net::SocketAddr::new("::1".parse().unwrap(), first.address.port());
    let body = format!(r#"{{"m.server":"{other}"}}"#);
    (
        first,
        Fake::at(at, Start::Tls(Arc::clone(&bed.good)), move |_| {
            Act::Send(json(&body))
        }),
    )
}

pub(crate) fn split_scene(bed: &Bed, one: Fake, other: Fake) -> Scene {
    let port = one.address.port();
    let known = [("both.example", records(&[v4("127.0.0.1"), v6("::1")]))];
    named(
        bed,
        "federation chat.example",
        &known,
        vec![one, other],
        &format!("--connect-to chat.example:443:both.example:{port}"),
    )
}

#[test]
fn faults_of_names_are_named() {
    all(ROWS);
}

/// The route of `name`, as `address step host sni` for each target.
pub(crate) fn targets(bed: &Bed, name: &str, known: &[(&str, Known)], more: &str) -> Vec<String> {
    let names = Names::start(known);
    let args = format!(
        "resolve {name} --dns {} --cafile {} --json {more}",
        names.address,
        bed.ca()
    );
    let ran = tool("ops-matrix").args(Scene::args(&args)).run();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("-").to_owned();
    let rows = ran.json().into_iter().filter(|row| row["kind"] == "target");
    rows.map(|row| {
        ["answer", "step", "host_header", "sni"]
            .map(|key| text(&row[key]))
            .join(" ")
    })
    .collect()
}

#[test]
fn the_steps_of_discovery_over_a_real_name_server() {
    let bed = Bed::new();
    let fed = (
        "_matrix-fed._tcp.chat.example",
        records(&[srv(1, 7001, "hs.example")]),
    );
    let old = (
        "_matrix._tcp.chat.example",
        records(&[srv(1, 7002, "old.example")]),
    );
    let hosts = [
        ("hs.example", records(&[v4("203.0.113.1")])),
        ("old.example", records(&[v4("203.0.113.2")])),
    ];
    let known = |more: &[(&'static str, Known)]| {
        hosts
            .iter()
            .cloned()
            .chain(more.iter().cloned())
            .collect::<Vec<_>>()
    };
    // The new name alone is enough, and where it exists the old one is not used.
    let expected = ["203.0.113.1:7001 4 chat.example chat.example"];
    assert_eq!(
        targets(&bed, "chat.example", &known(std::slice::from_ref(&fed)), ""),
        expected
    );
    assert_eq!(
        targets(&bed, "chat.example", &known(&[fed, old.clone()]), ""),
        expected
    );
    assert_eq!(
        targets(&bed, "chat.example", &known(&[old]), ""),
        ["203.0.113.2:7002 5 chat.example chat.example"]
    );
    // An answer that does not fit UDP is asked for again over TCP.
    let many: Vec<_> = (1..=60)
        .map(|number| srv(number, number, "hs.example"))
        .collect();
    let cut = ("_matrix-fed._tcp.chat.example", Known::Cut(many));
    assert_eq!(targets(&bed, "chat.example", &known(&[cut]), "").len(), 60);
    // Literals ask nobody.
    assert_eq!(
        targets(&bed, "[2001:db8::1]", &[], ""),
        ["[2001:db8::1]:8448 1 [2001:db8::1] -"]
    );
    assert_eq!(
        targets(&bed, "203.0.113.9:443", &[], ""),
        ["203.0.113.9:443 1 203.0.113.9:443 -"]
    );
    let silent = [
        ("_matrix-fed._tcp.chat.example", Known::Silent),
        ("chat.example", records(&[v4("203.0.113.5")])),
    ];
    assert_eq!(
        targets(
            &bed,
            "chat.example",
            &silent,
            "--connect-to chat.example:443:127.0.0.1:1"
        ),
        ["203.0.113.5:8448 6 chat.example chat.example"]
    );
}

#[test]
fn names_as_people_write_them() {
    let bed = Bed::new();
    let at = |name| (name, records(&[v4("203.0.113.5")]));
    let known = [at("chat.example"), at("xn--bcher-kva.example")];
    // No server says anything of the well-known.
    let nobody = "--connect-to :443:127.0.0.1:1";
    for (name, expected) in [
        (
            "Chat.Example",
            "203.0.113.5:8448 6 Chat.Example Chat.Example",
        ),
        (
            "chat.example.",
            "203.0.113.5:8448 6 chat.example. chat.example",
        ),
        (
            "xn--bcher-kva.example",
            "203.0.113.5:8448 6 xn--bcher-kva.example xn--bcher-kva.example",
        ),
    ] {
        assert_eq!(targets(&bed, name, &known, nobody), [expected], "{name}");
    }
    for (name, says) in [
        (
            "b\u{fc}cher.example",
            "a host name has no 'ü': write it as DNS has it, beginning with xn--",
        ),
        (
            "[fe80::1%eth0]",
            "'[fe80::1%eth0]' is no IPv6 address in brackets",
        ),
        ("fe80::1", "':1' is no port"),
    ] {
        let args = ["resolve", name, "--dns", "127.0.0.1:1", "--timeout", "2s"];
        let ran = tool("ops-matrix").args(args).run();
        let told = ran.err();
        assert!(
            ran.status == 2 && told.contains(says),
            "{name}: {} {told}",
            ran.status
        );
    }
}

/// A name with the dot of the root is verified against a certificate without it, as is one in other letters.
#[test]
fn a_name_in_another_spelling_is_verified() {
    let bed = Bed::new();
    for name in ["chat.example.", "Chat.Example"] {
        let fake = Fake::start("127.0.0.1", Start::Tls(Arc::clone(&bed.good)), well(name));
        let port = fake.address.port();
        let known = [
            (
                "_matrix-fed._tcp.chat.example",
                records(&[srv(1, port, "hs.example")]),
            ),
            ("hs.example", records(&[v4("127.0.0.1")])),
        ];
        let names = Names::start(&known);
        let args = format!(
            "federation {name} --dns {} --cafile {} --timeout 4s --json",
            names.address,
            bed.ca()
        );
        let ran = tool("ops-matrix").args(Scene::args(&args)).run();
        let states: Vec<_> = ran
            .json()
            .iter()
            .map(|row| format!("{} {}", row["check"], row["status"]).replace('"', ""))
            .filter(|state| !state.starts_with("matrix.wellknown"))
            .collect();
        for expected in ["matrix.tls ok", "matrix.keys ok"] {
            assert!(
                states.iter().any(|state| state == expected),
                "{name}: {states:?}"
            );
        }
    }
}

#[test]
fn a_delegated_name_is_what_peers_send_and_verify() {
    let bed = Bed::new();
    let fake = delegating(&bed, "127.0.0.1", "hs.example");
    let known = [
        ("chat.example", records(&[v4("127.0.0.1")])),
        (
            "_matrix-fed._tcp.hs.example",
            records(&[srv(1, 7001, "srv.example")]),
        ),
        ("srv.example", records(&[v4("203.0.113.1")])),
    ];
    let connect = format!(
        "--connect-to chat.example:443:127.0.0.1:{}",
        fake.address.port()
    );
    assert_eq!(
        targets(&bed, "chat.example", &known, &connect),
        ["203.0.113.1:7001 3.3 hs.example hs.example"]
    );
}

#[test]
fn host_and_sni_are_those_of_the_specification() {
    let bed = Bed::new();
    let fake = Fake::start(
        "127.0.0.1",
        Start::Tls(Arc::clone(&bed.good)),
        well("chat.example:8448"),
    );
    let connect = format!(
        "--connect-to chat.example:8448:127.0.0.1:{} --cafile {}",
        fake.address.port(),
        bed.ca()
    );
    tool("ops-matrix")
        .args(Scene::args(&format!(
            "federation chat.example:8448 {connect}"
        )))
        .run()
        .expect(0);
    let told: Vec<(String, Option<String>)> = fake
        .asked()
        .into_iter()
        .map(|Asked { host, sni, .. }| (host, sni))
        .collect();
    // The port belongs into Host, and not into SNI.
    assert!(
        !told.is_empty()
            && told
                .iter()
                .all(|one| *one == ("chat.example:8448".into(), Some("chat.example".into()))),
        "{told:?}"
    );
    let config = bed.root.server(
        Leaf {
            name: "127.0.0.1",
            ..GOOD
        },
        &[],
    );
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let name = format!("127.0.0.1:{port}");
    let literal = Fake::at(name.parse().unwrap(), Start::Tls(config), well(&name));
    tool("ops-matrix")
        .args(Scene::args(&format!(
            "federation {name} --cafile {}",
            bed.ca()
        )))
        .run()
        .expect(0);
    let told = literal.asked();
    assert!(
        !told.is_empty()
            && told
                .iter()
                .all(|asked| asked.host == name && asked.sni.is_none()),
        "{told:?}"
    );
}

/// Many names cost little memory: what is held of each is its findings.
#[test]
fn five_hundred_names_stay_below_64_mib() {
    let bed = Bed::new();
    let (reached, last) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new((reached, released));
    let fake = Fake::start(
        "127.0.0.1",
        Start::Tls(Arc::clone(&bed.good)),
        move |asked| {
            if asked.host == "n500.example:8448" {
                // All others are done or under way: the tool waits here until its memory has been read.
                let (reached, released) = &*gate.lock().unwrap();
                reached.send(()).ok();
                released.recv().ok();
            }
            Act::SendAndClose(json("{}"))
        },
    );
    let names: Vec<String> = (1..=500)
        .map(|number| format!("n{number}.example:8448"))
        .collect();
    let args = format!(
        "federation - --json --connect-to ::127.0.0.1:{} --cafile {}",
        fake.address.port(),
        bed.ca()
    );
    let running = tool("ops-matrix")
        .args(Scene::args(&args))
        .stdin(names.join("\n"))
        .spawn();
    last.recv().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap()
        .trim()
        .trim_end_matches(" kB");
    drop(release);
    let ran = running.finish().expect(1);
    let names: std::collections::BTreeSet<_> = ran
        .json()
        .iter()
        .map(|record| {
            record["subject"]
                .as_str()
                .unwrap()
                .split(' ')
                .next()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(names.len(), 500);
    assert!(peak.parse::<u64>().unwrap() < 64 * 1024, "{peak} KiB");
}
