//! What a host is to be like.

/// Which services a host runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// systemd, journald, sshd, sudo and Nix; a first NixOS-like system in its profile.
    Plain,
    /// And PostgreSQL with peer authentication, with a database `mautrix_slack` of the role of that name.
    Postgres,
    /// And nginx, the homeserver and the bridge, at which nobody is logged in.
    Platform,
}

impl Kind {
    pub(crate) fn units(self) -> &'static [&'static str] {
        match self {
            Self::Plain => &[],
            Self::Postgres => &["postgresql"],
            Self::Platform => &[
                "postgresql",
                "nginx",
                "matrix-continuwuity",
                "mautrix-slack",
            ],
        }
    }
}

/// A kind, and what else a host is to have.
#[derive(Debug, Clone)]
pub struct Options {
    pub(crate) kind: Kind,
    pub(crate) disk: Option<String>,
    pub(crate) second_network: bool,
    pub(crate) ports: Vec<u16>,
    pub(crate) aliases: Vec<String>,
    pub(crate) number: Option<u8>,
    pub(crate) off: Vec<String>,
}

impl From<Kind> for Options {
    fn from(kind: Kind) -> Self {
        Self {
            kind,
            disk: None,
            second_network: false,
            ports: vec![22],
            aliases: Vec::new(),
            number: None,
            off: Vec::new(),
        }
    }
}

impl Options {
    /// A host with this much room (`64M`) for all that it writes to its disk.
    #[must_use]
    pub fn disk(mut self, size: &str) -> Self {
        self.disk = Some(size.to_owned());
        self
    }

    /// A host that is also on the second network, with addresses of its own there.
    #[must_use]
    pub fn second_network(mut self) -> Self {
        self.second_network = true;
        self
    }

    /// A host whose sshd listens on these ports; `ssh NAME` takes the first.
    #[must_use]
    pub fn ports(mut self, ports: &[u16]) -> Self {
        ports.clone_into(&mut self.ports);
        self
    }

    /// A host that has another name in /etc/hosts, here and on itself.
    #[must_use]
    pub fn alias(mut self, name: &str) -> Self {
        self.aliases.push(name.to_owned());
        self
    }

    /// A host with the address 203.0.113.NUMBER; numbers from 2 to 19 are never given out otherwise.
    #[must_use]
    pub fn number(mut self, number: u8) -> Self {
        self.number = Some(number);
        self
    }

    /// A host on which one of its kind's units is not started.
    #[must_use]
    pub fn without(mut self, unit: &str) -> Self {
        self.off.push(unit.to_owned());
        self
    }
}
