//! What ssh would do to reach a host: the answer of `ssh -G NAME`.
//!
//! ssh's configuration has patterns, conditions, includes and defaults that change; only ssh reads it right. What it
//! prints is flat: `keyword value` by line. The keywords that change whom we reach or how we log in are honoured here or
//! refused by name, never ignored. Those that only choose among ciphers or make the rules laxer are not looked at.

use std::{path::PathBuf, time::Duration};

use super::{
    Error,
    address::Address,
    tokens::{self, Tokens},
};
use crate::program::Program;

/// How to reach a host and log in there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) host_name: String,
    pub(super) user: String,
    pub(super) port: u16,
    pub(super) family: Family,
    pub(super) proxy: Proxy,
    pub(super) connect_timeout: Option<Duration>,
    pub(super) host_key_alias: Option<String>,
    pub(super) known_hosts: Vec<PathBuf>,
    pub(super) identity_files: Vec<PathBuf>,
    pub(super) identities_only: bool,
    pub(super) agent: Agent,
}

/// Which addresses may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Any,
    V4,
    V6,
}

/// What carries the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Proxy {
    /// A TCP connection of our own.
    None,
    /// A command line for `sh`, whose standard streams are the connection.
    Command(String),
    /// Other hosts, on which ssh hops.
    Jump(String),
}

/// Which key holder to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Agent {
    /// The one of `SSH_AUTH_SOCK`, if there is any.
    Environment,
    None,
    Socket(PathBuf),
}

/// Settings that are refused unless they have the value of their default.
const REFUSED: [(&str, &[&str]); 8] = [
    ("knownhostscommand", &["none"]),
    ("pkcs11provider", &["none"]),
    ("securitykeyprovider", &["internal", "none"]),
    ("certificatefile", &["none"]),
    ("bindaddress", &["none"]),
    ("bindinterface", &["none"]),
    ("proxyusefdpass", &["no"]),
    ("revokedhostkeys", &["none"]),
];

impl Settings {
    /// Asks ssh about an address. `name` is the host's name in messages.
    pub(super) fn of(name: &str, address: &Address) -> Result<Settings, Error> {
        let fail = |reason| Error::Settings {
            host: name.to_owned(),
            reason,
        };
        let ended = Program::find("ssh")?
            .arg("-G")
            .args(address.arguments())
            .run()?;
        if ended.status != 0 {
            return Err(fail(super::ending::complaint(&ended.stderr)));
        }
        let answer =
            String::from_utf8(ended.stdout).map_err(|_| fail("they are not UTF-8".to_owned()))?;
        Settings::parse(name, &address.host, &answer)
    }

    /// Reads ssh's answer.
    pub(super) fn parse(name: &str, original: &str, answer: &str) -> Result<Settings, Error> {
        let lines = Lines::new(name, original, answer);
        lines.refuse()?;
        let known_hosts = [
            lines.paths("userknownhostsfile", lines.words("userknownhostsfile"))?,
            lines.paths("globalknownhostsfile", lines.words("globalknownhostsfile"))?,
        ];
        let connect_timeout = lines
            .one("connecttimeout")
            .and_then(|value| value.parse().ok());
        Ok(Settings {
            host_name: lines.host_name().to_owned(),
            user: lines.user().to_owned(),
            port: lines.port(),
            family: lines.family(),
            proxy: lines.proxy()?,
            connect_timeout: connect_timeout.map(Duration::from_secs),
            host_key_alias: lines.one("hostkeyalias").map(str::to_owned),
            known_hosts: known_hosts.concat(),
            identity_files: lines.paths("identityfile", lines.all("identityfile"))?,
            identities_only: lines.one("identitiesonly") == Some("yes"),
            agent: lines.agent()?,
        })
    }
}

/// ssh's answer, taken apart.
struct Lines<'a> {
    name: &'a str,
    original: &'a str,
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> Lines<'a> {
    fn new(name: &'a str, original: &'a str, answer: &'a str) -> Lines<'a> {
        let pairs = answer
            .lines()
            .filter_map(|line| line.split_once(' '))
            .collect();
        Lines {
            name,
            original,
            pairs,
        }
    }

    fn host_name(&self) -> &'a str {
        self.one("hostname").unwrap_or(self.original)
    }

    fn user(&self) -> &'a str {
        self.one("user").unwrap_or("root")
    }

    fn port(&self) -> u16 {
        self.one("port")
            .and_then(|port| port.parse().ok())
            .unwrap_or(22)
    }

    fn family(&self) -> Family {
        match self.one("addressfamily") {
            Some("inet") => Family::V4,
            Some("inet6") => Family::V6,
            _ => Family::Any,
        }
    }

    fn proxy(&self) -> Result<Proxy, Error> {
        Ok(match (self.one("proxycommand"), self.one("proxyjump")) {
            (Some(command), _) if command != "none" => {
                Proxy::Command(self.expand("proxycommand", command)?)
            }
            (_, Some(jump)) if jump != "none" => Proxy::Jump(jump.to_owned()),
            _ => Proxy::None,
        })
    }

    fn agent(&self) -> Result<Agent, Error> {
        Ok(match self.one("identityagent") {
            None | Some("SSH_AUTH_SOCK") => Agent::Environment,
            Some("none") => Agent::None,
            Some(path) if path.starts_with('$') => {
                return Err(self.cannot("identityagent", "its value is a variable".to_owned()));
            }
            Some(path) => Agent::Socket(tokens::home(&self.expand("identityagent", path)?)),
        })
    }

    /// The paths that are any, with their tokens expanded.
    fn paths(&self, key: &str, values: Vec<&str>) -> Result<Vec<PathBuf>, Error> {
        let values = values
            .into_iter()
            .filter(|value| *value != "none" && *value != "/dev/null");
        values
            .map(|value| Ok(tokens::home(&self.expand(key, value)?)))
            .collect()
    }

    fn expand(&self, key: &str, value: &str) -> Result<String, Error> {
        let tokens = Tokens::new(self.original, self.host_name(), self.port(), self.user());
        tokens
            .expand(value)
            .map_err(|token| self.cannot(key, format!("unknown token {token}")))
    }

    fn one(&self, key: &str) -> Option<&'a str> {
        self.pairs
            .iter()
            .find(|(found, _)| *found == key)
            .map(|(_, value)| value.trim())
    }

    fn all(&self, key: &str) -> Vec<&'a str> {
        self.pairs
            .iter()
            .filter(|(found, _)| *found == key)
            .map(|(_, value)| value.trim())
            .collect()
    }

    fn words(&self, key: &str) -> Vec<&'a str> {
        self.one(key)
            .unwrap_or_default()
            .split_whitespace()
            .collect()
    }

    fn cannot(&self, setting: &str, reason: String) -> Error {
        Error::Setting {
            host: self.name.to_owned(),
            setting: setting.to_owned(),
            reason,
        }
    }

    /// Refuses what cannot be honoured.
    fn refuse(&self) -> Result<(), Error> {
        for (key, defaults) in REFUSED {
            if let Some(value) = self.one(key).filter(|value| !defaults.contains(value)) {
                return Err(self.cannot(key, format!("'{value}'")));
            }
        }
        if matches!(self.one("pubkeyauthentication"), Some("no" | "false")) {
            return Err(self.cannot("pubkeyauthentication", "only keys can log in".to_owned()));
        }
        match self.one("preferredauthentications") {
            Some(methods) if !methods.split(',').any(|method| method == "publickey") => Err(self
                .cannot(
                    "preferredauthentications",
                    "only keys can log in".to_owned(),
                )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "host db\nuser root\nhostname 203.0.113.10\nport 2222\naddressfamily any\nidentitiesonly no\n\
        securitykeyprovider internal\nidentityfile /etc/keys/%h-%r\nuserknownhostsfile /k/1 /k/2\n\
        globalknownhostsfile /dev/null\nconnecttimeout none\n";

    fn parse(more: &str) -> Result<Settings, Error> {
        Settings::parse("db", "db", &format!("{PLAIN}{more}"))
    }

    #[test]
    fn what_ssh_says_is_what_we_do() {
        let settings = parse("").unwrap();
        assert_eq!(
            (settings.host_name.as_str(), settings.port),
            ("203.0.113.10", 2222)
        );
        assert_eq!(
            settings.identity_files,
            [PathBuf::from("/etc/keys/203.0.113.10-root")]
        );
        assert_eq!(
            settings.known_hosts,
            [PathBuf::from("/k/1"), PathBuf::from("/k/2")]
        );
        assert_eq!(
            (settings.proxy, settings.agent),
            (Proxy::None, Agent::Environment)
        );
    }

    #[test]
    fn proxies() {
        let command = parse("proxycommand nc %h %p # %%\n").unwrap().proxy;
        assert_eq!(
            command,
            Proxy::Command("nc 203.0.113.10 2222 # %".to_owned())
        );
        assert_eq!(
            parse("proxyjump a,b\n").unwrap().proxy,
            Proxy::Jump("a,b".to_owned())
        );
        assert_eq!(parse("proxycommand none\n").unwrap().proxy, Proxy::None);
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        for line in [
            "knownhostscommand /bin/true",
            "pkcs11provider /lib/p11.so",
            "certificatefile /k-cert.pub",
            "bindaddress 203.0.113.9",
            "pubkeyauthentication no",
            "preferredauthentications password",
            "identityagent $OTHER",
            "proxycommand nc %Z",
        ] {
            let key = line.split(' ').next().unwrap();
            match parse(&format!("{line}\n")) {
                Err(Error::Setting { setting, .. }) => assert_eq!(setting, key),
                other => panic!("{line}: {other:?}"),
            }
        }
    }
}
