//! Addresses, bridges and network namespaces. Only ranges that are reserved for documentation are used.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;

use crate::outer::RUN;
use crate::program::{self, Error, Result};

/// The host part of the addresses that the lab's own side of the bridges has.
const OUTSIDE: u8 = 1;
/// Below it stay addresses that a test may ask for by number.
const FIRST: u8 = 20;
const LAST: u8 = 250;

/// An address of the lab, in both families; given back when dropped.
#[derive(Debug)]
pub struct Address {
    number: u8,
    /// Whether it is one of this side's.
    here: bool,
}

impl Address {
    /// Takes the address with this number.
    pub(crate) fn take(number: u8) -> Result<Self> {
        let path = claim(number);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(_) => Ok(Self {
                number,
                here: false,
            }),
            Err(cause) => Err(Error::new(format!(
                "address {number} of the lab cannot be had: {cause}"
            ))),
        }
    }

    /// Takes any address that is free.
    pub(crate) fn any() -> Result<Self> {
        (FIRST..=LAST)
            .find_map(|number| Self::take(number).ok())
            .ok_or_else(|| Error::new("all addresses of the lab are taken"))
    }

    /// Takes a free address and gives it to this side of the bridge, for a server that a test runs itself.
    pub(crate) fn outside() -> Result<Self> {
        let mut address = Self::any()?;
        address.assign("add")?;
        address.here = true;
        Ok(address)
    }

    fn assign(&self, verb: &str) -> Result<()> {
        let batch = format!(
            "addr {verb} {}/24 dev ops0\naddr {verb} {}/64 dev ops0 nodad\n",
            self.v4(),
            self.v6()
        );
        program::feed("ip", ["-batch", "-"], &batch)
    }

    /// The IPv4 address.
    #[must_use]
    pub fn v4(&self) -> String {
        v4(self.number)
    }

    /// The IPv6 address.
    #[must_use]
    pub fn v6(&self) -> String {
        v6(self.number)
    }

    /// Puts the cable of the host of this address in (`up`) or out (`down`).
    pub(crate) fn set_cable(&self, state: &str) -> Result<()> {
        let leg = format!("ops0-{}", self.number);
        program::run("ip", ["link", "set", &leg, state])
    }

    /// The number in both addresses.
    pub(crate) fn number(&self) -> u8 {
        self.number
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        if self.here {
            self.assign("del").ok();
        }
        fs::remove_file(claim(self.number)).ok();
    }
}

fn claim(number: u8) -> PathBuf {
    PathBuf::from(format!("{RUN}/addresses/{number}"))
}

fn v4(number: u8) -> String {
    format!("203.0.113.{number}")
}

fn v6(number: u8) -> String {
    format!("2001:db8::{number}")
}

/// Makes the two bridges, with the addresses of the lab's own side. Their hardware addresses are set: a bridge left alone
/// takes the lowest of its legs, so that each host that comes or goes could make this side unreachable to the others.
pub(crate) fn make_bridges() -> Result<()> {
    let batch = format!(
        "link set lo up
         link add ops0 address 02:00:00:00:00:01 type bridge
         addr add {}/24 dev ops0
         addr add {}/64 dev ops0 nodad
         link set ops0 up
         link add ops1 address 02:00:00:00:01:01 type bridge
         addr add 198.51.100.{OUTSIDE}/24 dev ops1
         addr add 2001:db8:1::{OUTSIDE}/64 dev ops1 nodad
         link set ops1 up\n",
        v4(OUTSIDE),
        v6(OUTSIDE)
    );
    program::feed("ip", ["-batch", "-"], &batch)
}

/// Makes the network namespace of a host, with one leg on the first bridge and, if asked, one on the second.
pub(crate) fn make_namespace(name: &str, address: &Address, second: bool) -> Result<()> {
    program::run("ip", ["netns", "add", name])?;
    let n = address.number();
    let mut outside = leg(name, n, 0);
    let mut inside = format!(
        "link set lo up\n{}",
        configure(0, &address.v4(), &address.v6())
    );
    if second {
        outside += &leg(name, n, 1);
        inside += &configure(1, &format!("198.51.100.{n}"), &format!("2001:db8:1::{n}"));
    }
    // The number may be that of a host just gone, whose namespace the kernel takes its time to clear up.
    for bridge in 0..2 {
        program::run("ip", ["link", "del", &format!("ops{bridge}-{n}")]).ok();
    }
    for neighbour in [address.v4(), address.v6()] {
        program::run("ip", ["neigh", "flush", "to", &neighbour]).ok();
    }
    program::feed("ip", ["-batch", "-"], &outside)?;
    program::feed("ip", ["-n", name, "-batch", "-"], &inside)
}

fn leg(name: &str, number: u8, bridge: u8) -> String {
    format!(
        "link add ops{bridge}-{number} type veth peer name host{bridge} netns {name}
         link set ops{bridge}-{number} master ops{bridge} up\n"
    )
}

fn configure(bridge: u8, v4: &str, v6: &str) -> String {
    format!(
        "link set host{bridge} up
         addr add {v4}/24 dev host{bridge}
         addr add {v6}/64 dev host{bridge} nodad\n"
    )
}

/// Ends the network namespace of a host, with its legs.
pub(crate) fn end_namespace(name: &str) -> Result<()> {
    program::run("ip", ["netns", "del", name])
}
