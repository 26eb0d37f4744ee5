//! Faults of bytes rather than of content: framing, encodings, numbers, Host and SNI, and what never ends.

use std::sync::Arc;

use rustls::server::ResolvesServerCertUsingSni;

use crate::fake::{Act, Asked, Fake, Start, json, reply};
use crate::faults::{Bed, Row, Scene, all, federation, hurried, well_known, with_key_reply};
use crate::homeserver::{good_keys, well};

/// The key response with its text changed after it was signed.
fn rewritten(bed: &Bed, change: fn(&str) -> String) -> Scene {
    with_key_reply(bed, move || {
        Act::Send(json(&change(&good_keys("chat.example:8448"))))
    })
}

fn member(number: &str, keys: &str) -> String {
    keys.replacen('{', &format!("{{\"f\":{number},"), 1)
}

/// An answer as it stands on the wire.
fn raw(bed: &Bed, head: &'static str) -> Scene {
    with_key_reply(bed, move || Act::SendAndClose(head.as_bytes().to_vec()))
}

/// Only the right Host is served: what a server of many names does.
fn strict(bed: &Bed, host: &'static str) -> Scene {
    let well = well("chat.example:8448");
    federation(
        bed,
        Start::Tls(Arc::clone(&bed.good)),
        move |asked: &Asked| {
            if asked.host == host {
                well(asked)
            } else {
                Act::Send(reply(
                    421,
                    "Content-Type: text/html",
                    "<html>Misdirected Request",
                ))
            }
        },
    )
}

/// A literal has no SNI, and this server has no certificate without one.
fn insists_on_sni(bed: &Bed) -> Scene {
    let mut config = rustls::ServerConfig::clone(&bed.good);
    config.cert_resolver = Arc::new(ResolvesServerCertUsingSni::new());
    let fake = Fake::start("127.0.0.1", Start::Tls(Arc::new(config)), well("x"));
    let args = format!(
        "federation 127.0.0.1:{} --cafile {}",
        fake.address.port(),
        bed.ca()
    );
    Scene {
        args: Scene::args(&args),
        fakes: vec![fake],
        names: None,
    }
}

#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = &[
    Row { name: "minus zero", scene: |bed| rewritten(bed, |keys| member("-0", keys)), status: 1, check: "matrix.keys", state: "fail", fault: "not_canonical", says: "'f' is -0" },
    Row { name: "an exponent", scene: |bed| rewritten(bed, |keys| member("1e3", keys)), status: 1, check: "matrix.keys", state: "fail", fault: "not_canonical", says: "without exponent" },
    Row { name: "a whole number with a fraction", scene: |bed| rewritten(bed, |keys| member("7.0", keys)), status: 1, check: "matrix.keys", state: "fail", fault: "not_canonical", says: "'f' is 7.0" },
    Row { name: "an integer beyond 64 bits", scene: |bed| rewritten(bed, |keys| member("123456789012345678901234567890", keys)), status: 1, check: "matrix.keys", state: "fail", fault: "not_canonical", says: "'f' is" },
    Row { name: "an expiry as a fraction", scene: |bed| rewritten(bed, |keys| keys.replacen("\"valid_until_ts\":", "\"valid_until_ts\":0.5,\"x\":", 1)), status: 1, check: "matrix.keys", state: "fail", fault: "not_canonical", says: "valid_until_ts" },
    Row { name: "blanks and another order are no fault", scene: |bed| rewritten(bed, |keys| keys.replace("\":", "\" : \n")), status: 0, check: "matrix.keys", state: "ok", fault: "", says: "signed by ed25519:a" },
    Row { name: "cut in the middle of JSON", scene: |bed| rewritten(bed, |keys| keys[..keys.len() / 2].to_owned()), status: 1, check: "matrix.keys", state: "fail", fault: "document", says: "not JSON" },
    Row { name: "another object behind the first", scene: |bed| rewritten(bed, |keys| format!("{keys}{{}}")), status: 1, check: "matrix.keys", state: "fail", fault: "document", says: "not JSON" },
    Row { name: "no UTF-8", scene: |bed| with_key_reply(bed, || Act::SendAndClose(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"server_name\":\"\xff\"}".to_vec())), status: 1, check: "matrix.keys", state: "fail", fault: "document", says: "not JSON" },
    Row { name: "a chunk that is none", scene: |bed| raw(bed, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"), status: 1, check: "matrix.keys", state: "fail", fault: "not_http", says: "not HTTP" },
    Row { name: "cut in a chunk", scene: |bed| raw(bed, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{\"a\""), status: 1, check: "matrix.keys", state: "fail", fault: "closed", says: "before the answer was complete" },
    Row { name: "chunks without end", scene: |bed| with_key_reply(bed, || Act::Flood(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n".to_vec())), status: 1, check: "matrix.keys", state: "fail", fault: "too_large", says: "51200" },
    Row { name: "a body without a length or an end", scene: |bed| with_key_reply(bed, || Act::Flood(b"HTTP/1.0 200 OK\r\n\r\n".to_vec())), status: 1, check: "matrix.keys", state: "fail", fault: "too_large", says: "51200" },
    Row { name: "chunks that drip", scene: |bed| hurried(with_key_reply(bed, || Act::Drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n".to_vec()))), status: 1, check: "matrix.keys", state: "fail", fault: "timeout", says: "in time" },
    Row { name: "no status", scene: |bed| raw(bed, "HTTP/1.1\r\n\r\n{}"), status: 1, check: "matrix.keys", state: "fail", fault: "not_http", says: "not HTTP" },
    Row { name: "Host without the port is another server", scene: |bed| strict(bed, "chat.example:8448"), status: 0, check: "matrix.keys", state: "ok", fault: "", says: "signed by" },
    Row { name: "a proxy that wants another Host", scene: |bed| strict(bed, "other.example"), status: 1, check: "matrix.keys", state: "fail", fault: "misdirected", says: "HTTP 421" },
    Row { name: "no certificate without SNI", scene: insists_on_sni, status: 1, check: "matrix.tls", state: "fail", fault: "no_certificate", says: "no certificate" },
    Row { name: "a well-known of more than 50 KiB", scene: |bed| well_known(bed, "server", |_| Act::Send(reply(200, "", &" ".repeat(60_000)))), status: 1, check: "matrix.wellknown_server", state: "fail", fault: "too_large", says: "51200" },
    Row { name: "a well-known that drips", scene: |bed| hurried(well_known(bed, "server", |_| Act::Drip(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n".to_vec()))), status: 1, check: "matrix.wellknown_server", state: "fail", fault: "timeout", says: "in time" },
    Row { name: "a well-known that is limited", scene: |bed| well_known(bed, "server", |_| Act::Send(reply(429, "Retry-After: 9", ""))), status: 3, check: "matrix.wellknown_server", state: "unknown", fault: "rate_limited", says: "retry after 9 s" },
    Row { name: "a redirect to plain HTTP that leads nowhere", scene: |bed| well_known(bed, "server", |_| Act::Send(reply(302, "Location: http://127.0.0.1:1/x", ""))), status: 1, check: "matrix.wellknown_server", state: "fail", fault: "refused", says: "refused" },
    Row { name: "a redirect to a host without address", scene: |bed| well_known(bed, "server", |_| Act::Send(reply(302, "Location: https://nowhere.invalid/x", ""))), status: 1, check: "matrix.wellknown_server", state: "fail", fault: "bad_redirect", says: "nowhere.invalid" },
];

#[test]
fn every_fault_of_the_wire_is_named_and_ends_in_time() {
    all(ROWS);
}
