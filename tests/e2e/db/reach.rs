//! The way to the server's socket: who may go it, what it leaves behind, and what is left when it is blocked.

use ops_tests::{Lab, LabHost, Ran, skip, tool};
use rustix::process::Signal;

use crate::query;
use crate::scene::{psql, with_tool};

const WHO: &str = "SELECT current_user, session_user";

fn list(host: &str, more: &[&str]) -> Ran {
    tool("ops-db")
        .args(["list", "--host", host])
        .args(more)
        .run()
}

/// Nothing of ours may be left: no unit, no socket, no process.
fn assert_clean(host: &LabHost) {
    let left = host.sh("systemctl list-units --all --plain --no-legend 'ops-db-*'; ls -d /run/ops-db-* 2>/dev/null; pgrep -a systemd-socket-; true");
    assert_eq!(left.expect(0).out(), "", "on {}", host.name());
}

/// Waits until systemd has taken away what the end of a connection left.
fn wait_clean(host: &LabHost) {
    let gone = host.sh(
        "for i in $(seq 300); do
           [ -z \"$(systemctl list-units --all --plain --no-legend 'ops-db-*'; ls -d /run/ops-db-* 2>/dev/null)\" ] && exit 0
           sleep 0.1
         done; exit 1",
    );
    gone.expect(0);
    assert_clean(host);
}

#[test]
fn every_login_comes_to_the_server_as_the_role_and_leaves_nothing() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = with_tool(lab, "db-ways");
    for (login, more) in [("root", &[][..]), ("op", &["--sudo"])] {
        for role in ["postgres", "mautrix_slack"] {
            let name = format!("{login}@db-ways");
            let ran = tool("ops-db")
                .args([
                    "query",
                    "mautrix_slack",
                    WHO,
                    "--role",
                    role,
                    "--host",
                    &name,
                ])
                .args(more)
                .run();
            assert_eq!(ran.expect(0).out(), format!("{role}\t{role}\n"), "{login}");
            wait_clean(&host);
        }
    }
    let here = host
        .tool("ops-db")
        .args(["query", "mautrix_slack", WHO, "--role", "mautrix_slack"])
        .run();
    assert_eq!(here.expect(0).out(), "mautrix_slack\tmautrix_slack\n");
    list("db-ways", &["--role", "nobody-at-all"])
        .expect(77)
        .complains("no system user 'nobody-at-all'");
    list("db-ways", &["--role", "nobody"])
        .expect(77)
        .complains("role \"nobody\" does not exist");
    wait_clean(&host);
}

#[test]
fn the_socket_is_for_the_login_user_alone() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = with_tool(lab, "db-private");
    let running = query::sleeper(
        &host,
        tool("ops-db"),
        &["--sudo", "--host", "op@db-private"],
    );
    let socket = host
        .sh("stat -c '%U %a' /run/ops-db-*.sock")
        .expect(0)
        .out();
    assert_eq!(socket, "op 600\n");
    running.signal(Signal::TERM);
    assert_eq!(running.finish().signal, Some(15));
    wait_clean(&host);
}

#[test]
fn kill_9_leaves_nothing_on_the_host() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = with_tool(lab, "db-killed");
    let running = query::sleeper(&host, tool("ops-db"), &["--host", host.name()]);
    running.signal(Signal::KILL);
    assert_eq!(running.finish().signal, Some(9));
    wait_clean(&host);
}

#[test]
fn what_a_dead_holder_left_is_removed_by_the_next() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = with_tool(lab, "db-left");
    let running = query::sleeper(&host, tool("ops-db"), &["--host", host.name()]);
    // The holder itself is killed, so that nobody removes its socket.
    host.sh("pkill -KILL -f '^sh -c role=' ").expect(0);
    assert_ne!(
        host.sh("systemctl list-units --all --plain --no-legend 'ops-db-*.socket'")
            .out(),
        ""
    );
    running.signal(Signal::KILL);
    assert_eq!(running.finish().signal, Some(9));
    assert_ne!(
        host.sh("systemctl list-units --all --plain --no-legend 'ops-db-*.socket'")
            .out(),
        "",
        "the fault has struck"
    );
    list(host.name(), &[]).expect(0);
    wait_clean(&host);
}

#[test]
fn without_the_way_verbs_that_look_ask_psql() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = with_tool(lab, "db-blocked");
    host.sh("chmod -x /usr/lib/systemd/systemd-socket-proxyd")
        .expect(0);
    let ran = list(host.name(), &["-v"])
        .expect(0)
        .complains("systemd-socket-proxyd is not there");
    assert!(
        ran.tsv().iter().any(|row| row[0] == "mautrix_slack"),
        "{}",
        ran.out()
    );
    let values = "SELECT 1, NULL, E'a\\tb'";
    let ask = |more: &[&str]| {
        tool("ops-db")
            .args(["query", "mautrix_slack", values, "--host", host.name()])
            .args(more)
            .run()
    };
    assert_eq!(ask(&[]).expect(0).out(), "1\t\\N\ta\\tb\n");
    ask(&["--write"])
        .expect(69)
        .complains("systemd-socket-proxyd is not there");
    tool("ops-db")
        .args(["health", "--host", host.name()])
        .run()
        .expect(0);
    let changed = tool("ops-db")
        .args([
            "query",
            "mautrix_slack",
            "SELECT 1 INTO t",
            "--host",
            host.name(),
        ])
        .run();
    assert_ne!(changed.status, 0);
    assert_eq!(
        psql(&host, "mautrix_slack", "SELECT to_regclass('t') IS NULL"),
        "t"
    );
}

#[test]
fn logins_without_rights_are_told_so() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = with_tool(lab, "db-guest");
    list("guest@db-guest", &[]).expect(77);
    // sudo without a password lets psql be asked, even without --sudo.
    list("op@db-guest", &[]).expect(0);
    let ran = host.sh("runuser -u guest -- /usr/local/bin/ops-db list; echo $?");
    assert!(ran.out().ends_with("77\n"), "{} {}", ran.out(), ran.err());
    let ran = host
        .sh("cd / && runuser -u mautrix_slack -- /usr/local/bin/ops-db list --role mautrix_slack");
    assert!(ran.expect(0).out().contains("mautrix_slack\t"));
}

#[test]
fn a_server_that_is_not_there_is_69() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = with_tool(lab, "db-gone");
    host.sh("systemctl stop postgresql").expect(0);
    list(host.name(), &[])
        .expect(69)
        .complains("/run/postgresql/.s.PGSQL.5432");
    host.tool("ops-db")
        .arg("list")
        .run()
        .expect(69)
        .complains("cannot connect to '/run/postgresql/.s.PGSQL.5432'");
    wait_clean(&host);
}

#[test]
fn the_socket_may_be_elsewhere() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = with_tool(lab, "db-else");
    psql(
        &host,
        "postgres",
        "ALTER SYSTEM SET unix_socket_directories = '/run/postgresql', '/srv/sockets'",
    );
    psql(&host, "postgres", "ALTER SYSTEM SET port = 5433");
    host.sh("install -d -o postgres /srv/sockets && systemctl restart postgresql")
        .expect(0);
    let folder = tempfile::tempdir().expect("no folder");
    std::fs::write(
        folder.path().join("ops.yaml"),
        "db: {socket: /srv/sockets/.s.PGSQL.5433}\n",
    )
    .expect("cannot write ops.yaml");
    host.write(
        "/root/ops.yaml",
        "db: {socket: /srv/sockets/.s.PGSQL.5433}\n",
    );
    let ran = tool("ops-db")
        .args(["list", "--host", host.name()])
        .dir(folder.path())
        .run();
    assert!(ran.expect(0).out().contains("mautrix_slack"));
    assert!(
        host.tool("ops-db")
            .arg("list")
            .run()
            .expect(0)
            .out()
            .contains("mautrix_slack")
    );
    list(host.name(), &[]).expect(69);
}
