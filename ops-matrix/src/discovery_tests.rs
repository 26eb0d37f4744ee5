//! Every step of the algorithm, and the ways in which testers are known to get it wrong.

use std::collections::HashMap;

use super::*;

/// A small world: names, SRV records and well-knowns.
#[derive(Default)]
struct World {
    addresses: HashMap<&'static str, Vec<IpAddr>>,
    srv: HashMap<&'static str, Vec<SrvRecord>>,
    delegations: HashMap<&'static str, &'static str>,
    failing: Vec<&'static str>,
}

impl World {
    fn address(mut self, host: &'static str, addresses: &[&str]) -> Self {
        let addresses = addresses
            .iter()
            .map(|text| text.parse().expect("an address"));
        self.addresses.insert(host, addresses.collect());
        self
    }

    fn srv(mut self, name: &'static str, priority: u16, target: &str, port: u16) -> Self {
        let record = SrvRecord {
            priority,
            weight: 0,
            port,
            target: target.to_owned(),
            alias_of: None,
        };
        self.srv.entry(name).or_default().push(record);
        self
    }

    fn delegate(mut self, host: &'static str, to: &'static str) -> Self {
        self.delegations.insert(host, to);
        self
    }

    fn route(&self, name: &str) -> Route {
        resolve(&name.parse().expect("a server name"), self)
    }
}

impl Lookups for World {
    fn endpoints(&self, host: &str, port: u16) -> Answer<Vec<SocketAddr>> {
        if self.failing.contains(&host) {
            return Answer::Failed("no answer".into());
        }
        let literal = host.parse().ok().map(|address| vec![address]);
        let found = literal.or_else(|| self.addresses.get(host).cloned());
        let at = |found: Vec<IpAddr>| found.into_iter().map(|ip| SocketAddr::new(ip, port));
        found.map_or(Answer::Absent, |found| Answer::Found(at(found).collect()))
    }

    fn srv(&self, name: &str) -> Answer<Vec<SrvRecord>> {
        if self.failing.contains(&name) {
            return Answer::Failed("SERVFAIL".into());
        }
        self.srv
            .get(name)
            .map_or(Answer::Absent, |found| Answer::Found(found.clone()))
    }

    fn delegation(&self, host: &str) -> Result<Delegation, String> {
        let text = self.delegations.get(host).ok_or("404")?;
        let name = text.parse().map_err(|error| format!("{error}"))?;
        Ok(Delegation { name, kept_s: 3600 })
    }
}

/// Addresses, Host and certificate name of a route, in one line.
fn told(route: &Route) -> String {
    let targets: Vec<_> = route
        .targets
        .iter()
        .map(|target| format!("{}({})", target.address, target.step))
        .collect();
    format!(
        "{} host={} cert={} sni={}",
        targets.join(","),
        route.host_header,
        route.certificate_name,
        route.sni().unwrap_or("-")
    )
}

fn world() -> World {
    World::default()
        .address("chat.example", &["203.0.113.1", "2001:db8::1"])
        .address("hs.example", &["203.0.113.2"])
        .address("srv.example", &["203.0.113.3"])
        .address("old.example", &["203.0.113.4"])
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_step_of_the_specification() {
    let fed = |world: World| world.srv("_matrix-fed._tcp.chat.example", 10, "srv.example", 7001);
    let old = |world: World| world.srv("_matrix._tcp.chat.example", 10, "old.example", 7002);
    let plain = "203.0.113.1:8448(6),[2001:db8::1]:8448(6) host=chat.example cert=chat.example sni=chat.example";
    for (world, name, expected) in [
        (
            world(),
            "203.0.113.9",
            "203.0.113.9:8448(1) host=203.0.113.9 cert=203.0.113.9 sni=-",
        ),
        (
            world(),
            "203.0.113.9:99",
            "203.0.113.9:99(1) host=203.0.113.9:99 cert=203.0.113.9 sni=-",
        ),
        (
            world(),
            "[2001:db8::9]",
            "[2001:db8::9]:8448(1) host=[2001:db8::9] cert=2001:db8::9 sni=-",
        ),
        (
            world(),
            "[2001:db8::9]:99",
            "[2001:db8::9]:99(1) host=[2001:db8::9]:99 cert=2001:db8::9 sni=-",
        ),
        (
            world(),
            "hs.example:99",
            "203.0.113.2:99(2) host=hs.example:99 cert=hs.example sni=hs.example",
        ),
        (
            world().delegate("chat.example", "203.0.113.9"),
            "chat.example",
            "203.0.113.9:8448(3.1) host=203.0.113.9 cert=203.0.113.9 sni=-",
        ),
        (
            world().delegate("chat.example", "[2001:db8::9]:99"),
            "chat.example",
            "[2001:db8::9]:99(3.1) host=[2001:db8::9]:99 cert=2001:db8::9 sni=-",
        ),
        (
            world().delegate("chat.example", "hs.example:443"),
            "chat.example",
            "203.0.113.2:443(3.2) host=hs.example:443 cert=hs.example sni=hs.example",
        ),
        (
            world().delegate("chat.example", "hs.example").srv(
                "_matrix-fed._tcp.hs.example",
                0,
                "srv.example",
                7001,
            ),
            "chat.example",
            "203.0.113.3:7001(3.3) host=hs.example cert=hs.example sni=hs.example",
        ),
        (
            world().delegate("chat.example", "hs.example").srv(
                "_matrix._tcp.hs.example",
                0,
                "old.example",
                7002,
            ),
            "chat.example",
            "203.0.113.4:7002(3.4) host=hs.example cert=hs.example sni=hs.example",
        ),
        (
            world().delegate("chat.example", "hs.example"),
            "chat.example",
            "203.0.113.2:8448(3.5) host=hs.example cert=hs.example sni=hs.example",
        ),
        (
            fed(world()),
            "chat.example",
            "203.0.113.3:7001(4) host=chat.example cert=chat.example sni=chat.example",
        ),
        (
            old(world()),
            "chat.example",
            "203.0.113.4:7002(5) host=chat.example cert=chat.example sni=chat.example",
        ),
        (world(), "chat.example", plain),
    ] {
        assert_eq!(told(&world.route(name)), expected, "{name}");
    }
}

#[test]
fn the_deprecated_srv_is_used_only_where_the_new_one_is_absent() {
    let world = world()
        .srv("_matrix-fed._tcp.chat.example", 10, "srv.example", 7001)
        .srv("_matrix._tcp.chat.example", 10, "old.example", 7002);
    let route = world.route("chat.example");
    assert_eq!(route.targets.len(), 1);
    assert!(
        route
            .steps
            .iter()
            .all(|step| !step.question.contains("_matrix._tcp"))
    );
}

#[test]
fn a_port_in_the_name_asks_neither_well_known_nor_srv() {
    let world = world().delegate("chat.example", "hs.example:443").srv(
        "_matrix-fed._tcp.chat.example",
        1,
        "srv.example",
        1,
    );
    let route = world.route("chat.example:8448");
    assert_eq!(route.steps.len(), 1);
    assert_eq!(route.targets[0].address.port(), 8448);
}

#[test]
fn a_delegated_name_is_not_delegated_again() {
    let world = world()
        .delegate("chat.example", "hs.example")
        .delegate("hs.example", "srv.example:1");
    assert_eq!(
        told(&world.route("chat.example")),
        "203.0.113.2:8448(3.5) host=hs.example cert=hs.example sni=hs.example"
    );
}

#[test]
fn a_target_that_is_an_alias_is_refused_and_the_others_are_kept() {
    let mut world = world()
        .srv("_matrix-fed._tcp.chat.example", 1, "alias.example", 1)
        .srv("_matrix-fed._tcp.chat.example", 2, "srv.example", 2);
    world
        .srv
        .get_mut("_matrix-fed._tcp.chat.example")
        .expect("records")[0]
        .alias_of = Some("srv.example".into());
    let route = world.route("chat.example");
    assert_eq!(
        route
            .targets
            .iter()
            .map(|target| target.address.port())
            .collect::<Vec<_>>(),
        [2]
    );
    assert!(route.steps.iter().any(|step| {
        step.answer
            .contains("refused, 'alias.example' is an alias of 'srv.example'")
    }));
}

#[test]
fn a_service_that_is_declared_absent_has_no_target() {
    let route = world()
        .srv("_matrix-fed._tcp.chat.example", 0, ".", 0)
        .route("chat.example");
    assert_eq!(route.targets, []);
}

#[test]
fn a_look_up_that_fails_makes_the_route_doubtful() {
    let mut world = world();
    world.failing = vec!["_matrix-fed._tcp.chat.example"];
    let route = world.route("chat.example");
    assert!(route.doubtful && route.targets.len() == 2, "{route:?}");
    assert!(!self::world().route("chat.example").doubtful);
}

/// The ways that the suites of homeservers walk besides those of the specification's list.
#[test]
#[rustfmt::skip]
fn ways_that_homeservers_are_tested_on() {
    const FED: &str = "_matrix-fed._tcp.chat.example";
    const OLD: &str = "_matrix._tcp.chat.example";
    let plain = "203.0.113.1:8448(6),[2001:db8::1]:8448(6) host=chat.example cert=chat.example sni=chat.example";
    let idn = "host=xn--bcher-kva.example cert=xn--bcher-kva.example sni=xn--bcher-kva.example";
    let idn_world = || world().address("xn--bcher-kva.example", &["203.0.113.7"]);
    let to_idn = "xn--trget-3qa.example";
    for (world, name, expected) in [
        // What a well-known says and no server name is, is no delegation.
        (world().delegate("chat.example", "b\u{fc}cher.example"), "chat.example", plain.to_owned()),
        (world().delegate("chat.example", ""), "chat.example", plain.to_owned()),
        (world().delegate("chat.example", "2001:db8::9"), "chat.example", plain.to_owned()),
        (world().delegate("chat.example", "https://hs.example"), "chat.example", plain.to_owned()),
        (world().delegate("chat.example", "[2001:db8::9]"), "chat.example", "[2001:db8::9]:8448(3.1) host=[2001:db8::9] cert=2001:db8::9 sni=-".to_owned()),
        (world().delegate("chat.example", "203.0.113.9:99"), "chat.example", "203.0.113.9:99(3.1) host=203.0.113.9:99 cert=203.0.113.9 sni=-".to_owned()),
        (idn_world().delegate("chat.example", "xn--bcher-kva.example"), "chat.example", format!("203.0.113.7:8448(3.5) {idn}")),
        (idn_world(), "xn--bcher-kva.example", format!("203.0.113.7:8448(6) {idn}")),
        (idn_world().address(to_idn, &["203.0.113.8"]).srv("_matrix-fed._tcp.xn--bcher-kva.example", 0, to_idn, 8443), "xn--bcher-kva.example", format!("203.0.113.8:8443(4) {idn}")),
        // Two ports of one host are two targets, and a target may have IPv6 alone.
        (world().srv(FED, 0, "srv.example", 8443).srv(FED, 1, "srv.example", 8444), "chat.example", "203.0.113.3:8443(4),203.0.113.3:8444(4) host=chat.example cert=chat.example sni=chat.example".to_owned()),
        (world().address("six.example", &["2001:db8::6"]).srv(FED, 0, "six.example", 8443), "chat.example", "[2001:db8::6]:8443(4) host=chat.example cert=chat.example sni=chat.example".to_owned()),
        // Records that lead nowhere are records: neither the older name nor the port of the name itself is asked then.
        (world().srv(FED, 0, "nowhere.example", 8443).srv(OLD, 0, "old.example", 7002), "chat.example", " host=chat.example cert=chat.example sni=chat.example".to_owned()),
        (world().srv(FED, 0, ".", 0).srv(OLD, 0, "old.example", 7002), "chat.example", " host=chat.example cert=chat.example sni=chat.example".to_owned()),
        (world().srv(OLD, 0, ".", 0), "chat.example", " host=chat.example cert=chat.example sni=chat.example".to_owned()),
        // The dot of the root is part of the name, but never of the TLS extension.
        (world().address("chat.example.", &["203.0.113.1"]), "chat.example.", "203.0.113.1:8448(6) host=chat.example. cert=chat.example. sni=chat.example".to_owned()),
    ] {
        assert_eq!(told(&world.route(name)), expected, "{name}");
    }
}
