//! `doctor`: is everything set up so that messages can flow and failures can be seen, and what to change where not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ops_common::check::{Check, State};
use ops_common::exit;
use ops_common::host::Host;
use serde_json::json;

use crate::configuration::Configuration;
use crate::database::Database;
use crate::error::Error;
use crate::http::{Reply, Request, Session, escape};
use crate::known::slack_error;
use crate::probe::{self, Answer};
use crate::reader::Reader;
use crate::settings::Settings;
use crate::slack_api::SlackApi;
use crate::tokens::Tokens;

/// The check that stands for all of them where the host cannot be asked.
pub(crate) const CHECK: &str = "bridge.config";

const TIMEOUT: Duration = Duration::from_secs(10);

/// Examines a host, and the tokens of a file where one is given.
pub(crate) fn look(
    host: &Host,
    settings: &Settings,
    tokens: Option<&Tokens>,
) -> Result<Vec<Check>, Error> {
    let answer = probe::ask(host, settings, probe::ALL)?;
    let configuration = match &answer.configuration {
        Ok(configuration) => configuration,
        Err(reason) => {
            let check =
                Check::fail(CHECK, "", reason).fix("name the file in ops.yaml: bridge.config");
            return Ok(vec![check, schema(&answer.database)]);
        }
    };
    let mut checks = vec![
        placeholders(configuration),
        provisioning(configuration),
        auto_reconnect(configuration),
        log_level(configuration),
    ];
    checks.push(schema(&answer.database));
    checks.extend(listeners(host, configuration));
    checks.push(to_homeserver(host, configuration));
    checks.push(to_bridge(host, configuration));
    checks.push(file_events(&answer));
    if let Some(tokens) = tokens {
        checks.extend(probe_tokens(host, tokens)?);
    }
    Ok(checks)
}

/// What makes the bridge end with 11, or start and fail later.
fn placeholders(configuration: &Configuration) -> Check {
    let permissions = &configuration.bridge.permissions;
    let somebody = permissions
        .keys()
        .filter_map(|key| key.as_str())
        .any(|key| key != "*" && !key.ends_with("example.com"));
    let template = &configuration.appservice.username_template;
    let wrong = [
        (
            !somebody,
            "bridge.permissions names nobody but '*' or the example's entries",
        ),
        (
            matches!(configuration.homeserver.domain.as_str(), "" | "example.com"),
            "homeserver.domain is not set",
        ),
        (
            configuration
                .homeserver
                .address
                .contains("example.localhost"),
            "homeserver.address is the example's",
        ),
        (
            !template.contains("{{"),
            "appservice.username_template has no placeholder",
        ),
        (
            is_placeholder(configuration.appservice.as_token.reveal()),
            "appservice.as_token is not set: generate the registration",
        ),
        (
            is_placeholder(configuration.appservice.hs_token.reveal()),
            "appservice.hs_token is not set: generate the registration",
        ),
        (
            configuration.database.kind.is_empty()
                || configuration.database.uri.reveal().is_empty(),
            "database.type or database.uri is not set",
        ),
    ];
    let wrong: Vec<_> = wrong
        .into_iter()
        .filter(|(is_wrong, _)| *is_wrong)
        .map(|(_, words)| words)
        .collect();
    if wrong.is_empty() {
        return Check::ok(CHECK, &configuration.path, "nothing required is missing");
    }
    Check::fail(CHECK, &configuration.path, wrong.join("; ")).fix("ops-bridge explain 11")
}

fn is_placeholder(token: &str) -> bool {
    token.is_empty() || token.contains("This value is generated") || token == "generate"
}

fn provisioning(configuration: &Configuration) -> Check {
    match configuration.provisioning_secret() {
        Ok(_) => Check::ok("bridge.provisioning", "", "the provisioning API is on"),
        Err(reason) => Check::warn("bridge.provisioning", "", reason).fix("set provisioning.shared_secret to 16 characters or more: it alone tells the state at any log level"),
    }
}

fn auto_reconnect(configuration: &Configuration) -> Check {
    let is_set = configuration
        .bridge
        .unknown_error_auto_reconnect
        .as_ref()
        .is_some_and(|value| !value.is_null());
    if is_set {
        return Check::ok(
            "bridge.auto_reconnect",
            "",
            "a login that failed at start is tried again",
        );
    }
    Check::warn(
        "bridge.auto_reconnect",
        "",
        "a login that fails at start is never tried again",
    )
    .fix("set bridge.unknown_error_auto_reconnect: 1m")
}

fn log_level(configuration: &Configuration) -> Check {
    let level = &configuration.logging.min_level;
    if configuration.logs_states() {
        return Check::ok(
            "bridge.log_level",
            level,
            "the states of the connection are logged",
        );
    }
    Check::warn(
        "bridge.log_level",
        level,
        "the states of the connection are not logged",
    )
    .fix("set logging.min_level: debug")
}

fn schema(database: &Result<Database, String>) -> Check {
    match database {
        Ok(database) => {
            let schema = &database.schema;
            let message = format!("{} version {}", schema.generation, schema.version);
            let status = if schema.generation == "legacy" {
                State::Warn
            } else {
                State::Ok
            };
            let check = Check::new(status, "bridge.schema", &schema.owner, message);
            if status == State::Ok {
                check
            } else {
                check.fix("migrate the database with the release before bridgev2")
            }
        }
        Err(reason) => Check::fail("bridge.schema", "", reason).fix("ops-db status"),
    }
}

/// Whether the bridge answers on each address that programs may take for its own. One of two is enough, but one of them in the
/// homeserver's registration and the other here is the classic mistake.
fn listeners(host: &Host, configuration: &Configuration) -> Vec<Check> {
    let (configured, port) = configuration.listener();
    let ask = |address: IpAddr| {
        let answers = request(host, address, port, &Request::get("/_matrix/mau/live"), "")
            .is_ok_and(|reply| reply.status == 200);
        let (name, subject) = ("bridge.listener", format!("{}:{port}", shown(address)));
        match (answers, address == configured) {
            (true, _) => Check::ok(name, subject, "the bridge answers"),
            (false, true) => Check::fail(
                name,
                subject,
                "the bridge does not answer where it is configured to",
            )
            .fix("ops-bridge status"),
            (false, false) => Check::ok(name, subject, "no answer, and none is configured"),
        }
    };
    let mut addresses = vec![configured];
    addresses.extend(
        [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ]
        .into_iter()
        .filter(|address| *address != configured),
    );
    addresses.into_iter().map(ask).collect()
}

fn shown(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

fn request(
    host: &Host,
    address: IpAddr,
    port: u16,
    wanted: &Request<'_>,
    bearer: &str,
) -> Result<Reply, Error> {
    let stream = host.connect_tcp(address, port)?;
    let whom = format!("{}:{port}", shown(address));
    let session = Session::over(stream, &whom, TIMEOUT);
    session
        .ask(wanted, bearer)
        .map_err(|source| Error::Ask { whom, source })
}

/// The addresses that the bridge may take for its homeserver. `localhost` is two, and only one of them may be served.
fn homeserver_addresses(configuration: &Configuration) -> Vec<IpAddr> {
    let authority = configuration
        .homeserver
        .address
        .split("://")
        .nth(1)
        .unwrap_or_default()
        .split('/')
        .next()
        .unwrap_or_default();
    let name = authority
        .rsplit_once(':')
        .map_or(authority, |(name, _)| name)
        .trim_matches(['[', ']']);
    match name.parse() {
        Ok(address) => vec![address],
        Err(_) => vec![
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ],
    }
}

/// The bridge's way to the homeserver: does it answer there, and does it know the as_token.
fn to_homeserver(host: &Host, configuration: &Configuration) -> Check {
    const NAME: &str = "bridge.to_homeserver";
    let subject = configuration.homeserver.address.clone();
    let port = configuration.homeserver_port().unwrap_or(8008);
    let token = configuration.appservice.as_token.reveal();
    let (mut answer, mut silent, mut why) = (None, Vec::new(), String::new());
    for address in homeserver_addresses(configuration) {
        let wanted = Request::get("/_matrix/client/v3/account/whoami");
        match request(host, address, port, &wanted, token) {
            Ok(reply) => answer = answer.or(Some(reply)),
            Err(error) => {
                silent.push(shown(address));
                why = exit::describe(&error);
            }
        }
    }
    let unknown = "register the bridge's registration.yaml with the homeserver and restart it";
    match answer.map(|reply| reply.status) {
        None => Check::fail(NAME, subject, why).fix("ops-matrix status"),
        Some(401 | 403) => {
            Check::fail(NAME, subject, "the homeserver does not know the as_token").fix(unknown)
        }
        Some(_) if silent.is_empty() => Check::ok(
            NAME,
            subject,
            "the homeserver answers and knows the as_token",
        ),
        Some(_) => {
            let silent = silent.join(", ");
            let message = format!("the name has an address that does not answer: {silent}");
            Check::warn(NAME, subject, message)
                .fix("set homeserver.address to the address that answers, by number")
        }
    }
}

/// The homeserver's way to the bridge, which it tries when asked to.
fn to_bridge(host: &Host, configuration: &Configuration) -> Check {
    const NAME: &str = "bridge.from_homeserver";
    let appservice = &configuration.appservice;
    let path = format!(
        "/_matrix/client/v1/appservice/{}/ping",
        escape(&appservice.id)
    );
    let body = json!({"transaction_id": "ops-bridge-doctor"});
    let port = configuration.homeserver_port().unwrap_or(8008);
    let mut answers = homeserver_addresses(configuration).into_iter();
    let reply = answers.find_map(|address| {
        request(
            host,
            address,
            port,
            &Request::json("POST", &path, &body),
            appservice.as_token.reveal(),
        )
        .ok()
    });
    let Some(reply) = reply else {
        return Check::unknown(NAME, &appservice.address, "the homeserver does not answer");
    };
    let answer = reply.json();
    let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    match (reply.status, answer["duration_ms"].as_f64()) {
        (200, duration) => Check::ok(
            NAME,
            &appservice.address,
            "the homeserver reaches the bridge",
        )
        .value(duration.unwrap_or(0.0) / 1000.0, "s"),
        (404, _) if text("errcode") == "M_UNRECOGNIZED" => {
            Check::unknown(NAME, &appservice.address, "the homeserver cannot ping")
        }
        _ => Check::fail(
            NAME,
            &appservice.address,
            format!("{} {}", text("errcode"), text("error"))
                .trim()
                .to_owned(),
        )
        .fix(
            "compare appservice.address and hs_token with the registration that the homeserver has",
        ),
    }
}

/// Without the event `file_created` each file from Matrix holds its room for five seconds.
fn file_events(answer: &Answer) -> Check {
    const NAME: &str = "bridge.file_events";
    let journal = match &answer.journal {
        Ok(journal) => journal,
        Err(reason) => return Check::unknown(NAME, "", reason),
    };
    let mut reader = Reader::new(journal.as_slice());
    let mut missed = 0_u32;
    // Reading from memory does not fail.
    while let Ok(Some(line)) = reader.next() {
        missed += u32::from(line.message == "Timed out waiting for file_created event from Slack");
    }
    if missed == 0 {
        return Check::ok(
            NAME,
            "file_created",
            "no file waited in vain in the last hour",
        );
    }
    let message = format!("{missed} files waited 5 s for an event that did not come");
    Check::warn(NAME, "file_created", message)
        .value(f64::from(missed), "")
        .fix("add file_created to the bot events of the Slack app")
}

/// Whether Slack accepts each of the tokens. Opening a connection makes a ticket and connects nobody.
fn probe_tokens(host: &Host, tokens: &Tokens) -> Result<Vec<Check>, Error> {
    let slack = SlackApi::connect(host)?;
    let probes = [
        ("bot_token", "auth.test"),
        ("app_token", "apps.connections.open"),
    ];
    let probes = probes.into_iter().map(|(name, method)| {
        let Ok(token) = tokens.get(name) else {
            return Ok(Check::unknown("bridge.token", name, "not in the file"));
        };
        Ok(match slack.call(method, token, &[])? {
            Ok(_) => Check::ok("bridge.token", name, "Slack accepts it"),
            Err(code) => {
                let (meaning, remedy) = slack_error(&code)
                    .unwrap_or(("Slack does not accept it", "look into the app's settings"));
                Check::fail("bridge.token", name, format!("{code}: {meaning}")).fix(remedy)
            }
        })
    });
    probes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_the_bridge_with_11_is_found_before() {
        let judge =
            |text: &str| placeholders(&Configuration::read(&format!("/c.yaml\n{text}")).unwrap());
        let good = "bridge: {permissions: {'@op:ex.org': admin}}\nhomeserver: {domain: ex.org, address: 'http://127.0.0.1:8008'}\nappservice: {as_token: a, hs_token: b}\ndatabase: {type: postgres, uri: x}\n";
        assert_eq!(judge(good).status, State::Ok);
        let everybody = judge(&good.replace("'@op:ex.org': admin", "'*': relay"));
        assert!(
            everybody.status == State::Fail && everybody.message.contains("bridge.permissions"),
            "{everybody:?}"
        );
        assert!(
            judge(&good.replace("as_token: a", "as_token: ''"))
                .message
                .contains("as_token")
        );
    }

    #[test]
    fn a_name_is_two_addresses() {
        let configuration = |address: &str| {
            Configuration::read(&format!("/c.yaml\nhomeserver: {{address: '{address}'}}\n"))
                .unwrap()
        };
        assert_eq!(
            homeserver_addresses(&configuration("http://localhost:8008")).len(),
            2
        );
        assert_eq!(
            homeserver_addresses(&configuration("http://[::1]:8008")),
            [IpAddr::V6(Ipv6Addr::LOCALHOST)]
        );
    }
}
