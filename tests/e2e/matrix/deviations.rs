//! What the two public testers, and other checkers, are known to get wrong on our path: each a test of ours, so that we do
//! not get it wrong in the same way. Go is matrix-federation-tester, Rust is rust-federation-tester.

use std::sync::Arc;

use ops_tests::{Ran, tool};
use serde_json::Value;

use crate::certificates::{Authority, GOOD, Leaf};
use crate::fake::{Act, Asked, Fake, Start, json, reply};
use crate::faults::{Bed, Row, Scene, all, leaf, well_known, with_config};
use crate::federation::{delegating, homeserver, named, records, targets};
use crate::homeserver::{KEYS, well};
use crate::names::{Known, srv, v4, v6};

/// `chat.example` with both families: a well-known from v4 that delegates to a server, and `other` at v6.
fn two_faced(
    bed: &Bed,
    verb: &str,
    known: &[(&str, Known)],
    other: impl Fn(&Asked) -> Act + Send + Sync + 'static,
) -> Scene {
    let server = homeserver_called(bed, "hs.example");
    let to = format!("hs.example:{}", server.address.port());
    let one = delegating(bed, "127.0.0.1", &to);
    let at = std::net::SocketAddr::new("::1".parse().unwrap(), one.address.port());
    let second = Fake::at(at, Start::Tls(Arc::clone(&bed.good)), other);
    let port = one.address.port();
    let mut all = vec![
        ("both.example", records(&[v4("127.0.0.1"), v6("::1")])),
        ("hs.example", records(&[v4("127.0.0.1")])),
    ];
    all.extend_from_slice(known);
    named(
        bed,
        verb,
        &all,
        vec![one, second, server],
        &format!("--connect-to chat.example:443:both.example:{port}"),
    )
}

/// A server whose certificate is for another name than the one it is asked for.
fn homeserver_called(bed: &Bed, name: &'static str) -> Fake {
    let config = bed.root.server(Leaf { name, ..GOOD }, &[]);
    Fake::start("127.0.0.1", Start::Tls(config), well("chat.example"))
}

fn looping(bed: &Bed) -> Scene {
    let server = homeserver(bed, "127.0.0.1");
    let wheel = Fake::start("127.0.0.1", Start::Tls(Arc::clone(&bed.good)), |asked| {
        Act::Send(reply(301, &format!("Location: {}", asked.path), ""))
    });
    let known = [
        ("chat.example", records(&[v4("127.0.0.1")])),
        ("hs.example", records(&[v4("127.0.0.1")])),
        (
            "_matrix-fed._tcp.chat.example",
            records(&[srv(1, server.address.port(), "hs.example")]),
        ),
    ];
    let port = wheel.address.port();
    named(
        bed,
        "federation chat.example",
        &known,
        vec![server, wheel],
        &format!("--connect-to chat.example:443:127.0.0.1:{port}"),
    )
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row { name: "c, Go: a well-known that fails on one family is hidden by the other", scene: |bed| two_faced(bed, "federation chat.example", &[], |_| Act::Send(reply(500, "", ""))), status: 1, check: "matrix.wellknown", state: "fail", fault: "status", says: "HTTP 500" },
    Row { name: "c, Go: and so is one in another language", scene: |bed| two_faced(bed, "federation chat.example", &[], |_| Act::Send(reply(200, "Content-Type: text/html", "<html>"))), status: 1, check: "matrix.wellknown", state: "fail", fault: "html", says: "HTML" },
    Row { name: "d, Go: a redirect loop counts as no well-known", scene: looping, status: 1, check: "matrix.wellknown", state: "fail", fault: "redirect_loop", says: "leads back to itself" },
    Row { name: "d, Go: what fails in the well-known hides the server behind the SRV record", scene: looping, status: 1, check: "matrix.server_version", state: "ok", fault: "", says: "Fixture 1.0" },
    Row { name: "e, Go: a missing intermediate is any unknown authority", scene: |bed| with_config(bed, Authority::new("middle").server(Leaf { names_issuer: true, ..GOOD }, &[])), status: 1, check: "matrix.tls", state: "fail", fault: "missing_intermediate", says: "'middle' is not sent" },
    Row { name: "h, Rust: where one of its well-knowns fails, that address is dialled on 8448", scene: |bed| two_faced(bed, "federation chat.example", &[], |_| Act::Send(reply(404, "", ""))), status: 1, check: "matrix.discovery", state: "ok", fault: "", says: "step 3.2: 127.0.0.1:" },
    Row { name: "i, Rust: a bad certificate is only that there is no connection", scene: |bed| with_config(bed, bed.root.server(leaf((-30, -3)), &[])), status: 1, check: "matrix.tls", state: "fail", fault: "expired", says: "expired" },
    Row { name: "i, Rust: and the keys behind it are not looked at", scene: |bed| with_config(bed, bed.root.server(leaf((-30, -3)), &[])), status: 1, check: "matrix.keys", state: "ok", fault: "", says: "signed by" },
    Row { name: "j, Rust: a redirect loses its query", scene: |bed| well_known(bed, "server", |asked| match asked.path.as_str() {
        "/moved?to=here" => Act::Send(json(r#"{"m.server":"hs.example:443"}"#)),
        "/moved" => Act::Send(reply(404, "", "")),
        _ => Act::Send(reply(302, "Location: /moved?to=here", "")),
    }), status: 0, check: "matrix.wellknown_server", state: "ok", fault: "", says: "hs.example:443" },
    Row { name: "j, Rust: and its scheme", scene: |bed| {
        let plain = Fake::start("127.0.0.1", Start::Plain, |_| Act::Send(json(r#"{"m.server":"hs.example:443"}"#)));
        let location = format!("Location: http://plain.example:{}/w", plain.address.port());
        let mut scene = well_known(bed, "server", move |_| Act::Send(reply(302, &location, "")));
        scene.args.extend(Scene::args(&format!("--resolve plain.example:{}:127.0.0.1", plain.address.port())));
        scene.fakes.push(plain);
        scene
    }, status: 0, check: "matrix.wellknown_server", state: "ok", fault: "", says: "hs.example:443" },
];

#[test]
fn what_other_testers_do_not_see_is_seen() {
    all(ROWS);
}

/// a and g: the new SRV name counts alone, and where it exists the old one does not. b and j: literals need no port. h: and
/// SRV records are asked for before port 8448 is taken.
#[test]
fn the_ways_that_other_testers_take_are_not_taken() {
    let bed = Bed::new();
    let hosts = [
        ("new.example", records(&[v4("203.0.113.1")])),
        ("old.example", records(&[v4("203.0.113.2")])),
        (
            "chat.example",
            records(&[v4("203.0.113.3"), v6("2001:db8::3")]),
        ),
    ];
    let with =
        |more: &[(&'static str, Known)]| hosts.iter().chain(more).cloned().collect::<Vec<_>>();
    let fed = (
        "_matrix-fed._tcp.chat.example",
        records(&[srv(1, 7001, "new.example")]),
    );
    let old = (
        "_matrix._tcp.chat.example",
        records(&[srv(1, 7002, "old.example")]),
    );
    let nothing = "--connect-to chat.example:443:127.0.0.1:1";
    for (what, name, known, expected) in [
        (
            "a",
            "chat.example",
            with(std::slice::from_ref(&fed)),
            vec!["203.0.113.1:7001 4 chat.example chat.example"],
        ),
        (
            "g",
            "chat.example",
            with(&[fed, old.clone()]),
            vec!["203.0.113.1:7001 4 chat.example chat.example"],
        ),
        (
            "h",
            "chat.example",
            with(&[old]),
            vec!["203.0.113.2:7002 5 chat.example chat.example"],
        ),
        (
            "b",
            "[2001:db8::1]",
            vec![],
            vec!["[2001:db8::1]:8448 1 [2001:db8::1] -"],
        ),
        (
            "j",
            "[2001:db8::1]:8449",
            vec![],
            vec!["[2001:db8::1]:8449 1 [2001:db8::1]:8449 -"],
        ),
        (
            "j",
            "203.0.113.9",
            vec![],
            vec!["203.0.113.9:8448 1 203.0.113.9 -"],
        ),
    ] {
        assert_eq!(targets(&bed, name, &known, nothing), expected, "{what}");
    }
}

/// k, mautrix-go: max-age is never read, so that every answer is kept for a day.
#[test]
fn how_long_peers_keep_a_well_known_is_what_it_says() {
    let bed = Bed::new();
    for (headers, kept) in [
        ("Cache-Control: public, max-age=7200", 7200),
        (
            "Expires: Mon, 23 Nov 2026 17:10:24 GMT\nDate: Mon, 23 Nov 2026 16:10:24 GMT",
            3600,
        ),
        ("Cache-Control: max-age=999999", 48 * 3600),
        ("", 24 * 3600),
    ] {
        let scene = well_known(&bed, "server", move |_| {
            Act::Send(reply(
                200,
                &format!("Content-Type: application/json\n{headers}"),
                r#"{"m.server":"hs.example:443"}"#,
            ))
        });
        let ran = tool("ops-matrix")
            .args(&scene.args)
            .arg("--json")
            .run()
            .expect(0);
        assert_eq!(ran.json()[0]["data"]["kept_s"], kept, "{headers}");
    }
}

fn run(bed: &Bed, fake: &Fake, name: &str) -> Ran {
    let args = format!(
        "federation {name} --connect-to ::127.0.0.1:{} --cafile {} --json",
        fake.address.port(),
        bed.ca()
    );
    tool("ops-matrix").args(Scene::args(&args)).run()
}

/// f, Rust: Host has no port. m, testmatrix: the port is added to a name that has one, the status is 0 whatever was found,
/// and it registers and logs in. Go's own command line exits with 0 too.
#[test]
fn a_name_with_a_port_is_asked_for_as_it_is_and_nothing_is_changed_there() {
    let bed = Bed::new();
    let fake = Fake::start(
        "127.0.0.1",
        Start::Tls(Arc::clone(&bed.good)),
        well("chat.example:9000"),
    );
    run(&bed, &fake, "chat.example:9000").expect(0);
    let asked = fake.asked();
    assert!(!asked.is_empty());
    for one in asked {
        assert_eq!(
            (one.method.as_str(), one.host.as_str()),
            ("GET", "chat.example:9000"),
            "{one:?}"
        );
        assert!(
            [KEYS, "/_matrix/federation/v1/version"].contains(&one.path.as_str()),
            "{one:?}"
        );
    }
    run(&bed, &fake, "chat.example:9001").expect(1);
}

/// l, a playbook of many: its check of the federation is skipped for any server but Synapse.
#[test]
fn a_continuwuity_is_looked_at_like_any_other() {
    let bed = Bed::new();
    let well = well("chat.example:8448");
    let fake = Fake::start(
        "127.0.0.1",
        Start::Tls(Arc::clone(&bed.good)),
        move |asked| match asked.path.as_str() {
            "/_matrix/federation/v1/version" => Act::Send(json(include_str!(
                "../../../ops-matrix/fixtures/continuwuity/federation_version.json"
            ))),
            _ => well(asked),
        },
    );
    let ran = run(&bed, &fake, "chat.example:8448").expect(0);
    let found: Vec<Value> = ran
        .json()
        .into_iter()
        .filter(|record| record["check"] == "matrix.server_version")
        .collect();
    assert_eq!(
        found[0]["message"],
        "continuwuity 26.8.0-alpha.1 (090732358)"
    );
}
