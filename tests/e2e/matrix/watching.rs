//! `--every` and `--on-change`: a version, a key, a certificate and an `m.server` that become others while we watch.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ops_tests::{command, tool};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde_json::Value;

use crate::certificates::{GOOD, Leaf};
use crate::fake::{Act, Fake, Start, json};
use crate::faults::{Bed, Scene, federation, well_known};
use crate::homeserver::{KEYS, keys, well};

/// One answer in the first round, the other one ever after.
#[derive(Debug, Default)]
struct Turn(AtomicUsize);

impl Turn {
    fn is_first(&self) -> bool {
        self.0.fetch_add(1, Ordering::SeqCst) == 0
    }
}

#[derive(Debug)]
struct Renewed {
    turn: Turn,
    old: Arc<dyn ResolvesServerCert>,
    new: Arc<dyn ResolvesServerCert>,
}

impl ResolvesServerCert for Renewed {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if self.turn.is_first() {
            self.old.resolve(hello)
        } else {
            self.new.resolve(hello)
        }
    }
}

/// A server that answers `path` with one body first, and then with another.
fn becoming(bed: &Bed, path: &'static str, old: String, new: String) -> Scene {
    let (well, turn) = (well("chat.example:8448"), Turn::default());
    federation(bed, Start::Tls(Arc::clone(&bed.good)), move |asked| {
        if asked.path != path {
            return well(asked);
        }
        Act::Send(json(if turn.is_first() { &old } else { &new }))
    })
}

fn version(text: &str) -> String {
    format!(r#"{{"server":{{"name":"Fixture","version":"{text}"}}}}"#)
}

fn new_key(bed: &Bed) -> Scene {
    let of = |seed| keys("chat.example:8448", seed, |_| (), |_| ());
    becoming(bed, KEYS, of(7), of(9))
}

fn new_version(bed: &Bed) -> Scene {
    let path = "/_matrix/federation/v1/version";
    becoming(bed, path, version("1.0"), version("2.0"))
}

fn new_certificate(bed: &Bed) -> Scene {
    let mut config = rustls::ServerConfig::clone(&bed.good);
    let renewed = Leaf {
        days: (-1, 60),
        ..GOOD
    };
    config.cert_resolver = Arc::new(Renewed {
        turn: Turn::default(),
        old: Arc::clone(&bed.good.cert_resolver),
        new: Arc::clone(&bed.root.server(renewed, &[]).cert_resolver),
    });
    federation(bed, Start::Tls(Arc::new(config)), well("chat.example:8448"))
}

fn new_delegation(bed: &Bed) -> Scene {
    let turn = Turn::default();
    well_known(bed, "server", move |_| {
        let to = if turn.is_first() { "a" } else { "b" };
        Act::Send(json(&format!(r#"{{"m.server":"{to}.example:443"}}"#)))
    })
}

#[test]
fn what_becomes_another_while_we_watch_is_told() {
    let bed = Bed::new();
    let folder = tempfile::tempdir().unwrap();
    for (check, scene, says) in [
        (
            "matrix.server_version",
            new_version as fn(&Bed) -> Scene,
            "Fixture 2.0",
        ),
        ("matrix.keys", new_key, "signed by ed25519:a"),
        ("matrix.tls", new_certificate, "60 days left"),
        ("matrix.wellknown_server", new_delegation, "b.example:443"),
    ] {
        let pipe = folder.path().join(check);
        command("mkfifo").arg(&pipe).run().expect(0);
        let scene = scene(&bed);
        let watching = tool("ops-matrix")
            .args(&scene.args)
            .args(["--json", "--every", "100ms", "--on-change"])
            .arg(format!("tee {}", pipe.display()))
            .spawn();
        // Whatever runs on a change opens the pipe; before that there is nothing to read.
        let told = command("timeout")
            .args(["60", "cat"])
            .arg(&pipe)
            .run()
            .expect(0)
            .out();
        drop(watching);
        let records: Vec<Value> = told
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let found = records.iter().find(|record| record["check"] == check);
        let message = found.and_then(|record| record["message"].as_str());
        assert!(
            message.is_some_and(|text| text.contains(says)),
            "{check}: {told}"
        );
        assert!(
            scene.fakes.iter().all(|fake: &Fake| fake.connections() > 1),
            "{check}"
        );
    }
}
