//! The fault matrix: what is wrong, which check must see it, as what, and how the run ends.
//!
//! Every row proves that its fault was met: the server that carries it counts its connections.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use ops_tests::tool;
use rustls::ServerConfig;
use serde_json::Value;
use std::sync::Arc;

use crate::certificates::{Authority, GOOD, Leaf, self_signed};
use crate::fake::{Act, Fake, Start, json, reply};
use crate::homeserver::{KEYS, VERSIONS, good_keys, keys, now_ms, well, well_but};
use crate::names::Names;

/// What all rows share.
pub(crate) struct Bed {
    _folder: tempfile::TempDir,
    ca: PathBuf,
    pub(crate) root: Authority,
    pub(crate) good: Arc<ServerConfig>,
}

impl Bed {
    pub(crate) fn new() -> Self {
        let root = Authority::new("test root");
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, root.pem()).unwrap();
        let good = root.server(GOOD, &[]);
        Self {
            _folder: folder,
            ca,
            root,
            good,
        }
    }

    pub(crate) fn ca(&self) -> String {
        self.ca.display().to_string()
    }
}

/// What a row sets up: the command line, and the servers that must have been met.
pub(crate) struct Scene {
    pub(crate) args: Vec<String>,
    pub(crate) fakes: Vec<Fake>,
    pub(crate) names: Option<Names>,
}

pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) scene: fn(&Bed) -> Scene,
    pub(crate) status: i32,
    /// The check, its state and the word of its fault.
    pub(crate) check: &'static str,
    pub(crate) state: &'static str,
    pub(crate) fault: &'static str,
    /// Part of its message.
    pub(crate) says: &'static str,
}

impl Scene {
    pub(crate) fn args(text: &str) -> Vec<String> {
        text.split_ascii_whitespace().map(str::to_owned).collect()
    }
}

/// `federation chat.example:8448` against one server.
pub(crate) fn federation(
    bed: &Bed,
    start: Start,
    answers: impl Fn(&crate::fake::Asked) -> Act + Send + Sync + 'static,
) -> Scene {
    let fake = Fake::start("127.0.0.1", start, answers);
    let port = fake.address.port();
    let args = format!(
        "federation chat.example:8448 --connect-to chat.example:8448:127.0.0.1:{port} --cafile {}",
        bed.ca()
    );
    Scene {
        args: Scene::args(&args),
        fakes: vec![fake],
        names: None,
    }
}

pub(crate) fn with_config(bed: &Bed, config: Arc<ServerConfig>) -> Scene {
    federation(bed, Start::Tls(config), well("chat.example:8448"))
}

fn with_keys(bed: &Bed, change: fn(&mut Value), spoil: fn(&mut Value)) -> Scene {
    let body = keys("chat.example:8448", 7, change, spoil);
    with_key_reply(bed, move || Act::Send(json(&body)))
}

pub(crate) fn with_key_reply(bed: &Bed, act: impl Fn() -> Act + Send + Sync + 'static) -> Scene {
    federation(
        bed,
        Start::Tls(Arc::clone(&bed.good)),
        well_but("chat.example:8448", KEYS, move |_| act()),
    )
}

/// The same, and the run may take no longer than a second: the fault is that nothing comes.
pub(crate) fn hurried(mut scene: Scene) -> Scene {
    scene.args.extend(Scene::args("--timeout 1s"));
    scene
}

const TLS_ALERT_UNRECOGNIZED_NAME: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 112];
const TLS_ALERT_PROTOCOL_VERSION: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 70];

pub(crate) fn leaf(days: (i64, i64)) -> Leaf {
    Leaf { days, ..GOOD }
}

#[rustfmt::skip]
const TLS: &[Row] = &[
    Row { name: "expired", scene: |bed| with_config(bed, bed.root.server(leaf((-30, -3)), &[])), status: 1, check: "matrix.tls", state: "fail", fault: "expired", says: "expired" },
    Row { name: "not yet valid", scene: |bed| with_config(bed, bed.root.server(leaf((5, 90)), &[])), status: 1, check: "matrix.tls", state: "fail", fault: "not_yet_valid", says: "not valid for another" },
    Row { name: "for another name", scene: |bed| with_config(bed, bed.root.server(Leaf { name: "other.example", ..GOOD }, &[])), status: 1, check: "matrix.tls", state: "fail", fault: "wrong_name", says: "is for other.example, not for 'chat.example'" },
    Row { name: "self-signed", scene: |bed| with_config(bed, self_signed(GOOD)), status: 1, check: "matrix.tls", state: "fail", fault: "self_signed", says: "self-signed" },
    Row { name: "unknown authority", scene: |bed| with_config(bed, Authority::new("somebody").server(GOOD, &[])), status: 1, check: "matrix.tls", state: "fail", fault: "unknown_issuer", says: "'somebody' is not trusted" },
    Row { name: "missing intermediate", scene: |bed| with_config(bed, Authority::new("middle").server(Leaf { names_issuer: true, ..GOOD }, &[])), status: 1, check: "matrix.tls", state: "fail", fault: "missing_intermediate", says: "'middle' is not sent" },
    Row { name: "expired intermediate", scene: |bed| { let middle = Authority::valid("middle", (-30, -3)); let sent = bed.root.certify(&middle); with_config(bed, middle.server(GOOD, &[sent])) }, status: 1, check: "matrix.tls", state: "fail", fault: "expired", says: "'middle' expired" },
    Row { name: "forged signature", scene: |bed| with_config(bed, Authority::new("test root").server(GOOD, &[])), status: 1, check: "matrix.tls", state: "fail", fault: "bad_signature", says: "does not verify" },
    Row { name: "ends soon", scene: |bed| with_config(bed, bed.root.server(leaf((-80, 5)), &[])), status: 0, check: "matrix.tls", state: "warn", fault: "", says: "ends in" },
    Row { name: "no TLS on the port", scene: |bed| federation(bed, Start::Raw(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()), well("x")), status: 1, check: "matrix.tls", state: "fail", fault: "not_tls", says: "speaks no TLS" },
    Row { name: "closed in the handshake", scene: |bed| federation(bed, Start::Raw(Vec::new()), well("x")), status: 1, check: "matrix.tls", state: "fail", fault: "tls_closed", says: "closed during the TLS handshake" },
    Row { name: "silent in the handshake", scene: |bed| hurried(federation(bed, Start::Silence, well("x"))), status: 1, check: "matrix.tls", state: "fail", fault: "tls_timeout", says: "did not finish in time" },
    Row { name: "name unknown there", scene: |bed| federation(bed, Start::Raw(TLS_ALERT_UNRECOGNIZED_NAME.to_vec()), well("x")), status: 1, check: "matrix.tls", state: "fail", fault: "unknown_name", says: "knows no 'chat.example'" },
    Row { name: "old TLS only", scene: |bed| federation(bed, Start::Raw(TLS_ALERT_PROTOCOL_VERSION.to_vec()), well("x")), status: 1, check: "matrix.tls", state: "fail", fault: "tls_incompatible", says: "1.2 or 1.3" },
];

#[rustfmt::skip]
const SIGNATURES: &[Row] = &[
    Row { name: "keys of another server", scene: |bed| with_keys(bed, |keys| keys["server_name"] = "other.example".into(), |_| ()), status: 1, check: "matrix.keys", state: "fail", fault: "server_name", says: "server_name is 'other.example'" },
    Row { name: "no key", scene: |bed| with_keys(bed, |_| (), |keys| keys["verify_keys"] = serde_json::json!({})), status: 1, check: "matrix.keys", state: "fail", fault: "no_key", says: "no ed25519 key" },
    Row { name: "key that is no base64", scene: |bed| with_keys(bed, |_| (), |keys| keys["verify_keys"]["ed25519:a"]["key"] = "%%%".into()), status: 1, check: "matrix.keys", state: "fail", fault: "key", says: "not base64" },
    Row { name: "padded key", scene: |bed| with_keys(bed, |_| (), |keys| keys["verify_keys"]["ed25519:a"]["key"] = "AAA=".into()), status: 1, check: "matrix.keys", state: "fail", fault: "key", says: "padded" },
    Row { name: "short key", scene: |bed| with_keys(bed, |_| (), |keys| keys["verify_keys"]["ed25519:a"]["key"] = "AAAA".into()), status: 1, check: "matrix.keys", state: "fail", fault: "key", says: "not 32 bytes" },
    Row { name: "key id outside the grammar", scene: |bed| with_keys(bed, |keys| keys["verify_keys"]["ed25519:b-c"] = keys["verify_keys"]["ed25519:a"].clone(), |_| ()), status: 1, check: "matrix.keys", state: "fail", fault: "key_id", says: "'ed25519:b-c'" },
    Row { name: "a key that did not sign", scene: |bed| with_keys(bed, |keys| keys["verify_keys"]["ed25519:b"] = keys["verify_keys"]["ed25519:a"].clone(), |_| ()), status: 1, check: "matrix.keys", state: "fail", fault: "not_signed", says: "no signature by 'ed25519:b'" },
    Row { name: "changed on the way", scene: |bed| with_keys(bed, |_| (), |keys| keys["added"] = "by a proxy".into()), status: 1, check: "matrix.keys", state: "fail", fault: "signature", says: "does not verify" },
    Row { name: "a fraction", scene: |bed| with_keys(bed, |keys| keys["f"] = serde_json::json!(1.5), |_| ()), status: 1, check: "matrix.keys", state: "fail", fault: "not_canonical", says: "'f' is 1.5" },
    Row { name: "beyond 53 bits", scene: |bed| with_keys(bed, |keys| keys["f"] = serde_json::json!(1_u64 << 53), |_| ()), status: 1, check: "matrix.keys", state: "fail", fault: "not_canonical", says: "beyond the 53 bits" },
    Row { name: "expired keys", scene: |bed| with_keys(bed, |keys| keys["valid_until_ts"] = (now_ms() - 60_000).into(), |_| ()), status: 1, check: "matrix.keys", state: "fail", fault: "keys_expired", says: "s ago" },
    Row { name: "keys that expire at once", scene: |bed| with_keys(bed, |keys| keys["valid_until_ts"] = (now_ms() + 60_000).into(), |_| ()), status: 0, check: "matrix.keys", state: "warn", fault: "expires_soon", says: "peers want an hour" },
    Row { name: "no expiry", scene: |bed| with_keys(bed, |keys| { keys.as_object_mut().unwrap().remove("valid_until_ts"); }, |_| ()), status: 1, check: "matrix.keys", state: "fail", fault: "no_valid_until", says: "missing" },
    Row { name: "an old key that is still valid", scene: |bed| with_keys(bed, |keys| keys["old_verify_keys"] = serde_json::json!({"ed25519:o": {"key": "", "expired_ts": now_ms() + 3_600_000}}), |_| ()), status: 0, check: "matrix.keys", state: "warn", fault: "old_key_valid", says: "'ed25519:o'" },
];

fn key_answer(bed: &Bed, status: u16, headers: &'static str, body: &'static str) -> Scene {
    with_key_reply(bed, move || Act::Send(reply(status, headers, body)))
}

fn raw(bed: &Bed, bytes: Vec<u8>) -> Scene {
    with_key_reply(bed, move || Act::SendAndClose(bytes.clone()))
}

fn good_key_body(headers: &str) -> Vec<u8> {
    reply(200, headers, &good_keys("chat.example:8448"))
}

#[rustfmt::skip]
const HTTP: &[Row] = &[
    Row { name: "HTML", scene: |bed| key_answer(bed, 200, "Content-Type: text/html", "<!doctype html><p>Welcome"), status: 1, check: "matrix.keys", state: "fail", fault: "html", says: "HTML" },
    Row { name: "no JSON", scene: |bed| key_answer(bed, 200, "", "OK"), status: 1, check: "matrix.keys", state: "fail", fault: "document", says: "not JSON" },
    Row { name: "nothing", scene: |bed| key_answer(bed, 200, "", ""), status: 1, check: "matrix.keys", state: "fail", fault: "document", says: "empty" },
    Row { name: "a list", scene: |bed| key_answer(bed, 200, "", "[]"), status: 1, check: "matrix.keys", state: "fail", fault: "document", says: "not an object" },
    Row { name: "wrong type", scene: |bed| with_key_reply(bed, || Act::Send(good_key_body("Content-Type: text/plain"))), status: 0, check: "matrix.keys", state: "warn", fault: "", says: "Content-Type is text/plain" },
    Row { name: "rate limit", scene: |bed| key_answer(bed, 429, "Retry-After: 30", r#"{"errcode":"M_LIMIT_EXCEEDED"}"#), status: 3, check: "matrix.keys", state: "unknown", fault: "rate_limited", says: "retry after 30 s" },
    Row { name: "firewall", scene: |bed| key_answer(bed, 403, "", "<html>Access denied"), status: 1, check: "matrix.keys", state: "fail", fault: "blocked", says: "HTTP 403" },
    Row { name: "federation off", scene: |bed| key_answer(bed, 403, "", r#"{"errcode":"M_FORBIDDEN","error":"Federation is disabled."}"#), status: 1, check: "matrix.keys", state: "fail", fault: "federation_disabled", says: "federation is disabled" },
    Row { name: "dead upstream", scene: |bed| key_answer(bed, 502, "", "<html>Bad Gateway"), status: 1, check: "matrix.keys", state: "fail", fault: "gateway", says: "upstream does not answer" },
    Row { name: "not routed", scene: |bed| key_answer(bed, 404, "", r#"{"errcode":"M_UNRECOGNIZED"}"#), status: 1, check: "matrix.keys", state: "fail", fault: "not_found", says: "404 M_UNRECOGNIZED" },
    Row { name: "server error", scene: |bed| key_answer(bed, 500, "", r#"{"errcode":"M_UNKNOWN"}"#), status: 1, check: "matrix.keys", state: "fail", fault: "status", says: "HTTP 500 M_UNKNOWN" },
    Row { name: "redirected keys", scene: |bed| key_answer(bed, 302, "Location: /login", ""), status: 1, check: "matrix.keys", state: "fail", fault: "redirect", says: "redirected to '/login'" },
    Row { name: "compressed unasked", scene: |bed| with_key_reply(bed, || Act::Send(good_key_body("Content-Encoding: gzip"))), status: 1, check: "matrix.keys", state: "fail", fault: "compressed", says: "gzip" },
    Row { name: "slow drip", scene: |bed| hurried(with_key_reply(bed, || Act::Drip(b"HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n{".to_vec()))), status: 1, check: "matrix.keys", state: "fail", fault: "timeout", says: "in time" },
    Row { name: "slow header", scene: |bed| hurried(with_key_reply(bed, || Act::Drip(b"HTTP/1.1 200 OK\r\nX: ".to_vec()))), status: 1, check: "matrix.keys", state: "fail", fault: "timeout", says: "in time" },
    Row { name: "no answer", scene: |bed| hurried(with_key_reply(bed, || Act::Silence)), status: 1, check: "matrix.keys", state: "fail", fault: "timeout", says: "in time" },
    Row { name: "more than 50 KiB", scene: |bed| with_key_reply(bed, || Act::Send(reply(200, "", &" ".repeat(60_000)))), status: 1, check: "matrix.keys", state: "fail", fault: "too_large", says: "51200" },
    Row { name: "5 GiB", scene: |bed| with_key_reply(bed, || Act::Flood(b"HTTP/1.1 200 OK\r\nContent-Length: 5368709120\r\n\r\n".to_vec())), status: 1, check: "matrix.keys", state: "fail", fault: "too_large", says: "51200" },
    Row { name: "endless header", scene: |bed| with_key_reply(bed, || Act::Flood(b"HTTP/1.1 200 OK\r\nX: ".to_vec())), status: 1, check: "matrix.keys", state: "fail", fault: "not_http", says: "header" },
    Row { name: "cut body", scene: |bed| raw(bed, b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{\"a\":".to_vec()), status: 1, check: "matrix.keys", state: "fail", fault: "closed", says: "before the answer was complete" },
    Row { name: "no HTTP", scene: |bed| raw(bed, b"220 mail.example ESMTP\r\n".to_vec()), status: 1, check: "matrix.keys", state: "fail", fault: "not_http", says: "not HTTP" },
    Row { name: "a clock that is behind", scene: |bed| with_key_reply(bed, || Act::Send(good_key_body("Content-Type: application/json\nDate: Mon, 23 Nov 2020 16:10:24 GMT"))), status: 1, check: "matrix.clock", state: "fail", fault: "", says: "from ours" },
    Row { name: "chunked is no fault", scene: |bed| with_key_reply(bed, || { let body = good_keys("chat.example:8448"); Act::Send(format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n", &body[..1], body.len() - 1, &body[1..]).into_bytes()) }), status: 0, check: "matrix.keys", state: "ok", fault: "", says: "signed by ed25519:a" },
    Row { name: "HTTP/1.0 is no fault", scene: |bed| with_key_reply(bed, || Act::SendAndClose(format!("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{}", good_keys("chat.example:8448")).into_bytes())), status: 0, check: "matrix.keys", state: "ok", fault: "", says: "signed by ed25519:a" },
];

/// `wellknown KIND chat.example` against one server at the port of HTTPS.
pub(crate) fn well_known(
    bed: &Bed,
    kind: &str,
    answers: impl Fn(&crate::fake::Asked) -> Act + Send + Sync + 'static,
) -> Scene {
    let fake = Fake::start("127.0.0.1", Start::Tls(Arc::clone(&bed.good)), answers);
    let port = fake.address.port();
    let args = format!(
        "wellknown {kind} chat.example --connect-to chat.example:443:127.0.0.1:{port} --cafile {}",
        bed.ca()
    );
    Scene {
        args: Scene::args(&args),
        fakes: vec![fake],
        names: None,
    }
}

pub(crate) fn document(
    bed: &Bed,
    kind: &str,
    status: u16,
    headers: &'static str,
    body: &'static str,
) -> Scene {
    well_known(bed, kind, move |_| Act::Send(reply(status, headers, body)))
}

const CLIENT: &str = r#"{"m.homeserver":{"base_url":"https://chat.example"}}"#;
const JSON: &str = "Content-Type: application/json";
const CORS: &str = "Content-Type: application/json\nAccess-Control-Allow-Origin: *";

fn client(bed: &Bed, headers: &'static str) -> Scene {
    well_known(bed, "client", move |asked| match asked.path.as_str() {
        "/_matrix/client/versions" => Act::Send(json(VERSIONS)),
        _ => Act::Send(reply(200, headers, CLIENT)),
    })
}

#[rustfmt::skip]
const WELL_KNOWN: &[Row] = &[
    Row { name: "redirect loop", scene: |bed| document(bed, "server", 301, "Location: /.well-known/matrix/server", ""), status: 1, check: "matrix.wellknown_server", state: "fail", fault: "redirect_loop", says: "leads back to itself" },
    Row { name: "redirects without end", scene: |bed| well_known(bed, "server", |asked| Act::Send(reply(302, &format!("Location: {}x", asked.path), ""))), status: 1, check: "matrix.wellknown_server", state: "fail", fault: "too_many_redirects", says: "more than 10" },
    Row { name: "redirect to no URL", scene: |bed| document(bed, "server", 302, "Location: gopher://x/", ""), status: 1, check: "matrix.wellknown_server", state: "fail", fault: "bad_redirect", says: "no URL" },
    Row { name: "m.server missing", scene: |bed| document(bed, "server", 200, JSON, "{}"), status: 1, check: "matrix.wellknown_server", state: "fail", fault: "document", says: "'m.server' is missing" },
    Row { name: "m.server is a URL", scene: |bed| document(bed, "server", 200, JSON, r#"{"m.server":"https://chat.example"}"#), status: 1, check: "matrix.wellknown_server", state: "fail", fault: "document", says: "no server name" },
    Row { name: "well-known in HTML", scene: |bed| document(bed, "server", 200, "", "<html>"), status: 1, check: "matrix.wellknown_server", state: "fail", fault: "html", says: "HTML" },
    Row { name: "no well-known", scene: |bed| document(bed, "server", 404, "", ""), status: 0, check: "matrix.wellknown_server", state: "ok", fault: "not_found", says: "SRV records" },
    Row { name: "no CORS", scene: |bed| client(bed, JSON), status: 1, check: "matrix.wellknown_client", state: "fail", fault: "", says: "no Access-Control-Allow-Origin" },
    Row { name: "CORS twice", scene: |bed| client(bed, "Content-Type: application/json\nAccess-Control-Allow-Origin: *\naccess-control-allow-origin: *"), status: 1, check: "matrix.wellknown_client", state: "fail", fault: "", says: "2 Access-Control-Allow-Origin headers" },
    Row { name: "CORS for one site", scene: |bed| client(bed, "Content-Type: application/json\nAccess-Control-Allow-Origin: https://app.example"), status: 1, check: "matrix.wellknown_client", state: "fail", fault: "", says: "is 'https://app.example'" },
    Row { name: "no CORS on the redirect", scene: |bed| well_known(bed, "client", |asked| match asked.path.as_str() {
        "/_matrix/client/versions" => Act::Send(json(VERSIONS)),
        "/moved" => Act::Send(reply(200, CORS, CLIENT)),
        _ => Act::Send(reply(301, "Location: /moved", "")),
    }), status: 1, check: "matrix.wellknown_client", state: "fail", fault: "", says: "no Access-Control-Allow-Origin at 'https://chat.example/.well-known/matrix/client'" },
    Row { name: "base_url is no URL", scene: |bed| document(bed, "client", 200, CORS, r#"{"m.homeserver":{"base_url":"chat.example"}}"#), status: 1, check: "matrix.wellknown_client", state: "fail", fault: "document", says: "no http or https URL" },
    Row { name: "base_url leads nowhere", scene: |bed| document(bed, "client", 200, CORS, CLIENT), status: 1, check: "matrix.wellknown_client", state: "fail", fault: "", says: "the client API at 'https://chat.example' does not answer" },
    Row { name: "nobody to write to", scene: |bed| document(bed, "support", 200, CORS, r#"{"contacts":[]}"#), status: 1, check: "matrix.wellknown_support", state: "fail", fault: "document", says: "contacts or support_page" },
];

#[test]
fn every_fault_of_tls_is_named() {
    all(TLS);
}

#[test]
fn every_fault_of_keys_and_signatures_is_named() {
    all(SIGNATURES);
}

#[test]
fn every_fault_of_http_is_named_and_ends_in_time() {
    all(HTTP);
}

#[test]
fn every_fault_of_well_knowns_is_named() {
    all(WELL_KNOWN);
}

#[test]
fn the_matrix_is_as_long_as_promised() {
    let rows = TLS.len()
        + SIGNATURES.len()
        + HTTP.len()
        + WELL_KNOWN.len()
        + crate::federation::ROWS.len()
        + crate::wire::ROWS.len();
    assert!(rows >= 90, "{rows} rows");
}

/// Runs rows, some at a time, and tells all that do not end as they should.
pub(crate) fn all(rows: &[Row]) {
    let bed = Bed::new();
    let wrong = Mutex::new(Vec::new());
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(row) =
                    rows.get(next.fetch_add(1, std::sync::atomic::Ordering::SeqCst))
                {
                    if let Err(reason) = try_row(&bed, row) {
                        wrong
                            .lock()
                            .unwrap()
                            .push(format!("{}: {reason}", row.name));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(
        wrong.is_empty(),
        "{} of {} rows:\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n")
    );
}

fn try_row(bed: &Bed, row: &Row) -> Result<(), String> {
    let scene = (row.scene)(bed);
    let ran = tool("ops-matrix")
        .args(&scene.args)
        .arg("--json")
        .timeout(Duration::from_secs(20))
        .run();
    let told = format!("status {}\n{}{}", ran.status, ran.out(), ran.err());
    if let Some(fake) = scene.fakes.iter().find(|fake| fake.connections() == 0) {
        return Err(format!("nobody met the fault at {}; {told}", fake.address));
    }
    if scene.names.is_some_and(|names| names.questions() == 0) {
        return Err(format!("nobody asked the name server; {told}"));
    }
    if ran.status != row.status {
        return Err(format!("expected status {}, {told}", row.status));
    }
    let text = |record: &Value, key: &str| record[key].as_str().unwrap_or_default().to_owned();
    let fits = |record: &Value| {
        text(record, "check") == row.check
            && text(record, "status") == row.state
            && text(&record["data"], "fault") == row.fault
            && text(record, "message").contains(row.says)
    };
    if ran.json().iter().any(fits) {
        Ok(())
    } else {
        Err(format!(
            "no {} {} '{}' '{}' in: {told}",
            row.check, row.state, row.fault, row.says
        ))
    }
}
