//! Whether the host that answers is the one that is meant.

use std::net::IpAddr;

use ssh2::{DisconnectCode, Session};

use super::{
    Error, HostKeyProblem,
    error::reason,
    known_hosts::{Identity, KnownHosts, Verdict},
    settings::Settings,
    wire,
};

/// What is known of a host before it shows its key.
pub(super) struct Trust<'a> {
    name: &'a str,
    settings: &'a Settings,
    identity: Identity,
    known: KnownHosts,
}

impl<'a> Trust<'a> {
    pub(super) fn new(name: &'a str, settings: &'a Settings) -> Result<Trust<'a>, Error> {
        let known =
            KnownHosts::read(&settings.known_hosts).map_err(|(file, error)| Error::Settings {
                host: name.to_owned(),
                reason: format!("cannot read '{}': {}", file.display(), reason(&error)),
            })?;
        let alias = settings.host_key_alias.as_deref();
        Ok(Trust {
            name,
            settings,
            identity: Identity::new(alias, &settings.host_name, settings.port),
            known,
        })
    }

    /// The types of the keys that are on file.
    pub(super) fn key_types(&self) -> Vec<&str> {
        self.known.key_types(&self.identity)
    }

    /// Checks the key that was shown. `peer` is the address that was dialled, where no proxy did that.
    pub(super) fn check(&self, session: &Session, peer: Option<IpAddr>) -> Result<(), Error> {
        let key = session.host_key().map_or(&[][..], |(key, _)| key);
        let checked =
            self.check_key(key, &self.identity)
                .and_then(|()| match self.address_to_check(peer) {
                    Some(address) => self.check_address(key, &address),
                    None => Ok(()),
                });
        if checked.is_err() {
            let code = Some(DisconnectCode::HostKeyNotVerifiable);
            drop(session.disconnect(code, "host key not verified", None));
        }
        checked
    }

    /// As ssh does it for `CheckHostIP`: not for this machine, and not where the name is the address.
    fn address_to_check(&self, peer: Option<IpAddr>) -> Option<Identity> {
        let address = peer.filter(|peer| self.settings.check_host_ip && !peer.is_loopback())?;
        let address = address.to_string();
        (address != self.settings.host_name)
            .then(|| Identity::new(None, &address, self.settings.port))
    }

    /// An address that is not known says nothing against the host.
    fn check_address(&self, key: &[u8], address: &Identity) -> Result<(), Error> {
        match self.known.judge(address, key) {
            Verdict::Known | Verdict::Unknown | Verdict::Authority(_) => Ok(()),
            Verdict::Changed(_) | Verdict::Revoked(_) => self.check_key(key, address),
        }
    }

    fn check_key(&self, key: &[u8], identity: &Identity) -> Result<(), Error> {
        let key_type = wire::type_of(key).unwrap_or("unknown").to_owned();
        let fingerprint = wire::fingerprint(key);
        let shortest = self.settings.allowed.rsa_bits;
        let problem = match self.known.judge(identity, key) {
            Verdict::Known => match wire::rsa_bits(key).filter(|bits| *bits < shortest) {
                Some(bits) => HostKeyProblem::Short { bits, shortest },
                None => return Ok(()),
            },
            Verdict::Unknown => HostKeyProblem::Unknown {
                fingerprint,
                key_type,
            },
            Verdict::Changed(place) => HostKeyProblem::Changed {
                fingerprint,
                key_type,
                file: place.file,
                line: place.line,
            },
            Verdict::Revoked(place) => HostKeyProblem::Revoked {
                fingerprint,
                file: place.file,
                line: place.line,
            },
            Verdict::Authority(place) => {
                let (file, line) = (place.file.display(), place.line);
                return Err(Error::Setting {
                    host: self.name.to_owned(),
                    setting: "@cert-authority".to_owned(),
                    reason: format!("{file}:{line} wants a host certificate"),
                });
            }
        };
        Err(Error::HostKey {
            host: self.name.to_owned(),
            known_as: identity.name().to_owned(),
            address: (self.settings.host_name.clone(), self.settings.port),
            problem: Box::new(problem),
        })
    }
}
