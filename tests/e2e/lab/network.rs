//! The network of the lab: hosts reach each other by name and address, and nobody reaches anything else.

use ops_tests::{Kind, Lab, LabHost, Options, command, skip};

#[test]
fn there_is_no_way_out() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = lab.host("inmate", Kind::Plain);
    let routes = "ip -4 route; ip -6 route";
    let here = command("sh").args(["-c", routes]).run().expect(0).out();
    for routes in [here, host.sh(routes).expect(0).out()] {
        assert!(routes.contains("203.0.113.0/24"), "{routes}");
        let lab_only = |route: &str| {
            [
                "203.0.113.",
                "198.51.100.",
                "2001:db8:",
                "fe80:",
                "ff00:",
                "multicast",
                "anycast",
            ]
            .iter()
            .any(|range| route.contains(range))
        };
        let out: Vec<_> = routes
            .lines()
            .filter(|route| !lab_only(route) || route.contains(" via "))
            .collect();
        assert!(out.is_empty(), "{out:?}");
    }
    no_dial_leads_out(&host);
    let links = command("ip").args(["-brief", "link"]).run().expect(0).out();
    assert!(
        links
            .lines()
            .all(|link| link.starts_with("lo ") || link.starts_with("ops")),
        "{links}"
    );
    // The machine's other interfaces are not here, and no name leads anywhere.
    for database in ["ahostsv4", "ahostsv6"] {
        let names = command("getent").args([database, "slack.com"]).run();
        assert_eq!(names.status, 2, "{names}");
        let names = host.sh(&format!("getent {database} slack.com"));
        assert_eq!(names.status, 2, "{names}");
    }
}

/// Addresses that are nobody's, by every protocol that a resolver or a client would use, from here and from a host.
fn no_dial_leads_out(host: &LabHost) {
    for target in [
        "tcp/192.0.2.1/443",
        "tcp/2001:db8:ffff::1/443",
        "udp/192.0.2.1/53",
        "udp/2001:db8:ffff::1/53",
    ] {
        let dial = format!("exec 3<>/dev/{target} && echo question >&3");
        for ran in [
            command("bash").args(["-c", &dial]).run(),
            host.sh(&format!("bash -c '{dial}'")),
        ] {
            assert_ne!(ran.status, 0, "{ran}");
            assert!(ran.err().contains("Network is unreachable"), "{ran}");
        }
    }
}

#[test]
fn hosts_reach_each_other_in_both_families() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let first = lab.host("left", Options::from(Kind::Plain).second_network());
    let second = lab.host(
        "right",
        Options::from(Kind::Plain)
            .second_network()
            .ports(&[2222, 22])
            .alias("right.example"),
    );
    for address in [second.v4(), second.v6()] {
        let banner = first.sh(&format!("nc -w 5 {address} 2222 < /dev/null"));
        assert!(banner.out().starts_with("SSH-2.0-OpenSSH"), "{banner}");
    }
    let n = second.v4().rsplit('.').next().expect("a number").to_owned();
    let banner = first.sh(&format!(
        "nc -w 5 198.51.100.{n} 22 < /dev/null; ip -6 -o addr"
    ));
    assert!(banner.out().starts_with("SSH-2.0-OpenSSH"), "{banner}");
    // `ssh NAME` takes the first port; the key on file holds for both, and for the other name.
    assert_eq!(second.ssh("hostname").expect(0).out(), "right\n");
    command("ssh")
        .args(["-p", "22", "root@right.example", "true"])
        .run()
        .expect(0);
}

#[test]
fn every_account_is_what_it_says() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let _host = lab.host("people", Kind::Plain);
    let ssh = |user: &str, text: &str| command("ssh").args([&format!("{user}@people"), text]).run();
    assert_eq!(ssh("op", "sudo -n id -u").expect(0).out(), "0\n");
    assert_eq!(
        ssh("fisher", "echo $FISH_VERSION; sudo -n id -u")
            .expect(0)
            .out()
            .lines()
            .count(),
        2
    );
    assert_eq!(ssh("guest", "sudo -n true").status, 1);
    ssh("asker", "sudo -n true").expect(1).complains("password");
    assert_eq!(
        ssh("asker", "echo made-up | sudo -S -p '' id -u")
            .expect(0)
            .out(),
        "0\n"
    );
}

#[test]
fn a_server_of_a_test_can_be_reached() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = lab.host("caller", Kind::Plain);
    let address = lab.address();
    for ip in [address.v4(), format!("[{}]", address.v6())] {
        let server = std::net::TcpListener::bind(format!("{ip}:443")).expect("the address is ours");
        let bare = ip.trim_matches(['[', ']']);
        host.sh(&format!("nc -z -w 5 {bare} 443")).expect(0);
        server.accept().expect("a caller");
    }
}

#[test]
fn a_full_disk_is_full() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = lab.host("small", Options::from(Kind::Plain).disk("48M"));
    host.sh("head -c 100M /dev/zero > /root/big")
        .expect(1)
        .complains("No space left on device");
    host.sh("rm /root/big; head -c 1M /dev/zero > /root/small")
        .expect(0);
}

#[test]
fn one_name_is_one_host_at_a_time() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    std::thread::scope(|scope| {
        for round in 0..3 {
            scope.spawn(move || {
                let host = lab.host("only", Kind::Plain);
                host.write("/etc/round", format!("{round}"));
                assert_eq!(
                    host.ssh("cat /etc/round").expect(0).out(),
                    round.to_string()
                );
            });
        }
    });
}
