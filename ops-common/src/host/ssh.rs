//! The connection to a host: one, as long as the host answers.
//!
//! libssh2 keeps the state of a channel that is being opened in the session, so there can be but one of these at a time.
//! For commands that is a matter of a round trip. But when the host is asked to dial an address where nobody answers, it
//! may take it two minutes to say so, and all other channels would wait, among them the dial to the next address, which
//! does answer. So whoever finds the way barred for longer than a dial takes goes over another connection.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{Error, lane::Lane, link::Link, session, settings::Settings};

/// A dial that takes longer than this has to be walked around.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) struct Ssh {
    name: String,
    settings: Settings,
    connect_timeout: Duration,
    links: Mutex<Vec<Link>>,
}

impl Ssh {
    pub(super) fn connect(
        name: &str,
        settings: Settings,
        connect_timeout: Duration,
    ) -> Result<Ssh, Error> {
        let link = session::connect(name, &settings, connect_timeout)?;
        let links = Mutex::new(vec![link]);
        Ok(Ssh {
            name: name.to_owned(),
            settings,
            connect_timeout,
            links,
        })
    }

    /// Runs a line of the login shell.
    pub(super) fn run(&self, line: String, collect: bool) -> Result<Arc<Lane>, Error> {
        self.ready(|link| link.run(line, collect))
    }

    /// Connects to a Unix socket of the host.
    pub(super) fn connect_unix(&self, path: &str) -> Result<Arc<Lane>, Error> {
        self.ready(|link| link.connect_unix(path))
    }

    /// Has the host dial an address.
    pub(super) fn connect_tcp(&self, address: String, port: u16) -> Result<Arc<Lane>, Error> {
        self.ready(|link| link.connect_tcp(address, port))
    }

    /// Uses a link on which nothing is in the way.
    fn ready<T>(&self, ask: impl FnOnce(&Link) -> T) -> Result<T, Error> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let free = links.iter().position(|link| link.is_ready(Duration::ZERO));
        let free = free.or_else(|| links.iter().position(|link| link.is_ready(PATIENCE)));
        if free.is_none() {
            let link = session::connect(&self.name, &self.settings, self.connect_timeout)?;
            links.push(link);
        }
        // Asked under the lock, or two that come at once could both find the same link free.
        Ok(ask(&links[free.unwrap_or(links.len() - 1)]))
    }
}
