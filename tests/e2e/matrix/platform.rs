//! The runbook's two lines and the trap that they could not see: from the laptop over ssh, and on the host itself.

use ops_tests::relay::{Link, Relay};
use ops_tests::{Kind, Lab, LabHost, Ran, skip, tool};
use serde_json::Value;

/// A server with the answers of a continuwuity whose federation is switched off.
const OFF: &str = r#"
import http.server
class Off(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        on = self.path == "/_matrix/client/versions"
        body = b'VERSIONS' if on else b'{"errcode":"M_FORBIDDEN","error":"Federation is disabled."}'
        self.send_response(200 if on else 403)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("127.0.0.1", 8008), Off).serve_forever()
"#;

/// A host of the platform, with our tools on it.
pub(crate) fn platform(lab: Lab, name: &str) -> LabHost {
    let host = lab.host(name, Kind::Platform);
    host.install_tools();
    host
}

/// The same command from here over ssh and on the host; both must end alike.
pub(crate) fn both(host: &LabHost, args: &[&str], status: i32) -> [Ran; 2] {
    let here = tool("ops-matrix")
        .args(args)
        .args(["--host", host.name()])
        .run();
    let there = host.tool("ops-matrix").args(args).run();
    [here.expect(status), there.expect(status)]
}

/// The one record of a check, or the one about a subject that begins like this.
pub(crate) fn record(ran: &Ran, check: &str, subject: &str) -> Value {
    let fits = |record: &Value| {
        record["check"] == check
            && record["subject"]
                .as_str()
                .is_some_and(|found| found.contains(subject))
    };
    let found: Vec<Value> = ran.json().into_iter().filter(fits).collect();
    assert_eq!(
        found.len(),
        1,
        "{check} {subject} in {}{}",
        ran.out(),
        ran.err()
    );
    found[0].clone()
}

#[test]
fn the_runbook_of_the_homeserver() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = platform(lab, "matrix-runbook");
    for ran in both(&host, &["versions", "--json"], 0) {
        let found = record(&ran, "matrix.versions", "127.0.0.1:8008");
        assert_eq!(found["data"]["server"]["name"], "Synapse");
        assert!(
            found["data"]["versions"]
                .as_array()
                .is_some_and(|all| all.iter().any(|one| one == "v1.11"))
        );
        assert!(found["value"].as_f64().is_some_and(|took| took > 0.0));
    }
    for ran in both(&host, &["status", "--json"], 0) {
        assert_eq!(
            record(&ran, "matrix.unit", "matrix-continuwuity")["data"]["active_state"],
            "active"
        );
        let listeners = record(&ran, "matrix.listeners", "matrix-continuwuity");
        assert_eq!(
            listeners["data"]["addresses"],
            serde_json::json!(["127.0.0.1:8008"])
        );
        assert_eq!(
            (&listeners["data"]["ipv4"], &listeners["data"]["ipv6"]),
            (&Value::Bool(true), &Value::Bool(false))
        );
        assert_eq!(
            record(&ran, "matrix.federation_enabled", "")["status"],
            "ok"
        );
        assert!(
            record(&ran, "matrix.disk", "/var/lib/continuwuity")["data"]["used_bytes"]
                .as_u64()
                .is_some()
        );
    }
    let require = [
        "versions",
        "--require",
        "v1.11",
        "--require",
        "v9.9",
        "--json",
    ];
    for ran in both(&host, &require, 1) {
        assert_eq!(
            record(&ran, "matrix.versions", "")["message"],
            "does not offer v9.9"
        );
    }
    // Who is not root sees the listeners all the same, and is told what he cannot see; with sudo he sees all.
    let guest = format!("guest@{}", host.v4());
    let op = format!("op@{}", host.v4());
    let ran = tool("ops-matrix")
        .args(["status", "--json", "--host", &guest])
        .run()
        .expect(3);
    let listeners = record(&ran, "matrix.listeners", "");
    assert_eq!(
        (&listeners["data"]["known_by"], &listeners["message"]),
        (&Value::from("user"), &Value::from("127.0.0.1:8008"))
    );
    assert_eq!(record(&ran, "matrix.errors", "")["status"], "unknown");
    let ran = tool("ops-matrix")
        .args(["status", "--json", "--sudo", "--host", &op])
        .run()
        .expect(0);
    assert_eq!(
        record(&ran, "matrix.listeners", "")["data"]["known_by"],
        "descriptors"
    );
    let slow = tool("ops-matrix")
        .args(["versions", "--limit", "total=1ms", "--host", host.name()])
        .run();
    slow.expect(1);
    let plugin = host
        .tool("ops-matrix")
        .args(["versions", "--format", "nagios"])
        .run()
        .expect(0);
    assert!(
        plugin
            .out()
            .starts_with("OPS-MATRIX OK - matrix.versions 127.0.0.1:8008: Synapse"),
        "{}",
        plugin.out()
    );
}

#[test]
fn a_homeserver_that_is_not_well_is_told_apart() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = lab.host("matrix-ill", Kind::Platform);
    let status = |expected: i32| {
        tool("ops-matrix")
            .args(["status", "--json", "--host", host.name()])
            .run()
            .expect(expected)
    };
    // Stopped by somebody.
    host.sh("systemctl stop matrix-continuwuity").expect(0);
    let ran = status(1);
    assert_eq!(
        record(&ran, "matrix.unit", "")["message"],
        "inactive (dead), result success"
    );
    assert_eq!(
        record(&ran, "matrix.listeners", "")["message"],
        "nothing, since it does not run"
    );
    // Alive, but without a listener: what continuwuity does when its port is taken.
    let drop_in = "/run/systemd/system/matrix-continuwuity.service.d/test.conf";
    let replace = |program: &str| {
        let text = format!("[Service]\nType=exec\nExecStart=\nExecStart={program}\n");
        host.sh_with(&format!("mkdir -p $(dirname {drop_in}) && cat > {drop_in} && systemctl daemon-reload && systemctl reset-failed matrix-continuwuity && systemctl restart matrix-continuwuity"), text.as_bytes())
            .expect(0);
    };
    replace(
        "/bin/sh -c 'echo \"2026-11-23T16:10:08Z  INFO a: Listening on [127.0.0.1:8008]\"; echo \"2026-11-23T16:10:09Z  INFO a: Shutting down services...\"; exec sleep infinity'",
    );
    host.wait_for_log("matrix-continuwuity", "Shutting down services");
    let ran = status(1);
    assert_eq!(record(&ran, "matrix.unit", "")["status"], "ok");
    let listeners = record(&ran, "matrix.listeners", "");
    assert!(
        listeners["message"]
            .as_str()
            .is_some_and(|text| text.contains("could not bind its port")),
        "{listeners}"
    );
    // Errors in the log, with a secret in one of them.
    replace(
        "/bin/sh -c 'echo \"  2026-11-23T16:10:08Z ERROR a: GET http://127.0.0.1/x?access_token=s3cr3t failed\"; exec sleep infinity'",
    );
    host.wait_for_log("matrix-continuwuity", "ERROR a");
    let ran = status(1);
    let errors = record(&ran, "matrix.errors", "");
    assert_eq!(
        (&errors["status"], errors["value"].as_f64()),
        (&Value::from("warn"), Some(1.0)),
        "{errors}"
    );
    assert!(
        ran.out().contains("access_token=...") && !ran.out().contains("s3cr3t"),
        "{}",
        ran.out()
    );
    // Its backups, by the folder that its configuration names; what else stands there is nobody's business.
    host.sh("mkdir -p /var/backups/hs/meta && printf 'database_backup_path = \"/var/backups/hs\"\\nregistration_token = \"s3cr3t\"\\n' > /etc/hs.toml").expect(0);
    replace("/bin/sh -c 'exec sleep infinity' sh --config /etc/hs.toml");
    let backup = || record(&status(1), "matrix.backup", "/var/backups/hs");
    assert_eq!(backup()["status"], "warn");
    host.sh("date +%s -d '-2 hours' > /var/backups/hs/meta/2; date +%s -d '-9 days' > /var/backups/hs/meta/1").expect(0);
    let found = backup();
    assert_eq!(
        (
            &found["status"],
            &found["message"],
            &found["data"]["backups"]
        ),
        (
            &Value::from("ok"),
            &Value::from("2 backups, the newest 2 h old"),
            &Value::from(2)
        ),
        "{found}"
    );
    assert!(!status(1).out().contains("s3cr3t"));
    // A continuwuity by its answers, with federation switched off: that is no failure, and is not called down.
    host.write(
        "/srv/off.py",
        OFF.replace(
            "VERSIONS",
            include_str!("../../../ops-matrix/fixtures/continuwuity/versions.json").trim(),
        ),
    );
    replace("/usr/bin/python3 /srv/off.py");
    host.sh("timeout 30 sh -c 'until curl -so /dev/null http://127.0.0.1:8008/; do :; done'")
        .expect(0);
    let ran = status(0);
    let found = record(&ran, "matrix.federation_enabled", "127.0.0.1:8008");
    assert_eq!(
        (&found["status"], &found["message"]),
        (&Value::from("warn"), &Value::from("federation is disabled"))
    );
    assert_eq!(
        record(&ran, "matrix.answer", "127.0.0.1:8008")["status"],
        "ok"
    );
    // Starting, as during a migration: no failure either.
    host.sh_with(&format!("cat > {drop_in} && systemctl daemon-reload && systemctl reset-failed matrix-continuwuity && systemctl restart --no-block matrix-continuwuity"), b"[Service]\nType=notify\nExecStart=\nExecStart=/bin/sh -c 'echo migrating; exec sleep infinity'\n").expect(0);
    host.wait_for_log("matrix-continuwuity", "migrating");
    let found = record(&status(1), "matrix.unit", "");
    assert_eq!(
        (&found["status"], &found["data"]["active_state"]),
        (&Value::from("warn"), &Value::from("activating")),
        "{found}"
    );
    // No unit at all.
    let bare = lab.host("matrix-none", Kind::Plain);
    bare.sh("rm -f /etc/systemd/system/matrix-continuwuity.service; systemctl daemon-reload")
        .expect(0);
    let none = tool("ops-matrix")
        .args(["status", "--host", bare.name()])
        .run()
        .expect(69);
    none.complains("no homeserver unit on 'matrix-none'");
}

/// What a verb costs in round trips, over a link where they are dear: the handshake, and the verb's own.
#[test]
fn status_is_one_question_and_versions_none() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = lab.host("matrix-far", Kind::Platform);
    host.sh("timeout 30 sh -c 'until curl -fs http://127.0.0.1:8008/health; do :; done'")
        .expect(0);
    let delay = std::time::Duration::from_millis(20);
    let trips = |alias: &str, args: &[&str], status: i32| {
        let relay = Relay::before(&host, alias, Link::new().delay(delay));
        tool("ops-matrix")
            .args(args)
            .args(["--host", alias])
            .run()
            .expect(status);
        assert_eq!(relay.count().connections, 1);
        relay.count().round_trips
    };
    let versions = trips("matrix-far-1", &["versions"], 0);
    let status = trips("matrix-far-2", &["status"], 0);
    // A refused address opens a channel and nothing more: the least that a connection can do.
    let least = trips("matrix-far-3", &["versions", "http://127.0.0.1:1"], 1);
    assert!(
        versions <= least + 3,
        "versions {versions}, the least {least}"
    );
    assert!(
        status <= versions + 4,
        "status {status}, versions {versions}"
    );
}
