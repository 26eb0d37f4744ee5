//! The registration by which bridge and homeserver know each other, against the bridge's configuration: what differs between
//! them fails later, one way only, or in silence. Its tokens are compared and never shown.

use std::net::IpAddr;

use ops_common::check::{Check, State};
use regex::Regex;
use serde::Deserialize;

use crate::configuration::{Configuration, Secret};

/// The name of the check.
pub(crate) const CHECK: &str = "bridge.registration";

/// Makes a new one, without a word about where it is told to the homeserver.
const FIX: &str = "write it anew (mautrix-slack -g -c CONFIG -r FILE), give it to the homeserver and restart both";

/// A registration as a file.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) is_of_homeserver: bool,
    pub(crate) path: String,
    /// Why it cannot be looked at, or its text.
    pub(crate) content: Result<Registration, &'static str>,
}

/// The homeserver's own configuration, which names the others.
const ASKED: &str = "it is no registration, but names them";

/// What stands in it, as far as it is looked at.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(crate) struct Registration {
    #[serde(default)]
    id: String,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    as_token: Secret,
    #[serde(default)]
    hs_token: Secret,
    #[serde(default)]
    sender_localpart: String,
    #[serde(default)]
    rate_limited: Option<bool>,
    #[serde(default)]
    namespaces: Namespaces,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
struct Namespaces {
    users: Vec<Namespace>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
struct Namespace {
    regex: String,
    exclusive: bool,
}

/// Takes the answer of the host apart: each file after a line `NONCE file STATE WHOSE PATH`.
pub(crate) fn files(said: &str, nonce: &str) -> Vec<File> {
    let head = format!("{nonce} file ");
    let mut files = Vec::new();
    for part in said.split(&head).skip(1) {
        let (line, text) = part.split_once('\n').unwrap_or((part, ""));
        let mut words = line.splitn(3, ' ');
        let (state, whose) = (words.next(), words.next());
        let content = match state {
            Some("here") => serde_yaml::from_str(text).map_err(|_| "it is no registration"),
            Some("asked") => Err(ASKED),
            Some("unreadable") => Err("it cannot be read: --sudo"),
            _ => Err("it is not there"),
        };
        files.push(File {
            is_of_homeserver: whose == Some("homeserver"),
            path: words.next().unwrap_or_default().to_owned(),
            content,
        });
    }
    files
}

/// Judges the bridge's own registration, and the one of it that the homeserver was given where that can be seen.
pub(crate) fn judge(
    files: &Result<Vec<File>, String>,
    configuration: &Configuration,
) -> Vec<Check> {
    let files = match files {
        Ok(files) => files,
        Err(reason) => return vec![Check::unknown(CHECK, "", reason)],
    };
    let (of_homeserver, own): (Vec<_>, Vec<_>) =
        files.iter().partition(|file| file.is_of_homeserver);
    let mut checks: Vec<_> = own
        .iter()
        .map(|file| against(file, configuration))
        .collect();
    let listed = of_homeserver.iter().find_map(|file| {
        let content = file.content.as_ref().ok()?;
        is_ours(content, configuration).then_some((file.path.as_str(), content))
    });
    match (listed, of_homeserver.first()) {
        (Some((path, listed)), _) => {
            let own = own.iter().find_map(|file| file.content.as_ref().ok());
            checks.push(of_homeserver_file(path, listed, own, configuration));
        }
        // None of those that it was given can be this one, unless one cannot be read.
        (None, Some(first)) => {
            let unread = of_homeserver
                .iter()
                .filter_map(|file| Some((file.path.as_str(), *file.content.as_ref().err()?)))
                .find(|(_, reason)| *reason != ASKED);
            checks.push(match unread {
                Some((path, reason)) => Check::unknown(CHECK, path, reason),
                None => Check::fail(
                    CHECK,
                    &first.path,
                    "the homeserver was given no registration of this bridge",
                )
                .fix("name it in app_service_config_files of the homeserver and restart that"),
            });
        }
        // The homeserver keeps them elsewhere, or is elsewhere: the pings of both ways tell.
        (None, None) => {}
    }
    checks
}

/// Whether a registration means this bridge, even if something about it is wrong.
fn is_ours(registration: &Registration, configuration: &Configuration) -> bool {
    let appservice = &configuration.appservice;
    let is_same = |one: &Secret, other: &Secret| one == other && !one.reveal().is_empty();
    registration.id == appservice.id
        || is_same(&registration.as_token, &appservice.as_token)
        || is_same(&registration.hs_token, &appservice.hs_token)
}

fn against(file: &File, configuration: &Configuration) -> Check {
    let registration = match &file.content {
        Ok(registration) => registration,
        Err(reason) => {
            return Check::unknown(CHECK, &file.path, *reason)
                .fix("compare it by hand with what the homeserver was given");
        }
    };
    told(&file.path, differences(registration, configuration))
}

fn of_homeserver_file(
    path: &str,
    listed: &Registration,
    own: Option<&Registration>,
    configuration: &Configuration,
) -> Check {
    let mut found = differences(listed, configuration);
    // Which of two is right is told by the configuration; where that agrees with both they may still differ.
    let is_another = own.is_some_and(|own| {
        own != listed && differences(own, configuration).is_empty() && found.is_empty()
    });
    if is_another {
        let words = "the homeserver was given another one than lies beside the configuration";
        found.push((State::Warn, words.to_owned()));
    }
    told(path, found)
}

fn told(path: &str, found: Vec<(State, String)>) -> Check {
    let Some(status) = found.iter().map(|(status, _)| *status).max() else {
        return Check::ok(CHECK, path, "it agrees with the configuration");
    };
    let words: Vec<_> = found.into_iter().map(|(_, words)| words).collect();
    Check::new(status, CHECK, path, words.join("; ")).fix(FIX)
}

/// What is wrong, and how badly.
fn differences(registration: &Registration, configuration: &Configuration) -> Vec<(State, String)> {
    let appservice = &configuration.appservice;
    let mut found = Vec::new();
    let mut differs = |is_wrong: bool, status: State, words: &str| {
        if is_wrong {
            found.push((status, words.to_owned()));
        }
    };
    differs(
        registration.as_token != appservice.as_token,
        State::Fail,
        "its as_token is not that of the configuration: the homeserver will not know the bridge (exit 16)",
    );
    differs(
        registration.hs_token != appservice.hs_token,
        State::Fail,
        "its hs_token is not that of the configuration: the bridge will refuse the homeserver (exit 13)",
    );
    differs(
        registration.id != appservice.id,
        State::Fail,
        &format!(
            "its id is '{}', appservice.id is '{}'",
            registration.id, appservice.id
        ),
    );
    differs(
        registration.rate_limited != Some(false),
        State::Warn,
        "rate_limited is not false: busy rooms will be slowed down",
    );
    found.extend(of_url(registration, configuration));
    found.extend(of_namespaces(registration, configuration));
    found
}

/// Where the homeserver is to find the bridge, against where that listens.
fn of_url(registration: &Registration, configuration: &Configuration) -> Option<(State, String)> {
    let appservice = &configuration.appservice;
    let url = registration.url.as_deref().unwrap_or_default();
    if url.is_empty() {
        return Some((
            State::Fail,
            "it has no url: the homeserver will send nothing".to_owned(),
        ));
    }
    let shown = |words: String| format!("its url is {url}, {words}");
    let port = appservice.port;
    let Some((host, told_port)) = authority(url) else {
        return Some((State::Fail, shown("which is no address of HTTP".to_owned())));
    };
    // What is elsewhere, or behind a proxy, is not ours to judge.
    let listens_on = appservice.hostname.trim_matches(['[', ']']);
    let address = match host.parse::<IpAddr>() {
        Ok(address) if address.is_loopback() => Some(address),
        _ => None,
    };
    if (address.is_some() || host == "localhost") && told_port != port {
        return Some((
            State::Fail,
            shown(format!("but the bridge listens on port {port}")),
        ));
    }
    let is_heard = match (address, listens_on.parse::<IpAddr>()) {
        (Some(address), Ok(listening)) => {
            listening == address
                || listening.is_unspecified() && (listening.is_ipv6() || address.is_ipv4())
        }
        _ => true,
    };
    if !is_heard {
        return Some((
            State::Fail,
            shown(format!("but the bridge listens on {listens_on}")),
        ));
    }
    let configured = appservice.address.trim_end_matches('/');
    (!configured.is_empty() && configured != url.trim_end_matches('/')).then(|| {
        (
            State::Warn,
            shown(format!("appservice.address is {configured}")),
        )
    })
}

/// Host and port of an address of HTTP.
fn authority(url: &str) -> Option<(&str, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let default = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let authority = rest.split('/').next()?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, default),
    };
    Some((host.trim_matches(['[', ']']), port))
}

/// Who belongs to the bridge, against the names that it gives.
fn of_namespaces(
    registration: &Registration,
    configuration: &Configuration,
) -> Vec<(State, String)> {
    let appservice = &configuration.appservice;
    let domain = &configuration.homeserver.domain;
    let mut found = Vec::new();
    let users: Vec<_> = registration
        .namespaces
        .users
        .iter()
        .filter_map(|space| {
            let anchored = Regex::new(&format!("^(?:{})", space.regex));
            if anchored.is_err() {
                let words = format!("its namespace '{}' is no pattern", space.regex);
                found.push((State::Fail, words));
            }
            anchored.ok().map(|regex| (regex, space.exclusive))
        })
        .collect();
    let of = |name: &str| users.iter().find(|(regex, _)| regex.is_match(name));
    let ghost = appservice.username_template.replace("{{.}}", "t1-u1");
    let ghost = format!("@{ghost}:{domain}");
    match of(&ghost) {
        None => found.push((
            State::Fail,
            format!("no namespace of users has {ghost}, as appservice.username_template makes it"),
        )),
        Some((_, false)) => found.push((
            State::Warn,
            "the namespace of its users is not exclusive: others may take their names".to_owned(),
        )),
        Some(_) => {}
    }
    let bot = &appservice.bot.username;
    if registration.sender_localpart != *bot && of(&format!("@{bot}:{domain}")).is_none() {
        let words =
            format!("the bot @{bot}:{domain} is neither its sender_localpart nor in a namespace");
        found.push((State::Fail, words));
    }
    let people = configuration.bridge.permissions.keys();
    let claimed = people
        .filter_map(|key| key.as_str())
        .find(|name| name.starts_with('@') && of(name).is_some());
    if let Some(name) = claimed {
        found.push((
            State::Fail,
            format!("its namespace of users has {name}, who is a person"),
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIGURATION: &str = r#"/c.yaml
homeserver: {domain: ex.org}
bridge: {permissions: {"@op:ex.org": admin}}
appservice: {address: "http://127.0.0.1:29335", hostname: 127.0.0.1, port: 29335, as_token: CANARY1, hs_token: CANARY2}
"#;

    const REGISTRATION: &str = r"id: slack
url: http://127.0.0.1:29335
as_token: CANARY1
hs_token: CANARY2
sender_localpart: random
rate_limited: false
namespaces:
    users:
        - {regex: '^@slackbot:ex\.org$', exclusive: true}
        - {regex: '^@slack_.*:ex\.org$', exclusive: true}
";

    /// What is changed into what, and what is then said.
    const CASES: &[(&str, &str, State, &str)] = &[
        ("CANARY1", "CANARY3", State::Fail, "its as_token is not"),
        ("CANARY2", "CANARY3", State::Fail, "its hs_token is not"),
        (
            "id: slack",
            "id: other",
            State::Fail,
            "'other', appservice.id is 'slack'",
        ),
        ("url: http://127.0.0.1:29335", "url:", State::Fail, "no url"),
        (
            ":29335",
            ":29336",
            State::Fail,
            "but the bridge listens on port 29335",
        ),
        (
            "127.0.0.1",
            "[::1]",
            State::Fail,
            "but the bridge listens on 127.0.0.1",
        ),
        (
            "127.0.0.1",
            "bridge.example",
            State::Warn,
            "appservice.address is http",
        ),
        (
            "127.0.0.1",
            "localhost",
            State::Warn,
            "appservice.address is http",
        ),
        ("http:", "ftp:", State::Fail, "no address of HTTP"),
        ("rate_limited: false", "", State::Warn, "rate_limited"),
        (
            "@slack_.*",
            "@chat_.*",
            State::Fail,
            "has @slack_t1-u1:ex.org",
        ),
        (
            "@slackbot",
            "@otherbot",
            State::Fail,
            "the bot @slackbot:ex.org",
        ),
        (
            "@slack_.*",
            ".*",
            State::Fail,
            "has @op:ex.org, who is a person",
        ),
        ("@slack_.*", "@slack_(", State::Fail, "is no pattern"),
        (
            "org$', exclusive: true}\n        - {regex: '^@slack_.*:ex\\.org$', exclusive: true",
            "org$', exclusive: true}\n        - {regex: '^@slack_.*:ex\\.org$', exclusive: false",
            State::Warn,
            "not exclusive",
        ),
    ];

    fn file(state: &str, whose: &str, text: &str) -> String {
        format!("=n= file {state} {whose} /{whose}.yaml\n{text}\n")
    }

    fn judged(said: &str, configuration: &str) -> Vec<(State, String)> {
        let configuration = Configuration::read(configuration).unwrap();
        let files = files(said, "=n=");
        assert!(!format!("{files:?}").contains("CANARY"));
        let checks = judge(&Ok(files), &configuration);
        let told = checks
            .into_iter()
            .map(|check| (check.status, check.message));
        told.inspect(|(_, message)| assert!(!message.contains("CANARY"), "{message}"))
            .collect()
    }

    #[test]
    fn each_difference_is_told() {
        let own = |text: &str| judged(&file("here", "bridge", text), CONFIGURATION);
        let agreed = "it agrees with the configuration".to_owned();
        assert_eq!(own(REGISTRATION), [(State::Ok, agreed)]);
        for (from, to, status, words) in CASES {
            let changed = REGISTRATION.replace(from, to);
            assert_ne!(changed, REGISTRATION, "{from}");
            let told = own(&changed);
            assert!(
                told.len() == 1 && told[0].0 == *status && told[0].1.contains(words),
                "{from} -> {to}: {told:?}"
            );
        }
        let named = REGISTRATION
            .replace("random", "slackbot")
            .replace("@slackbot", "@x");
        assert_eq!(own(&named)[0].0, State::Ok, "the bot is the sender");
        let everywhere = CONFIGURATION.replace("hostname: 127.0.0.1", "hostname: '[::]'");
        let said = file("here", "bridge", REGISTRATION);
        assert_eq!(judged(&said, &everywhere)[0].0, State::Ok);
    }

    #[test]
    fn what_the_homeserver_was_given_is_looked_at_where_it_can_be() {
        let own = file("here", "bridge", REGISTRATION);
        let given = |text: &str| {
            let said = own.clone() + &file("here", "homeserver", text);
            judged(&said, CONFIGURATION).remove(1)
        };
        assert_eq!(given(REGISTRATION).0, State::Ok);
        let old = given(&REGISTRATION.replace("CANARY1", "CANARY3"));
        assert!(
            old.0 == State::Fail && old.1.contains("as_token"),
            "{old:?}"
        );
        let another = REGISTRATION
            .replace("CANARY", "OTHER")
            .replace("slack", "signal");
        assert!(given(&another).1.contains("no registration of this bridge"));
        let subtle = given(&REGISTRATION.replace("random", "else"));
        assert!(
            subtle.0 == State::Warn && subtle.1.contains("another one"),
            "{subtle:?}"
        );
        let unread = own + &file("unreadable", "homeserver", "");
        assert_eq!(judged(&unread, CONFIGURATION)[1].0, State::Unknown);
    }

    #[test]
    fn what_is_missing_or_junk_is_not_called_good() {
        for (state, text) in [
            ("absent", ""),
            ("unreadable", ""),
            ("here", "junk"),
            ("here", "[1"),
        ] {
            let told = judged(&file(state, "bridge", text), CONFIGURATION);
            assert_eq!(told[0].0, State::Unknown, "{state} {text}");
        }
        assert_eq!(
            judge(&Err("x".to_owned()), &Configuration::default())[0].status,
            State::Unknown
        );
    }
}
