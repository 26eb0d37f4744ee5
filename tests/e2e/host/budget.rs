//! What things cost, counted in round trips by a relay and never timed.

use std::{
    io::{self, Read, Write},
    thread,
    time::Duration,
};

use ops_common::host::Command;
use ops_tests::{
    Kind,
    relay::{Link, Relay},
};

use crate::{connect, lab};

/// Keeps the packets of a flight together, so that the count is the protocol's.
fn long() -> Link {
    Link::new().delay(Duration::from_millis(20))
}

/// How many round trips `work` takes on a link that is up already.
fn cost(relay: &Relay, work: impl FnOnce()) -> u64 {
    let before = relay.count().round_trips;
    work();
    relay.count().round_trips - before
}

#[test]
fn a_command_costs_two_round_trips_on_one_connection() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("budget-1", Kind::Plain);
    let relay = Relay::before(&machine, "budget-1-far", long());
    let host = connect(relay.alias());
    let login = relay.count().round_trips;
    assert!(login <= 8, "the login took {login} round trips");

    let plain = Command::new("echo").arg("hi");
    assert!(
        cost(&relay, || drop(host.output(&plain).unwrap())) <= 2,
        "a command"
    );

    // Input follows the request without waiting for its reply. On a busy machine a flight may come in pieces, which are
    // counted as more of them, so it is the least of several.
    let large = Command::new("cat").stdin(vec![b'x'; 1 << 20]);
    let ask = || assert_eq!(host.output(&large).unwrap().len(), 1 << 20);
    let spent: Vec<u64> = (0..8).map(|_| cost(&relay, ask)).collect();
    assert!(
        spent.iter().any(|spent| *spent <= 2 + 2),
        "a command with 1 MiB in and out took {spent:?} round trips"
    );

    let several = (0..5)
        .map(|number| format!("echo {number}"))
        .collect::<Vec<_>>()
        .join("\n");
    let script = Command::script(&several, &[""; 0]);
    assert!(
        cost(&relay, || drop(host.output(&script).unwrap())) <= 2,
        "many questions in one"
    );
    assert_eq!(relay.count().connections, 1);
}

#[test]
fn a_forwarded_connection_costs_one_round_trip_and_no_second_connection() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("budget-2", Kind::Plain);
    let relay = Relay::before(&machine, "budget-2-far", long());
    let host = connect(relay.alias());
    let dial = || drop(host.connect_tcp([127, 0, 0, 1].into(), 22).unwrap());
    assert!(cost(&relay, dial) <= 1, "direct-tcpip");
    let socket = || drop(host.connect_unix("/run/systemd/private").unwrap());
    assert!(cost(&relay, socket) <= 1, "direct-streamlocal");
    assert_eq!(relay.count().connections, 1);
}

#[test]
fn threads_share_the_connection_and_do_not_wait_for_each_other() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("budget-3", Kind::Plain);
    let relay = Relay::before(&machine, "budget-3-far", long());
    let host = connect(relay.alias());
    // The first command ends only when the second, of another thread, has written what it waits for.
    machine.sh("mkfifo /run/meet").expect(0);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| host.output(&Command::new("cat").arg("/run/meet")));
        host.output(&Command::script("echo met > /run/meet", &[""; 0]))
            .unwrap();
        assert_eq!(waiting.join().unwrap().unwrap(), b"met\n");
    });
    thread::scope(|scope| {
        for number in 0..8 {
            let host = &host;
            scope.spawn(move || {
                for turn in 0..5 {
                    let word = format!("{number}-{turn}");
                    let said = host.output(&Command::new("echo").arg(&word)).unwrap();
                    assert_eq!(said, format!("{word}\n").as_bytes());
                }
            });
        }
    });
    assert_eq!(relay.count().connections, 1);
}

#[test]
fn a_long_transfer_costs_round_trips_by_the_window() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("budget-4", Kind::Plain);
    let relay = Relay::before(&machine, "budget-4-far", long());
    let host = connect(relay.alias());
    let mib = 96;
    let zeros = Command::new("head")
        .arg("-c")
        .arg(format!("{mib}M"))
        .arg("/dev/zero");
    let spent = cost(&relay, || {
        let mut sink = Counting(0);
        assert!(host.stream(&zeros, &mut sink).unwrap().success());
        assert_eq!(sink.0, mib << 20);
    });
    // libssh2 tops the window of 32 MiB up by quarters, and says so each time; with one of 2 MiB it would be 192.
    assert!(
        spent <= 4 * mib / 32 + 8,
        "{mib} MiB took {spent} round trips"
    );
}

#[test]
fn a_slow_reader_holds_up_only_itself_and_no_memory() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("budget-5", Kind::Plain);
    let host = connect(machine.name());
    let endless = host.spawn(&Command::new("cat").arg("/dev/zero")).unwrap();
    let mut first = vec![1; 1 << 20];
    let mut stdout = endless.stdout;
    stdout.read_exact(&mut first).unwrap();
    // Nobody reads now. The window fills, the command stops, and the connection goes on.
    for _ in 0..3 {
        assert_eq!(
            host.output(&Command::new("echo").arg("still here"))
                .unwrap(),
            b"still here\n"
        );
    }
    stdout.read_exact(&mut first).unwrap();
    assert!(first.iter().all(|byte| *byte == 0));
}

/// A host may take minutes to find out that nobody answers at an address. Meanwhile the next address is dialled, over a
/// second connection, since libssh2 can open but one channel at a time.
#[test]
fn a_dial_that_hangs_is_walked_around() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("budget-6", Kind::Plain);
    let relay = Relay::before(&machine, "budget-6-far", Link::new());
    let host = connect(relay.alias());
    // A queue of connections that is full: further ones are not answered at all.
    let listen = "import socket, sys, time\n\
        s = socket.socket(); s.bind(('127.0.0.1', 7)); s.listen(0)\n\
        c = [socket.socket() for _ in range(4)]\n\
        for one in c: one.setblocking(False); one.connect_ex(('127.0.0.1', 7))\n\
        print('full', flush=True); sys.stdin.read()";
    let mut full = host
        .spawn(&Command::new("python3").arg("-c").arg(listen))
        .unwrap();
    full.stdout.read_exact(&mut [0; 5]).unwrap();
    let hanging = host.with_timeout(Some(Duration::from_secs(6)));
    thread::scope(|scope| {
        let dead = scope.spawn(move || hanging.connect_tcp([127, 0, 0, 1].into(), 7));
        let mut alive = None;
        while relay.count().connections < 2 {
            alive = Some(host.connect_tcp([127, 0, 0, 1].into(), 22).unwrap());
        }
        let mut banner = [0; 4];
        alive.unwrap().read_exact(&mut banner).unwrap();
        assert_eq!(&banner, b"SSH-");
        assert_eq!(
            host.output(&Command::new("echo").arg("hi")).unwrap(),
            b"hi\n"
        );
        let error = dead.join().unwrap().unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot connect to '127.0.0.1:7' on 'budget-6-far': connection timed out"
        );
    });
    assert_eq!(relay.count().connections, 2);
}

/// While nothing runs on it, a connection still answers the other side's questions, and notices its end.
#[test]
fn an_idle_connection_stays_alive() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("budget-7", Kind::Plain);
    machine.write(
        "/etc/ssh/sshd_config.d/alive.conf",
        "ClientAliveInterval 1\nClientAliveCountMax 1\n",
    );
    machine.sh("systemctl restart ssh").expect(0);
    let relay = Relay::before(&machine, "budget-7-idle", Link::new());
    let host = connect(relay.alias());
    assert!(host.run(&Command::new("true")).unwrap().success());
    // Five questions of sshd; two without an answer would have ended the connection.
    let before = relay.count().round_trips;
    relay.wait_until(|count| count.round_trips >= before + 5);
    assert!(host.run(&Command::new("true")).unwrap().success());
    assert_eq!(relay.count().connections, 1);
}

struct Counting(u64);

impl Write for Counting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
