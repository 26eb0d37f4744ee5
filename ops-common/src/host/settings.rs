//! How to reach a host and log in there, as ssh's own configuration has it.
//!
//! The keywords that change whom we reach or how we log in are honoured here or refused by name, never ignored;
//! docs/conventions.md has them all. Those that only make the rules laxer are not looked at.

use std::{path::PathBuf, time::Duration};

use super::{Error, address::Address, answer::Answer, tokens};
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
    /// Whether no other key may be known for the address than for the name.
    pub(super) check_host_ip: bool,
    pub(super) identity_files: Vec<PathBuf>,
    pub(super) identities_only: bool,
    pub(super) agent: Agent,
    /// Whether nobody may be asked for anything.
    pub(super) batch_mode: bool,
    pub(super) allowed: Allowed,
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

/// The algorithms that may be used. A list that ssh did not tell is empty, and forbids nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Allowed {
    pub(super) key_exchanges: Vec<String>,
    pub(super) ciphers: Vec<String>,
    pub(super) macs: Vec<String>,
    pub(super) host_keys: Vec<String>,
    pub(super) user_keys: Vec<String>,
    /// The length of the shortest RSA key.
    pub(super) rsa_bits: usize,
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
        let answer = Answer::new(name, original, answer);
        refuse(&answer)?;
        // ssh has expanded the files of the user before it tells them, and never expands the others.
        let known_hosts = ["userknownhostsfile", "globalknownhostsfile"]
            .into_iter()
            .flat_map(|key| answer.files(key));
        let connect_timeout = answer
            .one("connecttimeout")
            .and_then(|value| value.parse().ok());
        Ok(Settings {
            host_name: answer.host_name().to_owned(),
            user: answer.user().to_owned(),
            port: answer.port(),
            family: match answer.one("addressfamily") {
                Some("inet") => Family::V4,
                Some("inet6") => Family::V6,
                _ => Family::Any,
            },
            proxy: proxy(&answer)?,
            connect_timeout: connect_timeout.map(Duration::from_secs),
            host_key_alias: answer.one("hostkeyalias").map(str::to_owned),
            known_hosts: known_hosts.collect(),
            check_host_ip: answer.says_yes("checkhostip"),
            identity_files: identity_files(&answer)?,
            identities_only: answer.says_yes("identitiesonly"),
            agent: agent(&answer)?,
            batch_mode: answer.says_yes("batchmode"),
            allowed: Allowed {
                key_exchanges: answer.list("kexalgorithms"),
                ciphers: answer.list("ciphers"),
                macs: answer.list("macs"),
                host_keys: answer.list("hostkeyalgorithms"),
                user_keys: answer.list("pubkeyacceptedalgorithms"),
                rsa_bits: answer
                    .one("requiredrsasize")
                    .and_then(|bits| bits.parse().ok())
                    .unwrap_or_default(),
            },
        })
    }
}

/// Refuses what cannot be honoured.
fn refuse(answer: &Answer<'_>) -> Result<(), Error> {
    for (key, defaults) in REFUSED {
        if let Some(value) = answer.one(key).filter(|value| !defaults.contains(value)) {
            return Err(answer.cannot(key, format!("'{value}'")));
        }
    }
    let only_keys = |key| Err(answer.cannot(key, "only keys can log in".to_owned()));
    if matches!(answer.one("pubkeyauthentication"), Some("no" | "false")) {
        return only_keys("pubkeyauthentication");
    }
    match answer.one("preferredauthentications") {
        Some(methods) if !methods.split(',').any(|method| method == "publickey") => {
            only_keys("preferredauthentications")
        }
        _ => Ok(()),
    }
}

fn proxy(answer: &Answer<'_>) -> Result<Proxy, Error> {
    Ok(
        match (answer.one("proxycommand"), answer.one("proxyjump")) {
            (Some(command), _) if command != "none" => {
                Proxy::Command(answer.expand("proxycommand", command)?)
            }
            (_, Some(jump)) if jump != "none" => Proxy::Jump(jump.to_owned()),
            _ => Proxy::None,
        },
    )
}

fn agent(answer: &Answer<'_>) -> Result<Agent, Error> {
    Ok(match answer.one("identityagent") {
        None | Some("SSH_AUTH_SOCK") => Agent::Environment,
        Some("none") => Agent::None,
        Some(path) if path.starts_with('$') => {
            return Err(answer.cannot("identityagent", "its value is a variable".to_owned()));
        }
        Some(path) => Agent::Socket(tokens::home(path)),
    })
}

fn identity_files(answer: &Answer<'_>) -> Result<Vec<PathBuf>, Error> {
    let files = answer
        .all("identityfile")
        .filter(|file| !matches!(*file, "none" | "/dev/null"));
    files
        .map(|file| Ok(tokens::home(&answer.expand_path("identityfile", file)?)))
        .collect()
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
        let settings = parse("macs a,b\nrequiredrsasize 2048\ncheckhostip yes\n").unwrap();
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
        assert_eq!(settings.allowed.macs, ["a", "b"]);
        assert_eq!(settings.allowed.rsa_bits, 2048);
        assert!(settings.check_host_ip && !settings.batch_mode);
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
            "identityfile /k/${NO_SUCH_VARIABLE}",
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
